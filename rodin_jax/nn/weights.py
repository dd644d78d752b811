"""Parameters on disk: nested dicts of arrays as one ``.safetensors`` file, no pickle anywhere.

A nested dict is stored flat, its keys joined with ``/``: ``{"params": {"Dense_0": {"kernel": k}}}``
becomes the tensor ``params/Dense_0/kernel``. Files are written beside their target and moved into
place, so a reader never sees half a file, and equal contents give equal bytes.

A tensor may be stored as int8, ``kernel``, with a scale for each entry of its last axis,
``kernel:scale``; it is read as their product.
"""

import json
import os
import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float, Int8
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

_SCALE = ":scale"
_LEVELS = 127  # of int8, to either side


class WeightsError(ValueError):
    """A weights file that cannot be trusted; the message is one line naming file and tensor."""


def flatten(params: Mapping[str, Any]) -> dict[str, Any]:
    """Nested dict -> ``{"a/b/c": leaf}`` in sorted order; keys must be text without ``/``."""
    flat = {}
    for key in sorted(params):
        if not isinstance(key, str) or not key or "/" in key:
            raise WeightsError(f"parameter names must be non-empty text without '/', got {key!r}")
        value = params[key]
        if isinstance(value, Mapping):
            flat |= {f"{key}/{name}": leaf for name, leaf in flatten(value).items()}
        else:
            flat[key] = value
    return flat


def group(tree: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    """The tensors under a name, none if there are none; raises `WeightsError` if it is a tensor."""
    found = tree.get(name, {})
    if not isinstance(found, Mapping):
        raise WeightsError(f"tensor {name!r} stands where a group of tensors is expected")
    return found


def unflatten(flat: Mapping[str, Any]) -> dict[str, Any]:
    """Inverse of `flatten`; raises `WeightsError` if a name is both a leaf and a group."""
    nested: dict[str, Any] = {}
    for name, leaf in flat.items():
        *groups, last = name.split("/")
        node = nested
        for group in groups:
            node = node.setdefault(group, {})
            if not isinstance(node, dict):
                raise WeightsError(f"tensor {name!r}: {group!r} is a tensor and a group at once")
        if last in node:
            raise WeightsError(f"tensor {name!r}: its name is also a group")
        node[last] = leaf
    return nested


def in_levels(params: Mapping[str, Any]) -> dict[str, Any]:
    """Parameters as `save_params` stores them in half the space of float16, for `load_params`.

    Kernels of layers, and whatever else has three axes or more, become int8 with a scale for each
    entry of the last axis, which loses about one per cent of a typical number. Others become
    float16: a regression's matrices may be large numbers that nearly cancel.
    """
    stored: dict[str, Any] = {}
    for name, leaf in flatten(params).items():
        array = np.asarray(leaf)
        if array.ndim < (2 if name.endswith("kernel") else 3):
            stored[name] = array.astype(np.float16)
            continue
        stored[name], stored[name + _SCALE] = levels(array)
    return unflatten(stored)


def levels(
    array: Float[np.ndarray, "*s k"],
) -> tuple[Int8[np.ndarray, "*s k"], Float[np.ndarray, "k"]]:
    """Whole numbers, and a scale for each entry of the last axis: their product is nearly it."""
    scale = np.abs(array.reshape(-1, array.shape[-1])).max(0) / _LEVELS
    stored = np.round(array / np.maximum(scale, 1e-30)).astype(np.int8)
    return stored, scale.astype(np.float32)


def save_params(
    path: str | os.PathLike,
    params: Mapping[str, Any],
    metadata: Mapping[str, str] | None = None,
    dtype: Any = None,
) -> Path:
    """Writes ``params`` atomically.

    Args:
      path: the ``.safetensors`` file; its folder must exist.
      params: nested dict of arrays.
      metadata: text fields for the header.
      dtype: storage type of floating-point tensors (e.g. ``"float16"``); others are kept.

    Raises:
      WeightsError: a tensor is not finite, or leaves the range of ``dtype``.
    """
    path = Path(path)
    tensors = {name: _stored(path, name, leaf, dtype) for name, leaf in flatten(params).items()}
    data = _canonical(save(tensors), metadata or {})
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        temporary.write_bytes(data)
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def load_params(path: str | os.PathLike, like: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Reads a nested dict of arrays; floating-point tensors come back as float32.

    Args:
      path: the ``.safetensors`` file.
      like: nested dict of anything with a ``shape`` (e.g. from `jax.eval_shape`); the file must
        hold exactly these tensors with these shapes.

    Raises:
      WeightsError: unreadable file, a tensor that is missing, unexpected, of another shape or
        type, or holds NaN or infinity.
    """
    path = Path(path)
    if not path.is_file():
        raise WeightsError(f"{path}: no such file")
    try:
        with safe_open(path, framework="numpy") as file:
            flat = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, OSError, TypeError, KeyError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise WeightsError(f"{path}: not a readable safetensors file ({reason})") from error
    flat = {name: _loaded(path, name, x) for name, x in _from_levels(path, flat).items()}
    try:
        nested = unflatten(flat)
    except WeightsError as error:
        raise WeightsError(f"{path}: {error}") from None
    if like is not None:
        check_layout(nested, like, str(path))
    return nested


def load_metadata(path: str | os.PathLike) -> dict[str, str]:
    """The text fields of a file's header."""
    try:
        with safe_open(path, framework="numpy") as file:
            return dict(sorted((file.metadata() or {}).items()))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"{path}: not a readable safetensors file") from error


def check_layout(params: Mapping[str, Any], like: Mapping[str, Any], where: str) -> None:
    """Raises `WeightsError` naming the first tensor in which ``params`` and ``like`` differ."""
    got = {name: tuple(leaf.shape) for name, leaf in flatten(params).items()}
    want = {name: tuple(leaf.shape) for name, leaf in flatten(like).items()}
    if missing := sorted(want.keys() - got.keys()):
        raise WeightsError(f"{where}: tensor {missing[0]!r} is missing ({len(missing)} in all)")
    if extra := sorted(got.keys() - want.keys()):
        raise WeightsError(f"{where}: unexpected tensor {extra[0]!r} ({len(extra)} in all)")
    for name, shape in want.items():
        if got[name] != shape:
            raise WeightsError(
                f"{where}: tensor {name!r} has shape {list(got[name])}, expected {list(shape)}"
            )


def _from_levels(path: Path, flat: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Undoes `in_levels`; raises `WeightsError` for a scale that fits no matrix."""
    read = dict(flat)
    for name in [name for name in flat if name.endswith(_SCALE)]:
        scale, of = read.pop(name), name.removesuffix(_SCALE)
        array = flat.get(of)
        if array is None or array.dtype != np.int8 or scale.shape != array.shape[-1:]:
            raise WeightsError(f"{path}: tensor {name!r} fits no whole numbers {of!r}")
        read[of] = array * scale
    return read


def _stored(path: Path, name: str, leaf, dtype) -> np.ndarray:
    array = np.asarray(leaf)
    if jnp.issubdtype(array.dtype, jnp.floating):
        if dtype is not None:
            with np.errstate(over="ignore"):
                array = array.astype(np.dtype(dtype))
        elif array.dtype == jnp.bfloat16:
            array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: tensor {name!r} is not finite as {array.dtype}")
    return np.asarray(array, order="C")


def _loaded(path: Path, name: str, array: np.ndarray) -> jax.Array:
    if jnp.issubdtype(array.dtype, jnp.floating):
        array = array.astype(np.float32)
        if not np.isfinite(array).all():
            raise WeightsError(f"{path}: tensor {name!r} holds NaN or infinity")
    return jax.device_put(array)  # jnp.asarray would compile a copy for every shape


def _canonical(data: bytes, metadata: Mapping[str, str]) -> bytes:
    """The file with ``metadata`` in sorted order: the library orders it by chance."""
    (length,) = struct.unpack("<Q", data[:8])
    header = json.loads(data[8 : 8 + length])
    if metadata:
        header = {"__metadata__": {k: str(metadata[k]) for k in sorted(metadata)}, **header}
    text = json.dumps(header, separators=(",", ":"), ensure_ascii=False).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data[8 + length :]


def check_shapes(
    stored: Mapping[str, Any], shapes: Mapping[str, tuple[int, ...]], where: str
) -> None:
    """Raises ValueError for the first array that is missing or of another shape."""
    for name, shape in shapes.items():
        if getattr(stored.get(name), "shape", None) != shape:
            raise ValueError(f"tensor '{where}/{name}' {list(shape)} is missing")


def check_places(places: Any, numbers: int, where: str) -> None:
    """Raises ValueError if one of these places is not among so many numbers."""
    places = np.asarray(places)
    if places.ndim != 1 or not np.issubdtype(places.dtype, np.integer):
        raise ValueError(f"tensor '{where}' is no list of whole numbers")
    if places.size and not 0 <= places.min() <= places.max() < numbers:
        raise ValueError(f"tensor '{where}' reaches beyond the planes")
