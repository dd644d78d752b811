"""Avatars made from nothing: attributes, shapes, pictures and sentences."""

from collections.abc import Callable

import jax
import numpy as np
from jaxtyping import Array, Float

from rodin_jax.cameras import FOV, RADIUS, Camera, front, orbit
from rodin_jax.data.avatars import distance, renderer
from rodin_jax.data.avatars.captions import captions, mention, visible
from rodin_jax.data.avatars.reading import parse
from rodin_jax.data.avatars.renderer import Layers
from rodin_jax.data.avatars.sculpture import PART_NAMES
from rodin_jax.data.avatars.shape import sculpt
from rodin_jax.data.avatars.spec import AvatarSpec, attributes, sample_spec

__all__ = [
    "PART_NAMES",
    "AvatarSpec",
    "Layers",
    "attributes",
    "captions",
    "front_camera",
    "mention",
    "parse",
    "render",
    "render_layers",
    "sample_spec",
    "sculpt",
    "signed_distance",
    "training_cameras",
    "visible",
]


def render(spec: AvatarSpec, camera: Camera, size: int) -> np.ndarray:
    """RGBA pictures ``[n, size, size, 4]`` uint8 of ``spec`` from n cameras."""
    return np.asarray(render_layers(spec, camera, size).rgba)


def render_layers(spec: AvatarSpec, camera: Camera, size: int) -> Layers:
    """Pictures, depth, normals and part labels of ``spec`` from n cameras."""
    return renderer.render_layers(sculpt(spec), camera, size)


def signed_distance(spec: AvatarSpec) -> Callable[[Float[Array, "n 3"]], Float[Array, "n"]]:
    """The distance to the surface of ``spec``, positive outside, as a function of world points.

    Exact near the surface up to the blending of its parts: the truth for checks of geometry.
    """
    sculpture = sculpt(spec)
    return lambda points: _solid(sculpture, points)


_solid = jax.jit(distance.solid)


def front_camera(size: int) -> Camera:
    """The exact frontal view, a batch of one."""
    return jax.tree.map(lambda x: x[None], front(size))


def training_cameras(seed: int, index: int, views: int, size: int) -> Camera:
    """``views`` cameras all round: even azimuths in random order, elevations -25 to 60 degrees,
    distance and focal length jittered by a few percent."""
    rng = np.random.default_rng([seed, index, 1])
    azimuth = 360.0 * (rng.permutation(views) + rng.random(views)) / views
    # Uniform in the sine of the elevation is uniform on the sphere.
    sine = rng.uniform(np.sin(np.radians(-25)), np.sin(np.radians(60)), views)
    return orbit(
        azimuth,
        np.degrees(np.arcsin(sine)),
        size,
        radius=RADIUS * rng.uniform(0.95, 1.08, views),
        fov=FOV * rng.uniform(0.96, 1.06, views),
    )
