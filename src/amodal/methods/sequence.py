"""What methods share that write texts: the settings of a decoder, its loss, and what it wrote."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from amodal.batch import Batch, Prediction
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, unknown_name, whole_numbers
from amodal.nn.text_decoder import TextDecoder, join_memories, pack_memory, unpack_memory
from amodal.nn.text_distribution import TextDistribution, Written
from amodal.types import Task
from amodal.vocabulary import PAD, TOKENS, Vocabulary

__all__ = ["REFERENCES", "DecoderSettings", "TextHead", "TextOutputs"]

REFERENCES = ("one", "all")
"""Which of a row's references a training step reads."""

_COUNTS = {"target_size": 1, "target_length": 1, "decoder_layers": 1, "beam": 1}


@dataclass(frozen=True)
class DecoderSettings:
    """How texts are written, where the task is a sequence.

    Args:
        target_tokens: what texts are cut into: ``words`` (and marks, lower case), or ``pairs``
            (parts of words by byte-pair encoding, so that none is unknown).
        target_size: the most tokens of the vocabulary, which is fitted on training rows.
        target_length: the most tokens of a text; longer ones are cut.
        decoder_layers: blocks of the decoder, which has the width, heads and dropout of encoders.
        references: of several references of a row, training reads ``one``, drawn anew in each
            epoch, or ``all``.
        smoothing: share of the loss that asks for equal chances of all tokens, in [0, 1).
        unconditional: share of rows that a training step reads without their modalities, so that a
            row with nothing is written from the distribution of all texts.
        beam: texts that a search follows; 1 is greedy.
        length_penalty: alpha of Wu et al. 2016, by which long texts are not held back; 0 for none.

    Raises:
        SettingError: a number out of its range.
        UnknownNameError: a choice that does not exist.

    >>> DecoderSettings(beam=0)
    Traceback (most recent call last):
    ...
    amodal.errors.SettingError: beam must be a whole number from 1; got 0; raise it
    """

    target_tokens: str = "words"
    target_size: int = 8000
    target_length: int = 32
    decoder_layers: int = 2
    references: str = "one"
    smoothing: float = 0.0
    unconditional: float = 0.1
    beam: int = 4
    length_penalty: float = 0.6

    def __post_init__(self) -> None:
        whole_numbers(self, _COUNTS)
        for name, top in (("smoothing", 0.999), ("unconditional", 0.999), ("length_penalty", 10)):
            if not 0 <= getattr(self, name) <= top:
                raise SettingError(
                    f"{name} must lie between 0 and {top:g}; got {getattr(self, name)!r}; change it"
                )
        if self.target_tokens not in TOKENS:
            raise unknown_name("target_tokens", self.target_tokens, TOKENS)
        if self.references not in REFERENCES:
            raise unknown_name("references", self.references, REFERENCES)

    def fit(self, texts: Iterable[str]) -> Vocabulary:
        """The vocabulary of the references of training rows."""
        return Vocabulary.fit(
            texts, kind=self.target_tokens, size=self.target_size, length=self.target_length
        )


class TextHead(nn.Module):
    """From a memory to a distribution over texts: a `TextDecoder` with its loss and its search.

    The parameters of a prediction are the packed memory that the decoder reads.

    Args:
        task: a sequence, with its vocabulary.
        encoder: width, heads and dropout.
        decoder: settings.

    Raises:
        SettingError: the task has no vocabulary.
    """

    def __init__(self, task: Task, encoder: EncoderSettings, decoder: DecoderSettings) -> None:
        super().__init__()
        if task.vocabulary is None:
            raise SettingError(
                "a sequence task needs its vocabulary before texts are written; it has none; fit a "
                "Scaler on training rows, or hand in a Vocabulary"
            )
        self.vocabulary, self.settings = task.vocabulary, decoder
        self.decoder = TextDecoder(
            encoder.width,
            encoder.heads,
            layers=decoder.decoder_layers,
            vocabulary=len(task.vocabulary),
            length=task.vocabulary.length,
            dropout=encoder.dropout,
        )

    def begin(self, base: Float[Tensor, " v"]) -> None:
        """Starts at the training frequencies of tokens."""
        with torch.no_grad():
            self.decoder.bias.copy_(base)

    # -- memories ---------------------------------------------------------------------------------

    def memory(
        self, tokens: Float[Tensor, "n s d"], there: Bool[Tensor, "n s"], present: Tensor
    ) -> Float[Tensor, "n p"]:
        """The parameters of rows; nothing is left of those with nothing `present`."""
        return pack_memory(tokens, there & present.any(1, keepdim=True))

    def join(self, parts: list[Tensor]) -> Float[Tensor, "n p"]:
        """Parameters of consecutive rows put together."""
        return join_memories(parts, self.decoder.width)

    # -- training ---------------------------------------------------------------------------------

    def loss(self, params: Float[Tensor, "n p"], batch: Batch) -> Float[Tensor, ""]:
        """Mean cross-entropy of a token of the references, in nats, over labelled rows.

        With smoothing e: (1 - e) of it and e times the mean over all tokens that are allowed
        (Szegedy et al., CVPR 2016). Rows with nothing present take part: they teach what is written
        where nothing is known, as do `unconditional` of the others, whose memory is hidden (Ho and
        Salimans, "Classifier-Free Diffusion Guidance", 2022).
        """
        rows = batch.labelled.nonzero()[:, 0]
        if not len(rows):
            return params.sum() * 0.0
        ids, row = self._references(batch.target[rows].long())
        memory, there = unpack_memory(params[rows], self.decoder.width)
        if self.training and self.settings.unconditional:
            draw = torch.rand(len(rows), device=there.device)
            there = there & (draw >= self.settings.unconditional)[:, None]
        real = ids != PAD
        cost = self._cost(self.decoder.at_tokens(ids, memory, there, row), ids[real])
        weight = torch.ones_like(cost)
        if batch.weight is not None:
            weight = weight * batch.weight[rows][row][real.nonzero()[:, 0]]
        return (weight * cost).sum() / weight.sum()

    def _references(self, target: Int[Tensor, "n r t"]) -> tuple[Tensor, Tensor]:
        """The texts that are read, and the row of each."""
        real = target[:, :, 0] != PAD
        if self.training and self.settings.references == "one":
            draw = torch.rand(real.shape, device=real.device).masked_fill(~real, -1.0)
            row = torch.arange(len(target), device=real.device)
            return _cut(target[row, draw.argmax(1)]), row
        return _cut(target[real]), real.nonzero()[:, 0]

    def _cost(self, log_p: Float[Tensor, "k v"], token: Int[Tensor, " k"]) -> Tensor:
        share, cost = self.settings.smoothing, -log_p.gather(1, token[:, None])[:, 0]
        if not (self.training and share):
            return cost
        allowed = log_p > torch.finfo(log_p.dtype).min / 2
        evenly = -torch.where(allowed, log_p, 0.0).sum(1) / allowed.sum(1)
        return (1 - share) * cost + share * evenly

    # -- prediction -------------------------------------------------------------------------------

    def distribution(self, params: Float[Tensor, "n p"]) -> TextDistribution:
        """The distribution over texts."""
        return TextDistribution(self.decoder, params)

    def write(self, params: Float[Tensor, "n p"]) -> Written:
        """The text that the search finds for each row."""
        found = self.settings
        return self.distribution(params).write(beam=found.beam, alpha=found.length_penalty)

    def texts(self, ids: Int[Tensor, "n t"]) -> list[str]:
        """Tokens as texts."""
        return [self.vocabulary.decode(row) for row in ids.tolist()]

    def tokens(self, references: Sequence[Sequence[str]]) -> Int[Tensor, "n r t"]:
        """Several texts per row as tokens with their end, then `PAD`."""
        ids = [[self.vocabulary.encode(text) for text in row] for row in references]
        most = max((len(row) for row in ids), default=1) or 1
        longest = max((len(text) for row in ids for text in row), default=1)
        found = torch.full((len(ids), most, longest), PAD)
        for i, row in enumerate(ids):
            for j, text in enumerate(row):
                found[i, j, : len(text)] = torch.tensor(text)
        return found

    def outputs(self, prediction: Prediction, target: Tensor | None) -> TextOutputs:
        """What metrics read."""
        return TextOutputs(prediction, target)

    def answers(self, target: Float[Tensor, "n r t"]) -> np.ndarray:
        """The references of labelled rows as texts."""
        found = np.empty(len(target), dtype=object)
        for i, row in enumerate(target.long().tolist()):
            found[i] = tuple(self.vocabulary.decode(text) for text in row if text[0] != PAD)
        return found


def _cut(ids: Int[Tensor, "b t"]) -> Int[Tensor, "b t"]:
    """Without the places at which every text has ended."""
    return ids[:, : int((ids != PAD).any(0).sum())]


class TextOutputs(Mapping[str, Any]):
    """What metrics read of texts that were written, each worked out when it is asked for.

    | key | values |
    |---|---|
    | ``text`` | ``object[n]`` what was written |
    | ``log_probability`` | ``Float[n]`` its log probability |
    | ``token_entropy`` | ``Float[n]`` mean entropy of its tokens |
    | ``reference_log_prob`` | ``Float[n]`` log probability of all references of the row |
    | ``reference_tokens`` | ``Float[n]`` number of their tokens, ends included |

    Args:
        prediction: of a sequence task.
        target: ``[n, r, t]`` tokens of the references; None where there are none: the last two lack.
    """

    def __init__(self, prediction: Prediction, target: Tensor | None = None) -> None:
        self._prediction, self._target = prediction, target
        self._measured: tuple[np.ndarray, np.ndarray] | None = None
        known = ("text", "log_probability", "token_entropy")
        self._keys = known if target is None else (*known, "reference_log_prob", "reference_tokens")

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __getitem__(self, key: str) -> np.ndarray:
        if key not in self._keys:
            raise KeyError(key)
        if key.startswith("reference"):
            return self._measure()[key == "reference_tokens"]
        if key == "text":
            return np.array(self._prediction.texts, dtype=object)
        written = self._prediction.written
        return _numpy(written.log_prob if key == "log_probability" else written.entropy)

    def _measure(self) -> tuple[np.ndarray, np.ndarray]:
        if self._measured is None:
            ids = self._target.nan_to_num(float(PAD)).long()
            log_prob = self._prediction.dist.log_prob(ids).sum(1)
            self._measured = _numpy(log_prob), _numpy((ids != PAD).sum((1, 2)))
        return self._measured


def _numpy(x: Tensor) -> np.ndarray:
    return x.detach().cpu().double().numpy()
