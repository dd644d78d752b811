"""Tri-planes: order, texel centres, contexts and the cyclic change of axes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import triplanes

KEY = jax.random.key(0)


def centres(n):
    return ((np.arange(n) + 0.5) * 2 / n - 1).astype(np.float32)


def test_roll_out_is_hstack_and_unroll_inverts_it():
    planes = jax.random.normal(KEY, (2, 3, 4, 4, 5))
    image = triplanes.roll_out(planes)
    np.testing.assert_array_equal(image[:, :, 4:8], planes[:, 1])
    np.testing.assert_array_equal(triplanes.unroll(image), planes)


def test_unroll_refuses_a_width_that_is_no_multiple_of_three():
    with pytest.raises(ValueError, match="width"):
        triplanes.unroll(jnp.zeros((4, 10, 1)))


def test_sampling_at_texel_centres_is_exact():
    n = 5
    planes = np.asarray(jax.random.normal(KEY, (3, n, n, 2)))
    i, j, k = np.meshgrid(*[np.arange(n)] * 3, indexing="ij")
    points = jnp.stack([centres(n)[i], centres(n)[j], centres(n)[k]], -1)
    expected = planes[0][i, j] + planes[1][k, i] + planes[2][j, k]
    np.testing.assert_allclose(triplanes.sample(jnp.asarray(planes), points), expected, atol=1e-5)


def test_sampling_agrees_with_a_slow_bilinear_loop():
    planes = np.asarray(jax.random.normal(KEY, (3, 4, 6, 3)))
    points = np.asarray(jax.random.uniform(KEY, (40, 3), minval=-1.2, maxval=1.2))

    def look_up(plane, row, column):
        h, w, _ = plane.shape
        y, x = (
            np.clip((row + 1) * h / 2 - 0.5, 0, h - 1),
            np.clip((column + 1) * w / 2 - 0.5, 0, w - 1),
        )
        y0, x0 = int(y), int(x)
        y1, x1 = min(y0 + 1, h - 1), min(x0 + 1, w - 1)
        top = plane[y0, x0] * (1 - x + x0) + plane[y0, x1] * (x - x0)
        bottom = plane[y1, x0] * (1 - x + x0) + plane[y1, x1] * (x - x0)
        return top * (1 - y + y0) + bottom * (y - y0)

    slow = [look_up(planes[0], u, v) + look_up(planes[1], w, u) + look_up(planes[2], v, w)
            for u, v, w in points]  # fmt: skip
    np.testing.assert_allclose(
        triplanes.sample(jnp.asarray(planes), jnp.asarray(points)), slow, atol=1e-5
    )


@pytest.mark.parametrize("axis", range(3))
def test_a_field_of_one_axis_reaches_every_plane_on_that_axis(axis):
    n = 6
    profile = np.asarray(jax.random.normal(KEY, (n,)))
    planes = np.zeros((3, n, n, 1), np.float32)
    for k in range(3):
        if triplanes.ROW_AXES[k] == axis:
            planes[k] = profile[:, None, None]
        if triplanes.COLUMN_AXES[k] == axis:
            planes[k] = profile[None, :, None]
    planes = jnp.asarray(planes)
    rows, columns = triplanes.row_context(planes), triplanes.column_context(planes)
    for k in range(3):
        if triplanes.ROW_AXES[k] == axis:
            np.testing.assert_allclose(rows[k, :, 0], profile, atol=1e-6)
        if triplanes.COLUMN_AXES[k] == axis:
            np.testing.assert_allclose(columns[k, :, 0], profile, atol=1e-6)
    points = np.full((n, 3), 0.3)
    points[:, axis] = centres(n)
    np.testing.assert_allclose(
        triplanes.sample(planes, jnp.asarray(points, jnp.float32))[:, 0], 2 * profile, atol=1e-5
    )


def test_mirroring_planes_mirrors_the_field():
    planes = jax.random.normal(KEY, (3, 6, 6, 2))
    points = jax.random.uniform(KEY, (20, 3), minval=-1, maxval=1)
    np.testing.assert_allclose(
        triplanes.sample(triplanes.mirror(planes), points),
        triplanes.sample(planes, points * jnp.array([-1, 1, 1])),
        atol=1e-5,
    )


def test_resizing_keeps_a_linear_field_and_texel_centres():
    n = 8
    ramp = np.broadcast_to(centres(n)[:, None, None], (n, n, 1))
    planes = jnp.asarray(np.stack([ramp] * 3), jnp.float32)
    small = triplanes.resize(planes, 4)
    # Antialiasing reaches over the border, so only the inner texels are exactly linear.
    np.testing.assert_allclose(small[0, 1:-1, 0, 0], centres(4)[1:-1], atol=1e-6)
    assert triplanes.resize(planes[None], 16).shape == (1, 3, 16, 16, 1)
