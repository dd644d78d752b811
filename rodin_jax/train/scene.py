"""One subject prepared for fitting: its pixels worth learning from and where its matter may be."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int, UInt8

from rodin_jax.cameras import Camera, pixel_rays
from rodin_jax.occupancy import Occupancy, occupancy_of, visual_hull, widen
from rodin_jax.types import Rays, pytree, static

# A pixel lies on an edge if some channel of the picture, over white, or its coverage changes by
# more than this within the eight pixels around.
_CONTRAST = 0.25


@pytree
class Scene:
    """One subject, prepared for fitting.

    Attributes:
      images: straight RGBA pictures.
      camera: their cameras.
      active: flat indices (view, row, column) of the pixels near or on the subject, first
        ``count`` entries valid, those on edges before the others.
      edges: how many of them are on edges.
      count: how many there are.
      occupancy: where matter may be.
    """

    images: UInt8[Array, "*b n h w 4"]
    camera: Camera
    active: Int[Array, "*b m"]
    edges: Int[Array, "*b"]
    count: Int[Array, "*b"]
    occupancy: Occupancy


@functools.partial(jax.jit, static_argnames=("grid", "margin"))
def prepare(
    images: UInt8[Array, "n h w 4"], camera: Camera, *, grid: int, margin: int = 4
) -> Scene:
    """Carves the visual hull and lists the pixels within ``margin`` of the silhouettes."""
    alpha = images[..., 3].astype(jnp.float32) / 255
    near = widen(alpha > 0, margin)
    sharp = near & jax.lax.map(_on_edges, images)
    hull = visual_hull(camera, alpha, grid)
    return Scene(
        images=images,
        camera=camera,
        active=jnp.argsort(2 - near.astype(jnp.int32) - sharp, axis=None).astype(jnp.int32),
        edges=sharp.sum().astype(jnp.int32),
        count=near.sum().astype(jnp.int32),
        occupancy=occupancy_of(hull),
    )


def _on_edges(image: UInt8[Array, "h w 4"]) -> Bool[Array, "h w"]:
    """Pixels around which the picture changes by more than ``_CONTRAST``."""
    straight = image.astype(jnp.float32) / 255
    alpha = straight[..., 3:]
    shown = jnp.concatenate([straight[..., :3] * alpha + 1 - alpha, alpha], axis=-1)

    def around(combine, start):
        return jax.lax.reduce_window(shown, start, combine, (3, 3, 1), (1, 1, 1), "SAME")

    contrast = around(jax.lax.max, -jnp.inf) - around(jax.lax.min, jnp.inf)
    return contrast.max(-1) > _CONTRAST


@pytree
class Drawn:
    """Random pixels and the rays through them.

    Attributes:
      rays: in the order of the pixels; one through the middle of each or, of some of those on
        edges, ``split`` x ``split``, evenly spread.
      of: which pixel each is of.
      colour: of the pixels, straight RGBA in [0, 1].
      weight: of the pixels in means: weighted ones expect what plain ones of pixels that are drawn
        all alike do.
      split: rays along each side of a pixel.
    """

    rays: Rays
    of: Int[Array, "r"]
    colour: Float[Array, "p 4"]
    weight: Float[Array, "p"]
    split: int = static(default=1)

    def per_pixel(self, seen: Float[Array, "r *k"]) -> Float[Array, "p *k"]:
        """Means over the rays of each pixel."""
        if self.split == 1:
            return seen
        each = jnp.concatenate([seen.reshape(len(seen), -1), jnp.ones((len(seen), 1))], axis=-1)
        sums = jax.ops.segment_sum(each, self.of, len(self.weight), indices_are_sorted=True)
        return (sums[:, :-1] / sums[:, -1:]).reshape(-1, *seen.shape[1:])


def draw_rays(scene: Scene, count: int, key: Array, edges: float = 0.0, split: int = 1) -> Drawn:
    """Random active pixels and ``count`` rays through them.

    Most of a fit's error is at edges, and so is most of the noise of its gradient: it falls when
    they are drawn more often and count less. A picture's pixel shows the mean of an area, at edges
    something else than what a ray through its middle sees: that takes several.

    Args:
      scene: the subject.
      count: how many rays.
      key: consumed.
      edges: share of the rays that are meant for edges; 0 draws all pixels alike.
      split: so many of these along each side of a pixel.
    """
    _, height, width, _ = scene.images.shape
    areas = round(edges * count / split**2)
    points = count - areas * split**2
    # Well mixed: where there is no room for all rays' samples it is the last that are left out.
    is_area = np.random.default_rng(0).permutation(areas + points) < areas
    # From pixels on edges and from the others; from all of them, if either are missing.
    total = jnp.maximum(scene.count, 1)
    mixed = (scene.edges > 0) & (scene.edges < scene.count) & bool(areas and points)
    low = jnp.where(mixed & ~is_area, scene.edges, 0)
    high = jnp.where(mixed & is_area, scene.edges, total)
    bits = jax.random.bits(key, is_area.shape)
    pick = low + (bits % (high - low).astype(bits.dtype)).astype(low.dtype)
    share = scene.edges / total
    each = jnp.where(is_area, share / max(areas, 1), (1 - share) / max(points, 1))
    weight = jnp.where(mixed, len(is_area) * each, 1.0)
    view, pixel = jnp.divmod(scene.active[pick], height * width)
    row, column = jnp.divmod(pixel, width)
    of, places = _places(is_area, split)
    return Drawn(
        rays=pixel_rays(
            jax.tree.map(lambda x: x[view[of]], scene.camera),
            jnp.stack([column, row], -1)[of] + places,
        ),
        of=jnp.asarray(of),
        colour=scene.images[view, row, column].astype(jnp.float32) / 255,
        weight=weight,
        split=split,
    )


def _places(is_area: Bool[np.ndarray, "p"], split: int) -> tuple[np.ndarray, np.ndarray]:
    """Which pixel each ray is of, and where it goes through it."""
    steps = (np.arange(split, dtype=np.float32) + 0.5) / split
    inside = np.stack(np.meshgrid(steps, steps), axis=-1).reshape(-1, 2)
    of = np.repeat(np.arange(len(is_area)), np.where(is_area, split**2, 1))
    places = np.full((len(of), 2), 0.5, np.float32)
    places[is_area[of]] = np.tile(inside, (is_area.sum(), 1))
    return of, places
