"""`RodinAvatars`: avatars made from nothing, as a TensorFlow Datasets builder without TensorFlow.

Pictures are given as PNG bytes and files are ArrayRecord; both are what keeps TensorFlow out.
"""

import contextlib
import dataclasses
import json
import pathlib
import shutil

import numpy as np
import tensorflow_datasets as tfds

from rodin_jax.data import render_subjects
from rodin_jax.data.presets import PRESETS, split_subjects


@dataclasses.dataclass
class AvatarsConfig(tfds.core.BuilderConfig):
    """A preset: how many subjects, views of each, pixels along an edge."""

    subjects: int = 0
    views: int = 0
    size: int = 0


class SubjectsBuilder(tfds.core.GeneratorBasedBuilder):
    """What every set of subjects has in common: its features, and files of constant bytes."""

    VERSION = tfds.core.Version("1.0.0")

    def subjects_info(
        self, description: str, views: int, size: int, metadata: dict
    ) -> tfds.core.DatasetInfo:
        """The description of subjects with ``views`` square pictures of ``size`` pixels each."""
        png = {"shape": (size, size, 4), "encoding_format": "png"}
        text, image = tfds.features.Text, tfds.features.Image
        sequence, tensor = tfds.features.Sequence, tfds.features.Tensor
        features = tfds.features.FeaturesDict(
            {
                "id": text(doc="unique in the data set"),
                "captions": sequence(text(), doc="sentences; the first mentions all that is seen"),
                "attributes": text(doc="a JSON object, name -> value in short English words"),
                "front": image(doc="straight RGBA from the front", **png),
                "views": sequence(image(**png), length=views, doc="straight RGBA from all round"),
                "pose": tensor(
                    shape=(views, 4, 4),
                    dtype=np.float32,
                    doc="OpenGL camera-to-world; world z up, subject in [-1, 1]^3 facing -y",
                ),
                "focal": tensor(
                    shape=(views, 2), dtype=np.float32, doc="focal lengths x, y in pixels"
                ),
                "centre": tensor(
                    shape=(views, 2),
                    dtype=np.float32,
                    doc="principal points x, y in pixels, y down",
                ),
            }
        )
        return tfds.core.DatasetInfo(
            builder=self,
            description=description,
            features=features,
            metadata=tfds.core.MetadataDict(metadata),
            disable_shuffling=True,  # the order of subjects is part of the data set
        )

    def _generate_examples(self, subjects, indices):
        for index in indices:
            fields = subjects[index]
            attributes = json.dumps(fields.pop("attributes"), sort_keys=True)
            yield index, {**fields, "attributes": attributes}

    def download_and_prepare(self, **kwargs) -> None:
        """As in TFDS; equal subjects give equal files."""
        with _canonical_bytes():
            super().download_and_prepare(**kwargs)

    def write(self, scratch: str | pathlib.Path) -> None:
        """Writes the data set whole or not at all, and drops what killed runs left of it.

        Args:
          scratch: a folder to throw away; nothing is downloaded, but TFDS makes it.
        """
        final = pathlib.Path(self.data_dir)
        for unfinished in final.parent.glob(f"incomplete.*_{final.name}"):
            shutil.rmtree(unfinished)
        self.download_and_prepare(download_dir=str(scratch))


class RodinAvatars(SubjectsBuilder):
    """Avatars with multi-view pictures, cameras, captions and attributes, split by subject."""

    name = "rodin_avatars"
    VERSION = tfds.core.Version("2.0.0")
    RELEASE_NOTES = {  # noqa: RUF012
        "1.0.0": "Eleven hair styles, six skin tones; smooth hair.",
        "2.0.0": "Fourteen hair styles of locks, ten skin tones, patterns, earrings, lenses; true "
        "coverage at outlines.",
    }
    BUILDER_CONFIGS = [  # noqa: RUF012 (TFDS reads a plain list)
        AvatarsConfig(name=name, description=f"{p.views} views of {p.size} px", **vars(p))
        for name, p in PRESETS.items()
    ]

    def __init__(
        self,
        *,
        subjects: int | None = None,
        views: int | None = None,
        size: int | None = None,
        seed: int = 0,
        source: str = "jax",
        processes: int | None = None,
        progress: bool = True,
        config: str = "smoke",
        **kwargs,
    ):
        """A builder of one preset, some of whose numbers may be replaced.

        Args:
          subjects: how many; the preset's number by default.
          views: pictures of each subject.
          size: pixels along an edge.
          seed: of everything random.
          source: what draws them, jax or blender.
          processes: see `render_subjects.render_all`.
          progress: whether to draw a progress bar.
          config: name of the preset.
          **kwargs: for TFDS, e.g. ``data_dir``.
        """
        preset = PRESETS[config]
        self.plan = render_subjects.RenderPlan(
            seed=seed,
            subjects=preset.subjects if subjects is None else subjects,
            views=preset.views if views is None else views,
            size=preset.size if size is None else size,
            source=source,
        )
        self._processes, self._progress = processes, progress
        self.rendered_now = 0
        super().__init__(config=config, file_format="array_record", **kwargs)
        # Finished subjects wait beside the data set until it is complete.
        final = pathlib.Path(self.data_dir)
        self.rendered_dir = final.with_name(final.name + ".rendered")

    def _info(self) -> tfds.core.DatasetInfo:
        return self.subjects_info(
            "Procedural head-and-shoulders avatars from all round, with captions.",
            self.plan.views,
            self.plan.size,
            dataclasses.asdict(self.plan),
        )

    def _split_generators(self, dl_manager):
        del dl_manager  # nothing is downloaded
        self.rendered_now = render_subjects.render_all(
            self.plan, self.rendered_dir, processes=self._processes, progress=self._progress
        )
        subjects = render_subjects.rendered(self.plan, self.rendered_dir)
        splits = split_subjects(self.plan.subjects)
        return {name: self._generate_examples(subjects, part) for name, part in splits.items()}

    def make(self) -> None:
        """Renders and writes the data set, or finds it finished; then drops the leftovers.

        Raises:
          ValueError: the folder holds a data set of this preset made with other numbers.
        """
        final, wanted = pathlib.Path(self.data_dir), dataclasses.asdict(self.plan)
        if final.exists():
            metadata = tfds.builder_from_directory(final).info.metadata or {}
            found = render_subjects.with_source(dict(metadata))
            if found != wanted:
                raise ValueError(f"{final}: holds a data set of {found}, expected {wanted}")
        else:
            self.write(self.rendered_dir / "downloads")
        shutil.rmtree(self.rendered_dir, ignore_errors=True)


@contextlib.contextmanager
def _canonical_bytes():
    """Sorts the map entries of each example, which protobuf would order by chance."""
    serializer = tfds.core.example_serializer.ExampleSerializer
    original = serializer.serialize_example

    def serialize_example(self, example):
        return self.get_tf_example(example).SerializeToString(deterministic=True)

    serializer.serialize_example = serialize_example
    try:
        yield
    finally:
        serializer.serialize_example = original
