"""Eyes, brows and mouth: who is looking, and how they feel."""

import numpy as np

from rodin_jax.data.avatars.head import Head
from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import EYE_COLOUR, AvatarSpec

_LIP = np.array([0.80, 0.30, 0.30])
_LASH = (0.09, 0.06, 0.06)
_WHITE = (0.97, 0.97, 0.97)
_EYE = 0.098  # half the width of an eye, in world units
# How far the eyes open; the subject's left eye winks.
_OPEN = {"surprised": 1.22, "laughing": 0.66, "smiling": 0.92, "sad": 0.85, "sleepy": 0.36}
# Heights of a brow's inner end, middle and outer end tell most of an expression.
_BROWS = {
    "neutral": (0.30, 0.34, 0.30),
    "smiling": (0.32, 0.38, 0.33),
    "laughing": (0.36, 0.43, 0.36),
    "sad": (0.50, 0.38, 0.22),
    "angry": (0.13, 0.29, 0.43),
    "surprised": (0.46, 0.54, 0.47),
    "winking": (0.26, 0.30, 0.25),
    "sleepy": (0.29, 0.32, 0.24),
}
# How far the corners of the mouth rise above its middle.
_RISE = {"neutral": 0.02, "smiling": 0.20, "sad": -0.24, "winking": 0.24,
         "sleepy": -0.02}  # fmt: skip


def sculpt_face(s: Sculptor, spec: AvatarSpec, head: Head, skin: np.ndarray, hair: np.ndarray):
    """Eyes that look ahead, brows in the colour of the hair, and the mouth."""
    for side in (-1, 1):
        if spec.expression == "winking" and side == 1:
            _closed_eye(s, spec, head, side, skin)
        else:
            _eye(s, spec, head, side, skin)
        _brow(s, spec, head, side, hair * 0.8)
    _mouth(s, spec, head, skin)


def _eye_place(spec: AvatarSpec, head: Head, side: int) -> np.ndarray:
    return head.on_face(side * 0.40 * spec.eye_spacing, 0.02) + (0, 0.022, 0)


def _eye(s: Sculptor, spec: AvatarSpec, head: Head, side: int, skin):
    wide, tall, tilt = {
        "round": (1.0, 1.0, 0),
        "almond": (1.14, 0.84, 8),
        "narrow": (1.12, 0.66, 4),
    }[spec.eye_shape]
    size = _EYE * spec.eyes
    full = size * tall
    openness = full * _OPEN.get(spec.expression, 1.0) / (0.9 + 0.1 * spec.lids)
    socket = _eye_place(spec, head, side)
    s.ellipsoid("lid", socket, (1.10 * size * wide, 0.046, 1.12 * full), skin * (0.97, 0.93, 0.92))
    eye = socket - (0, 0, 0.45 * max(full - openness, 0.0))
    s.ellipsoid("eye", eye, (size * wide, 0.060, openness), _WHITE, roll=-side * tilt)
    iris = 0.72 * size
    front = eye + (0, -0.055, 0)
    colour = np.asarray(EYE_COLOUR[spec.eye_colour])
    s.spot("eye", front, (iris, 0.06, iris), colour * 0.55)
    s.spot("eye", front, (0.86 * iris, 0.06, 0.86 * iris), colour)
    s.spot("eye", front, (0.50 * iris, 0.06, 0.50 * iris), (0.03, 0.03, 0.035))
    glint = 0.26 * iris
    s.spot(
        "eye", front + (0.32 * iris, 0, 0.34 * min(iris, openness)), (glint, 0.06, glint), _WHITE
    )
    # The lash line follows the upper edge of the opening.
    xs = np.linspace(-0.96, 1.0, 7)
    slope = np.tan(np.radians(side * tilt)) * side
    lash = [
        eye + (side * x * size * wide, -0.034 - 0.02 * (1 - x * x),
               openness * np.sqrt(max(1 - x * x, 0.0)) + slope * x * size)
        for x in xs
    ]  # fmt: skip
    thick = 0.015 if spec.presentation == "woman" else 0.010
    s.line("lid", lash, (0.6 * thick, thick, thick), _LASH)
    if spec.presentation == "woman":
        flick = lash[-1] + (side * 0.028, 0.0, 0.026)
        s.rod("lid", lash[-1], flick, (thick, 0.5 * thick), _LASH)


def _closed_eye(s: Sculptor, spec: AvatarSpec, head: Head, side: int, skin):
    size = _EYE * spec.eyes
    socket = _eye_place(spec, head, side)
    s.ellipsoid("lid", socket, (1.12 * size, 0.050, 0.9 * size), skin * (0.97, 0.93, 0.92))
    arc = [socket + (x * size, -0.050 + 0.018 * x * x, 0.024 - 0.05 * x * x)
           for x in np.linspace(-1.1, 1.1, 7)]  # fmt: skip
    s.line("lid", arc, (0.012, 0.022, 0.012), _LASH)


def _brow(s: Sculptor, spec: AvatarSpec, head: Head, side: int, colour):
    inner, middle, outer = _BROWS[spec.expression]
    if spec.expression == "winking" and side == -1:  # one brow goes up as the other eye closes
        inner, middle, outer = inner + 0.14, middle + 0.20, outer + 0.16
    middle += {"straight": -0.02, "arched": 0.05, "bushy": 0.0}[spec.brow_shape]
    girth = {"straight": 0.021, "arched": 0.018, "bushy": 0.032}[spec.brow_shape] * spec.brows
    heights = np.interp((0, 0.25, 0.5, 0.75, 1), (0, 0.5, 1), (inner, middle, outer))
    xs = np.linspace(0.19, 0.62, 5)
    points = [head.on_face(side * x, z) + (0, -0.004, 0) for x, z in zip(xs, heights, strict=True)]
    s.line("brow", points, (0.9 * girth, girth, 0.8 * girth, 0.45 * girth), colour, streaks=0.12)


def _mouth(s: Sculptor, spec: AvatarSpec, head: Head, skin):
    woman = spec.presentation == "woman"
    lip = 0.25 * skin + 0.75 * _LIP if woman else 0.55 * skin * (1, 0.85, 0.82) + 0.45 * _LIP
    middle = head.on_face(0, -0.53)
    if spec.expression == "laughing":
        wide = 0.150 * spec.mouth
        s.ellipsoid("mouth", middle + (0, 0.012, 0), (wide, 0.040, 0.088), (0.38, 0.07, 0.09))
        s.spot("mouth", middle + (0, -0.03, 0.066), (0.9 * wide, 0.08, 0.042), (0.98, 0.98, 0.97))
        s.spot("mouth", middle + (0, -0.03, -0.075), (0.55 * wide, 0.08, 0.045), (0.88, 0.38, 0.40))
        s.line("mouth", _curve(head, 0.44 * spec.mouth, 0.10, -0.40), 0.013, lip)
    elif spec.expression == "angry":
        # Bared, clenched teeth between lips that turn down at the corners.
        wide = 0.115 * spec.mouth
        s.ellipsoid("mouth", middle + (0, 0.010, 0), (1.15 * wide, 0.036, 0.058), lip * 0.9)
        s.spot("mouth", middle + (0, -0.03, 0), (wide, 0.08, 0.036), (0.97, 0.97, 0.95))
        s.spot("mouth", middle + (0, -0.03, 0), (wide, 0.08, 0.005), (0.35, 0.10, 0.10))
        s.line("mouth", _curve(head, 0.34 * spec.mouth, -0.16, -0.47), (0.008, 0.014, 0.008), lip)
    elif spec.expression == "surprised":
        s.ellipsoid("mouth", middle - (0, 0, 0.01), (0.066, 0.042, 0.085), lip)
        s.spot("mouth", middle + (0, -0.03, -0.01), (0.044, 0.06, 0.062), (0.30, 0.06, 0.08))
    else:
        half = (
            0.30
            * spec.mouth
            * {"sleepy": 0.7, "smiling": 1.12, "winking": 1.08}.get(spec.expression, 1.0)
        )
        thick = 0.028 if woman else 0.021
        rise = _RISE[spec.expression]
        s.line("mouth", _curve(head, half, rise, -0.53), (0.35 * thick, thick, 0.35 * thick), lip)
        if woman:
            lower = _curve(head, 0.55 * half, 0.5 * rise, -0.57)
            s.line("mouth", lower, (0.4 * thick, 0.9 * thick, 0.4 * thick), lip)


def _curve(head: Head, half_width: float, rise: float, z: float) -> list[np.ndarray]:
    return [head.on_face(half_width * x, z + rise * (x * x - 0.5)) for x in np.linspace(-1, 1, 9)]
