"""Programs that are kept between runs: Python is traced once, as XLA compiles once.

JAX's compilation cache spares a second start XLA's work but not the tracing of networks and
samplers, which takes longer than running them does. Here the traced program is kept beside it, as
`jax.export` writes it. It is found by all that it depends on: this package's sources, JAX, the
device, settings, static arguments, and the structure, shapes and types of all others.
"""

import functools
import hashlib
import inspect
import logging
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Any

import jax
import numpy as np
from jax import export

from rodin_jax import compile_cache
from rodin_jax.folders import whole_files

_SETTINGS = ("jax_enable_x64", "jax_default_matmul_precision", "jax_default_prng_impl")


def jit(static_argnames: Collection[str] = ()) -> Callable[[Callable], Callable]:
    """Like `jax.jit`, for functions that return arrays or tuples of them.

    Once `compile_cache.enable` has been called, calls from outside of other programs, on the
    first device, use kept programs; all others are those of `jax.jit`.

    Args:
      static_argnames: names of arguments that are part of the program; equal ones print alike.
    """
    return lambda function: _Kept(function, frozenset(static_argnames))


class _Kept:
    def __init__(self, function: Callable, static: frozenset[str]):
        functools.update_wrapper(self, function)
        self._static, self._signature = static, inspect.signature(function)
        self._jitted = jax.jit(function, static_argnames=tuple(static))
        self._loaded: dict[Any, Callable] = {}

    def __call__(self, *args, **kwargs):
        folder = compile_cache.traced()
        if folder is None:
            return self._jitted(*args, **kwargs)
        bound = self._signature.bind(*args, **kwargs)
        bound.apply_defaults()
        static = {k: v for k, v in bound.arguments.items() if k in self._static}
        dynamic = {k: v for k, v in bound.arguments.items() if k not in self._static}
        leaves, tree = jax.tree.flatten(dynamic)
        if not all(map(_is_plain, leaves)):
            return self._jitted(*args, **kwargs)
        raw, keys = [_raw(x) for x in leaves], tuple(map(_is_key, leaves))
        known = (tuple(static.items()), tree, tuple((x.shape, str(x.dtype)) for x in raw), keys)
        if known not in self._loaded:

            def flat(*raw):
                again = map(lambda x, key: jax.random.wrap_key_data(x) if key else x, raw, keys)
                return self.__wrapped__(**static, **jax.tree.unflatten(tree, again))

            self._loaded[known] = _program(folder / self._name(known), flat, raw)
        return self._loaded[known](*raw)

    def _cache_size(self) -> int:
        """How many programs there are, as `jax.jit`'s functions tell."""
        return self._jitted._cache_size() + len(self._loaded)

    def _name(self, known) -> str:
        device = jax.devices()[0]
        settings = [(name, getattr(jax.config, name, None)) for name in _SETTINGS]
        about = (
            _sources(), jax.__version__, device.platform, device.device_kind, settings,
            self.__module__, self.__qualname__, known,
        )  # fmt: skip
        return f"{self.__name__}-{hashlib.sha256(repr(about).encode()).hexdigest()[:32]}"


def _program(path: Path, function: Callable, arguments) -> Callable:
    """The compiled program of a function, read from a file, or else traced and kept there."""
    try:
        found = export.deserialize(bytearray(path.read_bytes()))
    except Exception as error:  # none there, damaged, or of another JAX: all are mended alike
        logging.debug("%s: tracing (%s)", path, error)
        try:
            found = export.export(jax.jit(function))(*arguments)
            path.parent.mkdir(exist_ok=True)
            with whole_files(path) as (hidden,):
                hidden.write_bytes(found.serialize())
        except Exception as refused:  # not everything can be exported, nor every disk written
            logging.debug("%s: not kept (%s)", path, refused)
            return jax.jit(function)
    return jax.jit(found.call)


def _is_plain(x) -> bool:
    """Whether a value is one that a kept program can be called with."""
    if isinstance(x, jax.Array):
        return not isinstance(x, jax.core.Tracer) and x.devices() == {jax.devices()[0]}
    return isinstance(x, np.ndarray | np.generic | float)


def _is_key(x) -> bool:
    return isinstance(x, jax.Array) and jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key)


def _raw(x):
    if _is_key(x):
        return jax.random.key_data(x)
    return np.float32(x) if isinstance(x, float) else x


@functools.cache
def _sources() -> str:
    """Names what this package does: SHA-256 of its sources."""
    digest = hashlib.sha256()
    root = Path(__file__).parent
    for path in sorted(root.rglob("*.py")):
        digest.update(f"{path.relative_to(root)}\n".encode() + path.read_bytes())
    return digest.hexdigest()
