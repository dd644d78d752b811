"""Fitting tri-planes to pictures: the losses and steps of paper 3.1 and supplement B.2.

The functions here see one `Scene` at a time; callers `jax.vmap` them over subjects.
"""

import dataclasses
import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
from jaxtyping import Array, Bool, Float

from rodin_jax import backdrop, triplanes
from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import (
    Occupancy,
    occupancy_of,
    render_guided,
    survey,
    survey_closely,
)
from rodin_jax.packing import composite_packed, distortion_packed, pack_samples
from rodin_jax.rendering import distortion, over
from rodin_jax.train.completion import Completion
from rodin_jax.train.scene import Scene, draw_rays
from rodin_jax.types import pytree, static


@pytree
class FitOptions:
    """Numbers of a fit. Weights multiply terms that are means over rays or points.

    Attributes:
      rays: a step.
      edges: share of them where pictures change sharply, see `scene.draw_rays`; 0 draws all alike.
      split: rays along each side of these pixels. What is fitted so is to be drawn so, everywhere.
      samples: field evaluations a ray; with a `Stride`, on average at most.
      empty_points: random points a step for the sparsity and smoothness terms; 0: without them.
      alpha: weight of the squared error of coverage.
      sparsity: weight of the density where matter may be; elsewhere it is 1, for it is certain.
      smoothness: weight of the change of density over ``reach`` world units.
      distortion: weight of the mip-NeRF 360 term.
      variation: weight of the squared differences of neighbouring texels.
      decay: weight of the squared features.
      lowest: smallest resolution of the random rescaling; the planes' own switches it off.
      grid: cells along each edge of the occupancy.
    """

    rays: int = static(default=512)
    edges: float = static(default=0.0)
    split: int = static(default=1)
    samples: int = static(default=12)
    empty_points: int = static(default=512)
    alpha: float = static(default=0.5)
    sparsity: float = static(default=2e-4)
    smoothness: float = static(default=1e-4)
    distortion: float = static(default=1e-3)
    variation: float = static(default=0.3)
    decay: float = static(default=1e-4)
    reach: float = static(default=0.02)
    lowest: int = static(default=16)
    grid: int = static(default=48)


@dataclasses.dataclass(frozen=True)
class Stride:
    """How packed samples follow each other along rays, see `packing.pack_samples`.

    Attributes:
      step: distance between them, in world units.
      steps: most that a ray may take through the scene's box.
    """

    step: float
    steps: int


def rescaling(size: int, lowest: int, choices: int = 4) -> Float[np.ndarray, "k size size"] | None:
    """Matrices that shrink an axis of ``size`` texels to each of some resolutions and back.

    None if no resolution is lower.
    """
    if lowest >= size:
        return None
    sizes = np.unique(np.linspace(lowest, size, choices, endpoint=False).astype(int))
    resize = triplanes.resize_matrix
    return np.stack([resize(int(small), size) @ resize(size, int(small)) for small in sizes])


def rescale(
    planes: Float[Array, "3 h w c"],
    matrices: Float[Array, "k h h"] | Float[np.ndarray, "k h h"] | None,
    key: Array,
    turn: Bool[Array, ""] | None = None,
) -> Float[Array, "3 h w c"]:
    """Random rescaling (suppl. B.2): half the time, one matrix for rows and columns.

    Args:
      planes: at full resolution.
      matrices: of `rescaling`; None leaves the planes alone.
      key: consumed.
      turn: whether to rescale now; drawn by default. Where it is the same for all scenes of a
        `jax.vmap`, steps at full resolution do not pay for the others.
    """
    if matrices is None:
        return planes
    coin_key, key = jax.random.split(key)
    matrix = jnp.asarray(matrices)[jax.random.randint(key, (), 0, matrices.shape[0])]

    def rescaled(planes):
        rows = jnp.einsum("ij,pjwc->piwc", matrix, planes)
        return jnp.einsum("ij,phjc->phic", matrix, rows)

    turn = jax.random.bernoulli(coin_key) if turn is None else turn
    return jax.lax.cond(turn, rescaled, lambda planes: planes, planes)


def loss(
    planes: Float[Array, "3 h w c"],
    params,
    scene: Scene,
    key: Array,
    *,
    decoder: decoders.Decoder,
    options: FitOptions,
    matrices: Float[Array, "k h h"] | Float[np.ndarray, "k h h"] | None,
    behind: Float[Array, "r t 3"] | None = None,
    stride: Stride | None = None,
    turn: Bool[Array, ""] | None = None,
    origin: Float[Array, "3 h w c"] | float = 0.0,
):
    """MSE + sparse + smooth + compact terms for one subject; returns (loss, MSE).

    Variation and decay are those of the way from ``origin``.

    Pictures are compared over white or, if they have no silhouettes, over the backdrop ``behind``.
    With a ``stride`` the rays share their samples: each has as many as its visible part is long.
    Whose ``turn`` it is to be rescaled: see `rescale`.
    """
    keys = jax.random.split(key, 5)
    scaled = rescale(planes, matrices, keys[0], turn)
    field = decoders.field(decoder, params, scaled)
    drawn = draw_rays(scene, options.rays, keys[1], options.edges, options.split)
    picture, compact, whole = _seen(field, scene.occupancy, drawn.rays, keys[2], options, stride)
    alpha = drawn.colour[:, 3]
    background = jnp.ones_like(picture.rgb)
    if behind is not None:
        background = backdrop.look(behind, drawn.rays.directions)
    truth = drawn.colour[:, :3] * alpha[:, None]
    truth += drawn.per_pixel(background) * (1 - alpha[:, None])
    # A pixel counts if all of its rays have all of their samples.
    counted = drawn.weight * (drawn.per_pixel(whole) == 1)
    share = counted / jnp.maximum(counted.sum(), 1)
    mse = ((drawn.per_pixel(over(picture, background)) - truth) ** 2).mean(-1) @ share
    coverage = (drawn.per_pixel(picture.alpha) - alpha) ** 2 @ share
    way = planes - origin
    total = (
        mse
        + options.alpha * coverage
        + options.variation * sum(jnp.mean(jnp.diff(way, axis=axis) ** 2) for axis in (-3, -2))
        + options.decay * jnp.mean(way**2)
    )
    if options.distortion:
        total += options.distortion * (drawn.per_pixel(compact()) @ share)
    if options.empty_points:
        total += _empty_space(field, scene.occupancy, *keys[3:], options)
    return total, mse


def _seen(field, occupancy, rays, key, options, stride):
    """What rays see, a function for their distortion, and 1 for those that count."""
    if stride is None:
        picture, weights, t, delta = render_guided(
            field, occupancy, rays, samples=options.samples, key=key
        )
        return picture, lambda: distortion(weights, t, delta), jnp.ones(options.rays)
    packed = pack_samples(
        occupancy, rays, step=stride.step, steps=stride.steps,
        size=options.rays * options.samples, key=key,
    )  # fmt: skip
    directions = rays.directions[packed.ray]
    density, rgb = field(rays.origins[packed.ray] + packed.t[:, None] * directions, directions)
    picture, weights = composite_packed(density, rgb, packed)
    compact = functools.partial(distortion_packed, weights, packed)
    return picture, compact, packed.whole.astype(jnp.float32)


def _empty_space(field, occupancy, points_key, moved_key, options):
    """Sparsity and smoothness of the density at random points."""
    points = jax.random.uniform(points_key, (options.empty_points, 3), minval=-1, maxval=1)
    moved = points + options.reach * jax.random.normal(moved_key, points.shape)
    both = jnp.concatenate([points, moved]) if options.smoothness else points
    density, *nearby = jnp.split(field(both, jnp.zeros_like(both))[0], len(both) // len(points))
    r = occupancy.density.shape[0]
    cell = jnp.clip(((points + 1) * (r / 2)).astype(jnp.int32), 0, r - 1)
    possible = occupancy.density[cell[:, 0], cell[:, 1], cell[:, 2]] >= 0
    # Outside, a bounded penalty: a few large densities must not drown the picture.
    sparse = jnp.mean(jnp.where(possible, options.sparsity * density, 0.02 * jnp.tanh(density)))
    smooth = jnp.mean(jnp.abs(density - nearby[0])) if nearby else 0.0
    return sparse + options.smoothness * smooth


FINAL = 0.05  # of a learning rate, at the end of a fit


def plane_optimizer(steps: int, rate: float = 3e-2, final: float = FINAL):
    """Adam for features, its rate falling geometrically to ``final`` of the start.

    Its epsilon is a hundred times the usual one: features that no picture shows have gradients
    about that small, and Adam would else let them wander as fast as all others.
    """
    schedule = optax.exponential_decay(rate, steps, final)
    return optax.adam(schedule, b1=0.9, b2=0.99, eps=1e-6)


def look_again(planes, params, occupancy: Occupancy, *, decoder, grid: int) -> Occupancy:
    """Re-surveys where matter is, never outside of what ``occupancy`` allowed."""
    return survey(
        lambda p: decoders.density(decoder, params, planes, p), grid, within=occupancy.occupied
    )


def look_closely(planes, params, *, decoder, grid: int) -> Occupancy:
    """Surveys where planes have matter in all of the cube, whatever the hull allows."""
    return survey_closely(functools.partial(decoders.density, decoder, params, planes), grid)


def fit_planes(
    planes: Float[Array, "3 h w c"],
    params,
    scene: Scene,
    key: Array,
    *,
    decoder: decoders.Decoder,
    options: FitOptions,
    steps: int,
    rate: float = 3e-2,
    complete: Completion | None = None,
    fine_rate: float = 1.5e-2,
):
    """Fits one subject with a frozen decoder, coarse to fine.

    The planes are fitted at a quarter, at half and at all of their resolution. Coarse texels are
    met by many rays and settle quickly; finer ones then only add detail. Before each part but
    the first the occupancy is surveyed again, so that samples gather at the surface. Where
    ``complete`` knows other subjects, it takes the place of the part at half resolution.

    Args:
      planes: where to start, e.g. the mean of other subjects.
      params: the decoder's parameters.
      scene: the subject.
      key: consumed.
      decoder: the network.
      options: weights and sizes.
      steps: in all; a quarter of them at each coarser resolution.
      rate: initial learning rate.
      complete: guesses fine planes from coarse ones.
      fine_rate: initial learning rate of what it has guessed.

    Returns:
      The fitted planes and the mean MSE of the last quarter of the steps.
    """
    size = planes.shape[-2]
    occupancy = scene.occupancy
    coarse = (size // 4, steps // 4, rate)
    if complete is None:
        parts = [coarse, (size // 2, steps // 4, rate), (size, steps // 2, rate)]
    else:
        parts = [coarse, (size, steps - steps // 4, fine_rate)]
    for resolution, count, start in parts:
        if complete is not None and resolution == size:
            planes = complete(planes)
        planes = triplanes.resize(planes, resolution)
        here = dataclasses.replace(scene, occupancy=occupancy)
        key, part_key = jax.random.split(key)
        planes, errors = descend(
            planes, params, here, part_key, decoder=decoder, options=options, steps=count,
            rate=start,
        )  # fmt: skip
        if resolution < size:
            occupancy = look_again(
                planes, params, scene.occupancy, decoder=decoder, grid=options.grid
            )
    return planes, errors[-(steps // 4) :].mean()


def descend(
    planes: Float[Array, "3 h w c"],
    params,
    scene: Scene,
    key: Array,
    *,
    decoder: decoders.Decoder,
    options: FitOptions,
    steps: int,
    rate: float,
    final: float = FINAL,
    origin: Float[Array, "3 h w c"] | float = 0.0,
):
    """Takes ``steps`` of `plane_optimizer` down `loss`; the planes, and each step's MSE."""
    matrices = rescaling(planes.shape[-2], options.lowest)
    optimizer = plane_optimizer(steps, rate, final)
    gradient = jax.value_and_grad(loss, has_aux=True)

    def step(state, now):
        (planes, moments), (key, turn) = state, now
        (_, mse), grads = gradient(
            planes, params, scene, key, decoder=decoder, options=options, matrices=matrices,
            turn=turn, origin=origin,
        )  # fmt: skip
        updates, moments = optimizer.update(grads, moments)
        return (optax.apply_updates(planes, updates), moments), mse

    start = (planes, optimizer.init(planes))
    every = (jax.random.split(key, steps), jnp.arange(steps) % 2 == 1)
    (planes, _), errors = jax.lax.scan(step, start, every)
    return planes, errors


def initial_planes(key: Array, size: int, channels: int) -> Float[Array, "3 h w c"]:
    """Random features (suppl. B.2); the key is consumed."""
    return 0.1 * jax.random.normal(key, (3, size, size, channels))


def whole_cube(grid: int) -> Occupancy:
    """The occupancy of a scene about which nothing is known."""
    return occupancy_of(jnp.ones((grid,) * 3, bool))
