"""Glasses, earrings and headwear."""

import numpy as np

from rodin_jax.data.avatars.head import Head
from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import CLOTHING_COLOUR, AvatarSpec

_DARK = (0.05, 0.05, 0.06)
_GOLD = (0.93, 0.74, 0.30)
# Corners of a rim, as seen from the front on the subject's left; mirrored for the other eye.
_SQUARE = ((-0.128, -0.075), (-0.130, 0.080), (0.130, 0.080), (0.128, -0.075), (0.09, -0.1),
           (-0.09, -0.1))  # fmt: skip
_CAT = ((-0.115, -0.03), (-0.125, 0.05), (0.05, 0.085), (0.185, 0.145), (0.125, -0.05),
        (0.06, -0.095), (-0.06, -0.09))  # fmt: skip


def put_on(s: Sculptor, spec: AvatarSpec, head: Head):
    """Adds what ``spec`` wears on its head."""
    _glasses(s, spec, head)
    _earrings(s, spec, head)
    _headwear(s, spec, head)


def _glasses(s: Sculptor, spec: AvatarSpec, head: Head):
    kind = spec.glasses
    if kind == "none":
        return
    accent = np.asarray(CLOTHING_COLOUR[spec.accent])
    paint = {"round": (0.20, 0.12, 0.07), "square": _DARK, "cat-eye": 0.8 * accent}.get(kind, _DARK)
    y = head.on_face(0.4, 0.02)[1] - 0.062
    z = head.at(0, 0, 0.02)[2]
    x = head.radii[0] * 0.40 * spec.eye_spacing
    for side in (-1, 1):
        centre = np.array([side * (x + 0.008), y, z])
        if kind == "round":
            angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
            rim = [centre + (0.128 * np.cos(a), 0, 0.128 * np.sin(a)) for a in angles]
            s.lens(centre, 0.128, 0.128, 2.0, 0.22)
        else:
            corners = _CAT if kind == "cat-eye" else _SQUARE
            rim = [centre + (side * dx, 0, dz) for dx, dz in corners]
            if kind != "sunglasses":
                s.lens(centre - (0, 0, 0.01), 0.128, 0.09, 4.0, 0.22)
        s.line("glasses", rim, 0.018 if kind == "cat-eye" else 0.0165, paint, closed=True)
        if kind == "sunglasses":
            s.ellipsoid(
                "glasses", centre - (0, 0, 0.008), (0.135, 0.018, 0.096), (0.06, 0.06, 0.08)
            )
        hinge = centre + (side * 0.13, 0.0, 0.03)
        bend = np.array([side * (head.radii[0] + 0.035), -0.12, z + 0.035])
        s.line("glasses", [hinge, bend, bend + (0, 0.22, -0.01)], 0.0165, paint)
    bridge = [(-(x - 0.115), y, z + 0.02), (0, y - 0.012, z + 0.04), (x - 0.115, y, z + 0.02)]
    s.line("glasses", bridge, 0.0165, paint)


def _earrings(s: Sculptor, spec: AvatarSpec, head: Head):
    if spec.earrings == "none":
        return
    for side in (-1, 1):
        lobe = head.at(side * 1.0, 0.02, -0.12) + (side * 0.035, -0.01, -0.105 * spec.ears)
        if spec.earrings == "studs":
            s.ball("jewel", lobe + (side * 0.012, 0, 0), 0.030, _GOLD)
        else:
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            ring = [lobe + (side * 0.02, 0.062 * np.sin(a), -0.062 - 0.062 * np.cos(a))
                    for a in angles]  # fmt: skip
            s.line("jewel", ring, 0.0145, _GOLD, closed=True)


def _headwear(s: Sculptor, spec: AvatarSpec, head: Head):
    kind = spec.headwear
    if kind == "none":
        return
    colour = np.asarray(CLOTHING_COLOUR[spec.accent])
    cx, cy, _ = head.radii
    top = head.at(0, 0.08, 0.42)
    if kind == "headband":
        s.line("hat", _ring(head, 1.03, 0.42, 0.08), 0.052, colour, closed=True)
    elif kind == "headphones":
        _headphones(s, head, colour)
    elif kind == "cap":
        s.ellipsoid("hat", top, (cx * 1.15, cy * 1.16, 0.36), colour, pitch=-6)
        s.ellipsoid("hat", head.at(0, -1.15, 0.44), (0.28, 0.30, 0.038), colour * 0.85, pitch=10)
        s.ball("hat", top + (0, 0.03, 0.36), 0.032, colour * 0.8)
    elif kind == "beanie":
        s.ellipsoid("hat", top + (0, 0, 0.02), (cx * 1.15, cy * 1.16, 0.40), colour, pitch=-6)
        for side in np.linspace(-1, 1, 13):  # knitted ribs
            angle = np.pi * side
            out = np.array([1.13 * np.sin(angle), -1.13 * np.cos(angle) + 0.06, 0.0])
            low = head.centre + head.radii * (out + (0, 0, 0.50 - 0.02 * np.cos(angle)))
            high = head.centre + head.radii * (0.72 * out + (0, 0.03, 1.02))
            s.rod("hat", low, high, (0.048, 0.03), colour * 1.06)
        s.line("hat", _ring(head, 1.12, 0.46, 0.06), 0.070, colour * 0.84, closed=True)
        s.ball("hat", top + (0, 0.03, 0.43), 0.085, colour * 0.84 + 0.1)
    elif kind == "hat":
        s.ellipsoid("hat", top + (0, 0, 0.03), (cx * 1.10, cy * 1.12, 0.40), colour, pitch=-5)
        s.ellipsoid("hat", head.at(0, 0.05, 0.52), (0.72, 0.72, 0.042), colour, pitch=-5)
        s.line("hat", _ring(head, 1.10, 0.60, 0.02), 0.05, colour * 0.45, closed=True)


def _headphones(s: Sculptor, head: Head, colour):
    out = head.radii[0] + 0.085
    band = []
    for a in np.linspace(-1.32, 1.32, 13):
        band.append(
            head.centre + (1.06 * out * np.sin(a), 0.04, (head.radii[2] + 0.11) * np.cos(a))
        )
    s.line("hat", band, 0.034, colour * 0.8)
    for side in (-1, 1):
        cup = head.at(0, 0.06, -0.08) + (side * out, 0, 0)
        s.ellipsoid("hat", cup, (0.065, 0.135, 0.155), colour)
        s.ellipsoid("hat", cup - (side * 0.04, 0, 0), (0.06, 0.145, 0.165), (0.12, 0.12, 0.13))


def _ring(head: Head, radius: float, height: float, tilt: float) -> list[np.ndarray]:
    """A ring round the skull, ``tilt`` higher in front."""
    angles = np.linspace(0, 2 * np.pi, 20, endpoint=False)
    return [
        head.at(radius * np.sin(a), 0.05 - radius * np.cos(a), height + tilt * np.cos(a))
        for a in angles
    ]
