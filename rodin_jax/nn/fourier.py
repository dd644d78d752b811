"""Fourier features of plane features (supplement, figure 2), cheap enough for every sample."""

import math

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# sin(pi r) = sum over k of these times r^(2k + 1): 6e-8 from the truth for |r| <= 1/2.
_SINE = [(-1) ** k * math.pi ** (2 * k + 1) / math.factorial(2 * k + 1) for k in range(6)]


def fourier(features: Float[Array, "*n c"], octaves: int) -> Float[Array, "*n d"]:
    """xi(y): the feature itself and sin, cos of pi 2^k y for k < octaves (d = c + 2 c octaves)."""
    waves = [wave for k in range(octaves) for wave in sincospi(features * 2.0**k)]
    return jnp.concatenate([features, *waves], axis=-1)


@jax.custom_jvp
def sincospi(x: Float[Array, "*n"]) -> tuple[Float[Array, "*n"], Float[Array, "*n"]]:
    """sin(pi x) and cos(pi x), float32.

    A multiple of pi is reduced exactly and without branches, so this runs as wide as the machine
    is; on a CPU, `jnp.sin` and `jnp.cos` take twenty times as long, more than the decoder itself.
    """
    return _sinpi(x), _sinpi(x + 0.5)


@sincospi.defjvp
def _(primals, tangents):
    (x,), (dx,) = primals, tangents
    sin, cos = sincospi(x)
    return (sin, cos), (math.pi * cos * dx, -math.pi * sin * dx)


def _sinpi(x):
    whole = jnp.round(x)
    odd = jnp.abs(whole - 2 * jnp.round(whole / 2))
    r = x - whole
    series = jnp.full_like(r, _SINE[-1])
    for coefficient in reversed(_SINE[:-1]):
        series = series * (r * r) + coefficient
    return (1 - 2 * odd) * r * series
