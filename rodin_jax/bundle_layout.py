"""Whether the tensors of a bundle are those that its networks describe.

Asking a network for its parameters takes as long as running it once, two seconds for all of a
bundle, so what was found in order is remembered in the user's cache folder.
"""

import functools
import hashlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import flax
import jax
import jax.numpy as jnp

from rodin_jax import nn
from rodin_jax.compile_cache import user_cache
from rodin_jax.nn import weights


class DescriptionError(ValueError):
    """A description from which no network can be made.

    Attributes:
      part: whose.
    """

    def __init__(self, part: str, message: str):
        super().__init__(message)
        self.part = part


def check_layouts(
    folder: Path, content: str, parts: Mapping[str, Any], planes: Mapping[str, int]
) -> None:
    """Compares every part's tensors with the shapes of its network's parameters.

    Args:
      folder: the bundle's.
      content: names what is in it, see `rodin_jax.bundle.content_hash`.
      parts: `rodin_jax.bundle.Part` by name.
      planes: size, base_size and channels.

    Raises:
      DescriptionError: a network cannot be made.
      WeightsError: the first tensor that does not fit.
    """
    found_good = _memory(content)
    if found_good is not None and found_good.exists():
        return
    for name, part in parts.items():
        inputs = _inputs(name, parts, planes)
        try:
            like = jax.eval_shape(part.module.init, jax.random.key(0), *inputs)["params"]
        except Exception as error:
            raise DescriptionError(name, str(error)) from error
        weights.check_layout(part.params, like, f"{folder / name}.safetensors: params")
    _remember(found_good)


def _memory(content: str) -> Path | None:
    """The file whose presence says that these contents fit these networks."""
    try:
        return user_cache("layouts") / f"{content}-{_networks()}"
    except RuntimeError:  # there is no home
        return None


def _remember(file: Path | None) -> None:
    if file is None:
        return
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.touch()
    except OSError:
        pass  # then it is found out again next time


@functools.cache
def _networks() -> str:
    """Names the code that describes the networks: 16 hexadecimal digits."""
    digest = hashlib.sha256(flax.__version__.encode())
    for source in sorted(Path(nn.__file__).parent.glob("*.py")):
        digest.update(source.read_bytes())
    return digest.hexdigest()[:16]


def _inputs(name: str, parts: Mapping[str, Any], planes: Mapping[str, int]) -> tuple:
    """Shapes that a network is initialised with."""
    size, base, c = planes["size"], planes["base_size"], planes["channels"]
    clip = parts["clip"].module
    f32 = functools.partial(jax.ShapeDtypeStruct, dtype=jnp.float32)
    t = jax.ShapeDtypeStruct((1,), jnp.int32)
    tokens = jax.ShapeDtypeStruct((1, clip.text_length), jnp.int32)
    words, z = f32((1, clip.text_length, clip.text_width)), f32((1, clip.dim))
    rank, edge = (getattr(parts[name].module, n, 1) for n in ("rank", "image_size"))
    return {
        "decoder": (f32((1, c)), f32((1, 3))),
        "base": (f32((1, 3, base, base, c)), t, z),
        "upsampler": (f32((1, 3, size, size, c)), f32((1, 3, base, base, c)), t),
        "latent": (z, t),
        "text": (z, t, words, z, jax.ShapeDtypeStruct((1, clip.text_length), jnp.bool_)),
        "clip": (f32((1, clip.image_size, clip.image_size, 3)), tokens),
        "eigenplanes": (f32((1, rank)), t, z),
        "visage": (z,),
        "refiner": (f32((1, 8, 8, 3)),),
        "probe": (f32((1, edge, edge, 3)),),
    }[name]
