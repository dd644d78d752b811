"""How a bundle samples by default: numbers that its ``config.json`` may carry."""

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Sampling:
    """How to sample by default; a bundle may carry its own.

    Attributes:
      sampler: "dpm_solver", "ddim" or "ancestral", for all four processes.
      base_steps: steps of the base model.
      upsampler_steps: steps of the upsampler.
      latent_steps: steps of the latent diffusion and of the text prior.
      guidance: classifier-free guidance scale of the base model; 1 is plain.
      text_guidance: of the text prior.
      draws: latents drawn for a sentence, whose mean is taken: the more, the closer to what it
        says, and the less is left to chance.
      edit_strength: of edits, when 1 is asked for: planes follow a phrasebook's change by part.
      edit_focus: how much of an edit's large changes a change must be to stay, see
        `rodin_jax.likeness.focused`; 0 keeps all.
      outside: see `rodin_jax.nn.eigenplanes.Inside`; this and what follows, see
        `rodin_jax.likeness`, are for bundles with eigenplanes.
      spread: how much of what the base model drew beyond what the latent foretells stays, 0 to 1.
      look_steps: steps that correct planes until the tower reads their latent off the front.
      face_steps: steps that then correct them until they have the face that it foretells, in
        bundles with a visage.
      touch_steps: steps that then do the same for each texel.
      portrait_steps: steps that correct those of a photo until they look like it.
      retouch_steps: steps that then do the same for each texel.
    """

    sampler: str = "dpm_solver"
    base_steps: int = 30
    upsampler_steps: int = 10
    latent_steps: int = 30
    guidance: float = 1.5
    text_guidance: float = 1.5
    draws: int = 4
    edit_strength: float = 1.0
    edit_focus: float = 0.0
    outside: float = 1.0
    spread: float = 1.0
    look_steps: int = 0
    face_steps: int = 0
    touch_steps: int = 0
    portrait_steps: int = 0
    retouch_steps: int = 0


def read(values: Any) -> Sampling:
    """The defaults that a configuration names.

    Raises:
      ValueError: an unknown name, a value of another type, or a negative number; the message goes
        on after "field 'sampling'".
    """
    if not isinstance(values, dict):
        raise ValueError("must be an object")
    kinds = {field.name: field.type for field in dataclasses.fields(Sampling)}
    for name, value in values.items():
        good = {str: str, int: int, float: (int, float)}.get(kinds.get(name), ())
        if not isinstance(value, good) or (not isinstance(value, str) and not value >= 0):
            raise ValueError(f"has {name}: {value!r}, expected {', '.join(kinds)}")
    return Sampling(**values)
