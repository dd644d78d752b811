"""What the stages under test read: a small planes store, a decoder and a clip export."""

import importlib.util
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.data.planes import FittedSubject, PlanesStore, PlanesWriter, compute_statistics
from rodin_jax.nn.clip import Clip
from rodin_jax.nn.decoder import Decoder
from rodin_jax.train import export

CONFIGS = Path(__file__).parents[2] / "configs"


@pytest.fixture(scope="session")
def get_config():
    """``get_config(stage, preset)``, from the files that users pass to --config."""

    def load(stage, preset):
        spec = importlib.util.spec_from_file_location(f"{stage}_config", CONFIGS / f"{stage}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
        return module.get_config(preset)

    return load


@pytest.fixture(scope="session")
def fit_run(tmp_path_factory):
    """Six subjects with planes 16 x 16 x 4 and a decoder, as a fit leaves them."""
    folder = tmp_path_factory.mktemp("fit")
    rng = np.random.default_rng(0)
    with PlanesWriter(folder / "planes", decoder_hash="test") as writer:
        for i in range(6):
            front = rng.integers(0, 256, (16, 16, 4), dtype=np.uint8)
            planes = rng.normal(size=(3, 8, 8, 4)).repeat(2, 1).repeat(2, 2).astype(np.float16)
            writer.write(FittedSubject(f"s{i}", planes, ("a person",), {}, front, 30.0))
    compute_statistics(PlanesStore(folder / "planes"), [8, 16])
    model = {"width": 8, "octaves": 1}
    decoder = Decoder(**model)
    shapes = jnp.zeros((1, 4)), jnp.zeros((1, 3))
    params = jax.jit(decoder.init)(jax.random.key(0), *shapes)["params"]
    export.write_export(folder, "decoder", model, params)
    return folder


@pytest.fixture(scope="session")
def clip_run(tmp_path_factory):
    """Untrained towers with latents of 6 dimensions."""
    folder = tmp_path_factory.mktemp("clip")
    model = {"vocabulary": 4, "dim": 6, "image_size": 16, "image_width": 8, "image_blocks": (1,)}
    model |= {"text_width": 8, "text_layers": 1, "text_heads": 1, "text_length": 4}
    clip = Clip(**model)
    shapes = jnp.zeros((1, 16, 16, 3)), jnp.zeros((1, 4), jnp.int32)
    params = jax.jit(clip.init)(jax.random.key(1), *shapes)["params"]
    arrays = {"latent_mean": np.zeros(6, np.float32), "latent_std": np.ones(6, np.float32)}
    export.write_export(folder, "clip", model, params, arrays=arrays)
    return folder
