"""Reading sentences: which attributes a caption or a prompt speaks of.

A noun with a meaning ("hair", "bun", "glasses", "man") collects the adjectives before it; what an
adjective means depends on the noun. Words of no meaning here are passed over.
"""

import unicodedata
from collections.abc import Iterator

from rodin_jax.data.avatars import wording as w

Facts = dict[str, str]


def parse(caption: str) -> dict[str, str]:
    """The attributes that ``caption`` mentions, by the names and values of the spec's tables.

    What is left open ("glasses" of no kind, the colour of a hat) is not in the answer.
    """
    return _Reader(_words(caption)).read()


def wordings() -> Iterator[tuple[str, Facts]]:
    """Every phrase that means something on its own, adjectives with their nouns; its meaning."""
    for noun, (kind, meant, _) in _HEADS.items():
        if meant:
            yield noun, meant
        else:
            for adjective, added in _ADJECTIVES.get(kind, {}).items():
                yield f"{adjective} {noun}", added


def _words(text: str) -> list[str]:
    text = unicodedata.normalize("NFKD", text.lower().replace("&", " and "))
    kept = []
    for character in text:
        if character.isalnum():
            kept.append(character)
        elif character in "-_" or character.isspace():
            kept.append(" ")
        elif character not in "'’" and not unicodedata.combining(character):
            kept.append(" , ")
    return "".join(kept).split()


def _put(table, phrase, meaning):
    """Adds a phrase, which may be there already if it means the same."""
    if table.setdefault(" ".join(_words(phrase)), meaning) != meaning:
        raise ValueError(f"{phrase!r} means two things")


def _adjectives(**tables: dict[str, str]) -> dict[str, Facts]:
    adjectives = {}
    for attribute, table in tables.items():
        for value, text in table.items():
            for phrase in w.understood(text):
                _put(adjectives, phrase, {attribute: value})
    return adjectives


# Noun kind -> adjective -> meaning.
_ADJECTIVES = {
    "person": _adjectives(age=w.AGE, hair_colour=w.HAIR_COLOUR_ALONE),
    "skin": _adjectives(skin=w.SKIN),
    "hair": _adjectives(hair_colour=w.HAIR_COLOUR, hair_style=w.HAIR_ADJECTIVE),
    "beard": _adjectives(hair_colour=w.HAIR_COLOUR, facial_hair=w.LONG_BEARD),
    "whiskers": _adjectives(hair_colour=w.HAIR_COLOUR),
    "brows": _adjectives(brow_shape=w.BROW_SHAPE),
    "eyes": _adjectives(eye_colour=w.EYE_COLOUR, eye_shape=w.EYE_SHAPE),
    "nose": _adjectives(nose=w.NOSE),
    "glasses": _adjectives(glasses=w.GLASSES),
    "headwear": _adjectives(headwear=w.WOOLLEN),
    "clothing": _adjectives(clothing_colour=w.CLOTHING_COLOUR, pattern=w.PATTERN),
    # "A brunette in red" has no noun for the hair.
    "nobody": _adjectives(hair_colour=w.HAIR_COLOUR_ALONE),
}
_KNOWN = {word for table in _ADJECTIVES.values() for phrase in table for word in phrase.split()}


def _heads() -> dict[str, tuple[str | None, Facts, bool]]:
    """Phrase -> (kind, meaning, whether it is a noun, which ends what the adjectives belong to)."""
    heads = {}

    def add(kind, text, meant, noun=True):
        for phrase in w.understood(text):
            _put(heads, phrase.removeprefix("with "), (kind, meant, noun))

    def add_table(kind, attribute, table, noun=True):
        for value, text in table.items():
            add(kind, text, {attribute: value}, noun)

    for (age, presentation), text in w.PEOPLE.items():
        meant = {"age": age, "presentation": presentation}
        add("person", text, {name: value for name, value in meant.items() if value})
    add_table("person", "presentation", w.SEXES, noun=False)
    add_table("person", "hair_colour", w.REDHEAD)
    add("skin", w.SKIN_NOUN, {})
    add("skin", "skinned", {}, noun=False)
    add("hair", w.HAIR_NOUN, {})
    add("hair", "haired, headed", {}, noun=False)
    add_table("hair", "hair_style", w.HAIR_STYLE_NOUN)
    add_table("hair", "hair_style", w.HAIR_AFTER)
    # Within "tied back in a ponytail" the noun alone says it too.
    add_table("hair", "hair_style", {"side part": "side part, side parting"})
    add_table("hair", "hair_style", {"undercut": "shaved sides"})
    add_table("beard", "facial_hair", w.BEARD)
    add("beard", "bearded", {"facial_hair": "beard"}, noun=False)
    add_table("whiskers", "facial_hair", w.WHISKERS)
    add_table("whiskers", "facial_hair", {"moustache": "moustached, mustached"}, noun=False)
    add("whiskers", "facial hair", {})
    add("brows", w.BROW_NOUN, {})
    add("eyes", w.EYE_NOUN, {})
    add("eyes", "eyed", {}, noun=False)
    add("nose", w.NOSE_NOUN, {})
    add("glasses", w.GLASSES_NOUN, {})
    add_table("sunglasses", "glasses", w.SUNGLASSES)
    add_table("headwear", "headwear", w.HEADWEAR)
    add("headwear", "headwear, headgear", {})
    add("earrings", "earrings, earring", {})
    add_table("earrings", "earrings", w.EARRINGS)
    add("clothing", "clothes, clothing, outfit", {})
    add_table("clothing", "clothing", w.CLOTHING)
    add_table("pattern", "pattern", w.PATTERN_AFTER)
    # These say it all by themselves and leave the adjectives around them alone.
    add_table(None, "presentation", w.PRONOUNS, noun=False)
    add_table(None, "expression", w.EXPRESSION, noun=False)
    add_table(None, "expression", w.EXPRESSION_NOUN, noun=False)
    add_table(None, "hair_style", w.BALD, noun=False)
    add_table(None, "facial_hair", w.CLEAN_SHAVEN, noun=False)
    return heads


_HEADS = _heads()
_LONGEST = max(len(phrase.split()) for phrase in _HEADS)
_LINKS = ("and", "or", "nor", ",")
_NEGATIONS = ("without", "no", "not", "never")
_ARTICLES = ("a", "an", "the")
_COPULAS = ("is", "are", "was", "looks")
_DRESSING = ("in", "wearing", "wears")
_BREAKS = (
    *_ARTICLES, *_COPULAS, *_DRESSING, "with", "into", "of", "on", "at", "has", "have", "having",
    "who", "whose", "that", "which", "dressed", "looking", "over", "under", "by", "for", "to",
)  # fmt: skip
# What "without glasses" means.
_ABSENT = {
    "glasses": {"glasses": "none"},
    "sunglasses": {"glasses": "none"},
    "headwear": {"headwear": "none"},
    "earrings": {"earrings": "none"},
    "beard": {"facial_hair": "none"},
    "whiskers": {"facial_hair": "none"},
    "hair": {"hair_style": "bald"},
}
# Of two values the more special one counts: "long wavy hair" is wavy, "a beard and moustache" a
# beard. Later is stronger.
_RANKS = {
    "hair_style": ("short", "long", "wavy", "buzz", "curly", "side part", "undercut", "bob",
                   "ponytail", "bun", "braids", "mohawk", "afro", "bald"),
    "facial_hair": ("none", "stubble", "sideburns", "moustache", "goatee", "beard", "long beard"),
}  # fmt: skip


class _Reader:
    """Goes through the words once; ``waiting`` holds adjectives whose noun has not come."""

    def __init__(self, words):
        self.words, self.waiting = words, []
        self.found = {}  # attribute -> (strength, value)
        self.kind = None  # of the last noun
        self.target = "nobody"  # whose the adjectives are if no noun comes
        self.negated = self.covered = self.dressed = False

    def read(self) -> Facts:
        i = 0
        while i < len(self.words):
            length = self._head_at(i)
            if length:
                after = self.words[i + length : i + length + 1]
                self._take(*_HEADS[" ".join(self.words[i : i + length])], after)
            else:
                self._pass(self.words[i])
            i += length or 1
        self._settle()
        return {attribute: value for attribute, (_, value) in self.found.items()}

    def _head_at(self, i):
        for length in range(min(_LONGEST, len(self.words) - i), 0, -1):
            if " ".join(self.words[i : i + length]) in _HEADS:
                return length
        return 0

    def _take(self, kind, meant, noun, after):
        adjectives, rest = _read_adjectives(self.waiting, kind)
        self.waiting = [] if noun else rest
        if self.negated:
            self._note(_ABSENT.get(kind, {}), kind)
            self.negated = after in (["or"], ["nor"])
        elif kind != "clothing":
            # "A young boy" is a boy, "a woolly red hat" no mere hat.
            for facts in (meant, adjectives) if kind == "person" else (adjectives, meant):
                self._note(facts, kind)
        elif not self.covered and not self.dressed:
            # Only the first garment counts, "a suit with a white shirt" is a suit.
            self.dressed = bool(meant)
            self._note(meant | adjectives, kind)
        if kind == "clothing":
            self.covered = False
        if noun:
            self.kind, self.target = kind, "nobody"

    def _pass(self, word):
        if word in _NEGATIONS:
            self._settle()
            self.negated = True
        elif word in _LINKS:
            if self.target != "nobody" or not self._ends_in_adjective():
                self._settle()
        elif word in _BREAKS:
            self._settle()
            if word in _COPULAS:
                self.target = self.kind
            elif word not in _ARTICLES:
                self.target = "clothing" if word in _DRESSING else "nobody"
                # "Not wearing a hat" is still a negation.
                self.negated &= word in ("wearing", "wears", "having", "has", "have")
            self.covered |= word == "over"
            if word == "under" and self.kind == "clothing":
                self.dressed = False
                for attribute in ("clothing", "clothing_colour", "pattern"):
                    self.found.pop(attribute, None)
        else:
            self.waiting.append(word)

    def _settle(self):
        """No noun came. An unknown last word is the noun of something else ("a red scarf")."""
        if self._ends_in_adjective() and not self.negated:
            self._note(_read_adjectives(self.waiting, self.target)[0], self.target)
        self.waiting = []

    def _ends_in_adjective(self):
        return bool(self.waiting) and self.waiting[-1] in _KNOWN

    def _note(self, facts, kind):
        for attribute, value in facts.items():
            strength = 1
            if attribute in _RANKS:
                strength = _RANKS[attribute].index(value)
            elif attribute == "hair_colour":
                # A beard's colour is the hair's unless that is said too.
                strength = 0 if kind in ("beard", "whiskers") else 1
            elif attribute == "presentation":
                strength = 0 if kind is None else 1
            if attribute not in self.found or strength > self.found[attribute][0]:
                self.found[attribute] = strength, value


def _read_adjectives(words, kind) -> tuple[Facts, list[str]]:
    """The meaning of ``words`` before a noun of ``kind``, and the words that have none there."""
    table, facts, rest, i = _ADJECTIVES.get(kind, {}), {}, [], 0
    while i < len(words):
        for length in range(min(3, len(words) - i), 0, -1):
            phrase = " ".join(words[i : i + length])
            if phrase in table:
                for attribute, value in table[phrase].items():
                    facts.setdefault(attribute, value)
                i += length
                break
        else:
            rest.append(words[i])
            i += 1
    return facts, rest
