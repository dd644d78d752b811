"""From attributes to a sculpture: head, face, clothes and accessories. Hair is in `hair`."""

import numpy as np

from rodin_jax.data.avatars import hair
from rodin_jax.data.avatars.sculpture import Sculptor, Sculpture
from rodin_jax.data.avatars.spec import CLOTHING_COLOUR, EYE_COLOUR, HAIR_COLOUR, SKIN, AvatarSpec

_FLOOR = -0.96
_LIP = np.array([0.62, 0.24, 0.22])
_DARK = (0.03, 0.03, 0.035)


def sculpt(spec: AvatarSpec) -> Sculpture:
    """The solid avatar of ``spec``, facing -y, inside the unit cube."""
    s = Sculptor()
    rng = np.random.default_rng(spec.detail)
    skin = np.asarray(SKIN[spec.skin]) * spec.shade
    hair_colour = np.asarray(HAIR_COLOUR[spec.hair_colour]) * spec.shade
    head = hair.Head(
        centre=np.array([0.0, 0.0, 0.22]),
        radii=np.array([0.40 * spec.head_width, 0.42, 0.47 * spec.head_height]),
    )
    _head(s, spec, head, skin)
    _face(s, spec, head, skin, hair_colour)
    _facial_hair(s, spec, head, skin, hair_colour, rng)
    _clothes(s, spec, skin)
    hair.grow(s, spec, head, hair_colour, rng)
    _glasses(s, spec, head)
    _headwear(s, spec, head)
    return s.finish(_FLOOR)


def _head(s: Sculptor, spec: AvatarSpec, head: hair.Head, skin):
    s.ellipsoid("skin", head.centre, head.radii, skin)
    jaw = np.array([0.25 * spec.jaw, 0.27, 0.22])
    s.ellipsoid("skin", head.at(0, -0.27, -0.55), jaw, skin)
    s.capsule("skin", head.at(0, 0.08, -0.7), (0, 0.04, -0.62), (0.17, 0.19), skin)
    for side in (-1, 1):
        ear = head.at(side * 1.0, 0.05, -0.12)
        size = 0.115 * spec.ears
        s.ellipsoid("skin", ear, (0.045, 0.6 * size, size), skin, pitch=-10)
        s.spot("skin", ear + (side * 0.03, -0.02, 0), (0.05, 0.5 * size, 0.6 * size), skin * 0.8)
        s.spot("skin", head.on_face(side * 0.6, -0.38), 0.10, skin * (1.0, 0.84, 0.82))
    tip = head.on_face(0, -0.22)
    s.capsule("skin", head.on_face(0, 0.08), tip, (0.03, 0.05 * spec.nose), skin)
    s.sphere("skin", tip + (0, -0.03 * spec.nose, 0), 0.052 * spec.nose, skin * (1.0, 0.95, 0.94))
    if spec.age == "old":
        for z in (0.62, 0.70):
            s.spot("skin", head.on_face(0, z), (0.16, 0.05, 0.008), skin * 0.82)
        for side in (-1, 1):
            line = head.on_face(side * 0.36, -0.36)
            s.spot("skin", line, (0.018, 0.06, 0.07), skin * 0.82)


def _face(s: Sculptor, spec: AvatarSpec, head: hair.Head, skin, hair_colour):
    size = 0.080 * spec.eyes
    wide = {"surprised": 1.2, "laughing": 0.72, "smiling": 0.92, "sad": 0.88}
    openness = 0.88 * wide.get(spec.expression, 1.0)
    for side in (-1, 1):
        eye = head.on_face(side * 0.40 * spec.eye_spacing, 0.02) + (0, 0.025, 0)
        s.ellipsoid("eye", eye, (size, 0.06, size * openness), (0.96, 0.96, 0.95))
        front = eye + (0, -0.055, 0)
        iris = 0.70 * size
        s.spot("eye", front, (iris, 0.06, iris), EYE_COLOUR[spec.eye_colour])
        s.spot("eye", front, (0.55 * iris, 0.06, 0.55 * iris), _DARK)
        s.spot("eye", front + (0.3 * iris, 0, 0.35 * iris), (0.016, 0.06, 0.016), (1, 1, 1))
        lash = [
            eye + (side * x * size, -0.035 - 0.02 * (1 - x * x), size * openness * z)
            for x, z in ((-0.9, 0.46), (-0.3, 0.96), (0.4, 0.93), (1.0, 0.14))
        ]
        thick = 0.013 if spec.presentation == "woman" else 0.009
        s.polyline("face", lash, thick, (0.07, 0.05, 0.05))
        _brow(s, spec, head, side, hair_colour * 0.8)
    _mouth(s, spec, head, skin)


def _brow(s: Sculptor, spec: AvatarSpec, head: hair.Head, side: int, colour):
    # Heights of the inner end, middle and outer end tell most of an expression.
    heights = {
        "neutral": (0.29, 0.33, 0.29),
        "smiling": (0.30, 0.36, 0.31),
        "laughing": (0.34, 0.40, 0.33),
        "sad": (0.42, 0.36, 0.25),
        "angry": (0.18, 0.30, 0.37),
        "surprised": (0.42, 0.50, 0.43),
    }[spec.expression]
    points = [head.on_face(side * x, z) for x, z in zip((0.20, 0.40, 0.60), heights, strict=True)]
    s.polyline("face", points, (0.024 * spec.brows, 0.015 * spec.brows), colour)


def _mouth(s: Sculptor, spec: AvatarSpec, head: hair.Head, skin):
    lip = 0.55 * skin + 0.45 * _LIP if spec.presentation == "man" else 0.25 * skin + 0.75 * _LIP
    width = 0.30 * spec.mouth
    z = -0.53

    def curve(rise, half_width=width):
        # ``rise`` lifts the corners of the mouth above its middle.
        xs = np.linspace(-1, 1, 7)
        return [head.on_face(half_width * x, z + rise * (x * x - 0.5)) for x in xs]

    if spec.expression == "laughing":
        middle = head.on_face(0, z)
        s.ellipsoid("face", middle, (0.135 * spec.mouth, 0.045, 0.085), (0.28, 0.05, 0.06))
        s.spot("face", middle + (0, -0.03, 0.055), (0.11, 0.06, 0.038), (0.97, 0.97, 0.96))
        s.polyline("face", curve(0.22, 0.36 * spec.mouth), 0.016, lip)
    elif spec.expression == "surprised":
        middle = head.on_face(0, z - 0.02)
        s.ellipsoid("face", middle, (0.062, 0.045, 0.078), lip)
        s.spot("face", middle + (0, -0.03, 0), (0.042, 0.06, 0.056), (0.20, 0.04, 0.05))
    else:
        rise = {"neutral": 0.0, "smiling": 0.17, "sad": -0.15, "angry": -0.08}[spec.expression]
        s.polyline("face", curve(rise), 0.02 if spec.presentation == "man" else 0.026, lip)


def _facial_hair(s: Sculptor, spec: AvatarSpec, head: hair.Head, skin, colour, rng):
    def tuft(x, z, size, lift=0.0):
        s.sphere("beard", head.on_face(x, z) + (0, -lift, 0), size * rng.uniform(0.9, 1.1), colour)

    kind = spec.facial_hair
    if kind == "stubble":
        shadow = 0.62 * skin + 0.38 * colour
        s.spot("skin", head.at(0, -0.5, -0.75), (0.34, 0.42, 0.20), shadow)
        s.spot("skin", head.on_face(0, -0.38), (0.13, 0.12, 0.05), shadow)
    if kind in ("moustache", "goatee", "beard"):
        for x in (0.06, 0.17, 0.28):
            for side in (-1, 1):
                tuft(side * x, -0.40 - 0.25 * x, 0.045 - 0.05 * x, 0.012)
    if kind == "goatee":
        for x, z in (
            (0, -0.78),
            (-0.12, -0.76),
            (0.12, -0.76),
            (0, -0.92),
            (-0.1, -0.9),
            (0.1, -0.9),
        ):
            tuft(x, z, 0.065)
    if kind == "beard":
        for z, xs in (
            (-0.80, (0, 0.22, 0.44)), (-0.98, (0, 0.2, 0.38)), (-0.62, (0.50, 0.64)),
            (-0.40, (0.70,)), (-0.18, (0.78,)),
        ):  # fmt: skip
            for x in xs:
                for side in (-1, 1) if x else (1,):
                    tuft(side * x, z, 0.085 if z < -0.5 else 0.065)


def _clothes(s: Sculptor, spec: AvatarSpec, skin):
    colour = np.asarray(CLOTHING_COLOUR[spec.clothing_colour])
    accent = np.asarray(CLOTHING_COLOUR[spec.accent])
    w = spec.shoulders
    s.ellipsoid("cloth", (0, 0.05, -0.98), (0.50 * w, 0.30, 0.42), colour)
    for side in (-1, 1):
        s.capsule("cloth", (side * 0.16, 0.06, -0.58), (side * 0.50 * w, 0.06, -0.80),
                  (0.15, 0.19), colour)  # fmt: skip
        s.capsule("cloth", (side * 0.53 * w, 0.06, -0.82), (side * 0.58 * w, 0.06, -1.1), 0.16,
                  colour)  # fmt: skip

    def ring(z, radius, girth, paint, y=0.03, tilt=0.06):
        angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
        points = [
            (radius * np.sin(a), y - radius * np.cos(a), z - tilt * np.cos(a)) for a in angles
        ]
        s.polyline("cloth", points, girth, paint, closed=True)

    if spec.clothing == "t-shirt":
        ring(-0.50, 0.22, 0.03, colour * 0.8)
    elif spec.clothing == "turtleneck":
        for z in (-0.36, -0.42, -0.48):
            ring(z, 0.20, 0.05, colour * 0.95, tilt=0.02)
    elif spec.clothing == "hoodie":
        ring(-0.47, 0.26, 0.075, colour * 0.92, y=0.08)
        for side in (-1, 1):
            s.capsule("cloth", (side * 0.1, -0.25, -0.58), (side * 0.1, -0.29, -0.78), 0.014,
                      (0.95, 0.95, 0.93))  # fmt: skip
        s.ellipsoid("cloth", (0, 0.28, -0.50), (0.26, 0.14, 0.16), colour * 0.9)
    elif spec.clothing == "shirt":
        _collar(s, colour * 1.05 + 0.03)
        for z in (-0.66, -0.76, -0.86):
            s.sphere("cloth", (0, -0.275 + 0.1 * (z + 0.9), z), 0.02, (0.98, 0.97, 0.94))
    elif spec.clothing == "jacket":
        _opening(s, accent)
        for side in (-1, 1):
            s.polyline("cloth", [(side * 0.23, 0.1, -0.43), (side * 0.22, -0.12, -0.50),
                                 (side * 0.14, -0.27, -0.68), (side * 0.13, -0.30, -0.98)],
                       0.05, colour * 0.75)  # fmt: skip
    elif spec.clothing == "suit":
        _opening(s, np.array([0.95, 0.95, 0.95]))
        _collar(s, np.array([0.95, 0.95, 0.95]))
        s.capsule("cloth", (0, -0.235, -0.55), (0, -0.30, -0.98), (0.03, 0.05), accent)
        for side in (-1, 1):
            s.capsule("cloth", (side * 0.20, -0.10, -0.50), (side * 0.11, -0.29, -0.85), 0.045,
                      colour * 0.82)  # fmt: skip


def _collar(s: Sculptor, colour):
    for side in (-1, 1):
        s.polyline("cloth", [(side * 0.05, 0.24, -0.42), (side * 0.21, 0.06, -0.44),
                             (side * 0.16, -0.16, -0.49), (side * 0.05, -0.22, -0.54)],
                   0.042, colour)  # fmt: skip
        s.capsule("cloth", (side * 0.06, -0.21, -0.54), (side * 0.12, -0.24, -0.62), (0.04, 0.02),
                  colour)  # fmt: skip


def _opening(s: Sculptor, colour):
    # What is worn under an open jacket: a wedge that just breaks its surface.
    s.ellipsoid("cloth", (0, -0.10, -0.86), (0.12, 0.20, 0.36), colour)


def _glasses(s: Sculptor, spec: AvatarSpec, head: hair.Head):
    if spec.glasses == "none":
        return
    frame = {"round": (0.10, 0.08, 0.08), "square": (0.05, 0.05, 0.06), "sunglasses": _DARK}
    paint = frame[spec.glasses]
    y = head.on_face(0.4, 0.02)[1] - 0.055
    z = head.at(0, 0, 0.02)[2]
    x = head.radii[0] * 0.40 * spec.eye_spacing
    for side in (-1, 1):
        centre = np.array([side * (x + 0.01), y, z])
        if spec.glasses == "round":
            angles = np.linspace(0, 2 * np.pi, 12, endpoint=False)
            rim = [centre + (0.128 * np.cos(a), 0, 0.128 * np.sin(a)) for a in angles]
        else:
            box = ((-0.125, -0.07), (-0.135, 0.085), (0.135, 0.085), (0.125, -0.07), (0.08, -0.1),
                   (-0.08, -0.1))  # fmt: skip
            rim = [centre + (side * dx, 0, dz) for dx, dz in box]
        s.polyline("glasses", rim, 0.016, paint, closed=True)
        if spec.glasses == "sunglasses":
            s.ellipsoid("glasses", centre, (0.125, 0.02, 0.09), (0.04, 0.04, 0.05))
        hinge = centre + (side * 0.13, 0.0, 0.02)
        bend = np.array([side * (head.radii[0] + 0.035), -0.12, z + 0.03])
        s.polyline("glasses", [hinge, bend, bend + (0, 0.22, -0.01)], 0.018, paint)
    s.capsule("glasses", (-(x - 0.11), y, z + 0.02), (x - 0.11, y, z + 0.02), 0.018, paint)


def _headwear(s: Sculptor, spec: AvatarSpec, head: hair.Head):
    if spec.headwear == "none":
        return
    colour = np.asarray(CLOTHING_COLOUR[spec.accent])
    cx, cy, _ = head.radii
    if spec.headwear == "headband":
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        band = [head.at(1.06 * np.sin(a) * 0.94, -1.06 * np.cos(a) * 0.94, 0.40 + 0.06 * np.cos(a))
                for a in angles]  # fmt: skip
        s.polyline("hat", band, 0.055, colour, closed=True)
        return
    top = head.at(0, 0.08, 0.42)
    s.ellipsoid("hat", top, (cx * 1.13, cy * 1.14, 0.34), colour, pitch=-6)
    if spec.headwear == "cap":
        s.ellipsoid("hat", head.at(0, -1.15, 0.42), (0.27, 0.26, 0.035), colour * 0.85, pitch=8)
        s.sphere("hat", top + (0, 0, 0.34), 0.03, colour * 0.8)
    elif spec.headwear == "beanie":
        angles = np.linspace(0, 2 * np.pi, 16, endpoint=False)
        fold = [head.at(1.1 * np.sin(a), 0.06 - 1.12 * np.cos(a), 0.44 + 0.05 * np.cos(a))
                for a in angles]  # fmt: skip
        s.polyline("hat", fold, 0.065, colour * 0.85, closed=True)
        s.sphere("hat", top + (0, 0.02, 0.37), 0.075, colour * 0.85 + 0.08)
    elif spec.headwear == "hat":
        s.ellipsoid("hat", head.at(0, 0.05, 0.50), (0.72, 0.72, 0.035), colour, pitch=-5)
        s.ellipsoid("hat", head.at(0, 0.06, 0.62), (cx * 1.15, cy * 1.17, 0.05), colour * 0.5,
                    pitch=-5)  # fmt: skip
