"""Packed samples against rays marched one by one: values, gradients, and lists that are full."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import occupancy, packing, rendering
from rodin_jax.cameras import image_rays, orbit

KEY = jax.random.key(0)
STEP, R, COUNT = 0.07, 16, 36


@pytest.fixture(scope="module")
def rays():
    """All around and past a ball; some miss the box."""
    seen = image_rays(orbit(20.0, 10.0, 6, radius=3.0), 6, 6)
    return jax.tree.map(lambda x: x.reshape(-1, 3), seen)


@pytest.fixture(scope="module")
def grid():
    """A shell that is surely full below and may be full elsewhere."""
    centres = occupancy.cell_centres(R)
    radius = jnp.linalg.norm(centres, axis=-1)
    dense = jnp.where(centres[..., 2] < -0.2, 30.0, 0.5)
    return occupancy.occupancy_of((radius > 0.3) & (radius < 0.7), dense)


def field(scale, points):
    """Density and colour that vary everywhere."""
    density = scale * (1.5 + jnp.sin(5 * points).sum(-1) / 2)
    return density, 0.5 + 0.4 * jnp.sin(3 * points + scale)


@jax.jit
def marched(grid, rays, scale):
    """Every step of every ray: rgb, alpha, depth, distortion; and which steps count."""
    near, far = rendering.cube_interval(rays, *grid.box)
    t = near[:, None] + (jnp.arange(60) + 0.5) * STEP
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    u, v, w = jnp.moveaxis(jnp.clip(jnp.floor((points + 1) * R / 2).astype(int), 0, R - 1), -1, 0)
    cells = jnp.where(t < far[:, None], grid.density[u, v, w], -1.0)
    before = jnp.cumsum(jnp.maximum(cells, 0.0), -1) - jnp.maximum(cells, 0.0)
    counted = (cells >= 0) & (before * STEP < 5.0)
    density, rgb = field(scale, points)
    delta = jnp.where(counted, STEP, 0.0)
    picture, weights = rendering.composite(density, rgb, t, delta)
    compact = rendering.distortion(weights, t, delta)
    rest = jnp.stack([picture.alpha, picture.depth, compact], -1)
    return jnp.concatenate([picture.rgb, rest], -1), counted


@functools.partial(jax.jit, static_argnames="size")
def pack(grid, rays, size, key=None):
    steps = packing.steps_across(np.array([[-1.0] * 3, [1.0] * 3]), STEP)
    return packing.pack_samples(grid, rays, step=STEP, steps=steps, size=size, key=key)


@functools.partial(jax.jit, static_argnames="size")
def shown(grid, rays, scale, size=1000):
    packed = pack(grid, rays, size)
    directions = rays.directions[packed.ray]
    density, rgb = field(scale, rays.origins[packed.ray] + packed.t[:, None] * directions)
    picture, weights = packing.composite_packed(density, rgb, packed)
    compact = packing.distortion_packed(weights, packed)
    rest = jnp.stack([picture.alpha, picture.depth, compact], -1)
    return jnp.concatenate([picture.rgb, rest], -1), packed


def test_packed_rays_look_like_rays_marched_one_by_one(grid, rays):
    wanted, counted = marched(grid, rays, 2.0)
    counts = np.asarray(counted.sum(-1))
    assert 0 in counts and max(counts) > 10
    drawn, packed = shown(grid, rays, 2.0)
    np.testing.assert_array_equal(
        np.bincount(packed.ray[packed.delta > 0], minlength=COUNT), counts
    )
    assert packed.whole.all() and packed.total == counts.sum()
    np.testing.assert_allclose(drawn, wanted, atol=2e-6)

    weigh = jax.random.normal(KEY, drawn.shape)
    slope, wanted = (
        jax.grad(lambda s, f=f: (f(grid, rays, s)[0] * weigh).sum())(2.0) for f in (shown, marched)
    )
    assert abs(wanted) > 0.1
    np.testing.assert_allclose(slope, wanted, rtol=1e-4)


def test_a_full_list_leaves_out_whole_rays(grid, rays):
    everything, packed = shown(grid, rays, 2.0)
    size = int(packed.total) // 2
    some, packed = shown(grid, rays, 2.0, size)
    assert 0 < packed.whole.sum() < COUNT
    np.testing.assert_allclose(some[packed.whole], everything[packed.whole], atol=1e-6)


def test_samples_shift_together_by_up_to_a_step(grid, rays):
    plain, shifted = pack(grid, rays, 1000), pack(grid, rays, 1000, KEY)
    again = pack(grid, rays, 1000, jax.random.key(1))
    assert not np.array_equal(shifted.t, again.t)
    near, _ = rendering.cube_interval(rays, *grid.box)
    for packed in (plain, shifted):
        used = packed.delta > 0
        phase = ((packed.t - near[packed.ray]) / STEP)[used] % 1
        by_ray = [phase[packed.ray[used] == i] for i in range(COUNT)]
        assert all(np.ptp(p) < 1e-3 or np.ptp(p) > 1 - 1e-3 for p in by_ray if len(p))


def test_small_terms_survive_behind_large_ones():
    values = jnp.array([3e7, 1.0, 2.0, 5e6, 0.25, 0.5])
    rank = jnp.array([0, 0, 1, 0, 0, 1])
    np.testing.assert_array_equal(
        packing.running_sum(values, rank), [3e7, 1.0, 3.0, 5e6, 0.25, 0.75]
    )


def test_nothing_in_the_grid_gives_an_empty_picture(rays):
    nothing = occupancy.occupancy_of(jnp.zeros((R,) * 3, bool))
    seen, packed = shown(nothing, rays, 2.0)
    assert packed.total == 0 and packed.whole.all()
    np.testing.assert_array_equal(seen, 0.0)
