"""Solids of known surface, as densities of points, and colours that tell positions."""

import numpy as np

RADIUS, CENTRE = 0.6, np.array([0.1, -0.2, 0.15])
HALF = np.array([0.6, 0.4, 0.5])


def ball(points, centre=CENTRE, radius=RADIUS):
    """Density 10 on the sphere, e times more every 1/40 further in."""
    return 10.0 * np.exp(40.0 * (radius - np.linalg.norm(points - centre, axis=-1)))


def box(points):
    """Density 10 on the faces of the box of edges 2 `HALF`, e times more every 1/40 further in."""
    return 10.0 * np.exp(np.minimum(-40.0 * box_distance(points), 80.0))


def box_distance(points):
    """Signed distance to the box, negative inside."""
    q = np.abs(points) - HALF
    return np.linalg.norm(np.maximum(q, 0), axis=-1) + np.minimum(q.max(-1), 0)


def position_colour(points, directions):
    """A colour of its own for each point."""
    return (points + 1) / 2
