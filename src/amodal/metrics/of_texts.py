"""The metrics of texts: an entry each, and which are printed by default."""

from __future__ import annotations

from amodal.metrics import sequence, text
from amodal.metrics.metric import Metric

__all__ = ["TEXT_DEFAULTS", "TEXT_METRICS"]

_TEXTS = ("sequence",)


def _bleu(n: int) -> Metric:
    return Metric(
        f"bleu_{n}",
        sequence.of_texts(text.bleu_counts, lambda sums, weight: text.bleu_of_counts(sums, n)),
        _TEXTS,
        f"BLEU-{n}",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
        extra="captions",
    )


TEXT_METRICS: tuple[Metric, ...] = (
    Metric(
        "token_log_loss",
        sequence.token_log_loss,
        _TEXTS,
        "Token log loss",
        "0 upwards, nats per token of the references",
        higher_is_better=False,
        ideal=0.0,
    ),
    Metric(
        "perplexity",
        sequence.perplexity,
        _TEXTS,
        "Perplexity",
        "1 upwards, tokens as open as the next one",
        higher_is_better=False,
        ideal=1.0,
    ),
    Metric(
        "exact_match",
        sequence.exact_match,
        _TEXTS,
        "Exact match",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
    ),
    *(_bleu(n) for n in (1, 2, 3, 4)),
    Metric(
        "rouge_l",
        sequence.of_texts(text.rouge_l_rows),
        _TEXTS,
        "ROUGE-L",
        "0 to 1",
        higher_is_better=True,
        ideal=1.0,
        extra="captions",
    ),
    Metric(
        "cider",
        sequence.of_texts(text.cider_rows),
        _TEXTS,
        "CIDEr",
        "0 to 10",
        higher_is_better=True,
        ideal=10.0,
        extra="captions",
    ),
)

TEXT_DEFAULTS: dict[str, tuple[str, ...]] = {
    "sequence": (
        "token_log_loss",
        "perplexity",
        "exact_match",
        "bleu_1",
        "bleu_2",
        "bleu_3",
        "bleu_4",
        "rouge_l",
        "cider",
    ),
}
"""What is printed for each kind of task where nobody asks for others, in this order."""
