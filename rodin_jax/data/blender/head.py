"""The head: skull, jaw, cheeks, nose, ears and neck as one smooth solid with skin colours.

Eyes and mouth are in `face`. Units are the world's; the head's centre is (0, 0, 0.22).
"""

import numpy as np
from jaxtyping import Float

from rodin_jax.data.avatars.spec import SKIN, AvatarSpec
from rodin_jax.data.blender import fields
from rodin_jax.data.blender.parts import Part, Surface

CENTRE = np.array([0.0, 0.0, 0.22])
NECK = ((0.0, 0.05, -0.05), (0.0, 0.06, -0.60))
# Nose: how far its tip stands out, how low it hangs, radius of tip, half width, radius of bridge.
_NOSE = {
    "button": (0.050, -0.115, 0.050, 0.036, 0.030),
    "straight": (0.066, -0.135, 0.043, 0.042, 0.034),
    "wide": (0.056, -0.130, 0.054, 0.070, 0.042),
    "long": (0.088, -0.165, 0.044, 0.042, 0.034),
}


class Head:
    """One person's head, as distances that the other parts stand on."""

    def __init__(self, spec: AvatarSpec):
        """Fixes every proportion of ``spec``."""
        self.spec = spec
        self.radii = np.array([0.40 * spec.head_width, 0.42, 0.47 * spec.head_height])
        man = spec.presentation == "man" and spec.age != "child"
        self.neck = (0.150 if man else 0.128) * (0.9 if spec.age == "child" else 1.0)
        self.eye_radius = 0.098 * spec.eyes
        # Eyes sit on the middle line of the face, sunk until they just stand out.
        x = 0.168 * spec.head_width * spec.eye_spacing
        z = CENTRE[2] - 0.005 * spec.head_height
        eye = fields.from_front(self.skull, np.array([-x, x]), np.full(2, z))
        self.eyes = eye + (0, 0.74 * self.eye_radius, 0)
        self._nose_top = fields.from_front(self.skull, 0.0, CENTRE[2] + 0.06) + (0, 0.022, 0)
        self.mouth_height = CENTRE[2] - 0.285 * spec.head_height
        tip = fields.from_front(self.skull, 0.0, CENTRE[2] + self._nose()[1])
        self.nose_tip = tip - (0, self._nose()[0], 0)

    def at(self, x, y, z) -> Float[np.ndarray, "3"]:
        """The point at fractions (x, y, z) of the skull's radii from its centre."""
        return CENTRE + self.radii * np.array([x, y, z])

    def skull(self, p):
        """Skull, cheeks, jaw and chin: the head without what sticks out."""
        spec = self.spec
        d = fields.ellipsoid(p, CENTRE, self.radii)
        jaw = (0.275 * spec.jaw, 0.270, 0.235)
        d = fields.melt(d, fields.ellipsoid(p, self.at(0, -0.27, -0.56), jaw), 0.16)
        chin = (0.125 * spec.jaw, 0.075 * spec.chin, 0.075 * spec.chin)
        d = fields.melt(d, fields.ellipsoid(p, self.at(0, -0.72, -0.92), chin), 0.14)
        full = 0.118 * spec.cheeks
        high = {"smiling": 0.035, "laughing": 0.05, "winking": 0.03}.get(spec.expression, 0.0)
        for side in (-1, 1):
            cheek = self.at(side * 0.52, -0.60, -0.30) + (0, 0, high)
            d = fields.melt(d, fields.ellipsoid(p, cheek, (full, full, 0.9 * full)), 0.12)
        return d

    def field(self, p):
        """The whole head with nose, sockets, ears and neck."""
        d = self.skull(p)
        for eye in self.eyes:
            # A shallow socket lets lids cast their shadow.
            radii = self.eye_radius * np.array([1.0, 0.7, 0.8])
            dent = fields.ellipsoid(p, eye - (0, 0.080, 0), radii)
            d = fields.carve(d, dent, 0.07)
        d = fields.melt(d, self._nose_field(p), 0.05)
        d = fields.melt(d, fields.capsule(p, *NECK, (self.neck, 1.12 * self.neck)), 0.09)
        return fields.melt(d, self._ears(p), 0.035)

    def _nose(self):
        size = self.spec.nose_size
        out, down, tip, wide, bridge = _NOSE[self.spec.nose]
        return out * size, down, tip * size, wide * size, bridge * size

    def _nose_field(self, p):
        _, _, tip, wide, bridge = self._nose()
        d = fields.capsule(
            p, self._nose_top, self.nose_tip + (0, 0.035, 0.02), (bridge, 0.9 * bridge)
        )
        d = fields.melt(d, fields.ellipsoid(p, self.nose_tip, (tip, tip, 0.86 * tip)), 0.05)
        for side in (-1, 1):
            wing = self.nose_tip + (side * wide, 0.028, -0.008)
            d = fields.melt(d, fields.ellipsoid(p, wing, np.array([0.6, 0.7, 0.52]) * tip), 0.03)
            hole = self.nose_tip + (side * 0.55 * wide, -0.002, -0.80 * tip)
            d = fields.carve(d, fields.ellipsoid(p, hole, np.array([0.34, 0.42, 0.34]) * tip), 0.02)
        return d

    def _ears(self, p):
        size = 0.125 * self.spec.ears
        # Both ears at once: the head is its own mirror image.
        p = np.concatenate([np.abs(p[:, :1]), p[:, 1:]], axis=1)
        middle = self.ear()
        # Ear space: across the ear, along it, and away from the head.
        lean, back = np.radians(28), np.radians(-12)
        out = np.array([np.cos(lean), -np.sin(lean), 0.0])
        up = np.array([0.0, np.sin(-back), np.cos(back)])
        local = (p - middle) @ np.stack([np.cross(up, out), up, out], axis=1)
        shell = fields.ellipsoid(local, (0, 0, 0), (0.62 * size, size, 0.032))
        bowl = fields.ellipsoid(
            local, (-0.08 * size, 0.08 * size, 0.034), (0.42 * size, 0.66 * size, 0.034)
        )
        return fields.carve(shell, bowl, 0.012)

    def ear(self) -> Float[np.ndarray, "3"]:
        """The middle of the left ear (+x)."""
        return self.at(1.0, 0.10, -0.14) + (0.012, 0, 0)

    def lobe(self) -> Float[np.ndarray, "3"]:
        """Where the left ear wears its ring."""
        return self.ear() + np.array([0.012, -0.035, -0.100 * self.spec.ears])


def head_part(head: Head, scalp, mouth=None) -> Part:
    """The skin of the head.

    Args:
      head: whose.
      scalp: ``(points) -> (share [n], colour [n, 3])``: what hair paints on the skin.
      mouth: the opening to carve, a field, or None.
    """

    def field(p):
        d = head.field(p)
        return d if mouth is None else fields.carve(d, mouth(p), 0.015)

    vertices, faces = fields.surface(field, (-0.62, -0.62, -0.62), (0.62, 0.60, 0.80), 0.0125)
    vertices = fields.settle(field, vertices, rounds=1)
    colours = skin_colours(head, vertices)
    if mouth is not None:
        inside = np.clip((0.006 - mouth(vertices)) / 0.012, 0, 1)[:, None]
        colours += inside * (np.array([0.30, 0.06, 0.07]) - colours)
    share, paint = scalp(vertices)
    colours += share[:, None] * (paint - colours)
    return Part(vertices, faces, Surface("skin"), np.clip(colours, 0, 1))


def skin_colours(head: Head, p) -> Float[np.ndarray, "n 3"]:
    """Skin with rosy cheeks, nose and ears, and with the lines of age."""
    spec = head.spec
    skin = np.asarray(SKIN[spec.skin]) * spec.shade
    colours = np.tile(skin, (len(p), 1))

    def tint(middle, radii, colour, strength):
        near = np.linalg.norm((p - middle) / np.asarray(radii), axis=-1)
        share = strength * np.exp(-2 * near * near)[:, None]
        colours[:] += share * (np.asarray(colour) - colours)

    rosy = skin * (1.02, 0.70, 0.66)
    for side in (-1, 1):
        cheek = fields.from_front(head.skull, side * 0.22 * spec.head_width, CENTRE[2] - 0.15)
        tint(cheek, (0.11, 0.16, 0.09), rosy, 0.75)
        tint(head.ear() * (side, 1, 1), (0.07, 0.07, 0.10), rosy, 0.45)
    tint(head.nose_tip, (0.06, 0.06, 0.05), rosy, 0.5)
    if spec.age == "old":
        line = skin * 0.70
        for z, bend in ((0.250, 0.02), (0.295, 0.015)):
            for x in np.linspace(-0.15, 0.15, 13):
                on = fields.from_front(head.skull, x, CENTRE[2] + z - bend * (x / 0.15) ** 2)
                tint(on, (0.022, 0.05, 0.009), line, 0.5)
        for side in (-1, 1):
            for t in np.linspace(0, 1, 8):
                x, z = 0.085 + 0.055 * np.sqrt(t), -0.155 - 0.115 * t
                on = fields.from_front(head.skull, side * x, CENTRE[2] + z)
                tint(on, (0.011, 0.05, 0.018), line, 0.5)
    return colours
