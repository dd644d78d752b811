"""Moustaches, beards and stubble, strand by strand."""

import numpy as np

from rodin_jax.data.blender import fields
from rodin_jax.data.blender.face import smile_line
from rodin_jax.data.blender.hair import hair_colour
from rodin_jax.data.blender.head import CENTRE, Head
from rodin_jax.data.blender.parts import Strands
from rodin_jax.data.blender.strands import Lock, Scalp, grow, locks

# The upper edge of a beard: degrees from the front, height above the middle of the mouth.
_EDGE = ((0, 14, 24, 40, 62, 76, 90), (-0.055, -0.05, 0.0, -0.01, 0.10, 0.30, 0.30))
_FINE = (0.0036, 0.0016)


def _places(head: Head, p):
    """Where points are on the face: |x|, z from the mouth's middle, and azimuth from the front."""
    q = (p - CENTRE) / head.radii
    return np.abs(p[:, 0]), p[:, 2] - head.mouth_height, np.degrees(
        np.arctan2(np.abs(q[:, 0]), -q[:, 1])
    )  # fmt: skip


def _regions(head: Head, p) -> dict[str, np.ndarray]:
    """Parts of the face that carry hair, as masks."""
    x, z, azimuth = _places(head, p)
    wide = head.spec.mouth
    # The beard's upper edge runs from the sideburns over the cheek to the mouth.
    edge = np.interp(azimuth, *_EDGE)
    jaw = (z < edge) & (azimuth < 88) & (z > -0.30) & ~((x < 0.10 * wide) & (z > -0.042))
    return {
        "jaw": jaw,
        "chin": (x < 0.085 * wide) & (z < -0.052) & (z > -0.27) & (azimuth < 60),
        "corner": (np.abs(x - 0.125 * wide) < 0.026) & (z < 0.045) & (z > -0.16) & (azimuth < 60),
        "lip": (x < 0.118 * wide) & (z > 0.026) & (z < 0.078) & (azimuth < 60),
        "side": (np.abs(azimuth - 76) < 8) & (z > 0.02) & (z < 0.40),
    }


_WORN = {
    "none": (), "stubble": ("jaw", "lip"), "moustache": (), "goatee": ("chin", "corner"),
    "beard": ("jaw", "corner"), "long beard": ("jaw", "corner", "chin"), "sideburns": ("side",),
}  # fmt: skip
# Strands, length, how far they stand off.
_KINDS = {
    "stubble": (2600, 0.012, 0.0), "goatee": (1500, 0.075, 0.02), "beard": (4200, 0.080, 0.02),
    "long beard": (4200, 0.085, 0.02), "sideburns": (1400, 0.035, 0.008),
}  # fmt: skip


def beard_paint(head: Head, p):
    """How much of the skin at ``p`` lies under facial hair."""
    regions = _regions(head, p)
    worn = _WORN[head.spec.facial_hair]
    near = np.zeros(len(p))
    for name in worn:
        near = np.maximum(near, regions[name] & (p[:, 1] < 0.1))
    return near * (0.22 if head.spec.facial_hair == "stubble" else 0.6)


def beard(scalp: Scalp) -> list[Strands]:
    """The facial hair of this person."""
    head = scalp.head
    kind, colour = head.spec.facial_hair, hair_colour(head) * 0.9
    groups = []
    if kind in _KINDS:
        groups.append(_patch(scalp, kind, colour))
    if kind == "long beard":
        groups.append(_curtain(scalp, colour))
    if kind in ("moustache", "goatee", "beard", "long beard"):
        groups.append(_moustache(scalp, colour, full=kind == "moustache"))
    return groups


def _roots(scalp: Scalp, count: int, names):
    """Points on the lower face inside the named regions."""
    head, rng = scalp.head, scalp.rng
    unit = rng.standard_normal((count * 14, 3))
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    unit = unit[(unit[:, 1] < 0.25) & (unit[:, 2] < 0.5)]
    p = fields.settle(head.skull, CENTRE + head.radii * unit, rounds=3)
    regions = _regions(head, p)
    p = p[np.logical_or.reduce([regions[name] for name in names])]
    return p[:count]


def _patch(scalp: Scalp, kind: str, colour) -> Strands:
    count, length, gap = _KINDS[kind]
    roots = _roots(scalp, count, _WORN[kind])
    guides = roots[:: 1 if kind == "stubble" else 9]

    def comb(p, q, t):
        out = p - np.array([0, 0.02, 0.05])
        out /= np.linalg.norm(out, axis=1, keepdims=True)
        return 0.5 * out + np.array([0, 0, -0.8])

    lengths = length * scalp.rng.uniform(0.7, 1.1, len(guides))
    curves = grow(scalp, guides, comb, lengths, steps=6, lift=0.55, stiff=0.5, gap=gap)
    if kind == "stubble":
        single = Lock(strands=1, radius=(0.0026, 0.0018), frizz=0.001)
        return locks(scalp, curves, single, colour)
    lock = Lock(spread=0.4, radius=_FINE, frizz=0.006, ragged=0.3)
    return locks(scalp, curves, lock, colour, roots=roots)


def _curtain(scalp: Scalp, colour) -> Strands:
    """The long beard hangs from chin and jaw to a rounded point on the chest."""
    roots = _roots(scalp, 3200, ("chin", "jaw"))
    x, z, azimuth = _places(scalp.head, roots)
    roots = roots[(z < -0.06) & (azimuth < 62)]
    guides = roots[::14]
    x, _, _ = _places(scalp.head, guides)
    end = -0.62 + 1.3 * x

    def comb(p, q, t):
        pull = -1.2 * p[:, :1] * (t > 0.3)
        return np.concatenate([pull, np.full_like(pull, -0.22 * (t < 0.35)), -1 + 0 * pull], 1)

    length = np.maximum(guides[:, 2] - end, 0.10)
    curves = grow(scalp, guides, comb, length, steps=14, lift=0.35, stiff=0.5, gap=0.02)
    lock = Lock(spread=0.45, radius=(0.004, 0.0016), frizz=0.006, ragged=0.2, wave=0.007, turns=2)
    return locks(scalp, curves, lock, colour, roots=roots)


def _moustache(scalp: Scalp, colour, full: bool) -> Strands:
    """Two wings that part under the nose and follow the mouth to its corners."""
    head, rng = scalp.head, scalp.rng
    line = smile_line(head, 33)
    count = 900 if full else 600
    side = rng.choice((-1.0, 1.0), count)
    begin = rng.uniform(0.02, 0.72, count) ** 1.1
    reach = rng.uniform(0.30, 0.5, count)
    t = np.linspace(0, 1, 8)
    share = side[:, None] * (begin[:, None] + reach[:, None] * t)
    limit = 1.30 if full else 1.08
    at = (np.clip(share, -limit, limit) + 1) / 2 * 32
    points = np.stack([np.interp(at, np.arange(33), line[:, j]) for j in range(3)], -1)
    over = np.maximum(np.abs(np.clip(share, -limit, limit)) - 1, 0)
    points[..., 0] += np.sign(share) * over * 0.09
    high = rng.uniform(-0.010, 0.026, count)[:, None] * (1 - 0.8 * np.clip(np.abs(share), 0, 1))
    curl = 0.03 if full else -0.05
    points[..., 2] += high - 0.02 * np.clip(np.abs(share), 0, 2) ** 2 + curl * over
    base = fields.from_front(head.skull, points[..., 0], points[..., 2])
    puff = (0.020 if full else 0.012) * rng.uniform(0.3, 1.2, (count, 1))
    base[..., 1] -= 0.006 + puff * np.sin(np.pi * np.clip(t + 0.1, 0, 1))
    radius = np.broadcast_to(np.linspace(*_FINE, 8), (count, 8))
    shades = np.asarray(colour) * rng.uniform(0.75, 1.15, (count, 1))
    return Strands(base, radius, np.clip(shades, 0, 1))
