"""Growing hair: guide curves that leave the scalp and stay out of the body, and locks around them.

``q`` is a position in skull space: fractions of the skull's radii from its centre, as in
`Head.at`; |q| = 1 is about the skin, -y the face.
"""

import dataclasses
from collections.abc import Callable

import numpy as np
from jaxtyping import Float

from rodin_jax.data.blender import fields
from rodin_jax.data.blender.head import CENTRE, NECK, Head
from rodin_jax.data.blender.parts import Strands, unit_vectors

BRIM = 0.34  # height in skull space above which a hat hides everything
# The hairline: degrees from the front, and the height in skull space where hair begins.
_LINE = ((0, 25, 45, 60, 70, 82, 90, 108, 122, 150, 180),
         (0.66, 0.66, 0.54, 0.34, 0.02, -0.16, 0.10, 0.10, -0.26, -0.50, -0.54))  # fmt: skip


@dataclasses.dataclass(frozen=True)
class Lock:
    """How hair is around its guides.

    Attributes:
      strands: in one lock.
      spread: width of a lock at its tip, as a share of that at its root.
      width: half width at the root, in world units, if the lock does not stand on the scalp.
      wave: radius of waves, in world units; they are flat.
      curl: radius of curls; they are helices.
      turns: waves or curls along a strand.
      radius: half the thickness of a strand at the root and at the tip.
      ragged: share of the length by which tips differ.
      frizz: how far strands wander from their lock, in world units.
    """

    strands: int = 24
    spread: float = 0.5
    width: float = 0.0
    wave: float = 0.0
    curl: float = 0.0
    turns: float = 3.0
    radius: tuple[float, float] = (0.0042, 0.0018)
    ragged: float = 0.15
    frizz: float = 0.004


class Scalp:
    """The hairy part of one head, and the solid that hair stays out of."""

    def __init__(self, head: Head, body: fields.Field, rng: np.random.Generator):
        """``body``: clothes and shoulders as distances."""
        self.head, self.body, self.rng = head, body, rng

    def q(self, p):
        """World positions in skull space."""
        return (p - CENTRE) / self.head.radii

    def above_line(self, q):
        """Height above the hairline, in skull space; negative on bare skin."""
        spec = self.head.spec
        azimuth = np.degrees(np.arctan2(np.abs(q[:, 0]), -q[:, 1]))
        line = np.interp(azimuth, *_LINE)
        front = np.clip(1 - azimuth / 60, 0, 1)
        if spec.presentation == "man" and spec.age != "child":
            # Receding at the temples, more with age.
            temples = np.exp(-(((azimuth - 35) / 14) ** 2))
            line = line + (0.13 if spec.age == "old" else 0.05) * (front + temples)
        return q[:, 2] - line

    def solid(self, p):
        """Distance to what hair cannot enter."""
        head = self.head
        ears = np.abs(p[:, 0]) - (head.radii[0] + 0.028)
        ears = np.maximum(ears, np.linalg.norm(p[:, 1:] - head.ear()[1:], axis=1) - 0.10)
        neck = fields.capsule(p, *NECK, head.neck)
        return np.minimum.reduce([head.skull(p), neck, self.body(p), ears])

    def roots(self, count: int, where: Callable | None = None) -> Float[np.ndarray, "n 3"]:
        """About ``count`` roots evenly over the hairy part, or over where ``where(q)`` is true."""
        if where is None:
            where = lambda q: self.above_line(q) > 0  # noqa: E731 (the usual scalp)
        k = np.arange(6 * count) + 0.5
        z = 1 - 2 * k / len(k)
        angle = np.pi * (1 + 5**0.5) * k
        r = np.sqrt(1 - z * z)
        unit = np.stack([r * np.cos(angle), r * np.sin(angle), z], -1)
        unit += 0.02 * self.rng.standard_normal(unit.shape)
        p = CENTRE + self.head.radii * unit_vectors(unit)
        p = p[where(self.q(p))]
        if len(p) > count:
            p = p[np.sort(self.rng.choice(len(p), count, replace=False))]
        return fields.settle(self.head.skull, p, rounds=2)


def grow(
    scalp: Scalp,
    roots: Float[np.ndarray, "g 3"],
    comb: Callable,
    length,
    *,
    steps: int = 14,
    lift: float = 0.4,
    stiff: float = 0.6,
    gravity: float = 0.0,
    gap=0.02,
    cling: float = 0.0,
) -> Float[np.ndarray, "g k 3"]:
    """Guide curves from the scalp outwards.

    Args:
      scalp: where they grow.
      roots: on the skin.
      comb: ``(points, roots in skull space, share of the way) -> directions``.
      length: world units, for each.
      steps: segments.
      lift: how much the first step follows the skin's normal rather than the comb.
      stiff: how much a step follows the one before.
      gravity: how much every step is drawn down.
      gap: how far from the skin each lies, world units.
      cling: how strongly hair that stands further off is drawn back to the gap.
    """
    normals = fields.gradient(scalp.head.skull, roots)
    q0 = scalp.q(roots)
    length = np.broadcast_to(np.asarray(length, float), roots.shape[:1])
    gap = np.broadcast_to(np.asarray(gap, float), roots.shape[:1])
    segment = (length / steps)[:, None]
    direction = unit_vectors(lift * normals + (1 - lift) * comb(roots, q0, 0.0))
    points = [roots - 0.006 * normals]
    for step in range(1, steps + 1):
        now, share = points[-1], step / steps
        wish = stiff * direction + (1 - stiff) * comb(now, q0, share)
        wish[:, 2] -= gravity
        ahead = now + segment * unit_vectors(wish)
        distance = scalp.solid(ahead)
        layer = gap * min(1.0, 0.35 + step / 3)
        push = np.maximum(layer - distance, 0)
        push -= cling * np.clip(distance - layer, 0, 0.1)
        ahead = ahead + push[:, None] * fields.gradient(scalp.solid, ahead)
        direction = unit_vectors(ahead - now)
        points.append(now + segment * direction)
    return np.stack(points, axis=1)


def cut(guides: Float[np.ndarray, "g k 3"], height) -> Float[np.ndarray, "g k 3"]:
    """Guides until they fall below ``height`` (one for each), with as many points as before."""
    height = np.broadcast_to(np.asarray(height, float), guides.shape[:1])
    count = guides.shape[1]
    out = np.empty_like(guides)
    for i, (guide, low) in enumerate(zip(guides, height, strict=True)):
        below = np.flatnonzero(guide[:, 2] < low)
        end = count - 1.0
        if len(below) and below[0] > 0:
            b = below[0]
            end = b - (low - guide[b, 2]) / (guide[b - 1, 2] - guide[b, 2])
        at = np.linspace(0, end, count)
        out[i] = np.stack([np.interp(at, np.arange(count), guide[:, j]) for j in range(3)], -1)
    return out


def locks(
    scalp: Scalp,
    guides: Float[np.ndarray, "g k 3"],
    lock: Lock,
    colour,
    *,
    shade: tuple[float, float] = (0.74, 1.16),
    roots: Float[np.ndarray, "n 3"] | None = None,
) -> Strands:
    """Strands around guides.

    Args:
      scalp: whose solid the strands stay out of.
      guides: the middle of each lock.
      lock: its kind.
      colour: sRGB.
      shade: locks differ in brightness by factors in this range.
      roots: where the strands stand, each in the lock of the nearest guide; without them every
        guide has a round lock of its own.
    """
    rng, steps = scalp.rng, guides.shape[1]
    if roots is None:
        owner = np.repeat(np.arange(len(guides)), lock.strands)
        disc = rng.standard_normal((len(owner), 3))
        disc = unit_vectors(disc) * rng.uniform(0, 1, (len(owner), 1)) ** (1 / 2)
        offset = lock.width * disc
    else:
        from scipy.spatial import cKDTree

        owner = cKDTree(guides[:, 0]).query(roots)[1]
        offset = roots - guides[owner, 0]
        # Far from its guide a strand would leave the scalp in the wrong direction.
        offset *= np.minimum(1, 0.09 / np.maximum(np.linalg.norm(offset, axis=1), 1e-6))[:, None]
    count = len(owner)
    t = np.linspace(0, 1, steps)
    points = _stretched(guides[owner], 1 - lock.ragged * rng.uniform(0, 1, count))
    share = 1 + (lock.spread - 1) * t**0.8
    points = points + offset[:, None] * share[None, :, None]
    if lock.wave or lock.curl:
        points = points + _coils(guides, owner, lock, t, rng)
    drift = rng.standard_normal((count, 1, 3)) * t[None, :, None] ** 1.5
    drift += 0.6 * rng.standard_normal((count, 1, 3)) * np.sin(np.pi * 2 * t)[None, :, None]
    points = points + lock.frizz * drift
    points = _outside(scalp, points)
    thick = lock.radius[0] + (lock.radius[1] - lock.radius[0]) * t**1.5
    girth = thick * rng.uniform(0.75, 1.2, (count, 1))
    bright = rng.uniform(*shade, len(guides))[owner] * rng.uniform(0.85, 1.15, count)
    colours = np.clip(np.asarray(colour) * bright[:, None], 0, 1)
    return Strands(points, girth, colours)


def _stretched(curves, share):
    """Curves shortened to a share of their parameter."""
    steps = curves.shape[1]
    at = np.linspace(0, 1, steps)[None] * share[:, None] * (steps - 1)
    low = np.minimum(at.astype(int), steps - 2)
    part = (at - low)[..., None]
    row = np.arange(len(curves))[:, None]
    return curves[row, low] * (1 - part) + curves[row, low + 1] * part


def _coils(guides, owner, lock: Lock, t, rng):
    """Offsets of waves or curls, the same for all strands of a lock but for a small slip."""
    along = unit_vectors(np.gradient(guides, axis=1))
    side = unit_vectors(np.cross(along, guides - CENTRE))
    out = np.cross(side, along)
    phase = rng.uniform(0, 2 * np.pi, len(guides))[owner]
    phase = phase + 0.35 * rng.standard_normal(len(owner))
    turns = lock.turns * rng.uniform(0.8, 1.2, len(guides))[owner]
    angle = phase[:, None] + 2 * np.pi * turns[:, None] * t
    rise = np.minimum(1, 3.5 * t)
    size = (lock.wave or lock.curl) * rise
    waves = (size * np.sin(angle))[..., None] * side[owner]
    depth = 0.35 if lock.wave else 1.0
    return waves + (depth * size * np.cos(angle))[..., None] * out[owner]


def _outside(scalp: Scalp, points, clear: float = 0.004):
    """Points but the first two of each strand, moved out of the solid."""
    flat = points[:, 2:].reshape(-1, 3)
    distance = scalp.solid(flat)
    hit = distance < clear
    if hit.any():
        inside = flat[hit]
        flat[hit] = inside + (clear - distance[hit])[:, None] * fields.gradient(scalp.solid, inside)
    return np.concatenate([points[:, :2], flat.reshape(len(points), -1, 3)], axis=1)
