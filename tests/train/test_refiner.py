"""The refiner stage: what its pairs show, what its loss sees, and the road to a refined picture."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import tiny_bundle

from rodin_jax import assembly, triplanes
from rodin_jax.cameras import image_rays, orbit
from rodin_jax.data import avatars, builder
from rodin_jax.data.images import on_white
from rodin_jax.data.planes import FittedSubject, PlanesWriter
from rodin_jax.nn.refiner import Refiner, enlarge
from rodin_jax.nn.upsampler import Upsampler
from rodin_jax.pipeline import RodinPipeline
from rodin_jax.train import export, refiner, view_pairs

SIZE, TARGET = 32, (0.25, 0.0, 0.2)


def cameras_of(count, size):
    """Off-centre, so that a mirrored or shifted picture is another one."""
    places = jnp.arange(count) * 50.0
    return orbit(places - 40, jnp.full(count, 10.0), size, fov=40.0, target=TARGET)


def true_ball(camera, size, zoom=4):
    """Straight RGBA of `tiny_bundle.ball`, from where rays meet a sphere."""
    fine = camera.__class__(camera.pose, camera.focal * zoom, camera.centre * zoom)
    rays = image_rays(fine, size * zoom, size * zoom)
    origins, directions = np.asarray(rays.origins), np.asarray(rays.directions)
    along = (origins * directions).sum(-1)
    inside = along**2 - (origins**2).sum(-1) + tiny_bundle.BALL_RADIUS**2
    depth = -along - np.sqrt(np.maximum(inside, 0))
    front = (origins + depth[..., None] * directions)[..., 1] < 0
    rgb = np.where(front[..., None], [255, 0, 0], [0, 0, 255])
    rgba = np.dstack([rgb, np.where(inside > 0, 255, 0)]).reshape(size, zoom, size, zoom, 4)
    alpha = rgba[..., 3:] / 255
    colour = (rgba[..., :3] * alpha).sum((1, 3)) / np.maximum(alpha.sum((1, 3)), 1)
    return np.dstack([colour, rgba[..., 3].mean((1, 3))]).round().astype(np.uint8)


@pytest.fixture(scope="module", autouse=True)
def coarse_grid():
    """Surveys of balls need not be as fine as those of people."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(view_pairs, "_GRID", 32)
        yield


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Balls in the place of people: ids 0-000000 to 0-000002 train."""

    def render(spec, cameras, size):
        each = [jax.tree.map(lambda x, i=i: x[i], cameras) for i in range(len(cameras.pose))]
        return np.stack([true_ball(camera, size) for camera in each])

    out = tmp_path_factory.mktemp("balls")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(avatars, "render", render)
        patch.setattr(avatars, "front_camera", lambda size: orbit(0.0, 0.0, size))
        patch.setattr(
            avatars, "training_cameras", lambda s, i, views, size: cameras_of(views, size)
        )
        builder.generate("smoke", 5, out, views=3, size=SIZE, processes=1, progress=False)
    return out


@pytest.fixture(scope="module")
def planes_dir(tmp_path_factory):
    """What a fit leaves of them; the first id is nobody's."""
    folder, ball = tmp_path_factory.mktemp("fit"), tiny_bundle.ball()
    front = np.zeros((8, 8, 4), np.uint8)
    with PlanesWriter(folder / "planes", decoder_hash="ball") as writer:
        for name in ("someone", "0-000001", "0-000000", "0-000002"):
            planes = np.asarray(ball.planes, np.float16)
            writer.write(FittedSubject(name, planes, ("a ball",), {}, front, 30.0))
    model = {"width": 4, "octaves": 0, "view_dependent": False}
    export.write_export(folder, "decoder", model, ball.params)
    return folder


@pytest.fixture(scope="module")
def upsampler_dir(tmp_path_factory):
    """An untrained upsampler 8 -> 16 whose two sizes have scales of their own."""
    folder = tmp_path_factory.mktemp("upsampler")
    model = {"out_channels": 2, "channels": 4, "blocks": 1, "factor": 2, "conv": "plane"}
    high, low = jnp.zeros((1, 3, 16, 16, 2)), jnp.zeros((1, 3, 8, 8, 2))
    shapes = jax.eval_shape(Upsampler(**model).init, jax.random.key(0), high, low, jnp.zeros(1))
    params = jax.tree.map(lambda x: np.zeros(x.shape, np.float32), shapes["params"])
    params["low_gain"] += 1  # what it adds to the resized low planes starts at zero
    arrays = {
        f"statistics/{size}/{name}": np.full((3, 2), value, np.float32)
        for size, mean, std in ((8, 0.1, 0.5), (16, 0.0, 1.0))
        for name, value in {"mean": mean, "std": std, "low": -2.0, "high": 2.0}.items()
    }
    process = {"schedule": "linear", "steps": 50, "prediction": "x0", "learned_variance": False}
    export.write_export(folder, "upsampler", model, params, process, arrays)
    return folder


@pytest.fixture(scope="module")
def pairs(data, planes_dir, tmp_path_factory):
    return view_pairs.draw_pairs(planes_dir, data, tmp_path_factory.mktemp("pairs"))[0]


def centre_of(rgba):
    """Where the subject is, in edges of the picture."""
    y, x = (np.mgrid[: len(rgba), : len(rgba)] + 0.5) / len(rgba)
    alpha = rgba[..., 3] / rgba[..., 3].sum()
    return (alpha * x).sum(), (alpha * y).sum()


def test_a_pair_shows_the_same_thing_twice(pairs):
    assert len(pairs) == 9 and pairs.low.shape == (3, 3, 16, 16, 4)
    assert pairs.high.shape == (3, 3, 32, 32, 4)
    for pair in pairs:
        seen, truth = centre_of(pair["low"]), centre_of(pair["high"])
        assert abs(truth[0] - 0.5) > 0.05 or abs(truth[1] - 0.5) > 0.05
        np.testing.assert_allclose(seen, truth, atol=0.01)
        large = np.asarray(enlarge(jnp.asarray(on_white(pair["low"]))[None])[0])
        assert np.abs(large - on_white(pair["high"])).mean() < 0.04
    with pytest.raises(IndexError):
        pairs[9]


def test_pairs_are_drawn_once_and_of_some_views(data, planes_dir, tmp_path, monkeypatch):
    draw = functools.partial(view_pairs.draw_pairs, planes_dir, data, tmp_path)
    few, folder = draw(subjects=2, views=2)
    assert few.high.shape == (2, 2, 32, 32, 4)
    assert isinstance(few.low, np.memmap)  # read where it is looked at
    people = builder.load_subjects(data)
    np.testing.assert_array_equal(few.high[1], people[1].views[[0, 2]])
    monkeypatch.setattr(view_pairs, "_view", None)  # nothing is drawn again
    again, same = draw(subjects=2, views=2)
    assert same == folder
    np.testing.assert_array_equal(again.low, few.low)
    assert [len(part) for part in few.split(1)] == [2, 2]
    assert [len(part) for part in few.split(9)] == [2, 2]


def test_pairs_say_what_is_missing(data, planes_dir, fit_run, tmp_path):
    with pytest.raises(ValueError, match="shows none of the people"):
        view_pairs.draw_pairs(fit_run, data, tmp_path)
    with pytest.raises(ValueError, match=r"data_dir is empty"):
        view_pairs.draw_pairs(planes_dir, "", tmp_path)
    with pytest.raises(ValueError, match="holds the part 'decoder'"):
        view_pairs.draw_pairs(planes_dir, data, tmp_path, upsampler_dir=planes_dir, upsampled=1.0)


def test_upsampled_planes_are_what_the_upsampler_predicts(upsampler_dir):
    predict = view_pairs.upsampled_by(upsampler_dir)
    planes = jax.random.normal(jax.random.key(0), (3, 32, 32, 2))
    got = predict(planes, jax.random.key(1))
    # Untrained, it resizes the low planes, each size in its own scale and clipped to its range.
    low = (jnp.clip(triplanes.resize(planes, 8), -2, 2) - 0.1) / 0.5
    np.testing.assert_allclose(got, jnp.clip(triplanes.resize(low, 16), -2, 2), atol=1e-4)


def test_a_patch_is_cut_from_the_same_place_twice():
    y, x = np.mgrid[:10, :12].astype(np.uint8)
    low = np.stack([y, x, y, np.where(x < 6, 255, 0).astype(np.uint8)], axis=-1)
    pair = {"low": low, "high": low.repeat(2, 0).repeat(2, 1)}
    rng, flipped, covered = np.random.default_rng(0), 0, []
    for _ in range(40):
        got = view_pairs.cut_patch(pair, rng, patch=4, tries=4)
        assert got["low"].shape == (4, 4, 4) and got["high"].shape == (8, 8, 4)
        np.testing.assert_array_equal(got["high"], got["low"].repeat(2, 0).repeat(2, 1))
        step = int(got["low"][0, 1, 1]) - int(got["low"][0, 0, 1])
        flipped += step == -1
        assert step in (-1, 1)
        covered.append((got["low"][..., 3] > 0).mean())
    assert 10 <= flipped <= 30
    # One place of nine shows the left half alone with probability 3/9; the best of four mostly.
    assert np.mean(np.array(covered) == 1) > 0.6
    with pytest.raises(ValueError, match="patches of 11 pixels"):
        view_pairs.cut_patch(pair, rng, patch=11)


def test_the_loss_sees_both_pictures_on_one_background():
    rng = np.random.default_rng(0)
    batch = {
        "low": rng.integers(0, 256, (64, 2, 2, 4), np.uint8),
        "high": rng.integers(0, 256, (64, 4, 4, 4), np.uint8),
    }
    batch["low"][..., 3] = 0  # nothing but background
    batch = {name: jnp.asarray(picture) for name, picture in batch.items()}
    noted = {}

    def spy(variables, low):
        noted["low"] = low
        return enlarge(low) + variables["params"]

    features = lambda pictures: [pictures.mean((1, 2))[:, None, None]]  # noqa: E731
    options = {"mse": 3.0, "perceptual": 0.5, "features": features}
    for share in (0.0, 0.5):
        loss_fn = refiner.make_loss(spy, coloured=share, **options)

        @jax.jit
        def run(batch):
            return *loss_fn(jnp.zeros(()), batch, jax.random.key(0)), noted["low"]  # noqa: B023

        total, parts, seen = run(batch)
        seen = np.asarray(seen)
        np.testing.assert_array_equal(seen, np.broadcast_to(seen[:, :1, :1], seen.shape))
        white = (seen == 1).all((1, 2, 3))
        assert white.all() if share == 0 else 0.3 < white.mean() < 0.7
        background = seen[:, :1, :1]
        alpha = batch["high"][..., 3:] / 255
        truth = batch["high"][..., :3] / 255 * alpha + background * (1 - alpha)
        error = np.mean((background - truth) ** 2)
        level = np.mean((background.mean((1, 2)) - truth.mean((1, 2))) ** 2)
        np.testing.assert_allclose(parts["mse"], error, rtol=1e-5)
        np.testing.assert_allclose(parts["perceptual"], level, rtol=1e-5)
        np.testing.assert_allclose(total, 3 * error + level / 2, rtol=1e-5)


def test_from_pairs_to_a_refined_picture(
    data, planes_dir, upsampler_dir, clip_run, get_config, tmp_path
):
    config = get_config("refiner", "smoke")
    config.data_dir, config.planes_dir = str(data), str(planes_dir)
    config.upsampler_dir, config.clip_dir = str(upsampler_dir), str(clip_run)
    config.devices, config.steps, config.learning_rate = 1, 40, 4e-3
    refiner.run(config, tmp_path / "refiner")
    got = export.read_export(tmp_path / "refiner")
    assert got.part == "refiner" and "image tower" in got.trained["perceptual"]
    assert got.trained["sizes"] == [16, 32] and got.trained["pairs"] == 6
    # The soft rim of a rendered ball becomes a sharp one, also of a subject it has not seen.
    assert got.trained["unseen_pairs"] == 3
    assert got.trained["psnr_refined"] > got.trained["psnr_resized"] + 0.3
    assert not list((tmp_path / "refiner").glob("pairs-*"))
    assert list((tmp_path / "refiner" / "samples").glob("samples_*.png"))

    runs = tiny_bundle.exports(tmp_path / "runs")
    bundle = assembly.assemble([*runs, tmp_path / "refiner"], tmp_path / "bundle")
    assert bundle.parts["refiner"].trained["sizes"] == [16, 32]
    ball = tiny_bundle.ball()
    with pytest.raises(ValueError, match="no refiner"):
        ball.render(size=SIZE, refine=True)
    ball = RodinPipeline(bundle).with_refiner(ball)
    options = {"azimuth": [-40, 10], "elevation": 10, "size": SIZE}
    refined = ball.render(**options, refine=True)
    assert refined.shape == (2, SIZE, SIZE, 3) and refined.dtype == np.uint8
    small = jnp.asarray(ball.render(**options | {"size": SIZE // 2}) / np.float32(255))
    by_hand = Refiner(**got.model).apply({"params": bundle.parts["refiner"].params}, small)
    # What is refined has not been rounded to 256 levels before.
    assert np.abs(refined - 255.0 * np.clip(by_hand, 0, 1)).mean() < 1
    assert np.abs(refined - 255.0 * np.asarray(enlarge(small))).max() > 10


@pytest.mark.parametrize("preset", ["smoke", "nano", "small", "paper"])
def test_every_preset_describes_a_network(get_config, preset):
    config = get_config("refiner", preset)
    shape = (1, config.patch, config.patch, 3)
    model = Refiner(**{**config.model.to_dict(), "blocks": 1})
    out, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), jnp.zeros(shape))
    assert out.shape == (1, 2 * config.patch, 2 * config.patch, 3)
    if preset == "paper":  # the upsampler's, that it is trained jointly with
        assert (config.learning_rate, config.batch_size, config.ema_decay) == (5e-5, 16, 0.9999)
