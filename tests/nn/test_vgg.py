"""VGG16's features agree with PyTorch's, from the same random weights in torchvision's naming."""

import zlib
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import save_file

from rodin_jax.nn.vgg import STAGES, Vgg16, load_vgg16
from rodin_jax.nn.weights import WeightsError

# Every some-th value of what torch 2.13 computed in each stage, from these weights and picture.
GOLDEN = Path(__file__).parent / "golden" / "vgg16.npz"


def torchvision_tensors():
    tensors, below = {"classifier.0.bias": np.zeros(3, np.float32)}, 3
    for number, channels in (layer for stage in STAGES for layer in stage):
        for name, shape in (("weight", (channels, below, 3, 3)), ("bias", (channels,))):
            key = f"features.{number}.{name}"
            draw = np.random.default_rng(zlib.crc32(key.encode())).standard_normal
            scale = np.float32((2 / np.prod(shape[1:])) ** 0.5 if name == "weight" else 0.05)
            tensors[key] = draw(shape, np.float32) * scale
        below = channels
    return tensors


@pytest.fixture(scope="module")
def file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vgg") / "vgg16.safetensors"
    save_file(torchvision_tensors(), path)
    return path


def test_features_agree_with_torch(file):
    image = np.random.default_rng(7).random((1, 40, 32, 3), np.float32)
    levels = jax.jit(Vgg16(5).apply)(load_vgg16(file, 5), image)
    golden = np.load(GOLDEN)
    for i, level in enumerate(levels):
        some = level[0, ::3, ::3, ::16] if i < 3 else level[0, ..., ::8]
        np.testing.assert_allclose(some, golden[f"stage_{i}"], rtol=1e-4, atol=1e-4)


def test_what_is_wrong_is_named(file, tmp_path):
    tensors = torchvision_tensors()
    del tensors["features.7.bias"]
    save_file(tensors, tmp_path / "short.safetensors")
    with pytest.raises(WeightsError, match=r"features\.7\.bias' is missing"):
        load_vgg16(tmp_path / "short.safetensors")
    load_vgg16(tmp_path / "short.safetensors", stages=1)
    with pytest.raises(ValueError, match="do not have 4 scales"):
        jax.eval_shape(Vgg16(4).apply, load_vgg16(file), jnp.zeros((1, 4, 16, 3)))
