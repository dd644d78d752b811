"""Going on from an earlier run's weights."""

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.train import stage
from rodin_jax.train.export import write_export


@pytest.fixture
def params():
    return stage.initial(nn.Dense(3), jax.random.key(0), jnp.zeros((1, 2)))


def test_without_an_earlier_run_fresh_weights_stay(params):
    assert stage.continued(params, "", "base") is params


def test_an_earlier_runs_weights_take_their_place(params, tmp_path):
    earlier = jax.tree.map(lambda x: x + 1, params)
    write_export(tmp_path, "base", {}, earlier)
    found = stage.continued(params, tmp_path, "base")
    jax.tree.map(np.testing.assert_array_equal, found, earlier)


def test_other_networks_are_refused(params, tmp_path):
    write_export(tmp_path / "a", "base", {}, {"kernel": jnp.zeros((2, 4)), "bias": jnp.zeros(4)})
    with pytest.raises(ValueError, match=r"its network has other sizes than config\.model"):
        stage.continued(params, tmp_path / "a", "base")
    write_export(tmp_path / "b", "base", {}, {"kernel": jnp.zeros((2, 3))})
    with pytest.raises(ValueError, match=r"its network has other sizes than config\.model"):
        stage.continued(params, tmp_path / "b", "base")
    write_export(tmp_path / "c", "text", {}, params)
    with pytest.raises(ValueError, match="holds the part 'text', expected 'base'"):
        stage.continued(params, tmp_path / "c", "base")
    with pytest.raises(FileNotFoundError, match="no export here"):
        stage.continued(params, tmp_path / "none", "base")
