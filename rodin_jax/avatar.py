"""An avatar: a tri-plane with the decoder that reads it, and how it came to be.

On disk an avatar is a folder: ``planes.safetensors`` (planes and decoder weights, so that it opens
without its bundle), ``avatar.json`` (recipe and provenance) and, for people, ``preview.png``,
``turntable.mp4`` and ``mesh.glb``.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from rodin_jax import gltf, meshing, occupancy, preview, provenance
from rodin_jax.cameras import orbit
from rodin_jax.folders import whole_folder
from rodin_jax.nn import weights
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.decoder import density as planes_density
from rodin_jax.nn.decoder import field as planes_field

FORMAT = 1
_GRID, _CHUNK = 64, 65536
# The camera that the training pictures were taken with (`data.avatars.front_camera`).
_RADIUS, _FOV = 3.0, 40.0
_ELEVATION = 5.0
_TURN_SECONDS = 2.0

Track = Callable[[Iterable, str], Iterable]


class AvatarError(ValueError):
    """A folder that is not an avatar; the message is one line naming file and field."""


@dataclasses.dataclass(frozen=True)
class Media:
    """Sizes of what `Avatar.save` writes for people.

    Attributes:
      frames: of the turntable, a multiple of 8; every eighth turn is on the contact sheet.
      size: pixels along an edge of the film and of the small views.
      portrait: pixels along an edge of the large view.
      resolution: grid of the mesh.
    """

    frames: int = 40
    size: int = 192
    portrait: int = 384
    resolution: int = 128


QUICK = Media(frames=16, size=96, portrait=192, resolution=64)


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an avatar was made from; enough to make it again, or to change one thing about it.

    Attributes:
      method: "generate", "edit", "interpolate" or "fit".
      prompt: the sentence, if one was given.
      image: name of the picture, if one was given.
      source: of an edit, what the prompt is contrasted with.
      seed: of the random numbers.
      noise: (seed, weight) of each normal draw whose weighted sum started the diffusion.
      z: the latent it was conditioned on, None without diffusion.
      steps: sampling steps of the base model.
      guidance: classifier-free guidance scale of the base model.
      bundle: hash of the bundle.
    """

    method: str
    prompt: str | None = None
    image: str | None = None
    source: str | None = None
    seed: int | None = None
    noise: tuple[tuple[int, float], ...] = ()
    z: tuple[float, ...] | None = None
    steps: int | None = None
    guidance: float | None = None
    bundle: str | None = None

    def provenance(self) -> dict[str, Any]:
        """The record for the files' metadata."""
        notice = "fitted to a capture" if self.method == "fit" else provenance.SYNTHETIC
        return provenance.fields(
            notice=notice, prompt=self.prompt, seed=self.seed, bundle=self.bundle
        )


@dataclasses.dataclass(frozen=True)
class Avatar:
    """A 3D avatar in the cube [-1, 1]^3, z up, facing -y.

    Attributes:
      planes: features, not normalised.
      decoder: the network that reads them.
      params: its weights.
      recipe: where it comes from.
    """

    planes: Float[Array, "3 h w c"]
    decoder: Decoder
    params: Any
    recipe: Recipe

    @functools.cached_property
    def grid(self) -> occupancy.Occupancy:
        """Where there is anything."""
        return _survey(self.decoder, self.params, self.planes)

    def render(
        self,
        azimuth: float | int = 0.0,
        elevation: float | int = 0.0,
        size: int = 256,
        *,
        background: tuple[float | int, float | int, float | int] | None = (1.0, 1.0, 1.0),
        radius: float | int = _RADIUS,
        fov: float | int = _FOV,
        samples: int = 16,
    ) -> UInt8[np.ndarray, "size size c"]:
        """A picture from a camera on a sphere around the avatar.

        Args:
          azimuth: degrees; 0 sees the face, 90 stands at the subject's left.
          elevation: degrees above the horizon.
          size: pixels along each edge.
          background: RGB in [0, 1]; None gives straight-alpha RGBA instead of RGB.
          radius: distance of the camera.
          fov: its angle of view in degrees.
          samples: field evaluations a ray.
        """
        if size < 1:
            raise ValueError(f"size must be positive, got {size}")
        view = np.array([azimuth, elevation, radius, fov], np.float32)
        rgba = np.asarray(
            _render(self.decoder, self.params, self.planes, self.grid, view, size, samples)
        )
        if background is None:
            return preview.to_bytes(rgba)
        return preview.to_bytes(preview.over(rgba, np.asarray(background, np.float32)))

    def turntable(
        self,
        path: str | os.PathLike,
        *,
        frames: int = Media.frames,
        size: int = Media.size,
        elevation: float | int = _ELEVATION,
        track: Track | None = None,
    ) -> Path:
        """Writes a film of one turn around the avatar (H.264, plays in browsers)."""
        pictures = self._turn(frames, size, elevation, track)
        return provenance.save_video(
            path, _opaque(pictures), self.recipe.provenance(), fps=_fps(pictures)
        )

    def mesh(
        self, resolution: int = Media.resolution, *, level: float | int = 10.0
    ) -> meshing.Mesh:
        """A watertight, coloured mesh in world units; see `meshing.extract`.

        A field that is nowhere as dense as ``level`` is cut at half of its largest density.
        """
        level = min(level, 0.5 * float(self.grid.density.max()))
        return meshing.extract(
            functools.partial(_density, self.decoder, self.params, self.planes),
            functools.partial(_colour, self.decoder, self.params, self.planes),
            resolution=resolution,
            level=level,
            within=np.asarray(self.grid.occupied) if level >= 1.0 else None,
            chunk=_CHUNK,
        )

    def export(self, path: str | os.PathLike, resolution: int = Media.resolution) -> Path:
        """Writes the mesh as ``.glb``, ``.obj`` or ``.ply``."""
        return gltf.write(path, self.mesh(resolution), self.recipe.provenance())

    def preview(self) -> UInt8[np.ndarray, "h w 3"]:
        """A contact sheet: a portrait and eight views around."""
        return self._sheet(self._turn(8, Media.size, _ELEVATION), Media.portrait)

    def save(
        self,
        directory: str | os.PathLike,
        *,
        media: Media | None = Media(),
        track: Track | None = None,
    ) -> Path:
        """Writes the avatar's folder, whole or not at all; returns its path.

        Files of the same names are replaced. The same avatar gives the same bytes.

        Args:
          directory: where; parents are made.
          media: sizes of pictures, film and mesh; None writes only what `load` reads.
          track: wraps the iteration over views, e.g. in a progress bar.

        Raises:
          OutputError: the folder cannot be written.
        """
        with whole_folder(directory) as folder:
            self.write(folder, media=media, track=track)
        return Path(directory)

    def write(self, folder: Path, *, media: Media | None, track: Track | None = None) -> None:
        """`save` into a folder that exists, file by file."""
        record = self.recipe.provenance()
        recipe = {k: v for k, v in dataclasses.asdict(self.recipe).items() if v is not None}
        tensors = {"planes": self.planes, "decoder": self.params}
        weights.save_params(folder / "planes.safetensors", tensors)
        document = {"format": FORMAT, **record, **recipe, "decoder": _hyperparameters(self.decoder)}
        (folder / "avatar.json").write_text(json.dumps(document, indent=1) + "\n")
        if media is None:
            return
        if media.frames < 8 or media.frames % 8:
            raise ValueError(f"media.frames must be a multiple of 8, got {media.frames}")
        frames = self._turn(media.frames, media.size, _ELEVATION, track)
        sheet = self._sheet(frames[:: media.frames // 8], media.portrait)
        provenance.save_png(folder / "preview.png", sheet, record)
        provenance.save_video(folder / "turntable.mp4", _opaque(frames), record, fps=_fps(frames))
        gltf.write(folder / "mesh.glb", self.mesh(media.resolution), record)

    @classmethod
    def load(cls, directory: str | os.PathLike) -> "Avatar":
        """Reads a folder written by `save`; its bundle is not needed.

        Raises:
          AvatarError: not an avatar's folder, or damaged.
        """
        path = Path(directory) / "avatar.json"
        if not path.is_file():
            raise AvatarError(f"{directory}: not an avatar, there is no avatar.json in it")
        try:
            document = json.loads(path.read_text(encoding="utf-8"))
            if document["format"] != FORMAT:
                raise AvatarError(f"{path}: format {document['format']!r}, expected {FORMAT}")
            recipe = _recipe(document)
            decoder = Decoder(**document["decoder"])
        except AvatarError:
            raise
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise AvatarError(f"{path}: damaged ({type(error).__name__}: {error})") from error
        file = path.with_name("planes.safetensors")
        try:
            tensors = weights.load_params(file)
            planes = tensors.get("planes")
            if planes is None or planes.ndim != 4 or planes.shape[0] != 3:
                raise AvatarError(f"{file}: tensor 'planes' must have the shape [3, h, w, c]")
            like = jax.eval_shape(
                decoder.init, jax.random.key(0), jnp.zeros((1, planes.shape[-1])), jnp.zeros((1, 3))
            )
            weights.check_layout(tensors.get("decoder", {}), like["params"], f"{file}: decoder")
        except weights.WeightsError as error:
            raise AvatarError(str(error)) from error
        return cls(planes, decoder, tensors["decoder"], recipe)

    def _turn(self, frames: int, size: int, elevation: float, track: Track | None = None):
        """RGBA views at even azimuths, the first from the front."""
        angles = np.arange(frames) * (360.0 / frames)
        angles = track(angles, "views") if track else angles
        return [self.render(a, elevation, size, background=None) for a in angles]

    def _sheet(self, around, size: int):
        portrait = self.render(25.0, 8.0, size, background=None, radius=0.88 * _RADIUS)
        return preview.contact_sheet(portrait, around)


def _fps(frames) -> int:
    """A turn lasts two seconds, unless that would flicker."""
    return max(8, round(len(frames) / _TURN_SECONDS))


def _hyperparameters(decoder: Decoder) -> dict[str, Any]:
    """The decoder's constructor arguments; flax adds ``parent`` and ``name`` to the fields."""
    names = [f.name for f in dataclasses.fields(decoder) if f.name not in ("parent", "name")]
    return {name: getattr(decoder, name) for name in names}


def _opaque(pictures):
    backdrop = preview.backdrop(pictures[0].shape[0])
    return [preview.to_bytes(preview.over(p.astype(np.float32) / 255, backdrop)) for p in pictures]


def _recipe(document: dict) -> Recipe:
    names = {field.name for field in dataclasses.fields(Recipe)}
    known = {name: value for name, value in document.items() if name in names}
    known["noise"] = tuple((int(seed), float(w)) for seed, w in known.get("noise", ()))
    if known.get("z") is not None:
        known["z"] = tuple(float(x) for x in known["z"])
        if not np.isfinite(known["z"]).all():
            raise ValueError("field 'z' is not finite")
    return Recipe(**known)


@functools.partial(jax.jit, static_argnums=0)
def _survey(decoder, params, planes):
    def density(points):
        return planes_density(decoder, params, planes, points)

    return occupancy.survey(density, _GRID, chunk=_CHUNK)


@functools.partial(jax.jit, static_argnums=(0, 5, 6))
def _render(decoder, params, planes, grid, view, size, samples):
    """Straight-alpha RGBA in [0, 1], ``[size, size, 4]``; view: azimuth, elevation, radius, fov."""
    camera = orbit(view[0], view[1], size, radius=view[2], fov=view[3])
    field = planes_field(decoder, params, planes)
    picture = occupancy.render_view(field, grid, camera, size, size, samples=samples)
    alpha = picture.alpha[..., None]
    rgb = picture.rgb / jnp.maximum(alpha, 1e-3)
    return jnp.clip(jnp.concatenate([rgb, alpha], axis=-1), 0.0, 1.0)


@functools.partial(jax.jit, static_argnums=0)
def _density(decoder, params, planes, points):
    return planes_density(decoder, params, planes, points)


@functools.partial(jax.jit, static_argnums=0)
def _colour(decoder, params, planes, points, directions):
    return planes_field(decoder, params, planes)(points, directions)[1]
