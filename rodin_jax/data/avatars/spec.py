"""What an avatar is before it has a shape: named attributes and a few proportions.

Everything is drawn from ``(seed, index)`` alone, so a data set is described by two numbers.
"""

import dataclasses

import numpy as np

SKIN = {
    "pale": (0.96, 0.82, 0.74),
    "fair": (0.93, 0.73, 0.60),
    "tan": (0.83, 0.60, 0.43),
    "olive": (0.72, 0.55, 0.36),
    "brown": (0.52, 0.33, 0.21),
    "dark": (0.31, 0.19, 0.13),
}
HAIR_COLOUR = {
    "black": (0.05, 0.045, 0.05),
    "brown": (0.27, 0.15, 0.08),
    "blond": (0.88, 0.70, 0.34),
    "red": (0.70, 0.19, 0.05),
    "grey": (0.52, 0.53, 0.55),
    "white": (0.92, 0.92, 0.90),
    "pink": (0.93, 0.42, 0.62),
    "blue": (0.16, 0.34, 0.78),
    "green": (0.20, 0.58, 0.30),
}
HAIR_STYLE = (
    "bald", "buzz", "short", "curly", "afro", "bob", "long", "wavy", "ponytail", "bun", "mohawk",
)  # fmt: skip
FACIAL_HAIR = ("none", "stubble", "moustache", "goatee", "beard")
EXPRESSION = ("neutral", "smiling", "laughing", "sad", "angry", "surprised")
GLASSES = ("none", "round", "square", "sunglasses")
HEADWEAR = ("none", "cap", "beanie", "headband", "hat")
EYE_COLOUR = {
    "brown": (0.26, 0.14, 0.07),
    "blue": (0.20, 0.44, 0.75),
    "green": (0.25, 0.50, 0.26),
    "grey": (0.42, 0.47, 0.52),
}
CLOTHING = ("t-shirt", "hoodie", "shirt", "turtleneck", "jacket", "suit")
CLOTHING_COLOUR = {
    "red": (0.74, 0.12, 0.12),
    "blue": (0.13, 0.27, 0.66),
    "green": (0.12, 0.45, 0.24),
    "yellow": (0.94, 0.77, 0.18),
    "orange": (0.93, 0.46, 0.11),
    "purple": (0.42, 0.20, 0.58),
    "pink": (0.93, 0.55, 0.68),
    "black": (0.07, 0.07, 0.08),
    "white": (0.92, 0.92, 0.91),
    "grey": (0.47, 0.48, 0.50),
}
AGE = ("child", "adult", "old")
PRESENTATION = ("man", "woman")


@dataclasses.dataclass(frozen=True)
class AvatarSpec:
    """One avatar. Words come from this module's tables; proportions are factors around 1.

    ``detail`` seeds the small random relief (curls, tufts) that no attribute names.
    """

    age: str
    presentation: str
    skin: str
    hair_style: str
    hair_colour: str
    facial_hair: str
    glasses: str
    headwear: str
    expression: str
    eye_colour: str
    clothing: str
    clothing_colour: str
    head_width: float
    head_height: float
    jaw: float
    ears: float
    nose: float
    eyes: float
    eye_spacing: float
    brows: float
    mouth: float
    shoulders: float
    shade: float
    accent: str
    detail: int


def sample_spec(seed: int, index: int) -> AvatarSpec:
    """Draws avatar ``index`` of the world ``seed``; the same pair always gives the same avatar."""
    rng = np.random.default_rng([seed, index])

    def pick(options, weights=None):
        weights = np.ones(len(options)) if weights is None else np.asarray(weights, float)
        return str(rng.choice(list(options), p=weights / weights.sum()))

    def around_one(spread):
        return float(np.clip(1 + spread * rng.standard_normal(), 1 - 2 * spread, 1 + 2 * spread))

    age = pick(AGE, (0.15, 0.6, 0.25))
    presentation = pick(PRESENTATION)
    man = presentation == "man"
    adult_man = man and age != "child"
    styles = {
        "bald": 0.9 if adult_man else 0.0,
        "buzz": 1.0 if man else 0.25,
        "short": 1.8 if man else 0.8,
        "curly": 1.3,
        "afro": 0.9,
        "bob": 0.2 if man else 1.3,
        "long": 0.5 if man else 1.4,
        "wavy": 0.3 if man else 1.2,
        "ponytail": 0.3 if man else 1.0,
        "bun": 0.3 if man else 1.0,
        "mohawk": 0.7,
    }
    hair_style = pick(styles, list(styles.values()))
    colours = {"black": 1.3, "brown": 1.3, "blond": 1.2, "red": 1.2, "grey": 0.25, "white": 0.15,
               "pink": 0.4, "blue": 0.4, "green": 0.4}  # fmt: skip
    if age == "old":
        colours |= {"grey": 3.0, "white": 3.0}
    elif age == "child":
        colours |= {"grey": 0.0, "white": 0.0}
    return AvatarSpec(
        age=age,
        presentation=presentation,
        skin=pick(SKIN),
        hair_style=hair_style,
        hair_colour=pick(colours, list(colours.values())),
        facial_hair=pick(FACIAL_HAIR, (4, 1, 1.3, 1.2, 2)) if adult_man else "none",
        glasses=pick(GLASSES, (5, 2, 2, 1.5)),
        headwear=pick(HEADWEAR, (7, 1, 1, 1, 1)),
        expression=pick(EXPRESSION, (1.2, 1.5, 1.2, 0.9, 0.9, 0.9)),
        eye_colour=pick(EYE_COLOUR),
        clothing=pick(CLOTHING),
        clothing_colour=pick(CLOTHING_COLOUR),
        head_width=around_one(0.04),
        head_height=around_one(0.04),
        jaw=around_one(0.08) * (1.04 if man else 0.95),
        ears=around_one(0.12),
        nose=around_one(0.14),
        eyes=around_one(0.08) * {"child": 1.16, "adult": 1.0, "old": 0.93}[age],
        eye_spacing=around_one(0.05),
        brows=around_one(0.2) * (1.15 if man else 0.85),
        mouth=around_one(0.1),
        shoulders=around_one(0.05) * {"child": 0.84, "adult": 1.0, "old": 0.97}[age],
        shade=around_one(0.04),
        accent=pick(CLOTHING_COLOUR),
        detail=int(rng.integers(2**31)),
    )


def attributes(spec: AvatarSpec) -> dict[str, str]:
    """The words of a spec: attribute name to value."""
    return {k: v for k, v in dataclasses.asdict(spec).items()
            if isinstance(v, str) and k != "accent"}  # fmt: skip
