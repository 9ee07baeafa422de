"""M3Care's similarity and convolutions against loops; its memory; rows that borrow nothing."""

from __future__ import annotations

import math

import pytest
import torch
import torch.nn.functional as F

from amodal.errors import SettingError
from amodal.methods.m3care import M3Care, convolve, kernel, squared_distances


def test_distances_and_kernel() -> None:
    torch.manual_seed(0)
    x, y = torch.randn(2, 5, 3, 4), torch.randn(2, 6, 3, 4)
    found = squared_distances(x, y)
    for k, m, i, j in ((0, 0, 0, 0), (1, 2, 4, 5), (0, 1, 3, 2)):
        expected = (x[k, i, m] - y[k, j, m]).square().mean()
        torch.testing.assert_close(found[k, m, i, j], expected)
    expected = sum(math.exp(-3 / (c * 2)) for c in (0.5, 1, 2)) / 3
    assert kernel(torch.tensor(3.0), torch.tensor(2.0)).item() == pytest.approx(expected)


def test_links_are_thresholded_means_over_common_modalities(build) -> None:
    method, batch = build(M3Care)
    with torch.no_grad():
        method.mix.copy_(torch.tensor([-1.0, 0.0, 1.0, 2.0]))
        method.bandwidth.copy_(1 + torch.rand(2, 4))
        method.threshold.fill_(-2.0)
    method.eval()
    hidden, present = method._hidden(batch), batch.present
    links = method.links(hidden, present)
    phi, t = method.phi(hidden).relu(), torch.sigmoid(torch.tensor(-2.0)).item()
    for i, j in ((1, 2), (3, 9), (5, 30), (0, 4)):
        total, count = 0.0, 0
        for k in range(4):
            if present[i, k] and present[j, k]:
                pair = []
                for c, v in enumerate((hidden, phi)):
                    a, b = (F.layer_norm(v[r, k], (8,)) for r in (i, j))
                    pair.append(kernel((a - b).square().mean(), method.bandwidth[c, k]).item())
                w = torch.sigmoid(method.mix[k]).item()
                total, count = total + w * pair[0] + (1 - w) * pair[1], count + 1
        expected = max(0.0, total / max(count, 1) - t) / (1 - t)
        assert links[i, j].item() == pytest.approx(expected, abs=1e-6)
    assert (links.diagonal() == 0).all()
    torch.testing.assert_close(links, links.T)
    assert 0 < links.max() <= 1


def test_convolution_reads_rows_that_have_the_modality() -> None:
    torch.manual_seed(0)
    links, x = torch.rand(3, 5), torch.randn(5, 2, 4)
    there, own = torch.rand(5, 2) < 0.6, torch.randn(3, 2, 4)
    x[~there] = torch.nan
    found = convolve(links, x, there, own)
    for i in range(3):
        for k in range(2):
            rows = [j for j in range(5) if there[j, k]]
            total = own[i, k] + sum(links[i, j] * x[j, k] for j in rows)
            torch.testing.assert_close(found[i, k], total / (1 + sum(links[i, j] for j in rows)))


def test_memory_holds_spaced_training_rows_encoded_by_the_final_weights(build) -> None:
    method, batch = build(M3Care, memory=7)
    method.finalise([batch.rows(r) for r in torch.arange(len(batch)).split(9)])
    some = batch.present.any(1).nonzero()[:, 0]
    rows = some[torch.linspace(0, len(some) - 1, 7).round().long()]
    torch.testing.assert_close(method.bank, method._hidden(batch.rows(rows)))
    assert torch.equal(method.bank_present, batch.present[rows])
    keys, widths = method._keys(method.bank), []
    distance = squared_distances(keys, keys)
    for k in range(4):
        pairs = [
            distance[0, k, i, j]
            for i in range(7)
            for j in range(7)
            if i != j and method.bank_present[i, k] and method.bank_present[j, k]
        ]
        widths.append(torch.stack(pairs).mean() if pairs else torch.tensor(1.0).double())
    torch.testing.assert_close(method.bandwidth[0], torch.stack(widths).detach())


def test_training_fills_the_memory_with_the_last_rows(build) -> None:
    method, batch = build(M3Care, memory=15)
    method.train()
    for rows in torch.arange(20).split(10):
        method.loss(batch.rows(rows))
    assert int(method.bank_next) == 5
    assert torch.equal(method.bank_present[:5], batch.present[15:20])
    assert torch.equal(method.bank_present[5:], batch.present[5:15])


def test_without_similar_rows_a_row_keeps_to_itself(build) -> None:
    """And with them, what is absent is the mean of what they have."""
    method, batch = build(M3Care)
    method.eval()
    hidden, present = method._hidden(batch), batch.present
    with torch.no_grad():
        method.threshold.fill_(50.0)
    alone = method.second(method.first(hidden).relu()).relu()
    lent = method.lend(hidden, present)
    torch.testing.assert_close(lent[present], alone[present])


def test_phi_of_the_same_length_costs_nothing(build) -> None:
    method, batch = build(M3Care, stable=1.0)
    method.eval()
    hidden = method._hidden(batch)
    gap = (method.phi(hidden).norm(dim=-1) - hidden.norm(dim=-1)).abs()[batch.present].mean()
    torch.testing.assert_close(method.loss(batch)["stable"], gap)
    method.phi = torch.nn.Identity()
    assert method.loss(batch)["stable"].item() == 0


def test_settings_out_of_range(build) -> None:
    with pytest.raises(SettingError, match="memory must be at least 1; got 0"):
        build(M3Care, memory=0)
