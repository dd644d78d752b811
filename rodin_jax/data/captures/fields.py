"""Fields of files that strangers wrote: the right kind of value, or one line that says why not."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float


class CaptureError(ValueError):
    """A capture that cannot be used; one line that names the file, the field and the cure."""


def number(value: Any, where: str) -> float:
    """A finite number; ``where`` names the field.

    Raises:
      CaptureError: anything else, also true, false and integers beyond a float.
    """
    try:
        if not isinstance(value, int | float) or isinstance(value, bool):
            raise TypeError
        result = float(value)
    except (TypeError, OverflowError):
        raise CaptureError(f"{where}: {_short(value)}, expected a number") from None
    if not math.isfinite(result):
        raise CaptureError(f"{where}: {value}, expected a finite number")
    return result


def vector(value: Any, count: int, where: str) -> Float[np.ndarray, "_"]:
    """A list of ``count`` finite numbers."""
    if not isinstance(value, list) or len(value) != count:
        raise CaptureError(f"{where}: {_short(value)}, expected a list of {count} numbers")
    return np.array([number(x, f"{where}[{i}]") for i, x in enumerate(value)])


def flag(value: Any, where: str) -> bool:
    """True or false; 0 and 1 will do."""
    if value not in (0, 1) or isinstance(value, float):
        raise CaptureError(f"{where}: {_short(value)}, expected true or false")
    return bool(value)


def text(value: Any, where: str) -> str:
    """A text that is not empty and has no halves of characters (JSON can spell them)."""
    whole = isinstance(value, str) and value.encode(errors="ignore").decode() == value
    if not whole or not value:
        raise CaptureError(f"{where}: {_short(value)}, expected a text")
    return value


def _short(value: Any) -> str:
    if isinstance(value, list | dict):  # writing it out could take as long as its author likes
        return f"a {type(value).__name__} of {len(value)}"
    shown = ascii(value) if not isinstance(value, int) or abs(value) < 10**40 else "a huge number"
    return shown if len(shown) <= 80 else shown[:80] + "..."
