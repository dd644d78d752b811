"""The pipeline's sampling: seeds to noise, noise and latents to planes, each one compiled function.

A start of diffusion is a weighted sum of the normal draws of seeds, written
``noise = ((seed, weight), ...)``, with squared weights that sum to one. One seed is the usual
case; interpolation mixes two.
"""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax import kept_programs
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.diffusion import process, samplers, schedules
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.eigenplanes import EigenPlanes, Inside
from rodin_jax.nn.phrasebook import Phrasebook
from rodin_jax.nn.text import SentenceLine, null_text

LATENT, BASE, UPSAMPLER, LOOK = range(4)  # what a seed's streams of random numbers are for

Noise = tuple[tuple[int, float], ...]


@dataclasses.dataclass(frozen=True)
class Diffuser:
    """A network with its process and sampler: hashable, so a static argument of `jax.jit`."""

    module: Any
    schedule: str
    timesteps: int
    prediction: str
    learned_variance: bool
    sampler: str
    steps: int
    trajectory: bool = False  # also give what x_0 was thought to be at each step

    def process(self) -> schedules.Schedule:
        """All timesteps that the network was trained with."""
        with jax.ensure_compile_time_eval():
            return schedules.make(self.schedule, self.timesteps)

    def __call__(self, denoise, x_T, key, clip=None):
        schedule = self.process()
        return samplers.SAMPLERS[self.sampler](
            denoise,
            x_T,
            schedule,
            key,
            steps=self.steps,
            prediction=self.prediction,
            learned_variance=self.learned_variance,
            clip=clip,
            trajectory=self.trajectory,
        )


def slerp(a: Float[Array, "1 d"], b: Float[Array, "1 d"], fraction: float) -> Float[Array, "1 d"]:
    """Along the great circle from ``a`` to ``b``, the length changing evenly."""
    length_a, length_b = jnp.linalg.norm(a), jnp.linalg.norm(b)
    cosine = jnp.sum(a * b) / jnp.maximum(length_a * length_b, 1e-12)
    angle = jnp.arccos(jnp.clip(cosine, -1.0, 1.0))
    near = jnp.sin(angle) < 1e-4  # the same or opposite directions: a straight line will do
    sine = jnp.where(near, 1.0, jnp.sin(angle))
    weight_a = jnp.where(near, 1 - fraction, jnp.sin((1 - fraction) * angle) / sine)
    weight_b = jnp.where(near, fraction, jnp.sin(fraction * angle) / sine)
    direction = weight_a * a / jnp.maximum(length_a, 1e-12)
    direction = direction + weight_b * b / jnp.maximum(length_b, 1e-12)
    return ((1 - fraction) * length_a + fraction * length_b) * direction


def mix(a: Noise, b: Noise, fraction: float) -> Noise:
    """Weights of the seeds' independent draws at ``fraction``; the sum keeps unit variance."""
    weights = dict.fromkeys(seed for seed, _ in (*a, *b))
    of_a, of_b = dict(a), dict(b)
    angle = fraction * math.pi / 2
    weights = {
        seed: math.cos(angle) * of_a.get(seed, 0.0) + math.sin(angle) * of_b.get(seed, 0.0)
        for seed in weights
    }
    norm = math.sqrt(sum(w * w for w in weights.values())) or 1.0
    return tuple((seed, w / norm) for seed, w in weights.items() if abs(w) > 1e-12)


def stream(seed: int, purpose: int):
    return jax.random.fold_in(jax.random.key(seed), purpose)


def draw(noise: Noise, purpose: int, shape: tuple[int, ...]) -> Float[Array, "1 *shape"]:
    """The weighted sum of the seeds' normal draws."""
    return sum(w * jax.random.normal(stream(seed, purpose), (1, *shape)) for seed, w in noise)


def path_key(noise: Noise, purpose: int):
    """For samplers that draw more noise on their way: that of the first seed."""
    return jax.random.fold_in(stream(noise[0][0], purpose), 1)


@jax.jit
def tame(z: Float[Array, "1 d"]) -> Float[Array, "1 d"]:
    """Pulls latents from beyond the training set's range back to its edge.

    A photograph is far from anything the networks have seen; left alone it breaks them.
    """
    z = jnp.clip(z, -3.5, 3.5)
    longest = 1.25 * math.sqrt(z.shape[-1])
    return z * jnp.minimum(1.0, longest / jnp.linalg.norm(z, axis=-1, keepdims=True))


@kept_programs.jit({"diffuser"})
def base_planes(
    diffuser,
    params,
    statistics: PlaneStatistics,
    z,
    noise,
    guidance,
    key,
    inside: Inside | None = None,
):
    """Normalised low planes; both branches of the guidance go through the network as one batch.

    With ``diffuser.trajectory`` also what they were thought to be at each step.
    """

    def network(x_t, t, z):
        output = diffuser.module.apply({"params": params}, x_t, t, z)
        if inside is None:
            return output
        return inside.speak(
            output, x_t, t, z, diffuser.process(),
            prediction=diffuser.prediction, learned_variance=diffuser.learned_variance,
        )  # fmt: skip

    null = jnp.zeros_like(z)
    denoise = process.guided(network, z, null, guidance, diffuser.learned_variance)
    return diffuser(denoise, noise, key, clip=statistics.bounds())


@kept_programs.jit()
def calm(eigenplanes: EigenPlanes, low, z, spread):
    """See `EigenPlanes.calm`."""
    return eigenplanes.calm(low, z, spread)


@kept_programs.jit({"diffuser"})
def full_planes(
    diffuser,
    params,
    statistics: PlaneStatistics,
    low,
    noise,
    key,
    eigenplanes: EigenPlanes | None = None,
):
    """Full planes in feature units, one for each of the low planes."""
    fine = eigenplanes and eigenplanes.fine(low)

    def denoise(x_t, t):
        return diffuser.module.apply({"params": params}, x_t, low, t, fine=fine)

    return statistics.denormalise(diffuser(denoise, noise, key, clip=statistics.bounds()))


@kept_programs.jit({"diffuser"})
def free_latent(diffuser, params, noise, key, spread=None):
    """Latents of nobody; with ``spread``, of coordinates of unit variance (`train.latent`)."""
    u = diffuser(lambda u_t, t: diffuser.module.apply({"params": params}, u_t, t), noise, key)
    return u if spread is None else u @ spread


@kept_programs.jit({"clip"})
def sentences(clip: Clip, params, tokens):
    """Features and embeddings, see `rodin_jax.nn.clip.encode_texts`, of a few sentences."""
    return clip.apply({"params": params}, tokens, method="encode_text")


@kept_programs.jit()
def said(book: Phrasebook, tokens):
    """Which phrases a sentence says."""
    return book.said(tokens)


@kept_programs.jit()
def retold(book: Phrasebook, z, asked, unasked):
    """See `Phrasebook.change`."""
    return book.change(z, asked, unasked)


@kept_programs.jit({"diffuser"})
def text_latents(
    diffuser,
    params,
    features,
    embedding,
    mask,
    noise,
    guidance,
    key,
    line: SentenceLine | None = None,
):
    """One latent of the same sentence for each row of the noise."""
    text = tuple(jnp.repeat(x, noise.shape[0], axis=0) for x in (features, embedding, mask))

    def say(seen, t, *text):
        return diffuser.module.apply({"params": params}, seen, t, *text)

    def network(z_t, t, text):
        if line is None:
            return say(z_t, t, *text)
        schedule = diffuser.process()
        z = line.denoise(say, z_t, t, text, schedule)
        eps = process.predict_eps(schedule, z, z_t, t)
        return process.target(schedule, z, eps, t, diffuser.prediction)

    denoise = process.guided(network, text, null_text(*text), guidance, diffuser.learned_variance)
    return diffuser(denoise, noise, key)
