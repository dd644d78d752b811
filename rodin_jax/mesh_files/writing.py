"""A mesh in files of any format, written whole or not at all."""

import os
from collections.abc import Mapping
from pathlib import Path

from rodin_jax import png
from rodin_jax.folders import whole_files
from rodin_jax.mesh_files.gltf import glb
from rodin_jax.mesh_files.ply import ply
from rodin_jax.mesh_files.wavefront import mtl, obj
from rodin_jax.meshing import Mesh

FORMATS = ("glb", "obj", "ply")
# Those that can show a texture; PLY has vertex colours only.
TEXTURED = ("glb", "obj")


def form_of(path: str | os.PathLike, *, texture: bool = False) -> str:
    """The format that the suffix of ``path`` names.

    Raises:
      ValueError: it names none, or one without the textures that are asked for.
    """
    form = Path(path).suffix.lower().lstrip(".")
    known = TEXTURED if texture else FORMATS
    if form not in known:
        what = "a mesh with a texture" if texture else "a mesh"
        raise ValueError(f"{path}: {what} is one of {', '.join(known)}")
    return form


def encode(
    mesh: Mesh, form: str, provenance: Mapping | None = None, name: str = "mesh"
) -> dict[str, bytes]:
    """The files of a mesh, by their names; equal input gives equal bytes.

    Args:
      mesh: the mesh; PLY leaves out its texture.
      form: one of `FORMATS`.
      provenance: the record that goes into every file.
      name: of the files, without suffix.

    Returns:
      ``name.form`` last, after the files that it refers to.
    """
    record = provenance or {}
    if form == "glb":
        return {f"{name}.glb": glb(mesh, record)}
    if form == "ply":
        return {f"{name}.ply": ply(mesh, record)}
    if form != "obj":
        raise ValueError(f"mesh format must be one of {', '.join(FORMATS)}, got {form!r}")
    if mesh.texture is None:
        return {f"{name}.obj": obj(mesh, record)}
    if not name.isprintable():
        raise ValueError(f"{name!r}: an OBJ cannot refer to a file of this name")
    # Not name.png, which may well be a picture of the avatar.
    picture = f"{name}_texture.png"
    return {
        picture: png.encode(mesh.texture.image, record),
        f"{name}.mtl": mtl(record, picture),
        f"{name}.obj": obj(mesh, record, f"{name}.mtl"),
    }


def write(
    path: str | os.PathLike, mesh: Mesh, provenance: Mapping | None = None, form: str | None = None
) -> list[Path]:
    """Writes a mesh, whole or not at all; returns its files, ``path`` last.

    Args:
      path: the file to write; a textured OBJ's ``NAME.mtl`` and ``NAME_texture.png`` go beside it.
      mesh: the mesh.
      provenance: the record that goes into every file.
      form: one of `FORMATS`; default: what the suffix of ``path`` names.

    Raises:
      OutputError: a file cannot be written.
      ValueError: the format is not known.
    """
    path = Path(path)
    files = encode(mesh, form or form_of(path), provenance, path.stem)
    *beside, _ = files
    targets = [*(path.with_name(name) for name in beside), path]
    with whole_files(*targets) as places:
        for place, data in zip(places, files.values(), strict=True):
            place.write_bytes(data)
    return targets
