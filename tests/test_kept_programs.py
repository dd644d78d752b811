"""Programs kept between runs: the same results, found again, and never when anything differs."""

import dataclasses
import os
import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import compile_cache, kept_programs
from rodin_jax.types import pytree, static


@pytree
class Pair:
    """Something with a part that is static."""

    x: jax.Array
    name: str = static()


@dataclasses.dataclass(frozen=True)
class Options:
    """Something hashable."""

    power: int


traced = []


def power(options, pair, key, scale=2.0, *, steps):
    """Random, static and optional arguments, and two results."""
    traced.append(pair.name)
    noise = jax.random.normal(key, pair.x.shape)
    return scale * pair.x**options.power + steps, noise


@pytest.fixture
def kept(tmp_path, monkeypatch):
    """Makes the function anew, as a start of Python would; the cache is on."""
    monkeypatch.setattr(compile_cache, "_enabled", tmp_path)
    traced.clear()
    return lambda: kept_programs.jit({"options", "steps"})(power)


ARGUMENTS = (Options(2), Pair(jnp.arange(3.0), "a"), jax.random.key(1))


def test_programs_are_traced_once_and_found_again(kept, tmp_path):
    wanted = power(*ARGUMENTS, steps=3)
    traced.clear()
    for _ in range(3):  # three starts
        function = kept()
        for _ in range(2):
            found = function(*ARGUMENTS, steps=3)
            jax.tree.map(np.testing.assert_allclose, found, wanted)
    assert traced == ["a"]
    assert [path.parent for path in tmp_path.rglob("power-*")] == [tmp_path / "traced"]


def test_whatever_differs_makes_another_program(kept, monkeypatch):
    options, pair, key = ARGUMENTS
    others = [
        lambda f: f(Options(3), pair, key, steps=3),
        lambda f: f(options, pair, key, steps=4),
        lambda f: f(options, Pair(pair.x, "b"), key, steps=3),
        lambda f: f(options, Pair(jnp.arange(4.0), "a"), key, steps=3),
        lambda f: f(options, Pair(jnp.arange(3), "a"), key, steps=3),
    ]
    kept()(*ARGUMENTS, steps=3)
    for count, call in enumerate(others, start=2):
        call(kept())
        assert len(traced) == count
    monkeypatch.setattr(kept_programs, "_sources", lambda: "other sources")
    kept()(*ARGUMENTS, steps=3)
    assert len(traced) == len(others) + 2
    # Values of arguments that are not static make none.
    found = kept()(options, pair, jax.random.key(2), 5, steps=3)
    again = kept()(options, pair, jax.random.key(2), scale=7.0, steps=3)
    np.testing.assert_allclose((again[0] - 3) * 5, (found[0] - 3) * 7)


def test_keys_are_not_mistaken_for_their_numbers(kept):
    def kind(x):
        return jax.numpy.float32(jax.dtypes.issubdtype(x.dtype, jax.dtypes.prng_key))

    key = jax.random.key(1)
    function = kept_programs.jit()(kind)
    assert [float(function(x)) for x in (key, jax.random.key_data(key))] == [1, 0]


def test_other_devices_do_without(kept, tmp_path):
    if len(jax.devices()) == 1:
        pytest.skip("one device")
    pair, key = jax.device_put(ARGUMENTS[1:], jax.devices()[1])
    found = kept()(Options(2), pair, key, steps=3)[0]
    assert found.devices() == {jax.devices()[1]} and not (tmp_path / "traced").exists()


def test_damaged_files_are_replaced(kept, tmp_path):
    wanted = kept()(*ARGUMENTS, steps=3)
    (file,) = (tmp_path / "traced").iterdir()
    whole = file.read_bytes()
    for damaged in (b"", b"nonsense", whole[: len(whole) // 2]):
        file.write_bytes(damaged)
        jax.tree.map(np.testing.assert_array_equal, kept()(*ARGUMENTS, steps=3), wanted)
        assert len(file.read_bytes()) == len(whole)


def test_within_other_programs_and_without_a_cache_it_is_jit(kept, tmp_path, monkeypatch):
    function = kept()
    options, pair, key = ARGUMENTS
    slope = jax.grad(lambda x: function(options, Pair(x, "a"), key, steps=3)[0].sum())(pair.x)
    np.testing.assert_allclose(slope, 4 * pair.x)
    monkeypatch.setattr(compile_cache, "_enabled", None)
    function(*ARGUMENTS, steps=3)
    assert not (tmp_path / "traced").exists()
    assert function.__doc__ == power.__doc__


def test_where_nothing_can_be_written_programs_run_all_the_same(kept, tmp_path, monkeypatch):
    monkeypatch.setattr(compile_cache, "_enabled", tmp_path / "file")
    (tmp_path / "file").write_text("in the way")
    wanted = power(*ARGUMENTS, steps=3)
    jax.tree.map(np.testing.assert_allclose, kept()(*ARGUMENTS, steps=3), wanted)


def test_a_second_process_finds_the_same_program(tmp_path):
    script = (
        "from rodin_jax import compile_cache, sampling; import jax.numpy as jnp\n"
        "compile_cache.enable()\n"
        "from rodin_jax.nn.eigenplanes import EigenPlanes\n"
        "from rodin_jax.nn.line import Line\n"
        "line = Line(jnp.zeros(2), jnp.ones(2), jnp.zeros((4, 2)), jnp.ones(2))\n"
        "planes = EigenPlanes(jnp.eye(12)[:2], jnp.zeros(12), line)\n"
        "print(sampling.calm(planes, jnp.ones((1, 3, 2, 2, 1)), jnp.ones((1, 4)), 0.5).sum())\n"
    )
    environment = os.environ | {"JAX_COMPILATION_CACHE_DIR": str(tmp_path)}
    for _ in range(2):
        run = subprocess.run(
            [sys.executable, "-c", script], env=environment, capture_output=True, text=True
        )
        assert run.returncode == 0, run.stderr
        assert float(run.stdout) == 11.0
        assert len(list((tmp_path / "traced").iterdir())) == 1
