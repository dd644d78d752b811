"""Sentences about an avatar: synonyms, varied order, and often only part of the truth."""

import numpy as np

from rodin_jax.data.avatars.spec import AvatarSpec

_WHO = {
    ("child", "man"): ("boy", "young boy", "little boy"),
    ("child", "woman"): ("girl", "young girl", "little girl"),
    ("adult", "man"): ("man", "guy", "gentleman"),
    ("adult", "woman"): ("woman", "lady"),
    ("old", "man"): ("old man", "elderly man", "grandfather"),
    ("old", "woman"): ("old woman", "elderly woman", "grandmother"),
}
_SKIN = {
    "pale": ("pale skin", "very light skin"), "fair": ("fair skin", "light skin"),
    "tan": ("tan skin", "tanned skin"), "olive": ("olive skin",),
    "brown": ("brown skin",), "dark": ("dark skin", "black skin"),
}  # fmt: skip
_HAIR_COLOUR = {
    "black": ("black",), "brown": ("brown", "brunette"), "blond": ("blond", "blonde", "golden"),
    "red": ("red", "ginger"), "grey": ("grey", "gray", "silver"), "white": ("white",),
    "pink": ("pink",), "blue": ("blue",), "green": ("green",),
}  # fmt: skip
_HAIR_STYLE = {
    "buzz": ("buzz cut {} hair", "a {} buzz cut", "shaved {} hair"),
    "short": ("short {} hair", "cropped {} hair"),
    "curly": ("curly {} hair", "{} curls"),
    "afro": ("an afro of {} hair", "a {} afro", "big {} afro hair"),
    "bob": ("a {} bob", "{} hair in a bob", "chin length {} hair"),
    "long": ("long straight {} hair", "long {} hair", "straight long {} hair"),
    "wavy": ("wavy {} hair", "long wavy {} hair"),
    "ponytail": ("a {} ponytail", "{} hair in a ponytail"),
    "bun": ("a {} bun", "{} hair in a bun"),
    "mohawk": ("a {} mohawk",),
}
_FACIAL_HAIR = {
    "stubble": ("stubble", "a stubbly chin"), "moustache": ("a moustache", "a mustache"),
    "goatee": ("a goatee",), "beard": ("a beard", "a full beard", "a thick beard"),
}  # fmt: skip
_EXPRESSION = {
    "neutral": ("calm", "serious"), "smiling": ("smiling", "happy"),
    "laughing": ("laughing", "grinning"), "sad": ("sad", "unhappy"),
    "angry": ("angry", "frowning"), "surprised": ("surprised", "astonished"),
}  # fmt: skip
_GLASSES = {
    "round": ("round glasses", "round spectacles"),
    "square": ("square glasses", "rectangular glasses"),
    "sunglasses": ("sunglasses", "dark glasses", "shades"),
}  # fmt: skip
_HEADWEAR = {
    "cap": ("a cap", "a baseball cap"), "beanie": ("a beanie", "a woolly hat", "a knitted hat"),
    "headband": ("a headband",), "hat": ("a hat", "a wide hat", "a wide brimmed hat"),
}  # fmt: skip
_CLOTHING = {
    "t-shirt": ("t-shirt", "tee"), "hoodie": ("hoodie", "hooded sweatshirt"),
    "shirt": ("shirt", "shirt with a collar", "buttoned shirt"),
    "turtleneck": ("turtleneck", "turtleneck sweater"),
    "jacket": ("jacket", "leather jacket"), "suit": ("suit", "suit with a tie"),
}  # fmt: skip
_OPENINGS = ("", "", "", "a photo of ", "a portrait of ", "an avatar of ", "a picture of ")
# How often each kind of detail is mentioned; the rest is left to the imagination.
_MENTION = {"hair": 0.8, "glasses": 0.8, "facial": 0.8, "headwear": 0.75, "expression": 0.6,
            "clothing": 0.55, "skin": 0.4, "eyes": 0.25}  # fmt: skip


def captions(spec: AvatarSpec, seed: int, count: int) -> list[str]:
    """``count`` sentences about ``spec``; the first mentions everything."""
    rng = np.random.default_rng([seed, spec.detail])
    return [_sentence(spec, rng, everything=i == 0) for i in range(count)]


def _sentence(spec: AvatarSpec, rng, everything: bool) -> str:
    def pick(options):
        return options[rng.integers(len(options))]

    def mentioned(kind):
        return bool(rng.random() < _MENTION[kind]) or everything

    who = pick(_WHO[spec.age, spec.presentation])
    before, having, wearing = [], [], []
    if mentioned("expression"):
        before.append(pick(_EXPRESSION[spec.expression]))
    if spec.hair_style == "bald":
        if mentioned("hair"):
            (before if rng.random() < 0.6 else having).append("bald")
    elif mentioned("hair"):
        having.append(_hair(spec, rng, pick))
    if mentioned("skin"):
        having.append(pick(_SKIN[spec.skin]))
    if mentioned("eyes") and spec.glasses != "sunglasses":
        having.append(f"{spec.eye_colour} eyes")
    if spec.facial_hair != "none" and mentioned("facial"):
        having.append(pick(_FACIAL_HAIR[spec.facial_hair]))
    if spec.glasses != "none" and mentioned("glasses"):
        wearing.append(pick(_GLASSES[spec.glasses]))
    if spec.headwear != "none" and mentioned("headwear"):
        wearing.append(pick(_HEADWEAR[spec.headwear]))
    if mentioned("clothing"):
        garment = pick(_CLOTHING[spec.clothing])
        wearing.append(f"{_article(spec.clothing_colour)} {spec.clothing_colour} {garment}")
    if "bald" in having:
        having[having.index("bald")] = "a bald head"
    rng.shuffle(having)
    rng.shuffle(wearing)
    noun = " ".join([*before, who])
    tails = []
    if having or wearing:
        # "with" serves what one has and what one wears; "wearing" only the latter.
        if wearing and rng.random() < 0.5:
            tails = [f"with {_join(having)}"] if having else []
            tails.append(f"wearing {_join(wearing)}")
            if len(tails) == 2 and rng.random() < 0.5:
                tails.reverse()
        else:
            tails = [f"with {_join([*having, *wearing])}"]
    return f"{pick(_OPENINGS)}{_article(noun)} {' '.join([noun, *tails])}"


def _hair(spec: AvatarSpec, rng, pick) -> str:
    colour = pick(_HAIR_COLOUR[spec.hair_colour])
    chance = rng.random()
    if chance < 0.2:
        return f"{colour} hair"
    phrase = pick(_HAIR_STYLE[spec.hair_style])
    if chance < 0.35:
        return phrase.replace("{} ", "").replace(" of {}", "")
    if phrase.startswith("{} curls") or "{} hair" not in phrase:
        return phrase.format(colour)
    # "curly red hair" and "red curly hair" are both natural.
    style = phrase.split(" {} hair")[0]
    if chance < 0.5 and phrase == style + " {} hair" and not style.startswith("a"):
        return f"{colour} {style} hair"
    return phrase.format(colour)


def _join(parts: list[str]) -> str:
    return parts[0] if len(parts) == 1 else f"{', '.join(parts[:-1])} and {parts[-1]}"


def _article(noun: str) -> str:
    return "an" if noun[0] in "aeiou" else "a"
