"""Avatars that look as asked: planes corrected by what a picture of them shows.

Diffusion makes planes that are likely given the latent, and never sees what it has made. Here the
front is drawn and held against what was asked: a latent, which the image tower should read off the
picture, or a portrait, pixel by pixel, be it a photo or what a latent lets expect of the face
(`rodin_jax.visages`). The planes move to the most probable ones that agree,

    minimise over eta   asked(front(x + A sqrt(told) eta)) + strictness mean(eta^2),

with planes x; coefficients of the eigenplanes whose variance, given the latent, is ``told``; and A,
which makes full planes of them, detail included. ``eta`` is a change in standard deviations, so its
square is what the Gaussian of `rodin_jax.nn.line` says of it. The paper's base network, which saw a
hundred thousand people, follows latents closely enough without.
"""

import functools
from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float

from rodin_jax import cameras, kept_programs, occupancy
from rodin_jax.bundle import Bundle
from rodin_jax.nn import clip as towers
from rodin_jax.nn import decoder as decoders
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.eigenplanes import EigenPlanes
from rodin_jax.portrait import Portrait
from rodin_jax.rendering import over
from rodin_jax.types import Rays, pytree, static

_SEEN = 64  # pixels along an edge of the pictures that the tower is shown
_SAMPLES = 10  # field evaluations a ray
_RAYS = 1536  # of a portrait, a step, but no more than a quarter of it
_GRID = 48  # cells along an edge of the occupancy
_ROUNDS = 4  # in which it is surveyed anew
_MUCH = 0.01  # share of texels whose change others are measured by
_HIT = 5 / 8  # share of a picture's rays that may hit somebody; a wide hat's hit less

Planes = Float[Array, "3 h w c"]
# What is asked of planes: (planes, occupancy, key) -> how far they are from it.
Asked = Callable[[Planes, occupancy.Occupancy, Array], Float[Array, ""]]


@pytree
class Looks:
    """What the looks of an avatar depend on, besides its planes.

    Attributes:
      eigenplanes: along which planes move.
      std: of the low planes, as `rodin_jax.data.planes.PlaneStatistics` has it.
      decoder_params: weights of the decoder.
      tower_params: weights of the towers.
      latent_mean: see `rodin_jax.nn.clip`.
      latent_std: likewise.
      decoder: reads planes.
      tower: reads pictures.
    """

    eigenplanes: EigenPlanes
    std: Float[Array, "3 c"]
    decoder_params: Any
    tower_params: Any
    latent_mean: Float[Array, "d"]
    latent_std: Float[Array, "d"]
    decoder: Decoder = static()
    tower: Clip = static()

    def moved(self, planes: Planes, change: Float[Array, "k"]) -> Planes:
        """The planes with coefficients changed by so much."""
        _, _, size, channels = planes.shape
        normalised = self.eigenplanes.change(change[None], size, channels)[0]
        return planes + self.std[:, None, None] * normalised

    def survey(self, planes: Planes) -> occupancy.Occupancy:
        """Where there is anything."""
        solid = functools.partial(decoders.density, self.decoder, self.decoder_params, planes)
        return occupancy.survey(solid, _GRID)

    def draw(
        self, planes: Planes, grid: occupancy.Occupancy, rays: Rays, key: Array, samples=_SAMPLES
    ):
        """What rays see of planes, differentiable; the key is consumed."""
        field = decoders.field(self.decoder, self.decoder_params, planes)
        return occupancy.render_guided(field, grid, rays, samples=samples, key=key)[0]

    def read(self, planes: Planes, grid: occupancy.Occupancy, key: Array) -> Float[Array, "d"]:
        """The latent of the front of planes, differentiable; the key is consumed."""
        rays = front_rays(_SEEN)
        # Most rays meet nothing: those that may hit come first, and only they are evaluated.
        order = jnp.argsort(~occupancy.meets(grid, rays))[: int(_HIT * _SEEN**2)]
        picture = self.draw(planes, grid, jax.tree.map(lambda x: x[order], rays), key)
        front = jnp.ones((_SEEN**2, 3)).at[order].set(over(picture, 1.0))
        size = self.tower.image_size
        front = jax.image.resize(front.reshape(_SEEN, _SEEN, 3), (size, size, 3), "linear")
        embedding = self.tower.apply(
            {"params": self.tower_params}, jnp.clip(front, 0, 1)[None], method="encode_image"
        )
        return towers.standardise(embedding, self.latent_mean, self.latent_std)[0]


def looks_of(bundle: Bundle) -> Looks | None:
    """What a bundle's avatars depend on; None without eigenplanes, along which they would move."""
    if bundle.eigenplanes is None:
        return None
    decoder, clip = bundle.parts["decoder"], bundle.parts["clip"]
    return Looks(
        bundle.eigenplanes, bundle.low.std, decoder.params, clip.params, bundle.latent_mean,
        bundle.latent_std, decoder.module, clip.module,
    )  # fmt: skip


@kept_programs.jit()
def latents(looks: Looks, planes: Float[Array, "n 3 h w c"], keys: Array) -> Float[Array, "n d"]:
    """What the tower reads off the fronts of planes; one key for each, consumed."""

    def one(args):
        planes, key = args
        return looks.read(planes, looks.survey(planes), key)

    return jax.lax.map(one, (planes, keys))


@kept_programs.jit()
def along(
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    z: Float[Array, "n d"],
    delta: Float[Array, "n d"],
) -> Float[Array, "n 3 h w c"]:
    """Planes of latents z, moved as their coefficients follow latents that move by delta."""
    line = looks.eigenplanes.line
    return jax.vmap(looks.moved)(planes, line.prior(z + delta)[0] - line.prior(z)[0])


@kept_programs.jit({"steps"})
def toward_latents(
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    z: Float[Array, "n d"],
    wanted: Float[Array, "n d"],
    keys: Array,
    *,
    steps: int,
    strictness: float | Array = 0.03,
) -> Float[Array, "n 3 h w c"]:
    """Planes whose fronts the tower reads as the latents ``wanted``, or nearly.

    Args:
      looks: of the bundle.
      planes: what to correct, in feature units.
      z: the latents that they were made of; they say how far coefficients may move.
      wanted: what their fronts should be read as; only directions count.
      keys: one for each; consumed.
      steps: of the minimisation, rounded up to a multiple of 4.
      strictness: how much moving costs.
    """

    def one(args):
        planes, z, wanted, key = args

        def asked(planes, grid, key):
            seen = looks.read(planes, grid, key)
            return 1 - towers.similarity(seen[None], wanted[None])[0, 0]

        return _correct(looks, planes, z, asked, key, steps, strictness)

    return jax.lax.map(one, (planes, z, wanted, keys))


@kept_programs.jit({"steps"})
def toward_portraits(
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    z: Float[Array, "n d"],
    portraits: Portrait,
    keys: Array,
    *,
    steps: int,
    strictness: float | Array = 3e-3,
) -> Float[Array, "n 3 h w c"]:
    """Planes whose fronts look like the portraits ``[n]``, as far as the eigenplanes go.

    Arguments as in `toward_latents`.
    """

    def one(args):
        planes, z, portrait, key = args

        def asked(planes, grid, key):
            return _difference(looks, planes, portrait, grid, key)

        return _correct(looks, planes, z, asked, key, steps, strictness)

    return jax.lax.map(one, (planes, z, portraits, keys))


@kept_programs.jit({"steps"})
def retouch(
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    portraits: Portrait,
    keys: Array,
    *,
    steps: int,
    variation: float | Array = 30.0,
    decay: float | Array = 0.3,
    rate: float | Array = 1e-2,
) -> Float[Array, "n 3 h w c"]:
    """Planes with what portraits show beyond the eigenplanes: each texel moves, if but little.

    Args:
      looks: of the bundle.
      planes: of `toward_portraits`.
      portraits: what the fronts should look like, ``[n]``.
      keys: one for each; consumed.
      steps: of the minimisation.
      variation: what differences of the change between neighbouring texels cost.
      decay: what the change itself costs.
      rate: initial learning rate.
    """

    def one(args):
        planes, portrait, key = args
        grid = looks.survey(planes)

        def objective(change, key):
            rough = sum(jnp.mean(jnp.diff(change, axis=axis) ** 2) for axis in (1, 2))
            seen = _difference(looks, planes + change, portrait, grid, key)
            return seen + variation * rough + decay * jnp.mean(change**2)

        optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps), b2=0.99, eps=1e-6)
        start = jnp.zeros_like(planes)
        keys = jax.random.split(key, steps)
        change, _ = _descend(objective, optimizer, (start, optimizer.init(start)), keys)
        return planes + change

    return jax.lax.map(one, (planes, portraits, keys))


@kept_programs.jit()
def focused(
    looks: Looks,
    planes: Float[Array, "n 3 h w c"],
    changed: Float[Array, "n 3 h w c"],
    focus: float | Array,
) -> Float[Array, "n 3 h w c"]:
    """Planes with what has changed much of them; what has hardly changed stays.

    Eigenplanes are everywhere, so whoever is given glasses is given a slightly other coat too. But
    changes that are asked for are sparse. With m the root mean square of the change about a texel,
    in standard deviations, and M that of the hundredth that changes most, its share
    ``max(0, 1 - (focus M / m)^2)`` stays: the non-negative garrote.

    Args:
      looks: of the bundle.
      planes: before, in feature units.
      changed: and after.
      focus: 0 keeps all of the change, 1 hardly any.
    """
    change = changed - planes
    size = jnp.square(change / looks.std[:, None, None]).mean(-1, keepdims=True)
    size = jax.vmap(lambda x: nn.avg_pool(x, (3, 3), padding="SAME", count_include_pad=False))(size)
    most = jnp.quantile(size, 1 - _MUCH, axis=(1, 2, 3, 4), keepdims=True)
    return planes + change * jnp.maximum(1 - focus**2 * most / jnp.maximum(size, 1e-12), 0)


def _correct(looks: Looks, planes, z, asked: Asked, key, steps, strictness, rate=0.1):
    """The module's minimisation by Adam; the occupancy follows it."""
    steps = -(-steps // _ROUNDS)
    optimizer = optax.adam(optax.cosine_decay_schedule(rate, steps * _ROUNDS))
    spread = jnp.sqrt(looks.eigenplanes.line.prior(z[None])[1][0])

    def round_(state, keys):
        grid = looks.survey(looks.moved(planes, spread * state[0]))

        def objective(eta, key):
            here = looks.moved(planes, spread * eta)
            return asked(here, grid, key) + strictness * jnp.mean(eta**2)

        return _descend(objective, optimizer, state, keys), None

    start = jnp.zeros_like(spread)
    keys = jax.random.split(key, (_ROUNDS, steps))
    (eta, _), _ = jax.lax.scan(round_, (start, optimizer.init(start)), keys)
    return looks.moved(planes, spread * eta)


def _descend(objective, optimizer, state, keys):
    """One step of the optimiser for each key."""

    def step(state, key):
        x, moments = state
        updates, moments = optimizer.update(jax.grad(objective)(x, key), moments)
        return (optax.apply_updates(x, updates), moments), None

    return jax.lax.scan(step, state, keys)[0]


def _difference(looks: Looks, planes, portrait: Portrait, grid, key):
    """Mean squared error of colour and coverage at random pixels of a portrait."""
    pixel_key, draw_key = jax.random.split(key)
    count = len(portrait.places)
    pick = jax.random.randint(pixel_key, (min(_RAYS, -(-count // 4)),), 0, count)
    rays = jax.tree.map(lambda x: x[portrait.places[pick]], front_rays(portrait.size))
    seen = looks.draw(planes, grid, rays, draw_key)
    colour = jnp.mean((over(seen, 1.0) - portrait.rgb[pick]) ** 2, axis=-1)
    coverage = (seen.alpha - portrait.alpha[pick]) ** 2
    return jnp.mean(portrait.weight[pick] * (colour + coverage))


def front_rays(size: int) -> Rays:
    """The rays ``[size^2]`` of the frontal view."""
    rays = cameras.image_rays(cameras.front(size), size, size)
    return jax.tree.map(lambda x: x.reshape(-1, 3), rays)
