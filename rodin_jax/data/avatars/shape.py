"""From attributes to a sculpture."""

import numpy as np

from rodin_jax.data.avatars import accessories, beard, clothes, face, hair
from rodin_jax.data.avatars.head import head_of, sculpt_head
from rodin_jax.data.avatars.sculpture import Sculptor, Sculpture
from rodin_jax.data.avatars.spec import HAIR_COLOUR, SKIN, AvatarSpec

_FLOOR = -0.96


def sculpt(spec: AvatarSpec) -> Sculpture:
    """The solid avatar of ``spec``, facing -y, inside the unit cube."""
    s = Sculptor()
    rng = np.random.default_rng(spec.detail)
    skin = np.asarray(SKIN[spec.skin]) * spec.shade
    colour = np.asarray(HAIR_COLOUR[spec.hair_colour]) * spec.shade
    head = head_of(spec)
    sculpt_head(s, spec, head, skin)
    face.sculpt_face(s, spec, head, skin, colour)
    beard.grow_beard(s, spec, head, skin, colour, rng)
    clothes.dress(s, spec, skin)
    hair.grow(s, spec, head, skin, colour, rng)
    accessories.put_on(s, spec, head)
    return s.finish(_FLOOR)
