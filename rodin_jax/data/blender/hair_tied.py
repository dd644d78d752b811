"""Hair that is gathered: ponytail, bun and braids."""

import numpy as np

from rodin_jax.data.avatars.spec import CLOTHING_COLOUR
from rodin_jax.data.blender import fields
from rodin_jax.data.blender.parts import (
    Part,
    Strands,
    Surface,
    smooth_path,
    sphere,
    tube,
    unit_vectors,
)
from rodin_jax.data.blender.strands import BRIM, Lock, Scalp, grow, locks


def ponytail(scalp: Scalp, colour, covered):
    """Combed back to a tail that hangs from the back of the head."""
    tie = scalp.head.at(0, 1.08, 0.12) if covered else scalp.head.at(0, 0.66, 0.90)
    swing = 0.16 * np.sign(scalp.head.spec.parting)
    path = smooth_path(
        [tie, tie + (0.3 * swing, 0.10, 0.13), tie + (0.75 * swing, 0.25, 0.03),
         tie + (1.1 * swing, 0.32, -0.27), tie + (1.3 * swing, 0.28, -0.62)], 16
    )  # fmt: skip
    tail = Lock(strands=1100, width=0.095, spread=0.25, ragged=0.2, frizz=0.010, wave=0.008)
    shape = 0.35 + 0.9 * np.sin(np.pi * np.linspace(0.08, 1, 16)) ** 0.7
    hanging = _bundle(scalp, path, tail, shape, colour)
    return [_tie(scalp, path[0], path[1] - path[0], 0.052)], [
        _gathered(scalp, colour, covered, lambda q: np.tile(tie, (len(q), 1))),
        hanging,
    ]


def bun(scalp: Scalp, colour, covered):
    """Combed up to a ball of wound hair."""
    out = np.array([0, 1.0, -0.12]) if covered else np.array([0, 0.42, 1.0])
    out = out / np.linalg.norm(out)
    size = 0.172
    middle = scalp.head.at(*(out * 1.02)) + 0.10 * out
    tie = scalp.head.at(*(out * 1.03))
    rng, count, steps = scalp.rng, 1500, 18
    side = unit_vectors(np.cross(out, (1.0, 0, 0)))
    frame = np.stack([np.cross(side, out), side, out])
    # Strands run round the ball, each band of them with a tilt of its own.
    band = rng.integers(0, 14, count)
    tilt = rng.normal(0, 0.30, (14, 2))[band] + rng.normal(0, 0.05, (count, 2))
    height = np.linspace(-0.92, 0.92, 14)[band] + rng.normal(0, 0.05, count)
    height = np.clip(height, -0.97, 0.97)
    angle = rng.uniform(0, 2 * np.pi, count)[:, None] + np.linspace(0, 3.6, steps)
    level = height[:, None] + 0.10 * np.sin(angle + band[:, None])
    level = np.clip(level, -0.98, 0.98)
    ring = np.sqrt(1 - level**2)
    local = np.stack([ring * np.cos(angle), ring * np.sin(angle), level], -1)
    local[..., 2] += tilt[:, :1] * local[..., 0] + tilt[:, 1:] * local[..., 1]
    local = unit_vectors(local) * (rng.uniform(0.90, 1.02, (count, 1, 1)) * size)
    local *= (1.0, 1.0, 0.86)
    bright = rng.uniform(0.72, 1.18, 14)[band] * rng.uniform(0.88, 1.12, count)
    wound = Strands(
        middle + local @ frame,
        np.broadcast_to(np.full(steps, 0.005), (count, steps)),
        np.clip(np.asarray(colour) * bright[:, None], 0, 1),
    )
    core = sphere(middle, (0.86 * size,) * 3, Surface("felt", tuple(0.6 * np.asarray(colour))))
    return [core, _tie(scalp, tie + 0.005 * out, out, 0.075)], [
        _gathered(scalp, colour, covered, lambda q: np.tile(tie, (len(q), 1))),
        wound,
    ]


def braids(scalp: Scalp, colour, covered):
    """Parted in the middle and plaited over both shoulders."""
    head = scalp.head
    ties = {s: head.at(s * 0.93, 0.30, -0.42) + np.array([s * 0.05, 0, 0]) for s in (-1, 1)}
    parts, groups = [], []

    def target(q):
        return np.where(q[:, :1] >= 0, ties[1], ties[-1])

    groups.append(_gathered(scalp, colour, covered, target))
    for side, tie in ties.items():
        start = tie + (0, 0, 0.03)
        path = smooth_path(
            [start, tie + (side * 0.02, -0.05, -0.14), tie + (side * -0.03, -0.22, -0.34),
             tie + (side * -0.08, -0.30, -0.58)], 40
        )  # fmt: skip
        path = _over(scalp, path, 0.062)
        t = np.linspace(0, 1, len(path))
        along = unit_vectors(np.gradient(path, axis=0))
        across = unit_vectors(np.cross(along, (0.0, 1.0, 0.0)))
        out = np.cross(across, along)
        width = 0.050 * (1 - 0.35 * t)[:, None]
        for strand in range(3):
            angle = (2 * np.pi * (t * 4.5 + strand / 3))[:, None]
            plait = path + width * (np.sin(angle) * across + 0.5 * np.sin(2 * angle) * out)
            lock = Lock(strands=130, width=0.036, spread=0.8, ragged=0.0, frizz=0.002)
            groups.append(_bundle(scalp, plait, lock, 1 - 0.3 * t, colour))
        tuft = path[-1] + np.linspace(0, 1, 8)[:, None] * np.array([0, 0.0, -0.09])
        lock = Lock(strands=160, width=0.03, spread=1.3, ragged=0.4, frizz=0.008)
        groups.append(_bundle(scalp, tuft, lock, np.ones(8), colour))
        parts.append(_tie(scalp, path[-1], path[-1] - path[-2], 0.036))
        parts.append(_tie(scalp, path[1], path[1] - path[0], 0.046))
    return parts, groups


def _over(scalp: Scalp, path, gap: float):
    """A path lifted out of the shoulders by ``gap``."""
    for _ in range(3):
        low = np.maximum(gap - scalp.solid(path), 0)[:, None]
        path = path + low * fields.gradient(scalp.solid, path)
    kernel = np.array([1, 2, 3, 2, 1]) / 9
    padded = np.pad(path, ((2, 2), (0, 0)), mode="edge")
    smooth = np.stack([np.convolve(padded[:, j], kernel, "valid") for j in range(3)], -1)
    return np.concatenate([path[:1], smooth[1:-1], path[-1:]])


def _gathered(scalp: Scalp, colour, covered, target) -> Strands:
    """Hair pulled tight over the skull to a tie."""

    def region(q):
        return (scalp.above_line(q) > 0) & (q[:, 2] < BRIM + 0.06 if covered else True)

    roots = scalp.roots(240, region)
    aim = target(scalp.q(roots))
    away = np.linalg.norm(aim - roots, axis=1)

    def comb(p, q, t):
        return unit_vectors(aim - p)

    # The way round the skull is longer than the straight one.
    length = np.where(away < 0.5, away * 1.05, away * 1.28)
    gap = scalp.rng.uniform(0.008, 0.022, len(roots))
    guides = grow(scalp, roots, comb, length, steps=14, lift=0.12, stiff=0.25, gap=gap, cling=0.3)
    # Whatever the steps did, the end is in the tie.
    t = np.linspace(0, 1, guides.shape[1])[None, :, None] ** 3
    guides = guides + t * (aim[:, None] - guides[:, -1:])
    lock = Lock(spread=0.12, ragged=0.0, frizz=0.0025)
    return locks(scalp, guides, lock, colour, roots=scalp.roots(6500, region))


def _bundle(scalp: Scalp, path, lock: Lock, shape, colour) -> Strands:
    """Strands side by side along one path; ``shape`` is the bundle's girth along it."""
    made = locks(scalp, path[None], lock, colour)
    middle = path[None]
    points = middle + (made.points - middle) * np.asarray(shape)[None, :, None]
    bright = scalp.rng.uniform(0.72, 1.18, (len(points), 1))
    return Strands(points, made.radius, np.clip(np.asarray(colour) * bright, 0, 1))


def _tie(scalp: Scalp, place, direction, radius: float) -> Part:
    direction = unit_vectors(np.asarray(direction, float))
    side = unit_vectors(np.cross(direction, (1.0, 0.3, 0.2)))
    other = np.cross(direction, side)
    angle = np.linspace(0, 2 * np.pi, 24, endpoint=False)[:, None]
    ring = place + radius * (np.cos(angle) * side + np.sin(angle) * other)
    colour = CLOTHING_COLOUR[scalp.head.spec.accent]
    return tube(ring, 0.016, Surface("cloth", colour), closed=True, up=tuple(direction))
