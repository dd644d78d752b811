"""Arithmetic of a program, counted from its jaxpr, and what devices could do.

Only matrix products and convolutions count, as is usual for the model FLOPs utilisation (MFU); a
multiplication and an addition are two operations. XLA's own cost analysis counts the body of a loop
once, however often it runs, and sees nothing inside a library's kernels, so it is not used.
"""

import math
from collections.abc import Iterator

import jax
from jax.extend import core

# Peak operations a second in bfloat16 (float16 where there is none), dense, from the vendors' data
# sheets; by the beginning of the device's name in JAX, longer names first. A TPU's is that of one
# JAX device: half a chip up to v3.
PEAKS = {
    "NVIDIA B200": 2250e12,
    "NVIDIA H200": 989e12,
    "NVIDIA GH200": 989e12,
    "NVIDIA H100 PCIe": 756e12,
    "NVIDIA H100 NVL": 835e12,
    "NVIDIA H100": 989e12,
    "NVIDIA A100": 312e12,
    "NVIDIA A10G": 70e12,
    "NVIDIA A10": 125e12,
    "NVIDIA A40": 150e12,
    "NVIDIA L40S": 362e12,
    "NVIDIA L40": 181e12,
    "NVIDIA L4": 121e12,
    "NVIDIA RTX A6000": 155e12,
    "NVIDIA GeForce RTX 5090": 210e12,
    "NVIDIA GeForce RTX 4090": 165e12,
    "NVIDIA GeForce RTX 3090": 71e12,
    "Tesla V100": 125e12,
    "Tesla T4": 65e12,
    "TPU v2": 22.5e12,
    "TPU v3": 61.5e12,
    "TPU v4 lite": 138e12,
    "TPU v4": 275e12,
    "TPU v5 lite": 197e12,
    "TPU v5e": 197e12,
    "TPU v5p": 459e12,
    "TPU v5": 459e12,
    "TPU v6 lite": 918e12,
    "TPU v6e": 918e12,
}


def peak(kind: str) -> float | None:
    """Operations a second of one device, by its ``device_kind``; None if it is not known."""
    names = [name for name in PEAKS if kind.startswith(name)]
    return PEAKS[max(names, key=len)] if names else None


def count(jaxpr: core.ClosedJaxpr | core.Jaxpr) -> float:
    """Operations of the products and convolutions in ``jaxpr``, over all devices.

    What rematerialisation computes again counts again. A scan counts as often as it runs;
    of a conditional's branches the dearest counts; the body of a while loop, whose turns are not
    known, counts once.
    """
    total = 0.0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == "dot_general":
            (contracted, _), _ = equation.params["dimension_numbers"]
            left = equation.invars[0].aval.shape
            depth = math.prod(left[axis] for axis in contracted)
            total += 2 * math.prod(equation.outvars[0].aval.shape) * depth
        elif name == "conv_general_dilated":
            total += _convolution(equation)
        elif name.startswith("dot_product_attention"):
            total += _attention(equation)
        else:
            inner = [count(sub) for sub in _inner(equation)]
            times = equation.params["length"] if name == "scan" else 1
            total += times * (max(inner, default=0) if name == "cond" else sum(inner))
    return total


def _convolution(equation) -> float:
    """2 x outputs x taps x channels in; dilation of the input only inserts zeros."""
    numbers = equation.params["dimension_numbers"]
    kernel = equation.invars[1].aval.shape
    out = equation.outvars[0].aval.shape
    channels_in, *taps = (kernel[axis] for axis in numbers.rhs_spec[1:])
    places = math.prod(out[axis] for axis in numbers.out_spec[2:])
    # Where the input is dilated (the gradient of a strided convolution) most taps meet zeros.
    dilation = math.prod(equation.params["lhs_dilation"])
    batch, features = (out[axis] for axis in numbers.out_spec[:2])
    return 2 * batch * features * places * channels_in * math.prod(taps) / dilation


def _attention(equation) -> float:
    """Of cuDNN's kernel, on ``[b, t, n, h]`` or ``[b, n, t, h]``: two products, backward five."""
    query, key = (v.aval.shape for v in equation.invars[:2])
    products = 5 if "bwd" in equation.primitive.name else 2
    return products * 2 * math.prod(query) * key[2 if equation.params["layout"] else 1]


def _inner(equation) -> Iterator[core.Jaxpr]:
    """The jaxprs in an equation's parameters."""
    for value in jax.tree.leaves(
        equation.params, is_leaf=lambda x: isinstance(x, core.Jaxpr | core.ClosedJaxpr)
    ):
        if isinstance(value, core.ClosedJaxpr):
            value = value.jaxpr
        if isinstance(value, core.Jaxpr):
            yield value
