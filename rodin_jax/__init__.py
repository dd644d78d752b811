"""RODIN in JAX: 3D avatars from a sentence, a photo or nothing, by diffusion of tri-planes.

The names below are loaded when first used, so that ``import rodin_jax`` itself costs nothing.
"""

import importlib

__version__ = "0.1.0"

_HOME = {
    "Avatar": "rodin_jax.avatar",
    "Bundle": "rodin_jax.bundle",
    "BundleError": "rodin_jax.bundle",
    "Camera": "rodin_jax.cameras",
    "Field": "rodin_jax.types",
    "Rays": "rodin_jax.types",
    "Rendering": "rodin_jax.types",
    "RodinPipeline": "rodin_jax.pipeline",
    "load_bundle": "rodin_jax.bundle",
    "orbit": "rodin_jax.cameras",
    "render_image": "rodin_jax.rendering",
}

__all__ = ["__version__", *sorted(_HOME)]


def __getattr__(name: str):
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'rodin_jax' has no attribute {name!r}")


def __dir__():
    return __all__
