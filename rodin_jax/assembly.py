"""Making a bundle of what the training stages exported."""

import json
import os
import shutil
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

import jax
import numpy as np

from rodin_jax.bundle import (
    FORMAT,
    MODULES,
    Bundle,
    BundleError,
    line,
    load_bundle,
    part_names,
)
from rodin_jax.folders import whole_folder
from rodin_jax.nn import weights
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.train.export import Export, read_export


def assemble(
    exports: Iterable[str | os.PathLike],
    out: str | os.PathLike,
    *,
    preset: str = "",
    sampling: Mapping[str, Any] | None = None,
    dtype: str = "float16",
    narrow: Collection[str] = (),
) -> Bundle:
    """Makes a bundle of what the training stages exported; then loads it, which checks it.

    Args:
      exports: stage work folders or their ``export`` folders, one for each part, in any order; the
        refiner's, the eigenplanes', the visage's and the probe's may be left out.
      out: the new bundle's folder.
      preset: name of the preset, for the record.
      sampling: fields of `Sampling` that differ from its defaults.
      dtype: storage type of the weights; the other arrays keep every bit.
      narrow: parts whose kernels are stored as int8 instead.

    Raises:
      BundleError: a part is missing, there twice, or does not fit the others.
    """
    found: dict[str, Export] = {}
    tokenizer_file = None
    for directory in exports:
        try:
            export = read_export(directory)
        except (OSError, ValueError) as error:
            raise BundleError(line(error)) from error
        if export.part in found or export.part not in MODULES:
            problem = "is there twice" if export.part in found else "is no part of a bundle"
            raise BundleError(f"{directory}: {export.part!r} {problem}")
        found[export.part] = export
        if export.part == "clip":
            places = [Path(directory) / "tokenizer.json", Path(directory) / "export/tokenizer.json"]
            tokenizer_file = next((place for place in places if place.is_file()), None)
    needed = part_names(())
    if missing := [name for name in needed if name not in found]:
        raise BundleError(f"no export of {', '.join(missing)}: a bundle needs {', '.join(needed)}")
    if unknown := sorted(set(narrow) - found.keys()):
        raise BundleError(f"no export of {', '.join(unknown)}, to be stored as int8")
    if tokenizer_file is None:
        raise BundleError("the export of clip has no tokenizer.json")
    upsampler = found["upsampler"]
    sizes = sorted({int(n.split("/")[1]) for n in upsampler.arrays if n.startswith("statistics/")})
    if not sizes:
        raise BundleError("the export of upsampler has no statistics/<size>/...")
    config = {
        "format": FORMAT,
        "preset": preset,
        "planes": {
            "size": sizes[-1],
            "base_size": sizes[-1] // upsampler.model.get("factor", Upsampler.factor),
            "channels": upsampler.model["out_channels"],
        },
        "sampling": dict(sampling or {}),
        "parts": {
            name: {"model": part.model, "process": part.process, "trained": part.trained}
            for name, part in sorted(found.items())
        },
    }
    with whole_folder(out) as folder:
        (folder / "config.json").write_text(json.dumps(config, indent=1) + "\n")
        shutil.copyfile(tokenizer_file, folder / "tokenizer.json")
        for name, part in found.items():
            if name in narrow:
                stored = weights.in_levels(part.params)
            else:
                stored = jax.tree.map(lambda x: np.asarray(x).astype(dtype), part.params)
            arrays = {key: _narrowed(array) for key, array in part.arrays.items()}
            tree = {"params": stored, **weights.unflatten(arrays)}
            try:
                weights.save_params(folder / f"{name}.safetensors", tree)
            except weights.WeightsError as error:
                raise BundleError(str(error)) from error
        load_bundle(folder)
    return load_bundle(out)


def _narrowed(array) -> np.ndarray:
    """As float16 if that changes nothing: stages round what is large, and reading widens it."""
    array = np.asarray(array)
    if array.dtype != np.float32:
        return array
    with np.errstate(over="ignore"):
        narrow = array.astype(np.float16)
    return narrow if np.array_equal(narrow, array) else array
