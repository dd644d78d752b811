"""One photo of an unseen person to an avatar, seen from all round (suppl. C.5, table 1)."""

import jax
import numpy as np

from rodin_jax import metrics
from rodin_jax.data.images import over_white
from rodin_jax.evaluation.bench import Bench
from rodin_jax.evaluation.page import Gallery, Section, Table

GUIDANCE = (1.0, 1.2, 1.5, 3.0, 6.0)  # the supplement's
VIEWS = 12
_SHOWN, _SHOWN_VIEWS = 6, 4
_COLUMNS = {
    "guidance": "guidance", "people": "people", "views": "views of each", "psnr": "PSNR, dB",
    "ssim": "SSIM", "perceptual": "perceptual",
}  # fmt: skip


def people(count: int) -> int:
    """How many people are reconstructed."""
    return max(2, count // 4)


def measure(bench: Bench) -> Section:
    """PSNR, SSIM and perceptual distance of every view, at the supplement's guidance scales."""
    subjects = bench.crowd.around
    truth = [over_white(subject.views) for subject in subjects]
    seeds = bench.seeds("photos", len(subjects))
    rows, shown = [], []
    for scale in GUIDANCE:
        every = list(zip(subjects, truth, seeds, strict=True))
        scores = []
        for subject, wanted, seed in bench.track(every, f"photos, guidance {scale:g}"):
            (made,) = bench.pipeline.generate(image=subject.front, seed=seed, guidance=scale)
            drawn = bench.look(made.planes, subject.cameras)
            scores.append(compare(bench, drawn, wanted))
            if scale == GUIDANCE[0] and len(shown) < _SHOWN:
                shown.append(_strip(subject, wanted, drawn))
        psnr, ssim, apart = np.mean(scores, axis=0)
        rows.append(
            {
                "guidance": scale,
                "people": len(subjects),
                "views": len(truth[0]),
                "psnr": float(psnr),
                "ssim": float(ssim),
                "perceptual": float(apart),
            }
        )
    figures = {"network": bench.eye.name, "rows": rows}
    blocks = [Table("By guidance", _COLUMNS, rows)]
    if bench.store is not None:
        found = np.array([bench.store[i].psnr for i in range(len(bench.store))])
        fits = {"fits": len(found), "psnr": float(found.mean()), "worst": float(found.min())}
        figures["fitted"] = fits
        names = {"fits": "fitted people", "psnr": "PSNR, dB", "worst": "the worst"}
        blocks.append(Table("The fitted planes themselves, held-out views", names, [fits]))
    title = f"Photo | {_SHOWN_VIEWS} views, truth above ours (guidance {GUIDANCE[0]:g})"
    blocks.append(Gallery(title, shown))
    about = (
        f"The front of {len(subjects)} unseen people is all that the model is given; its avatar is "
        f"held against {len(truth[0])} views from all round over white, {truth[0].shape[1]} pixels "
        f"wide. Guidance 1 is plain. The perceptual distance has the form of LPIPS without its "
        f"learned weights, by {bench.eye.name}: no published value compares. The paper has 24.06 "
        "dB and 0.795 on its own data."
    )
    return Section("One photo", about, figures, blocks)


def compare(bench: Bench, drawn: np.ndarray, wanted: np.ndarray) -> tuple[float, float, float]:
    """Means of PSNR (dB), SSIM and perceptual distance over views, uint8 ``[v, s, s, 3]``."""
    error, ssim = _alike(drawn, wanted)
    psnr = [metrics.decibels(float(x)) for x in error]
    return float(np.mean(psnr)), float(ssim.mean()), float(bench.eye.distance(drawn, wanted).mean())


@jax.jit
def _alike(a, b):
    """Mean squared errors and SSIM."""
    return metrics.mse(a / 255.0, b / 255.0), metrics.ssim(a / 255.0, b / 255.0)


def _strip(subject, wanted, drawn):
    """A person's photo, and some views of it above the avatar's."""
    chosen = np.linspace(0, len(wanted) - 1, min(_SHOWN_VIEWS, len(wanted))).round().astype(int)
    above, below = (np.concatenate(list(v[chosen]), axis=1) for v in (wanted, drawn))
    photo = over_white(subject.front)
    white = np.full_like(photo, 255)
    left = np.concatenate([photo, white])
    return subject.id, np.concatenate([left, np.concatenate([above, below])], axis=1)
