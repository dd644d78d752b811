"""A sculpture: ellipsoids, tapered rods, painted spots and lenses that make up one avatar.

Primitives belong to parts; inside a part they melt into each other, between parts they meet in a
crease. Every avatar is padded to the same counts, so one compiled program renders them all.
"""

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from rodin_jax.data.avatars.spec import PATTERN
from rodin_jax.types import pytree

# Part: radius over which its primitives melt together (world units), shininess, and how strongly
# light wraps around it (skin and hair let light through).
PARTS = {
    "skin": (0.022, 0.07, 0.40),
    "hair": (0.006, 0.12, 0.30),
    "beard": (0.006, 0.05, 0.30),
    "brow": (0.004, 0.00, 0.30),
    "eye": (0.004, 0.55, 0.25),
    "lid": (0.004, 0.05, 0.35),
    "mouth": (0.006, 0.15, 0.30),
    "cloth": (0.020, 0.02, 0.20),
    "leather": (0.020, 0.45, 0.15),
    "trim": (0.008, 0.04, 0.20),
    "glasses": (0.004, 0.40, 0.15),
    "hat": (0.010, 0.03, 0.20),
    "jewel": (0.002, 0.80, 0.15),
}
MELT = np.array([melt for melt, _, _ in PARTS.values()], np.float32)
SHINE = np.array([shine for _, shine, _ in PARTS.values()], np.float32)
WRAP = np.array([wrap for _, _, wrap in PARTS.values()], np.float32)
PART_NAMES = tuple(PARTS)

_ELLIPSOIDS, _RODS, _SPOTS, _LENSES = 32, 768, 40, 2
_FAR = 9.0


@pytree
class Sculpture:
    """One avatar's solid parts, ready to be measured and shaded.

    Attributes:
      ellipsoid: rows centre 3, inverse shape 9 (rows of axis / radius), radii 3, colour 3.
      ellipsoid_part: the part each belongs to, an index into `PART_NAMES`.
      rod: rows start 3, axis 3 (to the end), 1 / (axis . axis), radius at the start, growth of the
        radius towards the end, colour 3, streaks (how much its colour varies in strands).
      rod_part: as for the ellipsoids.
      spot: rows centre 3, radii 3, colour 3: soft ellipsoids of paint; later ones cover earlier.
      spot_part: which parts each spot may paint.
      pattern: one-hot over `spec.PATTERN`, worn by the parts cloth.
      pattern_colour: of its stripes or dots.
      lens: rows centre 3, half sizes 2, roundness (exponent of a superellipse), opacity: flat
        panes facing -y.
      floor: nothing exists below this height.
    """

    ellipsoid: Float[Array, "e 18"]
    ellipsoid_part: Int[Array, "e"]
    rod: Float[Array, "k 13"]
    rod_part: Int[Array, "k"]
    spot: Float[Array, "m 9"]
    spot_part: Bool[Array, "m g"]
    pattern: Float[Array, "3"]
    pattern_colour: Float[Array, "3"]
    lens: Float[Array, "l 7"]
    floor: Float[Array, ""]


class Sculptor:
    """Collects primitives, then `finish` pads them into a `Sculpture`."""

    def __init__(self):
        self._ellipsoids, self._rods, self._spots, self._lenses = [], [], [], []
        self._pattern = ("plain", (0.0, 0.0, 0.0))

    def ellipsoid(self, part, centre, radii, colour, *, pitch=0.0, roll=0.0, yaw=0.0):
        """An ellipsoid, turned by degrees: ``pitch`` about x, then ``roll`` y, then ``yaw`` z."""
        axes = _turn(0, pitch) @ _turn(1, roll) @ _turn(2, yaw)
        radii = np.broadcast_to(np.asarray(radii, float), (3,))
        row = [*centre, *(axes / radii[:, None]).ravel(), *radii, *np.clip(colour, 0, 1)]
        self._ellipsoids.append((part, row))

    def rod(self, part, start, end, girth, colour, *, streaks=0.0):
        """A rod from start to end; ``girth`` is its radius, or the radii at both ends."""
        girth = np.broadcast_to(np.asarray(girth, float), (2,))
        start = np.asarray(start, float)
        axis = np.asarray(end, float) - start
        shape = [1 / (axis @ axis + 1e-9), girth[0], girth[1] - girth[0]]
        self._rods.append((part, [*start, *axis, *shape, *np.clip(colour, 0, 1), streaks]))

    def ball(self, part, centre, radius, colour):
        """A ball."""
        self.rod(part, centre, centre, radius, colour)

    def line(self, part, points, girth, colour, *, closed=False, streaks=0.0):
        """Rods along ``points``; their radius follows ``girth``: one number, or several spread
        evenly from the first point to the last."""
        points = np.asarray(points, float)
        if closed:
            points = np.concatenate([points, points[:1]])
        knots = np.atleast_1d(np.asarray(girth, float))
        radii = np.interp(np.linspace(0, 1, len(points)), np.linspace(0, 1, len(knots)), knots)
        for i in range(len(points) - 1):
            self.rod(part, points[i], points[i + 1], radii[i : i + 2], colour, streaks=streaks)

    def spot(self, parts, centre, radii, colour):
        """Paint on one part, or several, where an ellipsoid covers its surface."""
        parts = (parts,) if isinstance(parts, str) else parts
        row = [*centre, *np.broadcast_to(radii, (3,)), *np.clip(colour, 0, 1)]
        self._spots.append((parts, row))

    def lens(self, centre, half_width, half_height, roundness, opacity):
        """A pane of glass that faces -y; it tints what lies behind it."""
        self._lenses.append([*centre, half_width, half_height, roundness, opacity])

    def wear(self, pattern: str, colour):
        """The pattern of everything that is cloth."""
        self._pattern = (pattern, colour)

    def finish(self, floor: float) -> Sculpture:
        """Pads to the fixed counts; raises ValueError when there are too many primitives."""
        away = [0.0, 0.0, _FAR]
        ball = [*away, *(np.eye(3) * 10).ravel(), 0.1, 0.1, 0.1, 0.0, 0.0, 0.0]
        rod = [*away, 0.0, 0.0, 0.0, 1e9, 0.1, 0.0, 0.0, 0.0, 0.0, 0.0]
        ellipsoids = _pad("ellipsoids", self._ellipsoids, _ELLIPSOIDS, ("skin", ball))
        rods = _pad("rods", self._rods, _RODS, ("skin", rod))
        spots = _pad("spots", self._spots, _SPOTS, ((), [*away, 0.1, 0.1, 0.1, 0.0, 0.0, 0.0]))
        lenses = _pad("lenses", self._lenses, _LENSES, [*away, 0.1, 0.1, 2.0, 0.0])
        pattern, pattern_colour = self._pattern
        return Sculpture(
            ellipsoid=jnp.asarray([row for _, row in ellipsoids], jnp.float32),
            ellipsoid_part=jnp.asarray([PART_NAMES.index(part) for part, _ in ellipsoids]),
            rod=jnp.asarray([row for _, row in rods], jnp.float32),
            rod_part=jnp.asarray([PART_NAMES.index(part) for part, _ in rods]),
            spot=jnp.asarray([row for _, row in spots], jnp.float32),
            spot_part=jnp.asarray([[name in parts for name in PART_NAMES] for parts, _ in spots]),
            pattern=jnp.asarray([pattern == name for name in PATTERN], jnp.float32),
            pattern_colour=jnp.asarray(np.clip(pattern_colour, 0, 1), jnp.float32),
            lens=jnp.asarray(lenses, jnp.float32),
            floor=jnp.float32(floor),
        )


def _turn(axis: int, degrees: float) -> np.ndarray:
    c, s = np.cos(np.radians(degrees)), np.sin(np.radians(degrees))
    i, j = (axis + 1) % 3, (axis + 2) % 3
    turn = np.eye(3)
    turn[i, i], turn[i, j], turn[j, i], turn[j, j] = c, s, -s, c
    return turn


def _pad(what, rows, count, filler):
    if len(rows) > count:
        raise ValueError(f"a sculpture holds at most {count} {what}, got {len(rows)}")
    return rows + [filler] * (count - len(rows))
