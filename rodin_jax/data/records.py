"""Records on disk: safetensors bytes inside ArrayRecord shards.

One record is a flat dict of arrays plus a JSON object, so any program with safetensors can read it
and nothing is ever unpickled.
"""

import json
import os
import pathlib
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from array_record.python.array_record_data_source import ArrayRecordDataSource
from array_record.python.array_record_module import ArrayRecordWriter

# One record a chunk makes random access cheap; float features and PNG bytes hardly compress.
_OPTIONS = "group_size:1,uncompressed"


def encode(arrays: Mapping[str, np.ndarray], metadata: Mapping[str, Any]) -> bytes:
    """One record; ``metadata`` is anything JSON can hold."""
    contiguous = {name: np.ascontiguousarray(value) for name, value in arrays.items()}
    return safetensors.numpy.save(contiguous, {"json": json.dumps(metadata, sort_keys=True)})


def decode(record: bytes) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
    """The arrays and the metadata of `encode`.

    Raises:
      ValueError: the bytes are not such a record.
    """
    try:
        size = int.from_bytes(record[:8], "little")
        header = json.loads(record[8 : 8 + size])
        return safetensors.numpy.load(record), json.loads(header["__metadata__"]["json"])
    except (safetensors.SafetensorError, KeyError, TypeError, ValueError) as error:
        raise ValueError(f"not a record: {error}") from error


def write_shard(path: pathlib.Path, records: Iterable[bytes]) -> None:
    """Writes a whole shard or nothing: to a temporary neighbour first, then renamed."""
    temporary = path.with_name(path.name + ".partial")
    temporary.unlink(missing_ok=True)
    writer = ArrayRecordWriter(str(temporary), _OPTIONS)
    for record in records:
        writer.write(record)
    writer.close()
    os.replace(temporary, path)


def write_json(path: pathlib.Path, value: Any) -> None:
    """Writes a JSON file or nothing."""
    temporary = path.with_name(path.name + ".partial")
    temporary.write_text(json.dumps(value, indent=1, sort_keys=True) + "\n")
    os.replace(temporary, path)


def open_shards(paths: Iterable[pathlib.Path]) -> ArrayRecordDataSource:
    """Random access to the records of several shards, in the order given.

    Raises:
      ValueError: no paths, or a file that is not an ArrayRecord.
    """
    paths = [str(path) for path in paths]
    try:
        return ArrayRecordDataSource(paths)
    except (RuntimeError, ValueError) as error:
        raise ValueError(f"{', '.join(paths[:3])}: not ArrayRecord shards ({error})") from error
