"""The upsampler: where it starts, what it sees, and where its work is done."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import build, gradient_of_power, quick_jit

from rodin_jax import triplanes
from rodin_jax.nn.upsampler import Upsampler


def inputs(low=4, factor=2, channels=3):
    keys = jax.random.split(jax.random.key(0), 2)
    x_t = jax.random.normal(keys[0], (2, 3, low * factor, low * factor, channels))
    return x_t, jax.random.normal(keys[1], (2, 3, low, low, channels)), jnp.array([3, 80])


OPTIONS = dict(out_channels=3, channels=8, blocks=1, factor=2, detail_channels=4, linear_path=True)


@pytest.fixture(scope="module")
def net():
    return build(Upsampler(**OPTIONS), *inputs())


@pytest.mark.parametrize("linear_path", [False, True])
def test_starts_as_the_resize_of_the_low_planes(linear_path):
    x_t, low, t = inputs()
    model = Upsampler(**(OPTIONS | {"linear_path": linear_path}), conv="plane")
    out, _ = quick_jit(model.init_with_output)(jax.random.key(0), x_t, low, t)
    np.testing.assert_allclose(out, triplanes.resize(low, 8), atol=1e-6)


def test_depends_on_the_noise_the_condition_and_the_time(net):
    apply, params = net
    x_t, low, t = inputs()
    out = apply(params, x_t, low, t)
    assert out.shape == x_t.shape
    assert out.dtype == jnp.float32
    for other in ((x_t + 0.5, low, t), (x_t, low * 0.5, t), (x_t, low, t + 9)):
        assert jnp.abs(apply(params, *other) - out).max() > 1e-2


def test_every_parameter_receives_a_gradient(net):
    apply, params = net
    gradient = gradient_of_power(apply, params, *inputs())
    for path, g in jax.tree.leaves_with_path(gradient):
        assert jnp.isfinite(g).all() and jnp.abs(g).max() > 0, jax.tree_util.keystr(path)


def test_the_head_sees_single_texels_of_the_noisy_planes(net):
    """Detail inside one low-resolution texel reaches the matching places of the output."""
    apply, params = net
    x_t, low, t = inputs()

    def texel(x):
        return apply.__wrapped__(params, x, low, t)[0, 0, 5, 2].sum()

    sensitivity = jnp.abs(quick_jit(jax.grad(texel))(x_t))[0, 0].sum(-1)
    assert sensitivity[4:7, 1:4].mean() > 2 * sensitivity.mean()


def test_remat_and_bfloat16_are_the_same_network(net):
    apply, params = net
    out = apply(params, *inputs())
    remat = quick_jit(Upsampler(**OPTIONS, remat=True).apply)(params, *inputs())
    np.testing.assert_allclose(remat, out, atol=1e-4)
    half = quick_jit(Upsampler(**OPTIONS, dtype=jnp.bfloat16).apply)(params, *inputs())
    assert half.dtype == jnp.float32
    assert jnp.abs(half - out).mean() < 0.05 * jnp.abs(out).mean()


def test_nano_forward_costs_about_a_gigaflop():
    args = [jnp.zeros(s) for s in ((1, 3, 64, 64, 8), (1, 3, 16, 16, 8), (1,))]
    model = Upsampler(8)
    params = jax.eval_shape(model.init, jax.random.key(0), *args)
    assert jax.jit(model.apply).lower(params, *args).cost_analysis()["flops"] < 1.2e9


def test_mismatched_sizes_are_named():
    x_t, low, t = inputs()
    with pytest.raises(ValueError, match="4 times the size"):
        jax.eval_shape(Upsampler(3, channels=8).init, jax.random.key(0), x_t, low, t)
