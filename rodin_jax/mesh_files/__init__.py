"""Mesh files: GLB, OBJ (with MTL and PNG if textured) and PLY."""

from rodin_jax.mesh_files.writing import FORMATS, TEXTURED, encode, form_of, write

__all__ = ["FORMATS", "TEXTURED", "encode", "form_of", "write"]
