"""The step alone decides a batch: resumed, sharded and threaded readers agree."""

import itertools

import numpy as np
import pytest

from rodin_jax.data.loading import batches


def numbers(count=7):
    return [{"x": np.float32(i)} for i in range(count)]


def take(count, **options):
    options = {"source": numbers(), "batch_size": 4, "seed": 3, **options}
    iterator = batches(options.pop("source"), options.pop("batch_size"), options.pop("seed"),
                       **options)  # fmt: skip
    return [batch["x"] for batch in itertools.islice(iterator, count)]


def test_resuming_at_a_step_gives_the_same_batches():
    def jitter(element, rng):
        return {"x": element["x"] + rng.normal()}

    whole = take(12, random_transform=jitter)
    np.testing.assert_array_equal(whole[5:], take(7, start_step=5, random_transform=jitter))
    np.testing.assert_array_equal(whole, take(12, random_transform=jitter, threads=0))


def test_every_pass_is_a_new_order_of_all_elements():
    stream = np.concatenate(take(14)).reshape(8, 7)
    np.testing.assert_array_equal(np.sort(stream, axis=1), np.tile(np.arange(7), (8, 1)))
    assert len({tuple(order) for order in stream}) == 8
    assert not np.array_equal(stream[0], np.concatenate(take(2, seed=4))[:7])


def test_hosts_share_each_global_batch():
    def jitter(element, rng):
        return {"x": element["x"] + rng.normal()}

    whole = take(9, random_transform=jitter)[4:]
    options = {"random_transform": jitter, "process_count": 2, "start_step": 4}
    parts = [take(5, process_index=i, **options) for i in range(2)]
    np.testing.assert_array_equal(np.concatenate(parts, axis=1), whole)


def test_a_batch_may_be_larger_than_the_source():
    assert take(2, batch_size=16)[1].shape == (16,)


def test_elements_pass_through_the_transform():
    (batch,) = take(1, source=[1, 2, 3], transform=lambda n: {"x": np.full(2, n)})
    assert batch.shape == (4, 2) and (batch[:, 0] == batch[:, 1]).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"source": []}, "empty source"),
        ({"process_index": 0, "process_count": 3}, "multiple of 3 hosts"),
        ({"process_index": 2, "process_count": 2}, "process_index 2"),
    ],
)
def test_impossible_requests_say_why(options, message):
    with pytest.raises(ValueError, match=message):
        take(1, **options)
