"""An avatar: a tri-plane with the decoder that reads it, and how it came to be.

On disk an avatar is a folder: ``planes.safetensors`` (planes and decoder weights, so that it opens
without its bundle, and the refiner's if asked for), ``avatar.json`` (recipe and provenance) and,
for people, ``preview.png``, ``turntable.mp4`` and ``mesh.glb``.
"""

import dataclasses
import functools
import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Array, Float, Float32, UInt8
from numpy.typing import ArrayLike

from rodin_jax import (
    avatar_files,
    avatar_programs,
    mesh_files,
    meshing,
    occupancy,
    preview,
    provenance,
)
from rodin_jax.avatar_files import AvatarError, Recipe
from rodin_jax.cameras import FOV, RADIUS
from rodin_jax.folders import whole_folder
from rodin_jax.layers import Layers
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.refiner import Refiner

__all__ = ["QUICK", "Avatar", "AvatarError", "Media", "Recipe"]

_ELEVATION = 5.0
_TURN_SECONDS = 2.0

Track = Callable[[Iterable, str], Iterable]


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
class Avatar:
    """A 3D avatar in the cube [-1, 1]^3, z up, facing -y.

    Attributes:
      planes: features, not normalised.
      decoder: the network that reads them.
      params: its weights.
      recipe: where it comes from.
      refiner: the network behind ``render(refine=True)``, None if there is none.
      refiner_params: its weights.
    """

    planes: Float[Array, "3 h w c"]
    decoder: Decoder
    params: Any
    recipe: Recipe
    refiner: Refiner | None = None
    refiner_params: Any = None

    @functools.cached_property
    def grid(self) -> occupancy.Occupancy:
        """Where there is anything; of generated ones, where their body is."""
        whole = self.recipe.method != "fit"
        return avatar_programs.survey(self.decoder, self.params, self.planes, whole)

    def render(
        self,
        azimuth: ArrayLike = 0.0,
        elevation: ArrayLike = 0.0,
        size: int = 256,
        *,
        background: tuple[float | int, float | int, float | int] | None = (1.0, 1.0, 1.0),
        radius: ArrayLike = RADIUS,
        fov: ArrayLike = FOV,
        samples: int = 16,
        refine: bool = False,
    ) -> UInt8[np.ndarray, "*b size size c"]:
        """Pictures from cameras on a sphere around the avatar.

        Arrays of angles, radii and fields of view are broadcast against each other; four numbers
        give one picture without batch axes. One program, compiled once for a size, makes all. Fits
        whose pixels were areas are drawn so, by as many rays, see `Recipe.split`.

        Args:
          azimuth: degrees; 0 sees the face, 90 stands at the subject's left.
          elevation: degrees above the horizon.
          size: pixels along each edge.
          background: RGB in [0, 1]; None gives straight-alpha RGBA instead of RGB.
          radius: distance of the camera.
          fov: its angle of view in degrees.
          samples: field evaluations a ray.
          refine: render at half of ``size`` and let the bundle's refiner complete the details
            (paper 3.3). It sees colours in front of the background and gives the same: there is no
            refined alpha, and `layers` are not refined.

        Raises:
          ValueError: refine is asked for, but this avatar has no refiner, ``size`` is odd, or there
            is no background.
        """
        if refine:
            self._check_refine(size, background)
        views = _views(azimuth, elevation, radius, fov, size)
        pictures = []
        static = size // (1 + refine), samples, self.recipe.split or 1
        for rgba in self._each(avatar_programs.render, views, *static):
            if background is not None:
                rgba = preview.over(rgba, np.asarray(background, np.float32))
            if refine:
                program = avatar_programs.refine
                rgba = np.asarray(program(self.refiner, self.refiner_params, rgba))
            pictures.append(preview.to_bytes(rgba))
        shape = (*views.shape[:-1], size, size, 4 if background is None else 3)
        return np.array(pictures, np.uint8).reshape(shape)

    def layers(
        self,
        azimuth: ArrayLike = 0.0,
        elevation: ArrayLike = 0.0,
        size: int = 256,
        *,
        radius: ArrayLike = RADIUS,
        fov: ArrayLike = FOV,
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
        refiner: bool = False,
    ) -> Path:
        """Writes the avatar's folder, whole or not at all; returns its path.

        Files of the same names are replaced. The same avatar gives the same bytes.

        Args:
          directory: where; parents are made.
          media: sizes of pictures, film and mesh; None writes only what `load` reads.
          track: wraps the iteration over views, e.g. in a progress bar.
          refiner: the folder carries the refiner, if there is one, often more than all else of it.
            Otherwise `RodinPipeline.with_refiner` gives the loaded avatar its bundle's.

        Raises:
          OutputError: the folder cannot be written.
        """
        with whole_folder(directory) as folder:
            self.write(folder, media=media, track=track, refiner=refiner)
        return Path(directory)

    def write(
        self,
        folder: Path,
        *,
        media: Media | None,
        track: Track | None = None,
        refiner: bool = False,
    ) -> None:
        """`save` into a folder that exists, file by file."""
        record = self.recipe.provenance()
        carried = (self.refiner, self.refiner_params) if refiner else (None, None)
        avatar_files.write(folder, self.planes, self.decoder, self.params, self.recipe, *carried)
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
        return cls(*avatar_files.read(directory))

    def _check_refine(self, size: int, background) -> None:
        if self.refiner is None:
            raise ValueError(
                "this avatar has no refiner: its bundle has none, or it comes from a folder or a "
                "fit, and then RodinPipeline.with_refiner(avatar) gives it the bundle's"
            )
        if size % 2:
            raise ValueError(f"size must be even for refined pictures, got {size}")
        if background is None:
            raise ValueError("refined pictures are opaque: they need a background")

    def _each(self, program, views, *static: int):
        """What ``program`` makes of the views, one at a time: memory does not grow with them."""
        for view in views.reshape(-1, 4):
            yield np.asarray(
                program(self.decoder, self.params, self.planes, self.grid, view, *static)
            )

    def _turn(self, frames: int, size: int, elevation: float, track: Track | None = None):
        """RGBA views at even azimuths, the first from the front."""
        angles = np.arange(frames) * (360.0 / frames)
        angles = track(angles, "views") if track else angles
        return [self.render(a, elevation, size, background=None) for a in angles]

    def _sheet(self, around, size: int):
        portrait = self.render(25.0, 8.0, size, background=None, radius=0.88 * RADIUS)
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


def _opaque(pictures):
    backdrop = preview.backdrop(pictures[0].shape[0])
    return [preview.to_bytes(preview.over(p.astype(np.float32) / 255, backdrop)) for p in pictures]
