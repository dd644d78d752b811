"""The refiner: where it starts, how far it sees, and that size is none of its business."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import build, gradient_of_power, quick_jit

from rodin_jax.nn.refiner import Refiner, enlarge

OPTIONS = {"channels": 8, "blocks": 1, "growth": 4}


def pictures(height=6, width=5):
    return jax.random.uniform(jax.random.key(0), (2, height, width, 3))


@pytest.fixture(scope="module")
def net():
    return build(Refiner(**OPTIONS), pictures())


def test_starts_as_a_plain_resize():
    out, _ = quick_jit(Refiner(**OPTIONS).init_with_output)(jax.random.key(0), pictures())
    assert out.shape == (2, 12, 10, 3)
    np.testing.assert_allclose(out, enlarge(pictures()), atol=1e-6)


def test_a_resize_keeps_places():
    """Pixel i of n is centred at (i + 0.5) / n in both pictures, so ramps stay ramps."""
    place = lambda n: (jnp.arange(n) + 0.5) / n  # noqa: E731
    ramp = lambda n: jnp.broadcast_to(place(n)[None, None, :, None], (1, n, n, 3))  # noqa: E731
    np.testing.assert_allclose(enlarge(ramp(8))[:, :, 1:-1], ramp(16)[:, :, 1:-1], atol=1e-6)


def test_every_parameter_receives_a_gradient(net):
    apply, params = net
    gradient = gradient_of_power(apply, params, pictures())
    for path, g in jax.tree.leaves_with_path(gradient):
        assert jnp.isfinite(g).all() and jnp.abs(g).max() > 0, jax.tree_util.keystr(path)


def test_its_blocks_are_the_fields(net):
    """ESRGAN's names, and the shapes that dense connections give."""
    params = net[1]["params"]
    assert set(params) == {
        "conv_first", "body_0", "conv_body", "conv_up", "conv_hr", "conv_last",
    }  # fmt: skip
    block = params["body_0"]["rdb2"]
    widths = [block[f"conv{i}"]["kernel"].shape[2:] for i in range(1, 6)]
    assert widths == [(8, 4), (12, 4), (16, 4), (20, 4), (24, 8)]
    shapes = jax.eval_shape(Refiner().init, jax.random.key(0), jnp.zeros((1, 8, 8, 3)))
    count = sum(leaf.size for leaf in jax.tree.leaves(shapes))
    # RRDBNet with 23 blocks has 16 697 987 for x4; one up-convolution of 64 x 64 less for x2.
    assert count == 16_697_987 - (64 * 64 * 9 + 64)


def test_a_branch_scaled_to_nothing_is_no_branch():
    x = pictures()
    apply, params = build(Refiner(**OPTIONS, residual_scale=0.0), x)
    other = jax.tree.map(lambda p: p, params)
    other["params"]["body_0"] = jax.tree.map(lambda p: p + 1.0, params["params"]["body_0"])
    np.testing.assert_array_equal(apply(params, x), apply(other, x))


def test_a_patch_is_refined_as_the_whole_picture_is(net):
    """Training on patches is sound: away from their edges they look the same."""
    apply, params = net
    x = jax.random.uniform(jax.random.key(1), (1, 48, 48, 3))
    whole = apply(params, x)[:, 40:56, 40:56]
    # Five convolutions in each of three dense blocks, two around them, two at twice the size.
    reach = 3 * 5 + 2 + 1
    part = apply(params, x[:, 20 - reach : 28 + reach, 20 - reach : 28 + reach])
    middle = slice(2 * reach, 2 * reach + 16)
    np.testing.assert_allclose(part[:, middle, middle], whole, atol=1e-4)


def test_remat_and_bfloat16_are_the_same_network(net):
    apply, params = net
    x = pictures()
    out = apply(params, x)
    remat = quick_jit(jax.grad(lambda v: jnp.sum(Refiner(**OPTIONS, remat=True).apply(params, v))))
    plain = quick_jit(jax.grad(lambda v: jnp.sum(apply.__wrapped__(params, v))))
    np.testing.assert_allclose(remat(x), plain(x), atol=1e-4)
    half = quick_jit(Refiner(**OPTIONS, dtype=jnp.bfloat16).apply)(params, x)
    assert half.dtype == jnp.float32
    assert jnp.abs(half - out).mean() < 0.05 * jnp.abs(out).mean()
