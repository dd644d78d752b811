"""From an `AvatarSpec` to the parts and strands of a whole person."""

import numpy as np

from rodin_jax.data.avatars.spec import AvatarSpec
from rodin_jax.data.blender.accessories import accessories
from rodin_jax.data.blender.beard import beard, beard_paint
from rodin_jax.data.blender.body import Body
from rodin_jax.data.blender.clothes import clothes
from rodin_jax.data.blender.face import face_parts, mouth_field
from rodin_jax.data.blender.hair import hair, scalp_paint
from rodin_jax.data.blender.head import Head, head_part
from rodin_jax.data.blender.parts import Part, Strands
from rodin_jax.data.blender.strands import Scalp


def build(spec: AvatarSpec) -> tuple[list[Part], list[Strands]]:
    """Meshes and hair of ``spec``, facing -y, inside [-1, 1]^3; the same spec, the same arrays."""
    head, body = Head(spec), Body(spec)
    # Hair lies on clothes, which are a little larger than the body.
    scalp = Scalp(head, lambda p: body.world(p) - 0.035, np.random.default_rng([spec.detail, 11]))
    scalp_share = scalp_paint(scalp)

    def paint(p):
        share, colour = scalp_share(p)
        return np.maximum(share, beard_paint(head, p)), colour

    face, brows = face_parts(head)
    ties, strands = hair(scalp)
    parts = [head_part(head, paint, mouth_field(head)), *face, *ties]
    parts += clothes(head, body) + accessories(head)
    return parts, brows + strands + beard(scalp)
