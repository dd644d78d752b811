"""Distances between sets, pictures and surfaces: closed forms and slow references."""

import jax.numpy as jnp
import numpy as np
import pytest
import scipy.linalg
import trimesh

from rodin_jax import metrics


def gaussians(seed, d=6):
    """Two random means and covariances."""
    rng = np.random.default_rng(seed)
    roots = rng.standard_normal((2, d, d))
    return rng.standard_normal((2, d)), np.einsum("kij,klj->kil", roots, roots)


def frechet_of(means, covariances):
    return metrics.frechet_distance(
        *(metrics.Moments(9, m, c) for m, c in zip(means, covariances, strict=True))
    )


def test_frechet_distance_of_gaussians_is_its_closed_form():
    means, covariances = gaussians(0)
    root = scipy.linalg.sqrtm(covariances[0] @ covariances[1]).real
    want = np.sum((means[0] - means[1]) ** 2) + np.trace(covariances.sum(0) - 2 * root)
    assert frechet_of(means, covariances) == pytest.approx(want, rel=1e-8)
    assert frechet_of(means[::-1], covariances[::-1]) == pytest.approx(want, rel=1e-8)
    # On an axis each: (sigma_a - sigma_b)^2 summed.
    widths = np.array([[1.0, 2.0, 0.0], [4.0, 2.0, 3.0]])
    diagonal = np.stack([np.diag(w**2) for w in widths])
    assert frechet_of(np.zeros((2, 3)), diagonal) == pytest.approx(9 + 0 + 9)
    same = np.stack([covariances[0]] * 2)
    assert frechet_of(np.zeros((2, 6)), same) == pytest.approx(0, abs=1e-6)


def test_moments_and_the_bias_of_few_pictures():
    x = np.random.default_rng(0).standard_normal((2, 300, 40))
    got = metrics.moments(x[0])
    np.testing.assert_allclose(got.covariance, np.cov(x[0].T), atol=1e-12)
    assert got.count == 300
    # Two sets of one distribution are apart, and the fewer they are the more: the reason why
    # counts are printed beside distances.
    far = [
        metrics.frechet_distance(metrics.moments(x[0, :n]), metrics.moments(x[1, :n]))
        for n in (75, 300)
    ]
    assert far[0] > 2 * far[1] > 1.0


def test_kernel_distance_is_unbiased_and_sees_differences():
    rng = np.random.default_rng(1)
    a, b = rng.standard_normal((2, 400, 8))
    same, error = metrics.kernel_distance(a, b)
    assert abs(same) < 4 * error
    other, error = metrics.kernel_distance(a, b + 0.5)
    assert other > 10 * error

    # All of both sets in one block is the U-statistic, written as sums over pairs.
    x, y = a[:12], b[:12]

    def k(u, v):
        return (u @ v / 8 + 1) ** 3

    pairs = [(i, j) for i in range(12) for j in range(12) if i != j]
    within = sum(k(s[i], s[j]) for s in (x, y) for i, j in pairs) / (12 * 11)
    across = sum(k(u, v) for u in x for v in y) / 144
    got, _ = metrics.kernel_distance(x, y, block=12, blocks=1)
    assert got == pytest.approx(within - 2 * across, rel=1e-9)


def test_diversity_and_nearest():
    corners = np.eye(3)
    assert metrics.diversity(5 * corners) == pytest.approx(90)
    assert metrics.diversity(np.ones((4, 3))) == pytest.approx(0, abs=1e-4)
    order, cosine = metrics.nearest(np.array([[2.0, 1.0, 0.0]]), 7 * corners, 2)
    np.testing.assert_array_equal(order, [[0, 1]])
    np.testing.assert_allclose(cosine, np.array([[2.0, 1.0]]) / np.sqrt(5))


def test_sets_that_cannot_be_compared_are_named():
    with pytest.raises(ValueError, match="at least 2"):
        metrics.moments(np.zeros((1, 4)))
    with pytest.raises(ValueError, match="finite"):
        metrics.diversity(np.full((3, 4), np.nan))


def test_perceptual_distance_ignores_strength_and_adds_levels():
    def features(x):
        return [x[..., :2] + 1e-3, x[:, ::2, ::2]]

    rng = np.random.default_rng(0)
    a, b = jnp.asarray(rng.random((2, 3, 8, 8, 3), np.float32))
    np.testing.assert_allclose(metrics.perceptual_distance(features, a, a), 0, atol=1e-6)
    got = metrics.perceptual_distance(features, a, b)

    def unit(x):
        return x / np.linalg.norm(x, axis=-1, keepdims=True)

    want = sum(
        ((unit(np.asarray(x)) - unit(np.asarray(y))) ** 2).sum(-1).mean((1, 2))
        for x, y in zip(features(a), features(b), strict=True)
    )
    np.testing.assert_allclose(got, want, rtol=1e-4)

    def brighter(x):
        return [3 * level for level in features(x)]

    np.testing.assert_allclose(metrics.perceptual_distance(brighter, a, b), got, rtol=1e-4)


def test_distances_of_surfaces():
    small, large = (trimesh.creation.icosphere(4, r) for r in (0.5, 0.6))
    to_small = metrics.surface_distance(large, lambda p: np.linalg.norm(p, axis=1) - 0.5)
    assert to_small == pytest.approx(0.1, abs=2e-3)
    assert metrics.chamfer_distance(small, large) == pytest.approx(0.1, abs=3e-3)
    spacing = np.sqrt(small.area / 20_000)
    assert metrics.chamfer_distance(small, small) == pytest.approx(spacing / 2, rel=0.1)
    with pytest.raises(ValueError, match="faces"):
        metrics.surface_distance(trimesh.Trimesh(), np.abs)
