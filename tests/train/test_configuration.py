"""A run goes on with its own configuration."""

import json
import logging

import pytest

from rodin_jax.train import configuration
from rodin_jax.train.checkpoints import CheckpointError


def begun(workdir, config):
    """A run with a checkpoint."""
    configuration.adopt(workdir, config)
    (workdir / "checkpoints" / "30").mkdir(parents=True)
    return (workdir / "config.json").read_text()


def test_another_configuration_is_refused_with_every_differing_key(tmp_path, get_config):
    text = begun(tmp_path, get_config("base", "smoke"))
    other = get_config("base", "smoke")
    other.model.channels, other.process.prediction, other.learning_rate = 24, "v", 1e-3
    other.model.multipliers = (1, 2)
    other.batch_size, other.seed, other.steps = 4, 5, 99
    with pytest.raises(CheckpointError) as refused:
        configuration.adopt(tmp_path, other)
    message = str(refused.value)
    assert "model.channels is 16 there but 24 now" in message
    assert 'process.prediction is "eps" there but "v" now' in message
    assert "model.multipliers is [1] there but [1, 2] now" in message
    assert all(key in message for key in ("learning_rate", "batch_size", "seed"))
    assert "steps is 30" not in message and "\n" not in message
    assert (tmp_path / "config.json").read_text() == text  # untouched


def test_what_may_change_is_mentioned_and_stored(tmp_path, get_config, caplog):
    begun(tmp_path, get_config("base", "smoke"))
    other = get_config("base", "smoke")
    other.steps, other.log_every, other.planes_dir, other.fsdp = 60, 7, "/elsewhere", True
    other.model.remat, other.preview.size = True, 0
    with caplog.at_level(logging.INFO):
        configuration.adopt(tmp_path, other)
    assert "config.steps was 30 and is now 60" in caplog.text
    assert 'config.planes_dir was "" and is now "/elsewhere"' in caplog.text
    assert len(caplog.records) == 6
    assert json.loads((tmp_path / "config.json").read_text())["steps"] == 60


def test_a_start_that_failed_binds_nobody(tmp_path, get_config):
    configuration.adopt(tmp_path, get_config("base", "nano"))
    configuration.adopt(tmp_path, get_config("base", "smoke"))
    assert json.loads((tmp_path / "config.json").read_text())["preset"] == "smoke"


def test_keys_of_another_version_are_mentioned(tmp_path, get_config, caplog):
    old = json.loads(begun(tmp_path, get_config("base", "smoke")))
    del old["mirror"]
    old["model"]["forgotten"] = 3
    (tmp_path / "config.json").write_text(json.dumps(old))
    with caplog.at_level(logging.INFO):
        configuration.adopt(tmp_path, get_config("base", "smoke"))
    assert 'config.mirror was "absent" and is now true' in caplog.text
    assert 'config.model.forgotten was 3 and is now "absent"' in caplog.text


def test_without_its_configuration_a_run_goes_on_unchecked(tmp_path, get_config, caplog):
    begun(tmp_path, get_config("base", "smoke"))
    (tmp_path / "config.json").unlink()
    other = get_config("base", "smoke")
    other.seed = 3
    configuration.adopt(tmp_path, other)
    assert "goes on unchecked" in caplog.text


def test_the_fit_stages_own_progress_counts(tmp_path, get_config):
    configuration.adopt(tmp_path, get_config("fit", "smoke"))
    (tmp_path / "joint").mkdir()
    other = get_config("fit", "smoke")
    other.subjects = 7  # more people are no other task
    configuration.adopt(tmp_path, other)
    other.channels = 8
    with pytest.raises(CheckpointError, match="channels is 4 there but 8 now"):
        configuration.adopt(tmp_path, other)
