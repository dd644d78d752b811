"""What an avatar is before it has a shape: named attributes and a few proportions.

Everything is drawn from ``(seed, index)`` alone, so a data set is described by two numbers.
"""

import dataclasses

import numpy as np

# Colours are sRGB in [0, 1]. From the lightest to the darkest skin.
SKIN = {
    "porcelain": (0.98, 0.87, 0.80),
    "pale": (0.96, 0.81, 0.72),
    "rosy": (0.95, 0.75, 0.67),
    "fair": (0.93, 0.74, 0.60),
    "tan": (0.80, 0.58, 0.42),
    "olive": (0.73, 0.56, 0.36),
    "bronze": (0.69, 0.46, 0.30),
    "brown": (0.47, 0.30, 0.20),
    "dark": (0.36, 0.23, 0.16),
    "ebony": (0.27, 0.17, 0.13),
}
SKIN_GROUP = {
    "light": ("porcelain", "pale", "rosy", "fair"),
    "medium": ("tan", "olive", "bronze"),
    "deep": ("brown", "dark", "ebony"),
}
HAIR_COLOUR = {
    "black": (0.075, 0.065, 0.07),
    "brown": (0.33, 0.19, 0.10),
    "blond": (0.92, 0.75, 0.40),
    "red": (0.76, 0.25, 0.08),
    "grey": (0.45, 0.46, 0.49),
    "white": (0.94, 0.94, 0.93),
    "pink": (0.95, 0.47, 0.67),
    "blue": (0.18, 0.40, 0.84),
    "green": (0.22, 0.62, 0.34),
    "purple": (0.50, 0.25, 0.68),
}
HAIR_STYLE = (
    "bald", "buzz", "short", "side part", "curly", "afro", "bob", "long", "wavy", "ponytail",
    "bun", "mohawk", "braids", "undercut",
)  # fmt: skip
FACIAL_HAIR = ("none", "stubble", "moustache", "goatee", "beard", "long beard", "sideburns")
BROW_SHAPE = ("straight", "arched", "bushy")
EYE_COLOUR = {
    "brown": (0.32, 0.18, 0.09),
    "blue": (0.22, 0.48, 0.80),
    "green": (0.28, 0.56, 0.28),
    "grey": (0.45, 0.50, 0.55),
}
EYE_SHAPE = ("round", "almond", "narrow")
NOSE = ("button", "straight", "wide", "long")
EXPRESSION = (
    "neutral", "smiling", "laughing", "sad", "angry", "surprised", "winking", "sleepy",
)  # fmt: skip
GLASSES = ("none", "round", "square", "cat-eye", "sunglasses")
HEADWEAR = ("none", "cap", "beanie", "headband", "hat", "headphones")
EARRINGS = ("none", "studs", "hoops")
CLOTHING = ("t-shirt", "hoodie", "shirt", "turtleneck", "leather jacket", "suit", "dress")
PATTERN = ("plain", "striped", "dotted")
CLOTHING_COLOUR = {
    "red": (0.80, 0.16, 0.16),
    "blue": (0.16, 0.34, 0.74),
    "green": (0.16, 0.53, 0.30),
    "yellow": (0.97, 0.80, 0.24),
    "orange": (0.96, 0.51, 0.15),
    "purple": (0.47, 0.24, 0.66),
    "pink": (0.96, 0.60, 0.73),
    "black": (0.09, 0.09, 0.10),
    "white": (0.95, 0.95, 0.94),
    "grey": (0.50, 0.52, 0.55),
}
AGE = ("child", "adult", "old")
PRESENTATION = ("man", "woman")
# What stands under these is hidden from the brow line up.
COVERING_HEADWEAR = ("cap", "beanie", "hat")


@dataclasses.dataclass(frozen=True)
class AvatarSpec:
    """One avatar. Words come from this module's tables; proportions are factors around 1.

    ``accent`` colours ties, hats and what is worn under a jacket; ``parting`` says where the hair
    is parted (-1 the subject's right, 1 the left); ``detail`` seeds the small random relief (curls,
    locks) that no attribute names.
    """

    age: str
    presentation: str
    skin: str
    hair_style: str
    hair_colour: str
    facial_hair: str
    brow_shape: str
    eye_colour: str
    eye_shape: str
    nose: str
    expression: str
    glasses: str
    headwear: str
    earrings: str
    clothing: str
    pattern: str
    clothing_colour: str
    accent: str
    head_width: float
    head_height: float
    jaw: float
    cheeks: float
    chin: float
    ears: float
    nose_size: float
    eyes: float
    eye_spacing: float
    lids: float
    brows: float
    mouth: float
    shoulders: float
    shade: float
    parting: float
    detail: int


def sample_spec(seed: int, index: int) -> AvatarSpec:
    """Draws avatar ``index`` of the world ``seed``; the same pair always gives the same avatar."""
    rng = np.random.default_rng([seed, index])

    def pick(options, weights=None):
        weights = np.ones(len(options)) if weights is None else np.asarray(weights, float)
        return str(rng.choice(list(options), p=weights / weights.sum()))

    def pick_of(weights):
        return pick(weights, list(weights.values()))

    def around_one(spread):
        return float(np.clip(1 + spread * rng.standard_normal(), 1 - 2 * spread, 1 + 2 * spread))

    age = pick(AGE, (0.15, 0.6, 0.25))
    presentation = pick(PRESENTATION)
    man, child = presentation == "man", age == "child"
    grown_man = man and not child
    skin = pick(SKIN)
    hair_style = pick_of(_styles(man, child))
    hair_colour = pick_of(_colours(age))
    clothing = pick_of(_clothing(man))
    plain = 8.0 if clothing in ("suit", "turtleneck", "hoodie") else 3.0
    jacket = clothing == "leather jacket"
    clothing_colour = pick(
        CLOTHING_COLOUR, [6.0 if jacket and c == "black" else 1.0 for c in CLOTHING_COLOUR]
    )
    accent = pick([c for c in CLOTHING_COLOUR if c != clothing_colour])
    headwear = pick(HEADWEAR, (6, 1, 1, 1, 1, 1))
    return AvatarSpec(
        age=age,
        presentation=presentation,
        skin=skin,
        hair_style=hair_style,
        hair_colour=hair_colour,
        facial_hair=pick(FACIAL_HAIR, (5, 1, 1.4, 1.2, 1.8, 1.2, 1)) if grown_man else "none",
        brow_shape=pick(BROW_SHAPE, (2, 1, 2) if man else (1, 2, 0.5)),
        eye_colour=pick(EYE_COLOUR),
        eye_shape=pick(EYE_SHAPE),
        nose=pick(NOSE, (3, 1, 1, 0.2) if child else (1, 1, 1, 1)),
        expression=pick(EXPRESSION, (1.1, 1.5, 1.2, 0.9, 0.9, 0.9, 0.8, 0.8)),
        glasses=pick(GLASSES, (5, 1.5, 1.5, 0.5 if man else 1.5, 1.3)),
        headwear=headwear,
        earrings=pick(EARRINGS, (12, 1, 1) if man else (4, 2, 2)),
        clothing=clothing,
        pattern="plain" if jacket else pick(PATTERN, (plain, 2, 2)),
        clothing_colour=clothing_colour,
        accent=accent,
        head_width=around_one(0.04),
        head_height=around_one(0.04) * (0.96 if child else 1.0),
        jaw=around_one(0.08) * (1.05 if man else 0.94) * (0.94 if child else 1.0),
        cheeks=around_one(0.12) * (1.12 if child else 1.0),
        chin=around_one(0.12) * (1.06 if grown_man else 0.94),
        ears=around_one(0.12) * (1.1 if age == "old" else 1.0),
        nose_size=around_one(0.10) * {"child": 0.86, "adult": 1.0, "old": 1.1}[age],
        eyes=around_one(0.06) * {"child": 1.14, "adult": 1.0, "old": 0.94}[age],
        eye_spacing=around_one(0.04),
        lids=around_one(0.10) * (1.15 if age == "old" else 1.0),
        brows=around_one(0.15) * (1.1 if man else 0.85),
        mouth=around_one(0.08),
        shoulders=around_one(0.05) * {"child": 0.84, "adult": 1.0, "old": 0.97}[age]
        * (1.03 if man else 0.96),
        shade=around_one(0.03),
        parting=float(rng.uniform(-1, 1)),
        detail=int(rng.integers(2**31)),
    )  # fmt: skip


def _styles(man: bool, child: bool) -> dict[str, float]:
    """How often each style is worn."""
    if man:
        often = (1.0, 1.0, 1.6, 1.4, 1.4, 1.0, 0.3, 0.6, 0.4, 0.4, 0.4, 0.8, 0.5, 1.2)
    else:
        often = (0.15, 0.3, 0.7, 0.6, 1.3, 1.0, 1.4, 1.4, 1.3, 1.2, 1.2, 0.5, 1.2, 0.6)
    weights = dict(zip(HAIR_STYLE, often, strict=True))
    return weights | {"bald": 0.0} if child else weights


def _colours(age: str) -> dict[str, float]:
    """How often each hair colour occurs: the old are grey."""
    often = (1.3, 1.3, 1.3, 1.2, 0.3, 0.2, 0.45, 0.45, 0.45, 0.45)
    weights = dict(zip(HAIR_COLOUR, often, strict=True))
    if age == "old":
        return weights | {"grey": 3.5, "white": 3.5}
    return weights | {"grey": 0.0, "white": 0.0} if age == "child" else weights


def _clothing(man: bool) -> dict[str, float]:
    """How often each garment is worn."""
    often = (1.2, 1.1, 1.1, 1.0, 1.1, 1.1, 0.0 if man else 2.0)
    return dict(zip(CLOTHING, often, strict=True))


def attributes(spec: AvatarSpec) -> dict[str, str]:
    """The words of a spec: attribute name to value, in the order of its fields."""
    return {k: v for k, v in dataclasses.asdict(spec).items()
            if isinstance(v, str) and k != "accent"}  # fmt: skip
