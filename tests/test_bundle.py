"""Bundles: assembled from exports, checked in every field, named by their contents."""

import json
import shutil
from types import SimpleNamespace

import jax
import numpy as np
import pytest
import tiny_bundle
from safetensors.numpy import load_file, save_file

from rodin_jax import assembly, bundle_layout
from rodin_jax.bundle import MODULES, OPTIONAL, BundleError, load_bundle
from rodin_jax.nn import weights


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    return tiny_bundle.exports(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def folder(runs, tmp_path_factory):
    out = tmp_path_factory.mktemp("bundles") / "tiny"
    return assembly.assemble(runs, out, preset="smoke", sampling=tiny_bundle.SAMPLING).path


@pytest.fixture
def copy(folder, tmp_path):
    return shutil.copytree(folder, tmp_path / "copy")


def test_a_bundle_holds_what_was_exported(runs, folder):
    bundle = load_bundle(folder)
    assert (bundle.size, bundle.base_size, bundle.channels) == (16, 8, 4)
    assert set(bundle.parts) == set(MODULES) - OPTIONAL and bundle.latent_dim == tiny_bundle.DIM
    assert bundle.sampling.base_steps == 3 and bundle.sampling.guidance == 1.5
    for run in runs:
        export = assembly.read_export(run)
        for got, want in zip(
            jax.tree.leaves(bundle.parts[export.part].params),
            jax.tree.leaves(export.params),
            strict=True,
        ):
            np.testing.assert_array_equal(got, np.float32(np.float16(want)))
    np.testing.assert_array_equal(bundle.latent_mean, np.full(8, 0.1, np.float32))  # not halved


def test_the_hash_names_the_contents(runs, folder, copy):
    again = assembly.assemble(
        runs[::-1], copy.parent / "again", preset="smoke", sampling=tiny_bundle.SAMPLING
    )
    assert load_bundle(copy).hash == load_bundle(folder).hash == again.hash
    (copy / "MODEL_CARD.md").write_text("words about a model do not change it")
    assert load_bundle(copy).hash == again.hash
    _tensor(copy, "latent", "params/output/bias", lambda x: x + 1)
    assert load_bundle(copy).hash != again.hash


def test_what_was_in_order_is_not_asked_again(copy, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    asked = []

    def ask(init, *inputs):
        asked.append(init)
        return jax.eval_shape(init, *inputs)

    monkeypatch.setattr(
        bundle_layout,
        "jax",
        SimpleNamespace(eval_shape=ask, random=jax.random, ShapeDtypeStruct=jax.ShapeDtypeStruct),
    )
    parts = load_bundle(copy).parts
    assert len(asked) == len(parts)
    load_bundle(copy)
    assert len(asked) == len(parts)
    # Other contents are other contents, and what is wrong is not remembered.
    _tensor(copy, "latent", "params/output/bias", lambda x: x[:-1])
    for _ in range(2):
        with pytest.raises(BundleError, match=r"latent.safetensors: params: tensor 'output/bias'"):
            load_bundle(copy)
    # Without a place to remember it is asked every time.
    (tmp_path / "file").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    _tensor(copy, "latent", "params/output/bias", lambda x: np.append(x, x[:1]))
    for times in (1, 2):
        asked.clear()
        load_bundle(copy)
        assert len(asked) == len(parts), times


@pytest.mark.parametrize("name", ["/no/such/bundle", "unheard_of", "./missing", "a/b/c", ""])
def test_unknown_paths(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(BundleError, match=r"no such|not a bundle"):
        load_bundle(name)


def test_hub_ids_that_cannot_be_fetched_say_so(monkeypatch):
    import huggingface_hub

    def offline(*_args, **_kwargs):
        raise ConnectionError("no network\nat all")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", offline)
    with pytest.raises(BundleError, match=r"me/avatars: .*hub \(no network at all\)"):
        load_bundle("me/avatars")


def test_hub_ids_are_fetched_when_no_folder_has_that_name(folder, monkeypatch, tmp_path):
    import huggingface_hub

    monkeypatch.setattr(huggingface_hub, "snapshot_download", lambda *_args, **_kwargs: str(folder))
    assert load_bundle("me/avatars").hash == load_bundle(folder).hash


def _config(folder, change):
    path = folder / "config.json"
    config = json.loads(path.read_text())
    change(config)
    path.write_text(json.dumps(config))


def _tensor(folder, part, name, change):
    path = folder / f"{part}.safetensors"
    tensors = load_file(path)
    tensors[name] = np.array(change(tensors[name]))
    save_file({k: v for k, v in tensors.items() if v.size}, path)


DAMAGE = {
    "no config": (lambda d: (d / "config.json").unlink(), "not a bundle"),
    "not JSON": (lambda d: (d / "config.json").write_text("["), "not readable as JSON"),
    "another layout": (
        lambda d: (d / "config.json").write_text('{"model": 1}'),
        "'format' is None",
    ),
    "newer format": (lambda d: _config(d, lambda c: c.update(format=2)), "is 2, expected 1"),
    "no part": (lambda d: _config(d, lambda c: c["parts"].pop("text")), "'parts.text' is missing"),
    "no file": (lambda d: (d / "base.safetensors").unlink(), "base.safetensors: no such file"),
    "cut file": (lambda d: (d / "base.safetensors").write_bytes(b"\0" * 9), "not a readable"),
    "odd size": (lambda d: _config(d, lambda c: c["planes"].update(size="x")), "planes.size"),
    "bad option": (
        lambda d: _config(d, lambda c: c["parts"]["base"]["model"].update(colour=1)),
        "parts.base.model.*colour",
    ),
    "other width": (
        lambda d: _config(d, lambda c: c["parts"]["latent"]["model"].update(width=7)),
        "latent.safetensors: params: tensor .* has shape",
    ),
    "other latent": (
        lambda d: _config(d, lambda c: c["parts"]["text"]["model"].update(dim=7)),
        "parts.text.model.dim is 7, expected clip's 8",
    ),
    "bad schedule": (
        lambda d: _config(d, lambda c: c["parts"]["base"]["process"].update(schedule="zig")),
        "parts.base.process.schedule",
    ),
    "bad sampling": (
        lambda d: _config(d, lambda c: c["sampling"].update(base_steps="many")),
        "'sampling' has base_steps",
    ),
    "missing tensor": (
        lambda d: _tensor(d, "decoder", "params/fc1/bias", lambda x: x[:0]),
        "'fc1/bias' is missing",
    ),
    "NaN": (
        lambda d: _tensor(d, "base", "params/conv_in/bias", lambda x: x * np.nan),
        "base.safetensors: tensor .* holds NaN",
    ),
    "no statistics": (
        lambda d: _tensor(d, "upsampler", "statistics/16/std", lambda x: x[:0]),
        "statistics/16/std",
    ),
    "flat statistics": (
        lambda d: _tensor(d, "base", "statistics/8/std", lambda x: x * 0),
        "must be positive",
    ),
    "no latent scale": (
        lambda d: _tensor(d, "clip", "latent_std", lambda x: x[:0]),
        "'latent_std' .8. is missing",
    ),
    "no tokenizer": (lambda d: (d / "tokenizer.json").unlink(), "tokenizer.json: no such file"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_bundles_are_refused_in_one_line(copy, kind):
    damage, message = DAMAGE[kind]
    if kind == "NaN":
        name = next(k for k in load_file(copy / "base.safetensors") if k.endswith("bias"))
        _tensor(copy, "base", name, lambda x: x * np.nan)
    else:
        damage(copy)
    with pytest.raises(BundleError, match=message) as caught:
        load_bundle(copy)
    assert "\n" not in str(caught.value)


def test_a_bundle_may_have_a_refiner(runs, folder, tmp_path):
    run = tiny_bundle.refiner_export(tmp_path / "refiner")
    with_refiner = assembly.assemble([run, *runs], tmp_path / "with", preset="smoke")
    assert "refiner" in with_refiner.parts and with_refiner.hash != load_bundle(folder).hash
    again, damaged = load_bundle(with_refiner.path), with_refiner.path
    assert again.hash == with_refiner.hash and again.parts["refiner"].module.channels == 4
    before = again.hash
    _tensor(damaged, "refiner", "params/conv_last/bias", lambda x: x + 1)
    assert load_bundle(damaged).hash != before
    for change, message in (
        (lambda x: x * np.nan, "refiner.safetensors: tensor .* holds NaN"),
        (lambda x: np.zeros(4, np.float16), "refiner.safetensors: params: tensor .* has shape"),
    ):
        _tensor(damaged, "refiner", "params/conv_last/bias", change)
        with pytest.raises(BundleError, match=message):
            load_bundle(damaged)
    (damaged / "refiner.safetensors").unlink()
    with pytest.raises(BundleError, match=r"refiner\.safetensors: no such file"):
        load_bundle(damaged)
    _config(damaged, lambda c: c["parts"].pop("refiner"))
    assert load_bundle(damaged).hash != before


def test_kernels_may_be_stored_as_whole_numbers(runs, folder, tmp_path):
    small = assembly.assemble(runs, tmp_path / "small", preset="smoke", narrow=["base"])
    sizes = [(f / "base.safetensors").stat().st_size for f in (small.path, folder)]
    assert sizes[0] < 0.7 * sizes[1]  # names and float16 vectors weigh much in one so small
    whole = load_bundle(folder).parts
    for name, part in small.parts.items():
        stored, kept = (weights.flatten(p.params) for p in (part, whole[name]))
        assert stored.keys() == kept.keys()
        for key, want in kept.items():
            got, want = np.asarray(stored[key]), np.asarray(want)
            if name != "base":
                np.testing.assert_array_equal(got, want)
                continue
            narrow = want.ndim > 2 or key.endswith("kernel")
            step = np.abs(want).max(tuple(range(want.ndim - 1))) / 127 if narrow else 0
            assert (np.abs(got - want) <= 0.501 * step + 1e-3).all()
    with pytest.raises(BundleError, match="no export of refiner, to be stored as int8"):
        assembly.assemble(runs, tmp_path / "none", narrow=["refiner"])
    assert not (tmp_path / "none").exists()


def test_a_bundle_may_have_a_visage(runs, folder, tmp_path):
    run = tiny_bundle.visage_export(tmp_path / "visage")
    bundle = assembly.assemble([run, *runs], tmp_path / "with", preset="smoke", narrow=["visage"])
    assert bundle.parts["visage"].module.rank == 2
    _tensor(bundle.path, "visage", "params/mean", lambda x: x[:-1])
    with pytest.raises(BundleError, match=r"visage.safetensors: params: tensor 'mean' has shape"):
        load_bundle(bundle.path)
    _config(bundle.path, lambda c: c["parts"]["visage"]["model"].update(dim=5))
    with pytest.raises(BundleError, match=r"parts\.visage\.model\.dim is 5, expected clip's 8"):
        load_bundle(bundle.path)


def test_a_bundle_may_have_eigenplanes(runs, folder, tmp_path):
    run = tiny_bundle.eigenplanes_export(tmp_path / "eigenplanes")
    bundle = assembly.assemble([run, *runs], tmp_path / "with", preset="smoke")
    assert load_bundle(folder).eigenplanes is None
    eigen = bundle.eigenplanes
    np.testing.assert_allclose(np.linalg.norm(eigen.basis, axis=1), 1, atol=1e-5)
    assert eigen.basis.shape == (3, 768) and (eigen.line.spectrum > 0).all()
    # What the stage had rounded takes half the bytes; nothing else is rounded.
    stored, made = load_file(bundle.path / "eigenplanes.safetensors"), assembly.read_export(run)
    assert stored["eigenplanes/detail/mean"].dtype == np.float16
    assert stored["eigenplanes/spectrum"].dtype == np.float32
    for name, array in made.arrays.items():
        np.testing.assert_array_equal(stored[name], array)
    rows = len(stored["eigenplanes/places"])
    for tensor, change, message in (
        ("eigenplanes/basis", lambda x: x[:-1], rf"'eigenplanes/basis' \[{rows}, 3\] is missing"),
        ("eigenplanes/places", lambda x: x + 700, "'eigenplanes/places' reaches beyond the planes"),
        ("eigenplanes/basis", lambda x: x[:0].repeat(768, 0), "is missing"),
        ("eigenplanes/spectrum", lambda x: -x, "must be positive"),
        ("eigenplanes/bend/heights", lambda x: x[:-1], r"bend/heights' \[4, 3\] is missing"),
        ("eigenplanes/scale", lambda x: x * np.nan, "holds NaN"),
        (
            "eigenplanes/detail/mean",
            lambda x: x.repeat(2, axis=1),
            r"detail/mean' \[3, 16, 16, 4\] is missing",
        ),
        ("eigenplanes/detail/places", lambda x: x + 10**6, "reaches beyond the planes"),
        ("eigenplanes/detail/slope", lambda x: x[:1], r"detail/slope' \[3, 2\] is missing"),
    ):
        damaged = shutil.copytree(bundle.path, tmp_path / "damaged")
        _tensor(damaged, "eigenplanes", tensor, change)
        with pytest.raises(BundleError, match=message):
            load_bundle(damaged)
        shutil.rmtree(damaged)
    _config(bundle.path, lambda c: c["parts"]["eigenplanes"]["process"].update(steps=21))
    with pytest.raises(BundleError, match=r"eigenplanes\.process\.steps is 21, expected base's 20"):
        load_bundle(bundle.path)


def test_a_damaged_line_from_sentences_is_refused(tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    run = next(run for run in runs if run.name == "text")
    tiny_bundle.add_line(run)
    tiny_bundle.add_phrases(run, [4, 5, 6])
    bundle = assembly.assemble(runs, tmp_path / "with", preset="smoke")
    assert bundle.sentences.axes.shape == (8, 8)
    _tensor(bundle.path, "text", "line/slope", lambda x: x[:-1])
    with pytest.raises(BundleError, match=r"text\.safetensors: tensor 'line/slope' \[8, 8\]"):
        load_bundle(bundle.path)
    _tensor(bundle.path, "text", "line/slope", lambda x: np.repeat(x[:1], 8, 0))
    _tensor(bundle.path, "text", "phrases/reader", lambda x: x[:-1])
    with pytest.raises(BundleError, match=r"text\.safetensors: tensor 'phrases/reader' \[8, 3\]"):
        load_bundle(bundle.path)
    file = bundle.path / "text.safetensors"
    tensors = {k: v for k, v in load_file(file).items() if not k.startswith("line/")}
    save_file(tensors | {"line": np.zeros(3, np.float32)}, file)
    with pytest.raises(BundleError, match="'line' stands where a group of tensors is expected"):
        load_bundle(bundle.path)


def test_assembling_needs_each_part_once(runs, tmp_path):
    with pytest.raises(BundleError, match="no export of clip"):
        assembly.assemble([r for r in runs if r.name != "clip"], tmp_path / "out")
    with pytest.raises(BundleError, match="'base' is there twice"):
        assembly.assemble([*runs, runs[1]], tmp_path / "out")
    with pytest.raises(BundleError, match="no export here"):
        assembly.assemble([tmp_path], tmp_path / "out")
    with pytest.raises(BundleError, match="'sampling' has zeal"):
        assembly.assemble(runs, tmp_path / "out", sampling={"zeal": 1})
    assert list(tmp_path.iterdir()) == []
