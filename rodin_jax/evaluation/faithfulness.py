"""Do avatars show what their sentences say? By attribute, as the probe sees it."""

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from rodin_jax.data.images import over_white
from rodin_jax.evaluation import prompts as sentences
from rodin_jax.evaluation.bench import Bench, alone
from rodin_jax.evaluation.judges import JUDGED, Reader
from rodin_jax.evaluation.page import Gallery, Section, Table
from rodin_jax.evaluation.prompts import Prompt
from rodin_jax.metrics import wilson

_SHOWN = 24
_BY_ATTRIBUTE = {
    "attribute": "attribute", "n": "asked", "ours": "ours, %", "real": "real renders, %",
    "ratio": "ratio, %", "held_out": "probe on held-out people, %",
}  # fmt: skip
_WHOLE = {
    "attributes": "attributes in the prompt", "n": "prompts", "ours": "all of them right: ours, %",
    "low": "from, %", "high": "to, %", "real": "real renders, %",
}  # fmt: skip
Answers = Mapping[str, str]


def measure(bench: Bench) -> Section:
    """Sentences about unseen people, the avatars made of them, and the people themselves."""
    assert bench.reader is not None
    people = bench.crowd.people[: bench.count]
    prompts = sentences.ask(people, bench.seed)
    seeds = bench.seeds("prompts", len(prompts))
    pairs = bench.track(list(zip(prompts, seeds, strict=True)), "sentences")
    z = jnp.concatenate([bench.pipeline.latent(prompt.text, seed=seed) for prompt, seed in pairs])
    made = bench.fronts(z, alone(seeds), "avatars of sentences")
    ours, real = bench.reader.read(made), bench.reader.read(bench.real[: len(prompts)])
    rows, mean = by_attribute(prompts, ours, real, bench.reader)
    whole = all_right(prompts, ours, real)
    unknown = {p.text: w for p in prompts if (w := bench.pipeline.unknown_words(p.text))}
    figures = {
        "probe": bench.reader.name,
        "by_attribute": rows,
        "mean": mean,
        "whole_prompts": whole,
        "prompts": [
            {"prompt": p.text, "wanted": p.wanted, "seen": {q: said[q] for q in p.wanted}}
            for p, said in zip(prompts, ours, strict=True)
        ],
        "unknown_words": unknown,
    }
    items = [
        (caption(p, said), picture)
        for p, said, picture in zip(prompts[:_SHOWN], ours, made, strict=False)
    ]
    real_items = [("", over_white(person.front)) for person in people[:_SHOWN]]
    about = (
        f"{len(prompts)} sentences of the captions' grammar, each about one to three attributes of "
        "an unseen person; the probe names the attributes of the avatar, and of the person's real "
        "render. The ratio is ours over real renders; in the last row of the two means. "
        "The probe errs itself: its accuracy on people kept from its training is in the last "
        "column. From and to bound a 95 % interval."
    )
    blocks = [
        Table("By attribute", _BY_ATTRIBUTE, [*rows, mean]),
        Table("Whole prompts", _WHOLE, whole),
        Gallery("Sentences and avatars", items, 128),
        Gallery("The people that the sentences speak of", real_items, 64, "rendered"),
    ]
    return Section("Text", about, figures, blocks)


def by_attribute(
    prompts: Sequence[Prompt],
    ours: Sequence[Answers],
    real: Sequence[Answers],
    reader: Reader | None = None,
) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """Shares of right answers, a row for each attribute that was asked for, and the means.

    Args:
      prompts: what was asked for.
      ours: what is seen of each avatar.
      real: what is seen of the person that each prompt speaks of.
      reader: whose accuracy is printed beside.
    """
    rows = []
    for name, question in JUDGED.items():
        asked = [(p.wanted[question], p.person, i) for i, p in enumerate(prompts)
                 if question in p.wanted]  # fmt: skip
        if not asked:
            continue
        share = sum(ours[i].get(question) == want for want, _, i in asked) / len(asked)
        truth = sum(real[i].get(question) == want for want, i, _ in asked) / len(asked)
        rows.append(
            {
                "attribute": name,
                "n": len(asked),
                "ours": share,
                "real": truth,
                "ratio": share / truth if truth else None,
                "held_out": reader.held_out(question) if reader else None,
            }
        )
    ours_mean, real_mean = (sum(row[k] for row in rows) / len(rows) for k in ("ours", "real"))
    ratio = ours_mean / real_mean if real_mean else None
    count = sum(row["n"] for row in rows)
    mean = {"attribute": "mean", "n": count, "ours": ours_mean, "real": real_mean, "ratio": ratio}
    return rows, mean


def all_right(
    prompts: Sequence[Prompt], ours: Sequence[Answers], real: Sequence[Answers]
) -> list[dict[str, Any]]:
    """Shares of prompts of which everything is right, by how much they ask for."""
    rows = []
    for title, sizes in (("one", (1,)), ("two or three", (2, 3))):
        chosen = [(i, p) for i, p in enumerate(prompts) if len(p.wanted) in sizes]
        if not chosen:
            continue
        right = sum(_all(p, ours[i]) for i, p in chosen)
        truth = sum(_all(p, real[p.person]) for _, p in chosen)
        low, high = wilson(right, len(chosen))
        rows.append(
            {
                "attributes": title,
                "n": len(chosen),
                "ours": right / len(chosen),
                "low": low,
                "high": high,
                "real": truth / len(chosen),
            }
        )
    return rows


def caption(prompt: Prompt, said: Answers) -> str:
    """The sentence, and of each thing that it asks for whether it is there."""
    marks = [
        f"✓ {want}" if said[q] == want else f"✗ {want}: {said[q]}"
        for q, want in prompt.wanted.items()
    ]
    return "\n".join([prompt.text, *marks])


def _all(prompt: Prompt, said: Answers) -> bool:
    return all(said.get(question) == want for question, want in prompt.wanted.items())
