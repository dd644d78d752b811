"""The fourteen hair styles, as guides, locks and combs."""

import numpy as np

from rodin_jax.data.avatars.spec import COVERING_HEADWEAR, HAIR_COLOUR
from rodin_jax.data.blender import hair_tied
from rodin_jax.data.blender.head import CENTRE, Head
from rodin_jax.data.blender.parts import Part, Strands
from rodin_jax.data.blender.strands import BRIM, Lock, Scalp, cut, grow, locks


def hair_colour(head: Head) -> np.ndarray:
    """SRGB of this person's hair."""
    return np.clip(np.asarray(HAIR_COLOUR[head.spec.hair_colour]) * head.spec.shade, 0, 1)


def scalp_paint(scalp: Scalp):
    """What hair paints on the skin under it: ``(points) -> (share, colour)``."""
    style = scalp.head.spec.hair_style
    strength = {"bald": 0.0, "buzz": 0.7, "mohawk": 0.35, "undercut": 0.8}.get(style, 0.95)
    colour = hair_colour(scalp.head) * 0.6

    def paint(p):
        q = scalp.q(p)
        share = np.clip(scalp.above_line(q) / 0.07, 0, 1) * (np.linalg.norm(q, axis=1) > 0.85)
        return strength * share, colour

    return paint


def hair(scalp: Scalp) -> tuple[list[Part], list[Strands]]:
    """Ties and strands of this person's style."""
    spec = scalp.head.spec
    covered = spec.headwear in COVERING_HEADWEAR
    parts, strands = _STYLES[spec.hair_style](scalp, hair_colour(scalp.head), covered)
    return parts, [press(scalp, group) for group in strands]


def press(scalp: Scalp, strands: Strands) -> Strands:
    """Hair lies flat under a band or under headphones, and does not stand through a hat."""
    kind = scalp.head.spec.headwear
    if kind == "none":
        return strands
    points = strands.points
    q = scalp.q(points.reshape(-1, 3))
    reach = np.linalg.norm(q, axis=1)
    if kind in COVERING_HEADWEAR:
        off = np.maximum(BRIM - 0.12 * q[:, 1] - q[:, 2], 0) / 0.25
        allowed = 1.05 + 0.6 * off
    else:
        off = np.abs(band_height(q)) if kind == "headband" else np.abs(q[:, 1] - 0.08)
        off = np.where((kind == "headphones") & (q[:, 2] < -0.1), 1.0, off)
        allowed = 1.07 + 2.2 * np.maximum(off - 0.09, 0)
    q *= np.where(reach > allowed, allowed / reach, 1.0)[:, None]
    pressed = (CENTRE + scalp.head.radii * q).reshape(points.shape)
    return Strands(pressed, strands.radius, strands.colours)


def band_height(q):
    """Height in skull space above the middle of a headband, which slopes to the back."""
    return q[:, 2] - (0.60 - 0.42 * (q[:, 1] + 0.75))


def _bald(scalp, colour, covered):
    return [], []


def _fuzz(scalp: Scalp, colour, covered, where=None, count=6500, length=0.020, back=0.3):
    """Very short hair, strand by strand."""
    line = where or (lambda q: scalp.above_line(q) > 0.0)
    roots = scalp.roots(count, lambda q: line(q) & (q[:, 2] < BRIM if covered else True))
    guides = grow(
        scalp, roots, lambda p, q, t: np.tile((0.0, back, -0.5), (len(p), 1)),
        length * scalp.rng.uniform(0.7, 1.2, len(roots)), steps=3, lift=0.7, gap=0.0,
    )  # fmt: skip
    single = Lock(strands=1, radius=(0.0042, 0.0022), frizz=0.001, ragged=0.0)
    return locks(scalp, guides, single, colour, shade=(0.7, 1.1))


def _buzz(scalp, colour, covered):
    return [], [_fuzz(scalp, colour, covered)]


def _styled(scalp: Scalp, colour, covered, comb, length, lock: Lock, *, guides=300, strands=7000,
            where=None, end=None, **how) -> Strands:  # fmt: skip
    """Locks on the scalp: grown by ``comb``, perhaps cut at height ``end``."""
    line = where or (lambda q: scalp.above_line(q) > 0.0)
    region = lambda q: line(q) & (q[:, 2] < BRIM + 0.06 if covered else True)  # noqa: E731
    roots = scalp.roots(guides, region)
    q = scalp.q(roots)
    gap = how.pop("gap", (0.012, 0.04))
    layers = scalp.rng.uniform(*gap, len(roots))
    if covered:
        layers *= 0.6
    curves = grow(scalp, roots, comb, length(q), gap=layers, **how)
    if end is not None:
        curves = cut(curves, end + 0.03 * scalp.rng.standard_normal(len(curves)))
    return locks(scalp, curves, lock, colour, roots=scalp.roots(strands, region))


def _toward(direction):
    direction = np.asarray(direction, float)
    return lambda p, q, t: np.tile(direction, (len(p), 1))


def _away_from_part(part: float, side=1.0, back=0.25, forward=0.0):
    """Combed to both sides of a parting at ``part`` (skull space, the subject's left is +x)."""

    def comb(p, q, t):
        sign = np.where(q[:, 0] >= part, 1.0, -1.0)
        front = np.clip((-q[:, 1] - 0.1) * 2, 0, 1)
        y = back + 0.9 * front * np.clip(1.2 - t, 0.2, 1) - forward * front
        return np.stack([side * sign, y + 0 * sign, -0.55 + 0 * sign], -1)

    return comb


def _short(scalp, colour, covered):
    lean = 0.5 * scalp.head.spec.parting

    def comb(p, q, t):
        top = np.clip(q[:, 2] * 2 - 0.6, 0, 1)
        x = np.sign(q[:, 0]) * 0.1 * (1 - top) + lean * top
        y = -0.75 * top * (q[:, 1] < 0.4) + 0.25 * (1 - top)
        z = 0.35 * top - 0.9 * (1 - top)
        return np.stack([x, y, z], -1)

    length = lambda q: 0.075 + 0.085 * np.clip(q[:, 2] * 1.6 - 0.3, 0, 1)  # noqa: E731
    lock = Lock(spread=0.25, ragged=0.3, frizz=0.006)
    return [], [_styled(scalp, colour, covered, comb, length, lock, guides=340, strands=6500,
                        steps=9, lift=0.55, stiff=0.55, gap=(0.008, 0.03))]  # fmt: skip


def _side_part(scalp, colour, covered):
    part = 0.42 * (1 if scalp.head.spec.parting > 0 else -1)

    def comb(p, q, t):
        sign = np.where(q[:, 0] >= part, 1.0, -1.0)
        front = np.clip((-q[:, 1] - 0.2) * 2, 0, 1)
        behind = np.clip(q[:, 1] * 2, 0, 1)
        down = np.where(np.abs(q[:, 0]) > 0.8, -0.9, -0.25) - 0.9 * behind
        rise = 0.6 * front * (1 - t)
        return np.stack([sign * (1 - 0.8 * behind), 0.3 + 0.3 * front, down + rise], -1)

    def length(q):
        top = np.clip(q[:, 2] * 1.8 - 0.5, 0, 1)
        return 0.085 + 0.22 * top

    lock = Lock(spread=0.6, ragged=0.15, frizz=0.003)
    return [], [_styled(scalp, colour, covered, comb, length, lock, steps=11, lift=0.42,
                        stiff=0.5, gap=(0.018, 0.06), cling=0.35)]  # fmt: skip


def _curly(scalp, colour, covered):
    def comb(p, q, t):
        out = p - np.array([0, 0.02, 0.15])
        return out / np.linalg.norm(out, axis=1, keepdims=True) * (0.5, 0.5, 0.2) - (0, 0, 0.5)

    woman = scalp.head.spec.presentation == "woman"
    reach = 0.30 if woman else 0.20
    length = lambda q: reach * scalp.rng.uniform(0.75, 1.1, len(q))  # noqa: E731
    lock = Lock(spread=0.10, curl=0.024, turns=2.6, radius=(0.0045, 0.003), frizz=0.004)
    return [], [_styled(scalp, colour, covered, comb, length, lock, guides=330, strands=7500,
                        steps=26, lift=0.75, stiff=0.75, gap=(0.03, 0.10))]  # fmt: skip


def _afro(scalp, colour, covered):
    def comb(p, q, t):
        out = p - np.array([0, 0.03, 0.24])
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    length = lambda q: 0.235 * scalp.rng.uniform(0.85, 1.05, len(q))  # noqa: E731
    lock = Lock(spread=1.25, curl=0.013, turns=4.0, radius=(0.0045, 0.004), frizz=0.010)
    return [], [_styled(scalp, colour, covered, comb, length, lock, guides=700, strands=9500,
                        steps=22, lift=0.9, stiff=0.9, gap=(0.0, 0.0))]  # fmt: skip


def _hanging(scalp: Scalp, colour, covered, lock: Lock, end: float, gap, fringe: bool):
    """Hair that falls from a parting down to height ``end``, perhaps with a fringe."""
    part = 0.0 if fringe else 0.22 * np.sign(scalp.head.spec.parting)
    fall = _away_from_part(part)
    face = 0.30 * scalp.head.spec.head_width

    def comb(p, q, t):
        wish = fall(p, q, t)
        # Once beside the skull it hangs straight; in front of the face it is drawn aside.
        beside = np.clip((0.42 - p[:, 2]) / 0.2, 0, 1)[:, None]
        wish = wish * (1 - beside) + np.array([0, 0.05, -1.0]) * beside
        bare = (p[:, 1] < -0.10) & (np.abs(p[:, 0]) < face + 0.06) & (p[:, 2] < 0.5)
        wish[:, 0] += 1.5 * np.sign(q[:, 0] - part) * bare
        wish[:, 1] += 1.2 * bare
        return wish

    top = lambda q: scalp.above_line(q) > 0  # noqa: E731
    front = lambda q: top(q) & (q[:, 1] < -0.42) & (np.abs(q[:, 0]) < 0.55)  # noqa: E731
    rest = (lambda q: top(q) & ~front(q)) if fringe and not covered else top
    reach = 1.15 - end
    groups = [_styled(scalp, colour, covered, comb, lambda q: reach + 0 * q[:, 0], lock,
                      guides=260, strands=7000, where=rest, end=end, steps=26, lift=0.3,
                      stiff=0.45, gravity=0.25, gap=gap, cling=0.12)]  # fmt: skip
    if fringe and not covered:
        bangs = Lock(spread=0.8, ragged=0.04, frizz=0.003)
        brow = 0.375
        groups.append(
            _styled(scalp, colour, covered, _toward((0, -1, -0.55)),
                    lambda q: 0.45 + 0 * q[:, 0], bangs, guides=80, strands=1800, where=front,
                    end=brow, steps=14, lift=0.35, stiff=0.4, gravity=0.3, gap=(0.02, 0.045),
                    cling=0.3)
        )  # fmt: skip
    return [], groups


def _bob(scalp, colour, covered):
    lock = Lock(spread=0.6, ragged=0.03, frizz=0.003)
    return _hanging(scalp, colour, covered, lock, -0.16, (0.015, 0.065), True)


def _long(scalp, colour, covered):
    lock = Lock(spread=0.55, ragged=0.10, frizz=0.004)
    return _hanging(scalp, colour, covered, lock, -0.72, (0.012, 0.055), False)


def _wavy(scalp, colour, covered):
    lock = Lock(spread=0.5, wave=0.034, turns=3.2, ragged=0.14, frizz=0.006)
    return _hanging(scalp, colour, covered, lock, -0.60, (0.02, 0.09), False)


def _mohawk(scalp, colour, covered):
    sides = _fuzz(scalp, colour, covered, count=3500, length=0.010)
    if covered:
        return [], [sides]

    def comb(p, q, t):
        out = p - np.array([0, 0.05, 0.1])
        out[:, 0] *= 0.4
        return out / np.linalg.norm(out, axis=1, keepdims=True)

    strip = lambda q: (np.abs(q[:, 0]) < 0.17) & (scalp.above_line(q) > -0.06)  # noqa: E731

    def length(q):
        high = np.clip(q[:, 2] + 0.5, 0, 1)
        return (0.12 + 0.17 * high) * scalp.rng.uniform(0.9, 1.1, len(q))

    lock = Lock(spread=0.30, ragged=0.15, frizz=0.004)
    crest = _styled(scalp, colour, covered, comb, length, lock, guides=110, strands=3800,
                    where=strip, steps=10, lift=0.95, stiff=0.8, gap=(0.0, 0.0))  # fmt: skip
    return [], [sides, crest]


def _undercut(scalp, colour, covered):
    sides = lambda q: (scalp.above_line(q) > 0) & (q[:, 2] < 0.62)  # noqa: E731
    short = _fuzz(scalp, colour, covered, where=sides, count=4200, length=0.012)
    if covered:
        return [], [short]
    way = -1.0 if scalp.head.spec.parting > 0 else 1.0
    top = lambda q: (scalp.above_line(q) > 0) & (q[:, 2] >= 0.60)  # noqa: E731

    def comb(p, q, t):
        rise = 0.9 * (1 - t) - 0.75 * t
        front = np.clip(-q[:, 1], 0, 1)
        return np.stack([way + 0 * front, 0.30 - 0.35 * front, rise + 0 * front], -1)

    length = lambda q: 0.24 + 0.07 * np.clip(-q[:, 1], 0, 1)  # noqa: E731
    lock = Lock(spread=0.4, ragged=0.15, frizz=0.004)
    sweep = _styled(scalp, colour, covered, comb, length, lock, guides=130, strands=4000,
                    where=top, steps=12, lift=0.6, stiff=0.55, gap=(0.02, 0.06))  # fmt: skip
    return [], [short, sweep]


_STYLES = {
    "bald": _bald, "buzz": _buzz, "short": _short, "side part": _side_part, "curly": _curly,
    "afro": _afro, "bob": _bob, "long": _long, "wavy": _wavy,
    "ponytail": hair_tied.ponytail, "bun": hair_tied.bun, "mohawk": _mohawk,
    "braids": hair_tied.braids, "undercut": _undercut,
}  # fmt: skip
