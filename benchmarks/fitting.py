"""How well and how fast captures are fitted:   python benchmarks/fitting.py [--seconds 15 60 300]

Makes captures of toys, 80 views of 128 x 128 with alpha all round and 20 more to measure on, fits
each as `rodin fit` does and prints the PSNR of the unseen views over white. Then, in the same run
and on the first toy, it times a step of the fit and the drawing of a view against the plain dense
way: as many samples along the whole ray as it takes to be as good.
"""

import argparse
import functools
import json
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from timing import seconds

from rodin_jax import cameras, compile_cache, metrics, rendering
from rodin_jax.data.avatars import renderer
from rodin_jax.data.avatars.sculpture import Sculptor, Sculpture
from rodin_jax.data.capture import Capture
from rodin_jax.data.images import on_white
from rodin_jax.nn import decoder as decoders
from rodin_jax.occupancy import render_view, survey
from rodin_jax.packing import composite_packed, pack_samples, steps_across
from rodin_jax.train import capture_fit
from rodin_jax.train.scene import draw_rays, prepare

SIZE, TRAIN, TEST = 128, 80, 20
# Pictures are drawn so many times larger and averaged: the renderer's own four rays a pixel leave
# an error of 40 dB at outlines, which would be the end of what a fit can reach.
FINER = 3
PATTERNS = ("plain", "striped", "dotted")


def toy(seed: int) -> Sculpture:
    """Some ellipsoids and rods of random colours that float inside the unit ball."""
    rng = np.random.default_rng(seed)
    sculptor = Sculptor()
    sculptor.wear(PATTERNS[seed % 3], (0.9, 0.9, 0.2))
    for i in range(7):
        sculptor.ellipsoid(
            "cloth" if i % 2 else "skin", rng.uniform(-0.45, 0.45, 3), rng.uniform(0.15, 0.35, 3),
            rng.random(3), pitch=rng.uniform(0, 90), yaw=rng.uniform(0, 90),
        )  # fmt: skip
    for _ in range(8):
        start = rng.uniform(-0.6, 0.6, 3)
        end = start + rng.uniform(-0.4, 0.4, 3)
        end *= min(1.0, 0.75 / np.linalg.norm(end))
        sculptor.rod("skin", 0.9 * start, end, rng.uniform(0.03, 0.1, 2), rng.random(3))
    return sculptor.finish(-1.0)


def capture_of(seed: int) -> Capture:
    """The toy seen by cameras all round, above and below."""
    rng = np.random.default_rng(seed)
    views = TRAIN + TEST
    azimuth = 360.0 * rng.permutation(views) / views
    elevation = np.degrees(np.arcsin(rng.uniform(-0.8, 0.9, views)))
    camera, fine = (
        cameras.orbit(azimuth, elevation, size, radius=3.0, fov=40.0)
        for size in (SIZE, SIZE * FINER)
    )
    drawn = np.asarray(renderer.render_layers(toy(seed), fine, SIZE * FINER).rgba)
    images = np.stack([average(one) for one in drawn])
    splits = {"train": np.arange(TRAIN), "test": np.arange(TRAIN, views)}
    return Capture(images, camera, splits)


def average(rgba: np.ndarray) -> np.ndarray:
    """Straight uint8 RGBA, smaller by ``FINER`` along each edge."""
    alpha = rgba[..., 3:] / 255.0
    pixels = np.concatenate([rgba[..., :3] * alpha, alpha], -1)
    pixels = pixels.reshape(SIZE, FINER, SIZE, FINER, 4).mean((1, 3))
    colour = pixels[..., :3] / np.maximum(pixels[..., 3:], 1e-6)
    return np.round(np.concatenate([colour, 255 * pixels[..., 3:]], -1)).astype(np.uint8)


def speeds(capture: Capture, fitted: capture_fit.FittedCapture, dense: int) -> dict[str, float]:
    """Milliseconds of a step and of a view, packed and dense, and how good the views are."""
    options = capture_fit.OPTIONS
    train = capture.splits["train"]
    camera = jax.tree.map(lambda x: x[train], capture.cameras)
    scene = prepare(jnp.asarray(capture.images[train]), camera, grid=options.grid)
    field = decoders.field(fitted.decoder, fitted.params, fitted.planes)
    density = functools.partial(decoders.density, fitted.decoder, fitted.params, fitted.planes)
    found = survey(density, options.grid, within=scene.occupancy.occupied)
    drawn = draw_rays(scene, options.rays, jax.random.key(0))
    rays, wanted = drawn.rays, drawn.colour
    stride = 2 / fitted.planes.shape[1]
    steps = steps_across(np.asarray(found.box), stride)

    def error(planes, params, picture_of):
        field = decoders.field(fitted.decoder, params, planes)
        alpha = wanted[:, 3:]
        return jnp.mean((picture_of(field) - wanted[:, :3] * alpha - 1 + alpha) ** 2)

    def packed(field):
        samples = pack_samples(
            found, rays, step=stride, steps=steps, size=options.rays * options.samples
        )
        directions = rays.directions[samples.ray]
        seen = field(rays.origins[samples.ray] + samples.t[:, None] * directions, directions)
        return rendering.over(composite_packed(*seen, samples)[0], 1.0)

    def plain(field):
        return rendering.over(rendering.render_rays(field, rays, samples=dense), 1.0)

    def step(picture_of):
        gradient = jax.jit(jax.grad(functools.partial(error, picture_of=picture_of), (0, 1)))
        return seconds(gradient, fitted.planes, fitted.params, repeat=10)

    one = jax.tree.map(lambda x: x[capture.splits["test"][0]], capture.cameras)
    quick = jax.jit(lambda c: rendering.over(render_view(field, found, c, SIZE, SIZE), 1.0))
    slow = jax.jit(
        lambda c: rendering.over(rendering.render_image(field, c, SIZE, SIZE, samples=dense), 1.0)
    )
    view = seconds(quick, one, repeat=10)
    result = {
        "step_ms": 1e3 * step(packed),
        "dense_step_ms": 1e3 * step(plain),
        "view_ms": 1e3 * view,
        "dense_view_ms": 1e3 * seconds(slow, one),
        "rays_per_second": SIZE * SIZE / view,
        "points_skipped": 1 - float(found.occupied.mean()),
    }
    for name, draw in (("psnr", quick), ("dense_psnr", slow)):
        result[name] = float(np.mean([_psnr(capture, i, draw) for i in capture.splits["test"][:8]]))
    return result


def _psnr(capture, i, draw):
    camera = jax.tree.map(lambda x: x[i], capture.cameras)
    return metrics.psnr(np.clip(np.asarray(draw(camera)), 0, 1), on_white(capture.images[i]))


def main() -> None:
    """Prints the tables."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, nargs="+", default=[15, 60])
    parser.add_argument("--toys", type=int, default=3)
    parser.add_argument("--dense", type=int, default=128, help="samples a ray of the plain way")
    parser.add_argument("--report", type=pathlib.Path, help="JSON file to write")
    a = parser.parse_args()
    compile_cache.enable()
    report, fitted, capture = {"fits": []}, None, None
    print(f"{jax.devices()[0].device_kind} x {jax.device_count()}, {jax.__version__}", flush=True)
    for seed in range(a.toys):
        capture = capture_of(seed)
        for limit in a.seconds:
            fitted = capture_fit.fit_capture(capture, seconds=limit)
            row = {"toy": seed, "seconds": limit, "psnr": fitted.test_psnr,
                   "ssim": fitted.test_ssim, "steps": fitted.steps,
                   "compile_seconds": fitted.compile_seconds}  # fmt: skip
            report["fits"].append(row)
            print("  ".join(f"{k} {v:.4g}" for k, v in row.items()), flush=True)
    for limit in a.seconds:
        mean = np.mean([r["psnr"] for r in report["fits"] if r["seconds"] == limit])
        print(f"unseen views after {limit:g} s: {mean:.2f} dB")
    report["speed"] = speeds(capture, fitted, a.dense)
    for name, value in report["speed"].items():
        print(f"{name:20s} {value:12.4g}")
    if a.report:
        a.report.write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    main()
