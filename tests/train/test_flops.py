"""Counted arithmetic against closed forms, and against XLA where it counts the same things."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.train import flops
from rodin_jax.train import state as train_state

W, X = jnp.ones((32, 32)), jnp.ones((8, 32))
PRODUCT = 2 * 8 * 32 * 32


def counted(function, *arguments):
    return flops.count(jax.jit(function).trace(*arguments).jaxpr)


def test_a_product_and_its_gradient():
    assert counted(jnp.matmul, X, W) == PRODUCT
    assert counted(jax.grad(lambda w, x: jnp.sum((x @ w) ** 2), (0, 1)), W, X) == 3 * PRODUCT
    batched = counted(lambda a, b: jnp.einsum("bij,bjk->bik", a, b), jnp.ones((5, 8, 32)),
                      jnp.ones((5, 32, 32)))  # fmt: skip
    assert batched == 5 * PRODUCT


@pytest.mark.parametrize("stride", [1, 2])
def test_a_convolution_and_its_gradient(stride):
    def convolve(kernel, image):
        numbers = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(
            image, kernel, (stride, stride), "SAME", dimension_numbers=numbers
        )
        return jnp.sum(out**2)

    arguments = jnp.ones((3, 3, 16, 8)), jnp.ones((2, 16, 16, 16))
    once = 2 * 2 * (16 // stride) ** 2 * 9 * 16 * 8
    assert counted(convolve, *arguments) == once
    assert counted(jax.grad(convolve, (0, 1)), *arguments) == 3 * once


def test_loops_count_as_often_as_they_run_and_branches_by_the_dearest():
    def loop(x):
        return jax.lax.scan(lambda c, _: (c @ W, None), x, length=7)[0]

    assert counted(loop, X) == 7 * PRODUCT
    assert counted(lambda p, x: jax.lax.cond(p, lambda x: x @ W @ W, lambda x: x, x), True, X) == (
        2 * PRODUCT
    )


def test_what_is_rematerialised_counts_again():
    def layers(w, x):
        return jnp.sum(jnp.tanh(jnp.tanh(x @ w) @ w) ** 2)

    plain = counted(jax.grad(layers), W, X)
    assert plain == 5 * PRODUCT  # the gradient of the data is not wanted
    assert counted(jax.grad(jax.checkpoint(layers)), W, X) == plain + 2 * PRODUCT


def test_products_dominate_what_xla_counts():
    def network(w, x):
        return jnp.sum((x @ w) @ w)

    big = jnp.ones((256, 256)), jnp.ones((64, 256))
    compiled = jax.jit(network).lower(*big).compile().cost_analysis()
    assert counted(network, *big) == pytest.approx(compiled["flops"], rel=0.02)


def test_a_steps_arithmetic_is_that_of_its_batch_however_it_is_cut():
    def loss(params, batch, key):
        return jnp.mean((batch["x"] @ params["w"]) ** 2), {}

    optimizer, found = train_state.adamw(0.1), []
    for accumulate in (1, 4):
        step = train_state.make_step(loss, optimizer, ema_decay=0.9, accumulate=accumulate)
        assert step.flops is None
        state = train_state.create({"w": W + 0}, optimizer, jax.random.key(0))
        step(state, {"x": np.ones((8, 32), np.float32)})
        found.append(step.flops)
    assert found == [2 * PRODUCT] * 2


def test_the_step_is_traced_once(tmp_path):
    traced = []

    def loss(params, batch, key):
        traced.append(1)
        return jnp.mean((batch["x"] @ params["w"]) ** 2), {}

    step = train_state.make_step(loss, train_state.adamw(0.1), ema_decay=0.9)
    state = train_state.create({"w": W + 0}, train_state.adamw(0.1), jax.random.key(0))
    for _ in range(3):
        state, _ = step(state, {"x": np.ones((8, 32), np.float32)})
    assert len(traced) == 1


def test_peaks_of_known_devices():
    assert flops.peak("NVIDIA H200") == flops.peak("NVIDIA H100 80GB HBM3") == 989e12
    assert flops.peak("NVIDIA H100 PCIe") == 756e12
    assert flops.peak("NVIDIA A100-SXM4-80GB") == 312e12
    assert flops.peak("NVIDIA L40S") != flops.peak("NVIDIA L4")
    assert flops.peak("TPU v5 lite") == 197e12 and flops.peak("TPU v5p") == 459e12
    assert flops.peak("cpu") is None
