"""What each section computes, on cases whose answer is known."""

import numpy as np
import pytest
from crowd import make, person

from rodin_jax.data import avatars
from rodin_jax.evaluation import (
    ablations,
    editing,
    faithfulness,
    frechet,
    interpolation,
    neighbours,
    prompts,
)
from rodin_jax.evaluation.judges import JUDGED
from rodin_jax.metrics import frechet_distance, frechet_error, moments, wilson
from rodin_jax.train.probe import answers

PEOPLE = make(60, 0, 1).people


def oracle(people):
    """What a probe without faults says of pictures of these people."""
    return [avatars.attributes(prompts.spec_of(p)) | answers(p.attributes) for p in people]


def test_sentences_say_what_is_wanted_and_ask_for_everything_about_equally():
    asked = prompts.ask(PEOPLE, 0)
    assert asked == prompts.ask(PEOPLE, 0) and asked != prompts.ask(PEOPLE, 1)
    counts = dict.fromkeys(JUDGED.values(), 0)
    for prompt, subject in zip(asked, PEOPLE, strict=True):
        read = prompts.judged(avatars.parse(prompt.text))
        assert prompt.wanted and prompt.wanted == read, prompt.text
        truth = answers(subject.attributes)
        assert all(truth[q] == want for q, want in prompt.wanted.items())
        for question in prompt.wanted:
            counts[question] += 1
    sizes = [len(prompt.wanted) for prompt in asked]
    assert {1, 2, 3} == set(sizes) and sizes.count(3) > 10
    # Few people wear hats or have beards; the rest share evenly.
    assert min(counts.values()) >= 7 and max(counts.values()) <= 20


def test_perfect_pictures_are_faithful_and_strangers_are_not():
    asked, said = prompts.ask(PEOPLE, 0), oracle(PEOPLE)
    rows, mean = faithfulness.by_attribute(asked, said, said)
    assert [row["attribute"] for row in rows] == list(JUDGED)
    assert all(row["ours"] == row["real"] == row["ratio"] == 1.0 for row in rows)
    assert mean["ratio"] == 1.0 and mean["n"] == sum(len(p.wanted) for p in asked)
    whole = faithfulness.all_right(asked, said, said)
    assert [row["attributes"] for row in whole] == ["one", "two or three"]
    assert all(row["ours"] == 1.0 == row["high"] for row in whole)

    strangers = oracle([person(500 + i) for i in range(len(PEOPLE))])
    rows, mean = faithfulness.by_attribute(asked, strangers, said)
    assert mean["ours"] < 0.4 and mean["real"] == 1.0 and mean["ratio"] == mean["ours"]
    whole = faithfulness.all_right(asked, strangers, said)
    assert whole[1]["ours"] < whole[0]["ours"] < 0.6
    # The share is counted against the probe's own on real renders.
    half = [dict.fromkeys(s, "?") if i % 2 else s for i, s in enumerate(said)]
    rows, mean = faithfulness.by_attribute(asked, half, half)
    assert mean["ratio"] == 1.0 and 0.2 < mean["ours"] < 0.8


def test_the_page_says_which_wish_came_true():
    prompt = prompts.Prompt("a bald man", {"hair_style": "bald", "glasses": "round"}, 0)
    text = faithfulness.caption(prompt, {"hair_style": "bald", "glasses": "none"})
    assert text.split("\n") == ["a bald man", "✓ bald", "✗ round: none"]


def test_edits_are_judged_by_what_appears_and_what_stays():
    assert len(editing.EDITS) == 16 and len({edit.prompt for edit in editing.EDITS}) == 16
    for edit in editing.EDITS:  # the sentence asks for what is judged
        read = avatars.parse(edit.prompt)
        assert prompts.judged(read).get(edit.question) == edit.answer, edit.prompt
    edit = editing.Edit("a person with a cap", "headwear", "cap", ("hair_style",))
    before = oracle(PEOPLE[:4])
    perfect = [said | {"headwear": "cap", "hair_style": "?"} for said in before]
    row = editing.judge(edit, before, perfect, [1.0] * 4)
    assert row["appears"] == row["kept"] == 1.0 and row["likeness"] == 1.0
    assert row["new"] == sum(said["headwear"] != "cap" for said in before)
    # Nothing happened to the first two, everything to the last.
    mixed = [*before[:2], perfect[2], dict.fromkeys(perfect[3], "?")]
    row = editing.judge(edit, before, mixed, [1.0, 1.0, 0.5, 0.1])
    had = sum(said["headwear"] == "cap" for said in before[:2])
    assert row["appears"] == (1 + had) / 4 and row["kept"] == 0.75
    total = editing.summary([row, row | {"appears": 1.0, "kept": 0.25}], 4)
    assert total["n"] == 8 and total["kept"] == 0.5
    assert total["low"] < total["appears"] < total["high"]


def test_identical_sets_are_at_no_distance():
    x = np.random.default_rng(0).normal(size=(200, 6))
    row = frechet.compare("fronts", "them", x, x, 0)
    assert abs(row["fid"]) < 1e-6 and row["n"] == 200
    assert row["kid"] < 0  # without a bias it falls below what no distance can be
    moved = frechet.compare("fronts", "others", x + 1.0, x, 0)
    assert moved["fid"] == pytest.approx(6.0, rel=1e-5) and moved["kid"] > 1.0


def test_the_error_of_a_distance_is_that_of_other_samples():
    rng = np.random.default_rng(1)
    reference = moments(rng.normal(size=(4000, 3)))
    sets = [rng.normal(0.5, 1.0, size=(300, 3)) for _ in range(40)]
    spread = np.std([frechet_distance(moments(x), reference) for x in sets])
    errors = [frechet_error(x, reference, rounds=40) for x in sets[:8]]
    assert np.mean(errors) == pytest.approx(spread, rel=0.3)


def test_a_planted_copy_is_found():
    rng = np.random.default_rng(2)
    learned, real = rng.normal(size=(50, 16)), rng.normal(size=(40, 16))
    ours = rng.normal(size=(20, 16))
    rows, _ = neighbours.compare(ours, real, learned)
    assert rows[0]["near"] <= 0.2 and rows[1]["near"] == pytest.approx(0.05)
    ours[3] = 2 * learned[7]
    rows, (near, unseen) = neighbours.compare(ours, real, learned)
    assert rows[0]["largest"] == pytest.approx(1.0) and near.index(max(near)) == 3
    assert max(unseen) < 0.99 and len(unseen) == 40
    learnt_by_heart, _ = neighbours.compare(learned[:10], real, learned)
    assert learnt_by_heart[0]["near"] == 1.0


def test_steps_of_an_even_path_are_equal():
    angles = np.radians(np.linspace(0, 70, 8))
    found = interpolation.evenness(np.stack([np.cos(angles), np.sin(angles)], axis=1) * 3)
    assert found["steps"] == pytest.approx(70) and found["direct"] == pytest.approx(70)
    assert found["largest"] == pytest.approx(10) and found["frames"] == 8


def test_bundles_are_put_in_order_and_held_against_the_paper():
    def row(name, fid, error=1.0):
        return {"of": name, "fid": fid, "fid_error": error}

    rows = [row("A", 40), row("B", 39), row("C", 30), row("D", 20), row("this bundle", 20.5)]
    assert ablations.ordering(rows) == "D ≈ this bundle < C < B ≈ A"
    assert ablations.paper(rows) == {"table 2": "holds; within the error: B and A"}
    rows = [row("planes", 20, 0.1), row("images", 30, 0.1)]
    assert ablations.paper(rows) == {"table 3": "does not hold (images before planes)"}
    assert ablations.paper([row("mine", 3)]) == {}


def test_shares_have_intervals():
    assert wilson(0, 0) == (0.0, 1.0)
    low, high = wilson(50, 100)
    assert (low, high) == pytest.approx((0.4038, 0.5962), abs=1e-3)  # Brown, Cai, DasGupta 2001
    assert wilson(10, 10)[1] == 1.0 and 0.7 < wilson(10, 10)[0] < 0.75
