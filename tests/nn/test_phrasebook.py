"""Changes of latents by phrases: what was asked for, and nothing else."""

import jax.numpy as jnp
import numpy as np
import pytest

from rodin_jax.nn import phrasebook
from rodin_jax.train import phrases

RED, BLUE, LONG, SHORT, HAIR, MAN, WOMAN = range(4, 11)
DIM, PEOPLE = 12, 1500


@pytest.fixture(scope="module")
def people():
    """Latents and captions of people of whom most men have short hair and most women long."""
    rng = np.random.default_rng(0)
    directions = rng.standard_normal((3, DIM))
    man, red = (rng.random(PEOPLE) < 0.5 for _ in range(2))
    short = rng.random(PEOPLE) < np.where(man, 0.9, 0.1)
    kinds = np.stack([man, red, short], 1)
    z = np.where(kinds, 1.0, -1.0) @ directions + 0.3 * rng.standard_normal((PEOPLE, DIM))
    tokens = np.stack(
        [
            np.where(man, MAN, WOMAN), np.full(PEOPLE, 1),
            np.where(red, RED, BLUE), np.full(PEOPLE, 1),
            np.where(short, SHORT, LONG), np.full(PEOPLE, HAIR),
        ], axis=1,
    )  # fmt: skip
    z = (z - z.mean(0)).astype(np.float32)
    return z, tokens[:, None], kinds, directions


@pytest.fixture(scope="module")
def stored(people):
    z, tokens, *_ = people
    return phrases.learn(*phrases.label(tokens), z[:, None])


@pytest.fixture(scope="module")
def book(stored, people):
    spectrum, axes = np.linalg.eigh(np.cov(people[0], rowvar=False))
    return phrasebook.unpack(stored, jnp.asarray(axes), jnp.asarray(spectrum))


def kinds_of(z, people):
    """Man, red, short: the nearest of all eight sorts of people."""
    every = np.stack(np.meshgrid(*[[False, True]] * 3, indexing="ij"), -1).reshape(-1, 3)
    centres = np.where(every, 1.0, -1.0) @ people[3]
    centres = centres - (np.where(people[2], 1.0, -1.0) @ people[3]).mean(0)
    return every[((z[:, None] - centres) ** 2).sum(-1).argmin(1)]


def test_sentences_say_words_and_neighbours(book):
    said = book.phrases[book.said(jnp.array([2, SHORT, HAIR, 3, 0]))].tolist()
    assert said == [[0, SHORT], [SHORT, HAIR]]  # "hair" is said of everybody
    assert not book.said(jnp.array([2, HAIR, SHORT, 3, 0]))[book.phrases[:, 0] > 0].any()
    assert not book.said(jnp.array([2, 1, 3, 0])).any()


def test_what_never_goes_together_is_known(book):
    number = {tuple(p): i for i, p in enumerate(np.asarray(book.phrases).tolist())}
    never = np.asarray(book.excluded)
    assert never[number[0, SHORT], number[0, LONG]] and never[number[0, RED], number[0, BLUE]]
    assert not never[number[0, SHORT], number[0, WOMAN]]  # a tenth of them
    np.testing.assert_array_equal(never, never.T)


def test_only_what_is_asked_for_changes(book, people):
    z, _, kinds, _ = people
    women = jnp.asarray(z[~kinds[:, 0] & ~kinds[:, 2]][:100])
    before = kinds_of(women, people)
    asked = book.said(jnp.array([SHORT, HAIR]))
    after = kinds_of(women + np.asarray(book.change(women, asked)), people)
    assert after[:, 2].mean() > 0.95
    assert (after[:, :2] == before[:, :2]).mean() > 0.97
    # The difference of who is described with it and who is not makes men of women.
    step = z[kinds[:, 2]].mean(0) - z[~kinds[:, 2]].mean(0)
    assert kinds_of(women + step, people)[:, 0].mean() > 0.5


def test_a_phrase_may_be_taken_away(book, people):
    z, _, kinds, _ = people
    red = jnp.asarray(z[kinds[:, 1]][:50])
    nothing = jnp.zeros(len(book.usual), bool)
    step = np.asarray(book.change(red, nothing, book.said(jnp.array([RED]))))
    assert (book.read(red + step)[:, book.said(jnp.array([RED]))] < 0.5).mean() > 0.95
    np.testing.assert_array_equal(book.change(red, nothing), jnp.zeros_like(red))


def test_the_change_is_the_minimum(book, people):
    z, asked = jnp.asarray(people[0][:1]), book.said(jnp.array([RED, SHORT]))
    gone = np.asarray(book.excluded & asked[:, None]).any(0) & ~np.asarray(asked)
    now, usual = np.asarray(book.read(z))[0], np.asarray(book.usual)
    wanted = np.where(asked, 1 - now, np.where(gone, -now, 0))
    weight = np.where(asked, 100, np.where(gone, 10, 1)) / (usual * (1 - usual))

    def cost(step):
        error = np.mean(weight * (step @ np.asarray(book.reader) - wanted) ** 2)
        return error + 0.1 * step @ np.asarray(book.precision) @ step

    best = np.asarray(book.change(z, asked, stiffness=0.1))[0].astype(np.float64)
    for way in np.random.default_rng(1).standard_normal((20, DIM)):
        assert cost(best) < cost(best + 0.05 * way)


@pytest.mark.parametrize(
    "name, change",
    [
        ("usual", lambda x: x[None]),
        ("phrases", lambda x: x[:, :1]),
        ("reader", lambda x: x[:-1]),
        ("excluded", lambda x: x[:, :0]),
    ],
)
def test_damaged_phrasebooks_are_refused(stored, name, change):
    damaged = {**stored, name: change(stored[name])}
    with pytest.raises(ValueError, match="tensor 'phrases/"):
        phrasebook.unpack(damaged, jnp.eye(DIM), jnp.ones(DIM))


def test_nobody_says_anything():
    same = np.full((9, 2, 4), 5)
    stored = phrases.learn(*phrases.label(same), np.zeros((9, 1, DIM), np.float32))
    book = phrasebook.unpack(stored, jnp.eye(DIM), jnp.ones(DIM))
    asked = book.said(jnp.array([5, 6]))
    assert asked.shape == (0,) and not book.change(jnp.ones((2, DIM)), asked).any()
