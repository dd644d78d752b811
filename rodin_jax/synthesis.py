"""Latents and noise to planes: the two diffusion models of a bundle, one after the other.

Then the planes are looked at and corrected, see `rodin_jax.likeness`, in bundles that ask for it.
"""

import dataclasses
import functools
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax import likeness, sampling, visages
from rodin_jax.bundle import Bundle, Part
from rodin_jax.nn.eigenplanes import Inside
from rodin_jax.portrait import Portrait


class RequestError(ValueError):
    """Something was asked that cannot be done; the message is one line."""

    exit_code = 2


class Synthesis:
    """Makes planes with the networks of a bundle.

    Attributes:
      bundle: the networks.
    """

    def __init__(self, bundle: Bundle):
        self.bundle = bundle

    def planes(
        self,
        z: Float[Array, "n d"],
        noise: Sequence[sampling.Noise],
        steps: int | None = None,
        guidance: float | int | None = None,
        *,
        look: bool = True,
    ) -> Float[Array, "n 3 h w c"]:
        """Base diffusion and upsampler: the planes of n avatars at once, in feature units.

        Compiled once for each n. With the bundle's default sampler, which draws no noise on its
        way, every row is the same avatar as alone, up to rounding.

        Args:
          z: their latents.
          noise: where their diffusion starts, see `rodin_jax.sampling`.
          steps: as in `generate`.
          guidance: as in `generate`.
          look: correct them until they look like their latents, and then until they have the
            faces that those foretell, if the bundle does that.

        Raises:
          RequestError: steps or guidance out of range.
        """
        bundle = self.bundle
        steps, guidance = self._settings(steps, guidance)
        low = self._low(self._diffuser("base", steps), z, noise, guidance)
        if bundle.eigenplanes is not None and bundle.sampling.spread != 1:
            low = sampling.calm(bundle.eigenplanes, low, z, float(bundle.sampling.spread))
        count = self._steps("upsampler", bundle.sampling.upsampler_steps)
        planes = sampling.full_planes(
            self._diffuser("upsampler", count),
            bundle.parts["upsampler"].params,
            bundle.high,
            low,
            self._start(noise, sampling.UPSAMPLER, bundle.size),
            sampling.path_key(noise[0], sampling.UPSAMPLER),
            bundle.eigenplanes,
        )
        if not look:
            return planes
        return self.faced(self.toward(planes, z, z, noise), z, noise)

    @functools.cached_property
    def looks(self) -> likeness.Looks | None:
        """What looks depend on; None if the bundle corrects nothing by them."""
        steps = self.bundle.sampling.look_steps, *self._face_steps()
        return likeness.looks_of(self.bundle) if any(steps) else None

    def toward(
        self,
        planes: Float[Array, "n 3 h w c"],
        z: Float[Array, "n d"],
        wanted: Float[Array, "n d"],
        noise: Sequence[sampling.Noise],
    ) -> Float[Array, "n 3 h w c"]:
        """Planes, made of latents z, corrected until they look like the latents ``wanted``."""
        if self.looks is None or not self.bundle.sampling.look_steps:
            return planes
        return likeness.toward_latents(
            self.looks, planes, z, wanted, _look_keys(noise), steps=self.bundle.sampling.look_steps
        )

    def faced(
        self,
        planes: Float[Array, "n 3 h w c"],
        z: Float[Array, "n d"],
        noise: Sequence[sampling.Noise],
    ) -> Float[Array, "n 3 h w c"]:
        """Planes, made of latents z, corrected until they have the faces that z foretells."""
        if (visage := self._visage()) is None:
            return planes
        faces = visages.expected(visage.module, visage.params, z)
        return self._resembling(planes, z, faces, noise, *self._face_steps())

    def seen(
        self, planes: Float[Array, "n 3 h w c"], noise: Sequence[sampling.Noise]
    ) -> Float[Array, "n d"]:
        """What the tower reads off the fronts of planes."""
        return likeness.latents(self.looks, planes, _look_keys(noise))

    def edited(
        self,
        planes: Float[Array, "n 3 h w c"],
        z: Float[Array, "n d"],
        seen: Float[Array, "n d"],
        delta: Float[Array, "n d"],
        noise: Sequence[sampling.Noise],
    ) -> Float[Array, "n 3 h w c"]:
        """Planes, made of latents z, that the tower reads as ``seen + delta``, or nearly.

        Their coefficients follow the latents; then they are corrected, their faces by how those
        that latents foretell change; and what hardly changes stays, if the bundle asks for that.
        """
        moved = likeness.along(self.looks, planes, z, delta)
        moved = self.toward(moved, z, seen + delta, noise)
        if (visage := self._visage()) is not None:
            faces = visages.altered(
                visage.module, visage.params, self.looks, planes, seen, delta, _look_keys(noise)
            )
            moved = self._resembling(moved, z, faces, noise, *self._face_steps())
        if focus := self.bundle.sampling.edit_focus:
            moved = likeness.focused(self.looks, planes, moved, float(focus))
        return moved

    def resembling(
        self,
        planes: Float[Array, "n 3 h w c"],
        z: Float[Array, "n d"],
        portraits: Portrait,
        noise: Sequence[sampling.Noise],
    ) -> Float[Array, "n 3 h w c"]:
        """Planes corrected until their fronts look like portraits ``[n]``."""
        steps = self.bundle.sampling.portrait_steps, self.bundle.sampling.retouch_steps
        return self._resembling(planes, z, portraits, noise, *steps)

    def _resembling(self, planes, z, portraits: Portrait, noise, steps: int, touches: int):
        keys = _look_keys(noise)
        if steps:
            planes = likeness.toward_portraits(self.looks, planes, z, portraits, keys, steps=steps)
        if touches:
            planes = likeness.retouch(self.looks, planes, portraits, keys, steps=touches)
        return planes

    def _visage(self) -> Part | None:
        """The bundle's faces, if it corrects planes by them."""
        if self.looks is None or not any(self._face_steps()):
            return None
        return self.bundle.parts.get("visage")

    def _face_steps(self) -> tuple[int, int]:
        return self.bundle.sampling.face_steps, self.bundle.sampling.touch_steps

    def base_trajectory(
        self, z: Float[Array, "n d"], noise: Sequence[sampling.Noise]
    ) -> Float[Array, "s n 3 h w c"]:
        """What the base model thinks x_0 is at each of its default steps, in feature units."""
        steps, guidance = self._settings(None, None)
        diffuser = dataclasses.replace(self._diffuser("base", steps), trajectory=True)
        _, path = self._low(diffuser, z, noise, guidance)
        return self.bundle.low.denormalise(path)

    def _settings(self, steps: int | None, guidance: float | int | None) -> tuple[int, float]:
        """Checked, the bundle's own where there are none."""
        defaults = self.bundle.sampling
        steps = self._steps("base", defaults.base_steps if steps is None else steps)
        guidance = defaults.guidance if guidance is None else float(guidance)
        if not (np.isfinite(guidance) and 0 <= guidance <= 100):
            raise RequestError(f"guidance must be 0 to 100, got {guidance}")
        return steps, guidance

    def _start(self, noise: Sequence[sampling.Noise], purpose: int, size: int):
        shape = (3, size, size, self.bundle.channels)
        return jnp.concatenate([sampling.draw(one, purpose, shape) for one in noise])

    def _low(self, diffuser: sampling.Diffuser, z, noise: Sequence[sampling.Noise], guidance):
        """What `sampling.base_planes` gives of these latents."""
        bundle = self.bundle
        return sampling.base_planes(
            diffuser,
            bundle.parts["base"].params,
            bundle.low,
            z,
            self._start(noise, sampling.BASE, bundle.base_size),
            guidance,
            sampling.path_key(noise[0], sampling.BASE),
            self._inside(),
        )

    def _inside(self) -> Inside | None:
        part = self.bundle.parts.get("eigenplanes")
        share = self.bundle.sampling.outside
        return part and Inside(self.bundle.eigenplanes, part.params, part.module, share)

    def _diffuser(self, name: str, steps: int) -> sampling.Diffuser:
        part: Part = self.bundle.parts[name]
        options = part.process or {}
        return sampling.Diffuser(
            part.module,
            options["schedule"],
            options["steps"],
            options["prediction"],
            options["learned_variance"],
            self.bundle.sampling.sampler,
            steps,
        )

    def _steps(self, name: str, steps: int) -> int:
        if steps < 1:
            raise RequestError(f"steps must be at least 1, got {steps}")
        return min(steps, self.bundle.parts[name].process["steps"])


def _look_keys(noise: Sequence[sampling.Noise]):
    return jnp.stack([sampling.path_key(one, sampling.LOOK) for one in noise])
