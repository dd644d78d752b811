"""From a sentence, a picture or nothing to an avatar: the whole road in one object.

    prompt -> text prior ---+
    image  -> image tower --+--> z --> base diffusion --> upsampler --> planes --> `Avatar`
    nothing -> latent net --+                                   (+ `likeness`: looked at, corrected)

All randomness comes from the seed: avatar i of ``seed`` is the avatar of ``seed + i``. Editing
moves z and keeps the noise, so the person stays (supplement B.3); interpolation turns both on a
sphere.
"""

import dataclasses
import functools
import os
import warnings
from collections.abc import Callable, Iterable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from PIL import Image

from rodin_jax import portrait as portraits
from rodin_jax import sampling
from rodin_jax.avatar import Avatar, Recipe
from rodin_jax.bundle import load_bundle
from rodin_jax.conditioning import Conditioning, PromptWarning
from rodin_jax.data.images import Picture, from_pixels, read_image
from rodin_jax.portrait import Portrait
from rodin_jax.synthesis import RequestError

__all__ = ["PromptWarning", "RequestError", "RodinPipeline"]

SMALLEST_IMAGE = 16
Track = Callable[[Iterable, str], Iterable]


class RodinPipeline(Conditioning):
    """Makes avatars with a bundle; see the module's picture."""

    @classmethod
    def from_pretrained(cls, path_or_hub_id: str | os.PathLike | None = None) -> "RodinPipeline":
        """Loads a bundle: a folder, a hub id, or by default the one shipped with the package.

        Raises:
          BundleError: there is none, or it is damaged.
        """
        return cls(load_bundle(path_or_hub_id))

    def generate(
        self,
        prompt: str | None = None,
        image: str | os.PathLike | Image.Image | np.ndarray | None = None,
        seed: int = 0,
        num: int = 1,
        steps: int | None = None,
        guidance: float | int | None = None,
        *,
        track: Track | None = None,
    ) -> list[Avatar]:
        """Makes ``num`` avatars.

        Args:
          prompt: a sentence; words the model has never read are warned of.
          image: a portrait, as a file, a Pillow image or ``uint8`` RGB or RGBA pixels; not
            together with a prompt. It resembles best cut out or before a plain colour, see
            `rodin_jax.portrait`; else there is a warning.
          seed: avatar i uses ``seed + i``; the same seed gives the same avatar.
          num: how many.
          steps: sampling steps of the base model; the bundle's default otherwise.
          guidance: how strongly the base model follows the latent; 1 is plain.
          track: wraps the iteration over avatars, e.g. in a progress bar.

        Raises:
          RequestError: an empty or endless prompt, or a number out of range.
          ImageError: an unreadable picture.
        """
        if not 1 <= num <= 10_000:
            raise RequestError(f"num must be 1 to 10000, got {num}")
        for s in (seed, seed + num - 1):
            _check_seed(s)
        picture = _given(prompt, image)
        latent, portrait = self._road(prompt, picture), self._portrait(picture)
        recipe = Recipe(
            "generate",
            prompt=prompt,
            image=os.path.basename(image) if isinstance(image, str | os.PathLike) else None,
        )
        seeds = range(seed, seed + num)
        return [
            self._avatar(latent(s), ((s, 1.0),), steps, guidance, recipe, s, portrait)
            for s in (track(seeds, "avatars") if track else seeds)
        ]

    def edit(
        self,
        avatar: Avatar,
        prompt: str,
        source: str | None = None,
        *,
        strength: float | int = 1.0,
        guidance: float | int | None = None,
    ) -> Avatar:
        """The same person, changed as the prompt says: z + delta with the same noise.

        In bundles that correct planes by their looks, the avatar's own planes are moved and
        corrected instead of being made again, so all that a photo or an earlier edit gave them
        stays.

        Args:
          avatar: one that a pipeline made.
          prompt: what it should be, e.g. "a person with a beard".
          source: what it is instead, by default "a portrait of a person".
          strength: scales delta.
          guidance: as in `generate`, the avatar's own by default; without effect on planes that
            are not made again.

        Raises:
          RequestError: the avatar was not sampled (a fit has no latent), or not by this bundle's
            kind of latent; or the prompt is empty.
        """
        z, old = self._latent_of(avatar), avatar.recipe
        seen = z if self.looks is None else self.seen(avatar.planes[None], [old.noise])
        delta = self.direction(prompt, source, strength, seen)
        after = sampling.tame(z + delta)
        guidance = old.guidance if guidance is None else guidance
        recipe = Recipe("edit", prompt=prompt, image=old.image, source=source)
        if self.looks is None:
            return self._avatar(after, old.noise, old.steps, guidance, recipe, old.seed)
        steps, guidance = self._settings(old.steps, guidance)
        planes = avatar.planes
        if jnp.any(delta):
            (planes,) = self.edited(planes[None], z, seen, delta, [old.noise])
        recipe = dataclasses.replace(recipe, steps=steps, guidance=guidance)
        return self._finished(planes, after, old.noise, recipe, old.seed)

    def interpolate(
        self, a: Avatar, b: Avatar, frames: int, *, track: Track | None = None
    ) -> list[Avatar]:
        """``frames`` avatars on the way from ``a`` to ``b``, both ends included.

        Latents and noise are interpolated on the sphere, so every frame is as likely as the ends;
        where the noise is shared it stays. What the ends have that diffusion alone does not give
        them, their corrections, fades from one to the other.
        """
        if not 2 <= frames <= 10_000:
            raise RequestError(f"frames must be 2 to 10000, got {frames}")
        za, zb = self._latent_of(a), self._latent_of(b)
        recipe = Recipe("interpolate", prompt=b.recipe.prompt, source=a.recipe.prompt)
        scale = [x.recipe.guidance or self.bundle.sampling.guidance for x in (a, b)]

        def drawn(f: float) -> Avatar:
            z = sampling.slerp(za, zb, f)
            noise = sampling.mix(a.recipe.noise, b.recipe.noise, f)
            guidance = (1 - f) * scale[0] + f * scale[1]
            steps, guidance = self._settings(a.recipe.steps, guidance)
            (planes,) = self.planes(z, [noise], steps, guidance, look=False)
            known = dataclasses.replace(recipe, steps=steps, guidance=guidance)
            return self._finished(planes, z, noise, known, a.recipe.seed)

        ends = {0.0: drawn(0.0), 1.0: drawn(1.0)}
        beyond = jnp.zeros(2)
        if self.looks is not None:
            beyond = [x.planes - end.planes for x, end in zip((a, b), ends.values(), strict=True)]
        places = np.linspace(0.0, 1.0, frames).tolist()
        between = []
        for f in track(places, "avatars") if track else places:
            frame = ends[f] if f in ends else drawn(f)
            planes = frame.planes + (1 - f) * beyond[0] + f * beyond[1]
            between.append(dataclasses.replace(frame, planes=planes))
        return between

    def with_refiner(self, avatar: Avatar) -> Avatar:
        """The avatar with this bundle's refiner, for one that was loaded from a folder or fitted.

        Avatars that this pipeline makes have it already. Any refiner can be asked about any
        picture; it learned from renderings like those of its own bundle.

        Raises:
          RequestError: the bundle has no refiner.
        """
        part = self.bundle.parts.get("refiner")
        if part is None:
            raise RequestError(f"{self.bundle.path}: this bundle has no refiner")
        return dataclasses.replace(avatar, refiner=part.module, refiner_params=part.params)

    def latent(
        self,
        prompt: str | None = None,
        image: str | os.PathLike | Image.Image | np.ndarray | None = None,
        seed: int = 0,
    ) -> Float[Array, "1 d"]:
        """The latent z that `generate` conditions on; arguments as there."""
        _check_seed(seed)
        return self._road(prompt, _given(prompt, image))(seed)

    def _road(
        self, prompt: str | None, picture: Picture | None
    ) -> Callable[[int], Float[Array, "1 d"]]:
        """From a seed to a latent of what is given: a sentence, a picture or nothing."""
        if prompt is not None:
            return functools.partial(self._text_latent, self._sentence(prompt))
        if picture is None:
            return self._free_latent
        z = self._image_latent(picture)
        return lambda seed: z

    def _portrait(self, picture: Picture | None) -> Portrait | None:
        """What the front should look like, pixel by pixel; None if nobody can tell."""
        if picture is None or self.looks is None or not self.bundle.sampling.portrait_steps:
            return None
        portrait = portraits.portrait_of(picture)
        if portrait is None:
            warnings.warn(
                "the person cannot be told from what is behind: only general looks are sought, a "
                "cut-out picture or one before a plain wall gives a likeness",
                PromptWarning, 3,
            )  # fmt: skip
        return portrait

    def _avatar(
        self,
        z: Float[Array, "1 d"],
        noise: sampling.Noise,
        steps: int | None,
        guidance: float | int | None,
        recipe: Recipe,
        seed: int | None,
        portrait: Portrait | None = None,
    ) -> Avatar:
        """The avatar of a latent and noise, and of a portrait if there is one."""
        steps, guidance = self._settings(steps, guidance)
        planes = self.planes(z, [noise], steps, guidance, look=portrait is None)
        if portrait is not None:
            alone = jax.tree.map(lambda x: x[None], portrait)
            planes = self.resembling(planes, z, alone, [noise])
        recipe = dataclasses.replace(recipe, steps=steps, guidance=guidance)
        return self._finished(planes[0], z, noise, recipe, seed)

    def _finished(
        self,
        planes: Float[Array, "3 h w c"],
        z: Float[Array, "1 d"],
        noise: sampling.Noise,
        recipe: Recipe,
        seed: int | None,
    ) -> Avatar:
        """The avatar of planes made of a latent and noise."""
        bundle = self.bundle
        decoder = bundle.parts["decoder"]
        recipe = dataclasses.replace(
            recipe,
            seed=seed,
            noise=noise,
            z=tuple(np.asarray(z[0], np.float64).tolist()),
            bundle=bundle.hash,
        )
        avatar = Avatar(planes, decoder.module, decoder.params, recipe)
        return self.with_refiner(avatar) if "refiner" in bundle.parts else avatar

    def _latent_of(self, avatar: Avatar) -> Float[Array, "1 d"]:
        if avatar.recipe.z is None or not avatar.recipe.noise:
            raise RequestError("this avatar was not sampled by a pipeline: it has no latent")
        z = jnp.asarray(avatar.recipe.z, jnp.float32)[None]
        if z.shape[1] != self.bundle.latent_dim:
            raise RequestError(
                f"the avatar's latent has {z.shape[1]} entries, this bundle's have "
                f"{self.bundle.latent_dim}: it was made by another bundle"
            )
        shape = (3, self.bundle.size, self.bundle.size, self.bundle.channels)
        if avatar.planes.shape != shape:
            raise RequestError(
                f"the avatar's planes are {list(avatar.planes.shape)}, this bundle's "
                f"{list(shape)}: it was made by another bundle"
            )
        return z


def _given(
    prompt: str | None, image: str | os.PathLike | Image.Image | np.ndarray | None
) -> Picture | None:
    """The picture, if one is given instead of a sentence."""
    if image is None:
        return None
    if prompt is not None:
        raise RequestError("give a prompt or an image, not both")
    if isinstance(image, str | os.PathLike):
        picture = read_image(os.fspath(image), min_edge=SMALLEST_IMAGE)
    else:
        picture = from_pixels(image, min_edge=SMALLEST_IMAGE)
    return portraits.framed(portraits.cut_out(picture))


def _check_seed(seed: int) -> None:
    if not 0 <= seed < 2**32:
        raise RequestError(f"seeds run from 0 to {2**32 - 1}, got {seed}")
