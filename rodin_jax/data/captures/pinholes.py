"""Pinhole cameras in NumPy and double precision, in whatever units their poses have.

What `rodin_jax.cameras` says of `Camera` holds here too: OpenGL camera-to-world poses, focal
lengths and principal points (x, y) in pixels, image coordinates with y down.
"""

import numpy as np
from jaxtyping import Float

from rodin_jax.cameras import Camera

# Of the cube [-1, 1]^3; those at an edge's ends have numbers that differ in one bit.
CORNERS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
_NEAREST = 1e-6


def as_arrays(
    camera: Camera,
) -> tuple[Float[np.ndarray, "*b 4 4"], Float[np.ndarray, "*b 2"], Float[np.ndarray, "*b 2"]]:
    """Pose, focal and centre."""
    return tuple(np.asarray(x, np.float64) for x in (camera.pose, camera.focal, camera.centre))


def project(
    pose: Float[np.ndarray, "*b 4 4"],
    focal: Float[np.ndarray, "*b 2"],
    centre: Float[np.ndarray, "*b 2"],
    points: Float[np.ndarray, "p 3"],
) -> tuple[Float[np.ndarray, "*b p 2"], Float[np.ndarray, "*b p"]]:
    """Where each camera sees each point, and how far ahead of it (along -z) the point is.

    Places are image coordinates in pixels; nan for points that are not ahead.
    """
    local = (points - pose[..., None, :3, 3]) @ pose[..., :3, :3]
    depth = -local[..., 2]
    ahead = np.where(depth > _NEAREST, depth, np.nan)
    x, y = (  # one by one: NumPy is slow where the last axis is short
        local[..., k] / ahead * sign * focal[..., k, None] + centre[..., k, None]
        for k, sign in enumerate((1, -1))
    )
    return np.stack([x, y], axis=-1), depth


def rays(
    pose: Float[np.ndarray, "*b 4 4"],
    focal: Float[np.ndarray, "*b 2"],
    centre: Float[np.ndarray, "*b 2"],
    pixels: Float[np.ndarray, "p 2"],
) -> Float[np.ndarray, "*b p 3"]:
    """World directions through image coordinates, of length 1 along the camera's -z."""
    flat = (pixels - centre[..., None, :]) / focal[..., None, :] * [1, -1]
    local = np.concatenate([flat, -np.ones_like(flat[..., :1])], axis=-1)
    return np.einsum("...ij,...pj->...pi", pose[..., :3, :3], local)
