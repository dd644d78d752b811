"""The convolutions of VGG16: the features Psi of the perceptual loss (paper eq. 4).

Weights come from any ``safetensors`` file that names its tensors as torchvision does
(``features.0.weight``, ...); none are shipped.
"""

import os

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, PyTree

from rodin_jax.nn import weights

# Number of each convolution among torchvision's ``features``, and its channels; by stage. Between
# the stages the picture is halved.
STAGES = (
    ((0, 64), (2, 64)),
    ((5, 128), (7, 128)),
    ((10, 256), (12, 256), (14, 256)),
    ((17, 512), (19, 512), (21, 512)),
    ((24, 512), (26, 512), (28, 512)),
)
# Mean and standard deviation of ImageNet's colours, which the weights expect to be taken out.
_MEAN, _STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class Vgg16(nn.Module):
    """Features after the last ReLU of each of the first ``stages``.

    Attributes:
      stages: 1 to 5.
    """

    stages: int = 4

    @nn.compact
    def __call__(self, images: Float[Array, "b h w 3"]) -> list[Float[Array, "b _h _w _c"]]:
        """Feature maps of pictures in [0, 1], finest first.

        Raises:
          ValueError: pictures too small to be halved ``stages - 1`` times.
        """
        if min(images.shape[1:3]) < 2 ** (self.stages - 1):
            raise ValueError(f"pictures of {images.shape[1:3]} do not have {self.stages} scales")
        x = (images - jnp.array(_MEAN)) / jnp.array(_STD)
        levels = []
        for i, stage in enumerate(STAGES[: self.stages]):
            if i:
                x = nn.max_pool(x, (2, 2), (2, 2))
            for number, channels in stage:
                x = nn.relu(nn.Conv(channels, (3, 3), name=f"conv_{number}")(x))
            levels.append(x)
        return levels


def load_vgg16(path: str | os.PathLike, stages: int = 4) -> PyTree:
    """Parameters of `Vgg16` from a file in torchvision's layout; its classifier is ignored.

    Raises:
      WeightsError: unreadable, or a tensor is missing or of another shape.
    """
    found = weights.load_params(path)
    params, below = {}, 3
    for number, channels in (layer for stage in STAGES[:stages] for layer in stage):
        for name, shape in (("weight", (channels, below, 3, 3)), ("bias", (channels,))):
            tensor = found.get(f"features.{number}.{name}")
            if tensor is None or tensor.shape != shape:
                got = "missing" if tensor is None else f"of shape {list(tensor.shape)}"
                raise weights.WeightsError(
                    f"{path}: tensor 'features.{number}.{name}' is {got}, expected {list(shape)}"
                )
        kernel = np.transpose(found[f"features.{number}.weight"], (2, 3, 1, 0))
        params[f"conv_{number}"] = {
            "kernel": jnp.asarray(kernel),
            "bias": found[f"features.{number}.bias"],
        }
        below = channels
    return {"params": params}
