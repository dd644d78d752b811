"""How close two pictures are. Values in [0, 1], shapes ``[*b, h, w, c]``."""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

Pictures = Float[Array, "*b h w c"] | Float[np.ndarray, "*b h w c"]


def mse(a: Pictures, b: Pictures) -> Float[Array, "*b"]:
    """Mean squared error of each picture."""
    return jnp.square(jnp.asarray(a) - jnp.asarray(b)).mean((-3, -2, -1))


def psnr(a: Pictures, b: Pictures) -> Float[Array, "*b"]:
    """Peak signal-to-noise ratio in dB, -10 log10(mse); infinite for equal pictures."""
    return -10.0 * jnp.log10(mse(a, b))


def decibels(error: float) -> float:
    """PSNR in dB of a mean squared error of colours in [0, 1]; at most 100."""
    return float(-10 * np.log10(max(error, 1e-10)))


def ssim(a: Pictures, b: Pictures, *, window: int = 11, sigma: float = 1.5) -> Float[Array, "*b"]:
    """Structural similarity (Wang et al. 2004): Gaussian window, population moments.

    Agrees with scikit-image's ``structural_similarity(gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False, data_range=1)``: means over channels and over the pixels whose
    window lies inside the picture.

    Raises:
      ValueError: the pictures are smaller than the window.
    """
    a, b = jnp.asarray(a, jnp.float32), jnp.asarray(b, jnp.float32)
    if min(a.shape[-3:-1]) < window:
        raise ValueError(f"ssim needs pictures of at least {window} pixels, got {a.shape[-3:-1]}")
    offsets = jnp.arange(window) - window // 2
    weights = jnp.exp(-0.5 * (offsets / sigma) ** 2)
    weights = weights / weights.sum()

    def blur(x):
        for axis in (-3, -2):
            size = x.shape[axis] - window + 1
            x = sum(
                weight * jax.lax.slice_in_dim(x, i, i + size, axis=x.ndim + axis)
                for i, weight in enumerate(weights)
            )
        return x

    mean_a, mean_b = blur(a), blur(b)
    var_a, var_b = blur(a * a) - mean_a**2, blur(b * b) - mean_b**2
    cov = blur(a * b) - mean_a * mean_b
    c1, c2 = 0.01**2, 0.03**2
    score = (2 * mean_a * mean_b + c1) * (2 * cov + c2)
    score = score / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
    return score.mean((-3, -2, -1))
