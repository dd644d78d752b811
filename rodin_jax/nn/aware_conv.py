"""3D-aware convolution (paper 3.2): ``Conv2D(own plane ⊕ row context ⊕ column context)``.

A texel of one plane is a line through the volume; the line's projections on the other two planes
are a row of one and a column of the other. Pooled, they become two vectors: the row context
``r[i]`` and the column context ``s[j]`` of `rodin_jax.triplanes`. One kernel ``K`` of 3c input
channels, shared by the three planes, sees own texels and both contexts:

    y[i, j] = Σ_{p,q} x[i+p, j+q] K_own[p, q] + r[i+p] K_row[p, q] + s[j+q] K_col[p, q]

with zeros outside the plane. As r does not depend on j, its term is a 1-D convolution along the
rows with ``Σ_q K_row[p, q]``, the sum over the taps q that fall inside the plane; likewise for s.
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
    rows = _line_conv(row_context(planes), row_kernel, planes.shape[-2])
    # The column context is the row context of the transposed plane.
    columns = _line_conv(column_context(planes), column_kernel.swapaxes(0, 1), planes.shape[-3])
    out = conv2d(planes, own) + rows + columns.swapaxes(-2, -3)
    return out if bias is None else out + bias


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


def _line_conv(context, kernel, width: int):
    """Convolves ``context[..., i]``, constant along a second axis of ``width`` positions j.

    ``[*b, n, c], [kn, kw, c, d] -> [*b, n, width, d]``. Away from the border every j sees all kw
    taps; each of the ``kw // 2`` positions at either end loses some to the zero padding. So only
    that many distinct columns plus one interior column are computed, and the latter is repeated.
    """
    kn, kw, c, d = kernel.shape
    margin = kw // 2
    interior = width - 2 * margin
    distinct = [*range(margin + 1), *range(width - margin, width)] if interior > 0 else range(width)
    column, tap = jnp.asarray(distinct)[:, None], jnp.arange(kw)
    inside = (column + tap >= margin) & (column + tap < width + margin)
    summed = jnp.einsum("jq,pqcd->pcjd", inside.astype(kernel.dtype), kernel)

    merged = context.reshape(-1, *context.shape[-2:])
    out = lax.conv_general_dilated(
        merged, summed.reshape(kn, c, -1), (1,), "SAME", dimension_numbers=("NWC", "WIO", "NWC")
    ).reshape(*context.shape[:-1], len(distinct), d)
    if interior <= 1:
        return out
    first, middle, last = jnp.split(out, [margin, margin + 1], axis=-2)
    middle = jnp.broadcast_to(middle, (*middle.shape[:-2], interior, d))
    return jnp.concatenate([first, middle, last], axis=-2)


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
