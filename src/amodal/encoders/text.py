"""Encoder of texts: a transformer over the tokens of a tokenizer trained for them."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from amodal.batch import Encoded
from amodal.encoders.base import EncoderSettings
from amodal.encoders.media import MediaEncoder
from amodal.encoders.ngrams import NGrams
from amodal.errors import NotFittedError, SettingError
from amodal.nn.ragged import pad
from amodal.types import Modality
from amodal.values import Values

__all__ = ["TextEncoder", "train_tokenizer"]

_LEAST = 2  # a pair of tokens that occurs once is no pattern
_STD = 0.1


def _tokenizers() -> Any:
    try:
        import tokenizers
    except ImportError:
        raise SettingError(
            "texts are cut into tokens by tokenizers; it is not installed; pip install 'amodal[text]'"
        ) from None
    return tokenizers


def train_tokenizer(texts: list[str], vocabulary: int) -> str:
    """The rules of a byte-pair encoding learned from `texts`, as JSON of the tokenizers library.

    Texts are normalised (NFKC, lower case) and cut into words; all 256 bytes are tokens, so that
    no text is unknown; then pairs of tokens that stand together at least twice are joined, the most
    frequent first, until there are `vocabulary`. The same texts, in any order, give the same rules.

    Reference: Sennrich et al., "Neural Machine Translation of Rare Words with Subword Units", ACL
    2016.

    >>> rules = json.loads(train_tokenizer(["low lower lowest", "slow"], 300))
    >>> [x for x in rules["model"]["vocab"] if "low" in x][:2]
    ['low', 'Ġlow']
    """
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.normalizer = normalizers.Sequence([normalizers.NFKC(), normalizers.Lowercase()])
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=True)
    trainer = trainers.BpeTrainer(
        vocab_size=vocabulary,
        min_frequency=_LEAST,
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(sorted(texts), trainer)
    return tokenizer.to_str()


@lru_cache(maxsize=8)
def _tokenizer(rules: str, most: int) -> Any:
    found = _tokenizers().Tokenizer.from_str(rules)
    found.no_padding()
    found.enable_truncation(most)
    return found


class TextEncoder(MediaEncoder):
    """Attention over the tokens of a text.

    Token j is ``E[token_j] + position_j``, of the first `EncoderSettings.max_tokens` tokens. The
    tokenizer is trained on the distinct texts of the training rows (`train_tokenizer`), or is that
    of the checkpoint (`EncoderSettings.text`), and is stored with the weights. See `MediaEncoder`.

    Built in, the pooled vector is the sum of what the transformer makes of the tokens and of a
    vector for each run of tokens that training texts share, `NGrams`: what single words and phrases
    tell by themselves a transformer learns from tens of thousands of texts and a count from a few
    hundred.

    Args:
        modality: a text.
        settings: sizes.

    >>> import numpy as np
    >>> encoder = TextEncoder(Modality("a", "text"), EncoderSettings(width=8))
    >>> texts = np.array(["no fever", "fever"], dtype=object)
    >>> values = Values({"source": texts}, None, torch.arange(2))
    >>> encoder.fit(values)
    >>> encoder(values).pooled.shape, encoder.prepare(values).offsets.tolist()
    (torch.Size([2, 8]), [0, 4, 5])
    """

    kind = "text"

    def __init__(self, modality: Modality, settings: EncoderSettings) -> None:
        super().__init__(modality, settings, settings.max_tokens)
        self.ngrams: NGrams | None = None
        if not self.source:
            self.embedding = nn.Embedding(settings.vocabulary, settings.width)
            with torch.no_grad():
                self.embedding.weight *= _STD
            if settings.ngrams:
                self.ngrams = NGrams(settings.vocabulary, settings.width, settings.ngrams)

    def fit_values(self, values: Values) -> None:
        if self.backbone is None:
            _tokenizers()
            texts = [str(x) for x in values.data["source"]]
            rules = train_tokenizer(texts, self.settings.vocabulary)
            self.record.write(json.dumps({"tokenizer": rules}))
        if self.ngrams is not None:
            found = self.load(values)
            self.ngrams.fit(found.data["token"], found.offsets)

    def load(self, values: Values) -> Values:
        """The texts as tokens: ids of all of them, one after the other."""
        if "source" not in values.data:
            return values
        record = self.record.read()
        if not record:
            raise NotFittedError("texts are read by a tokenizer; there is none yet; call fit first")
        facts = json.loads(record)
        most = min(self.settings.max_tokens, facts.get("max_tokens", self.settings.max_tokens))
        found = _tokenizer(facts["tokenizer"], most).encode_batch(
            [str(x) for x in values.data["source"]]
        )
        ids = [x.ids for x in found]
        device = values.index.device
        token = torch.tensor([i for some in ids for i in some], dtype=torch.long, device=device)
        lengths = torch.tensor([0, *map(len, ids)], device=device)
        return Values({"token": token}, lengths.cumsum(0), values.index)

    def _too_large(self, values: Values) -> bool:
        return False  # tokens take no more than their texts

    def tokens(self, values: Values) -> tuple[Float[Tensor, "v t d"], Bool[Tensor, "v t"]]:
        return pad(self.embedding(values.data["token"]), values.offsets)

    def _encode(self, values: Values) -> Encoded:
        found = super()._encode(values)
        if self.ngrams is None:
            return found
        told = self.ngrams(values.data["token"], values.offsets)
        return replace(found, pooled=found.pooled + told.to(found.pooled.dtype))

    def inputs(self, values: Values) -> tuple[dict[str, Tensor], Bool[Tensor, "v t"]]:
        ids, present = pad(values.data["token"][:, None], values.offsets)
        return {"input_ids": ids[..., 0], "attention_mask": present.long()}, present
