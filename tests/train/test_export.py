"""An export gives back what was put in."""

import json

import numpy as np
import pytest

from rodin_jax.train import export


def write(workdir, **options):
    """A small export."""
    return export.write_export(
        workdir,
        "base",
        {"channels": 8, "multipliers": (1, 2)},
        {"layer": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}},
        **options,
    )


def test_round_trip(tmp_path):
    process = {"schedule": "linear", "steps": 100, "prediction": "eps", "learned_variance": True}
    arrays = {"statistics/16/mean": np.ones((3, 4), np.float32)}
    folder = write(tmp_path, process=process, arrays=arrays, trained={"steps": 3})
    for place in (tmp_path, folder):
        got = export.read_export(place)
        assert (got.part, got.process, got.trained) == ("base", process, {"steps": 3})
        assert got.model == {"channels": 8, "multipliers": (1, 2)}
        assert list(got.arrays) == ["statistics/16/mean"]
        np.testing.assert_array_equal(got.arrays["statistics/16/mean"], 1)
        np.testing.assert_array_equal(got.params["layer"]["kernel"], [[0, 1, 2], [3, 4, 5]])


def test_a_new_export_replaces_the_old_one(tmp_path):
    write(tmp_path, trained={"steps": 3})
    write(tmp_path, trained={"steps": 5})
    assert export.read_export(tmp_path).trained == {"steps": 5}
    assert [p.name for p in tmp_path.iterdir()] == ["export"]


def test_what_is_not_an_export_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="has the stage finished"):
        export.read_export(tmp_path)
    folder = write(tmp_path)
    (folder / "config.json").write_text(json.dumps({"part": "base"}))
    with pytest.raises(ValueError, match="field 'model' is missing"):
        export.read_export(folder)
