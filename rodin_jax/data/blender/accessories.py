"""Glasses, headwear and earrings."""

import numpy as np

from rodin_jax.data.avatars.spec import CLOTHING_COLOUR
from rodin_jax.data.blender import fields
from rodin_jax.data.blender.head import CENTRE, Head
from rodin_jax.data.blender.parts import Part, Surface, merge, sheet, smooth_path, sphere, tube

_GOLD = (0.95, 0.72, 0.32)
# Outline of the left lens as seen from the front: x to the outside, z up, in lens widths.
_LENS = {
    "square": ((-1, -0.62), (-1.06, 0.30), (-0.9, 0.66), (0.9, 0.70), (1.1, 0.45), (1.0, -0.55),
               (0.75, -0.78), (-0.75, -0.78)),
    "cat-eye": ((-0.96, -0.30), (-0.98, 0.25), (-0.5, 0.52), (0.65, 0.72), (1.38, 0.98),
                (1.12, 0.05), (0.55, -0.66), (-0.5, -0.72)),
    "sunglasses": ((-0.98, -0.20), (-1.04, 0.42), (-0.6, 0.64), (0.7, 0.70), (1.18, 0.50),
                   (1.0, -0.42), (0.4, -0.84), (-0.5, -0.76)),
}  # fmt: skip


def accessories(head: Head) -> list[Part]:
    """All that this person wears above the neck, but for clothes."""
    return _glasses(head) + _headwear(head) + _earrings(head)


def _glasses(head: Head) -> list[Part]:
    kind = head.spec.glasses
    if kind == "none":
        return []
    dark = kind == "sunglasses"
    paint = {"round": (0.42, 0.26, 0.12), "square": (0.05, 0.05, 0.06),
             "cat-eye": (0.62, 0.09, 0.20), "sunglasses": (0.03, 0.03, 0.035)}[kind]  # fmt: skip
    frame = Surface("metal", _GOLD) if kind == "round" else Surface("plastic", paint)
    girth = 0.009 if kind == "round" else 0.0135
    half = 0.125
    y = head.eyes[0, 1] - head.eye_radius - 0.036
    z = head.eyes[0, 2] - 0.004
    x = max(head.eyes[1, 0], half + 0.022)
    parts = []
    for side in (-1, 1):
        middle = np.array([side * x, y, z])
        if kind == "round":
            angle = np.linspace(0, 2 * np.pi, 40, endpoint=False)
            outline = np.stack([np.cos(angle), 0 * angle, np.sin(angle)], -1)
        else:
            outline = smooth_path(np.insert(np.array(_LENS[kind]), 1, 0.0, axis=1), 48, closed=True)
        rim = outline * half * (side, 1, 1)
        # Lenses wrap a little around the face.
        rim[:, 1] += 0.55 * np.clip(side * rim[:, 0], 0, 1) ** 1.5
        rim = rim + middle
        parts.append(tube(rim, girth, frame, closed=True, up=(0.0, 1.0, 0.0)))
        glass = (
            Surface("dark lens", (0.02, 0.02, 0.025))
            if dark
            else Surface("clear lens", (0.97, 0.98, 0.98))
        )
        bow = rim.mean(0) + (0, -0.010, 0)
        shares = np.linspace(0, 1, 5)[:, None, None]
        lens = bow + shares * (np.concatenate([rim, rim[:1]])[None] - bow)
        parts.append(sheet(lens if side < 0 else lens[:, ::-1], glass))
        hinge = rim[np.argmax(side * rim[:, 0] + 0.4 * rim[:, 2])]
        ear = head.ear() * (side, 1, 1)
        over = ear + np.array([side * 0.012, -0.02, 0.115])
        bend = np.array([side * (head.radii[0] + 0.022), hinge[1] + 0.10, hinge[2]])
        arm = [hinge, bend, 0.5 * (bend + over), over, over + (0, 0.085, -0.05)]
        parts.append(tube(smooth_path(arm, 24), girth * 0.95, frame))
    bridge = [(-(x - half * 0.98), y, z + 0.02), (0, y - 0.012, z + 0.036),
              (x - half * 0.98, y, z + 0.02)]  # fmt: skip
    parts.append(tube(smooth_path(bridge, 12), girth, frame, up=(0.0, 1.0, 0.0)))
    return parts


def _around(head: Head, size: float, height, count: int = 56):
    """A closed line around the skull at ``size`` times its radii; ``height(y)`` in skull space."""
    angle = np.linspace(0, 2 * np.pi, count, endpoint=False)
    x, y = np.sin(angle), -np.cos(angle)
    z = height(y)
    level = np.sqrt(np.maximum(1 - (z / size) ** 2, 0.02)) * size
    return CENTRE + head.radii * np.stack([x * level, y * level, z], -1)


def _dome(head: Head, size: float, rim, surface: Surface, *, top=1.0, rows: int = 20) -> Part:
    """A cap over the skull from the line ``rim(y)`` up; ``top`` stretches its height."""
    angle = np.linspace(0, 2 * np.pi, 64)
    x, y = np.sin(angle), -np.cos(angle)
    low = np.arcsin(np.clip(rim(y) / size, -1, 1))
    points = []
    for share in np.linspace(0, 1, rows):
        e = low + (np.pi / 2 - low) * share
        z = np.sin(e) * size
        z = rim(y) + (z - rim(y)) * top
        q = np.stack([x * np.cos(e) * size, y * np.cos(e) * size, z], -1)
        points.append(CENTRE + head.radii * q)
    return sheet(np.stack(points), surface)


def _headwear(head: Head) -> list[Part]:
    kind = head.spec.headwear
    colour = np.asarray(CLOTHING_COLOUR[head.spec.accent])
    return [] if kind == "none" else _HEADWEAR[kind](head, colour)


def _felt(colour, factor: float = 1.0) -> Surface:
    return Surface("felt", tuple(np.clip(np.asarray(colour) * factor, 0, 1)))


def _rim(y):
    return 0.46 - 0.14 * (y + 0.2)


def _cap(head: Head, colour) -> list[Part]:
    crown = _dome(head, 1.115, _rim, _felt(colour), top=1.04)
    band = tube(_around(head, 1.115, _rim), 0.016, _felt(colour, 0.8), closed=True, flat=0.5)
    # The peak: an arc drawn forward from the front of the band, higher in its middle.
    angle = np.radians(np.linspace(-62, 62, 25))
    root = CENTRE + head.radii * np.stack(
        [1.06 * np.sin(angle), -1.0 * np.cos(angle), _rim(-np.cos(angle)) + 0.02], -1
    )
    rows = []
    for side, shares in ((0.0, (0, 0.35, 0.7, 0.95, 1)), (-0.014, (1, 0.95, 0.6, 0))):
        for share in shares:
            out = 0.30 * share * np.cos(angle) ** 0.55
            drop = -0.07 * share * share - 0.05 * np.sin(angle) ** 2 * share
            rows.append(root + np.stack([0.05 * share * np.sin(angle), -out, drop + side], -1))
    peak = sheet(np.stack(rows)[::-1], _felt(colour, 0.82))
    crest = CENTRE + head.radii * (0, 0, 1.115 * 1.04)
    return [crown, band, peak, sphere(crest, (0.03, 0.03, 0.018), _felt(colour, 0.8), rings=8)]


def _beanie(head: Head, colour) -> list[Part]:
    crown = _dome(head, 1.13, _rim, _felt(colour), top=1.10)
    # The fold is knitted: ribs run up and down.
    angle = np.linspace(0, 2 * np.pi, 193)
    rib = 1 + 0.018 * np.sin(48 * angle)
    x, y = np.sin(angle), -np.cos(angle)
    rows = []
    for size, up in ((1.06, -0.10), (1.15, -0.13), (1.215, -0.07), (1.225, 0.05), (1.20, 0.15),
                     (1.12, 0.16)):  # fmt: skip
        z = _rim(y) + up
        level = np.sqrt(np.maximum(1 - (z / 1.25) ** 2, 0.02)) * size * rib * 1.08
        rows.append(CENTRE + head.radii * np.stack([x * level, y * level, z], -1))
    fold = sheet(np.stack(rows), _felt(colour, 0.85))
    top = CENTRE + head.radii * (0, 0, 1.30)
    rng = np.random.default_rng(3)
    balls = [sphere(top + 0.045 * v / np.linalg.norm(v), (0.038,) * 3, _felt(colour), rings=6)
             for v in rng.standard_normal((26, 3))]  # fmt: skip
    return [crown, fold, merge(balls, _felt(np.clip(colour * 1.1 + 0.1, 0, 1)))]


def _hat(head: Head, colour) -> list[Part]:
    crown = _dome(head, 1.12, _rim, _felt(colour), top=1.16)
    ribbon = tube(_around(head, 1.14, lambda y: _rim(y) + 0.10), 0.040, _felt(colour, 0.45),
                  closed=True, flat=0.4)  # fmt: skip
    angle = np.linspace(0, 2 * np.pi, 64)
    x, y = np.sin(angle), -np.cos(angle)
    inner = CENTRE + head.radii * np.stack([1.02 * x, 1.02 * y, _rim(y) + 0.05], -1)
    rows = []
    for under, shares in ((0.0, (0, 0.25, 0.5, 0.75, 0.97, 1.0)), (-0.016, (1.0, 0.97, 0.5, 0))):
        for share in shares:
            out = np.stack([x, y, 0 * x], -1) * 0.255 * share
            curl = 0.035 * share**2 * np.abs(x) - 0.035 * share * (y < 0) * -y
            rows.append(inner + out + np.stack([0 * x, 0 * x, curl + under], -1))
    brim = sheet(np.stack(rows)[::-1], _felt(colour, 0.92))
    return [crown, ribbon, brim]


def _headband(head: Head, colour) -> list[Part]:
    from rodin_jax.data.blender.hair import band_height

    def height(y):
        return -band_height(np.stack([0 * y, y, 0 * y], -1))

    path = _around(head, 1.075, height)
    return [tube(path, 0.045, Surface("cloth", tuple(colour)), closed=True, flat=0.42)]


def _headphones(head: Head, colour) -> list[Part]:
    shell = Surface("plastic", tuple(colour))
    pad = Surface("leather", (0.06, 0.06, 0.065))
    arc = np.radians(np.linspace(-96, 96, 40))
    path = CENTRE + head.radii * np.stack(
        [1.16 * np.sin(arc), np.full(40, 0.08), 1.15 * np.cos(arc)], -1
    )
    parts = [tube(path, 0.038, shell, flat=0.5, up=(0.0, 1.0, 0.0)),
             tube(path[12:28] * (0.985, 1, 1) - (0, 0, 0.020), 0.034, pad, flat=0.6,
                  up=(0.0, 1.0, 0.0))]  # fmt: skip
    for side in (-1, 1):
        ear = head.ear() * (side, 1, 1) + (side * 0.050, -0.005, 0.0)
        parts.append(sphere(ear, (0.062, 0.115, 0.125), pad, rings=20))
        parts.append(sphere(ear + (side * 0.040, 0, 0), (0.056, 0.098, 0.108), shell, rings=20))
    return parts


_HEADWEAR = {
    "cap": _cap, "beanie": _beanie, "hat": _hat, "headband": _headband,
    "headphones": _headphones,
}  # fmt: skip


def _earrings(head: Head) -> list[Part]:
    kind = head.spec.earrings
    if kind == "none":
        return []
    gold, parts = Surface("metal", _GOLD), []
    for side in (-1, 1):
        lobe = head.lobe() * (side, 1, 1)
        lobe = fields.settle(head.field, lobe[None], lift=0.008)[0]
        if kind == "studs":
            parts.append(sphere(lobe, (0.022,) * 3, Surface("metal", (0.92, 0.93, 0.96)), rings=10))
        else:
            angle = np.linspace(0, 2 * np.pi, 32, endpoint=False)
            ring = np.stack([0 * angle, np.sin(angle), np.cos(angle) - 0.9], -1) * 0.062
            ring[:, 0] += side * 0.012
            parts.append(tube(lobe + ring, 0.0085, gold, closed=True, up=(1.0, 0.0, 0.0)))
    return parts
