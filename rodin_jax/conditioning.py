"""What avatars are asked to be: sentences, pictures or nothing, as latents; and steps between them.

A latent z is all that the diffusion models are told (see `rodin_jax.nn.clip`).
"""

import dataclasses
import warnings

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from rodin_jax import sampling
from rodin_jax.data.images import Picture
from rodin_jax.nn import clip as towers
from rodin_jax.synthesis import RequestError, Synthesis

NEUTRAL = "a portrait of a person"
MAX_WORDS = 200


class PromptWarning(UserWarning):
    """Part of a prompt will not be understood."""


@dataclasses.dataclass(frozen=True)
class _Sentence:
    tokens: Int[Array, "1 l"]
    features: Float[Array, "1 l w"]
    embedding: Float[Array, "1 d"]
    mask: Array


class Conditioning(Synthesis):
    """Makes latents with the networks of a bundle, beside planes."""

    def unknown_words(self, prompt: str) -> list[str]:
        """The words of a prompt that the model has never read, which `generate` warns of."""
        return self.bundle.tokenizer.unknown_words(prompt)

    def direction(
        self,
        prompt: str,
        source: str | None = None,
        strength: float | int = 1.0,
        z: Float[Array, "1 d"] | None = None,
    ) -> Float[Array, "1 d"]:
        """The step in z by which `edit` goes from ``source`` to ``prompt``; arguments as there.

        In bundles with a phrasebook it depends on whom it is asked for: the latent ``z``, by
        default of nobody in particular. Phrases of the source that the prompt lacks should go.
        """
        if not np.isfinite(strength):
            raise RequestError(f"strength must be finite, got {strength}")
        target = self._sentence(prompt)
        origin = self._sentence(NEUTRAL if source is None else source, warn=bool(source))
        if (book := self.bundle.phrasebook) is not None:
            asked, unasked = (sampling.said(book, s.tokens[0]) for s in (target, origin))
            if jnp.any(asked | unasked):
                z = jnp.zeros((1, self.bundle.latent_dim)) if z is None else z
                strength = strength * self.bundle.sampling.edit_strength
                return strength * sampling.retold(book, z, asked, unasked)
        if (sentences := self.bundle.sentences) is not None:
            # As strongly as sentences are followed; a line alone hardly dares.
            strength = strength * self.bundle.sampling.text_guidance
            target, origin = (sentences.latent(s.embedding) for s in (target, origin))
            return strength * (target - origin)
        return strength * towers.edit_direction(
            target.embedding, origin.embedding, self.bundle.latent_std
        )

    def _text_latent(self, sentence: _Sentence, seed: int) -> Float[Array, "1 d"]:
        """What a few latents that the prior imagines for a sentence agree on."""
        defaults, part = self.bundle.sampling, self.bundle.parts["text"]
        count = max(1, defaults.draws)
        noise = jax.random.normal(
            sampling.stream(seed, sampling.LATENT), (count, self.bundle.latent_dim)
        )
        z = sampling.text_latents(
            self._diffuser("text", self._steps("text", defaults.latent_steps)),
            part.params,
            sentence.features,
            sentence.embedding,
            sentence.mask,
            noise,
            defaults.text_guidance,
            sampling.stream(seed, sampling.LATENT),
            self.bundle.sentences,
        )
        z = sampling.tame(z.mean(0, keepdims=True))
        if (book := self.bundle.phrasebook) is not None:
            asked = sampling.said(book, sentence.tokens[0])
            z = sampling.tame(z + sampling.retold(book, z, asked, jnp.zeros_like(asked)))
        return z

    def _free_latent(self, seed: int) -> Float[Array, "1 d"]:
        """A latent of nobody in particular."""
        part = self.bundle.parts["latent"]
        diffuser = self._diffuser(
            "latent", self._steps("latent", self.bundle.sampling.latent_steps)
        )
        noise = jax.random.normal(
            sampling.stream(seed, sampling.LATENT), (1, self.bundle.latent_dim)
        )
        return sampling.tame(
            sampling.free_latent(
                diffuser,
                part.params,
                noise,
                sampling.stream(seed, sampling.LATENT),
                self.bundle.latent_spread,
            )
        )

    def _image_latent(self, picture: Picture) -> Float[Array, "1 d"]:
        """The latent of a portrait."""
        part = self.bundle.parts["clip"]
        embedding = towers.encode_images(part.module, part.params, picture[None])
        return sampling.tame(
            towers.standardise(embedding, self.bundle.latent_mean, self.bundle.latent_std)
        )

    def _sentence(self, prompt: str, *, warn: bool = True) -> _Sentence:
        """Reads a prompt: features, normalised embedding and mask."""
        words = len(prompt.split())
        if not words:
            raise RequestError("the prompt is empty")
        if words > MAX_WORDS or len(prompt) > 40 * MAX_WORDS:
            raise RequestError(f"the prompt has {words} words, expected at most {MAX_WORDS}")
        tokenizer, part = self.bundle.tokenizer, self.bundle.parts["clip"]
        if warn and (unknown := self.unknown_words(prompt)):
            shown = ", ".join(repr(word) for word in unknown[:8])
            more = f" and {len(unknown) - 8} more" if len(unknown) > 8 else ""
            warnings.warn(f"words the model does not know: {shown}{more}", PromptWarning, 4)
        length = part.module.text_length
        tokens = tokenizer.encode([prompt], length)
        if (tokens[0] != towers.PAD).all() and tokenizer.encode([prompt], length + 1)[0, -1]:
            warnings.warn(
                f"only the first {length - 2} words of the prompt are read", PromptWarning, 4
            )
        features, embedding = sampling.sentences(part.module, part.params, tokens)
        mask = jnp.asarray(tokens != towers.PAD)
        return _Sentence(jnp.asarray(tokens), features, towers.normalise(embedding), mask)
