"""`RodinCaptures`: people's own captures in the form of `RodinAvatars`."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, SupportsIndex

from rodin_jax.data.presets import split_subjects
from rodin_jax.data.rodin_avatars.builder import SubjectsBuilder


class RodinCaptures(SubjectsBuilder):
    """Subjects that were photographed or rendered elsewhere, split by subject."""

    name = "rodin_captures"

    def __init__(
        self,
        *,
        names: Sequence[str],
        read: Callable[[int], Mapping[str, Any]],
        views: int,
        size: int,
        **kwargs,
    ):
        """A builder of the subjects that ``read`` gives.

        Args:
          names: of the subjects.
          read: index -> id, captions, attributes, PNG bytes and cameras of one.
          views: pictures of each.
          size: pixels along an edge.
          **kwargs: for TFDS, e.g. ``data_dir``.
        """
        self._names, self._read, self._views, self._size = names, read, views, size
        super().__init__(file_format="array_record", **kwargs)

    def _info(self):
        plan = {"subjects": len(self._names), "views": self._views, "size": self._size}
        return self.subjects_info("Captures of subjects.", self._views, self._size, plan)

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        parts = split_subjects(len(self._names))
        return {
            name: self._generate_examples(_OneByOne(self._read), part)
            for name, part in parts.items()
        }


class _OneByOne:
    """Subjects that are read when they are asked for."""

    def __init__(self, read: Callable[[int], Mapping[str, Any]]):
        self._read = read

    def __getitem__(self, index: SupportsIndex) -> dict[str, Any]:
        return dict(self._read(index.__index__()))
