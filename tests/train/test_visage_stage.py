"""Learning faces from fronts: what can be foretold is, and what cannot is said to be in doubt."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.cameras import Camera
from rodin_jax.data.builder import Subject
from rodin_jax.nn.visage import Visage
from rodin_jax.train import latents, portraits, visage
from rodin_jax.train.export import read_export

HEIGHT, WIDTH, DIM = 4, 5, 6
NOISE = 0.1  # of the lower half of faces


def people(count, seed=0):
    """Faces whose upper half follows latents, by a line and a bend, and the lower half nothing."""
    rng = np.random.default_rng(seed)
    z = rng.standard_normal((count, 2, DIM)).astype(np.float32)
    ways = np.random.default_rng(1).standard_normal((2, HEIGHT // 2 * WIDTH * 4)).astype(np.float32)
    upper = 0.1 * (z[..., :1] * ways[0] + np.sin(z[..., 1:2]) * ways[1])
    lower = NOISE * rng.standard_normal(upper.shape).astype(np.float32)
    return 0.5 + np.stack([upper, lower], 2).reshape(count, 2, HEIGHT, WIDTH, 4), z


@pytest.fixture(scope="module")
def learned():
    faces, z = people(300)
    params = visage.learn(faces, z, rank=6, some=200, bumps=100, coordinates=4)
    net = Visage(DIM, 16, 3, 4, HEIGHT, WIDTH, 6, len(params["centres"]), 4)
    params = {name: jnp.asarray(x) for name, x in params.items()}
    return lambda z: net.apply({"params": params}, z)


def test_unseen_faces_are_foretold(learned):
    faces, z = people(100, seed=2)
    told, _ = learned(jnp.asarray(z[:, 0]))
    upper, truth = (x[:, : HEIGHT // 2] for x in (told, faces[:, 0]))
    assert np.square(upper - truth).mean() < 0.05 * np.square(truth - 0.5).mean()


def test_doubt_is_the_error_that_unseen_people_have(learned):
    faces, z = people(2000, seed=3)
    told, doubt = learned(jnp.asarray(z[:, 0]))
    errors = np.square(np.asarray(told) - faces[:, 0]).mean(0)
    errors = errors[..., :3].mean(-1) + errors[..., 3]
    below = slice(HEIGHT // 2, None)
    np.testing.assert_allclose(doubt[below], errors[below], rtol=0.25)
    assert doubt[: HEIGHT // 2].max() < 0.1 * doubt[below].min()


def test_a_window_is_cut_out_of_fronts_of_any_size():
    front = np.zeros((32, 32, 4), np.uint8)
    front[4:20, 0:28] = [200, 100, 0, 255]
    window = visage.Window(size=16, top=4, left=2, height=4, width=8)
    inside = np.broadcast_to(np.float32([200 / 255, 100 / 255, 0, 1]), (4, 8, 4))
    np.testing.assert_allclose(window(front), inside, atol=2 / 255)
    outside = visage.Window(size=16, top=12, left=2, height=4, width=8)(front)
    np.testing.assert_allclose(outside, np.broadcast_to(np.float32([1, 1, 1, 0]), (4, 8, 4)))


def test_the_stage_exports_what_it_learned(tmp_path, monkeypatch, get_config):
    rng, camera = (
        np.random.default_rng(0),
        Camera(*(jnp.zeros(s) for s in ((0, 4, 4), (0, 2), (0, 2)))),
    )
    subjects = [
        Subject(f"s{i}", np.zeros((0, 16, 16, 4), np.uint8), camera,
                rng.integers(0, 255, (16, 16, 4), np.uint8), ("a person",), {})
        for i in range(24)
    ]  # fmt: skip
    monkeypatch.setattr(portraits, "open_subjects", lambda _: subjects)

    class Encoder(latents.Encoder):
        def __init__(self, _):
            pass

        def fronts(self, fronts):
            return np.stack([f[:2, :2, :2].ravel() / 128.0 - 1 for f in fronts]).astype(np.float32)

    monkeypatch.setattr(latents, "Encoder", Encoder)
    config = get_config("visage", "smoke")
    config.data_dir, config.clip_dir = "data", "clip"
    visage.run(config, tmp_path)
    found = read_export(tmp_path, "visage")
    assert found.trained["subjects"] == 18 and np.isfinite(found.trained["psnr_unseen"])
    net = Visage(**found.model)
    faces, _ = net.apply(
        {"params": jax.tree.map(jnp.asarray, found.params)}, jnp.zeros((1, net.dim))
    )
    assert faces.shape == (1, net.height, net.width, 4) and jnp.isfinite(faces).all()
