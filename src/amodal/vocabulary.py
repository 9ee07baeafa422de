"""`Vocabulary`: from a text to the numbers of its tokens, and back."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from amodal.errors import DataError, SettingError, unknown_name

__all__ = ["BEGIN", "END", "PAD", "SPECIALS", "TOKENS", "UNKNOWN", "Vocabulary", "words_of"]

SPECIALS = ("<pad>", "<begin>", "<end>", "<unknown>")
PAD, BEGIN, END, UNKNOWN = range(len(SPECIALS))
"""Positions of the tokens that are no part of a text."""

TOKENS = ("words", "pairs")
"""What a text is cut into: words and marks, or parts of words (byte-pair encoding)."""

_WORD = re.compile(r"\w+(?:['\u2019]\w+)*|[^\w\s]")
_BYTES = 256


def words_of(text: str) -> list[str]:
    """The words and marks of a text, lower case, in the form NFKC of Unicode.

    >>> words_of("A dog's  ball, RED.")
    ['a', "dog's", 'ball', ',', 'red', '.']
    """
    return _WORD.findall(unicodedata.normalize("NFKC", text).lower())


@dataclass(frozen=True)
class Vocabulary:
    """The tokens that texts of a target are made of; position 0 to 3 are `SPECIALS`.

    Args:
        kind: one of `TOKENS`.
        tokens: all of them, the special ones first.
        length: the most tokens of a text, its end not counted; of longer texts the first are read.
        rules: of the byte-pair encoding, as JSON of the tokenizers library; empty for words.

    >>> v = Vocabulary.fit(["a dog runs", "a cat"], length=2)
    >>> v.tokens[4:], v.encode("A dog runs."), v.decode([4, 6, 2, 0])
    (('a', 'cat', 'dog', 'runs'), [4, 6, 2], 'a dog')
    """

    kind: str
    tokens: tuple[str, ...]
    length: int
    rules: str = ""

    def __post_init__(self) -> None:
        object.__setattr__(self, "tokens", tuple(self.tokens))
        if self.kind not in TOKENS:
            raise unknown_name("kind of tokens", self.kind, TOKENS)
        if self.length < 1:
            raise SettingError(
                f"a text to be written has at least 1 token; got length {self.length}; raise it"
            )
        if self.tokens[: len(SPECIALS)] != SPECIALS or len(self.tokens) == len(SPECIALS):
            raise DataError(
                f"a vocabulary begins with {', '.join(SPECIALS)} and has tokens behind them; "
                "this one does not; fit one"
            )

    def __len__(self) -> int:
        return len(self.tokens)

    @classmethod
    def fit(
        cls,
        texts: Iterable[str],
        *,
        kind: str = "words",
        size: int = 8000,
        length: int = 32,
    ) -> Vocabulary:
        """The vocabulary of `texts` (training rows alone): their `size` most frequent tokens.

        Ties go by the alphabet: the same texts in any order give the same vocabulary.

        Args:
            texts: at least one with a word.
            kind: ``words`` (and marks, lower case) or ``pairs``: byte-pair encoding (Sennrich et
                al., ACL 2016), by which no text has unknown tokens.
            size: the most tokens, special ones not counted; of ``pairs`` at least 257.
            length: the most tokens of a text.

        Raises:
            DataError: no words.
            SettingError: a size too small, a length below 1; the tokenizers library is lacking.
        """
        if kind not in TOKENS:
            raise unknown_name("kind of tokens", kind, TOKENS)
        least = _BYTES + 1 if kind == "pairs" else 1
        if size < least:
            raise SettingError(
                f"a vocabulary of {kind} has at least {least} tokens; got {size}; raise it"
            )
        texts = list(texts)
        if kind == "pairs":
            rules = _pairs(texts, size)
            names = {k: name for name, k in _read(rules).get_vocab().items()}
            return cls(kind, (*SPECIALS, *(names[k] for k in sorted(names))), length, rules)
        counts = Counter(w for text in texts for w in words_of(text))
        if not counts:
            raise DataError("a vocabulary needs texts with words; got none; hand in texts")
        kept = sorted(counts, key=lambda w: (-counts[w], w))[:size]
        return cls(kind, (*SPECIALS, *sorted(kept)), length)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {token: k for k, token in enumerate(self.tokens)}

    @cached_property
    def _rules(self) -> Any:
        return _read(self.rules)

    def encode(self, text: str) -> list[int]:
        """Positions of the first `length` tokens of a text, then `END`; `UNKNOWN` for others."""
        if self.kind == "words":
            found = [self._place.get(w, UNKNOWN) for w in words_of(text)]
        else:
            found = [k + len(SPECIALS) for k in self._rules.encode(text).ids]
        return [*found[: self.length], END]

    def decode(self, ids: Sequence[int]) -> str:
        """The text of tokens, up to the first `END`; special tokens but `UNKNOWN` are left out."""
        kept: list[int] = []
        for k in ids:
            if k == END:
                break
            if k not in (PAD, BEGIN):
                kept.append(int(k))
        if self.kind == "words":
            return " ".join(self.tokens[k] for k in kept)
        return self._rules.decode([k - len(SPECIALS) for k in kept if k >= len(SPECIALS)]).strip()

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        found = {"kind": self.kind, "tokens": list(self.tokens), "length": self.length}
        return {**found, "rules": self.rules} if self.rules else found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Vocabulary:
        """The vocabulary that `to_json` wrote."""
        rules = str(data.get("rules", ""))
        return cls(data["kind"], tuple(data["tokens"]), int(data["length"]), rules)


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise SettingError(
            "parts of words are made by tokenizers; it is not installed; pip install 'amodal[text]'"
        ) from None
    return tokenizers


def _pairs(texts: Sequence[str], size: int) -> str:
    """The rules of a byte-pair encoding with `size` tokens at most."""
    if not any(words_of(text) for text in texts):
        raise DataError("a vocabulary needs texts with words; got none; hand in texts")
    lib = _tokenizers()
    tokenizer = lib.Tokenizer(lib.models.BPE())
    form = [lib.normalizers.NFKC(), lib.normalizers.Lowercase(), lib.normalizers.Strip()]
    tokenizer.normalizer = lib.normalizers.Sequence(form)
    tokenizer.pre_tokenizer = lib.pre_tokenizers.ByteLevel(add_prefix_space=True)
    tokenizer.decoder = lib.decoders.ByteLevel()
    trainer = lib.trainers.BpeTrainer(
        vocab_size=size,
        min_frequency=2,
        initial_alphabet=lib.pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer.to_str()


def _read(rules: str) -> Any:
    return _tokenizers().Tokenizer.from_str(rules)
