"""The factorised operator against its literal form, a slow loop, and the geometry it claims."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from networks import quick_jit

from rodin_jax.nn.aware_conv import AwareConv, aware_conv, aware_conv_literal
from rodin_jax.triplanes import column_context, row_context

# World axes (rows, columns) of each plane: uv, wu, vw.
AXES = ((0, 1), (2, 0), (1, 2))


def random_case(size, kernel, channels=3, features=4, batch=(2,)):
    keys = jax.random.split(jax.random.key(size), 3)
    planes = jax.random.normal(keys[0], (*batch, 3, size, size, channels))
    weights = jax.random.normal(keys[1], (*kernel, 3 * channels, features)) / channels
    return planes, weights, jax.random.normal(keys[2], (features,))


def slow_aware_conv(planes, kernel, bias):
    """Texel by texel in float64, with the contexts looked up by world axis, not by rolling."""
    planes, kernel = np.float64(planes), np.float64(kernel)
    n = planes.shape[1]
    pooled = {}  # (plane, world axis kept) -> profile along that axis
    for k, (rows, columns) in enumerate(AXES):
        pooled[k, rows] = planes[k].mean(axis=1)
        pooled[k, columns] = planes[k].mean(axis=0)

    def context(k, axis):
        (other,) = (o for o in range(3) if o != k and axis in AXES[o])
        return pooled[other, axis]

    kh, kw, _, d = kernel.shape
    out = np.zeros((3, n, n, d)) + np.float64(bias)
    for k, (rows, columns) in enumerate(AXES):
        for i, j, p, q in np.ndindex(n, n, kh, kw):
            y, x = i + p - kh // 2, j + q - kw // 2
            if 0 <= y < n and 0 <= x < n:
                seen = [planes[k, y, x], context(k, rows)[y], context(k, columns)[x]]
                out[k, i, j] += np.concatenate(seen) @ kernel[p, q]
    return out


@pytest.mark.parametrize(
    ("size", "kernel"),
    [(1, (3, 3)), (2, (3, 3)), (3, (5, 5)), (6, (3, 3)), (7, (5, 3))],
)
def test_equals_a_slow_loop(size, kernel):
    planes, weights, bias = random_case(size, kernel, channels=2, features=3, batch=())
    expected = slow_aware_conv(planes, weights, bias)
    for operator in (aware_conv, aware_conv_literal):
        out = quick_jit(operator)(planes, weights, bias)
        np.testing.assert_allclose(out, expected, atol=1e-5)


@pytest.mark.parametrize(("size", "kernel"), [(2, (3, 5)), (8, (3, 3)), (9, (1, 7))])
def test_factorised_equals_literal_in_value_and_gradient(size, kernel):
    planes, weights, bias = random_case(size, kernel)

    def value_and_pullback(operator, cotangent):
        out, pullback = jax.vjp(operator, planes, weights, bias)
        return out, *pullback(cotangent)

    cotangent = jax.random.normal(jax.random.key(9), (2, 3, size, size, 4)) / size
    run = quick_jit(value_and_pullback, static_argnums=0)
    for ours, literal in zip(
        run(aware_conv, cotangent), run(aware_conv_literal, cotangent), strict=True
    ):
        np.testing.assert_allclose(ours, literal, atol=1e-5)


@pytest.mark.parametrize("axis", range(3))
def test_a_field_of_one_axis_finds_its_profile_on_that_axis(axis):
    """Planes that vary along one world axis: its context is the profile, the other is flat."""
    profile = np.float32([3, -1, 4, 1, -5])
    planes = np.zeros((3, 5, 5, 1), np.float32)
    for k, (rows, columns) in enumerate(AXES):
        planes[k, :, :, 0] = profile[:, None] * (rows == axis) + profile * (columns == axis)
    planes = jnp.asarray(planes)
    context = np.stack([row_context(planes), column_context(planes)], axis=1)[..., 0]
    for k, axes in enumerate(AXES):
        for seen, along in zip(context[k], axes, strict=True):
            expected = profile if along == axis else np.full(5, seen.mean())
            np.testing.assert_allclose(seen, expected, atol=1e-6)
    # So on the planes that have the axis, own texel minus both contexts leaves nothing.
    kernel = jnp.array([1.0, -1.0, -1.0]).reshape(1, 1, 3, 1)
    difference = aware_conv(planes, kernel)
    for k, axes in enumerate(AXES):
        assert (jnp.abs(difference[k]).max() < 1e-5) == (axis in axes)


def test_commutes_with_the_cyclic_change_of_axes():
    planes, weights, bias = random_case(6, (3, 3))
    run = quick_jit(aware_conv)
    out = run(planes, weights, bias)
    turned = run(jnp.roll(planes, 1, axis=-4), weights, bias)
    np.testing.assert_allclose(turned, jnp.roll(out, 1, axis=-4), atol=1e-5)
    # ... and not with a swap of two planes, which no rotation of the axes gives.
    swap = jnp.array([1, 0, 2])
    assert jnp.abs(run(planes[:, swap], weights, bias) - out[:, swap]).max() > 0.1


def test_any_leading_axes():
    planes, weights, _ = random_case(4, (3, 3), batch=(2, 3))
    run = quick_jit(aware_conv)
    merged = run(planes.reshape(6, *planes.shape[2:]), weights)
    np.testing.assert_allclose(run(planes, weights).reshape(merged.shape), merged, atol=1e-6)


@pytest.mark.parametrize(
    ("planes", "kernel", "message"),
    [
        ((3, 4, 6, 2), (3, 3, 6, 1), "square"),
        ((3, 4, 4, 2), (3, 2, 6, 1), "odd"),
        ((3, 4, 4, 2), (3, 3, 2, 1), "kernel of 6"),
    ],
)
def test_rejects_what_cannot_align(planes, kernel, message):
    with pytest.raises(ValueError, match=message):
        aware_conv(jnp.zeros(planes), jnp.zeros(kernel))


def test_layer_computes_in_its_dtype_with_float32_parameters():
    planes, _, _ = random_case(4, (3, 3))
    full, half = AwareConv(5), AwareConv(5, dtype=jnp.bfloat16)
    params = quick_jit(half.init)(jax.random.key(0), planes)
    assert {p.dtype for p in jax.tree.leaves(params)} == {jnp.dtype("float32")}
    out = quick_jit(half.apply)(params, planes)
    assert out.dtype == jnp.bfloat16
    np.testing.assert_allclose(out, quick_jit(full.apply)(params, planes), atol=0.05)
