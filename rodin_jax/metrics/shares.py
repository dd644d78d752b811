"""How sure a share is that was counted."""

import math

_NORMAL = 1.96  # of a 95 % interval


def wilson(right: int, asked: int) -> tuple[float, float]:
    """The 95 % interval of a share of which ``right`` of ``asked`` were seen (Wilson 1927)."""
    if asked == 0:
        return 0.0, 1.0
    share, z = right / asked, _NORMAL**2 / asked
    middle = share + z / 2
    half = _NORMAL * math.sqrt(share * (1 - share) / asked + z / (4 * asked))
    low = 0.0 if right == 0 else (middle - half) / (1 + z)
    return low, 1.0 if right == asked else (middle + half) / (1 + z)
