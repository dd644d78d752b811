"""Sentences that change an avatar: does the change appear, and does everything else stay?"""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from jaxtyping import UInt8

from rodin_jax.evaluation.bench import Bench
from rodin_jax.evaluation.judges import JUDGED
from rodin_jax.evaluation.page import Gallery, Section, Table
from rodin_jax.metrics import wilson


@dataclasses.dataclass(frozen=True)
class Edit:
    """A change.

    Attributes:
      prompt: what is asked for.
      question: the attribute that changes.
      answer: what it should become.
      hides: questions that the change may leave without an answer, which are not judged.
    """

    prompt: str
    question: str
    answer: str
    hides: tuple[str, ...] = ()


EDITS = (
    Edit("a person with sunglasses", "glasses", "sunglasses", ("expression",)),
    Edit("a person with blond hair", "hair_colour", "blond"),
    Edit("a smiling person", "expression", "smiling"),
    Edit("a person with short hair", "hair_style", "short"),
    Edit("a person with round glasses", "glasses", "round"),
    Edit("a person with a beard", "facial_hair_present", "yes"),
    Edit("a person with a cap", "headwear", "cap", ("hair_style", "hair_colour")),
    Edit("a person with a hat", "headwear", "hat", ("hair_style", "hair_colour")),
    Edit("a person with headphones", "headwear", "headphones"),
    Edit("a person with long hair", "hair_style", "long"),
    Edit("a person with curly hair", "hair_style", "curly"),
    Edit("a person with black hair", "hair_colour", "black"),
    Edit("an angry person", "expression", "angry"),
    Edit("a person in a red t-shirt", "clothing_colour", "red"),
    Edit("a person in a blue hoodie", "clothing_colour", "blue"),
    Edit("a person with dark skin", "skin_group", "deep"),
)
_SHOWN = 2
_COLUMNS = {
    "edit": "edit", "n": "avatars", "appears": "appears, %", "new": "had it not before",
    "appears_new": "appears there, %", "kept": "other attributes kept, %",
    "likeness": "cosine before and after",
}  # fmt: skip
Answers = Mapping[str, str]


def people(count: int) -> int:
    """How many avatars are edited, each in all ways."""
    return max(2, count // 8)


def measure(bench: Bench) -> Section:
    """Every edit of the same few avatars of nobody in particular."""
    assert bench.reader is not None
    seeds = bench.seeds("edits", people(bench.count))
    pictures = _pictures(bench, seeds)
    shape = (len(EDITS) + 1, len(seeds))
    before, *after = pictures.reshape(*shape, *pictures.shape[1:])
    said, n = bench.reader.read(pictures), len(seeds)
    said = [said[i : i + n] for i in range(0, len(said), n)]
    features = bench.eye.features(pictures)
    features = features / np.linalg.norm(features, axis=1, keepdims=True)
    features = features.reshape(*shape, -1)
    rows = [
        judge(edit, said[0], said[i + 1], (features[0] * features[i + 1]).sum(-1).tolist())
        for i, edit in enumerate(EDITS)
    ]
    total = summary(rows, len(seeds))
    apart = features[0] @ features[0].T
    others = float(apart[~np.eye(len(seeds), dtype=bool)].mean())
    figures = {
        "probe": bench.reader.name,
        "network": bench.eye.name,
        "edits": rows,
        "all": total,
        "cosine_of_different_avatars": others,
    }
    strips = [
        (edit.prompt, np.concatenate([before[k], after[i][k]], axis=1))
        for i, edit in enumerate(EDITS)
        for k in range(min(_SHOWN, len(seeds)))
    ]
    about = (
        f"{len(seeds)} avatars of nobody in particular, each edited in {len(EDITS)} ways from "
        f'"a portrait of a person". The probe ({bench.reader.name}) says whether the attribute '
        f"appears, and which of the other {len(JUDGED) - 1} keep their answer; those that the edit "
        "may hide are not counted. Likeness is the cosine by "
        f"{bench.eye.name}; two different avatars have {others:.3f} on average. The edits of all "
        f"avatars together: the attribute appears in {100 * total['low']:.0f} to "
        f"{100 * total['high']:.0f} % (95 % interval)."
    )
    blocks = [
        Table("By edit", _COLUMNS, [*rows, total]),
        Gallery("Before | after", strips, 200),
    ]
    return Section("Editing", about, figures, blocks)


def _pictures(bench: Bench, seeds: Sequence[int]) -> UInt8[np.ndarray, "n s s 3"]:
    """Fronts of the avatars of these seeds, then of all of them edited, edit after edit."""
    made = [bench.pipeline.generate(seed=seed)[0] for seed in seeds]
    edits = bench.track(EDITS, "edits")
    edited = [bench.pipeline.edit(avatar, edit.prompt) for edit in edits for avatar in made]
    return np.stack([bench.front(avatar.planes) for avatar in (*made, *edited)])


def judge(
    edit: Edit, before: Sequence[Answers], after: Sequence[Answers], likeness: Sequence[float]
) -> dict[str, Any]:
    """The figures of one edit.

    Args:
      edit: what was asked for.
      before: what is seen of each avatar.
      after: and of it, edited.
      likeness: cosines of before and after.
    """
    right = [said[edit.question] == edit.answer for said in after]
    new = [r for r, said in zip(right, before, strict=True) if said[edit.question] != edit.answer]
    others = [q for q in JUDGED.values() if q != edit.question and q not in edit.hides]
    kept = [a[q] == b[q] for a, b in zip(before, after, strict=True) for q in others]
    return {
        "edit": edit.prompt,
        "n": len(right),
        "appears": float(np.mean(right)),
        "new": len(new),
        "appears_new": float(np.mean(new)) if new else None,
        "kept": float(np.mean(kept)),
        "likeness": float(np.mean(likeness)),
    }


def summary(rows: Sequence[Mapping[str, Any]], count: int) -> dict[str, Any]:
    """All edits of ``count`` avatars together, every edit of equal weight."""
    new = sum(row["new"] for row in rows)
    found = sum(row["new"] * row["appears_new"] for row in rows if row["new"])
    appears = float(np.mean([row["appears"] for row in rows]))
    low, high = wilson(round(appears * len(rows) * count), len(rows) * count)
    return {
        "edit": "all",
        "n": len(rows) * count,
        "appears": appears,
        "low": low,
        "high": high,
        "new": new,
        "appears_new": found / new if new else None,
        "kept": float(np.mean([row["kept"] for row in rows])),
        "likeness": float(np.mean([row["likeness"] for row in rows])),
    }
