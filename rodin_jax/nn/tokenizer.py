"""Words to numbers: a word-level tokenizer in the Hugging Face file format."""

import json
import os
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from jaxtyping import Int
from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors

SPECIAL = ("[PAD]", "[UNK]", "[BOS]", "[EOS]")  # their ids are 0, 1, 2, 3
# Words that only hold a sentence together: nothing is lost where they are not known.
LINKING = frozenset(
    (
        "a", "an", "the", "and", "or", "but", "of", "in", "on", "at", "by", "for", "from", "to",
        "into", "with", "as", "is", "are", "was", "were", "be", "been", "being", "has", "have",
        "having", "had", "that", "this", "these", "those", "there", "it", "its", "some", "who",
        "whose", "which", "please",
    )
)  # fmt: skip


class TokenizerError(ValueError):
    """A tokenizer file that cannot be used; the message is one line naming file and reason."""


class WordTokenizer:
    """Lower-cases, strips accents, splits at spaces and punctuation; one token a word.

    Special tokens are only ever added, never read: "[PAD]" in a prompt is just a word.
    """

    def __init__(self, tokenizer: Tokenizer):
        self._tokenizer = tokenizer
        self._known = tokenizer.get_vocab()

    def __len__(self) -> int:
        """Number of tokens, special ones included."""
        return len(self._known)

    def encode(self, texts: list[str], length: int) -> Int[np.ndarray, "b length"]:
        """``[BOS] words [EOS]`` filled up with [PAD]; long sentences lose their end.

        Raises:
          ValueError: a length without room for a word.
        """
        if length < 3:
            raise ValueError(f"sentences need a length of 3 tokens at least, got {length}")
        pad, _, bos, eos = range(len(SPECIAL))
        rows = np.full((len(texts), length), pad, np.int32)
        for row, encoded in zip(
            rows, self._tokenizer.encode_batch(list(texts), add_special_tokens=False), strict=True
        ):
            tokens = [bos, *encoded.ids[: length - 2], eos]
            row[: len(tokens)] = tokens
        return rows

    def unknown_words(self, text: str) -> list[str]:
        """The words of ``text`` that were in no caption, in order, each once.

        Numbers, punctuation and `LINKING` words are not named.
        """
        words = dict.fromkeys(self._words(text))
        telling = (w for w in words if w.isalnum() and not w.isnumeric() and w not in LINKING)
        return [w for w in telling if w not in self._known]

    def save(self, path: str | os.PathLike) -> Path:
        """Writes ``tokenizer.json``; equal vocabularies give equal bytes."""
        path = Path(path)
        partial = path.with_name(f".{path.name}.partial")
        partial.write_text(self._tokenizer.to_str(pretty=True) + "\n")
        partial.replace(path)
        return path

    def to_transformers(self):
        """The same tokenizer as a `transformers.PreTrainedTokenizerFast`."""
        from transformers import PreTrainedTokenizerFast

        pad, unk, bos, eos = SPECIAL
        return PreTrainedTokenizerFast(
            tokenizer_object=self._tokenizer,
            pad_token=pad,
            unk_token=unk,
            bos_token=bos,
            eos_token=eos,
        )

    def _words(self, text):
        text = self._tokenizer.normalizer.normalize_str(text)
        return [word for word, _ in self._tokenizer.pre_tokenizer.pre_tokenize_str(text)]


def train(captions: Iterable[str], minimum: int = 1) -> WordTokenizer:
    """A tokenizer of the words that occur in ``captions`` at least ``minimum`` times.

    The order is by frequency, then alphabet, so it does not depend on the order of the captions.
    """
    empty = _build({token: i for i, token in enumerate(SPECIAL)})
    counts = Counter(word for caption in captions for word in WordTokenizer(empty)._words(caption))
    words = sorted((w for w, n in counts.items() if n >= minimum), key=lambda w: (-counts[w], w))
    words = [w for w in words if w not in SPECIAL]
    return WordTokenizer(_build({token: i for i, token in enumerate([*SPECIAL, *words])}))


def load(path: str | os.PathLike) -> WordTokenizer:
    """Reads a ``tokenizer.json`` written by `WordTokenizer.save`.

    Raises:
      TokenizerError: missing, unreadable, or not a word-level tokenizer with our special tokens.
    """
    path = Path(path)
    if not path.is_file():
        raise TokenizerError(f"{path}: no such file, expected a tokenizer")
    try:
        vocabulary = json.loads(path.read_text(encoding="utf-8"))["model"]["vocab"]
        ids = sorted(vocabulary.values())
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise TokenizerError(f"{path}: not a tokenizer file ({type(error).__name__})") from error
    if ids != list(range(len(ids))) or [vocabulary.get(token) for token in SPECIAL] != [0, 1, 2, 3]:
        raise TokenizerError(f"{path}: field model.vocab must number its words, {SPECIAL} first")
    # Only the words are taken from the file: the rules for splitting are fixed here.
    return WordTokenizer(_build(vocabulary))


def _build(vocabulary: dict[str, int]) -> Tokenizer:
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token=SPECIAL[1]))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKD(), normalizers.StripAccents(), normalizers.Lowercase()]
    )
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    bos, eos = SPECIAL[2], SPECIAL[3]
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{bos} $A {eos}", special_tokens=[(bos, vocabulary[bos]), (eos, vocabulary[eos])]
    )
    return tokenizer
