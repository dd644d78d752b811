"""How good the avatars of a bundle are: `evaluate`, and the report it gives.

    page, people, judges -> bench -> one file for each section -> evaluate

A section is a function ``measure(bench) -> Section``; what it computes is in pure functions beside
it. Everything but the times follows from the seed.
"""

import dataclasses
import os
import platform
import time
import warnings
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import jax

from rodin_jax import __version__
from rodin_jax.data.presets import PRESETS
from rodin_jax.evaluation import (
    ablations,
    editing,
    faithfulness,
    frechet,
    interpolation,
    judges,
    neighbours,
    people,
    prompts,
    reconstruction,
    timing,
    trajectory,
)
from rodin_jax.evaluation.bench import LARGEST_COUNT, LARGEST_SEED, Bench, Track
from rodin_jax.evaluation.page import Section, as_html, as_json, plain
from rodin_jax.pipeline import PromptWarning, RequestError, RodinPipeline
from rodin_jax.train.fitted import open_store

__all__ = ["COUNT", "SECTIONS", "Report", "evaluate"]

COUNT = 16
SECTIONS: dict[str, Callable[[Bench], Section]] = {
    "samples": frechet.measure,
    "photo": reconstruction.measure,
    "text": faithfulness.measure,
    "editing": editing.measure,
    "neighbours": neighbours.measure,
    "interpolation": interpolation.measure,
    "trajectory": trajectory.measure,
    "ablations": ablations.measure,
    "timing": timing.measure,
}
# Avatars made at once: on a CPU more gain nothing.
_BATCH = {"cpu": 4}
_LARGE_BATCH = 32


@dataclasses.dataclass(frozen=True)
class Report:
    """What `evaluate` found.

    Attributes:
      document: everything that ``report.json`` holds.
      sections: by name, with their pictures.
    """

    document: dict[str, Any]
    sections: dict[str, Section]

    def write(self, folder: str | os.PathLike) -> None:
        """Writes ``report.json`` and ``report.html`` into a folder that exists."""
        json, html = as_json(self.document), as_html(self.document, self.sections)
        Path(folder, "report.json").write_text(json, encoding="utf-8")
        Path(folder, "report.html").write_text(html, encoding="utf-8")


def evaluate(
    bundle: str | os.PathLike | None = None,
    *,
    data: str | os.PathLike | None = None,
    probe: str | os.PathLike | None = None,
    planes: str | os.PathLike | None = None,
    vgg: str | os.PathLike | None = None,
    compare: Mapping[str, str | os.PathLike] | None = None,
    only: Collection[str] | None = None,
    count: int = COUNT,
    seed: int = 0,
    cache: str | os.PathLike | None = None,
    processes: int | None = None,
    track: Track | None = None,
) -> Report:
    """Measures a bundle.

    Args:
      bundle: as `RodinPipeline.from_pretrained` takes it.
      data: a data set whose validation and test people are unseen; without one, people are drawn.
      probe: work folder of the ``probe`` stage; by default the bundle's own probe, if it has one.
      planes: work folder of the ``fit`` stage that the bundle was trained on.
      vgg: VGG16 weights, which then see likeness in place of the bundle's image tower.
      compare: other bundles, by name.
      only: names of `SECTIONS`; all by default.
      count: avatars of a set; sections that make many of each take a share of it.
      seed: of everything random.
      cache: where drawn people are kept.
      processes: that draw people.
      track: wraps iterations, e.g. in a progress bar.

    Raises:
      RequestError: a number out of range, or an unknown section.
      BundleError: a bundle is not there, or damaged.
      ValueError: another folder does not hold what it should.
    """
    begin = time.perf_counter()
    if not 4 <= count <= LARGEST_COUNT:
        raise RequestError(f"count must be 4 to {LARGEST_COUNT}, got {count}")
    if not 0 <= seed <= LARGEST_SEED:
        raise RequestError(f"the seed of an evaluation is 0 to {LARGEST_SEED}, got {seed}")
    if unknown := sorted(set(only or ()) - SECTIONS.keys()):
        names = ", ".join(SECTIONS)
        raise RequestError(f"there is no section {unknown[0]!r}, expected some of {names}")
    pipeline = RodinPipeline.from_pretrained(bundle)
    reader = judges.find_reader(probe, pipeline.bundle)
    eye = judges.vgg16(vgg) if vgg is not None else judges.tower(pipeline.bundle)
    store = open_store(planes, []) if planes is not None else None
    rivals = {k: RodinPipeline.from_pretrained(v) for k, v in (compare or {}).items()}
    crowd = _crowd(pipeline, data, count, seed, cache, processes)
    bench = Bench(
        pipeline=pipeline,
        crowd=crowd,
        eye=eye,
        reader=reader,
        store=store,
        rivals=rivals,
        count=min(count, len(crowd.people)),
        seed=seed,
        batch=_BATCH.get(jax.default_backend(), _LARGE_BATCH),
        track=track or (lambda iterable, what: iterable),
    )
    skipped = _skipped(bench, only)
    sections, seconds = {}, {"preparation": time.perf_counter() - begin}
    for name in bench.track([name for name in SECTIONS if name not in skipped], "sections"):
        start = time.perf_counter()
        with warnings.catch_warnings():
            # The report names the words that its own sentences have and the model has not.
            warnings.simplefilter("ignore", PromptWarning)
            sections[name] = SECTIONS[name](bench)
        seconds[name] = time.perf_counter() - start
    document = {
        "bundle": {
            "name": str(bundle or pipeline.bundle.path.name),
            "hash": pipeline.bundle.hash,
            "preset": pipeline.bundle.preset,
            **{f"sampling.{k}": v for k, v in dataclasses.asdict(pipeline.bundle.sampling).items()},
        },
        "settings": {
            "count": bench.count,
            "seed": seed,
            "people": crowd.origin,
            "pixels": bench.size,
            "probe": reader.name if reader else None,
            "network": eye.name,
            "planes": str(planes) if planes is not None else None,
            "compare": {name: str(path) for name, path in (compare or {}).items()},
        },
        "versions": _versions(),
        "hardware": {"device": timing.device(), "cores": os.cpu_count(), "machine": _machine()},
        "seconds": {**seconds, "all": time.perf_counter() - begin},
        "skipped": skipped,
        "sections": {name: section.figures for name, section in sections.items()},
    }
    return Report(plain(document), sections)


def _crowd(pipeline, data, count, seed, cache, processes) -> people.Crowd:
    around = reconstruction.people(count)
    if data is not None:
        return people.from_data(data, 2 * count, around, reconstruction.VIEWS)
    preset = PRESETS.get(pipeline.bundle.preset, PRESETS["nano"])
    return people.made_up(
        2 * count, around, reconstruction.VIEWS,
        size=preset.size, seed=seed, cache=cache, processes=processes,
    )  # fmt: skip


def _skipped(bench: Bench, only: Collection[str] | None) -> dict[str, str]:
    """Sections that cannot be made or were not asked for, and why."""
    reasons = {name: "not asked for" for name in SECTIONS if only and name not in only}
    if bench.reader is None:
        no_probe = "no probe was given, and the bundle has none"
        reasons = {"text": no_probe, "editing": no_probe} | reasons
    else:
        try:
            prompts.ask(bench.crowd.people[:1], bench.seed)
        except ValueError as error:
            reasons = {"text": f"these people cannot be described ({error})"} | reasons
    if bench.store is None and not len(bench.crowd.learned):
        reasons = {"neighbours": "neither the fit nor a data set was given"} | reasons
    if not bench.rivals:
        reasons = {"ablations": "no other bundles were given"} | reasons
    return {name: reasons[name] for name in SECTIONS if name in reasons}


def _versions() -> dict[str, str]:
    from importlib import metadata

    names = ("jax", "flax", "numpy")
    return {
        "rodin_jax": __version__,
        "python": platform.python_version(),
        **{name: metadata.version(name) for name in names},
    }


def _machine() -> str:
    """The processor's name where the system tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()
