"""What each command of ``rodin`` does: arguments in, ``(JSON result, summary for people)`` out."""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

from rodin_jax import compile_cache
from rodin_jax.cli import UsageError
from rodin_jax.folders import OutputError, whole_files, whole_folder

Result = tuple[dict[str, Any], str]

# Enough for a head under a texture, and unwrapped in seconds.
_TEXTURED_FACES = 20_000


class Stopwatch:
    """Seconds since it was made, and how many of them JAX spent compiling."""

    def __init__(self):
        """Starts the clock and turns the compilation cache on."""
        self._start = time.perf_counter()
        self._compiling = 0.0
        compile_cache.enable()
        import jax

        jax.monitoring.register_event_duration_secs_listener(self._listen)

    def times(self) -> dict[str, float]:
        """``seconds`` and ``compile_seconds`` so far."""
        return {
            "seconds": round(time.perf_counter() - self._start, 2),
            "compile_seconds": round(self._compiling, 2),
        }

    def _listen(self, event: str, duration: float, **_kwargs) -> None:
        if event == "/jax/core/compile/backend_compile_duration":
            self._compiling += duration


def track(iterable: Iterable, what: str) -> Iterable:
    """A progress bar on a terminal, nothing elsewhere."""
    return tqdm(iterable, desc=what, disable=None, leave=False)


def generate(a: argparse.Namespace) -> Result:
    """Samples avatars and writes a folder for each."""
    media = _media(a)
    with whole_folder(a.out) as folder:
        watch = Stopwatch()
        pipeline = _pipeline(a.bundle)
        avatars = pipeline.generate(
            a.prompt, a.image, a.seed, a.num, a.steps, a.guidance, track=track
        )
        names = [""] if a.num == 1 else [str(i) for i in range(a.num)]
        for name, avatar in zip(names, avatars, strict=True):
            (folder / name).mkdir(exist_ok=True)
            avatar.write(folder / name, media=media, track=track)
    places = [str(Path(a.out) / name) for name in names]
    result = {"avatars": places, "seed": a.seed, "prompt": a.prompt}
    result |= _unknown(pipeline, a.prompt) | watch.times()
    return result, "\n".join(f"wrote {place}" for place in places)


def edit(a: argparse.Namespace) -> Result:
    """Changes an avatar by a sentence."""
    from rodin_jax.avatar import Avatar

    media = _media(a)
    avatar = Avatar.load(a.avatar)
    with whole_folder(a.out) as folder:
        watch = Stopwatch()
        pipeline = _pipeline(a.bundle)
        edited = pipeline.edit(avatar, a.prompt, a.source, strength=a.strength, guidance=a.guidance)
        edited.write(folder, media=media, track=track)
    result = {"avatars": [str(a.out)], "seed": edited.recipe.seed, "prompt": a.prompt}
    result |= _unknown(pipeline, a.prompt, a.source) | watch.times()
    return result, f"wrote {a.out}"


def interpolate(a: argparse.Namespace) -> Result:
    """Writes the avatars between two, a film that goes there and back, and a strip of pictures."""
    from rodin_jax import preview, provenance
    from rodin_jax.avatar import Avatar, Media

    first, second = Avatar.load(a.first), Avatar.load(a.second)
    with whole_folder(a.out) as folder:
        watch = Stopwatch()
        avatars = _pipeline(a.bundle).interpolate(first, second, a.frames, track=track)
        record = avatars[0].recipe.provenance()
        backdrop = preview.backdrop(Media.size)
        pictures = []
        for i, avatar in enumerate(track(avatars, "pictures")):
            (folder / str(i)).mkdir()
            avatar.write(folder / str(i), media=None)
            view = avatar.render(25.0, 5.0, Media.size, background=None)
            pictures.append(preview.to_bytes(preview.over(view / np.float32(255), backdrop)))
        there_and_back = [*pictures, *pictures[-2:0:-1]]
        provenance.save_video(folder / "interpolation.mp4", there_and_back, record, fps=8)
        provenance.save_png(folder / "preview.png", np.concatenate(pictures, axis=1), record)
    places = [str(Path(a.out) / str(i)) for i in range(a.frames)]
    result = {"avatars": places, "out": str(a.out), **watch.times()}
    return result, f"wrote {a.out} ({a.frames} avatars)"


def render(a: argparse.Namespace) -> Result:
    """Writes one picture, with maps of depth and normals if asked for, or a turntable."""
    from rodin_jax import png, preview
    from rodin_jax.avatar import Avatar

    film = _check_view(a)
    targets = {name: getattr(a, name) for name in ("depth", "normals", "out") if getattr(a, name)}
    avatar = Avatar.load(a.avatar)
    watch = Stopwatch()
    if a.refine and (a.bundle is not None or avatar.refiner is None):
        avatar = _pipeline(a.bundle).with_refiner(avatar)
    record = avatar.recipe.provenance()
    with whole_files(*targets.values()) as places:
        place = dict(zip(targets, places, strict=True))
        if film:
            options = {"frames": a.frames, "size": a.size, "elevation": a.elevation}
            avatar.turntable(place["out"], **options, track=track)
        else:
            layers = avatar.layers(a.azimuth, a.elevation, a.size) if len(targets) > 1 else None
            if layers is None or a.refine:
                background = None if a.transparent else (1.0, 1.0, 1.0)
                picture = avatar.render(
                    a.azimuth, a.elevation, a.size, background=background, refine=a.refine
                )
            elif a.transparent:
                picture = preview.to_bytes(layers.rgba)
            else:
                picture = preview.to_bytes(preview.over(layers.rgba, np.ones(3, np.float32)))
            place["out"].write_bytes(png.encode(picture, record))
            if "depth" in place:
                place["depth"].write_bytes(png.depth(layers.depth, record))
            if "normals" in place:
                place["normals"].write_bytes(png.normals(layers.normals, record))
    result = {name: str(target) for name, target in targets.items()} | watch.times()
    return result, "\n".join(f"wrote {target}" for target in targets.values())


def _check_view(a: argparse.Namespace) -> bool:
    """Raises `UsageError`, or says whether a film is asked for."""
    kind = Path(a.out).suffix.lower()
    if kind not in (".png", ".mp4"):
        raise UsageError(f"--out {a.out}: expected a .png or .mp4 file")
    if not 16 <= a.size <= 4096 or (kind == ".mp4" and a.size % 2):
        raise UsageError(f"--size {a.size}: expected 16 to 4096 pixels, even for a film")
    if not 1 <= a.frames <= 10_000:
        raise UsageError(f"--frames {a.frames}: expected 1 to 10000")
    if not (np.isfinite(a.azimuth) and -90 < a.elevation < 90):
        raise UsageError("--azimuth must be finite and --elevation between -90 and 90 degrees")
    if a.refine and (kind == ".mp4" or a.transparent or a.size % 2):
        raise UsageError("--refine: is for opaque pictures of an even size, not for films")
    taken = {Path(a.out).absolute()}
    for name in ("depth", "normals"):
        path = getattr(a, name)
        if path is None:
            continue
        if kind == ".mp4":
            raise UsageError(f"--{name}: is for pictures, not for films")
        if Path(path).suffix.lower() != ".png" or Path(path).absolute() in taken:
            raise UsageError(f"--{name} {path}: expected a .png file of its own")
        taken.add(Path(path).absolute())
    return kind == ".mp4"


def export(a: argparse.Namespace) -> Result:
    """Writes an avatar's mesh."""
    from rodin_jax import mesh_files
    from rodin_jax.avatar import Avatar, Media

    resolution = Media.resolution if a.resolution is None else a.resolution
    _check_resolution(resolution)
    form = _mesh_format(a)
    faces = a.faces
    if faces is None and a.texture is not None:
        faces = _TEXTURED_FACES
    out = Path(a.out or Path(a.avatar) / f"mesh.{form}")
    avatar = Avatar.load(a.avatar)
    watch = Stopwatch()
    mesh = avatar.mesh(resolution, faces, a.texture)
    files = mesh_files.write(out, mesh, avatar.recipe.provenance(), form)
    result = {"out": str(out), "files": [str(file) for file in files]}
    result |= {"vertices": len(mesh.vertices), "faces": len(mesh.faces)}
    return result | watch.times(), f"wrote {out} ({len(mesh.faces)} faces)"


def _mesh_format(a: argparse.Namespace) -> str:
    """Raises `UsageError`, or says which format the mesh is to have."""
    from rodin_jax.mesh_files import FORMATS, TEXTURED

    suffix = Path(a.out).suffix.lower().lstrip(".") if a.out else ""
    if a.format and suffix in FORMATS and suffix != a.format:
        raise UsageError(f"--out {a.out}: its name does not go with --format {a.format}")
    form = a.format or (suffix if suffix in FORMATS else "glb")
    if a.faces is not None and a.faces < 4:
        raise UsageError(f"--faces {a.faces}: expected 4 or more")
    if a.texture is not None and not 64 <= a.texture <= 8192:
        raise UsageError(f"--texture {a.texture}: expected 64 to 8192 texels an edge")
    if a.texture is not None and form not in TEXTURED:
        raise UsageError(f"--texture: {form} has vertex colours only, use glb or obj")
    return form


def fit(a: argparse.Namespace) -> Result:
    """Fits a tri-plane and a decoder to a capture and writes the avatar."""
    from rodin_jax.data.capture import read_capture

    media = _media(a)
    if a.steps is not None and a.steps < 1:
        raise UsageError(f"--steps {a.steps}: expected 1 or more")
    if a.seconds is not None and not 0 < a.seconds < float("inf"):
        raise UsageError(f"--seconds {a.seconds}: expected a positive number")
    capture = read_capture(a.capture)
    with whole_folder(a.out) as folder:
        compile_cache.enable()
        from rodin_jax.avatar import Avatar, Recipe
        from rodin_jax.train.capture_fit import fit_capture

        with tqdm(total=100, desc="fit", unit="%", disable=None, leave=False) as bar:

            def progress(share: float, decibels: float) -> None:
                bar.set_postfix_str(f"{decibels:.1f} dB", refresh=False)
                bar.update(round(100 * share) - bar.n)

            fitted = fit_capture(
                capture, steps=a.steps, seconds=a.seconds, seed=a.seed, progress=progress
            )
        recipe = Recipe("fit", seed=a.seed, split=fitted.split)
        avatar = Avatar(fitted.planes, fitted.decoder, fitted.params, recipe)
        avatar.write(folder, media=media, track=track)
    names = ("test_psnr", "test_ssim", "train_psnr", "steps", "train_seconds", "compile_seconds")
    result = {name: _plain(getattr(fitted, name)) for name in names} | {"out": str(a.out)}
    shown = result["test_psnr"] if result["test_psnr"] is not None else result["train_psnr"]
    kind = "unseen" if result["test_psnr"] is not None else "training"
    return result, f"wrote {a.out} (PSNR of {kind} views: {shown:.2f} dB)"


def data(a: argparse.Namespace) -> Result:
    """Renders a data set, and a run that was stopped goes on; or makes one of captures."""
    if a.out is None:
        raise UsageError("the following arguments are required: --out")
    for name in ("subjects", "views", "size", "processes"):
        number = getattr(a, name)
        if number is not None and number < 1:
            raise UsageError(f"--{name} {number}: expected 1 or more")
    if a.seed < 0:
        raise UsageError(f"--seed {a.seed}: expected 0 or more")
    preset = a.preset or "nano"
    if a.captures is not None:
        return _data_of_captures(a, preset)
    _check_writable(Path(a.out))
    compile_cache.enable()
    from rodin_jax.data.builder import generate as render_data

    result = render_data(
        preset, a.subjects, a.out, seed=a.seed, views=a.views, size=a.size,
        processes=a.processes, source=a.source,
    )  # fmt: skip
    result = {name: _plain(value) for name, value in result.items()}
    return result, f"wrote {a.out} ({result['subjects']} subjects)"


def _data_of_captures(a: argparse.Namespace, preset: str) -> Result:
    for name, default in (
        ("subjects", None), ("seed", 0), ("processes", None), ("source", "jax"),
    ):  # fmt: skip
        if getattr(a, name) != default:
            raise UsageError(f"--{name}: is for made-up people, not for --from")
    from rodin_jax.data.captures.training_set import build
    from rodin_jax.data.presets import PRESETS

    size = PRESETS[preset].size if a.size is None else a.size
    result = build(a.captures, a.out, size=size, views=a.views)
    result = {name: _plain(value) for name, value in result.items()}
    named = f"{result['captioned']} with captions of their own"
    return result, f"wrote {a.out} ({result['subjects']} subjects, {named})"


def data_check(a: argparse.Namespace) -> Result:
    """Examines a capture; draws a page of its cameras and pictures."""
    if a.out is not None and Path(a.out).suffix.lower() != ".png":
        raise UsageError(f"--out {a.out}: expected a .png file")
    from PIL import Image

    from rodin_jax.data.capture import read_capture
    from rodin_jax.data.captures import check, sheet

    capture = read_capture(a.capture)
    report = check.examine(capture)
    lines = report.lines()
    if a.out is not None:
        page = Image.fromarray(sheet.draw(capture, report))
        with whole_files(a.out) as (path,):
            page.save(path, format="PNG")
        lines.append(f"wrote {a.out}")
    result = {"capture": str(a.capture), **report.as_json(), "out": a.out}
    return result, "\n".join(lines)


def bundle_assemble(a: argparse.Namespace) -> Result:
    """Makes a bundle of training runs."""
    from rodin_jax.assembly import assemble

    try:
        sampling = json.loads(a.sampling)
    except ValueError as error:
        raise UsageError(f"--sampling is not JSON ({error})") from error
    if not isinstance(sampling, dict):
        raise UsageError("--sampling must be a JSON object")
    bundle = assemble(
        a.runs, a.out, preset=a.preset, sampling=sampling, dtype=a.dtype, narrow=a.int8
    )
    return _describe(bundle), f"wrote {a.out} ({bundle.hash})"


def bundle_check(a: argparse.Namespace) -> Result:
    """Loads a bundle and describes it."""
    from rodin_jax.bundle import load_bundle

    bundle = load_bundle(a.bundle)
    result = _describe(bundle)
    parts = ", ".join(f"{name} {count / 1e6:.2f} M" for name, count in result["parameters"].items())
    planes = f"{bundle.base_size} -> {bundle.size} texels, {bundle.channels} channels"
    summary = f"{bundle.path}: {bundle.preset} {bundle.hash}; planes {planes}; parameters: {parts}"
    return result, summary


def _describe(bundle) -> dict[str, Any]:
    import jax

    count = {
        name: sum(leaf.size for leaf in jax.tree.leaves(part.params))
        for name, part in bundle.parts.items()
    }
    size = sum(file.stat().st_size for file in bundle.path.iterdir() if file.is_file())
    return {
        "bundle": str(bundle.path),
        "hash": bundle.hash,
        "preset": bundle.preset,
        "bytes": size,
        "planes": [bundle.base_size, bundle.size, bundle.channels],
        "parameters": count,
        "sampling": dataclasses.asdict(bundle.sampling),
    }


def _pipeline(path: str | None):
    from rodin_jax.pipeline import RodinPipeline

    return RodinPipeline.from_pretrained(path)


def _unknown(pipeline, *sentences: str | None) -> dict[str, list[str]]:
    """Words that the model has never read; they were warned of, too."""
    words = (word for text in sentences if text for word in pipeline.unknown_words(text))
    return {"unknown_words": list(dict.fromkeys(words))}


def _media(a: argparse.Namespace):
    from rodin_jax.avatar import QUICK, Media

    media = QUICK if a.quick else Media()
    if a.resolution is None:
        return media
    _check_resolution(a.resolution)
    return dataclasses.replace(media, resolution=a.resolution)


def _check_resolution(resolution: int) -> None:
    if not 8 <= resolution <= 512:
        raise UsageError(f"--resolution {resolution}: expected 8 to 512")


def _check_writable(folder: Path) -> None:
    """Raises now rather than after an hour of work; makes the folder."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"{folder}: cannot be written ({error.strerror})") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise OutputError(f"{folder}: cannot be written (permission denied)")


def _plain(value):
    """NumPy and JAX scalars as JSON numbers."""
    return value.item() if hasattr(value, "item") else value
