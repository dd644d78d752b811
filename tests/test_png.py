"""Pictures and maps in PNG files: levels, limits and notes."""

import io

import numpy as np
import pytest
from PIL import Image

from rodin_jax import png

RECORD = {"prompt": "naïve", "seed": 3}


def opened(data):
    image = Image.open(io.BytesIO(data))
    return np.asarray(image), image.text


def test_pictures_keep_levels_and_record():
    picture = np.random.default_rng(0).integers(0, 256, (5, 4, 4), np.uint8)
    levels, text = opened(png.encode(picture, RECORD))
    np.testing.assert_array_equal(levels, picture)
    assert text == {"prompt": "naïve", "seed": "3"}
    assert png.encode(picture, RECORD) == png.encode(picture, RECORD)


def test_depth_comes_back_to_a_ten_thousandth():
    depth = np.array([[0.5, 2.34567, np.inf], [6.5535, 1e-4, np.inf]])
    levels, text = opened(png.depth(depth, RECORD))
    assert levels.dtype == np.uint16
    seen = np.isfinite(depth)
    np.testing.assert_allclose(levels[seen] / png.DEPTH_SCALE, depth[seen], atol=5.1e-5)
    assert (levels[~seen] == 0).all() and "10000 levels a world unit" in text["depth"]
    with pytest.raises(ValueError, match="got 0 to 7"):
        png.depth(np.array([[7.0, np.inf]]), RECORD)


def test_normals_come_back_within_a_degree_and_nothing_is_exact():
    normals = np.random.default_rng(0).normal(size=(9, 9, 3))
    normals /= np.linalg.norm(normals, axis=-1, keepdims=True)
    normals[0] = 0
    levels, text = opened(png.normals(normals, RECORD))
    back = (levels.astype(float) - 128) / 127
    assert not back[0].any() and "(level - 128) / 127" in text["normals"]
    cosine = (back[1:] * normals[1:]).sum(-1) / np.linalg.norm(back[1:], axis=-1)
    assert np.degrees(np.arccos(cosine.clip(-1, 1))).max() < 0.5
