"""The optional libraries that make meshes light and textured: loaded when asked for."""

import importlib
from types import ModuleType

INSTALL = "pip install 'rodin_jax[mesh]'"


class MeshExtraError(ValueError):
    """A library of the extra ``rodin_jax[mesh]`` is not installed; one line says how to get it."""


def simplifier() -> ModuleType:
    """The library that removes faces, or `MeshExtraError`."""
    return _load("fast_simplification", "fast-simplification", "a mesh of fewer faces")


def unwrapper() -> ModuleType:
    """The library that cuts a surface into flat charts, or `MeshExtraError`."""
    return _load("xatlas", "xatlas", "a texture")


def _load(module: str, package: str, purpose: str) -> ModuleType:
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise MeshExtraError(f"{purpose} needs the package {package}: {INSTALL}") from error
