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
from jaxtyping import Array, Float, Float32, UInt8
from numpy.typing import ArrayLike

from rodin_jax import avatar_programs, mesh_files, meshing, occupancy, preview, provenance
from rodin_jax.folders import whole_folder
from rodin_jax.layers import Layers
from rodin_jax.nn import weights
from rodin_jax.nn.decoder import Decoder

FORMAT = 1
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
        return avatar_programs.survey(self.decoder, self.params, self.planes)

    def render(
        self,
        azimuth: ArrayLike = 0.0,
        elevation: ArrayLike = 0.0,
        size: int = 256,
        *,
        background: tuple[float | int, float | int, float | int] | None = (1.0, 1.0, 1.0),
        radius: ArrayLike = _RADIUS,
        fov: ArrayLike = _FOV,
        samples: int = 16,
    ) -> UInt8[np.ndarray, "*b size size c"]:
        """Pictures from cameras on a sphere around the avatar.

        Arrays of angles, radii and fields of view are broadcast against each other; four numbers
        give one picture without batch axes. One program, compiled once for a size, makes all.

        Args:
          azimuth: degrees; 0 sees the face, 90 stands at the subject's left.
          elevation: degrees above the horizon.
          size: pixels along each edge.
          background: RGB in [0, 1]; None gives straight-alpha RGBA instead of RGB.
          radius: distance of the camera.
          fov: its angle of view in degrees.
          samples: field evaluations a ray.
        """
        views = _views(azimuth, elevation, radius, fov, size)
        pictures = []
        for rgba in self._each(avatar_programs.render, views, size, samples):
            if background is not None:
                rgba = preview.over(rgba, np.asarray(background, np.float32))
            pictures.append(preview.to_bytes(rgba))
        shape = (*views.shape[:-1], size, size, 4 if background is None else 3)
        return np.array(pictures, np.uint8).reshape(shape)

    def layers(
        self,
        azimuth: ArrayLike = 0.0,
        elevation: ArrayLike = 0.0,
        size: int = 256,
        *,
        radius: ArrayLike = _RADIUS,
        fov: ArrayLike = _FOV,
        samples: int = 16,
    ) -> Layers:
        """Pictures with the depth and the normal behind each pixel; arguments as in `render`."""
        views = _views(azimuth, elevation, radius, fov, size)
        maps = list(self._each(avatar_programs.layers, views, size, samples))
        maps = np.array(maps, np.float32).reshape(*views.shape[:-1], size, size, 8)
        return Layers(rgba=maps[..., :4], depth=maps[..., 4], normals=maps[..., 5:])

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
        self,
        resolution: int = Media.resolution,
        faces: int | None = None,
        texture: int | None = None,
        *,
        level: float | int = 10.0,
    ) -> meshing.Mesh:
        """A closed, coloured mesh in world units; see `meshing.extract`.

        A field that is nowhere as dense as ``level`` is cut at half of its largest density.

        Args:
          resolution: of the grid that finds the surface.
          faces: at most so many; None keeps all, and then the mesh is watertight.
          texture: texels along an edge of a colour texture; None makes none. It takes a minute or
            more for a mesh of a hundred thousand faces, seconds for one of 20 000.
          level: density of the surface.

        Raises:
          MeshExtraError: faces or a texture are asked for without ``rodin_jax[mesh]``.
        """
        level = min(level, 0.5 * float(self.grid.density.max()))
        return meshing.extract(
            functools.partial(avatar_programs.density, self.decoder, self.params, self.planes),
            functools.partial(avatar_programs.colour, self.decoder, self.params, self.planes),
            resolution=resolution,
            level=level,
            within=np.asarray(self.grid.occupied) if level >= 1.0 else None,
            faces=faces,
            texture=texture,
            chunk=avatar_programs.CHUNK,
        )

    def export(
        self,
        path: str | os.PathLike,
        resolution: int = Media.resolution,
        faces: int | None = None,
        texture: int | None = None,
    ) -> Path:
        """Writes the mesh as ``.glb``, ``.obj`` or ``.ply``, whole or not at all; see `mesh`.

        A textured OBJ ``NAME.obj`` comes with ``NAME.mtl`` and ``NAME_texture.png``.

        Raises:
          OutputError: a file cannot be written.
          ValueError: the suffix names no format, or PLY is to have a texture.
        """
        mesh_files.form_of(path, texture=texture is not None)
        mesh = self.mesh(resolution, faces=faces, texture=texture)
        return mesh_files.write(path, mesh, self.recipe.provenance())[-1]

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
        mesh_files.write(folder / "mesh.glb", self.mesh(media.resolution), record)

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

    def _each(self, program, views, size: int, samples: int):
        """What ``program`` makes of the views, one at a time: memory does not grow with them."""
        for view in views.reshape(-1, 4):
            yield np.asarray(
                program(self.decoder, self.params, self.planes, self.grid, view, size, samples)
            )

    def _turn(self, frames: int, size: int, elevation: float, track: Track | None = None):
        """RGBA views at even azimuths, the first from the front."""
        angles = np.arange(frames) * (360.0 / frames)
        angles = track(angles, "views") if track else angles
        return [self.render(a, elevation, size, background=None) for a in angles]

    def _sheet(self, around, size: int):
        portrait = self.render(25.0, 8.0, size, background=None, radius=0.88 * _RADIUS)
        return preview.contact_sheet(portrait, around)


def _views(azimuth, elevation, radius, fov, size: int) -> Float32[np.ndarray, "*b 4"]:
    """The cameras' numbers, broadcast against each other, as the programs take them."""
    if size < 1:
        raise ValueError(f"size must be positive, got {size}")
    views = np.broadcast_arrays(
        *(np.asarray(x, np.float32) for x in (azimuth, elevation, radius, fov))
    )
    return np.stack(views, axis=-1)


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
