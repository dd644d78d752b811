"""3D-aware convolution (paper 3.2): ``Conv2D(own plane ⊕ row context ⊕ column context)``.

A texel of one plane is a line through the volume; the line's projections on the other two planes
are a row of one and a column of the other. Pooled, they become two vectors: the row context
``r[i]`` and the column context ``s[j]`` of `rodin_jax.triplanes`. One kernel ``K`` of 3c input
channels, shared by the three planes, sees own texels and both contexts:

    y[i, j] = Σ_{p,q} x[i+p, j+q] K_own[p, q] + r[i+p] K_row[p, q] + s[j+q] K_col[p, q]

with zeros outside the plane. As r does not depend on j, its term is ``R[i] = Σ_q R[i, q]`` with
``R[i, q] = Σ_p r[i+p] K_row[p, q]``, less the taps q that fall outside the plane, which only the
columns nearest its border have; likewise for s. All ``R[i, q]`` are one product of small matrices.
That factorised form is the same function at about a third of the arithmetic and memory.

Symbols: ``kh kw`` the kernel's rows and columns (odd), ``c`` input and ``d`` output channels.
"""

import flax.linen as nn
import jax.numpy as jnp
from jax import lax
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from rodin_jax.triplanes import column_context, row_context
from rodin_jax.types import Planes

KERNEL_INIT = nn.initializers.lecun_normal()


def aware_conv(
    planes: Planes,
    kernel: Float[Array, "kh kw c3 d"],
    bias: Float[Array, "d"] | None = None,
) -> Float[Array, "*b 3 h w d"]:
    """3D-aware convolution in factorised form; zero padding, stride 1.

    Args:
      planes: square tri-planes (every axis is shared by two planes, so h = w).
      kernel: ``[kh, kw, 3c, d]``; input channels in the order own, row context, column context.
      bias: added to every texel.

    Raises:
      ValueError: planes that are not square, an even kernel, or channels that do not match.
    """
    _check(planes, kernel)
    own, row_kernel, column_kernel = jnp.split(kernel, 3, axis=2)
    h, w = planes.shape[-3:-1]
    rows = _taps(row_context(planes), row_kernel)
    # The column context is the row context of the transposed plane.
    columns = _taps(column_context(planes), column_kernel.swapaxes(0, 1))
    out = conv2d(planes, own) + rows.sum(-2)[..., :, None, :] + columns.sum(-2)[..., None, :, :]
    if bias is not None:
        out = out + bias
    for j, outside in _border(w, kernel.shape[1]):
        out = out.at[..., :, j, :].add(-rows[..., outside, :].sum(-2))
    for i, outside in _border(h, kernel.shape[0]):
        out = out.at[..., i, :, :].add(-columns[..., outside, :].sum(-2))
    return out


def aware_conv_literal(
    planes: Planes,
    kernel: Float[Array, "kh kw c3 d"],
    bias: Float[Array, "d"] | None = None,
) -> Float[Array, "*b 3 h w d"]:
    """The same function as the paper writes it: broadcast both contexts, concatenate, convolve."""
    _check(planes, kernel)
    rows = jnp.broadcast_to(row_context(planes)[..., :, None, :], planes.shape)
    columns = jnp.broadcast_to(column_context(planes)[..., None, :, :], planes.shape)
    out = conv2d(jnp.concatenate([planes, rows, columns], axis=-1), kernel)
    return out if bias is None else out + bias


def conv2d(
    images: Float[Array, "*b h w c"], kernel: Float[Array, "kh kw c d"]
) -> Float[Array, "*b h w d"]:
    """Zero-padded, stride-1 convolution over any leading axes: three planes are three images."""
    merged = images.reshape(-1, *images.shape[-3:])
    out = lax.conv_general_dilated(
        merged, kernel, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")
    )
    return out.reshape(*images.shape[:-1], kernel.shape[-1])


def _taps(context, kernel):
    """``R[i, q]`` of the module: ``[*b, n, c], [kn, kw, c, d] -> [*b, n, kw, d]``."""
    kn, kw, c, d = kernel.shape
    n, margin = context.shape[-2], kn // 2
    padded = jnp.pad(context, [(0, 0)] * (context.ndim - 2) + [(margin, margin), (0, 0)])
    windows = jnp.concatenate([padded[..., p : p + n, :] for p in range(kn)], axis=-1)
    taps = windows @ kernel.swapaxes(1, 2).reshape(kn * c, kw * d)
    return taps.reshape(*taps.shape[:-1], kw, d)


def _border(size: int, taps: int):
    """Each position whose kernel reaches over the border, and the slice of taps outside."""
    margin = taps // 2
    before = [(j, slice(0, margin - j)) for j in range(min(margin, size))]
    after = [(j, slice(size + margin - j, None)) for j in range(max(size - margin, 0), size)]
    return before + after


def _check(planes, kernel):
    """Turns silent misalignment into an error."""
    h, w, c = planes.shape[-3:]
    if h != w:
        raise ValueError(f"3D-aware convolution needs square planes (shared axes), got {h}x{w}")
    if kernel.shape[0] % 2 == 0 or kernel.shape[1] % 2 == 0:
        raise ValueError(f"the kernel must have odd sides, got {kernel.shape[:2]}")
    if kernel.shape[2] != 3 * c:
        raise ValueError(f"planes of {c} channels need a kernel of {3 * c}, got {kernel.shape[2]}")


class AwareConv(nn.Module):
    """3D-aware convolution layer: ``[*b, 3, h, w, c] -> [*b, 3, h, w, features]``.

    Attributes:
      features: output channels.
      kernel_size: side of the square kernel, odd.
      kernel_init: initialiser of the ``[k, k, 3c, features]`` kernel; fan-in counts the contexts.
      dtype: type of the computation; parameters stay float32.
    """

    features: int
    kernel_size: int = 3
    kernel_init: nn.initializers.Initializer = KERNEL_INIT
    dtype: DTypeLike = jnp.float32

    @nn.compact
    def __call__(self, planes: Planes) -> Float[Array, "*b 3 h w d"]:
        shape = (self.kernel_size, self.kernel_size, 3 * planes.shape[-1], self.features)
        kernel = self.param("kernel", self.kernel_init, shape)
        bias = self.param("bias", nn.initializers.zeros, (self.features,))
        return aware_conv(*(x.astype(self.dtype) for x in (planes, kernel, bias)))
