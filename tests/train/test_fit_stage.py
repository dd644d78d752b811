"""The fit stage goes on after a stop, subject by subject, here and on a cluster."""

import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import numpy as np
import pytest

from rodin_jax.data import builder
from rodin_jax.data.planes import PlanesStore
from rodin_jax.train import fit
from rodin_jax.train.fitter import in_this_process

LAUNCH = Path(__file__).parents[2] / "launch"


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Eight people, six of whom train."""
    out = tmp_path_factory.mktemp("people")
    builder.generate("smoke", 8, out, views=6, processes=1, progress=False)
    return str(out)


@pytest.fixture(scope="module")
def config(get_config, data):
    config = get_config("fit", "smoke")
    config.data_dir = data
    config.shard_size, config.steps = 2, 12
    config.joint.update(subjects=2, group=1, steps=16, visit=4)
    return config


def stored(workdir):
    store = PlanesStore(workdir / "planes")
    return store.ids(), store.planes_array()


def test_a_stopped_fit_goes_on(config, tmp_path):
    def stop_after(count):
        def fit_in(fitter, numbers):
            for i, fitted in enumerate(in_this_process(fitter, numbers)):
                if i == count:
                    raise KeyboardInterrupt
                yield fitted

        return fit_in

    fit.run(config, tmp_path / "whole")
    ids, planes = stored(tmp_path / "whole")
    assert len(set(ids)) == len(ids) == 6
    with pytest.raises(KeyboardInterrupt):
        fit.run(config, tmp_path / "stopped", stop_after(5))
    assert stored(tmp_path / "stopped")[0] == ids[:4]  # whole shards
    fit.run(config, tmp_path / "stopped")
    again, same = stored(tmp_path / "stopped")
    assert again == ids
    np.testing.assert_array_equal(same[:4], planes[:4])
    # The last two now share a group with other neighbours, which changes rounding only.
    assert np.abs(same - planes).mean() < 0.02 * np.abs(planes).mean()
    assert not (tmp_path / "whole" / "joint").exists()


def test_sets_with_other_numbers_of_views_are_fitted_together(config, data, tmp_path):
    more = tmp_path / "more"
    builder.generate("smoke", 3, more, seed=1, views=4, processes=1, progress=False)
    config = config.copy_and_resolve_references()
    config.data_dir = f"{data},{more}"
    fit.run(config, tmp_path / "run")
    ids = stored(tmp_path / "run")[0]
    assert ids == [s.id for s in builder.load_subjects(config.data_dir)] and len(ids) == 7
    config.data_dir = f"{more},{more}"
    with pytest.raises(ValueError, match="subjects of the same name in two data sets"):
        fit.run(config, tmp_path / "twice")


@pytest.mark.skipif(sys.platform != "linux", reason="looks for processes in /proc")
def test_a_cluster_loses_and_doubles_nothing_when_a_worker_is_killed(config, tmp_path):
    pytest.importorskip("ray")
    command = [
        sys.executable, LAUNCH / "fit_ray.py", "--workers=2", f"--workdir={tmp_path}",
        f"--config={LAUNCH.parent / 'configs' / 'fit.py'}:smoke",
        f"--config.data_dir={config.data_dir}", "--config.steps=200", "--config.shard_size=2",
        "--config.joint.steps=60", "--config.device_per_core=False",
    ]  # fmt: skip
    killed = []

    def kill_one():
        while not killed:
            for process in Path("/proc").glob("[0-9]*"):
                try:
                    name = (process / "cmdline").read_text()
                except OSError:
                    continue
                if name.startswith("ray::Worker.fit"):
                    os.kill(int(process.name), signal.SIGKILL)
                    killed.append(process.name)
                    return
            time.sleep(0.05)

    threading.Thread(target=kill_one, daemon=True).start()
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "RAY_USAGE_STATS_ENABLED": "0"}
    environment.pop("XLA_FLAGS", None)
    subprocess.run(command, check=True, env=environment, timeout=300)
    assert killed
    ids, planes = stored(tmp_path)
    assert len(set(ids)) == len(ids) == 6
    assert np.isfinite(planes).all()
