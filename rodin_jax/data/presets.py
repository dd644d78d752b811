"""How much data each preset makes, and which subjects are kept away from training."""

import dataclasses


@dataclasses.dataclass(frozen=True)
class DataPreset:
    """Numbers of one preset.

    Attributes:
      subjects: people in all splits together.
      views: pictures of each.
      size: pixels along an edge of the square pictures.
    """

    subjects: int
    views: int
    size: int


PRESETS = {
    "smoke": DataPreset(subjects=8, views=12, size=32),
    "nano": DataPreset(subjects=640, views=20, size=128),
    "small": DataPreset(subjects=10_000, views=100, size=256),
    "paper": DataPreset(subjects=100_000, views=300, size=256),
}


def split_subjects(subjects: int) -> dict[str, range]:
    """Indices of each split: the last twentieth tests, the one before validates, at least one each.

    Fewer than three subjects all train.
    """
    held = max(1, subjects // 20) if subjects >= 3 else 0
    parts = {
        "train": range(subjects - 2 * held),
        "validation": range(subjects - 2 * held, subjects - held),
        "test": range(subjects - held, subjects),
    }
    return {name: part for name, part in parts.items() if part}
