"""Sentences whose answers are known: each tells one to three attributes of an unseen person."""

import collections
import dataclasses
from collections.abc import Sequence

import numpy as np

from rodin_jax.data import avatars
from rodin_jax.data.builder import Subject
from rodin_jax.evaluation.judges import JUDGED
from rodin_jax.train.probe import answers

_TRIES = 20
# What has to be said as well for an attribute to be said, and the attribute behind a question.
_WITH = {"clothing_colour": ("clothing",)}
_BEHIND = {"skin_group": "skin", "facial_hair_present": "facial_hair"}


@dataclasses.dataclass(frozen=True)
class Prompt:
    """A sentence.

    Attributes:
      text: it.
      wanted: question -> answer, of the judged questions that it answers.
      person: whose attributes these are, a place among the people.
    """

    text: str
    wanted: dict[str, str]
    person: int


def ask(people: Sequence[Subject], seed: int) -> list[Prompt]:
    """A sentence of the captions' grammar about each person; by turns of one, two, three things.

    The attributes that were asked for least so far come first, so that all are asked for about
    equally often. What is absent (no glasses, no hat) is not asked for.

    Raises:
      ValueError: a person's attributes are not those of the data engine.
    """
    rng, asked, prompts = np.random.default_rng([seed, 1]), collections.Counter(), []
    for i, person in enumerate(people):
        spec = spec_of(person)
        seen = avatars.visible(person.attributes)
        names = [q for q in JUDGED.values() if seen.get(_BEHIND.get(q, q), "none") != "none"]
        order = rng.permutation(len(names))
        names = sorted((names[k] for k in order), key=lambda name: asked[name])[: i % 3 + 1]
        told = {"presentation"} | {_BEHIND.get(name, name) for name in names}
        told |= {other for name in names for other in _WITH.get(name, ())}
        for _ in range(_TRIES):  # asides say more now and then
            text, mentioned = avatars.mention(spec, rng, told)
            wanted = judged(mentioned)
            if set(wanted) == set(names):
                break
        asked.update(wanted.keys())
        prompts.append(Prompt(text, wanted, i))
    return prompts


def judged(mentioned: dict[str, str]) -> dict[str, str]:
    """Answers to the judged questions that some attributes give."""
    found = dict(mentioned)
    for question, name in _BEHIND.items():
        if name in mentioned:
            found[question] = _coarse(name, mentioned[name])[question]
    return {question: found[question] for question in JUDGED.values() if question in found}


def spec_of(person: Subject) -> avatars.AvatarSpec:
    """A spec with the person's attributes, to speak of; its proportions are anybody's.

    Raises:
      ValueError: an attribute is missing.
    """
    anybody = avatars.sample_spec(0, 0)
    if missing := sorted(avatars.attributes(anybody).keys() - person.attributes.keys()):
        raise ValueError(f"{person.id}: has no attribute {missing[0]!r}")
    known = {name: person.attributes[name] for name in avatars.attributes(anybody)}
    return dataclasses.replace(anybody, **known)


def _coarse(name: str, value: str) -> dict[str, str]:
    """The coarser answers that an attribute gives, by the probe's own rules."""
    return answers(avatars.attributes(avatars.sample_spec(0, 0)) | {name: value})
