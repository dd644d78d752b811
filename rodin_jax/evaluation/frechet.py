"""Uncurated samples against unseen people: FID and KID (paper, table 1)."""

import math
from typing import Any

import numpy as np
from jaxtyping import Float

from rodin_jax import metrics
from rodin_jax.data.images import over_white
from rodin_jax.evaluation.bench import Bench, sheet
from rodin_jax.evaluation.page import Gallery, Section, Table

_SHOWN, _HALVES = 48, 50
_COLUMNS = {
    "pictures": "pictures", "of": "of", "n": "n of each", "fid": "FID", "fid_error": "±",
    "kid": "KID", "kid_error": "±", "diversity": "diversity, degrees",
}  # fmt: skip


def measure(bench: Bench) -> Section:
    """Both distances of fronts and of views from all round, beside those of other people."""
    count = len(bench.samples.fronts)
    people = bench.crowd.people
    around = np.stack([over_white(person.views[0]) for person in people])
    rows = []
    for kind, made, real in (
        ("fronts", bench.samples.fronts, bench.real),
        ("all round", bench.samples.around, around),
    ):
        seen = bench.eye.features(real[:count])
        rows.append(compare(kind, "samples", bench.eye.features(made), seen, bench.seed))
        if len(people) >= 2 * count:
            others = bench.eye.features(real[count : 2 * count])
            rows.append(compare(kind, "other unseen people", others, seen, bench.seed))
    grid = Gallery("Uncurated samples", [("", sheet(bench.samples.fronts[:_SHOWN], 8))])
    about = (
        f"{count} avatars of nobody in particular against {count} people: {bench.crowd.origin}. "
        f"The network is {bench.eye.name}. A Fréchet distance falls with n, so only distances at "
        "equal n compare; other unseen people show what remains between two sets of the same kind. "
        "± is the standard error, by bootstrap over the samples (FID) and by halves of both sets "
        "(KID)."
    )
    figures = {"network": bench.eye.name, "n": count, "rows": rows}
    return Section("Samples", about, figures, [Table("Distances", _COLUMNS, rows), grid])


def compare(
    pictures: str,
    of: str,
    features: Float[np.ndarray, "n d"],
    reference: Float[np.ndarray, "m d"],
    seed: int,
) -> dict[str, Any]:
    """A row of the table.

    Args:
      pictures: what was looked at.
      of: whose features are judged.
      features: theirs.
      reference: of real people.
      seed: of subsets and resampling.
    """
    truth = metrics.moments(reference)
    # The spread of halves drawn without replacement is the standard error of the whole.
    half = max(2, min(len(features), len(reference)) // 2)
    kid, error = metrics.kernel_distance(features, reference, block=half, blocks=_HALVES, seed=seed)
    return {
        "pictures": pictures,
        "of": of,
        "n": len(features),
        "fid": metrics.frechet_distance(metrics.moments(features), truth),
        "fid_error": metrics.frechet_error(features, truth, seed=seed),
        "kid": kid,
        "kid_error": error * math.sqrt(_HALVES),
        "diversity": metrics.diversity(features),
    }
