"""The whole evaluation of a bundle of random weights, and the command."""

import dataclasses
import json
import re
import warnings
from typing import ClassVar

import crowd
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle

from rodin_jax import evaluation
from rodin_jax.cameras import orbit
from rodin_jax.data.images import over_white
from rodin_jax.evaluation import bench, faithfulness, judges, page, people, reconstruction
from rodin_jax.evaluation.bench import Bench
from rodin_jax.evaluation.judges import Reader
from rodin_jax.pipeline import RodinPipeline
from rodin_jax.train.probe import answers


@pytest.fixture(scope="module")
def bundle(tmp_path_factory):
    return tiny_bundle.make(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(autouse=True)
def small(monkeypatch):
    """People without a renderer; what avatars look like is one test's business."""
    monkeypatch.setattr(people, "made_up", lambda n, k, views, **_: crowd.make(n, k, 2))
    monkeypatch.setattr(Bench, "look", flat)
    monkeypatch.setattr(Reader, "read", guess)
    monkeypatch.setenv("JAX_COMPILATION_CACHE_DIR", "")


def flat(self, planes, camera, pipeline=None):
    """A picture of one colour, which the planes decide."""
    colour = np.asarray(128 + 100 * np.tanh(np.mean(planes, (0, 1, 2))[:3])).astype(np.uint8)
    return np.broadcast_to(colour, (len(camera.pose), crowd.SIZE, crowd.SIZE, 3))


def guess(self, pictures):
    """Answers that the pictures' colours decide."""
    return [{q: a[int(p.mean()) % len(a)] for q, a in self.probe.questions} for p in pictures]


def looking(bundle, count=4, **changes):
    """A bench, as `evaluate` sets it up."""
    pipeline = RodinPipeline.from_pretrained(bundle)
    options = dict(
        pipeline=pipeline, crowd=crowd.make(2 * count, 2, 2), eye=judges.tower(pipeline.bundle),
        reader=None, store=None, rivals={}, count=count, seed=0, batch=4,
        track=lambda iterable, what: iterable,
    )  # fmt: skip
    return Bench(**options | changes)


def numbers(value):
    """All numbers in a document."""
    if isinstance(value, dict | list):
        for item in value.values() if isinstance(value, dict) else value:
            yield from numbers(item)
    elif isinstance(value, int | float) and not isinstance(value, bool):
        yield value


def test_the_command_writes_a_page_and_its_figures(rodin, bundle, tmp_path):
    probe = crowd.write_probe(tmp_path / "probe")
    out = tmp_path / "out"
    names = "samples,photo,text,editing,interpolation,trajectory,ablations,neighbours"
    code, said, err = rodin(
        "evaluate", "--bundle", bundle, "--probe", probe, "--count", 4, "--only", names,
        "--compare", f"A={bundle}", "--out", out, "--json",
    )  # fmt: skip
    assert code == 0, err
    assert sorted(path.name for path in out.iterdir()) == ["report.html", "report.json"]
    document = json.loads((out / "report.json").read_text())
    assert json.loads(said) == document and said.count("\n") == 1
    assert set(document["sections"]) == set(names.split(",")) and err == ""
    assert document["skipped"] == {"timing": "not asked for"}
    assert document["settings"]["count"] == 4 and document["bundle"]["preset"] == "smoke"

    html = (out / "report.html").read_text()
    assert "Left out, timing: not asked for." in html and "image tower" in html
    sources = re.findall(r'src="(.{22})', html)
    assert len(sources) > 40 and set(sources) == {"data:image/png;base64,"}
    rows = {name: section for name, section in document["sections"].items()}
    shown = [*rows["samples"]["rows"], *rows["photo"]["rows"], *rows["ablations"]["rows"]]
    keys = ("fid", "kid", "psnr", "ssim", "perceptual")
    for value in numbers([{k: row[k] for k in keys if k in row} for row in shown]):
        assert f"<td>{page.shown(value)}</td>" in html
    for row in [*rows["text"]["by_attribute"], *rows["editing"]["edits"]]:
        share = row.get("ours", row.get("appears"))
        assert f"<td>{page.shown(share, '%')}</td>" in html

    # The same bundle from the same seeds is the same: neither is better.
    this, other = rows["ablations"]["rows"]
    assert this["fid"] == other["fid"] and rows["ablations"]["ordering"] == "this bundle ≈ A"
    assert rows["photo"]["rows"][0]["guidance"] == 1.0 and len(rows["photo"]["rows"]) == 5


def test_bad_requests_are_one_line_and_leave_nothing(rodin, bundle, tmp_path):
    for arguments, code, message in (
        (["--only", "samples,colours"], 2, "no section 'colours'"),
        (["--count", 3], 2, "count must be 4"),
        (["--seed", -1], 2, "the seed of an evaluation"),
        (["--compare", "A"], 2, "expected NAME=BUNDLE"),
        (["--compare", "A=/no/such"], 1, "/no/such"),
        (["--probe", tmp_path], 1, "no export here"),
        (["--probe", bundle.parent / "runs" / "clip"], 1, "holds the part 'clip'"),
        (["--planes", tmp_path], 1, "store.json"),
        (["--vgg", tmp_path / "none"], 1, "none"),
    ):
        got, out, err = rodin("evaluate", "--bundle", bundle, "--out", tmp_path / "x", *arguments)
        assert (got, out, err.count("\n")) == (code, "", 1), err
        assert message in err
    assert [path.name for path in tmp_path.iterdir()] == []


def test_sections_that_lack_something_say_so(bundle):
    found = evaluation.evaluate(bundle, only=["text", "ablations"], count=4)
    assert not found.sections
    assert found.document["skipped"]["text"] == "no probe was given, and the bundle has none"
    assert found.document["skipped"]["ablations"] == "no other bundles were given"


def test_many_avatars_at_once_are_those_made_alone(bundle):
    pipeline = RodinPipeline.from_pretrained(bundle)
    seeds = [3, 9, 4]
    z = jnp.concatenate([pipeline.latent(seed=seed) for seed in seeds])
    look = looking(bundle)
    together = list(look.make(z, bench.alone(seeds)))
    assert len(together) == 3
    for planes, seed in zip(together, seeds, strict=True):
        (avatar,) = pipeline.generate(seed=seed)
        np.testing.assert_allclose(planes, avatar.planes, atol=2e-3)


def test_true_pictures_are_fully_faithful_to_their_sentences(bundle, monkeypatch):
    truth = {}
    for subject in crowd.make(12, 0, 1).people:
        truth[over_white(subject.front).tobytes()] = answers(subject.attributes)

    class Oracle(Reader):
        name = "an oracle"
        unseen: ClassVar = {}

        def __init__(self):
            pass

        def read(self, pictures):
            nothing = dict.fromkeys(judges.JUDGED.values(), "?")
            return [nothing | truth[picture.tobytes()] for picture in pictures]

    look = looking(bundle, 6, reader=Oracle())
    monkeypatch.setattr(Bench, "fronts", lambda self, z, noise, what: self.real[: len(noise)])
    with warnings.catch_warnings(action="ignore"):
        figures = faithfulness.measure(look).figures
    assert figures["mean"]["ratio"] == figures["mean"]["ours"] == 1.0
    assert all(row["ours"] == 1.0 for row in figures["whole_prompts"])
    # The tiny vocabulary does not know most words, and the report names them.
    assert figures["unknown_words"]
    for sentence, words in figures["unknown_words"].items():
        assert words and all(word in sentence for word in words)


def test_avatars_are_looked_at_as_they_render(bundle, monkeypatch):
    monkeypatch.undo()
    ball = tiny_bundle.ball(16)
    look = looking(bundle)
    part = dataclasses.replace(
        look.pipeline.bundle.parts["decoder"], module=ball.decoder, params=ball.params
    )
    look.pipeline.bundle.parts["decoder"] = part
    cameras = orbit(np.array([0.0, 120.0]), np.array([0.0, 20.0]), crowd.SIZE, fov=40.0)
    seen = look.look(ball.planes, cameras)
    drawn = ball.render([0.0, 120.0], [0.0, 20.0], crowd.SIZE)
    # Colours are cut at white before or after they are put in front of it.
    assert np.abs(seen.astype(int) - drawn).max() <= 4
    assert np.abs(seen[0].astype(int) - seen[1]).max() > 100


def test_a_perfect_reconstruction_has_no_error(bundle):
    look = looking(bundle)
    views = np.random.default_rng(0).integers(0, 256, (2, 32, 32, 3), np.uint8)
    psnr, ssim, apart = reconstruction.compare(look, views, views)
    assert psnr == 100 and ssim == pytest.approx(1.0) and apart == pytest.approx(0.0, abs=1e-6)
    shifted = np.clip(views.astype(int) + 10, 0, 255).astype(np.uint8)
    psnr, ssim, apart = reconstruction.compare(look, shifted, views)
    assert 27 < psnr < 30 and ssim < 1 and apart > 0


def test_a_bundle_may_carry_its_probe(tmp_path, monkeypatch):
    monkeypatch.undo()
    runs = [*tiny_bundle.exports(tmp_path / "runs"), crowd.write_probe(tmp_path / "probe")]
    made = tiny_bundle.assemble(runs, tmp_path / "bundle", preset="smoke")
    own = judges.find_reader(None, made)
    assert own.name == "the bundle's own" and own.held_out("glasses") == 0.5
    outside = judges.find_reader(tmp_path / "probe", made)
    assert outside.probe == own.probe and outside.name == str(tmp_path / "probe")

    def second(_probe, _params, images, **_):
        assert images.shape == (2, crowd.SIZE, crowd.SIZE, 3) and images.dtype == np.uint8
        return np.ones((2, len(own.probe.questions)), np.int32)

    monkeypatch.setattr(judges.probing, "predict", second)
    # Pictures of another size are brought to the probe's own.
    said = own.read(np.zeros((2, 2 * crowd.SIZE, 2 * crowd.SIZE, 3), np.uint8))
    assert said[0] == {question: answers[1] for question, answers in own.probe.questions}


def test_unseen_people_are_drawn_once_and_are_not_the_data_sets(tmp_path, monkeypatch):
    monkeypatch.undo()
    drawn = []

    def draw(spec, cameras, size):
        drawn.append(spec)
        return np.full((len(cameras.pose), size, size, 4), spec.detail % 256, np.uint8)

    monkeypatch.setattr(people.render_subjects, "_draw", lambda source: draw)
    options = dict(size=16, seed=3, cache=tmp_path, processes=1)
    first = people.made_up(3, 2, 4, **options)
    assert len(drawn) == 5
    again = people.made_up(3, 2, 4, **options)
    assert len(drawn) == 5
    for a, b in zip(first.people, again.people, strict=True):
        assert a.id == b.id and np.array_equal(a.views, b.views)
    assert [p.id for p in first.people] == [f"{people.WORLD + 3}-{i:06d}" for i in range(3)]
    assert first.around[1].attributes == first.people[1].attributes
    assert first.around[0].views.shape == (4, 16, 16, 4)
    assert first.around[0].cameras.pose.shape == (4, 4, 4)
    assert len(first.learned) == 0 and first.origin.endswith("which no data set uses")
