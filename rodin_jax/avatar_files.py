"""An avatar's recipe, and the two files that it is read from.

``planes.safetensors`` holds ``planes``, weights under ``decoder/`` and perhaps under ``refiner/``;
``avatar.json`` the recipe, its provenance, and how to build the networks.
"""

import dataclasses
import json
import os
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from rodin_jax import provenance
from rodin_jax.nn import weights
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.refiner import Refiner

FORMAT = 1


class AvatarError(ValueError):
    """A folder that is not an avatar; the message is one line naming file and field."""


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What an avatar was made from; enough to make it again, or to change one thing about it.

    Attributes:
      method: "generate", "edit", "interpolate" or "fit".
      prompt: the sentence, if one was given.
      image: name of the picture, if one was given.
      source: of an edit, what the prompt is contrasted with.
      seed: of the random numbers.
      noise: (seed, weight) of each normal draw whose weighted sum started the diffusion.
      z: the latent it was conditioned on, None without diffusion.
      steps: sampling steps of the base model.
      guidance: classifier-free guidance scale of the base model.
      bundle: hash of the bundle.
      split: rays along each side of a pixel that it was fitted, and so is to be drawn with; None
        is one.
    """

    method: str
    prompt: str | None = None
    image: str | None = None
    source: str | None = None
    seed: int | None = None
    noise: tuple[tuple[int, float], ...] = ()
    z: tuple[float, ...] | None = None
    steps: int | None = None
    guidance: float | None = None
    bundle: str | None = None
    split: int | None = None

    def provenance(self) -> dict[str, Any]:
        """The record for the files' metadata."""
        notice = "fitted to a capture" if self.method == "fit" else provenance.SYNTHETIC
        return provenance.fields(
            notice=notice, prompt=self.prompt, seed=self.seed, bundle=self.bundle
        )


def write(
    folder: Path,
    planes: Float[Array, "3 h w c"],
    decoder: Decoder,
    params: Any,
    recipe: Recipe,
    refiner: Refiner | None = None,
    refiner_params: Any = None,
) -> None:
    """Writes the files of `Avatar` into a folder that exists; without a refiner none is carried."""
    known = {k: v for k, v in dataclasses.asdict(recipe).items() if v is not None}
    document = {"format": FORMAT, **recipe.provenance(), **known}
    document["decoder"] = _hyperparameters(decoder)
    tensors = {"planes": planes, "decoder": params}
    if refiner is not None:
        tensors["refiner"], document["refiner"] = refiner_params, _hyperparameters(refiner)
    weights.save_params(folder / "planes.safetensors", tensors)
    (folder / "avatar.json").write_text(json.dumps(document, indent=1) + "\n")


def read(directory: str | os.PathLike) -> tuple[Array, Decoder, Any, Recipe, Refiner | None, Any]:
    """What `write` was given.

    Raises:
      AvatarError: not an avatar's folder, or damaged.
    """
    path = Path(directory) / "avatar.json"
    if not path.is_file():
        raise AvatarError(f"{directory}: not an avatar, there is no avatar.json in it")
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT:
            raise AvatarError(f"{path}: format {document['format']!r}, expected {FORMAT}")
        recipe = _recipe(document)
        decoder = Decoder(**document["decoder"])
        refiner = Refiner(**document["refiner"]) if "refiner" in document else None
    except AvatarError:
        raise
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise AvatarError(f"{path}: damaged ({type(error).__name__}: {error})") from error
    file = path.with_name("planes.safetensors")
    try:
        tensors = weights.load_params(file)
        planes = tensors.get("planes")
        if planes is None or planes.ndim != 4 or planes.shape[0] != 3:
            raise AvatarError(f"{file}: tensor 'planes' must have the shape [3, h, w, c]")
        _check(decoder, tensors, "decoder", file, (1, decoder.inputs(planes.shape[-1])), (1, 3))
        if refiner is not None:
            _check(refiner, tensors, "refiner", file, (1, 8, 8, 3))
    except weights.WeightsError as error:
        raise AvatarError(str(error)) from error
    return planes, decoder, tensors["decoder"], recipe, refiner, tensors.get("refiner")


def _hyperparameters(module: Decoder | Refiner) -> dict[str, Any]:
    """The network's constructor arguments; flax adds ``parent`` and ``name`` to the fields."""
    names = [f.name for f in dataclasses.fields(module) if f.name not in ("parent", "name")]
    values = {name: getattr(module, name) for name in names}
    return {k: jnp.dtype(v).name if k == "dtype" else v for k, v in values.items()}


def _check(module, tensors: dict, name: str, file: Path, *shapes: tuple[int, ...]) -> None:
    """Raises unless the tensors are those of the module with inputs of these shapes."""
    found = tensors.get(name, {})
    inputs = [jax.ShapeDtypeStruct(shape, jnp.float32) for shape in shapes]
    try:
        if getattr(module, "blocks", 0) > len(found):  # a billion would take for ever to build
            raise ValueError(f"{module.blocks} blocks for {len(found)} groups of weights")
        like = jax.eval_shape(module.init, jax.random.key(0), *inputs)["params"]
    except Exception as error:
        reason = " ".join(str(error).split())[:200]
        place = file.with_name("avatar.json")
        raise AvatarError(f"{place}: field {name!r} describes no network ({reason})") from error
    weights.check_layout(found, like, f"{file}: {name}")


def _recipe(document: dict) -> Recipe:
    names = {field.name for field in dataclasses.fields(Recipe)}
    known = {name: value for name, value in document.items() if name in names}
    known["noise"] = tuple((int(seed), float(w)) for seed, w in known.get("noise", ()))
    if known.get("z") is not None:
        known["z"] = tuple(float(x) for x in known["z"])
        if not np.isfinite(known["z"]).all():
            raise ValueError("field 'z' is not finite")
    if known.get("split") not in (None, 1, 2, 3, 4):
        raise ValueError(f"field 'split' is {known['split']!r}, expected 1 to 4")
    return Recipe(**known)
