"""What the tests of networks share: parameters that make a network speak, and quick compilation."""

import functools
import zlib

import jax
import jax.numpy as jnp
import numpy as np

# Compiling a tiny network costs far more than running it; unoptimised code is ready much sooner.
quick_jit = functools.partial(jax.jit, compiler_options={"xla_backend_optimization_level": 0})


def awake(net, *args):
    """Random parameters for ``net``, also where it would start at zero and stay silent."""

    def draw(path, leaf):
        name = jax.tree_util.keystr(path)
        noise = np.random.default_rng(zlib.crc32(name.encode())).normal(size=leaf.shape)
        scale = np.prod(leaf.shape[:-1]) ** -0.5 if "kernel" in name else 0.2
        return np.asarray(name.endswith("['scale']") + scale * noise, leaf.dtype)

    shapes = jax.eval_shape(net.init, jax.random.key(0), *args)
    return jax.tree.map(jnp.asarray, jax.tree.map_with_path(draw, shapes))


def build(net, *args):
    """The compiled network and parameters for it."""
    return quick_jit(net.apply), awake(net, *args)


def gradient_of_power(apply, params, *args):
    """Gradient, with respect to the parameters, of the mean square of the network's output."""
    return quick_jit(jax.grad(lambda p: jnp.square(apply.__wrapped__(p, *args)).mean()))(params)
