"""Hair styles as clumps, tufts and strands on a skull."""

import dataclasses

import numpy as np

from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import AvatarSpec


@dataclasses.dataclass(frozen=True)
class Head:
    """The skull's ellipsoid, in which features are placed by fractions of its radii."""

    centre: np.ndarray
    radii: np.ndarray

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """The point at fractions (x, y, z) of the radii from the centre."""
        return self.centre + self.radii * (x, y, z)

    def on_face(self, x: float, z: float) -> np.ndarray:
        """The point of the face at fractions x to the subject's left and z up.

        The face is flatter than the skull and its lower half follows the chin.
        """
        y = -np.sqrt(max(1.0 - 0.9 * x * x - 0.55 * z * z, 0.05))
        return self.centre + (self.radii[0] * x, self.radii[1] * y, self.radii[2] * z)


def grow(s: Sculptor, spec: AvatarSpec, head: Head, colour, rng):
    """Adds the hair of ``spec``. A hat presses flat whatever stands under it."""
    style = spec.hair_style
    covered = spec.headwear in ("cap", "beanie", "hat")
    if style == "bald":
        return
    if style == "mohawk":
        if not covered:
            _mohawk(s, head, colour, rng)
        return
    thickness = {"buzz": 0.015, "short": 0.045, "curly": 0.05, "afro": 0.06}.get(style, 0.04)
    _cap(s, head, thickness, colour)
    if style in ("bob", "long", "wavy", "ponytail", "bun") and not covered:
        _fringe(s, head, colour, rng)
    if style == "short" and not covered:
        _tufts(s, head, colour, rng)
    elif style == "curly":
        _curls(s, head, colour, rng, size=0.085, count=72, lift=1.04, covered=covered)
    elif style == "afro":
        _curls(s, head, colour, rng, size=0.16, count=64, lift=1.28, covered=covered)
    elif style == "bob":
        _curtain(s, head, colour, rng, bottom=-0.22, waves=0.0, flare=1.06)
    elif style == "long":
        _curtain(s, head, colour, rng, bottom=-0.72, waves=0.0, flare=1.05)
    elif style == "wavy":
        _curtain(s, head, colour, rng, bottom=-0.66, waves=0.045, flare=1.12)
    elif style == "ponytail":
        root = head.at(0, 1.12, 0.45)
        tail = [root + (0, 0.10 * k - 0.012 * k * k, 0.06 - 0.13 * k + 0.01 * k) for k in range(6)]
        s.sphere("hair", root, 0.10, colour * 0.75)
        s.polyline("hair", tail, (0.14, 0.05), colour)
    elif style == "bun" and not covered:
        s.sphere("hair", head.at(0, 0.45, 1.18), 0.19, colour)
        s.polyline("hair", [head.at(-0.3, 0.4, 1.0), head.at(0, 0.2, 1.06), head.at(0.3, 0.4, 1.0)],
                   0.05, colour * 0.8)  # fmt: skip


def _cap(s: Sculptor, head: Head, thickness: float, colour):
    # Shifted back and up, the shell leaves the face free and draws the hairline.
    shell = head.radii + thickness
    s.ellipsoid("hair", head.centre + (0, 0.055, 0.055), shell * (1, 1, 0.99), colour)
    s.ellipsoid("hair", head.at(0, 0.38, -0.12), (shell[0] * 0.93, shell[1] * 0.78, 0.40), colour)


def _fringe(s: Sculptor, head: Head, colour, rng):
    """Hair combed from a parting to both temples, which gives the forehead a clear edge."""
    parting = rng.uniform(-0.35, 0.35)
    for x in np.linspace(-0.92, 0.92, 9):
        root = head.at(parting * 0.6, -0.42, 0.96)
        end = head.at(x, -0.86 + 0.72 * x * x, 0.60 - 0.42 * x * x)
        bulge = head.centre + ((root + end) / 2 - head.centre) * 1.10
        shade = np.clip(colour * rng.uniform(0.88, 1.08), 0, 1)
        s.polyline("hair", [root, bulge, end], (0.075, 0.05), shade)


def _scalp(count: int, rng) -> np.ndarray:
    """Unit directions spread over the hairy part of the skull."""
    total = int(count / 0.52)
    k = np.arange(total) + 0.5
    z = 1 - 2 * k / total
    angle = np.pi * (1 + 5**0.5) * k + rng.uniform(0, 2 * np.pi)
    r = np.sqrt(1 - z * z)
    d = np.stack([r * np.cos(angle), r * np.sin(angle), z], -1)
    hairline = 0.02 - 0.58 * d[:, 1]
    return d[d[:, 2] > hairline][:count]


def _curls(s: Sculptor, head: Head, colour, rng, *, size, count, lift, covered):
    for d in _scalp(count, rng):
        if covered and d[2] > 0.35:
            continue
        position = head.centre + (0, 0.04, 0.04) + head.radii * d * lift * rng.uniform(0.97, 1.05)
        shade = colour * rng.uniform(0.82, 1.12)
        s.sphere("hair", position, size * rng.uniform(0.8, 1.15), np.clip(shade, 0, 1))


def _tufts(s: Sculptor, head: Head, colour, rng):
    for d in _scalp(46, rng):
        if d[2] < 0.25:
            continue
        root = head.centre + (0, 0.03, 0.03) + head.radii * d * 1.02
        sweep = np.array([0.10 + 0.05 * rng.standard_normal(), -0.10 * (d[1] < 0.2), 0.05])
        shade = np.clip(colour * rng.uniform(0.85, 1.12), 0, 1)
        s.capsule("hair", root, root + sweep, (0.075, 0.035), shade)


def _curtain(s: Sculptor, head: Head, colour, rng, *, bottom, waves, flare):
    """Locks that fall from the sides and the back of the head to height ``bottom``."""
    count = 15
    segments = 6 if waves else 3
    for a in np.linspace(-112, 112, count):
        angle = np.radians(a)
        x, y = np.sin(angle), np.cos(angle)
        top = head.at(0.97 * x, 0.14 + 0.95 * y, 0.38)
        side = abs(x)
        end = head.at(flare * x, 0.16 + 0.98 * y, 0.0)
        end[2] = bottom + 0.05 * rng.uniform(-1, 1)
        if bottom < -0.4 and y < 0.35:
            # Front locks rest on the chest instead of cutting through the shoulders.
            end[1] -= 0.10
            end[0] *= 0.92
        t = np.linspace(0, 1, segments + 1)[:, None]
        points = top + (end - top) * t
        points[:, 0] += (x * 0.07 * np.sin(np.pi * t[:, 0])) * side
        phase = rng.uniform(0, 0.6)
        points[:, 0] += waves * np.sin(2 * np.pi * (2.0 * t[:, 0] + phase)) * t[:, 0]
        points[:, 1] += waves * np.cos(2 * np.pi * (2.0 * t[:, 0] + phase)) * t[:, 0]
        shade = np.clip(colour * rng.uniform(0.86, 1.1), 0, 1)
        s.polyline("hair", points, (0.095, 0.07), shade)


def _mohawk(s: Sculptor, head: Head, colour, rng):
    for a in np.linspace(-50, 118, 13):
        angle = np.radians(a)
        direction = np.array([0, np.sin(angle), np.cos(angle)])
        root = head.centre + head.radii * direction * 0.97
        height = 0.24 if a < 90 else 0.14
        shade = np.clip(colour * rng.uniform(0.88, 1.1), 0, 1)
        s.capsule("hair", root, root + height * direction, (0.075, 0.045), shade)
