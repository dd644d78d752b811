"""What ``rodin evaluate`` does: arguments in, ``(report.json, summary for people)`` out."""

import argparse
from typing import Any

from rodin_jax.cli import UsageError
from rodin_jax.cli_commands import Stopwatch, track
from rodin_jax.folders import whole_folder


def evaluate(a: argparse.Namespace) -> tuple[dict[str, Any], str]:
    """Measures a bundle and writes ``report.html`` and ``report.json``."""
    compare = {}
    for item in a.compare:
        name, found, path = item.partition("=")
        if not (name and found and path) or name in compare:
            raise UsageError(f"--compare {item}: expected NAME=BUNDLE, each name once")
        compare[name] = path
    only = None if a.only is None else [name.strip() for name in a.only.split(",")]
    with whole_folder(a.out) as folder:
        watch = Stopwatch()
        from rodin_jax.evaluation import evaluate as measure

        report = measure(
            a.bundle, data=a.data, probe=a.probe, planes=a.planes, vgg=a.vgg, compare=compare,
            only=only, count=a.count, seed=a.seed, processes=a.processes, track=track,
        )  # fmt: skip
        report.document["seconds"]["compiling"] = watch.times()["compile_seconds"]
        report.write(folder)
    done = ", ".join(report.sections)
    lines = [f"wrote {a.out}/report.html and {a.out}/report.json ({done})"]
    lines += [f"left out {name}: {why}" for name, why in report.document["skipped"].items()]
    return report.document, "\n".join(lines)
