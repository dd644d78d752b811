"""Pictures that people send: who is told apart from what, and where they are put."""

import numpy as np
import pytest

from rodin_jax.data import avatars
from rodin_jax.portrait import SIZE, cut_out, framed, portrait_of


def bust(height=200, width=160, *, top=0.13, bottom=0.98, left=0.3, right=0.7) -> np.ndarray:
    """Somebody cut out: a red block, blue in its lower half."""
    rgba = np.zeros((height, width, 4), np.uint8)
    rows = slice(round(top * height), round(bottom * height))
    columns = slice(round(left * width), round(right * width))
    rgba[rows, columns] = (200, 10, 10, 255)
    rgba[(rows.start + rows.stop) // 2 : rows.stop, columns] = (10, 10, 200, 255)
    return rgba


def before(rgba: np.ndarray, colour) -> np.ndarray:
    """The same, opaque, before a colour."""
    alpha = rgba[..., 3:] / 255
    flat = rgba[..., :3] * alpha + np.array(colour) * (1 - alpha)
    return np.concatenate([flat, np.full_like(alpha, 255)], -1).round().astype(np.uint8)


def box(portrait) -> np.ndarray:
    """Top, bottom, left and right of the person, as shares of the edge."""
    assert (portrait.places == np.arange(SIZE**2)).all() and (portrait.weight == 1).all()
    person = np.asarray(portrait.alpha).reshape(SIZE, SIZE) > 0.5
    rows, columns = (np.flatnonzero(person.any(axis)) for axis in (1, 0))
    return np.array([rows[0], rows[-1] + 1, columns[0], columns[-1] + 1]) / SIZE


@pytest.mark.parametrize("colour", [None, (255, 255, 255), (40, 90, 60)])
def test_people_before_nothing_and_before_one_colour_are_known(colour):
    picture = bust() if colour is None else before(bust(), colour)
    portrait = portrait_of(cut_out(picture))
    np.testing.assert_allclose(portrait.rgb[:SIZE], 1.0, atol=0.01)
    # 200 rows by 160 columns: in the middle of a square of 200.
    np.testing.assert_allclose(box(portrait), [0.13, 0.98, 0.34, 0.66], atol=0.01)


def test_only_what_hangs_together_with_the_border_is_background():
    person = bust()
    person[100:120, 70:90] = (90, 120, 150, 255)  # a badge of the background's colour
    found = cut_out(before(person, (90, 120, 150)))
    np.testing.assert_array_equal(found[..., 3], person[..., 3])
    np.testing.assert_array_equal(cut_out(person), person)


def test_compression_leaves_a_plain_colour_plain_and_shadows_do_not():
    noise = np.random.default_rng(0).normal(0, 6, (200, 160, 1))
    noisy = before(bust(), (90, 120, 150)).astype(float)
    noisy[..., :3] += noise
    assert portrait_of(cut_out(noisy.clip(0, 255).astype(np.uint8))) is not None
    noisy[..., :3] += np.linspace(-60, 60, 160)[None, :, None]
    assert portrait_of(cut_out(noisy.clip(0, 255).astype(np.uint8))) is None


def test_nobody_is_told_apart_from_a_room():
    room = np.random.default_rng(0).integers(0, 255, (64, 64, 4), np.uint8)
    room[..., 3] = 255
    np.testing.assert_array_equal(framed(cut_out(room)), room)
    assert portrait_of(room) is None


def test_who_stands_well_stays():
    for picture in (
        bust(),
        bust(top=0.08),
        bust(left=0.2, right=0.8),
        cut_out(before(bust(), (9, 9, 9))),
    ):
        np.testing.assert_array_equal(framed(picture), picture)


@pytest.mark.parametrize("colour", [None, (40, 90, 60)])
@pytest.mark.parametrize(
    "place",
    [
        dict(top=0.5, bottom=0.9, left=0.05, right=0.3),  # small, in a corner
        dict(top=0.3, bottom=1.0, left=0.6, right=0.97),  # cut at the corner
    ],
)
def test_others_are_brought_to_the_middle_at_the_usual_height(colour, place):
    picture = bust(300, 300, **place)
    picture = picture if colour is None else before(picture, colour)
    portrait = portrait_of(framed(cut_out(picture)))
    top, bottom, left, right = box(portrait)
    assert (top, bottom) == pytest.approx((0.13, 0.98), abs=0.02)
    assert (left + right) / 2 == pytest.approx(0.5, abs=0.02)
    wide = (place["right"] - place["left"]) / (place["bottom"] - place["top"])
    assert (right - left) / (bottom - top) == pytest.approx(wide, rel=0.05)
    # Red above blue, as before, and nothing else mixed in.
    middle = SIZE // 2
    rgb = portrait.rgb.reshape(SIZE, SIZE, 3)
    np.testing.assert_allclose(rgb[middle - 20, middle], [0.78, 0.04, 0.04], atol=0.03)
    np.testing.assert_allclose(rgb[middle + 20, middle], [0.04, 0.04, 0.78], atol=0.03)


def test_training_pictures_stay_as_they_are():
    for index in range(6):
        spec = avatars.sample_spec(5, index)
        front = avatars.render(spec, avatars.front_camera(64), 64)[0]
        np.testing.assert_array_equal(framed(front), front)


@pytest.mark.parametrize("fill", [0, 255])
def test_pictures_of_nobody_are_left_alone(fill):
    empty = cut_out(np.full((40, 40, 4), fill, np.uint8))
    np.testing.assert_array_equal(framed(empty), empty)
    assert portrait_of(empty) is None
