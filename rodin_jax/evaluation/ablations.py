"""Several bundles on the same seeds: the ablations of the paper's tables 2 and 3."""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from rodin_jax.evaluation import frechet
from rodin_jax.evaluation.bench import Bench, sheet
from rodin_jax.evaluation.page import Gallery, Section, Table

# The rows of tables 2 and 3 from best to worst, by the words of the configurations.
PAPER = {"table 2": ("D", "C", "B", "A"), "table 3": ("full", "images", "planes")}
_SHOWN = 8
_COLUMNS = {
    "of": "bundle", "n": "n", "fid": "FID", "fid_error": "±", "kid": "KID", "kid_error": "±",
    "hash": "hash",
}  # fmt: skip


def measure(bench: Bench) -> Section:
    """FID and KID of every bundle's fronts; the first is the bundle of the report."""
    samples = {"this bundle": bench.samples}
    samples |= {name: bench.sample(pipeline) for name, pipeline in bench.rivals.items()}
    count = len(bench.samples.fronts)
    seen = bench.eye.features(bench.real[:count])
    hashes = {"this bundle": bench.pipeline.bundle.hash}
    hashes |= {name: pipeline.bundle.hash for name, pipeline in bench.rivals.items()}
    rows = [
        frechet.compare("fronts", name, bench.eye.features(one.fronts), seen, bench.seed)
        | {"hash": hashes[name]}
        for name, one in samples.items()
    ]
    said = ordering(rows)
    figures = {"network": bench.eye.name, "rows": rows, "ordering": said, "paper": paper(rows)}
    about = (
        f"Fronts of {count} avatars of each bundle, made from the same seeds, against the same "
        f"{count} people, seen by {bench.eye.name}. From best to worst: {said}. "
        + " ".join(f"The order of the paper's {k}: {v}." for k, v in figures["paper"].items())
    )
    grids = [(name, sheet(one.fronts[:_SHOWN], _SHOWN)) for name, one in samples.items()]
    blocks = [Table("Distances", _COLUMNS, rows), Gallery("Samples, same seeds", grids)]
    return Section("Other bundles", about, figures, blocks)


def ordering(rows: Sequence[Mapping[str, Any]]) -> str:
    """Names by FID, joined by < where the gap is larger than both errors together, else by ≈."""
    best = sorted(rows, key=lambda row: row["fid"])
    text = best[0]["of"]
    for a, b in itertools.pairwise(best):
        text += (" < " if _apart(a, b) else " ≈ ") + b["of"]
    return text


def paper(rows: Sequence[Mapping[str, Any]]) -> dict[str, str]:
    """Of each of the paper's tables with two or more rows here, whether its order holds."""
    named, found = {row["of"]: row for row in rows}, {}
    for table, names in PAPER.items():
        there = [named[name] for name in names if name in named]
        if len(there) < 2:
            continue
        wrong = [f"{a['of']} before {b['of']}" for a, b in itertools.pairwise(there)
                 if a["fid"] >= b["fid"]]  # fmt: skip
        close = [f"{a['of']} and {b['of']}" for a, b in itertools.pairwise(there)
                 if not _apart(a, b)]  # fmt: skip
        text = f"does not hold ({', '.join(wrong)})" if wrong else "holds"
        found[table] = text + (f"; within the error: {', '.join(close)}" if close else "")
    return found


def _apart(a: Mapping[str, Any], b: Mapping[str, Any]) -> bool:
    return abs(b["fid"] - a["fid"]) > a["fid_error"] + b["fid_error"]
