"""Captions and their reading: what is told is what is seen, and comes back from the words."""

import collections
import itertools

import numpy as np
import pytest

from rodin_jax.data.avatars import attributes, captions, parse, sample_spec, visible
from rodin_jax.data.avatars import spec as spec_lib
from rodin_jax.data.avatars import wording as words
from rodin_jax.data.avatars.captions import describe
from rodin_jax.data.avatars.reading import wordings
from rodin_jax.nn import tokenizer

PEOPLE = 2000


@pytest.fixture(scope="module")
def told():
    """(spec, its visible attributes, four sentences with what they mention); the first is full."""
    rows = []
    for i in range(PEOPLE):
        spec, rng = sample_spec(11, i), np.random.default_rng([11, i])
        sentences = [describe(spec, rng, everything=k == 0) for k in range(4)]
        rows.append((spec, visible(attributes(spec)), sentences))
    return rows


def test_parsing_gives_back_exactly_what_a_sentence_mentions(told):
    for _, _, sentences in told:
        for sentence, mentioned in sentences:
            assert parse(sentence) == mentioned, sentence


def test_nothing_is_said_that_is_not_so_or_cannot_be_seen(told):
    for _, seen, sentences in told:
        for sentence, mentioned in sentences:
            assert mentioned.items() <= seen.items(), sentence


def test_the_first_sentence_names_everything_that_is_there_to_see(told):
    for _, seen, sentences in told:
        sentence, mentioned = sentences[0]
        assert {n: v for n, v in seen.items() if v != "none"}.items() <= mentioned.items(), sentence


def test_every_value_of_every_attribute_is_sometimes_told(told):
    heard = collections.defaultdict(set)
    for _, _, sentences in told:
        for _, mentioned in sentences:
            for name, value in mentioned.items():
                heard[name].add(value)
    for name, table in {
        "age": spec_lib.AGE, "presentation": spec_lib.PRESENTATION, "skin": spec_lib.SKIN,
        "hair_style": spec_lib.HAIR_STYLE, "hair_colour": spec_lib.HAIR_COLOUR,
        "facial_hair": spec_lib.FACIAL_HAIR, "brow_shape": spec_lib.BROW_SHAPE,
        "eye_colour": spec_lib.EYE_COLOUR, "eye_shape": spec_lib.EYE_SHAPE, "nose": spec_lib.NOSE,
        "expression": spec_lib.EXPRESSION, "glasses": spec_lib.GLASSES,
        "headwear": spec_lib.HEADWEAR, "clothing": spec_lib.CLOTHING, "pattern": spec_lib.PATTERN,
        "clothing_colour": spec_lib.CLOTHING_COLOUR,
    }.items():  # fmt: skip
        assert heard[name] == set(table), name
    assert heard["earrings"] == set(spec_lib.EARRINGS) - {"none"}


def test_sentences_vary_in_length_and_words(told):
    lengths = [len(s.split()) for _, _, sentences in told for s, _ in sentences[1:]]
    assert min(lengths) <= 3 and max(lengths) >= 25
    assert 0.2 < np.mean(np.array(lengths) <= 8) < 0.6
    sentences = {s for _, _, sentences in told for s, _ in sentences}
    assert len(sentences) > 0.9 * 4 * PEOPLE


def test_articles_are_right(told):
    for _, _, sentences in told:
        for sentence, _ in sentences:
            spoken = sentence.replace(",", "").split()
            for article, word in itertools.pairwise(spoken):
                if article in ("a", "an"):
                    assert (article == "an") == (word[0] in "aeiou"), sentence
                    assert word not in ("hair", "skin", "stubble", "glasses", "earrings"), sentence


def test_captions_are_deterministic_and_their_seed_matters():
    spec = sample_spec(0, 12)
    assert captions(spec, 0, 4) == captions(spec, 0, 4)
    assert captions(spec, 0, 4) == captions(spec, 0, 8)[:4]
    assert captions(spec, 1, 4) != captions(spec, 0, 4)
    assert len(set(captions(spec, 0, 8))) > 3


def test_every_wording_means_one_thing_with_every_noun_it_goes_with():
    meanings = collections.defaultdict(list)
    for phrase, meaning in wordings():
        assert parse(phrase) == meaning, phrase
        meanings[phrase].append(meaning)
    assert len(meanings) > 1000
    for phrase, found in meanings.items():
        assert all(meaning == found[0] for meaning in found), phrase


def test_each_table_says_each_of_the_spec_s_values_differently():
    tables = {name: table for name, table in vars(words).items()
              if name.isupper() and isinstance(table, dict)}  # fmt: skip
    assert len(tables) > 20
    for name, table in tables.items():
        phrases = [phrase for text in table.values() for phrase in words.understood(text)]
        assert len(phrases) == len(set(phrases)), name


def test_every_word_that_captions_may_use_is_in_their_tokenizer(told):
    known = tokenizer.train(s for _, _, sentences in told for s, _ in sentences)
    for name, table in vars(words).items():
        if not name.isupper():
            continue
        for text in table.values() if isinstance(table, dict) else [table]:
            for phrase in words.said(text):
                assert not known.unknown_words(phrase), (name, phrase)


@pytest.mark.parametrize(
    ("sentence", "meaning"),
    [
        ("a person", {}),
        ("someone", {}),
        ("an avatar", {}),
        ("", {}),
        ("a man with glasses and earrings", {"presentation": "man"}),
        ("a smiling woman with curly red hair and round glasses",
         {"expression": "smiling", "presentation": "woman", "hair_style": "curly",
          "hair_colour": "red", "glasses": "round"}),
        ("an old man with a white beard and a blue suit",
         {"age": "old", "presentation": "man", "facial_hair": "beard", "hair_colour": "white",
          "clothing": "suit", "clothing_colour": "blue"}),
        ("a boy with short brown hair and a green hoodie",
         {"age": "child", "presentation": "man", "hair_style": "short", "hair_colour": "brown",
          "clothing": "hoodie", "clothing_colour": "green"}),
        ("a girl with blonde braids",
         {"age": "child", "presentation": "woman", "hair_style": "braids",
          "hair_colour": "blond"}),
        ("A bearded man with curly hair in a black leather jacket",
         {"presentation": "man", "facial_hair": "beard", "hair_style": "curly",
          "clothing": "leather jacket", "clothing_colour": "black"}),
        ("a ginger man with a mustache", {"presentation": "man", "hair_colour": "red",
                                          "facial_hair": "moustache"}),
        ("a red-haired, blue-eyed lady", {"presentation": "woman", "hair_colour": "red",
                                          "eye_colour": "blue"}),
        ("a curly haired kid with a pony tail",
         {"age": "child", "hair_style": "ponytail"}),
        ("Grandma. Gray hair in a bun, spectacles, polka dot dress",
         {"age": "old", "presentation": "woman", "hair_colour": "grey", "hair_style": "bun",
          "clothing": "dress", "pattern": "dotted"}),
        ("her hair is red and curly, her eyes are blue",
         {"presentation": "woman", "hair_colour": "red", "hair_style": "curly",
          "eye_colour": "blue"}),
        ("He is bald, happy and wears a navy suit with a red tie.",
         {"presentation": "man", "hair_style": "bald", "expression": "smiling",
          "clothing": "suit", "clothing_colour": "blue"}),
        ("a blonde in red", {"hair_colour": "blond", "clothing_colour": "red"}),
        ("a person with a long white beard", {"facial_hair": "long beard",
                                              "hair_colour": "white"}),
        ("a person with a white beard and brown hair",
         {"facial_hair": "beard", "hair_colour": "brown"}),
        ("a beard and a moustache", {"facial_hair": "beard"}),
        ("a woman without glasses or earrings",
         {"presentation": "woman", "glasses": "none", "earrings": "none"}),
        ("a man wearing no hat, not wearing glasses, with studs",
         {"presentation": "man", "headwear": "none", "glasses": "none", "earrings": "studs"}),
        ("a red cap", {"headwear": "cap"}),
        ("a woolly red hat", {"headwear": "beanie"}),
        ("a white t-shirt under a black leather jacket",
         {"clothing": "leather jacket", "clothing_colour": "black"}),
        ("a black leather jacket over a red shirt",
         {"clothing": "leather jacket", "clothing_colour": "black"}),
        ("a red scarf and a hoodie", {"clothing": "hoodie"}),
        ("dark skin, dark glasses, black hair",
         {"skin": "dark", "glasses": "sunglasses", "hair_colour": "black"}),
        ("a straight nose, straight brows and long straight hair",
         {"nose": "straight", "brow_shape": "straight", "hair_style": "long"}),
        ("a round face with round eyes", {"eye_shape": "round"}),
        ("Ébony skin & HOOP EARRINGS", {"skin": "ebony", "earrings": "hoops"}),
    ],
)  # fmt: skip
def test_prompts_are_understood(sentence, meaning):
    assert parse(sentence) == meaning


def test_what_hats_glasses_and_hair_hide_is_not_visible():
    known = attributes(sample_spec(0, 0)) | {
        "hair_style": "short", "facial_hair": "none", "headwear": "none", "glasses": "none",
        "earrings": "hoops", "expression": "winking", "clothing": "shirt",
    }  # fmt: skip
    assert visible(known) == known

    def hidden(**changes):
        return known.keys() - visible(known | changes).keys()

    assert hidden(headwear="hat") == {"hair_style", "hair_colour"}
    assert hidden(headwear="hat", facial_hair="beard") == {"hair_style"}
    assert hidden(headwear="cap", hair_style="curly") == {"brow_shape"}
    assert hidden(headwear="headband") == set()
    assert hidden(hair_style="bald") == {"hair_colour"}
    assert hidden(hair_style="bald", facial_hair="goatee") == set()
    assert hidden(glasses="sunglasses") == {"eye_colour", "eye_shape", "expression"}
    assert hidden(glasses="sunglasses", expression="sad") == {"eye_colour", "eye_shape"}
    assert hidden(hair_style="long") == {"earrings"}
    assert hidden(headwear="headphones") == set()
    assert hidden(headwear="headphones", earrings="studs") == {"earrings"}
    assert hidden(clothing="leather jacket") == {"pattern"}
