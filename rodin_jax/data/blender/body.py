"""Neck-down: the body's solid, on which clothes lie.

Body space is the world, ``RISE`` lower: there the shoulders' tops are at z = -0.52.
"""

import numpy as np

from rodin_jax.data.avatars.spec import AvatarSpec
from rodin_jax.data.blender import fields

RISE = 0.06
FLOOR = -0.96 - RISE


class Body:
    """Chest, shoulders and upper arms of one person."""

    def __init__(self, spec: AvatarSpec):
        """Fixes the proportions of ``spec``."""
        self.wide = spec.shoulders
        woman = spec.presentation == "woman" and spec.age != "child"
        self.chest = 0.035 if woman else 0.0
        self.slope = 0.05 if spec.presentation == "woman" else 0.0

    def field(self, p):
        """Distance to the skin, without the neck."""
        w = self.wide
        p = np.concatenate([np.abs(p[:, :1]), p[:, 1:]], axis=1)
        d = fields.ellipsoid(p, (0, 0.05, -0.96), (0.40 * w, 0.235, 0.42))
        shoulder = (0.40 * w, 0.06, -0.72 - self.slope)
        d = fields.melt(d, fields.capsule(p, (0.08, 0.07, -0.585), shoulder, (0.115, 0.125)), 0.14)
        arm = fields.capsule(p, shoulder, (0.490 * w, 0.05, -1.25), (0.125, 0.11))
        d = fields.melt(d, arm, 0.07)
        if self.chest:
            bust = fields.ellipsoid(p, (0.15 * w, -0.13, -0.93), (0.14, 0.12, 0.13))
            d = fields.melt(d, bust, 0.08)
        return d

    def world(self, p):
        """The same distance at world points."""
        return self.field(p - (0, 0, RISE))
