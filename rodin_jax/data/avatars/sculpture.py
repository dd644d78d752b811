"""A sculpture: ellipsoids, tapered capsules and painted spots that make up one avatar.

Primitives belong to groups; inside a group they melt into each other, between groups they meet
in a crease. Every avatar is padded to the same counts, so one compiled program renders them all.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float

from rodin_jax.types import pytree

# Radius over which the primitives of a group melt together, in world units.
GROUPS = {
    "skin": 0.030,
    "hair": 0.012,
    "beard": 0.012,
    "cloth": 0.020,
    "eye": 0.005,
    "face": 0.006,
    "glasses": 0.005,
    "hat": 0.010,
}
_ELLIPSOIDS, _CAPSULES, _SPOTS = 24, 232, 24
_FAR = 9.0


@pytree
class Sculpture:
    """One avatar's solid parts, ready to be measured and shaded.

    Attributes:
      centre, radii, frame: ellipsoids; rows of ``frame`` are their axes.
      start, end, girth: capsules from start to end with radii ``girth`` there.
      colour: of the ellipsoids, then the capsules.
      member: one-hot group of each primitive.
      spot_centre, spot_radii, spot_colour, spot_target: soft ellipsoids of paint for one group;
        later spots cover earlier ones.
      floor: nothing exists below this height.
    """

    centre: Float[Array, "e 3"]
    radii: Float[Array, "e 3"]
    frame: Float[Array, "e 3 3"]
    start: Float[Array, "k 3"]
    end: Float[Array, "k 3"]
    girth: Float[Array, "k 2"]
    colour: Float[Array, "p 3"]
    member: Float[Array, "p g"]
    spot_centre: Float[Array, "m 3"]
    spot_radii: Float[Array, "m 3"]
    spot_colour: Float[Array, "m 3"]
    spot_target: Bool[Array, "m g"]
    floor: Float[Array, ""]


class Sculptor:
    """Collects primitives, then `finish` pads them into a `Sculpture`."""

    def __init__(self):
        self._ellipsoids, self._capsules, self._spots = [], [], []

    def ellipsoid(self, group, centre, radii, colour, *, pitch=0.0, roll=0.0):
        """An ellipsoid, turned by ``pitch`` degrees about x, then ``roll`` about y."""
        p, r = np.radians(pitch), np.radians(roll)
        about_x = np.array([[1, 0, 0], [0, np.cos(p), np.sin(p)], [0, -np.sin(p), np.cos(p)]])
        about_y = np.array([[np.cos(r), 0, -np.sin(r)], [0, 1, 0], [np.sin(r), 0, np.cos(r)]])
        self._ellipsoids.append((group, centre, radii, about_x @ about_y, colour))

    def capsule(self, group, start, end, girth, colour):
        """A rod from start to end; ``girth`` is its radius, or the radii at both ends."""
        girth = np.broadcast_to(np.asarray(girth, float), (2,))
        self._capsules.append((group, start, end, girth, colour))

    def sphere(self, group, centre, radius, colour):
        """A ball."""
        self.capsule(group, centre, centre, radius, colour)

    def polyline(self, group, points, girth, colour, *, closed=False):
        """Rods along ``points``, tapering when ``girth`` is a pair."""
        points = np.asarray(points, float)
        if closed:
            points = np.concatenate([points, points[:1]])
        along = np.linspace(0, 1, len(points))
        radii = np.interp(along, [0, 1], np.broadcast_to(np.asarray(girth, float), (2,)))
        for i in range(len(points) - 1):
            self.capsule(group, points[i], points[i + 1], radii[i : i + 2], colour)

    def spot(self, group, centre, radii, colour):
        """Paint on one group, where an ellipsoid covers its surface."""
        self._spots.append((group, centre, np.broadcast_to(radii, (3,)), colour))

    def finish(self, floor: float) -> Sculpture:
        """Pads to the fixed counts; raises ValueError when there are too many primitives."""
        names = list(GROUPS)
        far = (0.0, 0.0, _FAR)
        e = _pad(self._ellipsoids, _ELLIPSOIDS, ("skin", far, (0.1,) * 3, np.eye(3), (0,) * 3))
        k = _pad(self._capsules, _CAPSULES, ("skin", far, far, (0.1, 0.1), (0,) * 3))
        m = _pad(self._spots, _SPOTS, ("skin", far, (0.1,) * 3, (0,) * 3))

        def column(rows, i):
            return jnp.asarray([row[i] for row in rows], jnp.float32)

        def one_hot(rows):
            return jnp.asarray([[row[0] == name for name in names] for row in rows])

        return Sculpture(
            centre=column(e, 1), radii=column(e, 2), frame=column(e, 3),
            start=column(k, 1), end=column(k, 2), girth=column(k, 3),
            colour=jnp.concatenate([column(e, 4), column(k, 4)]),
            member=jnp.concatenate([one_hot(e), one_hot(k)]).astype(jnp.float32),
            spot_centre=column(m, 1), spot_radii=column(m, 2), spot_colour=column(m, 3),
            spot_target=one_hot(m), floor=jnp.float32(floor),
        )  # fmt: skip


def _pad(rows, count, filler):
    if len(rows) > count:
        raise ValueError(f"a sculpture holds at most {count} such primitives, got {len(rows)}")
    return rows + [filler] * (count - len(rows))
