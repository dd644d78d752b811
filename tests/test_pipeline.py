"""The whole road on random weights: seeds, conditions, guidance, editing, interpolation."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle

from rodin_jax import assembly, sampling
from rodin_jax.avatar import Avatar
from rodin_jax.bundle import BundleError, Part
from rodin_jax.data.images import ImageError, encode_png
from rodin_jax.diffusion import samplers, schedules
from rodin_jax.nn import tokenizer
from rodin_jax.pipeline import PromptWarning, RequestError, RodinPipeline
from rodin_jax.train.export import write_export

PROMPT = "a smiling woman with curly red hair"


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    return RodinPipeline.from_pretrained(tiny_bundle.make(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(scope="module")
def woman(pipeline):
    return pipeline.generate(PROMPT, seed=3)[0]


def same(a: Avatar, b: Avatar) -> bool:
    return a.recipe.z == b.recipe.z and bool(jnp.array_equal(a.planes, b.planes))


def test_the_same_seed_gives_the_same_avatar_and_others_differ(pipeline, woman):
    three, four = pipeline.generate(PROMPT, seed=3, num=2)
    assert same(three, woman) and four.recipe.seed == 4
    assert same(four, pipeline.generate(PROMPT, seed=4)[0])
    assert not jnp.allclose(three.planes, four.planes, atol=0.1)
    assert woman.planes.shape == (3, 16, 16, 4) and jnp.isfinite(woman.planes).all()
    assert woman.recipe.bundle == pipeline.bundle.hash and woman.recipe.prompt == PROMPT


def test_nothing_a_prompt_and_a_picture_condition_differently(pipeline, woman, tmp_path):
    picture = np.random.default_rng(0).integers(0, 255, (20, 24, 3), np.uint8)
    (tmp_path / "me.png").write_bytes(encode_png(picture))
    free = pipeline.generate(seed=3)[0]
    mine = pipeline.generate(image=picture, seed=3)[0]
    assert len({free.recipe.z, mine.recipe.z, woman.recipe.z}) == 3
    assert not jnp.allclose(free.planes, mine.planes, atol=1e-3)
    from_file = pipeline.generate(image=tmp_path / "me.png", seed=3)[0]
    np.testing.assert_allclose(from_file.planes, mine.planes, atol=1e-4)
    assert from_file.recipe.image == "me.png"


def test_guidance_of_one_is_the_plain_conditional_model(pipeline):
    bundle, part = pipeline.bundle, pipeline.bundle.parts["base"]
    diffuser = pipeline._diffuser("base", 3)
    z = jax.random.normal(jax.random.key(0), (1, tiny_bundle.DIM))
    noise = jax.random.normal(jax.random.key(1), (1, 3, 8, 8, 4))
    key = jax.random.key(2)

    def plain(latent):
        return samplers.dpm_solver(
            lambda x, t: part.module.apply({"params": part.params}, x, t, latent),
            noise,
            schedules.make("cosine", 20),
            steps=3,
            learned_variance=True,
            clip=bundle.low.bounds(),
        )

    guided = [
        sampling.base_planes(diffuser, part.params, bundle.low, z, noise, scale, key)
        for scale in (1.0, 0.0, 3.0)
    ]
    # A noise predictor multiplies rounding by 1/SNR, so two programs agree to a little less.
    np.testing.assert_allclose(guided[0], plain(z), atol=1e-3)
    np.testing.assert_allclose(guided[1], plain(jnp.zeros_like(z)), atol=1e-3)
    assert float(jnp.abs(guided[2] - guided[0]).max()) > 1e-3


def test_an_edit_moves_the_latent_and_keeps_the_noise(pipeline, woman):
    assert same(pipeline.edit(woman, "round glasses", strength=0.0), woman)
    assert same(pipeline.edit(woman, "glasses", source="glasses"), woman)
    edited = pipeline.edit(woman, "round glasses")
    assert edited.recipe.noise == woman.recipe.noise and edited.recipe.seed == 3
    assert edited.recipe.guidance == woman.recipe.guidance
    assert edited.recipe.z != woman.recipe.z and not same(edited, woman)


def test_an_avatar_can_be_edited_after_a_round_trip(pipeline, woman, tmp_path):
    loaded = Avatar.load(woman.save(tmp_path / "woman", media=None))
    assert same(pipeline.edit(loaded, "red hair"), pipeline.edit(woman, "red hair"))


def test_interpolation_starts_and_ends_at_its_ends(pipeline, woman):
    other = pipeline.generate(seed=9)[0]
    first, middle, last = pipeline.interpolate(woman, other, 3)
    np.testing.assert_allclose(first.planes, woman.planes, atol=1e-4)
    np.testing.assert_allclose(last.planes, other.planes, atol=1e-4)
    assert dict(middle.recipe.noise) == pytest.approx({3: 0.5**0.5, 9: 0.5**0.5})
    edited = pipeline.edit(woman, "round glasses")
    assert all(a.recipe.noise == ((3, 1.0),) for a in pipeline.interpolate(woman, edited, 2))


def test_slerp_keeps_length_and_angle():
    a, b = jnp.array([[2.0, 0.0]]), jnp.array([[0.0, 2.0]])
    third = sampling.slerp(a, b, 1 / 3)
    np.testing.assert_allclose(third[0], 2 * np.array([3**0.5 / 2, 0.5]), rtol=1e-6)
    np.testing.assert_allclose(sampling.slerp(a, 2 * a, 0.5), 1.5 * a, rtol=1e-6)
    np.testing.assert_allclose(sampling.slerp(a, -a, 0.0), a, rtol=1e-6)


def test_mixed_noise_has_unit_variance():
    mixed = sampling.mix(((1, 0.6), (2, 0.8)), ((2, 1.0),), 0.3)
    assert sum(w * w for _, w in mixed) == pytest.approx(1.0)
    draw = sampling.draw(mixed, sampling.BASE, (200, 200))
    np.testing.assert_allclose([draw.mean(), draw.std()], [0, 1], atol=0.02)


def test_latents_from_afar_are_pulled_back():
    z = jax.random.normal(jax.random.key(0), (1, 64))
    np.testing.assert_array_equal(sampling.tame(0.9 * z), 0.9 * z)
    far = sampling.tame(50 * z)
    assert float(jnp.abs(far).max()) <= 3.5
    np.testing.assert_allclose(jnp.linalg.norm(far), 1.25 * 8, rtol=1e-5)


def test_unknown_and_surplus_words_are_warned_of(pipeline):
    assert pipeline.unknown_words("the zebra is in 3 smiling quux.") == ["zebra", "quux"]
    assert pipeline.unknown_words(PROMPT) == []
    with pytest.warns(PromptWarning, match="does not know: 'zebra', 'quux'"):
        pipeline._sentence("a zebra quux person, a zebra")
    with pytest.warns(PromptWarning, match="only the first 10 words"):
        pipeline._sentence("red " * 30)


@pytest.mark.parametrize(
    ("request_", "message"),
    [
        ({"prompt": " \n"}, "prompt is empty"),
        ({"prompt": "word " * 10_000}, "10000 words, expected at most 200"),
        ({"prompt": "x" * 100_000}, "expected at most 200"),
        ({"prompt": "a", "image": "b"}, "not both"),
        ({"seed": -1}, "seeds run from 0"),
        ({"seed": 2**32 - 1, "num": 2}, "seeds run from 0"),
        ({"num": 0}, "num must be"),
        ({"steps": 0}, "steps must be"),
        ({"guidance": float("nan")}, "guidance must be"),
    ],
)
def test_impossible_requests(pipeline, request_, message):
    with pytest.raises(RequestError, match=message):
        pipeline.generate(**request_)


def test_a_refiner_goes_with_every_avatar(pipeline, woman):
    assert woman.refiner is None
    with pytest.raises(RequestError, match="this bundle has no refiner"):
        pipeline.with_refiner(woman)
    net, params = tiny_bundle.refiner()
    parts = pipeline.bundle.parts | {"refiner": Part(net, None, params, {}, {})}
    refining = RodinPipeline(dataclasses.replace(pipeline.bundle, parts=parts))
    edited = refining.edit(woman, "round glasses")
    assert edited.refiner == net and same(edited, pipeline.edit(woman, "round glasses"))
    picture = edited.render(size=16, refine=True)
    assert picture.shape == (16, 16, 3)
    again = refining.with_refiner(pipeline.edit(woman, "round glasses"))
    np.testing.assert_array_equal(again.render(size=16, refine=True), picture)


def test_eigenplanes_speak_where_a_bundle_has_them(woman, tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    runs.append(tiny_bundle.eigenplanes_export(tmp_path / "eigenplanes"))
    options = {"preset": "smoke", "sampling": tiny_bundle.SAMPLING}
    speaking = RodinPipeline(assembly.assemble(runs, tmp_path / "bundle", **options))
    (other,) = speaking.generate(woman.recipe.prompt, seed=woman.recipe.seed)
    assert np.isfinite(other.planes).all() and not same(other, woman)
    (again,) = speaking.generate(woman.recipe.prompt, seed=woman.recipe.seed)
    assert same(other, again)


def test_sentences_follow_a_line_where_a_bundle_has_one(woman, tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    tiny_bundle.add_line(next(run for run in runs if run.name == "text"))
    options = {"preset": "smoke", "sampling": tiny_bundle.SAMPLING}
    pipeline = RodinPipeline(assembly.assemble(runs, tmp_path / "bundle", **options))
    # A network that says nothing leaves a Gaussian; of many latents the line is the mean.
    part = pipeline.bundle.parts["text"]
    silent = jax.tree.map(jnp.zeros_like, part.params)
    sentence, line = pipeline._sentence(PROMPT), pipeline.bundle.sentences
    z = sampling.text_latents(
        pipeline._diffuser("text", 20), silent, *dataclasses.astuple(sentence)[1:],
        jax.random.normal(jax.random.key(0), (4000, tiny_bundle.DIM)), 1.0, jax.random.key(1), line,
    )  # fmt: skip
    np.testing.assert_allclose(z.mean(0), line.latent(sentence.embedding)[0], atol=0.08)
    spread = (z - z.mean(0)) @ line.axes
    np.testing.assert_allclose(spread.var(0), line.line.told, rtol=0.1)
    # The trained one bends it; edits go along the line.
    assert not np.allclose(pipeline.latent(PROMPT, seed=3), woman.recipe.z, atol=1e-2)
    step = pipeline.direction(PROMPT, "a portrait of a person", 2.0)
    origin = pipeline._sentence("a portrait of a person").embedding
    want = 2 * pipeline.bundle.sampling.text_guidance
    want *= line.latent(sentence.embedding) - line.latent(origin)
    np.testing.assert_allclose(step, want, atol=1e-5)


def test_sentences_and_edits_say_what_a_phrasebook_reads(tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    run = next(run for run in runs if run.name == "text")
    tiny_bundle.add_line(run)
    words = tokenizer.train(tiny_bundle.CAPTIONS)
    red, glasses = (words.encode([word], 3)[0, 1] for word in ("red", "glasses"))
    tiny_bundle.add_phrases(run, [red, glasses])
    options = {"preset": "smoke", "sampling": tiny_bundle.SAMPLING}
    pipeline = RodinPipeline(assembly.assemble(runs, tmp_path / "bundle", **options))
    read = lambda z: np.asarray(pipeline.bundle.phrasebook.read(jnp.asarray(z)[None]))[0]  # noqa: E731
    woman = pipeline.generate("a red woman", seed=3)[0]
    assert read(woman.recipe.z)[0] > 0.8
    # Glasses come, she stays red; what the source says and the prompt does not, goes.
    worn = pipeline.edit(woman, "glasses")
    assert (read(worn.recipe.z) > 0.8).all()
    bare = pipeline.edit(worn, "a red person", "glasses")
    assert read(bare.recipe.z)[0] > 0.8 and read(bare.recipe.z)[1] < 0.2
    # Of nobody in particular; sentences without phrases go along the line.
    step = pipeline.direction("red")
    np.testing.assert_allclose(step, pipeline.direction("red", z=jnp.zeros((1, 8))), atol=1e-6)
    line = pipeline.bundle.sentences
    ends = (line.latent(pipeline._sentence(s).embedding) for s in ("a woman", "a portrait"))
    want = pipeline.bundle.sampling.text_guidance * (next(ends) - next(ends))
    np.testing.assert_allclose(pipeline.direction("a woman", "a portrait"), want, atol=1e-5)


def test_latents_of_nobody_may_come_in_other_coordinates(pipeline, tmp_path):
    runs = tiny_bundle.exports(tmp_path / "runs")
    run = next(run for run in runs if run.name == "latent")
    export = assembly.read_export(run)
    spread = np.diag(np.arange(1.0, 9.0)).astype(np.float32) / 1000
    write_export(run, "latent", export.model, export.params, export.process, {"spread": spread})
    options = {"preset": "smoke", "sampling": tiny_bundle.SAMPLING}
    bundle = assembly.assemble(runs, tmp_path / "bundle", **options)
    diffuser, part = pipeline._diffuser("latent", 3), bundle.parts["latent"]
    noise, key = jax.random.normal(jax.random.key(0), (1, 8)), jax.random.key(1)
    u = sampling.free_latent(diffuser, part.params, noise, key)
    z = sampling.free_latent(diffuser, part.params, noise, key, bundle.latent_spread)
    np.testing.assert_allclose(z, u @ spread, rtol=1e-5)
    write_export(run, "latent", export.model, export.params, export.process, {"spread": spread[1:]})
    with pytest.raises(BundleError, match=r"latent\.safetensors: tensor 'spread' \[8, 8\]"):
        assembly.assemble(runs, tmp_path / "damaged", **options)
    plain, spreading = pipeline.latent(seed=5), RodinPipeline(bundle).latent(seed=5)
    assert not np.allclose(plain, spreading, atol=1e-3)


def test_a_fit_has_no_latent_to_edit(pipeline, woman, tmp_path):
    with pytest.raises(RequestError, match="no latent"):
        pipeline.edit(tiny_bundle.ball(), "red hair")
    with pytest.raises(ImageError, match="no such file"):
        pipeline.generate(image=tmp_path / "none.png")
    with pytest.raises(ImageError, match="edges of 16"):
        pipeline.generate(image=np.zeros((4, 90, 3), np.uint8))
    with pytest.raises(ImageError, match="expected uint8 pixels"):
        pipeline.generate(image=np.zeros((64, 64, 3)))
    with pytest.raises(RequestError, match="frames"):
        pipeline.interpolate(woman, woman, 1)
