"""Weights on disk: exact, canonical, and suspicious of what they read."""

import numpy as np
import pytest
from safetensors.numpy import save_file

from rodin_jax.nn import weights

PARAMS = {
    "params": {
        "Dense_0": {"kernel": np.arange(6.0, dtype=np.float32).reshape(2, 3)},
        "scale": np.float32(0.1),
    },
    "tokens": np.array([1, 2]),
}


def test_round_trip_is_exact(tmp_path):
    path = weights.save_params(tmp_path / "a.safetensors", PARAMS)
    loaded = weights.load_params(path, like=PARAMS)
    assert weights.flatten(loaded).keys() == weights.flatten(PARAMS).keys()
    np.testing.assert_array_equal(
        loaded["params"]["Dense_0"]["kernel"], PARAMS["params"]["Dense_0"]["kernel"]
    )
    assert loaded["params"]["scale"].shape == ()
    assert loaded["tokens"].dtype == np.int32
    assert [p.name for p in tmp_path.iterdir()] == ["a.safetensors"]


def test_equal_contents_give_equal_bytes(tmp_path):
    fields = {key: key for key in "hgfedcba"}
    one = weights.save_params(tmp_path / "1.safetensors", PARAMS, fields)
    reordered = dict(reversed(PARAMS.items()))
    two = weights.save_params(tmp_path / "2.safetensors", reordered, dict(sorted(fields.items())))
    assert one.read_bytes() == two.read_bytes()
    assert weights.load_metadata(one) == fields


def test_half_precision_is_read_as_float32(tmp_path):
    path = weights.save_params(tmp_path / "h.safetensors", PARAMS, dtype="float16")
    loaded = weights.load_params(path)
    assert loaded["params"]["scale"] == np.float32(np.float16(0.1))
    assert loaded["params"]["scale"].dtype == np.float32
    with pytest.raises(weights.WeightsError, match="'x' is not finite as float16"):
        weights.save_params(tmp_path / "o.safetensors", {"x": np.float32(1e6)}, dtype="float16")
    assert not (tmp_path / "o.safetensors").exists()


def test_whole_numbers_are_read_with_their_scales(tmp_path):
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((3, 40, 5)).astype(np.float32) * 10.0 ** np.arange(-2, 3)
    kernel[..., 3] = 0  # of a column of zeros nothing is left to scale by
    params = {"a": {"kernel": kernel, "bias": np.float32([0.5, 2])}}
    params["a"] |= {"dense": {"kernel": kernel[0]}, "slope": kernel[0]}
    path = weights.save_params(tmp_path / "l.safetensors", weights.in_levels(params))
    read = weights.load_params(path, like=params)["a"]
    largest = np.abs(kernel).max((0, 1))
    assert (np.abs(read["kernel"] - kernel) <= 0.501 * largest / 127).all()
    np.testing.assert_array_equal(read["bias"], params["a"]["bias"])
    largest = np.abs(kernel[0]).max(0)
    assert (np.abs(read["dense"]["kernel"] - kernel[0]) <= 0.501 * largest / 127).all()
    np.testing.assert_array_equal(read["slope"], kernel[0].astype(np.float16))
    assert path.stat().st_size < 0.6 * kernel.nbytes
    for broken in (
        {"x:scale": np.ones(2, np.float32)},
        {"x": np.ones((3, 2), np.float32), "x:scale": np.ones(2, np.float32)},
        {"x": np.ones((3, 2), np.int8), "x:scale": np.ones(3, np.float32)},
    ):
        save_file(broken, tmp_path / "b.safetensors")
        with pytest.raises(weights.WeightsError, match="'x:scale' fits no whole numbers 'x'"):
            weights.load_params(tmp_path / "b.safetensors")


@pytest.mark.parametrize(
    ("tensors", "message"),
    [
        ({"a": np.zeros(2)}, "tensor 'b' is missing"),
        ({"a": np.zeros(2), "b": np.zeros(3), "c": np.zeros(1)}, "unexpected tensor 'c'"),
        ({"a": np.zeros(2), "b": np.zeros(4)}, r"'b' has shape \[4\], expected \[3\]"),
        ({"a": np.zeros(2), "b": np.array([0, np.nan, 0])}, "'b' holds NaN"),
        ({"a": np.zeros(2), "a/b": np.zeros(2)}, "group"),
    ],
)
def test_suspicious_files_are_refused_in_one_line(tmp_path, tensors, message):
    save_file(tensors, tmp_path / "x.safetensors")
    with pytest.raises(weights.WeightsError, match=message) as caught:
        weights.load_params(tmp_path / "x.safetensors", {"a": np.zeros(2), "b": np.zeros(3)})
    assert "\n" not in str(caught.value) and "x.safetensors" in str(caught.value)


@pytest.mark.parametrize("data", [b"", b"hello", b"\xff" * 64, b"\x08" + bytes(7) + b"{}      "])
def test_garbage_is_refused_or_empty(tmp_path, data):
    path = tmp_path / "x.safetensors"
    path.write_bytes(data)
    with pytest.raises(weights.WeightsError):
        weights.load_params(path, like=PARAMS)
    with pytest.raises(weights.WeightsError, match="no such file"):
        weights.load_params(tmp_path / "none.safetensors")
