"""The planes store: fitted subjects on disk, and the scale of their features.

A store is a folder: ``store.json`` (format, decoder hash, shape), shards
``planes-00000.arecord``, ... and ``stats.json``, which `compute_statistics` adds. Diffusion sees
the planes only through `PlaneStatistics`: feature scale is a noise schedule of its own (data of
standard deviation s shift the log-SNR by 2 ln s), so each channel is clipped to its own range and
brought to zero mean and unit variance.
"""

import dataclasses
import functools
import json
import operator
import pathlib
import re
from collections.abc import Iterator, Sequence
from typing import SupportsIndex

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Float16, UInt8

from rodin_jax import triplanes
from rodin_jax.data import images, records
from rodin_jax.types import pytree

_FORMAT = 1
_SHARD = re.compile(r"planes-\d{5,}\.arecord")
# Values of one (plane, channel) that its quantiles are taken from, at most.
_QUANTILE_VALUES = 1 << 20


@dataclasses.dataclass(frozen=True)
class FittedSubject:
    """One subject after fitting.

    Attributes:
      id: unique in its store.
      planes: raw (not normalised) features.
      captions: what may be said about the subject.
      attributes: name -> value in short English words.
      front: the frontal view, straight RGBA.
      psnr: of the fit on views it did not train on, dB.
    """

    id: str
    planes: Float16[np.ndarray, "3 h w c"]
    captions: tuple[str, ...]
    attributes: dict[str, str]
    front: UInt8[np.ndarray, "s s 4"]
    psnr: float


@pytree
class PlaneStatistics:
    """Scale of each channel of each plane, after clipping to [low, high].

    Attributes:
      mean: mean of the clipped features.
      std: their standard deviation, positive.
      low: lower end of the clip range, in feature units.
      high: upper end.
    """

    mean: Float[Array, "3 c"]
    std: Float[Array, "3 c"]
    low: Float[Array, "3 c"]
    high: Float[Array, "3 c"]

    def normalise(
        self, planes: Float[Array, "*b 3 h w c"] | Float[np.ndarray, "*b 3 h w c"]
    ) -> Float[Array, "*b 3 h w c"]:
        """Features -> what diffusion sees: clipped, zero mean, unit variance; float32."""
        planes = jnp.asarray(planes, jnp.float32)
        clipped = jnp.clip(planes, _over_texels(self.low), _over_texels(self.high))
        return (clipped - _over_texels(self.mean)) / _over_texels(self.std)

    def denormalise(
        self, x: Float[Array, "*b 3 h w c"] | Float[np.ndarray, "*b 3 h w c"]
    ) -> Float[Array, "*b 3 h w c"]:
        """The inverse of `normalise` inside the clip range; float32."""
        return jnp.asarray(x, jnp.float32) * _over_texels(self.std) + _over_texels(self.mean)

    def bounds(self) -> tuple[Float[Array, "3 1 1 c"], Float[Array, "3 1 1 c"]]:
        """(low, high) of normalised features, the range a sampler may clip x0 to."""
        low, high = (self.low - self.mean) / self.std, (self.high - self.mean) / self.std
        return _over_texels(low), _over_texels(high)


class PlanesWriter:
    """Appends subjects to a store, one finished shard at a time.

    A shard appears under its name only when it is complete, so a killed run loses at most
    ``shard_size - 1`` subjects and goes on after `ids`. Use it as a context manager: a clean exit
    writes the last, shorter shard; an exception leaves the finished shards only.
    """

    def __init__(self, directory: str | pathlib.Path, shard_size: int = 64, decoder_hash: str = ""):
        """Opens or creates the store.

        Args:
          directory: the store's folder.
          shard_size: subjects in a full shard.
          decoder_hash: names the decoder that reads these planes; one store has one decoder.

        Raises:
          ValueError: the folder holds a store made with another decoder.
        """
        if shard_size < 1:
            raise ValueError(f"shard_size must be positive, got {shard_size}")
        self._directory = pathlib.Path(directory)
        self._directory.mkdir(parents=True, exist_ok=True)
        for left_over in self._directory.glob("*.partial"):
            left_over.unlink()
        self._shard_size = shard_size
        self._pending: list[bytes] = []
        self._pending_ids: list[str] = []
        self._head = {"format": _FORMAT, "decoder_hash": decoder_hash, "shape": None}
        self._ids: list[str] = []
        if (self._directory / "store.json").exists():
            self._head = _read_head(self._directory)
            if self._head["decoder_hash"] != decoder_hash:
                raise ValueError(
                    f"{directory}: store.json: decoder_hash is {self._head['decoder_hash']!r}, "
                    f"expected {decoder_hash!r}; one store holds planes of one decoder"
                )
            if _shards(self._directory):
                self._ids = PlanesStore(self._directory).ids()
        self._known = set(self._ids)

    @property
    def ids(self) -> list[str]:
        """Subjects that are safe on disk, in order."""
        return list(self._ids)

    def write(self, subject: FittedSubject) -> None:
        """Appends one subject.

        Raises:
          ValueError: an id twice, another shape than the store's, or a value that is not finite.
        """
        planes = np.asarray(subject.planes, np.float16)
        shape = list(planes.shape)
        if planes.ndim != 4 or shape[0] != 3:
            raise ValueError(f"subject {subject.id}: planes are {shape}, expected [3, h, w, c]")
        if self._head["shape"] not in (None, shape):
            raise ValueError(
                f"subject {subject.id}: planes are {shape}, the store's are {self._head['shape']}"
            )
        if subject.id in self._known:
            raise ValueError(f"subject {subject.id}: is in the store already")
        if not np.isfinite(planes).all():
            raise ValueError(f"subject {subject.id}: planes are not finite in float16")
        self._head["shape"] = shape
        metadata = {
            "id": subject.id,
            "captions": list(subject.captions),
            "attributes": subject.attributes,
            "psnr": float(subject.psnr),
        }
        front = np.frombuffer(images.encode_png(subject.front), np.uint8)
        self._pending.append(records.encode({"planes": planes, "front_png": front}, metadata))
        self._pending_ids.append(subject.id)
        self._known.add(subject.id)
        if len(self._pending) == self._shard_size:
            self.flush()

    def flush(self) -> None:
        """Writes the subjects not yet on disk as a shard of their own."""
        if not self._pending:
            return
        records.write_json(self._directory / "store.json", self._head)
        index = len(_shards(self._directory))
        records.write_shard(self._directory / f"planes-{index:05d}.arecord", self._pending)
        self._ids += self._pending_ids
        self._pending, self._pending_ids = [], []
        # Statistics of fewer subjects would pass for those of all.
        (self._directory / "stats.json").unlink(missing_ok=True)

    def __enter__(self):
        return self

    def __exit__(self, kind, error, traceback) -> None:
        if kind is None:
            self.flush()


class PlanesStore(Sequence):
    """Random access to the fitted subjects of a store, in the order they were written."""

    def __init__(self, directory: str | pathlib.Path):
        """Opens a store.

        Raises:
          ValueError: not a store, or one without subjects.
        """
        self.directory = pathlib.Path(directory)
        self._head = _read_head(self.directory)
        shards = _shards(self.directory)
        if not shards:
            raise ValueError(f"{directory}: holds no planes-*.arecord shard, expected one or more")
        self._source = records.open_shards(shards)

    def __len__(self) -> int:
        return len(self._source)

    def __getitem__(self, index: SupportsIndex) -> FittedSubject:
        arrays, metadata = self._record(index)
        return FittedSubject(
            id=metadata["id"],
            planes=arrays["planes"],
            captions=tuple(metadata["captions"]),
            attributes=metadata["attributes"],
            front=images.decode_image(arrays["front_png"].tobytes(), name=metadata["id"]),
            psnr=metadata["psnr"],
        )

    @property
    def shape(self) -> tuple[int, int, int, int]:
        """Shape [3, h, w, c] of every subject's planes."""
        return tuple(self._head["shape"])

    @property
    def decoder_hash(self) -> str:
        """The hash given to `PlanesWriter`."""
        return self._head["decoder_hash"]

    def ids(self) -> list[str]:
        """Ids of all subjects, in order."""
        return [self._record(i)[1]["id"] for i in range(len(self))]

    def planes(self, index: SupportsIndex) -> Float16[np.ndarray, "3 h w c"]:
        """The planes of one subject, without decoding its picture."""
        return self._record(index)[0]["planes"]

    def planes_array(self) -> Float16[np.ndarray, "n 3 h w c"]:
        """All planes at once; needs ``2 n 3 h w c`` bytes."""
        every = np.empty((len(self), *self.shape), np.float16)
        for i in range(len(self)):
            every[i] = self.planes(i)
        return every

    def statistics(self, size: int | None = None) -> PlaneStatistics:
        """Statistics of the planes resized to ``size`` texels (their own size by default).

        Raises:
          ValueError: `compute_statistics` has not run for this size.
        """
        path, size = self.directory / "stats.json", size or self.shape[1]
        try:
            entry = json.loads(path.read_text())["sizes"][str(size)]
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise ValueError(
                f"{path}: no statistics of size {size}; run compute_statistics(store, [{size}])"
            ) from error
        names = [field.name for field in dataclasses.fields(PlaneStatistics)]
        return PlaneStatistics(*(jnp.asarray(entry[name], jnp.float32) for name in names))

    def _record(self, index: SupportsIndex):
        index = operator.index(index)
        if not -len(self) <= index < len(self):
            raise IndexError(f"subject {index} of {len(self)}")
        try:
            return records.decode(self._source[index % len(self)])
        except ValueError as error:
            raise ValueError(f"{self.directory}: subject {index}: {error}") from error


def compute_statistics(
    store: PlanesStore, sizes: Sequence[int], *, clip: float | int = 0.001, batch_size: int = 16
) -> dict[int, PlaneStatistics]:
    """Measures every (plane, channel) at each size and writes the store's ``stats.json``.

    The clip range runs from the ``clip`` to the ``1 - clip`` quantile, taken over at most 2^20
    values a channel spread evenly over the subjects; mean, standard deviation and the clipped share
    are exact, over all subjects, after clipping.

    Args:
      store: the fitted subjects.
      sizes: plane sizes in texels that diffusion will work at, each at most the stored one.
      clip: share of values cut off at each end; 0 keeps the whole range.
      batch_size: subjects resized at a time.
    """
    entries, result = {}, {}
    for size in sizes:
        low, high = _clip_range(store, size, clip, batch_size)
        count, total, squares, clipped = 0, 0.0, 0.0, 0.0
        for planes in _resized(store, range(len(store)), size, batch_size):
            inside = np.clip(planes, low[:, None, None], high[:, None, None]).astype(np.float64)
            count += planes.shape[0] * size * size
            total = total + inside.sum((0, 2, 3))
            squares = squares + np.square(inside).sum((0, 2, 3))
            clipped = clipped + (inside != planes).sum((0, 2, 3))
        mean = total / count
        std = np.sqrt(np.maximum(squares / count - mean**2, 0))
        std = np.where(std > 1e-6, std, 1.0)  # a constant channel stays constant
        arrays = {"mean": mean, "std": std, "low": low, "high": high}
        entries[str(size)] = {name: value.tolist() for name, value in arrays.items()}
        entries[str(size)]["clipped_share"] = (clipped / count).tolist()
        values = {name: jnp.asarray(value, jnp.float32) for name, value in arrays.items()}
        result[size] = PlaneStatistics(**values)
    summary = {"subjects": len(store), "decoder_hash": store.decoder_hash, "sizes": entries}
    records.write_json(store.directory / "stats.json", {"format": _FORMAT, "clip": clip, **summary})
    return result


def _clip_range(store: PlanesStore, size: int, clip: float | int, batch_size: int):
    """Quantiles of each (plane, channel), ``[3, c]`` each; all values if clip is 0."""
    if clip == 0:
        ends = [
            (p.min((0, 2, 3)), p.max((0, 2, 3)))
            for p in _resized(store, range(len(store)), size, batch_size)
        ]
        return np.min([low for low, _ in ends], 0), np.max([high for _, high in ends], 0)
    texels = size * size
    subjects = min(len(store), max(1, _QUANTILE_VALUES // min(texels, 4096)))
    stride = max(1, subjects * texels // _QUANTILE_VALUES)
    chosen = np.linspace(0, len(store) - 1, subjects).round().astype(int)
    values = [
        planes.transpose(1, 4, 0, 2, 3).reshape(3, planes.shape[-1], -1)[..., ::stride]
        for planes in _resized(store, chosen, size, batch_size)
    ]
    return np.quantile(np.concatenate(values, axis=-1), [clip, 1 - clip], axis=-1)


def _resized(store: PlanesStore, indices, size: int, batch_size: int) -> Iterator[np.ndarray]:
    """Batches of planes ``[n, 3, size, size, c]`` in float32."""
    for start in range(0, len(indices), batch_size):
        batch = [store.planes(i) for i in indices[start : start + batch_size]]
        planes = np.stack(batch).astype(np.float32)
        yield planes if size == planes.shape[2] else np.asarray(_resize(planes, size))


@functools.partial(jax.jit, static_argnames="size")
def _resize(planes, size: int):
    return triplanes.resize(planes, size)


def _over_texels(values):
    """``[3, c] -> [3, 1, 1, c]``."""
    return values[:, None, None, :]


def _shards(directory: pathlib.Path) -> list[pathlib.Path]:
    return sorted(path for path in directory.iterdir() if _SHARD.fullmatch(path.name))


def _read_head(directory: pathlib.Path) -> dict:
    path = directory / "store.json"
    try:
        head = json.loads(path.read_text())
        if head["format"] != _FORMAT:
            raise ValueError(f"format is {head['format']!r}, expected {_FORMAT}")
        return {name: head[name] for name in ("format", "decoder_hash", "shape")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{path}: not a planes store ({error})") from error
