"""Pinhole cameras and the rays through their pixels.

World: right-handed, z up, subject inside the cube [-1, 1]^3 facing -y. A pose is an OpenGL
camera-to-world matrix (x right, y up, looking along -z), as in ``transforms.json``. Pixel
(row i, column j) has its centre at image coordinates (j + 0.5, i + 0.5), y down.
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax.types import Rays, pytree

# Of the camera that portraits are taken with: distance to the subject, angle of view in degrees.
RADIUS, FOV = 3.0, 40.0


@pytree
class Camera:
    """A batch of pinhole cameras.

    Attributes:
      pose: camera-to-world matrices.
      focal: focal lengths (x, y) in pixels.
      centre: principal points (x, y) in pixels.
    """

    pose: Float[Array, "*b 4 4"]
    focal: Float[Array, "*b 2"]
    centre: Float[Array, "*b 2"]


def look_at(
    eye: Float[Array, "*b 3"], target: Float[Array, "*b 3"], up=(0.0, 0.0, 1.0)
) -> Float[Array, "*b 4 4"]:
    """Camera-to-world pose at ``eye`` looking at ``target``; ``up`` must not be parallel to it."""
    back = _unit(eye - target)
    right = _unit(jnp.cross(jnp.broadcast_to(jnp.asarray(up, eye.dtype), back.shape), back))
    rotation = jnp.stack([right, jnp.cross(back, right), back, eye], axis=-1)
    bottom = jnp.broadcast_to(jnp.array([0.0, 0.0, 0.0, 1.0], eye.dtype), (*eye.shape[:-1], 1, 4))
    return jnp.concatenate([rotation, bottom], axis=-2)


def orbit(azimuth, elevation, size: int, *, radius=3.0, fov=42.0, target=(0.0, 0.0, 0.0)) -> Camera:
    """Cameras on a sphere around ``target``.

    Args:
      azimuth: degrees; 0 sees the face from -y, 90 stands at +x (the subject's left).
      elevation: degrees above the horizon.
      size: pixels along each edge of the square picture.
      radius: distance to ``target`` in world units.
      fov: full angle of view along an edge, degrees.
      target: the point looked at.
    """
    azimuth, elevation, radius, fov = jnp.broadcast_arrays(
        *(jnp.asarray(x, jnp.float32) for x in (azimuth, elevation, radius, fov))
    )
    a, e = jnp.radians(azimuth), jnp.radians(elevation)
    offset = jnp.stack([jnp.sin(a) * jnp.cos(e), -jnp.cos(a) * jnp.cos(e), jnp.sin(e)], axis=-1)
    target = jnp.broadcast_to(jnp.asarray(target, jnp.float32), offset.shape)
    focal = size / 2 / jnp.tan(jnp.radians(fov) / 2)
    return Camera(
        pose=look_at(target + radius[..., None] * offset, target),
        focal=jnp.stack([focal, focal], axis=-1),
        centre=jnp.full((*azimuth.shape, 2), size / 2, jnp.float32),
    )


def front(size: int) -> Camera:
    """The exact frontal view: of portraits, and of pictures that people send."""
    return orbit(0.0, 0.0, size, radius=RADIUS, fov=FOV)


def pixel_rays(camera: Camera, pixels: Float[Array, "*n 2"]) -> Rays:
    """Rays through image coordinates ``pixels`` (x, y); ``camera`` batch dims broadcast with n."""
    x, y = jnp.moveaxis((pixels - camera.centre) / camera.focal, -1, 0)
    local = jnp.stack([x, -y, -jnp.ones_like(x)], axis=-1)
    directions = _unit(jnp.einsum("...ij,...j->...i", camera.pose[..., :3, :3], local))
    return Rays(jnp.broadcast_to(camera.pose[..., :3, 3], directions.shape), directions)


def image_rays(camera: Camera, height: int, width: int) -> Rays:
    """Rays through every pixel centre, shape ``[*b, height, width, 3]``."""
    y, x = jnp.meshgrid(jnp.arange(height) + 0.5, jnp.arange(width) + 0.5, indexing="ij")
    expanded = Camera(
        camera.pose[..., None, None, :, :],
        camera.focal[..., None, None, :],
        camera.centre[..., None, None, :],
    )
    return pixel_rays(expanded, jnp.stack([x, y], axis=-1).astype(jnp.float32))


def project(camera: Camera, points: Float[Array, "*n 3"]) -> Float[Array, "*n 2"]:
    """Image coordinates (x, y) of world points; points behind the camera give meaningless values.

    ``camera`` batch dims broadcast with n.
    """
    offset = points - camera.pose[..., :3, 3]
    local = jnp.einsum("...ji,...j->...i", camera.pose[..., :3, :3], offset)
    flat = local[..., :2] / -local[..., 2:] * jnp.array([1.0, -1.0])
    return flat * camera.focal + camera.centre


def _unit(vector):
    return vector / jnp.linalg.norm(vector, axis=-1, keepdims=True)
