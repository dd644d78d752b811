"""Facial hair as many short locks that follow the jaw."""

import numpy as np

from rodin_jax.data.avatars.head import Head
from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import AvatarSpec


def grow_beard(s: Sculptor, spec: AvatarSpec, head: Head, skin, colour, rng):
    """Adds the facial hair of ``spec``."""

    def lock(x, z, length, girth, spread=1.0):
        shade = colour * rng.uniform(0.80, 1.12)
        x, z = x + 0.02 * rng.standard_normal(), z + 0.02 * rng.standard_normal()
        root = head.on_face(x, z)
        end = head.on_face(x * spread, z - 0.10) + (0, -0.012, -length)
        s.rod("beard", root, end, (girth, 0.45 * girth), shade, streaks=0.12)

    kind = spec.facial_hair
    if kind == "stubble":
        shadow = 0.62 * skin + 0.38 * colour
        s.spot("skin", head.at(0, -0.5, -0.75), (0.36, 0.42, 0.20), shadow)
        s.spot("skin", head.on_face(0, -0.39), (0.13, 0.12, 0.05), shadow)
    if kind in ("moustache", "goatee", "beard", "long beard"):
        for side in (-1, 1):
            for x in (0.03, 0.09, 0.15, 0.21, 0.27):
                root = head.on_face(side * x, -0.37 - 0.15 * x) + (0, -0.012, 0)
                end = head.on_face(side * (x + 0.12), -0.43 - 0.5 * x) + (0, -0.012, 0)
                girth = 0.040 - 0.05 * x
                shade = colour * rng.uniform(0.82, 1.1)
                s.rod("beard", root, end, (girth, 0.6 * girth), shade, streaks=0.12)
    if kind == "goatee":
        for z, xs in ((-0.70, (-0.14, 0, 0.14)), (-0.80, (-0.18, -0.06, 0.06, 0.18)),
                      (-0.92, (-0.12, 0, 0.12))):  # fmt: skip
            for x in xs:
                lock(x, z, 0.03, 0.045)
    if kind in ("beard", "long beard"):
        for z in (-0.66, -0.76, -0.86, -0.96):
            for x in np.linspace(-0.62, 0.62, 11):
                if abs(x) > 0.22 or z < -0.7:
                    lock(x * (1.0 + 0.25 * (z + 0.66)), z, 0.02, 0.052)
    if kind == "long beard":
        for z in (-0.86, -0.98):
            for x in np.linspace(-0.42, 0.42, 9):
                lock(x, z, 0.30 - 0.35 * abs(x), 0.055, spread=0.55)
    if kind in ("beard", "long beard", "sideburns"):
        bottom = -0.46 if kind == "sideburns" else -0.60
        for side in (-1, 1):
            for z in np.arange(0.06, bottom, -0.09):
                forward = 0.84 - 0.16 * max(-z, 0.0)
                wide = (0.0, 0.10) if z < -0.15 else (0.05,)
                for more in wide:
                    lock(side * (forward - more), z, 0.015, 0.045)
