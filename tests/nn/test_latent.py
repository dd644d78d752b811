import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn.latent import LatentNet


def test_paper_size():
    """117.1 M parameters at 512 dimensions, as the network it follows."""
    net = LatentNet(512)
    shapes = jax.eval_shape(
        net.init, jax.random.key(0), jnp.zeros((1, 512)), jnp.zeros(1, jnp.int32)
    )
    count = sum(x.size for x in jax.tree.leaves(shapes))
    assert round(count / 1e6, 1) == 117.1


def test_input_comes_back_at_every_layer_and_time_matters():
    net = LatentNet(4, width=8, depth=3, time_features=8)
    z = jax.random.normal(jax.random.key(1), (5, 4))
    t = jnp.arange(5)
    run = jax.jit(net.apply)
    params = jax.jit(net.init)(jax.random.key(0), z, t)["params"]
    assert params["layer_0"]["kernel"].shape == (4, 8)
    assert params["layer_1"]["kernel"].shape == (12, 8)
    assert params["output"]["kernel"].shape == (12, 4)
    # With the hidden half of the last kernel gone, the input still passes, linearly.
    kernel = params["output"]["kernel"].at[:8].set(0)
    cut = params | {"output": params["output"] | {"kernel": kernel}}
    np.testing.assert_allclose(run({"params": cut}, z, t), z @ kernel[8:], atol=1e-5)
    one = run({"params": params}, z[:1].repeat(5, 0), t)
    assert (jnp.abs(one - one[:1])[1:].max(axis=1) > 1e-4).all()


def test_too_shallow():
    with pytest.raises(ValueError, match="two layers"):
        LatentNet(4, depth=1).init(jax.random.key(0), jnp.zeros((1, 4)), jnp.zeros(1, jnp.int32))
