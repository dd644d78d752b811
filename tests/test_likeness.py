"""Planes corrected by pictures: what was asked for appears, and no more than it must changes."""

import dataclasses

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle

from rodin_jax import assembly, likeness
from rodin_jax.avatar import Avatar
from rodin_jax.likeness import Looks
from rodin_jax.nn.bend import Bend
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.eigenplanes import EigenPlanes
from rodin_jax.nn.line import Line
from rodin_jax.pipeline import PromptWarning, RequestError, RodinPipeline
from rodin_jax.portrait import SIZE as SIDE
from rodin_jax.portrait import portrait_of

SIZE, LOW, DIM = 16, 8, 8
KEYS = jax.random.key(0)[None]
SWELL, BLUSH = 0, 1  # the eigenplanes of the ball: one makes it larger, one redder


@pytest.fixture(scope="module")
def ball():
    return tiny_bundle.ball(SIZE)


@pytest.fixture(scope="module")
def looks(ball):
    basis = np.zeros((3, LOW, LOW, 2, 2), np.float32)
    basis[..., 0, SWELL], basis[..., 1, BLUSH] = -1, -1
    basis = basis.reshape(-1, 2) / np.sqrt(3 * LOW * LOW)
    line = Line(jnp.zeros(2), jnp.ones(2), jnp.zeros((DIM, 2)), jnp.ones(2))
    eigen = EigenPlanes(jnp.asarray(basis.T), jnp.zeros(len(basis)), line)
    tower = Clip(4, DIM, 16, 8, (1,), text_width=8, text_layers=1, text_heads=1, text_length=4)
    inputs = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 4), jnp.int32)
    params = tower.init(jax.random.key(0), *inputs)["params"]
    scale = jnp.ones((3, 2))
    return Looks(
        eigen, scale, ball.params, params, jnp.zeros(DIM), jnp.ones(DIM), ball.decoder, tower
    )  # fmt: skip


@pytest.fixture(scope="module")
def other(ball, looks):
    """The ball, larger and redder."""
    return dataclasses.replace(ball, planes=looks.moved(ball.planes, jnp.array([0.8, 1.5])))


def picture(avatar: Avatar, **options) -> np.ndarray:
    return avatar.render(0.0, 0.0, SIDE, background=None, **options)


def alone(portrait):
    return jax.tree.map(lambda x: x[None], portrait)


def resembling(looks: Looks, avatar: Avatar, portrait, **options):
    """The avatar's planes, corrected along the eigenplanes."""
    z = jnp.ones((1, DIM))
    return likeness.toward_portraits(
        looks, avatar.planes[None], z, alone(portrait), KEYS, steps=40, **options
    )[0]


def apart(a: Avatar, b: Avatar) -> float:
    return float(np.mean((picture(a) / 255.0 - picture(b) / 255.0) ** 2))


def test_a_portrait_is_resembled_by_moving_along_the_eigenplanes(ball, looks, other):
    found = resembling(looks, ball, portrait_of(picture(other)), strictness=1e-4)
    assert apart(dataclasses.replace(ball, planes=found), other) < 0.1 * apart(ball, other)
    # Nothing moves outside of their span.
    change = (found - ball.planes).reshape(-1, 2)
    np.testing.assert_allclose(change, jnp.broadcast_to(change[0], change.shape), atol=1e-4)


def test_strictness_holds_planes_back(ball, looks, other):
    portrait = portrait_of(picture(other))
    moved = [resembling(looks, ball, portrait, strictness=s) - ball.planes for s in (1e-4, 1e4)]
    assert float(jnp.abs(moved[1]).max()) < 0.05 * float(jnp.abs(moved[0]).max())


def test_a_latent_is_read_off_the_front(ball, looks, other):
    z, keys = jnp.ones((2, DIM)), jax.random.split(jax.random.key(1), 2)
    both = jnp.stack([ball.planes, other.planes])
    seen = likeness.latents(looks, both, keys)
    wanted = seen[::-1]
    found = likeness.toward_latents(looks, both, z, wanted, keys, steps=40, strictness=1e-5)

    def far(planes):
        said = likeness.latents(looks, planes, keys)
        cosine = (said * wanted).sum(-1) / jnp.linalg.norm(said, axis=-1)
        return 1 - cosine / jnp.linalg.norm(wanted, axis=-1)

    assert (far(found) < 0.2 * far(both)).all()


def test_texels_take_what_the_eigenplanes_have_not(ball, looks):
    planes = ball.planes.at[0, : SIZE // 2, :, 1].add(1.5)  # blue on one side
    other = dataclasses.replace(ball, planes=planes)
    portrait = portrait_of(picture(other))
    near = resembling(looks, ball, portrait)
    (found,) = likeness.retouch(looks, near[None], alone(portrait), KEYS, steps=100)
    before, after = (apart(dataclasses.replace(ball, planes=p), other) for p in (near, found))
    assert after < 0.2 * before


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("looking")
    runs = tiny_bundle.exports(folder / "runs")
    runs.append(tiny_bundle.eigenplanes_export(folder / "eigenplanes"))
    looking = {"look_steps": 4, "portrait_steps": 4, "retouch_steps": 4, "spread": 0.5}
    sampling = tiny_bundle.SAMPLING | looking
    return RodinPipeline(
        assembly.assemble(runs, folder / "bundle", preset="smoke", sampling=sampling)
    )


def test_a_pipeline_looks_at_what_it_makes(pipeline, other):
    quiet = RodinPipeline(
        dataclasses.replace(
            pipeline.bundle, sampling=dataclasses.replace(pipeline.bundle.sampling, look_steps=0)
        )
    )
    one, blind = (p.generate(seed=5)[0] for p in (pipeline, quiet))
    assert one.recipe == dataclasses.replace(blind.recipe) and quiet.looks is None
    assert jnp.isfinite(one.planes).all() and not jnp.allclose(one.planes, blind.planes)
    np.testing.assert_array_equal(one.planes, pipeline.generate(seed=5)[0].planes)
    cut_out = picture(other)
    mine = pipeline.generate(image=cut_out, seed=5)[0]
    room = np.random.default_rng(0).integers(0, 255, (64, 64, 3), np.uint8)
    with pytest.warns(PromptWarning, match="cannot be told"):
        roomy = pipeline.generate(image=room, seed=5)[0]
    assert all(jnp.isfinite(a.planes).all() for a in (mine, roomy))


def test_planes_follow_latents_by_the_way_they_are_foretold(ball, looks):
    key = jax.random.split(jax.random.key(3), 4)
    bend = Bend(
        *(jax.random.normal(k, s) for k, s in zip(key, [(DIM, 3), (5, 3), (5, 2)], strict=False))
    )
    line = dataclasses.replace(
        looks.eigenplanes.line, slope=jax.random.normal(key[3], (DIM, 2)), bend=bend
    )
    bent = dataclasses.replace(looks, eigenplanes=dataclasses.replace(looks.eigenplanes, line=line))
    z, delta = jnp.full((1, DIM), 0.1), 0.2 * jnp.ones((1, DIM))
    there = likeness.along(bent, ball.planes[None], z, delta)
    low = (there[0] - ball.planes)[:, ::2, ::2]  # the eigenplanes are flat: resizing keeps them
    moved = looks.eigenplanes.coefficients(low)
    np.testing.assert_allclose(moved, line.prior(z + delta)[0][0] - line.prior(z)[0][0], rtol=1e-4)
    back = likeness.along(bent, there, z + delta, -delta)
    np.testing.assert_allclose(back[0], ball.planes, atol=1e-4)
    assert not np.allclose(moved, (delta @ line.slope)[0], rtol=1e-2)


def test_edits_change_little_but_what_they_change_a_lot(ball, looks):
    rng = np.random.default_rng(0)
    change = 0.01 * rng.standard_normal(ball.planes.shape).astype(np.float32)
    change[0, 2:7, 3:8] += 1.0
    before = jnp.asarray(ball.planes)
    after = before + change
    np.testing.assert_allclose(likeness.focused(looks, before[None], after[None], 0.0)[0], after)
    left = np.asarray(likeness.focused(looks, before[None], after[None], 0.25)[0] - before)
    far = np.ones(change.shape[:3], bool)
    far[0, 1:8, 2:9] = False
    np.testing.assert_array_equal(left[far], 0)
    # As the definition has it, texel by texel.
    whole = np.square(change).mean(-1)
    near = np.zeros_like(whole)
    for p, i, j in np.ndindex(*whole.shape):
        near[p, i, j] = whole[p, max(i - 1, 0) : i + 2, max(j - 1, 0) : j + 2].mean()
    m = np.sqrt(near)
    share = np.maximum(0, 1 - (0.25 * np.quantile(m, 0.99) / m) ** 2)
    np.testing.assert_allclose(left, change * share[..., None], atol=2e-4)
    assert share[0, 3:6, 4:7].min() > 0.9


def test_corrections_survive_edits_and_fade_along_interpolations(pipeline, other):
    mine = pipeline.generate(image=picture(other), seed=5)[0]
    edited = pipeline.edit(mine, "red hair")
    unchanged = pipeline.edit(mine, "red hair", strength=0.0)
    np.testing.assert_array_equal(unchanged.planes, mine.planes)
    assert edited.recipe.noise == mine.recipe.noise and edited.recipe.z != mine.recipe.z
    again = pipeline.planes(
        jnp.asarray(mine.recipe.z, jnp.float32)[None], [mine.recipe.noise], look=False
    )[0]
    apart = [float(jnp.square(edited.planes - x).mean()) for x in (mine.planes, again)]
    assert apart[0] < apart[1]
    first, middle, last = pipeline.interpolate(mine, edited, 3)
    np.testing.assert_allclose(first.planes, mine.planes, atol=1e-4)
    np.testing.assert_allclose(last.planes, edited.planes, atol=1e-4)
    assert jnp.isfinite(middle.planes).all()


def test_avatars_of_other_planes_are_refused(pipeline):
    avatar = pipeline.generate(seed=1)[0]
    small = dataclasses.replace(avatar, planes=avatar.planes[:, :8, :8])
    with pytest.raises(RequestError, match="made by another bundle"):
        pipeline.edit(small, "red hair")
