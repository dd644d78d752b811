"""JAX's persistent compilation cache, so that a program compiles once and not at every start."""

import os
from pathlib import Path

_enabled: Path | None = None


def user_cache(name: str) -> Path:
    """The folder ``rodin_jax/NAME`` in ``$XDG_CACHE_HOME`` or ``~/.cache``; it need not exist.

    Raises:
      RuntimeError: there is no home.
    """
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "rodin_jax" / name


def enable() -> Path | None:
    """Turns the cache on in the user's cache folder; call it before the first compilation.

    The folder is ``$JAX_COMPILATION_CACHE_DIR`` if set, else ``rodin_jax/xla`` in
    ``$XDG_CACHE_HOME`` or ``~/.cache``. An empty ``$JAX_COMPILATION_CACHE_DIR`` turns the cache
    off, and where the folder cannot be written there is none.

    Returns:
      The folder, or None without a cache.
    """
    chosen = os.environ.get("JAX_COMPILATION_CACHE_DIR")
    if chosen == "":
        return None
    try:
        folder = Path(chosen) if chosen else user_cache("xla")
        folder.mkdir(parents=True, exist_ok=True)
    except (OSError, RuntimeError):  # RuntimeError: there is no home
        return None
    if not os.access(folder, os.W_OK | os.X_OK):
        return None
    # Processes that this one starts share it.
    os.environ["JAX_COMPILATION_CACHE_DIR"] = str(folder)
    import jax  # after the checks: starting JAX takes longer than they do

    jax.config.update("jax_compilation_cache_dir", str(folder))
    # Hundreds of programs are small; together they take seconds to compile.
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    global _enabled
    _enabled = folder
    return folder


def traced() -> Path | None:
    """Where `rodin_jax.kept_programs` keeps what was traced; None unless the cache is on."""
    return _enabled and _enabled / "traced"
