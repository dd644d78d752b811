"""What the base model thinks the avatar is while it removes noise (suppl. C.2, figure 5)."""

import numpy as np

from rodin_jax import metrics
from rodin_jax.data import avatars
from rodin_jax.evaluation.bench import Bench, alone
from rodin_jax.evaluation.page import Gallery, Section, Table

_SHOWN = 8
_COLUMNS = {"step": "step", "psnr": "PSNR to the last, dB"}


def measure(bench: Bench) -> Section:
    """Renderings of x0 at some steps of one avatar, and the finished one."""
    pipeline, (seed,) = bench.pipeline, bench.seeds("thoughts", 1)
    z, noise, camera = pipeline.latent(seed=seed), alone([seed]), avatars.front_camera(bench.size)
    path = pipeline.base_trajectory(z, noise)[:, 0]
    chosen = np.unique(np.linspace(0, len(path) - 1, min(_SHOWN, len(path))).round().astype(int))
    pictures = [bench.look(path[i], camera)[0] for i in chosen]
    finished = bench.look(next(bench.make(z, noise)), camera)[0]
    last = pictures[-1] / np.float32(255)
    rows = [
        {
            "step": int(i) + 1,
            "psnr": metrics.decibels(float(metrics.mse(picture / np.float32(255), last))),
        }
        for i, picture in zip(chosen[:-1], pictures[:-1], strict=True)
    ]
    items = [(f"step {i + 1}", picture) for i, picture in zip(chosen, pictures, strict=True)]
    size = pipeline.bundle.base_size
    about = (
        f"The clean planes of {size} texels that the base model predicts at some of its "
        f"{len(path)} steps, rendered as they are; then the avatar after the upsampler."
    )
    figures = {"steps": len(path), "rows": rows}
    blocks = [Gallery("x0 over time", [*items, ("upsampled", finished)])]
    return Section("While it is made", about, figures, [*blocks, Table("Steps", _COLUMNS, rows)])
