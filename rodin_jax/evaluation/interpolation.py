"""The way from one avatar to another, latents and noise turned on a sphere."""

import numpy as np
from jaxtyping import Float

from rodin_jax.evaluation.bench import Bench
from rodin_jax.evaluation.page import Gallery, Section, Table

FRAMES, _PAIRS = 8, 2
_COLUMNS = {
    "pair": "pair", "frames": "frames", "steps": "degrees of all steps", "largest": "largest step",
    "direct": "degrees between the ends",
}  # fmt: skip


def measure(bench: Bench) -> Section:
    """Strips between pairs of avatars, and how even the steps are."""
    seeds = bench.seeds("ends", 2 * _PAIRS)
    ends = [bench.pipeline.generate(seed=seed)[0] for seed in seeds]
    pictures = np.stack(
        [
            bench.front(avatar.planes)
            for a, b in bench.track(list(zip(ends[::2], ends[1::2], strict=True)), "interpolation")
            for avatar in bench.pipeline.interpolate(a, b, FRAMES)
        ]
    )
    features = bench.eye.features(pictures).reshape(_PAIRS, FRAMES, -1)
    rows = [{"pair": i + 1, **evenness(path)} for i, path in enumerate(features)]
    strips = pictures.reshape(_PAIRS, FRAMES, *pictures.shape[1:])
    items = [("", np.concatenate(list(strip), axis=1)) for strip in strips]
    about = (
        "Both ends are avatars of nobody in particular. Angles are between the features of "
        f"successive frames, by {bench.eye.name}: a leap would be one large step among small ones."
    )
    figures = {"network": bench.eye.name, "rows": rows}
    blocks = [Gallery("Strips", items), Table("Steps", _COLUMNS, rows)]
    return Section("Interpolation", about, figures, blocks)


def evenness(path: Float[np.ndarray, "n d"]) -> dict[str, float | int]:
    """Angles along a path of features, in degrees."""
    unit = path / np.linalg.norm(path, axis=1, keepdims=True)
    angle = lambda a, b: np.degrees(np.arccos(np.clip((a * b).sum(-1), -1, 1)))  # noqa: E731
    steps = angle(unit[1:], unit[:-1])
    return {
        "frames": len(path),
        "steps": float(steps.sum()),
        "largest": float(steps.max()),
        "direct": float(angle(unit[0], unit[-1])),
    }
