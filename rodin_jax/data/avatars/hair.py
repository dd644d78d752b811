"""Hair styles as locks: tapered strands of rods that follow the skull or fall from it.

Every lock has its own shade and its own little disorder, which is what makes hair out of a cap.
"""

import numpy as np

from rodin_jax.data.avatars.head import Head
from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import COVERING_HEADWEAR, AvatarSpec

_STREAKS = 0.13
_TIE = 0.55  # how dark ribbons and ties are, against the hair


class Barber:
    """Places the locks of one avatar."""

    def __init__(self, s: Sculptor, spec: AvatarSpec, head: Head, skin, colour, rng):
        self.s, self.head, self.skin, self.colour, self.rng = s, head, skin, colour, rng
        # Hair lies on a skull set a little back and up, which leaves the face free.
        self.centre = head.centre + (0, 0.05, 0.045)
        self.parting = 0.32 * spec.parting
        self.side = 1.0 if self.parting > 0 else -1.0
        self.covered = spec.headwear in COVERING_HEADWEAR

    def lock(self, points, girth, *, shade=1.0):
        """One lock along ``points``; ``girth`` as in `Sculptor.line`."""
        shade = shade * self.rng.uniform(0.80, 1.14)
        self.s.line("hair", points, girth, self.colour * shade, streaks=_STREAKS)

    def combed(self, first, last, lift, girth, *, count=5, shade=1.0):
        """A lock that lies on the skull from direction ``first`` to ``last``; ``lift`` lists its
        heights above the skull, as factors, from root to tip."""
        t = np.linspace(0, 1, count)[:, None]
        last = np.asarray(last, float) + 0.05 * self.rng.standard_normal(3)
        d = np.asarray(first, float) * (1 - t) + last * t
        d /= np.linalg.norm(d, axis=-1, keepdims=True)
        height = np.interp(t[:, 0], np.linspace(0, 1, len(lift)), lift)
        points = self.centre + self.head.radii * d * height[:, None]
        self.lock(points, girth, shade=shade)

    def cap(self, thickness, colour=None):
        """A shell that leaves the face free: the hairline, and what shows between the locks."""
        colour = 0.82 * self.colour if colour is None else colour
        shell = self.head.radii + thickness
        self.s.ellipsoid("hair", self.centre + (0, 0, 0.01), shell * (1, 1, 0.99), colour)
        nape = (shell[0] * 0.92, shell[1] * 0.72, 0.38)
        self.s.ellipsoid("hair", self.head.at(0, 0.36, -0.12), nape, colour)

    def scalp(self, count: int, line=(0.02, 0.58)) -> np.ndarray:
        """Unit directions spread evenly over the hairy part of the skull, from the top down.

        ``line``: where hair begins: its height at the ears, and how much lower it is behind them.
        """
        total = int(count / 0.62)
        k = np.arange(total) + 0.5
        z = 1 - 2 * k / total
        angle = np.pi * (1 + 5**0.5) * k + self.rng.uniform(0, 2 * np.pi)
        r = np.sqrt(1 - z * z)
        d = np.stack([r * np.cos(angle), r * np.sin(angle), z], -1)
        d = d[d[:, 2] > line[0] - line[1] * d[:, 1]]
        return d[d[:, 2] < 0.35] if self.covered else d

    def parted(self, bottom=0.30, count=14):
        """Hair combed from the parting down both sides as far as the ears."""
        x = self.parting
        for y in np.linspace(-0.60, 0.80, count):
            root = _over(x, y)
            for side in (-1, 1):
                # The first locks frame the face, the others fall behind them.
                end = np.array([side, 0.55 * y - 0.04, bottom - 0.30 * (y < -0.3) - 0.10 * y])
                self.combed(root, end, (1.03, 1.08, 1.06), (0.036, 0.046, 0.036))

    def backed(self, bottom=-0.50, count=21):
        """Hair that falls from the crown over the back of the head to the nape."""
        for a in np.linspace(-98, 98, count):
            x, y = np.sin(np.radians(a)), np.cos(np.radians(a))
            first = np.array([0.3 * x, 0.25 + 0.1 * y, 0.9])
            last = np.array([x, y + 0.12, bottom * (0.35 + 0.65 * max(y, 0.0))])
            self.combed(first, last, (1.03, 1.05, 1.02), (0.04, 0.05, 0.025))

    def falling(self, bottom, **curtain):
        """Hair parted above and falling as a `curtain`."""
        self.cap(0.035)
        if not self.covered:
            self.parted()
        self.curtain(bottom, **curtain)

    def curtain(self, bottom, *, count=27, waves=0.0, flare=1.06, curl=0.0, girth=0.060):
        """Locks that fall from the sides and the back of the head to height ``bottom``."""
        head, rng = self.head, self.rng
        segments = 9 if waves else 4
        for a in np.linspace(-114, 114, count):
            angle = np.radians(a + rng.uniform(-2, 2))
            x, y = np.sin(angle), np.cos(angle)
            top = head.at(0.94 * x, 0.13 + 0.96 * y, 0.46 + 0.10 * y)
            end = head.at(flare * x, 0.17 + 1.04 * y, 0.0)
            end[2] = bottom + 0.05 * rng.uniform(-1, 1)
            if bottom < -0.4 and y < 0.35:
                # Front locks rest on the chest instead of cutting through the shoulders.
                end[1] -= 0.12
                end[0] *= 0.90
            t = np.linspace(0, 1, segments + 1)
            points = top + (end - top) * t[:, None]
            points[:, 0] += x * abs(x) * 0.07 * np.sin(np.pi * t)
            points[:, :2] *= (1.0 - curl * np.clip(t - 0.6, 0, 1))[:, None]
            phase = 2 * np.pi * (2.0 * t + rng.uniform(0, 0.5))
            points[:, 0] += waves * np.sin(phase) * t
            points[:, 1] += waves * np.cos(phase) * t
            self.lock(points, (0.5 * girth, girth, girth * 1.1, girth, 0.5 * girth))

    def gathered(self, knot, count=36):
        """Hair drawn back from the whole hairline to ``knot``, a direction."""
        for a in np.linspace(-180, 180, count, endpoint=False) + 180 / count:
            x, y = np.sin(np.radians(a)), np.cos(np.radians(a))
            # The hairline: high over the forehead, low at the nape.
            edge = np.array([x, y, 0.10 + (-0.62 * y if y < 0 else -0.52 * y)])
            edge[2] -= 0.16 * abs(x) * (y < 0.3)
            self.combed(edge, knot, (1.01, 1.04, 1.06, 1.05), (0.036, 0.044, 0.030))


def _over(x: float, y: float) -> np.ndarray:
    """The direction to the upper half of the skull above (x, y)."""
    return np.array([x, y, np.sqrt(max(1.0 - x * x - y * y, 0.05))])


def grow(s: Sculptor, spec: AvatarSpec, head: Head, skin, colour, rng):
    """Adds the hair of ``spec``. A hat hides whatever stands up under it."""
    barber = Barber(s, spec, head, skin, colour, rng)
    _STYLES[spec.hair_style](barber)


def _bald(b: Barber):
    pass


def _buzz(b: Barber):
    b.cap(0.013, 0.72 * b.colour + 0.28 * b.skin)


def _short(b: Barber):
    b.cap(0.025)
    for d in b.scalp(120):
        # Brushed to the front and a little up, the fringe to one side.
        flow = np.array([0.22 + b.parting, -0.55, 0.10]) + 0.14 * b.rng.standard_normal(3)
        tip = d + 0.26 * (flow - d * (flow @ d))
        crown = max(d[2], 0.0)
        b.combed(d, tip, (1.03, 1.06 + 0.07 * crown), (0.058, 0.028), count=3)


def _side_part(b: Barber):
    b.cap(0.02)
    x = 0.50 * b.side
    b.backed()
    if b.covered:
        return
    for y in np.linspace(-0.66, 0.66, 22):
        root = _over(x, y)
        # A quiff over the forehead, swept to the other side and back.
        volume = 1.20 if y < -0.3 else 1.10
        across = np.array([-1.7 * x, 0.7 * y + 0.42, 0.42 - 0.15 * y])
        b.combed(root, across, (1.02, volume, 1.08, 1.02), (0.034, 0.048, 0.020), count=6)
        down = np.array([1.9 * x, 0.8 * y + 0.25, 0.20 - 0.2 * y])
        b.combed(root, down, (1.02, 1.04, 1.01), (0.030, 0.036, 0.015), count=4)


def _curly(b: Barber):
    b.cap(0.04)
    for d in b.scalp(92):
        # A ring of hair standing on the scalp at some angle.
        centre = b.centre + b.head.radii * d * 1.05 * b.rng.uniform(0.98, 1.04)
        aside = np.cross(d, b.rng.standard_normal(3))
        aside /= np.linalg.norm(aside)
        up = 0.7 * d + 0.5 * np.cross(d, aside)
        radius = 0.062 * b.rng.uniform(0.85, 1.2)
        angles = np.linspace(0, 1.6 * np.pi, 6)
        ring = centre + radius * (np.cos(angles)[:, None] * aside + np.sin(angles)[:, None] * up)
        b.lock(ring, (0.036, 0.030))


def _afro(b: Barber):
    size = 1.10 if b.covered else 1.31
    # Set back and up, so that it frames the face and does not swallow it.
    middle = b.centre + ((0, 0.02, 0.0) if b.covered else (0, 0.11, 0.12))
    radii = b.head.radii * (size * 1.02, size * (0.98 if b.covered else 0.92), size * 0.88)
    b.s.ellipsoid("hair", middle, radii * 0.96, 0.78 * b.colour)
    for d in b.scalp(270, (-0.35, 0.85)):
        shade = b.rng.uniform(0.76, 1.14)
        place = middle + radii * (d + 0.05 * b.rng.standard_normal(3))
        b.s.ball("hair", place, 0.060 * b.rng.uniform(0.8, 1.25), b.colour * shade)


def _bob(b: Barber):
    b.falling(-0.20, flare=1.10, curl=0.28, girth=0.068)


def _long(b: Barber):
    b.falling(-0.74, flare=1.06)


def _wavy(b: Barber):
    b.falling(-0.62, count=23, waves=0.078, flare=1.22, girth=0.062)


def _ponytail(b: Barber):
    b.cap(0.02)
    b.gathered((0, 0.86, 0.52))
    root = b.head.at(0, 1.06, 0.60)
    b.s.ball("hair", root, 0.085, _TIE * b.colour)
    # It swings out behind and comes to rest beside the neck, where the front sees it too.
    path = np.array([(0, 0, 0), (0.12, 0.12, 0.10), (0.27, 0.14, 0.07), (0.40, 0.10, -0.06),
                     (0.48, 0.03, -0.24), (0.51, -0.05, -0.44), (0.49, -0.12, -0.62),
                     (0.45, -0.17, -0.78)])  # fmt: skip
    for _ in range(12):
        loose = np.minimum(np.arange(len(path)), 3)[:, None] / 3
        tail = path * (b.side, 1, 1) + loose * 0.05 * b.rng.standard_normal(3)
        b.lock(root + tail, (0.045, 0.070, 0.060, 0.018))


def _bun(b: Barber):
    b.cap(0.02)
    b.gathered((0, 0.36, 0.94))
    if b.covered:
        return
    centre, size = b.head.at(0, 0.38, 1.24), 0.135
    b.s.ball("hair", centre, size, 0.85 * b.colour)
    for lap in range(9):
        tilt = np.pi * lap / 9
        angles = np.linspace(0, 2 * np.pi, 12)
        axis = np.array([np.cos(tilt), 0.35, np.sin(tilt)])
        axis /= np.linalg.norm(axis)
        u = np.cross(axis, (0.0, 1.0, 0.0))
        u /= np.linalg.norm(u)
        v = np.cross(axis, u)
        loop = centre + 1.02 * size * (np.cos(angles)[:, None] * u + np.sin(angles)[:, None] * v)
        b.lock(loop, 0.033)


def _mohawk(b: Barber):
    b.cap(0.008, 0.30 * b.colour + 0.70 * b.skin)
    if b.covered:
        return
    for a in np.linspace(-52, 120, 25):
        for x in (-0.05, 0.05):
            angle = np.radians(a + b.rng.uniform(-3, 3))
            d = np.array([0, np.sin(angle), np.cos(angle)])
            root = b.centre + b.head.radii * d * 0.95 + (x, 0, 0)
            height = (0.27 if a < 90 else 0.16) * b.rng.uniform(0.88, 1.1)
            tip = root + height * d + (-0.6 * x, 0.05, 0.0)
            b.lock([root, 0.5 * (root + tip) + (0.2 * x, 0, 0), tip], (0.066, 0.058, 0.026))


def _braids(b: Barber):
    b.cap(0.025)
    if not b.covered:
        b.parting *= 0.3
        b.parted(bottom=0.05)
    for z in np.linspace(0.75, -0.45, 8):
        for side in (-1, 1):
            first = np.array([0.04 * side, np.sqrt(1 - z * z), z])
            last = np.array([side * 1.0, 0.34, -0.30])
            b.combed(first, last, (1.04, 1.06, 1.05), (0.05, 0.056, 0.04))
    for side in (-1, 1):
        start = b.head.at(side * 1.0, 0.22, -0.34)
        end = np.array([side * 0.33, -0.26, -0.84])
        for k in range(9):
            middle = start + (end - start) * (k / 9) + (0, -0.05 * np.sin(np.pi * k / 9), 0)
            for turn in (-1, 1):
                # Two strands cross in every link of the braid.
                a = middle + (0.052 * turn, 0, 0.034)
                z = middle + (-0.016 * turn, -0.02, -0.05)
                b.lock([a, z], (0.052, 0.040) if k < 7 else (0.044, 0.034))
        b.s.ball("hair", end, 0.046, _TIE * b.colour)
        for _ in range(4):
            tip = end + (0.03 * b.rng.standard_normal(), -0.02, -0.12)
            b.lock([end, tip], (0.04, 0.012))


def _undercut(b: Barber):
    b.cap(0.010, 0.45 * b.colour + 0.55 * b.skin)
    if b.covered:
        return
    for y in np.linspace(-0.66, 0.62, 16):
        for x in (-0.38, -0.08, 0.22):
            root = _over(b.side * x, y)
            tip = np.array([b.side * (x + 0.46), y + 0.26, root[2] * 0.85])
            volume = 1.20 if y < 0 else 1.12
            b.combed(root, tip, (1.00, volume, 1.10), (0.040, 0.056, 0.018), count=4)


_STYLES = {
    "bald": _bald,
    "buzz": _buzz,
    "short": _short,
    "side part": _side_part,
    "curly": _curly,
    "afro": _afro,
    "bob": _bob,
    "long": _long,
    "wavy": _wavy,
    "ponytail": _ponytail,
    "bun": _bun,
    "mohawk": _mohawk,
    "braids": _braids,
    "undercut": _undercut,
}
