"""What was not measured, as evidence (`PatternEmbedding`)."""

from __future__ import annotations

import torch

from amodal.batch import Batch
from amodal.methods.parts import PatternEmbedding
from amodal.types import LOST, NOT_MEASURED, PRESENT


def batch(absence: list[list[int]]) -> Batch:
    names = tuple("abc"[: len(absence[0])])
    return Batch(names, {}, torch.tensor(absence, dtype=torch.int8))


def test_pattern_is_centred_and_lost_tells_nothing() -> None:
    pattern = PatternEmbedding(1, 1)
    pattern.fit(batch([[NOT_MEASURED], [PRESENT], [PRESENT], [PRESENT], [LOST]]))
    with torch.no_grad():
        pattern.linear.weight.fill_(1.0)
        pattern.linear.bias.zero_()
    found = pattern(batch([[NOT_MEASURED], [PRESENT], [LOST]]))
    assert found[:, 0].tolist() == [0.75, -0.25, 0.0]


def test_what_never_varied_in_training_tells_nothing() -> None:
    # "a" was never unmeasured, "b" always, "c" sometimes: a weight is learned for "c" alone
    pattern = PatternEmbedding(3, 4)
    pattern.fit(batch([[PRESENT, NOT_MEASURED, PRESENT], [PRESENT, NOT_MEASURED, NOT_MEASURED]]))
    known = batch([[PRESENT, NOT_MEASURED, PRESENT], [PRESENT, NOT_MEASURED, NOT_MEASURED]])
    new = batch([[NOT_MEASURED, PRESENT, PRESENT], [NOT_MEASURED, LOST, NOT_MEASURED]])
    assert torch.equal(pattern(known), pattern(new))
    pattern(new).sum().backward()
    assert pattern.linear.weight.grad[:, :2].abs().max() == 0
