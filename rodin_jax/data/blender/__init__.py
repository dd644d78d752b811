"""The same people as `rodin_jax.data.avatars`, rendered by Blender: hair of single strands, skin
that light enters, cloth and leather. It needs the extra ``rodin_jax[blender]``.

``parts``, ``fields``, ``head``, ``face``, ``hair*``, ``clothes``, ``accessories`` and ``person``
make arrays and run anywhere; ``materials``, ``scene``, ``camera`` and ``render`` talk to Blender
and import it when they are called.
"""

import importlib.util

INSTALL = "pip install 'rodin_jax[blender]'"


class BlenderMissingError(ValueError):
    """Blender's Python module is not installed."""


def require() -> None:
    """Raises `BlenderMissingError` unless Blender's module ``bpy`` is installed."""
    if importlib.util.find_spec("bpy") is None:
        raise BlenderMissingError(
            f"source blender needs Blender's module bpy: {INSTALL} (Python 3.11 or 3.13)"
        )
