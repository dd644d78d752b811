"""Sentences about an avatar: synonyms, varied order and length, and often only part of the truth.

What cannot be seen is not said, see `visible`. The words are in `wording`; `reading.parse` undoes
what happens here.
"""

from collections.abc import Collection, Mapping

import numpy as np

from rodin_jax.data.avatars import wording as w
from rodin_jax.data.avatars.spec import COVERING_HEADWEAR, AvatarSpec, attributes

# Nothing of these shows in front under a hat.
_FLAT_UNDER_HATS = (
    "bald", "mohawk", "buzz", "short", "side part", "ponytail", "bun", "undercut",
)  # fmt: skip
_OVER_EARS = ("bob", "long", "wavy")
# How often each attribute is mentioned by a sentence of middling length.
_MENTION = {
    "presentation": 0.88, "age": 0.7, "expression": 0.55, "hair_style": 0.75, "hair_colour": 0.75,
    "facial_hair": 0.8, "glasses": 0.8, "headwear": 0.75, "clothing": 0.55, "clothing_colour": 0.9,
    "pattern": 0.7, "skin": 0.35, "earrings": 0.5, "eye_colour": 0.25, "eye_shape": 0.12,
    "brow_shape": 0.15, "nose": 0.15,
}  # fmt: skip
# Short sentences say these as often as long ones: the last two come with the garment only.
_ANYWAY = ("presentation", "age", "clothing_colour", "pattern")
_TALKATIVE = (0.35, 0.7, 1.0, 1.3)
_OPENINGS = (*[""] * 6, "a photo of ", "a portrait of ", "an avatar of ", "a picture of ",
             "a 3d avatar of ", "a headshot of ")  # fmt: skip


def captions(spec: AvatarSpec, seed: int, count: int) -> list[str]:
    """``count`` sentences about ``spec``; the first mentions everything that can be seen."""
    rng = np.random.default_rng([seed, spec.detail])
    return [describe(spec, rng, everything=i == 0)[0] for i in range(count)]


def describe(
    spec: AvatarSpec, rng: np.random.Generator, *, everything: bool = False
) -> tuple[str, dict[str, str]]:
    """One sentence, and the attributes it mentions; ``rng`` is used up a little."""
    teller = _Teller(spec, rng, everything)
    return teller.sentence(), teller.mentioned


def visible(known: Mapping[str, str]) -> dict[str, str]:
    """Those of ``attributes(spec)`` that a front view shows, absences ("none") among them."""
    style, headwear = known["hair_style"], known["headwear"]
    sunglasses = known["glasses"] == "sunglasses"
    flat = headwear in COVERING_HEADWEAR and style in _FLAT_UNDER_HATS
    # The hair of the bald has the colour of their beards, if any.
    beard = known["facial_hair"] not in ("none", "stubble")
    hidden = {
        "hair_style": flat,
        "hair_colour": (flat or style == "bald") and not beard,
        "brow_shape": headwear in ("cap", "beanie"),  # a brim is above them
        "eye_colour": sunglasses,
        "eye_shape": sunglasses,
        "expression": sunglasses and known["expression"] in ("winking", "sleepy"),
        # Hoops hang out below the shells of headphones.
        "earrings": style in _OVER_EARS
        or (headwear == "headphones" and known.get("earrings") != "hoops"),
        # All of them are plain.
        "pattern": known["clothing"] == "leather jacket",
    }
    return {name: value for name, value in known.items() if not hidden.get(name)}


def mention(
    spec: AvatarSpec, rng: np.random.Generator, names: Collection[str]
) -> tuple[str, dict[str, str]]:
    """A sentence about ``names`` only, as far as they can be seen, and the attributes it mentions.

    Nouns say more now and then ("boy" tells the age), and so do asides ("without glasses").
    """
    teller = _Teller(spec, rng, False)
    seen = visible(attributes(spec))
    teller.told = {name for name in names if seen.get(name, "none") != "none"}
    return teller.sentence(), teller.mentioned


class _Teller:
    """Decides what one sentence tells, finds words for it and remembers what was told."""

    def __init__(self, spec, rng, everything):
        self.spec, self.rng, self.everything = spec, rng, everything
        self.mentioned: dict[str, str] = {}
        hat = spec.headwear in COVERING_HEADWEAR
        self.haired = spec.hair_style not in (_FLAT_UNDER_HATS if hat else ("bald",))
        talkative = self.pick(_TALKATIVE)
        self.told = set()
        for name, value in visible(attributes(spec)).items():
            often = _MENTION[name] * (1.0 if name in _ANYWAY else talkative)
            # Everyone draws the same number of times.
            if (rng.random() < often or everything) and value != "none":
                self.told.add(name)

    def sentence(self) -> str:
        noun = self.noun_phrase()
        having = [
            *self.hair(), *self.simple("skin", w.SKIN, w.SKIN_NOUN), *self.eyes(),
            *self.simple("brow_shape", w.BROW_SHAPE, w.BROW_NOUN),
            *self.simple("nose", w.NOSE, w.NOSE_NOUN), *self.facial_hair(), *self.face(),
        ]  # fmt: skip
        wearing = [*self.glasses(), *self.headwear(), *self.earrings()]
        garment = self.clothing()
        self.rng.shuffle(having)
        self.rng.shuffle(wearing)
        opening = self.pick(_OPENINGS)
        form = self.pick(("with", "with", "wearing", "in", "in", "who", "list"))
        if form == "list" and (having or wearing or garment):
            parts = [noun, *having, *wearing, *garment, *self.absent()]
            self.rng.shuffle(parts)
            return ", ".join(part.removeprefix("a ").removeprefix("an ") for part in parts)
        if form == "who" and (having or wearing or garment):
            verbs = [f"has {_join(having)}"] * bool(having)
            verbs += [f"wears {_join([*wearing, *garment])}"] * bool(wearing or garment)
            return f"{opening}{_a(noun)} who {' and '.join(verbs)}"
        if form == "in":
            tails = [("with", [*having, *wearing]), (self.pick(("in", "dressed in")), garment)]
        elif form == "wearing":
            tails = [("with", having), ("wearing", [*wearing, *garment])]
        else:
            tails = [("with", [*having, *wearing, *garment])]
        tails = [f"{verb} {_join(parts)}" for verb, parts in tails if parts] + self.absent()
        # "A suit with a tie with blue eyes" is no English.
        if not any(" with " in part for part in garment):
            self.rng.shuffle(tails)
        return opening + " ".join([_a(noun), *tails])

    def noun_phrase(self) -> str:
        """Adjectives and a noun, without article."""
        s, words = self.spec, []
        sex = s.presentation if "presentation" in self.told else ""
        aged = "age" in self.told
        if "expression" in self.told and self.chance(0.75):
            words.append(self.say("expression", w.EXPRESSION))
        # Nobody calls a boy a man, but people call men so at any other age.
        if s.age == "child":
            person = ("child" if sex or aged else "", sex)
        elif aged and (s.age, sex) in w.PEOPLE and self.chance(0.3):
            person = (s.age, sex)
        else:
            person = ("", sex)
            if aged and (s.age == "old" or self.everything or self.chance(0.4)):
                words.append(self.say("age", w.AGE))
        named = zip(("age", "presentation"), person, strict=True)
        self.mentioned |= {name: value for name, value in named if value}
        return _words(*words, *self.epithet(), self.pick(w.said(w.PEOPLE[person])))

    def epithet(self) -> list[str]:
        """One thing, perhaps, that is said before the noun instead of behind it."""
        s, options = self.spec, []
        if "hair_style" in self.told and s.hair_style == "bald" and self.chance(0.6):
            return [self.say("hair_style", w.BALD)]
        if not self.everything:
            coloured = self.haired and "hair_colour" in self.told
            tables = [
                ("eye_colour", w.EYE_COLOUR, "eyed", True),
                ("skin", w.SKIN, "skinned", True),
                ("facial_hair", {"beard": "bearded"}, "", True),
                ("hair_colour", w.HAIR_COLOUR, "haired", coloured),
                ("hair_colour", w.HAIR_COLOUR_ALONE, "", coloured),
                ("hair_style", {"curly": "curly"}, "haired", True),
            ]
            options = [(name, table, suffix) for name, table, suffix, sensible in tables
                       if sensible and name in self.told and getattr(s, name) in table]  # fmt: skip
        if s.facial_hair == "none" and s.presentation == "man" and s.age != "child":
            options.append(("facial_hair", w.CLEAN_SHAVEN, ""))
        if not options or not self.chance(0.3):
            return []
        name, table, suffix = self.pick(options)
        return ["-".join([self.say(name, table), *suffix.split()])]

    def hair(self) -> list[str]:
        s = self.spec
        if not self.haired:
            bald = self.untold("hair_style")
            return [f"a {self.say('hair_style', w.BALD)} head"] if bald else []
        colour = self.say("hair_colour", w.HAIR_COLOUR) if self.untold("hair_colour") else ""
        if not self.untold("hair_style"):
            return [f"{colour} hair"] if colour else []
        tables = [w.HAIR_ADJECTIVE, w.HAIR_STYLE_NOUN, w.HAIR_AFTER]
        table = self.pick([t for t in tables if w.said(t.get(s.hair_style, ""))])
        style = self.say("hair_style", table)
        if table is w.HAIR_AFTER:
            return [_words(colour, "hair", style)]
        if table is w.HAIR_STYLE_NOUN:
            # Hair is in a bun, but it is curls.
            if style == "curls" or self.chance(0.6):
                return [_a(_words(colour, style))]
            return [_words(colour, "hair in", _a(style))]
        both = [colour, style] if " " not in style and self.chance(0.25) else [style, colour]
        return [_words(*both, "hair")]

    def eyes(self) -> list[str]:
        shape = self.say("eye_shape", w.EYE_SHAPE) if self.untold("eye_shape") else ""
        colour = self.say("eye_colour", w.EYE_COLOUR) if self.untold("eye_colour") else ""
        return [_words(shape, colour, w.EYE_NOUN)] if shape or colour else []

    def facial_hair(self) -> list[str]:
        if not self.untold("facial_hair"):
            return []
        colour = ""
        if self.spec.facial_hair != "stubble" and (
            self.untold("hair_colour") or self.chance(0.25)
        ):  # fmt: skip
            colour = self.say("hair_colour", w.HAIR_COLOUR)
        if self.spec.facial_hair == "long beard":
            return [_a(_words(self.say("facial_hair", w.LONG_BEARD), colour, "beard"))]
        *adjectives, noun = self.say("facial_hair", w.BEARD | w.WHISKERS).split()
        return [_a(_words(*adjectives, colour, noun))]

    def face(self) -> list[str]:
        if not self.untold("expression"):
            return []
        return [_a(self.say("expression", w.EXPRESSION_NOUN))]

    def glasses(self) -> list[str]:
        if not self.untold("glasses"):
            return []
        if self.spec.glasses == "sunglasses":
            return [self.say("glasses", w.SUNGLASSES)]
        noun = self.pick(w.said(w.GLASSES_NOUN))
        # People often do not say of which kind.
        if self.chance(0.2) and not self.everything:
            return [noun]
        # The frames of these are as colourful as hats.
        colour = self.accent() if self.spec.glasses == "cat-eye" and self.chance(0.4) else ""
        return [_words(colour, self.say("glasses", w.GLASSES), noun)]

    def headwear(self) -> list[str]:
        if not self.untold("headwear"):
            return []
        colour = self.accent() if self.chance(0.7) else ""
        return [_a(_words(colour, self.say("headwear", w.HEADWEAR)))]

    def earrings(self) -> list[str]:
        if not self.untold("earrings"):
            return []
        if self.chance(0.2) and not self.everything:
            return ["earrings"]
        return [self.say("earrings", w.EARRINGS)]

    def clothing(self) -> list[str]:
        if not self.untold("clothing"):
            return []
        s, pattern, after = self.spec, "", ""
        untold = self.untold("clothing_colour")
        colour = self.say("clothing_colour", w.CLOTHING_COLOUR) if untold else ""
        # That something is plain is rarely worth a word.
        if self.untold("pattern") and (
            s.pattern != "plain" or self.everything or self.chance(0.1)
        ):  # fmt: skip
            if s.pattern in w.PATTERN_AFTER and self.chance(0.3):
                after = self.say("pattern", w.PATTERN_AFTER)
            else:
                pattern = self.say("pattern", w.PATTERN)
        first = s.pattern == "plain" or self.chance(0.5)
        before = [pattern, colour] if first else [colour, pattern]
        garment = _a(_words(*before, self.say("clothing", w.CLOTHING)))
        if not after and s.clothing == "suit" and self.chance(0.35):
            after = f"with {_a(_words(self.accent(), 'tie'))}"
        if s.clothing == "leather jacket" and self.chance(0.2):
            after = f"over {_a(_words(self.accent(), 'top'))}"
        return [_words(garment, after)]

    def simple(self, name, table, nouns) -> list[str]:
        if not self.untold(name):
            return []
        return [_a(f"{self.say(name, table)} {self.pick(w.said(nouns))}")]

    def absent(self) -> list[str]:
        """Now and then, that something is not there: edits ask for that."""
        grown_man = self.spec.presentation == "man" and self.spec.age != "child"
        nouns = {"glasses": "glasses", "headwear": "a hat", "facial_hair": "a beard"}
        name = self.pick(("glasses", "headwear", "facial_hair" if grown_man else "glasses"))
        fits = getattr(self.spec, name) == "none" and name not in self.mentioned
        if not fits or self.everything or not self.chance(0.1):
            return []
        self.mentioned[name] = "none"
        return [f"without {nouns[name]}"]

    def accent(self) -> str:
        return self.pick(w.said(w.CLOTHING_COLOUR[self.spec.accent]))

    def untold(self, name) -> bool:
        return name in self.told and name not in self.mentioned

    def say(self, name, table) -> str:
        """A wording of the attribute's value, which is thereby mentioned."""
        value = getattr(self.spec, name)
        self.mentioned[name] = value
        return self.pick(w.said(table[value]))

    def pick(self, options):
        return options[self.rng.integers(len(options))]

    def chance(self, share) -> bool:
        return bool(self.rng.random() < share)


def _words(*words: str) -> str:
    return " ".join(word for word in words if word)


def _join(parts: list[str]) -> str:
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def _a(noun: str) -> str:
    """With its indefinite article, if it takes one."""
    plural = noun.endswith("s") and not noun.endswith("ss")
    if plural or noun.endswith(("hair", "skin", "stubble")):
        return noun
    return f"{'an' if noun[0] in 'aeiou' else 'a'} {noun}"
