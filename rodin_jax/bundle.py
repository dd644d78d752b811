"""A bundle: everything `RodinPipeline` needs, in one folder of plain files.

    config.json        format, preset, planes (size, base_size, channels), sampling defaults, and
                       for each part: model (constructor arguments), process, trained
    <part>.safetensors weights under ``params/``, statistics beside them
    tokenizer.json     the words the text tower knows

The parts are decoder, base, upsampler, latent, text and clip; a bundle may have eigenplanes, a
visage, a refiner and a probe too. The same folder may live on the Hugging Face hub.
"""

import dataclasses
import hashlib
import json
import os
import re
from collections.abc import Collection
from pathlib import Path
from typing import Any

import jax
from jaxtyping import PyTree

from rodin_jax import bundle_sampling
from rodin_jax.bundle_layout import DescriptionError, check_layouts
from rodin_jax.bundle_sampling import Sampling
from rodin_jax.data.planes import PlaneStatistics
from rodin_jax.nn import tokenizer as tokenizers
from rodin_jax.nn import weights
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.decoder import Decoder
from rodin_jax.nn.eigenplanes import CoefficientNet, EigenPlanes
from rodin_jax.nn.eigenplanes import unpack as unpack_eigenplanes
from rodin_jax.nn.latent import LatentNet
from rodin_jax.nn.phrasebook import Phrasebook
from rodin_jax.nn.phrasebook import unpack as unpack_phrases
from rodin_jax.nn.probe import Probe
from rodin_jax.nn.refiner import Refiner
from rodin_jax.nn.text import SentenceLine, TextPrior
from rodin_jax.nn.text import unpack as unpack_sentences
from rodin_jax.nn.unet import UNet
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.nn.visage import Visage

FORMAT = 1
SHIPPED = Path(__file__).with_name("bundles")
DEFAULT = "nano"
MODULES = {
    "decoder": Decoder,
    "base": UNet,
    "upsampler": Upsampler,
    "latent": LatentNet,
    "text": TextPrior,
    "clip": Clip,
    "eigenplanes": CoefficientNet,
    "visage": Visage,
    "refiner": Refiner,
    "probe": Probe,
}
OPTIONAL = frozenset({"eigenplanes", "visage", "refiner", "probe"})
DIFFUSION = ("base", "upsampler", "latent", "text", "eigenplanes")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


class BundleError(ValueError):
    """A bundle that cannot be used; the message is one line naming file, field and expectation."""


@dataclasses.dataclass(frozen=True)
class Part:
    """One network with its weights.

    Attributes:
      module: the network.
      process: of a diffusion network: schedule, steps, prediction, learned_variance; else None.
      params: its weights.
      arrays: statistics and the like, nested.
      trained: what its training reported.
    """

    module: Any
    process: dict[str, Any] | None
    params: PyTree
    arrays: dict[str, Any]
    trained: dict[str, Any]


@dataclasses.dataclass(frozen=True)
class Bundle:
    """A loaded and checked bundle.

    Attributes:
      path: its folder.
      hash: of its contents, 16 hexadecimal digits.
      preset: name of the preset it was trained with.
      size: texels along an edge of the planes.
      base_size: likewise, of the base model's planes.
      channels: features of a texel.
      parts: by name.
      tokenizer: of the text tower.
      low: statistics of the base model's planes.
      high: statistics of the full planes.
      eigenplanes: principal components of the base model's planes; None without that part.
      sentences: what a line says of the latents of sentences; None of bundles without one.
      phrasebook: what phrases say of latents; None of bundles without one.
      latent_mean: see `rodin_jax.nn.clip`.
      latent_std: likewise.
      latent_spread: what the latent network's coordinates are multiplied with; None if they are
        latents themselves.
      sampling: defaults.
    """

    path: Path
    hash: str
    preset: str
    size: int
    base_size: int
    channels: int
    parts: dict[str, Part]
    tokenizer: tokenizers.WordTokenizer
    low: PlaneStatistics
    high: PlaneStatistics
    eigenplanes: EigenPlanes | None
    sentences: SentenceLine | None
    phrasebook: Phrasebook | None
    latent_mean: jax.Array
    latent_std: jax.Array
    latent_spread: jax.Array | None
    sampling: Sampling

    @property
    def latent_dim(self) -> int:
        """Entries of a latent z."""
        return self.latent_mean.shape[0]


def load_bundle(path: str | os.PathLike | None = None) -> Bundle:
    """Reads and checks a bundle.

    Args:
      path: a folder, the name of a shipped bundle, or a Hugging Face hub id ``owner/name``; None
        is the bundle that comes with the package.

    Raises:
      BundleError: not found, of another layout, or with a missing or damaged part.
    """
    folder = locate(path)
    config = _read_config(folder)
    planes = config["planes"]
    parts = {}
    for name in part_names(config["parts"]):
        try:
            parts[name] = _read_part(folder, name, config["parts"][name])
        except weights.WeightsError as error:
            raise BundleError(str(error)) from error
    clip_file = folder / "clip.safetensors"
    clip = parts["clip"].module
    for name in ("latent", "text", "visage"):
        if name in parts and (dim := parts[name].module.dim) != clip.dim:
            raise BundleError(
                f"{folder / 'config.json'}: field parts.{name}.model.dim is {dim}, "
                f"expected clip's {clip.dim}"
            )
    try:
        tokenizer = tokenizers.load(folder / "tokenizer.json")
    except tokenizers.TokenizerError as error:
        raise BundleError(str(error)) from error
    content = content_hash(folder, parts)
    try:
        check_layouts(folder, content, parts, planes)
    except DescriptionError as error:
        raise BundleError(
            f"{folder / 'config.json'}: field parts.{error.part}.model does not describe a network "
            f"({line(error)})"
        ) from error
    except weights.WeightsError as error:
        raise BundleError(str(error)) from error
    if len(tokenizer) != clip.vocabulary:
        raise BundleError(
            f"{folder / 'tokenizer.json'}: {len(tokenizer)} words, expected {clip.vocabulary} "
            "(parts.clip.model.vocabulary)"
        )
    sentences, phrasebook = _said(folder, parts)
    free = parts["latent"].arrays
    return Bundle(
        path=folder,
        hash=content,
        preset=str(config.get("preset", "")),
        size=planes["size"],
        base_size=planes["base_size"],
        channels=planes["channels"],
        parts=parts,
        tokenizer=tokenizer,
        low=_statistics(folder, "base", parts, planes["base_size"], planes["channels"]),
        high=_statistics(folder, "upsampler", parts, planes["size"], planes["channels"]),
        eigenplanes=_eigenplanes(folder, parts, planes),
        sentences=sentences,
        phrasebook=phrasebook,
        latent_mean=_array(clip_file, parts["clip"].arrays, "latent_mean", clip.dim),
        latent_std=_array(clip_file, parts["clip"].arrays, "latent_std", clip.dim),
        latent_spread=_array(folder / "latent.safetensors", free, "spread", clip.dim, clip.dim)
        if "spread" in free
        else None,
        sampling=_sampling(folder, config.get("sampling", {})),
    )


def locate(path: str | os.PathLike | None = None) -> Path:
    """The folder of a bundle; hub ids are fetched once and then read from the hub's cache."""
    if path is None:
        path = DEFAULT
    folder = Path(path)
    if folder.is_dir():
        return folder
    if folder.exists():
        raise BundleError(f"{folder}: is a file, expected a bundle's folder")
    name = os.fspath(path)
    if re.fullmatch(r"\w+", name):
        if (SHIPPED / name / "config.json").is_file():
            return SHIPPED / name
        raise BundleError(f"{name}: no such folder, and no bundle of that name is shipped")
    if _HUB_ID.fullmatch(name):
        return _fetch(name)
    raise BundleError(f"{name}: no such bundle folder")


def part_names(there: Collection[str]) -> list[str]:
    """The parts of a bundle in a fixed order, the optional ones only if they are ``there``."""
    return [name for name in MODULES if name not in OPTIONAL or name in there]


def content_hash(folder: str | os.PathLike, parts: Collection[str]) -> str:
    """16 hexadecimal digits of SHA-256 over the names and bytes of the files of these parts."""
    digest = hashlib.sha256()
    files = [f"{part}.safetensors" for part in part_names(parts)]
    for name in ["config.json", "tokenizer.json", *files]:
        data = (Path(folder) / name).read_bytes()
        digest.update(f"{name} {len(data)}\n".encode())
        digest.update(data)
    return digest.hexdigest()[:16]


def _read_config(folder: Path) -> dict[str, Any]:
    path = folder / "config.json"
    if not path.is_file():
        raise BundleError(f"{folder}: not a bundle, there is no config.json in it")
    try:
        config = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise BundleError(f"{path}: not readable as JSON ({line(error)})") from error
    if not isinstance(config, dict) or config.get("format") != FORMAT:
        found = config.get("format") if isinstance(config, dict) else None
        raise BundleError(f"{path}: field 'format' is {found!r}, expected {FORMAT}")
    parts, planes = config.get("parts"), config.get("planes")
    if not isinstance(parts, dict) or (missing := sorted(MODULES.keys() - parts.keys() - OPTIONAL)):
        name = f".{missing[0]}" if isinstance(parts, dict) else ""
        raise BundleError(f"{path}: field 'parts{name}' is missing")
    for name in ("size", "base_size", "channels"):
        value = planes.get(name) if isinstance(planes, dict) else None
        if not isinstance(value, int) or not 1 <= value <= 4096:
            raise BundleError(f"{path}: field 'planes.{name}' is {value!r}, expected 1 to 4096")
    return config


def _read_part(folder: Path, name: str, entry: Any) -> Part:
    where = f"{folder / 'config.json'}: field parts.{name}"
    if not isinstance(entry, dict) or not isinstance(entry.get("model"), dict):
        raise BundleError(f"{where}.model is missing")
    process = entry.get("process")
    if name in DIFFUSION:
        _check_process(where, process)
    try:
        module = MODULES[name](**_tuples(entry["model"]))
    except TypeError as error:
        raise BundleError(f"{where}.model: {line(error)}") from error
    tree = weights.load_params(folder / f"{name}.safetensors")
    params = tree.pop("params", {})
    return Part(module, process, params, tree, entry.get("trained") or {})


def _check_process(where: str, process: Any) -> None:
    from rodin_jax.diffusion import schedules

    wanted = ("schedule", "steps", "prediction", "learned_variance")
    if not isinstance(process, dict) or any(field not in process for field in wanted):
        raise BundleError(f"{where}.process must have {', '.join(wanted)}")
    steps = process["steps"]
    if not isinstance(steps, int) or not 1 <= steps <= 100_000:
        raise BundleError(f"{where}.process.steps is {steps!r}, expected 1 to 100000")
    if process["prediction"] not in ("eps", "x0", "v"):
        raise BundleError(
            f"{where}.process.prediction is {process['prediction']!r}, expected eps, x0 or v"
        )
    try:
        schedules.make(process["schedule"], steps)
    except (ValueError, TypeError) as error:
        raise BundleError(f"{where}.process.schedule: {line(error)}") from error


def _statistics(folder: Path, name: str, parts, size: int, channels: int) -> PlaneStatistics:
    path = folder / f"{name}.safetensors"
    values = []
    for field in ("mean", "std", "low", "high"):
        array = parts[name].arrays.get("statistics", {}).get(str(size), {}).get(field)
        if array is None or array.shape != (3, channels):
            raise BundleError(f"{path}: tensor 'statistics/{size}/{field}' [3, {channels}] missing")
        values.append(array)
    if not (values[1] > 0).all():
        raise BundleError(f"{path}: tensor 'statistics/{size}/std' must be positive")
    return PlaneStatistics(*values)


def _eigenplanes(folder: Path, parts, planes: dict[str, int]) -> EigenPlanes | None:
    if "eigenplanes" not in parts:
        return None
    path, part = folder / "eigenplanes.safetensors", parts["eigenplanes"]
    for field in ("schedule", "steps"):
        if part.process[field] != parts["base"].process[field]:
            raise BundleError(
                f"{folder / 'config.json'}: field parts.eigenplanes.process.{field} is "
                f"{part.process[field]!r}, expected base's {parts['base'].process[field]!r}"
            )
    numbers = 3 * planes["base_size"] ** 2 * planes["channels"]
    full = (3, planes["size"], planes["size"], planes["channels"])
    try:
        arrays, dim = weights.group(part.arrays, "eigenplanes"), parts["clip"].module.dim
        found = unpack_eigenplanes(arrays, numbers, part.module.rank, dim)
        if found.detail is not None and found.detail.mean.shape != full:
            raise ValueError(f"tensor 'eigenplanes/detail/mean' {list(full)} is missing")
    except ValueError as error:
        raise BundleError(f"{path}: {error}") from error
    return found


def _said(folder: Path, parts) -> tuple[SentenceLine | None, Phrasebook | None]:
    """What a line and a phrasebook say of sentences; the second needs the first's axes."""
    arrays, dim = parts["text"].arrays, parts["text"].module.dim
    if "line" not in arrays:
        return None, None
    try:
        line = unpack_sentences(weights.group(arrays, "line"), dim)
        if "phrases" not in arrays:
            return line, None
        stored = weights.group(arrays, "phrases")
        return line, unpack_phrases(stored, line.axes, line.line.spectrum)
    except ValueError as error:
        raise BundleError(f"{folder / 'text.safetensors'}: {error}") from error


def _array(path: Path, arrays: dict, name: str, *shape: int) -> jax.Array:
    array = arrays.get(name)
    if getattr(array, "shape", None) != shape:
        raise BundleError(f"{path}: tensor {name!r} {list(shape)} is missing")
    return array


def _sampling(folder: Path, values: Any) -> Sampling:
    try:
        return bundle_sampling.read(values)
    except ValueError as error:
        raise BundleError(f"{folder / 'config.json'}: field 'sampling' {error}") from error


def _fetch(hub_id: str) -> Path:
    try:
        from huggingface_hub import snapshot_download

        files = ["*.json", "*.safetensors", "*.md"]
        return Path(snapshot_download(hub_id, allow_patterns=files, etag_timeout=10))
    except Exception as error:
        raise BundleError(
            f"{hub_id}: no such folder, and it could not be fetched from the Hugging Face hub "
            f"({line(error)})"
        ) from error


def _tuples(value):
    """JSON has no tuples, and Flax modules want hashable attributes."""
    if isinstance(value, dict):
        return {k: _tuples(v) for k, v in value.items()}
    return tuple(map(_tuples, value)) if isinstance(value, list) else value


def line(error: BaseException) -> str:
    """An exception's message as one line."""
    return " ".join(str(error).split())[:200] or type(error).__name__
