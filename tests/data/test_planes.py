"""The planes store: what goes in comes out, kills lose nothing finished, statistics are exact."""

import json

import jax.numpy as jnp
import numpy as np
import pytest
import safetensors.numpy

from rodin_jax import triplanes
from rodin_jax.data import records
from rodin_jax.data.planes import FittedSubject, PlanesStore, PlanesWriter, compute_statistics


def subject(index, size=8, channels=4, scale=1.0):
    rng = np.random.default_rng(index)
    planes = rng.normal(np.arange(channels), scale, (3, size, size, channels))
    return FittedSubject(
        id=f"subject-{index}",
        planes=planes.astype(np.float16),
        captions=("a woman", "une femme à lunettes"),
        attributes={"glasses": "round"},
        front=rng.integers(0, 256, (6, 6, 4), np.uint8),
        psnr=30.5,
    )


def write(directory, indices, **options):
    with PlanesWriter(directory, **options) as writer:
        for index in indices:
            writer.write(subject(index))


def test_subjects_come_back_as_they_went_in(tmp_path):
    write(tmp_path, range(5), shard_size=2, decoder_hash="abc")
    store = PlanesStore(tmp_path)
    assert len(store) == 5 and store.shape == (3, 8, 8, 4) and store.decoder_hash == "abc"
    assert [s.id for s in store] == store.ids() == [f"subject-{i}" for i in range(5)]
    for index, got in enumerate(store):
        want = subject(index)
        assert got.planes.dtype == np.float16
        np.testing.assert_array_equal(got.planes, want.planes)
        np.testing.assert_array_equal(got.front, want.front)
        assert (got.captions, got.attributes, got.psnr) == (want.captions, want.attributes, 30.5)
    np.testing.assert_array_equal(store.planes_array()[3], subject(3).planes)
    np.testing.assert_array_equal(store[-1].planes, subject(4).planes)
    with pytest.raises(IndexError):
        store[5]


def test_a_record_opens_with_safetensors_alone(tmp_path):
    write(tmp_path, range(1))
    record = records.open_shards(tmp_path.glob("*.arecord"))[0]
    np.testing.assert_array_equal(safetensors.numpy.load(record)["planes"], subject(0).planes)


def test_a_killed_writer_goes_on_after_its_last_finished_shard(tmp_path):
    with pytest.raises(KeyboardInterrupt), PlanesWriter(tmp_path, shard_size=2) as writer:
        for index in range(5):
            writer.write(subject(index))
        raise KeyboardInterrupt
    (tmp_path / "planes-00002.arecord.partial").write_bytes(b"half a shard")
    with PlanesWriter(tmp_path, shard_size=2) as writer:
        assert writer.ids == [f"subject-{i}" for i in range(4)]
        with pytest.raises(ValueError, match="subject-3: is in the store already"):
            writer.write(subject(3))
        for index in range(4, 7):
            writer.write(subject(index))
    write(tmp_path / "straight", range(7), shard_size=2)
    assert [p.name for p in sorted(tmp_path.glob("planes*"))] == [
        f"planes-{i:05d}.arecord" for i in range(4)
    ]
    for shard in tmp_path.glob("*.arecord"):
        assert shard.read_bytes() == (tmp_path / "straight" / shard.name).read_bytes()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"planes": np.full((3, 8, 8, 4), np.nan, np.float16)}, "not finite"),
        ({"planes": np.zeros((3, 4, 4, 4), np.float16)}, "the store's are"),
    ],
)
def test_bad_planes_are_refused_by_name(tmp_path, change, message):
    bad = FittedSubject(**{**vars(subject(1)), **change})
    with PlanesWriter(tmp_path) as writer:
        writer.write(subject(0))
        with pytest.raises(ValueError, match=f"subject-1: .*{message}"):
            writer.write(bad)
    assert len(PlanesStore(tmp_path)) == 1


def test_one_store_one_decoder(tmp_path):
    write(tmp_path, range(1), decoder_hash="a")
    with pytest.raises(ValueError, match="decoder_hash"):
        PlanesWriter(tmp_path, decoder_hash="b")


def test_a_folder_that_is_no_store_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r"store\.json"):
        PlanesStore(tmp_path)
    (tmp_path / "store.json").write_text('{"format": 1, "decoder_hash": "", "shape": [3, 8, 8, 4]}')
    with pytest.raises(ValueError, match="shard"):
        PlanesStore(tmp_path)
    (tmp_path / "planes-00000.arecord").write_bytes(b"no record here" * 10_000)
    with pytest.raises(ValueError, match=r"planes-00000\.arecord"):
        PlanesStore(tmp_path)


def test_statistics_match_numpy_and_normalise_to_unit_variance(tmp_path):
    write(tmp_path, range(6), shard_size=4)
    store = PlanesStore(tmp_path)
    measured = compute_statistics(store, [8, 4], clip=0.01, batch_size=4)
    for size, got in measured.items():
        planes = np.asarray(triplanes.resize(jnp.float32(store.planes_array()), size))
        low, high = np.quantile(planes, [0.01, 0.99], axis=(0, 2, 3))
        clipped = np.clip(planes, low[:, None, None], high[:, None, None])
        np.testing.assert_allclose(got.low, low, atol=1e-5)
        np.testing.assert_allclose(got.high, high, atol=1e-5)
        np.testing.assert_allclose(got.mean, clipped.mean((0, 2, 3)), atol=1e-5)
        np.testing.assert_allclose(got.std, clipped.std((0, 2, 3)), atol=1e-5)
        x = got.normalise(planes)
        np.testing.assert_allclose(x.std((0, 2, 3)), 1, atol=1e-4)
        np.testing.assert_allclose(x.mean((0, 2, 3)), 0, atol=1e-4)
        np.testing.assert_allclose(got.denormalise(x), clipped, atol=1e-5)
        lowest, highest = got.bounds()
        assert (x >= lowest - 1e-5).all() and (x <= highest + 1e-5).all()
        np.testing.assert_array_equal(store.statistics(size).std, got.std)
    share = json.loads((tmp_path / "stats.json").read_text())["sizes"]["8"]["clipped_share"]
    np.testing.assert_allclose(share, 0.02, atol=0.004)


def test_no_clip_keeps_the_whole_range_and_a_constant_channel_survives(tmp_path):
    flat = FittedSubject(**{**vars(subject(0)), "planes": np.full((3, 8, 8, 4), 2, np.float16)})
    with PlanesWriter(tmp_path) as writer:
        writer.write(flat)
    statistics = compute_statistics(PlanesStore(tmp_path), [8], clip=0)[8]
    np.testing.assert_array_equal(statistics.normalise(flat.planes), 0)
    np.testing.assert_array_equal(statistics.denormalise(jnp.zeros((3, 8, 8, 4))), 2)


def test_statistics_of_fewer_subjects_do_not_outlive_new_ones(tmp_path):
    write(tmp_path, range(2))
    compute_statistics(PlanesStore(tmp_path), [8])
    write(tmp_path, range(2, 3))
    with pytest.raises(ValueError, match="no statistics of size 8"):
        PlanesStore(tmp_path).statistics(8)
