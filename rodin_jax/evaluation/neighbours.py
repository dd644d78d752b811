"""The nearest training pictures of samples: are they new people? (suppl. C.4)"""

import numpy as np
from jaxtyping import Float

from rodin_jax import metrics
from rodin_jax.evaluation.bench import Bench
from rodin_jax.evaluation.page import Gallery, Histogram, Section, Table

_SHOWN, _NEAREST = 12, 3
_COLUMNS = {
    "of": "of", "n": "n", "median": "median cosine", "largest": "largest",
    "near": "nearer than 95 % of unseen people, %",
}  # fmt: skip


def measure(bench: Bench) -> Section:
    """Cosines to the nearest training front, of samples and of unseen real people."""
    learned = bench.learned
    assert learned is not None
    references = bench.eye.features(learned)
    ours = bench.eye.features(bench.samples.fronts)
    real = bench.eye.features(bench.real)
    rows, (near, unseen) = compare(ours, real, references)
    found, _ = metrics.nearest(ours, references, min(_NEAREST, len(learned)))
    strips = [
        ("", np.concatenate([sample, *learned[row]], axis=1))
        for sample, row in zip(bench.samples.fronts[:_SHOWN], found, strict=False)
    ]
    about = (
        f"Each of {len(ours)} samples beside the most alike of {len(learned)} fronts that were "
        f"trained on, by {bench.eye.name}. A model that repeats its training set has samples that "
        "are nearer to it than real people are whom it has not seen; 5 % of them would be by "
        "chance. Samples are softer than renders, which alone makes them somewhat less alike."
    )
    blocks = [
        Table("Cosine to the nearest training front", _COLUMNS, rows),
        Histogram("Cosine to the nearest", {"samples": near, "unseen real people": unseen}),
        Gallery("Sample | its nearest training fronts", strips, 320),
    ]
    figures = {"network": bench.eye.name, "references": len(learned), "rows": rows}
    return Section("Nearest neighbours", about, figures, blocks)


def compare(
    ours: Float[np.ndarray, "n d"],
    real: Float[np.ndarray, "m d"],
    references: Float[np.ndarray, "k d"],
) -> tuple[list[dict], tuple[list[float], list[float]]]:
    """Rows of the table, and the cosines behind them, of samples and of real people."""
    near, unseen = (metrics.nearest(x, references)[1][:, 0] for x in (ours, real))
    edge = float(np.quantile(unseen, 0.95))
    rows = [
        {
            "of": name,
            "n": len(cosines),
            "median": float(np.median(cosines)),
            "largest": float(cosines.max()),
            "near": float((cosines > edge).mean()),
        }
        for name, cosines in (("samples", near), ("unseen real people", unseen))
    ]
    return rows, (near.tolist(), unseen.tolist())
