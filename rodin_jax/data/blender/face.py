"""Eyes with lids, brows, lips and the inside of the mouth: what an expression moves."""

import dataclasses

import numpy as np

from rodin_jax.data.avatars.spec import EYE_COLOUR, HAIR_COLOUR, SKIN, AvatarSpec
from rodin_jax.data.blender import fields
from rodin_jax.data.blender.head import Head, skin_colours
from rodin_jax.data.blender.parts import Part, Strands, Surface, merge, sheet, sphere, tube

_LIP = np.array([0.74, 0.22, 0.25])
# Opening of an eye in degrees on its ball: half width, upper and lower edge, lift of the outer end.
_OPENING = {"round": (52, 46, -36, 1), "almond": (58, 38, -27, 6), "narrow": (56, 27, -19, 4)}


@dataclasses.dataclass(frozen=True)
class Mood:
    """What an expression does to lids, brows and mouth.

    Attributes:
      upper: factor of the upper lid's opening.
      lower: degrees by which the lower lid rises.
      slant: degrees by which the upper lid falls towards the nose (negative: away from it).
      brows: height above the eye, in world units, of the inner end, the middle, the outer end.
      corners: how far the mouth's corners stand above its middle.
      opening: half height of an open mouth, 0 when closed.
      width: half width of the mouth.
    """

    upper: float = 1.0
    lower: float = 0.0
    slant: float = 0.0
    brows: tuple[float, float, float] = (0.118, 0.140, 0.112)
    corners: float = 0.004
    opening: float = 0.0
    width: float = 0.100


MOODS = {
    "neutral": Mood(),
    "smiling": Mood(lower=6, brows=(0.122, 0.150, 0.118), corners=0.040, width=0.122),
    "laughing": Mood(0.62, 17, brows=(0.135, 0.165, 0.125), corners=0.05, opening=0.058,
                     width=0.128),
    "sad": Mood(0.80, 2, -10, (0.160, 0.142, 0.095), corners=-0.036, width=0.088),
    "angry": Mood(0.80, 5, 14, (0.078, 0.118, 0.142), corners=-0.022, width=0.092),
    "surprised": Mood(1.22, -5, brows=(0.165, 0.195, 0.165), opening=0.050, width=0.052),
    "winking": Mood(lower=4, brows=(0.125, 0.152, 0.120), corners=0.034, width=0.112),
    "sleepy": Mood(0.22, 2, brows=(0.128, 0.142, 0.108), corners=0.0, width=0.085),
}  # fmt: skip


def face_parts(head: Head) -> tuple[list[Part], list[Strands]]:
    """Everything of the face that is not part of the head's skin."""
    spec = head.spec
    mood = MOODS[spec.expression]
    parts, strands = [], []
    for side, eye in zip((-1, 1), head.eyes, strict=True):
        closed = spec.expression == "winking" and side == 1
        parts += _eye(head, eye)
        parts += _lids(head, eye, side, mood, closed)
        strands.append(_brow(head, eye, side, mood))
    return parts + _lips(head, mood), strands


def mouth_field(head: Head):
    """The opening of the mouth as a field, or None when it is closed."""
    mood = MOODS[head.spec.expression]
    if not mood.opening:
        return None
    middle = _on_lips(head, 0.0, 0.0)
    radii = (mood.width * head.spec.mouth, 0.085, mood.opening * head.spec.mouth)

    def field(p):
        # A laughing mouth hangs between raised corners.
        bend = mood.corners * (p[:, 0] / radii[0]) ** 2 - 0.3 * mood.corners
        return fields.ellipsoid(p - np.stack([0 * bend, 0 * bend, bend], -1), middle, radii)

    return field


def _eye(head: Head, eye) -> list[Part]:
    radius, colour = head.eye_radius, np.asarray(EYE_COLOUR[head.spec.eye_colour])
    ball = sphere(eye, (radius,) * 3, Surface("eye"), rings=72)
    # Both look a little towards each other, as at somebody near.
    inwards = np.radians(-2.5) * np.sign(eye[0])
    gaze = np.array([np.sin(inwards), -np.cos(inwards), 0.0])
    local = (ball.vertices - eye) / radius
    angle = np.degrees(np.arccos(np.clip(local @ gaze, -1, 1)))[:, None]
    around = np.arctan2(local[:, 2], local[:, 0])[:, None]
    ray = 0.88 + 0.12 * np.sin(23 * around + 3 * np.sin(7 * around))
    # The iris is dark at its rim and at the top, under the lid's shadow, bright at the bottom.
    shade = (1.12 - 0.45 * local[:, 2:] / 0.5) * ray * np.where(angle > 31, 0.35, 1.0)
    iris = np.clip(colour * shade * 1.15 + 0.02, 0, 1)
    white = np.array([0.97, 0.96, 0.95]) - 0.10 * np.clip((angle - 40) / 40, 0, 1)
    blend = np.clip((angle - 35.0) / 2.0, 0, 1)
    colours = iris + blend * (white - iris)
    colours = np.where(angle < 16, 0.012, colours)
    ball = dataclasses.replace(ball, colours=colours)
    # The highlight is painted on by a small light disc: a reflection would need a larger picture.
    up = np.array([-0.20, -1.0, 0.26])
    spot = eye + radius * 1.015 * up / np.linalg.norm(up)
    glint = sphere(spot, np.array([0.15, 0.05, 0.15]) * radius, Surface("glow"), rings=8)
    return [ball, glint]


def _edges(head: Head, side: int, mood: Mood, closed: bool, azimuth):
    """Elevations of both lids' edges, in degrees, over azimuth in degrees towards the outside."""
    half, upper, lower, lift = _OPENING[head.spec.eye_shape]
    share = np.clip(azimuth / half, -1, 1)
    round_off = (1 - np.abs(share) ** 2.3) ** 0.75
    tilt = lift * share
    if closed:
        top = -14 * (1 - share**2) + tilt
        return top, top
    heavy = 1.15 - 0.15 * head.spec.lids
    top = upper * mood.upper * heavy * round_off + mood.slant * share * round_off + tilt
    bottom = (lower + mood.lower) * round_off + tilt
    return np.maximum(top, bottom), bottom


def _lids(head: Head, eye, side: int, mood: Mood, closed: bool) -> list[Part]:
    spec, radius = head.spec, head.eye_radius
    azimuth = np.linspace(-108, 108, 73)
    top, bottom = _edges(head, side, mood, closed, azimuth)
    thick = 0.085 * spec.lids
    half = _OPENING[spec.eye_shape][0]

    def at(elevation, size):
        a, e = np.radians(azimuth), np.radians(elevation)
        unit = [side * np.sin(a) * np.cos(e), -np.cos(a) * np.cos(e), np.sin(e) + 0 * a]
        return eye + radius * np.asarray(size)[..., None] * np.stack(unit, -1)

    def lid(edge, far, flip):
        # From under the edge, round it, and back over the ball into the socket.
        t = np.linspace(0, 1, 12)
        # Far from the opening lids sink into the face.
        sunk = 0.05 * np.clip((np.abs(azimuth) - half - 2) / 12, 0, 1)
        sunk = sunk + 0.3 * np.clip((np.abs(azimuth) - 92) / 16, 0, 1)
        rows = [at(edge, 0.99 - sunk)]
        rows += [at(edge + (far - edge) * x,
                    1.0 + thick * min(1.0, 0.55 + 3 * x) * np.cos(1.9 * x) - sunk)
                 for x in t]  # fmt: skip
        points = np.stack(rows)
        if flip == (side > 0):
            points = points[:, ::-1]
        skin = skin_colours(head, points.reshape(-1, 3)).reshape(points.shape)
        shadow = np.ones(len(points))
        shadow[:2] = 0.80
        return sheet(points, Surface("skin"), skin * shadow[:, None, None])

    upper, lower = lid(top, 80.0, True), lid(bottom, -75.0, False)
    inside = np.abs(azimuth) < half + 3
    line = at(top + 1.0, 1.02 + thick + 0 * top)[inside]
    woman = spec.presentation == "woman"
    weight = np.linspace(0.4, 1.0, len(line)) if woman else np.full(len(line), 0.5)
    if woman:
        # A small wing at the outer corner.
        out = line[-1] + radius * np.array([side * 0.12, -0.01, 0.10])
        line, weight = np.concatenate([line, out[None]]), np.append(weight, 0.2)
    size = 0.0095 if woman else 0.0075
    lash = tube(line, size * weight, Surface("plastic", (0.035, 0.022, 0.02)), sides=8)
    return [upper, lower, lash]


def _brow(head: Head, eye, side: int, mood: Mood) -> Strands:
    spec = head.spec
    rng = np.random.default_rng([spec.detail, 7, side + 1])
    inner, middle, outer = np.array(mood.brows) * (0.6 + 0.4 * spec.eyes)
    rise = {"straight": -0.012, "arched": 0.016, "bushy": 0.0}[spec.brow_shape]
    x = np.array([-0.085, -0.02, 0.05, 0.105])
    z = np.array([inner, 0.45 * inner + 0.55 * middle, middle + rise, outer - 0.008])
    count = 420 if spec.brow_shape == "bushy" else 300
    t = rng.uniform(0, 1, count)
    ends = np.stack([np.interp(t, np.linspace(0, 1, 4), v) for v in (x, z)])
    fat = (0.023 if spec.brow_shape == "bushy" else 0.016) * spec.brows
    girth = fat * np.clip(1.25 - 0.95 * t, 0.25, 1) * np.clip(0.55 + 5 * t, 0, 1)
    across = rng.uniform(-1, 1, count) * girth
    length = 0.040 if spec.brow_shape == "bushy" else 0.034
    slope = np.interp(t, [0, 0.4, 1], [1.1, 0.35, -0.35])
    steps = np.linspace(0, 1, 5)[:, None]
    px = side * (eye[0] * side + ends[0] + steps * length * np.cos(slope))
    pz = eye[2] + ends[1] + across + steps * length * (np.sin(slope) - 0.6 * across / fat * t)
    lift = 0.006 + 0.008 * np.sin(np.pi * np.minimum(steps + 0.15, 1)) + 0 * px
    points = fields.from_front(head.skull, px, pz)
    points = points - np.stack([0 * lift, lift, 0 * lift], -1)
    colour = np.asarray(HAIR_COLOUR[spec.hair_colour]) * spec.shade
    colour = colour * (0.62 if colour.mean() > 0.4 else 0.8)
    shades = colour * rng.uniform(0.75, 1.1, (count, 1))
    radius = np.broadcast_to(np.array([0.0042, 0.0045, 0.004, 0.003, 0.0012]), (count, 5))
    return Strands(points.transpose(1, 0, 2), radius, np.clip(shades, 0, 1))


def _on_lips(head: Head, x, z):
    """On the skin at (x, z) from the middle of the mouth."""
    return fields.from_front(head.skull, x, head.mouth_height + np.asarray(z))


def lip_colour(spec: AvatarSpec) -> np.ndarray:
    """Lips are the skin's colour turned red, stronger on women."""
    skin = np.asarray(SKIN[spec.skin]) * spec.shade
    share = 0.72 if spec.presentation == "woman" and spec.age != "child" else 0.38
    light = 0.45 + 0.55 * skin.mean() / 0.75
    return (1 - share) * skin * (0.95, 0.75, 0.72) + share * light * _LIP


def _lips(head: Head, mood: Mood) -> list[Part]:
    spec = head.spec
    woman = spec.presentation == "woman" and spec.age != "child"
    lips = Surface("lip", tuple(np.clip(lip_colour(spec), 0, 1)))
    fat = (0.021 if woman else 0.0165) * (0.85 if spec.age == "child" else 1.0)
    width = mood.width * spec.mouth
    t = np.linspace(-1, 1, 33)
    lean = 0.014 * t if spec.expression == "winking" else 0.0
    corners = mood.corners * (np.abs(t) ** 2.2 - 0.3) + lean
    # Thin towards the corners.
    slim = (1 - np.abs(t) ** 2.4) * 0.85 + 0.15
    if not mood.opening:
        bow = 0.004 * np.cos(3.2 * np.pi * t) * (1 - t * t)
        upper = _on_lips(head, width * t, corners + 0.55 * fat * slim - bow) + (0, 0.002, 0)
        lower = _on_lips(head, 0.94 * width * t, corners - 0.65 * fat * slim) + (0, 0.002, 0)
        crease = _on_lips(head, 1.04 * width * t, corners) - (0, 0.004, 0)
        dark = Surface("plastic", tuple(np.clip(0.30 * lip_colour(spec), 0, 1)))
        return [
            merge([tube(upper, 0.80 * fat * slim, lips, flat=0.8),
                   tube(lower, 1.0 * fat * slim, lips, flat=0.8)], lips),
            tube(crease, 0.0048 * np.sqrt(slim), dark, sides=8),
        ]  # fmt: skip
    tall = mood.opening * spec.mouth
    angle = np.linspace(0, 2 * np.pi, 48, endpoint=False)
    x, z = np.cos(angle), np.sin(angle)
    bend = mood.corners * (x * x - 0.3)
    rim = _on_lips(head, width * x, tall * z + bend) + (0, 0.006, 0)
    girth = fat * (0.62 + 0.22 * np.abs(z) - 0.12 * (z > 0))
    parts = [tube(rim, girth, lips, closed=True)]
    middle = _on_lips(head, 0.0, 0.0)
    # Teeth hang from the upper rim; the tongue lies on the lower one.
    arch = np.linspace(-0.80, 0.80, 17)
    if head.spec.expression == "laughing":
        high = tall * np.sqrt(1 - arch**2) - 0.016 + mood.corners * (arch**2 - 0.3)
        line = _on_lips(head, width * arch, high) + (0, 0.016, 0)
        parts.append(tube(line, 0.0165, Surface("teeth", (0.97, 0.96, 0.93)), flat=0.5, sides=10))
    tongue = middle + np.array([0, 0.055, -0.60 * tall - 0.3 * mood.corners])
    pink = Surface("lip", (0.80, 0.30, 0.32))
    parts.append(sphere(tongue, (0.55 * width, 0.05, 0.42 * tall), pink))
    return parts


def smile_line(head: Head, count: int = 9):
    """The upper edge of the mouth from corner to corner, on the skin: where a moustache hangs."""
    mood = MOODS[head.spec.expression]
    x = np.linspace(-1, 1, count) * max(mood.width, 0.085) * head.spec.mouth
    z = mood.opening * head.spec.mouth + 0.03 + 0.6 * mood.corners * (x / 0.1) ** 2
    return _on_lips(head, x, z)
