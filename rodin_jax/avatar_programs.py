"""The programs behind an avatar, compiled once for each decoder and size.

A view is four numbers: azimuth and elevation in degrees, distance, angle of view in degrees.
"""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax import kept_programs, occupancy, specks
from rodin_jax.cameras import Camera, orbit
from rodin_jax.layers import render_layers
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.decoder import density as planes_density
from rodin_jax.nn.decoder import field as planes_field
from rodin_jax.nn.refiner import Refiner
from rodin_jax.types import Points, Rendering

_GRID = 128

Planes = Float[Array, "3 rows columns c"]
View = Float[Array, "4"]


def survey(decoder: Decoder, params, planes: Planes, whole: bool = False) -> occupancy.Occupancy:
    """Where there is anything; if it is known to be ``whole``, without `specks`."""
    values, within = _survey(decoder, params, planes)
    if whole:
        within &= jnp.asarray(specks.near_the_largest(np.asarray(values)))
    return occupancy.Occupancy(*_occupancy(values, within))


@kept_programs.jit({"decoder"})
def _survey(decoder, params, planes):
    solid = functools.partial(planes_density, decoder, params, planes)
    return occupancy.densities_closely(solid, _GRID)


@kept_programs.jit(set())
def _occupancy(values, within):
    grid = occupancy.occupancy_from(values, within)
    return grid.density, grid.box


@kept_programs.jit({"decoder", "size", "samples", "split"})
def render(
    decoder: Decoder,
    params,
    planes: Planes,
    grid: occupancy.Occupancy,
    view: View,
    size: int,
    samples: int,
    split: int = 1,
) -> Float[Array, "h w 4"]:
    """Straight-alpha RGBA in [0, 1], ``[size, size, 4]``."""
    picture = occupancy.render_view(
        planes_field(decoder, params, planes), grid, _camera(view, size), size, size,
        samples=samples, split=split,
    )  # fmt: skip
    return _straight(picture)


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def layers(
    decoder: Decoder,
    params,
    planes: Planes,
    grid: occupancy.Occupancy,
    view: View,
    size: int,
    samples: int,
) -> Float[Array, "h w 8"]:
    """What `render` gives, then depth and normals, ``[size, size, 8]``."""
    picture, depth, normals = render_layers(
        planes_field(decoder, params, planes),
        functools.partial(planes_density, decoder, params, planes),
        grid,
        _camera(view, size),
        size,
        size,
        step=1.0 / planes.shape[1],
        samples=samples,
    )
    return jnp.concatenate([_straight(picture), depth[..., None], normals], axis=-1)


@functools.partial(jax.jit, static_argnums=0)
def refine(
    refiner: Refiner, params, picture: Float[Array, "h w 3"] | Float[np.ndarray, "h w 3"]
) -> Float[Array, "h2 w2 3"]:
    """An opaque picture in [0, 1] at twice its size (paper 3.3); compiled for each size."""
    return jnp.clip(refiner.apply({"params": params}, picture[None])[0], 0.0, 1.0)


@functools.partial(jax.jit, static_argnums=0)
def density(decoder: Decoder, params, planes: Planes, points: Points) -> Float[Array, "*n"]:
    """Densities of points ``[n, 3]``."""
    return planes_density(decoder, params, planes, points)


@functools.partial(jax.jit, static_argnums=0)
def colour(
    decoder: Decoder, params, planes: Planes, points: Points, directions: Points
) -> Float[Array, "*n 3"]:
    """Colours of points ``[n, 3]`` seen along unit directions ``[n, 3]``."""
    return planes_field(decoder, params, planes)(points, directions)[1]


def _camera(view: View, size: int) -> Camera:
    return orbit(view[0], view[1], size, radius=view[2], fov=view[3])


def _straight(picture: Rendering) -> Float[Array, "h w 4"]:
    alpha = picture.alpha[..., None]
    rgb = picture.rgb / jnp.maximum(alpha, 1e-3)
    return jnp.clip(jnp.concatenate([rgb, alpha], axis=-1), 0.0, 1.0)
