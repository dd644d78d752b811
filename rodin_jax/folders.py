"""Output folders and files that appear whole or not at all."""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path


class OutputError(OSError):
    """An output folder or file that cannot be written; the message is one line."""


@contextlib.contextmanager
def whole_folder(target: str | os.PathLike) -> Iterator[Path]:
    """Yields an empty folder beside ``target`` that becomes ``target`` if the block succeeds.

    If ``target`` exists already, its files of the same names are replaced and others are kept. If
    the block fails nothing is left behind, not even parents made on the way.

    Raises:
      OutputError: ``target`` is a file, or its place cannot be written; before the block runs.
    """
    target = Path(target).absolute()
    made: list[Path] = []
    try:
        if target.exists() and not target.is_dir():
            raise NotADirectoryError(20, "it exists and is not a folder")
        made = [parent for parent in target.parents if not parent.exists()]
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.is_dir() and not os.access(target, os.W_OK | os.X_OK):
            raise PermissionError(13, "Permission denied")
        partial = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        partial.chmod(0o777 & ~_umask())
    except OSError as error:
        _remove_empty(made)
        raise OutputError(f"{target}: cannot be written ({error.strerror or error})") from error
    try:
        yield partial
        try:
            _move(partial, target)
        except OSError as error:
            raise OutputError(f"{target}: cannot be written ({error.strerror})") from error
    except BaseException:
        shutil.rmtree(partial, ignore_errors=True)
        _remove_empty(made)
        raise


@contextlib.contextmanager
def whole_files(*targets: str | os.PathLike) -> Iterator[list[Path]]:
    """Yields a hidden empty file beside each target; they become the targets if the block succeeds.

    They keep the targets' suffixes and move in the order given: name a file after those that it
    refers to. If the block fails nothing is left behind, and what was there before stays.

    Raises:
      OutputError: a target is a folder, or its place cannot be written; before the block runs.
    """
    places = [Path(target) for target in targets]
    hidden = [p.with_name(f".{p.stem}.{os.getpid()}{p.suffix}") for p in places]
    try:
        for place, partial in zip(places, hidden, strict=True):
            with _said_of(place):
                if not place.parent.is_dir():
                    raise OutputError(f"{place}: there is no folder {place.parent}")
                if place.is_dir():
                    raise OutputError(f"{place}: is a folder, expected a file")
                partial.touch()
        yield hidden
        for place, partial in zip(places, hidden, strict=True):
            with _said_of(place):
                partial.replace(place)
    finally:
        for partial in hidden:
            with contextlib.suppress(OSError):
                partial.unlink()


@contextlib.contextmanager
def _said_of(place: Path) -> Iterator[None]:
    """Errors of the system name the file that was asked for."""
    try:
        yield
    except OutputError:
        raise
    except OSError as error:
        raise OutputError(f"{place}: cannot be written ({error.strerror or error})") from error


def _move(partial: Path, target: Path) -> None:
    if not target.exists():
        partial.rename(target)
        return
    for path in sorted(partial.rglob("*")):
        place = target / path.relative_to(partial)
        if path.is_dir():
            place.mkdir(exist_ok=True)
        else:
            os.replace(path, place)
    shutil.rmtree(partial)


def _remove_empty(folders: list[Path]) -> None:
    """Innermost first; stops at the first that is in use."""
    for folder in folders:
        try:
            folder.rmdir()
        except OSError:
            return


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
