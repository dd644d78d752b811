"""What planes can hold:   python benchmarks/planes.py [--steps 2000] [--people 2] [--texels 64]

Three tables of the PSNR of unseen views, each of a few people fitted one by one, and a picture:

- planes read at lower resolutions than they were fitted at, with and without random rescaling
  (paper figure 3);
- fits at several resolutions of the planes (supplement figure 3);
- fits from several numbers of views (supplement figure 4).

``--texels 256 --pixels 256`` are the paper's sizes.
"""

import argparse
import dataclasses
import json
import pathlib

import numpy as np
from PIL import Image

from rodin_jax import compile_cache, triplanes
from rodin_jax.avatar import Avatar, Recipe
from rodin_jax.data import avatars
from rodin_jax.data.capture import Capture
from rodin_jax.train import capture_fit

VIEWS, UNSEEN = 80, 20


def person(index: int, pixels: int) -> Capture:
    """A made-up person, seen by cameras all round."""
    camera = avatars.training_cameras(7, index, VIEWS + UNSEEN, pixels)
    images = avatars.render(avatars.sample_spec(7, index), camera, pixels)
    splits = {"train": np.arange(VIEWS), "test": np.arange(VIEWS, VIEWS + UNSEEN)}
    return Capture(images, camera, splits)


def fewer(capture: Capture, views: int) -> Capture:
    """The same capture with the first ``views`` of its training views."""
    splits = capture.splits | {"train": capture.splits["train"][:views]}
    return dataclasses.replace(capture, splits=splits)


def read_at(capture: Capture, fitted: capture_fit.FittedCapture, size: int) -> tuple[float, object]:
    """PSNR of unseen views, and the front, with the planes shrunk to ``size`` texels."""
    planes = triplanes.resize(fitted.planes, size)
    psnr, _ = capture_fit.measure(
        capture, fitted.decoder, planes, fitted.params, capture.splits["test"], split=fitted.split
    )
    recipe = Recipe("fit", split=fitted.split)
    front = Avatar(planes, fitted.decoder, fitted.params, recipe).render(
        20.0, 5.0, capture.images.shape[1]
    )
    return psnr, front


def table(title: str, names: list, rows: dict[str, list[list[float]]]) -> dict:
    """Prints mean PSNRs, a column for each of ``names``; returns them."""
    means = {label: [round(float(np.mean(x)), 2) for x in row] for label, row in rows.items()}
    print(f"\n{title}\n{'':24}" + "".join(f"{n!s:>9}" for n in names))
    for label, row in means.items():
        print(f"{label:24}" + "".join(f"{x:9.2f}" for x in row), flush=True)
    return {"title": title, "columns": names, "rows": means}


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--steps", type=int, default=2000, help="of each fit (%(default)s)")
    parser.add_argument("--people", type=int, default=2)
    parser.add_argument("--texels", type=int, default=64, help="of planes (%(default)s)")
    parser.add_argument("--pixels", type=int, default=128, help="of views (%(default)s)")
    parser.add_argument("--picture", type=pathlib.Path, help="PNG file of the first table")
    parser.add_argument("--report", type=pathlib.Path, help="JSON file to write")
    a = parser.parse_args()
    compile_cache.enable()
    captures = [person(i, a.pixels) for i in range(a.people)]

    def fit(capture, size=a.texels, lowest=1_000_000):
        options = dataclasses.replace(capture_fit.OPTIONS, lowest=lowest)
        return capture_fit.fit_capture(
            capture, steps=a.steps, size=size, form="summed", options=options
        )

    sizes, rows, strips = [a.texels, a.texels // 2, a.texels // 4], {}, []
    for label, lowest in ((f"fitted at {sizes[0]} only", sizes[0]), ("rescaled", sizes[-1])):
        fits = [(c, fit(c, lowest=lowest)) for c in captures]
        seen = [[read_at(c, f, size) for c, f in fits] for size in sizes]
        rows[label] = [[psnr for psnr, _ in people] for people in seen]
        strips.append(np.concatenate([people[0][1] for people in seen], axis=1))
    report = [table("dB of planes read at ... texels", sizes, rows)]
    if a.picture:
        Image.fromarray(np.concatenate(strips)).save(a.picture)

    sizes = [a.texels // 4, a.texels // 2, a.texels, 2 * a.texels]
    rows = {"unseen views": [[fit(c, size).test_psnr for c in captures] for size in sizes]}
    report.append(table("dB of planes of ... texels", sizes, rows))

    views = [10, 20, 40, 80]
    rows = {"unseen views": [[fit(fewer(c, n)).test_psnr for c in captures] for n in views]}
    report.append(table("dB of fits from ... views", views, rows))
    if a.report:
        a.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
