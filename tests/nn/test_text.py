import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn.text import TextPrior, null_text
from rodin_jax.nn.transformer import TransformerBlock

NET = TextPrior(dim=6, width=8, layers=2, heads=2)


def inputs(seed=0):
    keys = jax.random.split(jax.random.key(seed), 3)
    z = jax.random.normal(keys[0], (3, 6))
    features, embedding = jax.random.normal(keys[1], (3, 5, 7)), jax.random.normal(keys[2], (3, 6))
    mask = jnp.arange(5) < jnp.array([[5], [3], [2]])
    return z, jnp.array([0, 40, 900]), features, embedding, mask


@functools.cache
def network():
    """Initialised, with an output layer that says something."""
    variables = jax.jit(NET.init)(jax.random.key(1), *inputs())
    apply = jax.jit(NET.apply)
    np.testing.assert_array_equal(apply(variables, *inputs()), 0)  # the mean, at first
    kernel = jax.random.normal(jax.random.key(2), (8, 6))
    variables["params"]["output"]["kernel"] = kernel
    return lambda *arguments: apply(variables, *arguments)


def test_every_input_matters_and_padding_does_not():
    run, arguments = network(), inputs()
    out, other = run(*arguments), inputs(1)
    for i in range(4):
        value = other[i] if i != 1 else arguments[1] + 50
        changed = run(*arguments[:i], value, *arguments[i + 1 :])
        assert (jnp.abs(changed - out).max(axis=1) > 1e-5).all(), i
    z, t, features, embedding, mask = arguments
    noisy = jnp.where(mask[..., None], features, 100.0)
    np.testing.assert_allclose(run(z, t, noisy, embedding, mask), out, atol=1e-4)


def test_null_text_hides_the_sentence():
    run = network()
    z, t, *text = inputs()
    _, _, *other = inputs(1)
    nothing = run(z, t, *null_text(*text))
    np.testing.assert_allclose(run(z, t, *null_text(*other)), nothing, atol=1e-6)
    assert jnp.isfinite(nothing).all()
    some = run(z, t, *null_text(*text, jnp.array([True, False, False])))
    full = run(z, t, *text)
    np.testing.assert_allclose(some, jnp.concatenate([nothing[:1], full[1:]]), atol=1e-5)


def test_block_looks_only_where_the_mask_lets_it():
    block = TransformerBlock(heads=2)
    x = jax.random.normal(jax.random.key(0), (1, 4, 8))
    causal = jnp.tri(4, dtype=bool)[None]
    variables = jax.jit(block.init)(jax.random.key(1), x, causal)
    jacobian = jax.jit(jax.jacobian(lambda x: block.apply(variables, x, causal)[0].sum(-1)))(x)
    influence = np.asarray(jnp.abs(jacobian[:, 0]).max(-1) > 0)
    np.testing.assert_array_equal(influence, np.tri(4, dtype=bool))
    with pytest.raises(ValueError, match="3 heads"):
        TransformerBlock(heads=3).init(jax.random.key(0), x, causal)
