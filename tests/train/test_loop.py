"""Runs end, resume, stop and fail the way they say."""

import itertools
import json
import logging
import os
import re
import resource
import signal
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open

from rodin_jax.train import checkpoints, claim, flops, journal, loop, sharding
from rodin_jax.train import state as train_state


def loss(params, batch, key):
    """A noisy linear regression, so that key, optimiser, average and data all matter."""
    x = batch["x"] + 0.1 * jax.random.normal(key, batch["x"].shape)
    return jnp.mean((x @ params["w"] - 1) ** 2), {"norm": jnp.sum(params["w"] ** 2)}


def batches_from(start):
    """The batch of step n is a function of n."""
    for n in itertools.count(start):
        yield {"x": np.random.default_rng(n).normal(size=(4, 3)).astype(np.float32)}


OPTIMIZER = train_state.adamw(0.05)
STEP = train_state.make_step(loss, OPTIMIZER, ema_decay=0.99)


def fresh(features=3):
    """A new state."""
    return train_state.create({"w": jnp.ones((features, 1))}, OPTIMIZER, jax.random.key(0))


def train(workdir, steps, step_fn=STEP, **options):
    """A run with small intervals."""
    options = {"log_every": 2, "checkpoint_every": 4} | options
    return loop.run(step_fn, fresh(), batches_from, steps=steps, workdir=workdir, **options)


def bits(state):
    """The state's exact bytes."""
    leaves = [
        jax.random.key_data(x) if jnp.issubdtype(x.dtype, jax.dtypes.prng_key) else x
        for x in jax.tree.leaves(state)
    ]
    return [np.asarray(x).tobytes() for x in leaves]


def test_a_resumed_run_is_bit_for_bit_the_uninterrupted_one(tmp_path):
    whole = train(tmp_path / "whole", 10)
    train(tmp_path / "parts", 3)
    train(tmp_path / "parts", 7)
    parts = train(tmp_path / "parts", 10)
    assert bits(parts.state) == bits(whole.state)
    assert parts.steps == whole.steps == 10
    assert parts.examples == whole.examples == 40


def test_the_same_on_a_mesh(tmp_path):
    layout = sharding.Layout(sharding.data_mesh(4))
    step = train_state.make_step(loss, OPTIMIZER, ema_decay=0.99, layout=layout)
    whole = train(tmp_path / "whole", 5, step)
    train(tmp_path / "parts", 3, step)
    assert bits(train(tmp_path / "parts", 5, step).state) == bits(whole.state)


def test_a_finished_run_returns_its_state(tmp_path):
    done = train(tmp_path, 4)
    again = train(tmp_path, 4, step_fn=lambda *_: pytest.fail("there is nothing left to do"))
    assert bits(again.state) == bits(done.state)
    assert again.trained() == done.trained()


def test_metrics_are_means_and_lines_of_a_lost_stretch_are_dropped(tmp_path):
    train(tmp_path, 4)
    path = tmp_path / "metrics.jsonl"
    path.write_text(path.read_text() + '{"step": 6, "seconds": 9, "examples": 24, "loss": 1}\n{"st')
    train(tmp_path, 6)
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 6]
    assert lines[-1]["examples"] == 24
    state, losses = fresh(), []
    for batch in itertools.islice(batches_from(0), 2):
        state, metrics = STEP(state, batch)
        losses.append(float(metrics["loss"]))
    assert lines[0]["loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert any(p.name.startswith("events") for p in tmp_path.iterdir())


@pytest.mark.parametrize("damage", ["truncate", "empty", "metadata"])
def test_a_damaged_checkpoint_is_set_aside_loudly(tmp_path, caplog, damage):
    whole = train(tmp_path / "whole", 10)
    run = tmp_path / "run"
    train(run, 8)
    latest = run / "checkpoints" / "8"
    if damage == "metadata":
        (latest / "default" / "_METADATA").write_text("{")
    else:
        for path in sorted(latest.rglob("*")):
            if path.is_file() and path.stat().st_size:
                path.write_bytes(path.read_bytes()[: -path.stat().st_size // 2])
                if damage == "empty":
                    path.write_bytes(b"")
    with caplog.at_level(logging.ERROR):
        again = train(run, 10)
    assert bits(again.state) == bits(whole.state)
    assert "8 cannot be read" in caplog.text
    assert (run / "checkpoints" / "unreadable-8").is_dir()


def test_a_half_written_checkpoint_is_not_one(tmp_path):
    train(tmp_path, 4)
    folder = tmp_path / "checkpoints"
    (folder / "8.orbax-checkpoint-tmp").mkdir()
    with checkpoints.Checkpoints(folder) as saved:
        assert saved.restore(fresh())[1] == 4


def test_no_readable_checkpoint_is_an_error(tmp_path):
    train(tmp_path, 2)
    for path in (tmp_path / "checkpoints").rglob("*"):
        if path.is_file():
            path.write_bytes(b"")
    with pytest.raises(checkpoints.CheckpointError, match="remove the folder to start over"):
        train(tmp_path, 4)


def test_another_models_checkpoint_is_refused_not_discarded(tmp_path):
    train(tmp_path, 2)
    with pytest.raises(checkpoints.CheckpointError, match=r"params.w is \(3, 1\).*\(5, 1\)"):
        loop.run(STEP, fresh(5), batches_from, steps=4, workdir=tmp_path)
    assert (tmp_path / "checkpoints" / "2").is_dir()


def test_a_nan_stops_the_run_at_its_step_keeps_the_batch_and_saves_nothing(tmp_path):
    def poisoned(start):
        for n, batch in zip(itertools.count(start), batches_from(start), strict=False):
            yield {"x": batch["x"] * (np.nan if n == 5 else 1)}

    with pytest.raises(loop.NotFinite, match="loss is nan at step 6") as stopped:
        loop.run(
            STEP, fresh(), poisoned, steps=10, workdir=tmp_path, log_every=100, checkpoint_every=4
        )
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        sound, step = saved.restore(fresh())
    path = tmp_path / "not_finite" / "step_0000006.safetensors"
    assert f"kept in {path}, the newest sound state is of step 4" in str(stopped.value)
    assert step == 4

    # From the sound state and what was kept, the step can be taken again.
    with safe_open(path, framework="numpy") as file:
        assert file.metadata()["step"] == "6" and file.metadata()["checkpoint"] == "4"
        batch, key = {"x": file.get_tensor("batch/x")}, file.get_tensor("key_data")
    sound, _ = STEP(sound, next(poisoned(4)))
    np.testing.assert_array_equal(batch["x"], next(poisoned(5))["x"])
    np.testing.assert_array_equal(key, jax.random.key_data(jax.random.fold_in(sound.key, 5)))
    assert np.isnan(loss(sound.params, batch, jax.random.wrap_key_data(key))[0])


def test_a_gradient_that_is_not_finite_is_blamed_on_its_own_batch(tmp_path):
    """Where the loss is 0, its root has no slope: the next step's loss would be the first NaN."""

    def rooted(params, batch, key):
        return jnp.mean(jnp.sqrt(jnp.abs(batch["x"] @ params["w"]))), {}

    def flat_once(start):
        for n, batch in zip(itertools.count(start), batches_from(start), strict=False):
            yield {"x": batch["x"] * (n != 2)}

    step = train_state.make_step(rooted, OPTIMIZER, ema_decay=0.9)
    with pytest.raises(loop.NotFinite, match=r"grad_norm is nan at step 3 .*of the start"):
        loop.run(step, fresh(), flat_once, steps=6, workdir=tmp_path, checkpoint_every=3)
    assert (tmp_path / "not_finite" / "step_0000003.safetensors").exists()


# Of orbax's threads, for which the failure comes too late.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_a_full_disk_ends_the_run_in_one_line_and_leaves_the_last_checkpoint(tmp_path, caplog):
    """The limit on a file's size stands for the disk: writes fail in the midst of a save."""
    step = train_state.make_step(loss, OPTIMIZER, ema_decay=0.99)

    def train_wide(workdir, steps):
        key = jax.random.key(0)
        wide = train_state.create({"w": jax.random.normal(key, (3, 20_000))}, OPTIMIZER, key)
        return loop.run(step, wide, batches_from, steps=steps, workdir=workdir, checkpoint_every=2)

    train_wide(tmp_path / "full", 4)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    caplog.clear()
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, before[1]))
        with pytest.raises(checkpoints.CheckpointError) as stopped:
            train_wide(tmp_path / "full", 8)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    message = str(stopped.value)
    assert "could not be saved (File too large)" in message
    assert message.endswith("that of step 4 is sound") and "\n" not in message
    assert "Traceback" not in caplog.text
    whole = train_wide(tmp_path / "whole", 8)
    assert bits(train_wide(tmp_path / "full", 8).state) == bits(whole.state)


def test_a_run_holds_its_folder_for_all_of_its_life(tmp_path):
    script = "import fcntl, sys; fcntl.flock(open(sys.argv[1]), fcntl.LOCK_EX | fcntl.LOCK_NB)"

    def free():
        path = tmp_path / claim.FILE
        return not subprocess.call(
            [sys.executable, "-S", "-c", script, path], stderr=subprocess.DEVNULL
        )

    def intruded(start):
        for batch in batches_from(start):
            assert not free()
            yield batch

    loop.run(STEP, fresh(), intruded, steps=2, workdir=tmp_path)
    assert free()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_saves_and_stops(tmp_path, number):
    def interrupting(start):
        for n, batch in zip(itertools.count(start), batches_from(start), strict=False):
            if n == 4:
                os.kill(os.getpid(), number)
            yield batch

    before = signal.getsignal(number)
    with pytest.raises(loop.Interrupted, match="after step 5") as stopped:
        loop.run(STEP, fresh(), interrupting, steps=9, workdir=tmp_path)
    assert stopped.value.signum == number
    assert signal.getsignal(number) is before
    whole = train(tmp_path / "whole", 9)
    assert bits(train(tmp_path, 9).state) == bits(whole.state)


def test_a_signal_during_logging_still_saves_what_it_says(tmp_path, monkeypatch):
    flush, calls = journal.Journal.flush, []

    def flush_and_interrupt(self):
        flush(self)
        calls.append(1)
        if len(calls) == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(journal.Journal, "flush", flush_and_interrupt)
    with pytest.raises(loop.Interrupted) as stopped:
        loop.run(STEP, fresh(), batches_from, steps=9, workdir=tmp_path, log_every=1)
    with checkpoints.Checkpoints(tmp_path / "checkpoints") as saved:
        assert saved.restore(fresh())[1] == stopped.value.step == 4


def test_pictures_of_the_callback_are_saved(tmp_path):
    seen = []

    def draw(state, step):
        seen.append((int(state.step), step))
        return {"grid": np.full((4, 6, 3), 200, np.uint8)}

    train(tmp_path, 6, on_checkpoint=draw)
    assert seen == [(4, 4), (6, 6)]
    names = sorted(p.name for p in (tmp_path / "samples").iterdir())
    assert names == ["grid_0000004.png", "grid_0000006.png"]
    (events,) = tmp_path.glob("events.out.tfevents.*")
    assert events.read_bytes().count(b"grid") == 2


def test_log_line(tmp_path, caplog, monkeypatch):
    with caplog.at_level(logging.INFO):
        train(tmp_path / "plain", 4)
    assert re.search(r"first step done after .* s; .* FLOP a step", caplog.text)
    lines = [r.message for r in caplog.records if r.message.startswith("step ")]
    assert lines[-1].startswith("step 4/4  loss ") and lines[-1].endswith("FLOP/s  0:00:00 left")
    assert len({line.index(" samples/s  ") for line in lines}) == 1

    monkeypatch.setattr(flops, "peak", lambda kind: 1e9)
    with caplog.at_level(logging.INFO):
        train(tmp_path / "known", 4)
    assert re.search(r"\d % MFU  0:00:00 left$", caplog.records[-1].message)
    records = {
        name: json.loads((tmp_path / name / "metrics.jsonl").read_text().splitlines()[-1])
        for name in ("plain", "known")
    }
    # 4 x 3 times 3 x 1, forward and back to the parameters; 4 samples a step.
    for record, rate in ((records["plain"], "flops_per_s"), (records["known"], "mfu")):
        scale = 1 if rate == "flops_per_s" else 1e9
        assert record[rate] * scale == pytest.approx(48 * record["samples_per_s"] / 4, rel=1e-3)
