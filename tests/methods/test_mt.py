"""The multimodal transformer: subsets are the rows that have only those, absent tokens are none."""

from __future__ import annotations

import pytest
import torch

from amodal.errors import SettingError
from amodal.methods.mt import MT
from amodal.nn.losses import drop_to_subset


def test_a_masked_view_is_the_row_without_those_modalities(build) -> None:
    mt, batch = build(MT)
    mt.eval()
    view = drop_to_subset(batch.present, generator=torch.Generator().manual_seed(0))
    masked = mt.fuse(mt.encode(batch), view)
    dropped = batch.drop(batch.present & ~view)
    torch.testing.assert_close(masked, mt.fuse(mt.encode(dropped), dropped.present))


def test_absent_tokens_are_not_read(build) -> None:
    mt, batch = build(MT, layers=1)
    hidden, present = mt.encode(batch), batch.present
    other = torch.where(present[..., None], hidden, torch.full_like(hidden, 1e3))
    torch.testing.assert_close(mt.fuse(hidden, present), mt.fuse(other, present))


def test_loss_is_the_mean_over_both_views(build) -> None:
    mt, batch = build(MT)
    mt.eval()
    torch.manual_seed(2)
    loss = mt.loss(batch)["task"]
    torch.manual_seed(2)
    view = drop_to_subset(batch.present)
    some = batch.present.any(1)
    errors = []
    for there in (batch.present, view):
        logit = mt._decode(mt.fuse(mt.encode(batch), there), batch)[some, 0]
        errors.append(-torch.distributions.Bernoulli(logits=logit).log_prob(batch.target[some]))
    torch.testing.assert_close(loss, torch.cat(errors).mean())


def test_types_tell_equal_vectors_apart(build) -> None:
    mt, _ = build(MT)
    hidden = torch.ones(2, 4, 8, dtype=torch.double)
    first, second = mt.fuse(hidden, torch.eye(4, dtype=torch.bool)[:2])
    assert (first - second).abs().max() > 1e-3


def test_layers_must_be_positive(build) -> None:
    with pytest.raises(SettingError, match="layers must be at least 1; got 0"):
        build(MT, layers=0)
