"""The head: skull, jaw, cheeks, ears, nose and neck, and where things sit on it."""

import dataclasses

import numpy as np

from rodin_jax.data.avatars.sculpture import Sculptor
from rodin_jax.data.avatars.spec import AvatarSpec


@dataclasses.dataclass(frozen=True)
class Head:
    """The skull's ellipsoid, in which features are placed by fractions of its radii."""

    centre: np.ndarray
    radii: np.ndarray

    def at(self, x: float, y: float, z: float) -> np.ndarray:
        """The point at fractions (x, y, z) of the radii from the centre."""
        return self.centre + self.radii * (x, y, z)

    def on_face(self, x: float, z: float) -> np.ndarray:
        """The point of the face at fractions x to the subject's left and z up.

        The face is flatter than the skull and its lower half follows the chin.
        """
        y = -np.sqrt(max(1.0 - 0.9 * x * x - 0.55 * z * z, 0.05))
        return self.centre + (self.radii[0] * x, self.radii[1] * y, self.radii[2] * z)


def head_of(spec: AvatarSpec) -> Head:
    """The skull of ``spec``."""
    return Head(
        centre=np.array([0.0, 0.0, 0.18]),
        radii=np.array([0.40 * spec.head_width, 0.42, 0.47 * spec.head_height]),
    )


def sculpt_head(s: Sculptor, spec: AvatarSpec, head: Head, skin: np.ndarray):
    """Everything of skin above the shoulders."""
    s.ellipsoid("skin", head.centre, head.radii, skin)
    jaw = np.array([0.25 * spec.jaw, 0.27, 0.22])
    s.ellipsoid("skin", head.at(0, -0.27, -0.55), jaw, skin)
    s.ball("skin", head.at(0, -0.70, -0.88), 0.085 * spec.chin, skin)
    s.rod("skin", head.at(0, 0.08, -0.7), (0, 0.04, -0.62), (0.165, 0.19), skin)
    blush = skin * (1.0, 0.85, 0.82)
    for side in (-1, 1):
        s.ball("skin", head.on_face(side * 0.52, -0.36) + (0, 0.112, 0), 0.120 * spec.cheeks, skin)
        s.spot("skin", head.on_face(side * 0.58, -0.33), 0.105, blush)
        ear = head.at(side * 1.0, 0.05, -0.12)
        size = 0.115 * spec.ears
        s.ellipsoid("skin", ear, (0.045, 0.6 * size, size), skin, pitch=-10)
        inner = (0.05, 0.5 * size, 0.6 * size)
        s.spot("skin", ear + (side * 0.03, -0.02, 0), inner, skin * (0.88, 0.78, 0.76))
    _nose(s, spec, head, skin)
    if spec.age == "old":
        _wrinkles(s, head, skin * 0.84)


def _nose(s: Sculptor, spec: AvatarSpec, head: Head, skin):
    size = spec.nose_size
    rosy = skin * (1.0, 0.92, 0.90)
    drop, out, ball, bridge = {
        "button": (-0.19, 0.020, 0.046, 0.016),
        "straight": (-0.24, 0.034, 0.036, 0.026),
        "wide": (-0.23, 0.024, 0.044, 0.028),
        "long": (-0.32, 0.056, 0.042, 0.030),
    }[spec.nose]
    tip = head.on_face(0, drop) + (0, -out * size, 0)
    top = head.on_face(0, 0.06) + (0, 0.005, 0)
    s.rod("skin", top, tip + (0, 0.02, 0), (bridge * 0.8, bridge * size), skin)
    s.ball("skin", tip, ball * size, rosy)
    wing = {"wide": 0.050, "button": 0.020}.get(spec.nose, 0.026)
    for side in (-1, 1):
        s.ball("skin", tip + (side * wing * size, 0.035, -0.008), 0.62 * ball * size, rosy)


def _wrinkles(s: Sculptor, head: Head, colour):
    for z in (0.60, 0.69):
        s.spot("skin", head.on_face(0, z), (0.16, 0.05, 0.008), colour)
    for side in (-1, 1):
        s.spot("skin", head.on_face(side * 0.36, -0.38), (0.015, 0.06, 0.06), colour)
        s.spot("skin", head.on_face(side * 0.42, -0.20), (0.06, 0.05, 0.007), colour)
