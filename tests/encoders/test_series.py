"""Series: step features, time order, binning, order of steps."""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np
import pytest
import torch

from amodal.encoders import EncoderSettings, make_encoder
from amodal.encoders.series import step_features, step_size
from amodal.types import Modality
from amodal.values import Values

KINDS = ("gru", "mingru", "transformer")


def by_hand(time, value):
    """Step features of one series."""
    rows, carried, last = [], [0.0] * value.shape[1], [time[0] if len(time) else 0.0] * 9
    for i, t in enumerate(time):
        seen = ~np.isnan(value[i])
        for k in np.flatnonzero(seen):
            carried[k], last[k] = value[i, k], t
        since = [t - last[k] for k in range(value.shape[1])]
        gap = t - time[i - 1] if i else 0.0
        spans = [math.log(1 + 100 * x) for x in (gap, t - time[0], time[-1] - t)]
        rows.append([*carried, *seen.astype(float), *since, t, *spans])
    return np.array(rows).reshape(-1, step_size(value.shape[1]))


@pytest.mark.parametrize("lengths", [[], [0], [1], [6, 0, 3, 1], [0, 20]])
def test_step_features_match_a_loop(lengths):
    rng = np.random.default_rng(0)
    time = np.concatenate([np.zeros(0), *(np.sort(rng.random(n)) for n in lengths)])
    value = rng.normal(size=(len(time), 3))
    value[rng.random(value.shape) < 0.6] = np.nan
    offsets = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int64)
    found = step_features(*(torch.from_numpy(x) for x in (time, value, offsets)))
    for a, b in pairwise(offsets):
        np.testing.assert_allclose(found[a:b], by_hand(time[a:b], value[a:b]), atol=1e-12)
    assert found.shape == (len(time), step_size(3))


@pytest.mark.parametrize("kind", KINDS)
def test_order_of_steps_does_not_matter_where_times_tell_it(kind, made, changed):
    settings = EncoderSettings(width=16, heads=2, series=kind, max_steps=4)
    encoder = make_encoder(Modality("s", "series", features=("a", "b")), settings).eval()
    values = made("series")
    order = torch.cat(
        [
            torch.randperm(n) + a
            for n, a in zip(values.lengths.tolist(), values.offsets.tolist(), strict=False)
        ]
    )
    mixed = changed(values, **{k: x[order] for k, x in values.data.items()})
    assert not torch.equal(mixed.data["time"], values.data["time"])
    torch.testing.assert_close(encoder(mixed).pooled, encoder(values).pooled, rtol=0, atol=1e-6)


def test_tokens_are_the_states_behind_each_step(made):
    """The GRU over one series at a time, without padding."""
    modality = Modality("s", "series", features=("a", "b"))
    encoder = make_encoder(modality, EncoderSettings(width=8, heads=2, series="gru")).eval()
    plain = torch.nn.GRU(step_size(2), 8)
    plain.load_state_dict(encoder.course.state_dict())
    values = made("series")
    encoded = encoder(values)
    assert encoded.token_present.sum(1).tolist() == values.lengths.tolist()
    for j in range(6):
        a, b = values.offsets[j : j + 2].tolist()
        if a == b:
            continue
        data = values.data["time"][a:b], values.data["value"][a:b]
        states = plain(step_features(*data, torch.tensor([0, b - a])))[0]
        torch.testing.assert_close(encoded.tokens[j, : b - a], states, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_cost_is_bounded_by_max_steps(kind, made):
    settings = EncoderSettings(width=8, heads=2, series=kind, max_steps=7)
    encoder = make_encoder(Modality("s", "series", features=("a", "b")), settings).eval()
    encoded = encoder(made("series", longest=300))
    assert encoded.tokens.shape[1] == 7


def toy(n, seed):
    """Series of 3 to 8 steps of noise; the label is whether the first value exceeds the last."""
    g = torch.Generator().manual_seed(seed)
    lengths = torch.randint(3, 9, (n,), generator=g)
    offsets = torch.cat([torch.zeros(1, dtype=torch.long), lengths.cumsum(0)])
    time = torch.cat([torch.rand(k, generator=g).sort().values for k in lengths.tolist()])
    value = torch.randn(int(offsets[-1]), 1, generator=g)
    label = (value[offsets[:-1]] > value[offsets[1:] - 1])[:, 0]
    return Values({"time": time, "value": value}, offsets, torch.arange(n)), label


@pytest.mark.parametrize("kind", [*KINDS[:2], pytest.param("transformer", marks=pytest.mark.slow)])
def test_learns_what_only_the_order_in_time_tells(kind):
    torch.manual_seed(0)
    settings = EncoderSettings(width=32, heads=2, series=kind, summaries=False, dropout=0.0)
    encoder = make_encoder(Modality("s", "series", features=("a",)), settings)
    head = torch.nn.Linear(32, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=4e-3)
    for step in range(150):
        values, label = toy(128, step)
        logit = head(encoder(values).pooled)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, label.float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    values, label = toy(1000, 10_000)
    found = head(encoder.eval()(values).pooled)[:, 0] > 0
    assert (found == label).float().mean() > 0.9
