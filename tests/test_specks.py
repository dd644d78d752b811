"""Bodies stay as they are; what floats beside them goes."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax import Avatar, occupancy, specks
from rodin_jax.avatar import Recipe
from rodin_jax.nn import decoder as decoders

R = 32
CELLS = np.asarray(occupancy.cell_centres(R))


def ball(x, y, z, radius):
    return ((CELLS - [x, y, z]) ** 2).sum(-1) < radius**2


def test_the_body_and_its_surface_stay_and_crumbs_go():
    body, head = ball(0, 0, -0.3, 0.5), ball(0, 0, 0.6, 0.2)
    crumb, haze = ball(-0.8, 0, 0.8, 0.1), ball(0.8, 0.8, 0.8, 0.15)
    soft = ball(0, 0, -0.3, 0.5 + 2 / R) & ~body
    densities = 100.0 * (body | head | crumb) + 2.0 * (haze | soft)
    near = specks.near_the_largest(densities.astype(np.float32))
    assert near[body].all() and near[head].all() and near[soft].all()
    assert not near[crumb].any() and not near[haze].any()


def test_what_is_nowhere_solid_stays():
    assert specks.near_the_largest(np.full((R, R, R), 0.1, np.float32)).all()


@pytest.mark.parametrize("method", ["generate", "edit", "fit"])
def test_only_captures_may_have_crumbs(method, monkeypatch):
    half = np.zeros((128, 128, 128), bool)
    half[:64] = True
    monkeypatch.setattr(specks, "near_the_largest", lambda densities: half)
    decoder = decoders.Decoder(width=8, octaves=0)
    params = decoders.initial(decoder, jax.random.key(0), 4)
    planes = jax.random.normal(jax.random.key(1), (3, 16, 16, 4))
    occupied = np.asarray(
        Avatar(jnp.asarray(planes), decoder, params, Recipe(method)).grid.occupied
    )
    assert occupied[:64].any() and occupied[64:].any() == (method == "fit")
