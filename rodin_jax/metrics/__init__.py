"""How good pictures, sets of pictures and surfaces are.

Features come from whatever network the caller has; who prints a number made of them also says
which network that was, and of how many pictures.
"""

from rodin_jax.metrics.perceptual import perceptual_distance
from rodin_jax.metrics.pictures import decibels, mse, psnr, ssim
from rodin_jax.metrics.sets import (
    Moments,
    diversity,
    frechet_distance,
    frechet_error,
    kernel_distance,
    moments,
    nearest,
)
from rodin_jax.metrics.shares import wilson
from rodin_jax.metrics.surfaces import chamfer_distance, surface_distance

__all__ = [
    "Moments",
    "chamfer_distance",
    "decibels",
    "diversity",
    "frechet_distance",
    "frechet_error",
    "kernel_distance",
    "moments",
    "mse",
    "nearest",
    "perceptual_distance",
    "psnr",
    "ssim",
    "surface_distance",
    "wilson",
]
