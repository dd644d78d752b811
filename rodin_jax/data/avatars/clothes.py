"""Shoulders and what covers them."""

import numpy as np

from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import CLOTHING_COLOUR, AvatarSpec

_LINEN = np.array([0.96, 0.96, 0.95])


def dress(s: Sculptor, spec: AvatarSpec, skin: np.ndarray):
    """Adds the upper body and the garment of ``spec``."""
    colour = np.asarray(CLOTHING_COLOUR[spec.clothing_colour])
    accent = np.asarray(CLOTHING_COLOUR[spec.accent])
    # White on dark and colour, dark on light: a pattern has to be seen.
    light = colour @ (0.3, 0.6, 0.1) > 0.62
    s.wear(spec.pattern, colour * 0.35 if light else 0.15 * colour + 0.85)
    part = {"leather jacket": "leather", "dress": "skin"}.get(spec.clothing, "cloth")
    _torso(s, spec.shoulders, part, skin if spec.clothing == "dress" else colour)
    _GARMENTS[spec.clothing](s, spec.shoulders, colour, accent)


def _torso(s: Sculptor, w: float, part: str, colour):
    s.ellipsoid(part, (0, 0.05, -0.98), (0.50 * w, 0.30, 0.42), colour)
    for side in (-1, 1):
        s.rod(
            part, (side * 0.16, 0.06, -0.58), (side * 0.50 * w, 0.06, -0.80), (0.15, 0.19), colour
        )
        s.rod(part, (side * 0.53 * w, 0.06, -0.82), (side * 0.58 * w, 0.06, -1.1), 0.16, colour)


def _t_shirt(s: Sculptor, w: float, colour, accent):
    s.line("trim", _ring(-0.50, 0.225, 0.05), 0.030, colour * 0.78, closed=True)


def _turtleneck(s: Sculptor, w: float, colour, accent):
    for z in (-0.36, -0.42, -0.48):
        s.line("trim", _ring(z, 0.20, 0.02), 0.05, colour * 0.94, closed=True)


def _hoodie(s: Sculptor, w: float, colour, accent):
    s.line("trim", _ring(-0.47, 0.26, 0.06, y=0.08), 0.075, colour * 0.90, closed=True)
    for side in (-1, 1):
        cord = [
            (side * 0.1, -0.25, -0.56),
            (side * 0.105, -0.285, -0.66),
            (side * 0.1, -0.30, -0.78),
        ]
        s.line("trim", cord, 0.015, _LINEN)
        s.ball("trim", cord[-1], 0.024, _LINEN * 0.8)
    s.ellipsoid("trim", (0, 0.30, -0.50), (0.27, 0.15, 0.17), colour * 0.88)


def _shirt(s: Sculptor, w: float, colour, accent):
    _collar(s, np.clip(colour * 1.05 + 0.05, 0, 1))
    placket = [(0, -0.245, -0.56), (0, -0.272, -0.72), (0, -0.268, -0.96)]
    s.line("trim", placket, 0.028, np.clip(colour * 1.05 + 0.04, 0, 1))
    for z in (-0.64, -0.75, -0.86):
        s.ball("trim", (0, -0.292 + 0.12 * abs(z + 0.80), z), 0.018, _LINEN * 0.97)


def _leather_jacket(s: Sculptor, w: float, colour, accent):
    _opening(s, accent)
    for side in (-1, 1):
        lapel = [
            (side * 0.22, 0.10, -0.42),
            (side * 0.22, -0.12, -0.49),
            (side * 0.15, -0.27, -0.66),
        ]
        s.line("leather", lapel, (0.055, 0.06, 0.05), colour * 0.8 + 0.03)
        s.line("leather", [(side * 0.15, -0.27, -0.66), (side * 0.12, -0.30, -0.98)], 0.036,
               colour * 0.8 + 0.03)  # fmt: skip
        zip_line = [(side * 0.105, -0.29, -0.66), (side * 0.085, -0.315, -0.98)]
        s.line("jewel", zip_line, 0.010, (0.75, 0.76, 0.78))
        s.rod("leather", (side * 0.30 * w, 0.02, -0.60), (side * 0.52 * w, 0.02, -0.67), 0.045,
              colour * 0.9 + 0.04)  # fmt: skip


def _suit(s: Sculptor, w: float, colour, accent):
    _opening(s, _LINEN)
    _collar(s, _LINEN)
    s.ball("trim", (0, -0.235, -0.55), 0.042, accent)
    s.line("trim", [(0, -0.24, -0.57), (0, -0.285, -0.74), (0, -0.30, -0.98)], (0.03, 0.045, 0.055),
           accent)  # fmt: skip
    for side in (-1, 1):
        lapel = [
            (side * 0.20, -0.06, -0.48),
            (side * 0.17, -0.25, -0.64),
            (side * 0.10, -0.29, -0.88),
        ]
        s.line("trim", lapel, (0.035, 0.06, 0.035), colour * 0.80)


def _summer_dress(s: Sculptor, w: float, colour, accent):
    s.ellipsoid("cloth", (0, 0.05, -1.02), (0.52 * w, 0.335, 0.36), colour)
    for side in (-1, 1):
        path = ((0.21, -0.26, -0.76), (0.215, -0.20, -0.62), (0.22, -0.08, -0.47),
                (0.22, 0.06, -0.425), (0.22, 0.20, -0.49), (0.21, 0.33, -0.72))  # fmt: skip
        strap = [(side * x, y, z) for x, y, z in path]
        s.line("trim", strap, 0.027, colour * 0.85)


def _ring(z: float, radius: float, tilt: float, y: float = 0.03) -> list[tuple]:
    """A ring round the neck, ``tilt`` lower in front."""
    return [
        (radius * np.sin(a), y - radius * np.cos(a), z - tilt * np.cos(a))
        for a in np.linspace(0, 2 * np.pi, 16, endpoint=False)
    ]


def _collar(s: Sculptor, colour):
    for side in (-1, 1):
        band = [(side * 0.05, 0.24, -0.42), (side * 0.21, 0.06, -0.44), (side * 0.16, -0.16, -0.49),
                (side * 0.05, -0.22, -0.54)]  # fmt: skip
        s.line("trim", band, 0.042, colour)
        s.rod(
            "trim",
            (side * 0.06, -0.215, -0.54),
            (side * 0.13, -0.245, -0.63),
            (0.044, 0.02),
            colour,
        )


def _opening(s: Sculptor, colour):
    # What is worn under an open jacket: a wedge that just breaks its surface.
    s.ellipsoid("trim", (0, -0.10, -0.86), (0.12, 0.20, 0.36), colour)


_GARMENTS = {
    "t-shirt": _t_shirt,
    "hoodie": _hoodie,
    "shirt": _shirt,
    "turtleneck": _turtleneck,
    "leather jacket": _leather_jacket,
    "suit": _suit,
    "dress": _summer_dress,
}
