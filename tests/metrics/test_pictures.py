"""Picture metrics against scikit-image."""

import numpy as np
import pytest
from skimage import metrics as reference

from rodin_jax import metrics


def test_metrics_agree_with_scikit_image():
    rng = np.random.default_rng(0)
    a = rng.random((2, 24, 31, 3), np.float32)
    b = np.clip(a + 0.1 * rng.standard_normal(a.shape), 0, 1).astype(np.float32)
    b[1] = 0.3
    for i in range(2):
        want = reference.structural_similarity(
            a[i],
            b[i],
            channel_axis=-1,
            data_range=1.0,
            gaussian_weights=True,
            sigma=1.5,
            use_sample_covariance=False,
        )
        np.testing.assert_allclose(metrics.ssim(a, b)[i], want, atol=1e-5)
        want = reference.peak_signal_noise_ratio(a[i], b[i], data_range=1.0)
        np.testing.assert_allclose(metrics.psnr(a, b)[i], want, rtol=1e-5)


def test_limits():
    a = np.full((16, 16, 3), 0.5, np.float32)
    assert np.isinf(metrics.psnr(a, a))
    assert metrics.decibels(0.01) == 20 and metrics.decibels(0.0) == 100
    np.testing.assert_allclose(metrics.ssim(a, a), 1.0)
    with pytest.raises(ValueError, match="at least 11"):
        metrics.ssim(a[:8], a[:8])
