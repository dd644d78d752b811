"""Where matter is: a coarse grid that keeps samples out of empty space.

A grid of r^3 cells over the cube holds, for each cell, whether anything may be there
(conservative) and a density estimate that tells where rays stop. Samples are then spread evenly
over the part of each ray that is occupied and still visible: a ray needs about a dozen field
evaluations instead of hundreds. The same placement serves fitting, rendering and meshes.
"""

import dataclasses
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from rodin_jax.cameras import Camera, image_rays, project
from rodin_jax.rendering import composite, cube_interval, points_at_once, rays_at_once
from rodin_jax.types import Field, Rays, Rendering, pytree

# Transmittance below which a ray is taken as stopped, yet still sampled a little, so that a
# stale grid can be corrected by what lies behind.
_HIDDEN = 0.02


@pytree
class Occupancy:
    """A coarse picture of the volume, indexed ``[u, v, w]``.

    Attributes:
      density: a lower estimate for each cell, used only to see where rays end; -1 where the cell
        is certainly empty.
      box: two corners around all other cells.
    """

    density: Float[Array, "*b r r r"]
    box: Float[Array, "*b 2 3"]

    @property
    def occupied(self) -> Bool[Array, "*b r r r"]:
        """False only where the cell is certainly empty."""
        return self.density >= 0


def occupancy_of(
    occupied: Bool[Array, "r r r"], density: Float[Array, "r r r"] | None = None
) -> Occupancy:
    """The occupancy of these cells; without ``density`` rays end nowhere."""
    r = occupied.shape[0]
    sides = jnp.stack([occupied.any(others) for others in ((1, 2), (0, 2), (0, 1))])
    low = jnp.argmax(sides, axis=1)
    high = jnp.where(sides.any(1), r - jnp.argmax(sides[:, ::-1], axis=1), 0)
    box = jnp.stack([low, high]) * (2.0 / r) - 1.0
    # Of the same type with and without, or programs that take it would be compiled twice.
    density = jnp.zeros((), jnp.float32) if density is None else density
    return Occupancy(jnp.where(occupied, density, -1.0), box.astype(jnp.float32))


def cell_centres(resolution: int) -> Float[Array, "r r r 3"]:
    """World positions of the cell centres."""
    return _centres(jnp.arange(resolution**3), resolution).reshape(*(resolution,) * 3, 3)


def _centres(cells, resolution: int):
    """World positions of the centres of cells with these flat indices."""
    u, rest = jnp.divmod(cells, resolution**2)
    index = jnp.stack([u, *jnp.divmod(rest, resolution)], axis=-1)
    return (index + 0.5) * (2.0 / resolution) - 1.0


def dilate(cells: Bool[Array, "r r r"]) -> Bool[Array, "r r r"]:
    """Grows the set by one cell in all 26 directions."""
    return _with_neighbours(jnp.logical_or, cells)


def _with_neighbours(combine, cells):
    """``combine`` of each cell and its 26 neighbours: of three in a row, along one axis at a time.

    XLA's own window reduction visits all 27, one by one.
    """
    for axis in range(3):
        padded = jnp.pad(cells, [(1, 1) if i == axis else (0, 0) for i in range(3)], mode="edge")
        before, here, after = (
            jax.lax.slice_in_dim(padded, i, i + cells.shape[axis], axis=axis) for i in range(3)
        )
        cells = combine(combine(before, here), after)
    return cells


def widen(masks: Bool[Array, "n h w"], margin: int) -> Bool[Array, "n h w"]:
    """Grows masks by ``margin`` pixels along both axes."""
    size = 2 * margin + 1
    for window in ((1, size, 1), (1, 1, size)):  # one axis at a time: 2 n instead of n^2 pixels
        masks = jax.lax.reduce_window(masks, False, jax.lax.bitwise_or, window, (1, 1, 1), "SAME")
    return masks


def visual_hull(
    camera: Camera, alpha: Float[Array, "n h w"], resolution: int, *, margin: int = 2
) -> Bool[Array, "r r r"]:
    """Cells that no silhouette rules out.

    A cell is kept if, in every view that sees its centre, some pixel within ``margin`` pixels is
    not transparent; then the hull grows by one cell, so that no true surface is cut.

    Args:
      camera: n cameras.
      alpha: coverage of their pictures in [0, 1].
      resolution: cells along each edge of the cube.
      margin: silhouettes are widened by this many pixels.
    """
    _, height, width = alpha.shape
    centres = cell_centres(resolution).reshape(-1, 3)
    solid = widen(alpha > 0, margin)

    def carve(keep, view):
        one, mask = view
        xy = jnp.floor(project(one, centres)).astype(jnp.int32)
        x, y = xy[:, 0], xy[:, 1]
        seen = (x >= 0) & (x < width) & (y >= 0) & (y < height)
        full = mask[jnp.clip(y, 0, height - 1), jnp.clip(x, 0, width - 1)]
        return keep & (full | ~seen), None

    keep, _ = jax.lax.scan(carve, jnp.ones(resolution**3, bool), (camera, solid))
    return dilate(keep.reshape(resolution, resolution, resolution))


def survey(
    density: Callable[[Float[Array, "n 3"]], Float[Array, "n"]],
    resolution: int,
    *,
    within: Bool[Array, "r r r"] | None = None,
    threshold: float = 0.5,
    chunk: int | None = None,
) -> Occupancy:
    """Evaluates a density function at all cell centres.

    Args:
      density: densities of points.
      resolution: cells along each edge.
      within: cells that may be occupied at all, e.g. a visual hull; no others are evaluated.
      threshold: optical depth per cell edge times 100 below which a cell counts as empty.
      chunk: points evaluated at once.
    """
    values = densities(density, resolution, within=within, chunk=chunk)
    return occupancy_from(values, within, threshold=threshold)


def densities(
    density: Callable[[Float[Array, "n 3"]], Float[Array, "n"]],
    resolution: int,
    *,
    within: Bool[Array, "r r r"] | None = None,
    chunk: int | None = None,
) -> Float[Array, "r r r"]:
    """Densities of cell centres, 0 where nothing is evaluated; see `survey`."""
    count = resolution**3
    chunk = min(chunk or points_at_once(), count)
    size = count + -count % chunk
    if within is None:
        cells, chunks = jnp.arange(size), size // chunk
    else:
        (cells,) = jnp.nonzero(within.reshape(-1), size=size, fill_value=count)
        chunks = (within.sum() + chunk - 1) // chunk

    def evaluate(state):
        i, values = state
        some = jax.lax.dynamic_slice(cells, (i * chunk,), (chunk,))
        return i + 1, values.at[some].set(density(_centres(some, resolution)), mode="drop")

    start = (jnp.int32(0), jnp.zeros(count))
    _, values = jax.lax.while_loop(lambda state: state[0] < chunks, evaluate, start)
    return values.reshape(resolution, resolution, resolution)


def occupancy_from(
    values: Float[Array, "r r r"],
    within: Bool[Array, "r r r"] | None = None,
    *,
    threshold: float = 0.5,
) -> Occupancy:
    """The occupancy of cells whose centres have these densities; see `survey`."""
    occupied = dilate(values * (2.0 / len(values)) > threshold * 0.01)
    if within is not None:
        occupied = occupied & within
    # A ray may graze a cell whose centre is inside, so a cell stops rays only as much as the
    # thinnest of its neighbours does.
    return occupancy_of(occupied, _with_neighbours(jnp.minimum, values))


def survey_closely(
    density: Callable[[Float[Array, "n 3"]], Float[Array, "n"]], resolution: int
) -> Occupancy:
    """Like `survey`, but cells are evaluated only where twice as large ones are not empty."""
    return occupancy_from(*densities_closely(density, resolution))


def densities_closely(
    density: Callable[[Float[Array, "n 3"]], Float[Array, "n"]], resolution: int
) -> tuple[Float[Array, "r r r"], Bool[Array, "r r r"]]:
    """What `survey_closely` evaluates, and the cells that may be occupied."""
    within = survey(density, resolution // 2).occupied
    for axis in range(3):
        within = jnp.repeat(within, 2, axis=axis)
    return densities(density, resolution, within=within), within


def place_samples(
    grid: Occupancy,
    rays: Rays,
    *,
    samples: int,
    candidates: int = 96,
    key: Array | None = None,
) -> tuple[Float[Array, "n s"], Float[Array, "n s"]]:
    """Distances t and quadrature lengths delta of samples in the occupied, visible part of rays.

    Each ray is cut into ``candidates`` bins; a bin's share of the samples is proportional to
    occupied * max(T, 0.02), with T the transmittance of the grid. delta is the length each
    sample stands for, so empty space contributes nothing to the quadrature.

    Args:
      grid: the occupancy.
      rays: ``n`` rays.
      samples: how many a ray.
      candidates: bins a ray.
      key: jitters the samples inside their strata when given; it is consumed.
    """
    near, far = cube_interval(rays, *grid.box)
    bin_width = (far - near) / candidates
    middle = near[:, None] + (jnp.arange(candidates) + 0.5) * bin_width[:, None]
    density = look_up(grid, rays, middle)
    # A ray that misses the box has no width and must not be sampled at its dummy position.
    occupied = (density >= 0) & (bin_width > 0)[:, None]
    optical = jnp.maximum(density, 0.0) * bin_width[:, None]
    transmittance = jnp.exp(-(jnp.cumsum(optical, -1) - optical))
    share = occupied * jnp.maximum(transmittance, _HIDDEN)
    cumulative = jnp.cumsum(share, -1)
    total = cumulative[:, -1:]
    offset = 0.5 if key is None else jax.random.uniform(key, (near.shape[0], samples))
    wanted = (jnp.arange(samples) + offset) / samples * total
    place = jax.vmap(lambda c, v: jnp.searchsorted(c, v, side="right", method="compare_all"))(
        cumulative, wanted
    )
    place = jnp.clip(place, 0, candidates - 1)
    here = jnp.take_along_axis(share, place, -1)
    end = jnp.take_along_axis(cumulative, place, -1)
    fraction = jnp.clip(1 - (end - wanted) / jnp.maximum(here, 1e-9), 0.0, 1.0)
    t = near[:, None] + (place + fraction) * bin_width[:, None]
    delta = total / samples / jnp.maximum(here, _HIDDEN) * bin_width[:, None]
    return t, jnp.where(total > 0, delta, 0.0)


def render_guided(
    field: Field, grid: Occupancy, rays: Rays, *, samples: int = 16, key: Array | None = None
) -> tuple[Rendering, Float[Array, "n s"], Float[Array, "n s"], Float[Array, "n s"]]:
    """Renders ``n`` rays with samples placed by the grid; also returns weights, t and delta."""
    t, delta = place_samples(grid, rays, samples=samples, key=key)
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    density, rgb = field(points, jnp.broadcast_to(rays.directions[:, None], points.shape))
    picture, weights = composite(density, rgb, t, delta)
    return picture, weights, t, delta


def render_view(
    field: Field,
    grid: Occupancy,
    camera: Camera,
    height: int,
    width: int,
    *,
    samples: int = 16,
    split: int = 1,
    chunk: int | None = None,
) -> Rendering:
    """One whole view; only chunks of rays that meet occupied cells are evaluated.

    Args:
      field: what to see.
      grid: its occupancy.
      camera: one camera.
      height: pixels.
      width: pixels.
      samples: field evaluations a ray.
      split: rays along each side of a pixel, which shows their mean.
      chunk: rays evaluated at once.
    """

    def shade(rays: Rays):
        picture, *_ = render_guided(field, grid, rays, samples=samples)
        return jnp.concatenate([picture.rgb, picture.alpha[:, None], picture.depth[:, None]], -1)

    chunk = chunk or rays_at_once(samples)

    def draw(shift):
        moved = dataclasses.replace(camera, centre=camera.centre + shift)
        return map_view(shade, grid, moved, height, width, empty=(0.0,) * 5, chunk=chunk)

    # One after the other: memory is that of a view, however many they are.
    steps = (jnp.arange(split) + 0.5) / split - 0.5
    shifts = jnp.stack(jnp.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    out = draw(0.0) if split == 1 else jax.lax.map(draw, shifts).mean(0)
    return Rendering(rgb=out[..., :3], alpha=out[..., 3], depth=out[..., 4])


def map_view(
    shade: Callable[[Rays], Float[Array, "n k"]],
    grid: Occupancy,
    camera: Camera,
    height: int,
    width: int,
    *,
    empty: Sequence[float],
    chunk: int,
) -> Float[Array, "h w k"]:
    """``shade`` of the rays through all pixels of a view that meet occupied cells.

    Rays are sorted by whether they hit anything, so the number of evaluations follows the
    picture's content although every shape is fixed and the function compiles once.

    Args:
      shade: k numbers for each of ``chunk`` rays.
      grid: the occupancy.
      camera: one camera.
      height: pixels.
      width: pixels.
      empty: the k numbers of rays through empty space.
      chunk: rays shaded at once.
    """
    rays = jax.tree.map(lambda x: x.reshape(-1, 3), image_rays(camera, height, width))
    count = height * width
    chunk = min(chunk, count)
    hits = meets(grid, rays)
    order = jnp.pad(jnp.argsort(~hits), (0, -count % chunk))
    chunks = (hits.sum() + chunk - 1) // chunk

    def body(state):
        i, out = state
        index = jax.lax.dynamic_slice(order, (i * chunk,), (chunk,))
        return i + 1, out.at[index].set(shade(jax.tree.map(lambda x: x[index], rays)))

    blank = jnp.broadcast_to(jnp.asarray(empty, jnp.float32), (count, len(empty)))
    _, out = jax.lax.while_loop(lambda state: state[0] < chunks, body, (jnp.int32(0), blank))
    return out.reshape(height, width, -1)


def meets(grid: Occupancy, rays: Rays, candidates: int = 96) -> Bool[Array, "n"]:
    """Which of ``n`` rays pass through cells that may be occupied."""
    near, far = cube_interval(rays, *grid.box)
    middle = (jnp.arange(candidates) + 0.5) / candidates * (far - near)[:, None] + near[:, None]
    return (look_up(grid, rays, middle) >= 0).any(-1) & (far > near)


def look_up(grid: Occupancy, rays: Rays, t: Float[Array, "n s"]) -> Float[Array, "n s"]:
    """Densities of the cells at distances t along the rays."""
    resolution = grid.density.shape[0]
    points = rays.origins[:, None] + t[..., None] * rays.directions[:, None]
    cell = jnp.floor((points + 1) * (resolution / 2)).astype(jnp.int32)
    u, v, w = jnp.moveaxis(jnp.clip(cell, 0, resolution - 1), -1, 0)
    return jnp.take(grid.density.reshape(-1), (u * resolution + v) * resolution + w)
