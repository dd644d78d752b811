"""How planes look, as a loss: rendered patches and their perceptual error (paper 3.3, eq. 4)."""

import os
from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from rodin_jax import cameras, rendering
from rodin_jax.nn.vgg import Vgg16, load_vgg16
from rodin_jax.train import fitted
from rodin_jax.train.latents import Encoder
from rodin_jax.types import Rays

# Psi: pictures in [0, 1] -> feature maps, finest first.
Features = Callable[[Float[Array, "b h w 3"]], Sequence[Float[Array, "b _h _w _c"]]]


def load_features(vgg: str | os.PathLike, clip_dir: str | os.PathLike) -> tuple[Features, str]:
    """Psi and its name: VGG16 as in the paper or, with no weights at hand, the image tower.

    Args:
      vgg: a ``safetensors`` file in torchvision's naming, or empty.
      clip_dir: workdir of the clip stage; read if ``vgg`` is empty.

    Raises:
      WeightsError: ``vgg`` is not such a file.
      ValueError: both are empty.
    """
    if str(vgg):
        net, params = Vgg16(), load_vgg16(vgg)
        return lambda pictures: net.apply(params, pictures), "VGG16"
    if not str(clip_dir):
        raise ValueError(
            "config.vgg and config.clip_dir are empty: the perceptual loss needs one of them"
        )
    encoder = Encoder(clip_dir)
    return encoder.levels, "the image tower of the project's own text and image encoder"


def perceptual_error(
    features: Features, guess: Float[Array, "b h w 3"], truth: Float[Array, "b h w 3"]
) -> Float[Array, ""]:
    """sum_l |Psi_l(guess) - Psi_l(truth)|^2 (eq. 4), each level's mean over its numbers."""
    levels = zip(features(guess), features(truth), strict=True)
    return sum(jnp.mean((a - b) ** 2) for a, b in levels)


def rendered_patches(
    decoded: fitted.Decoded,
    guess: Float[Array, "b 3 h w c"],
    truth: Float[Array, "b 3 h w c"],
    key: Array,
    *,
    subjects: int,
    patch: int,
    view: int,
    samples: int,
    focus: float = 0.5,
    radius: float = 3.0,
    fov: float = 40.0,
) -> tuple[Float[Array, "n p p 3"], Float[Array, "n p p 3"]]:
    """One rendered patch of each of the first ``subjects``, of both planes; takes the key.

    Both planes are in feature units and are rendered on white through the same jittered samples,
    so equal planes look exactly equal.

    Args:
      decoded: the frozen decoder.
      guess: planes that gradients flow to.
      truth: what they should look like.
      key: random key.
      subjects: how many of the batch, at most.
      patch: edge of a patch in pixels.
      view: edge in pixels of the whole picture that the patch is cut from.
      samples: points a ray.
      focus: probability of a patch on the face, seen from the front.
      radius: distance of the cameras.
      fov: angle of view of the cameras, degrees.
    """
    count = min(subjects, guess.shape[0])

    def both(guess, truth, key):
        ray_key, jitter_key = jax.random.split(key)
        rays = patch_rays(ray_key, patch, view, focus=focus, radius=radius, fov=fov)

        def picture(planes):
            field = decoded.field(planes)
            seen = rendering.render_rays(field, rays, samples=samples, key=jitter_key)
            return rendering.over(seen, 1.0)

        return picture(guess), picture(jax.lax.stop_gradient(truth))

    return jax.vmap(both)(guess[:count], truth[:count], jax.random.split(key, count))


def patch_rays(
    key: Array, patch: int, view: int, *, focus: float, radius: float, fov: float
) -> Rays:
    """The rays ``[patch, patch, 3]`` of a random patch of a random view; the key is consumed.

    Half-way between uniform and "high sampling importance on face region" (3.3): with probability
    ``focus`` the camera stands within 45 degrees of the front and the patch lies near the middle of
    the picture, where the face is; otherwise camera and patch are anywhere.
    """
    face, azimuth, sine, place = jax.random.split(key, 4)
    near = jax.random.bernoulli(face, focus)
    azimuth = jax.random.uniform(azimuth, minval=-1.0) * jnp.where(near, 45.0, 180.0)
    # Elevations from -20 to 45 degrees, uniform on the sphere.
    low, high = jnp.sin(jnp.radians(jnp.array([-20.0, 45.0])))
    elevation = jnp.degrees(jnp.arcsin(jax.random.uniform(sine, minval=low, maxval=high)))
    camera = cameras.orbit(azimuth, elevation, view, radius=radius, fov=fov)
    offset = jax.random.uniform(place, (2,), minval=-0.5, maxval=0.5) * (view - patch)
    corner = jnp.round((view - patch) / 2 + offset * jnp.where(near, 0.4, 1.0))
    y, x = jnp.meshgrid(jnp.arange(patch) + 0.5, jnp.arange(patch) + 0.5, indexing="ij")
    return cameras.pixel_rays(camera, jnp.stack([x, y], axis=-1) + corner)
