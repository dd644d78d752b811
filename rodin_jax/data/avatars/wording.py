"""The words of captions and prompts: attribute values and how people say them.

Left of a bar stand the wordings that captions use, right of it those that are only understood.
Adjectives mean something before their noun alone ("black hair", "black skin"), so the same word
may serve several nouns; with one noun it has one meaning.
"""

# Of the grown-up, "young" tells them from the old; children have nouns of their own.
AGE = {
    "adult": "young, adult | grown, grown-up, middle-aged",
    "old": "old, elderly | aged, senior",
}
# (age, presentation) -> nouns; an empty string says nothing about it.
PEOPLE = {
    ("", ""): "person | people, avatar, character",
    ("", "man"): "man, guy, gentleman | men, dude, bloke, fellow",
    ("", "woman"): "woman, lady | women",
    ("child", ""): "child, kid | toddler, youngster, children",
    ("child", "man"): "boy, little boy | lad, schoolboy",
    ("child", "woman"): "girl, little girl | lass, schoolgirl",
    ("old", "man"): "grandfather | grandpa, granddad",
    ("old", "woman"): "grandmother | grandma, granny",
}
PRONOUNS = {"man": "| he, his, him", "woman": "| she, her, hers"}
SEXES = {"man": "| male", "woman": "| female"}

SKIN = {
    "porcelain": "porcelain, very light | ivory, alabaster, very fair",
    "pale": "pale | very pale",
    "rosy": "rosy, pink | ruddy, pinkish",
    "fair": "fair, light | light-coloured, peach",
    "tan": "tan, tanned | light brown, suntanned, sun-tanned",
    "olive": "olive",
    "bronze": "bronze, bronzed | golden brown",
    "brown": "brown | medium brown",
    "dark": "dark | dark brown",
    "ebony": "ebony, very dark, black | deep black",
}
SKIN_NOUN = "skin, complexion"

HAIR_COLOUR = {
    "black": "black, jet-black | raven",
    "brown": "brown | brunette, brunet, chestnut, dark brown, light brown",
    "blond": "blond, blonde, golden | fair, yellow, platinum, light blonde, dark blonde",
    "red": "red, ginger | auburn, orange, copper, reddish",
    "grey": "grey, gray, silver | silvery, greying, graying, pepper",
    "white": "white | snow-white, snowy",
    "pink": "pink",
    "blue": "blue | light blue, dark blue",
    "green": "green | light green, dark green",
    "purple": "purple, violet | lilac, lavender",
}
# "A blonde woman" speaks of her hair without the noun.
HAIR_COLOUR_ALONE = {
    "blond": "blond, blonde",
    "brown": "brunette | brunet",
    "red": "ginger",
}
REDHEAD = {"red": "| redhead"}
HAIR_NOUN = "hair | locks, tresses, haircut, hairstyle, hairdo"
HAIR_ADJECTIVE = {
    "buzz": "very short, buzzed | close-cropped, closely cropped",
    "short": "short, cropped",
    "side part": "side-parted | side-swept",
    "curly": "curly | frizzy",
    "afro": "| afro",
    "bob": "chin-length, bobbed",
    "long": "long, long straight",
    "wavy": "wavy, long wavy",
    "braids": "braided | plaited",
}
HAIR_STYLE_NOUN = {
    "buzz": "buzz cut | buzzcut, crew cut",
    "curly": "curls",
    "afro": "afro",
    "bob": "bob, bob cut",
    "wavy": "| waves",
    "ponytail": "ponytail, pony tail",
    "bun": "bun, topknot | top knot",
    "mohawk": "mohawk | mohican",
    "braids": "braids, plaits | braid, plait, pigtails",
    "undercut": "undercut",
}
HAIR_AFTER = {
    "side part": "with a side part, with a side parting, combed to the side"
    " | parted on the side, parted at the side, parted to the side, swept to the side",
    "ponytail": "tied back in a ponytail",
    "bun": "tied up in a bun",
    "undercut": "with shaved sides | with the sides shaved",
}
BALD = {"bald": "bald | hairless, shaved head, shaven head, bald headed"}

CLEAN_SHAVEN = {"none": "clean-shaven | clean shaved, beardless"}
BEARD = {"beard": "beard, full beard, thick beard"}
LONG_BEARD = {"long beard": "long, flowing | very long"}  # before "beard"
WHISKERS = {
    "stubble": "stubble | five oclock shadow, stubbly chin, stubbly",
    "moustache": "moustache, mustache",
    "goatee": "goatee | chin beard",
    "sideburns": "sideburns, long sideburns | side whiskers, mutton chops",
}

BROW_SHAPE = {
    "straight": "straight, flat",
    "arched": "arched, curved",
    "bushy": "bushy, thick | heavy",
}
BROW_NOUN = "eyebrows, brows | eyebrow, brow"
EYE_COLOUR = {
    "brown": "brown | hazel, dark brown, light brown",
    "blue": "blue | light blue, dark blue",
    "green": "green | light green, dark green",
    "grey": "grey, gray",
}
EYE_SHAPE = {
    "round": "round",
    "almond": "almond-shaped, almond",
    "narrow": "narrow",
}
EYE_NOUN = "eyes"
NOSE = {
    "button": "button, small | snub, little, tiny",
    "straight": "straight",
    "wide": "wide, broad",
    "long": "long",
}
NOSE_NOUN = "nose"

EXPRESSION = {
    "neutral": "calm, serious | neutral, expressionless, relaxed",
    "smiling": "smiling, happy | smiles, cheerful, joyful",
    "laughing": "laughing, grinning | laughs, grin",
    "sad": "sad, unhappy | gloomy, crying, sorrowful, melancholy",
    "angry": "angry, frowning | mad, furious, frown, scowling, grumpy",
    "surprised": "surprised, astonished | shocked, amazed, startled, wide-eyed",
    "winking": "winking | winks, one eye closed, one closed eye",
    "sleepy": "sleepy, tired | drowsy, half-closed eyes",
}
EXPRESSION_NOUN = {
    "neutral": "neutral expression, serious look",
    "smiling": "smile, happy expression",
    "laughing": "laugh",
    "sad": "sad expression, sad look",
    "angry": "angry expression, angry look",
    "surprised": "surprised expression, surprised look",
    "winking": "wink",
    "sleepy": "sleepy look, tired expression",
}

GLASSES = {
    "round": "round | circular",
    "square": "square, rectangular",
    "cat-eye": "cat-eye | pointed",
}
GLASSES_NOUN = "glasses, spectacles | eyeglasses, specs"
SUNGLASSES = {"sunglasses": "sunglasses, dark glasses, shades | sun glasses, tinted glasses"}

HEADWEAR = {
    "cap": "cap, baseball cap | snapback",
    "beanie": "beanie, woolly hat, knitted hat | knit hat, wool hat, bobble hat, knit cap",
    "headband": "headband, hairband | sweatband, hair band, head band",
    "hat": "hat, brimmed hat, wide-brimmed hat | fedora, sun hat, straw hat, cowboy hat",
    "headphones": "headphones | headset, earphones, head phones",
}
WOOLLEN = {"beanie": "woolly, knitted | wool, knit"}  # before "hat"
EARRINGS = {
    "studs": "stud earrings, ear studs | studs, stud earring",
    "hoops": "hoop earrings, hoops | hoop earring, ring earrings",
}

CLOTHING = {
    "t-shirt": "t-shirt, tee | tshirt, tee shirt",
    "hoodie": "hoodie, hooded sweatshirt | hoody, hooded sweater",
    "shirt": "shirt, collared shirt, button-up shirt"
    " | blouse, dress shirt, buttoned shirt, button-down shirt",
    "turtleneck": "turtleneck, turtleneck sweater | turtle neck, polo neck, roll neck, rollneck",
    "leather jacket": "leather jacket, biker jacket | jacket, motorcycle jacket, leather coat",
    "suit": "suit | business suit, suit jacket, tuxedo, blazer",
    "dress": "dress | gown, sundress",
}
CLOTHING_COLOUR = {
    "red": "red | crimson, scarlet, dark red",
    "blue": "blue | navy, navy blue, dark blue, light blue",
    "green": "green | dark green, light green",
    "yellow": "yellow",
    "orange": "orange",
    "purple": "purple, violet | lilac",
    "pink": "pink | light pink",
    "black": "black",
    "white": "white",
    "grey": "grey, gray | dark grey, dark gray, light grey, light gray",
}
PATTERN = {
    "plain": "plain | solid",
    "striped": "striped | stripy, stripey",
    "dotted": "dotted, polka-dot | spotted, polka dotted",
}
PATTERN_AFTER = {"striped": "with stripes", "dotted": "with dots, with polka dots | with spots"}


def said(wordings: str) -> list[str]:
    """The wordings that captions use."""
    return _split(wordings.partition("|")[0])


def understood(wordings: str) -> list[str]:
    """All wordings."""
    return _split(wordings.replace("|", ","))


def _split(wordings):
    return [wording.strip() for wording in wordings.split(",") if wording.strip()]
