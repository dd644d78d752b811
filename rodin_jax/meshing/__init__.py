"""Coloured surfaces of radiance fields, and what makes them light and textured."""

from rodin_jax.meshing.decimation import decimate
from rodin_jax.meshing.extra import MeshExtraError
from rodin_jax.meshing.extraction import EmptyMeshError, Mesh, extract, vertex_normals
from rodin_jax.meshing.texturing import Texture, bake

__all__ = [
    "EmptyMeshError",
    "Mesh",
    "MeshExtraError",
    "Texture",
    "bake",
    "decimate",
    "extract",
    "vertex_normals",
]
