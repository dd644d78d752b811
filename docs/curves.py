"""Keeps how trainings went:   python docs/curves.py RUN_DIR [RUN_DIR ...]

For the work folder of each stage, its ``metrics.jsonl`` as ``docs/training/<stage>.jsonl``, and
beside it a picture of every figure over the steps. It needs matplotlib, which `.[notebook]` brings.
"""

import argparse
import json
import shutil
from pathlib import Path

import matplotlib.pyplot as plt

HERE = Path(__file__).parent / "training"
# Of how fast it went, not of what was learned.
_PACE = {"step", "seconds", "examples", "samples_per_s", "flops_per_s", "mfu"}


def picture(title: str, rows: list[dict[str, float]]) -> plt.Figure:
    """A panel for each figure that some row has."""
    names = [name for name in dict.fromkeys(n for row in rows for n in row) if name not in _PACE]
    figure, panels = plt.subplots(
        1, len(names), figsize=(3 * len(names), 2.4), squeeze=False, layout="constrained"
    )
    for panel, name in zip(panels[0], names, strict=True):
        points = [(row["step"], row[name]) for row in rows if name in row]
        panel.plot(*zip(*points, strict=True), linewidth=1)
        panel.set_title(name, fontsize=9)
        panel.tick_params(labelsize=7)
    figure.suptitle(f"{title}: {rows[-1]['seconds'] / 60:.0f} min", fontsize=10)
    return figure


def main() -> None:
    """Writes the files."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("runs", nargs="+", type=Path)
    HERE.mkdir(exist_ok=True)
    for run in parser.parse_args().runs:
        config = json.loads((run / "config.json").read_text())
        lines = (run / "metrics.jsonl").read_text().splitlines()
        kept = HERE / f"{config['stage']}.jsonl"
        shutil.copyfile(run / "metrics.jsonl", kept)
        title = f"{config['stage']} {config['preset']}, {config['steps']} steps"
        figure = picture(title, [json.loads(line) for line in lines])
        figure.savefig(kept.with_suffix(".png"), dpi=80)
        plt.close(figure)


if __name__ == "__main__":
    main()
