"""Tables: cells, levels, tokens."""

from __future__ import annotations

import math

import pytest
import torch
from torch.nn import functional as F

from amodal.encoders import EncoderSettings, make_encoder
from amodal.types import Modality
from amodal.values import Values

SMALL = EncoderSettings(width=8, heads=2)


@pytest.mark.parametrize("numbers", ["linear", "piecewise"])
def test_first_layer_is_its_formula(modalities, made, numbers):
    settings = SMALL.replace(blocks=1, numbers=numbers, pieces=3)
    encoder = make_encoder(modalities["table"], settings).eval()
    encoder.fit(made("table"))
    torch.nn.init.normal_(encoder.levels.weight)
    values, body = made("table"), encoder.body
    assert (body.pace < 1) == (2 * encoder.numeric > len(values))  # as many flags as numbers
    if numbers == "piecewise":
        encoder.pieces.fit(encoder.numbers(values))  # too few rows: they were left out
    rows = []
    for numbers_of_row, levels in zip(
        values.data["numeric"].tolist(), values.data["categorical"].tolist(), strict=True
    ):
        missing = [float(math.isnan(x)) for x in numbers_of_row]
        known = [0.0 if math.isnan(x) else x for x in numbers_of_row]
        if numbers == "piecewise":
            known = encoder.pieces(torch.tensor([numbers_of_row]))[0].tolist()
        h = body.enter(torch.tensor(known + missing))
        u, w = levels  # "u" has positions 0-2, "w" 3-6, unknown first
        rows.append(h + encoder.levels.weight[1 + u] + encoder.levels.weight[4 + w])
    h = torch.stack(rows)
    h = h + body.blocks[0](h)
    log_size = 0.5 * (h.square().mean(1, keepdim=True) + 1e-6).log()
    torch.testing.assert_close(encoder(values).pooled, F.layer_norm(h, (8,)) + log_size * body.size)


def test_an_unknown_level_says_nothing_before_training(modalities):
    encoder = make_encoder(modalities["table"], SMALL)
    weight = encoder.levels.weight
    assert (weight[[0, 3]] == 0).all()
    assert (weight[[1, 2, 4, 5, 6]].abs().sum(1) > 0).all()
    assert encoder.levels.padding_idx is None  # no category is frozen


@pytest.mark.parametrize("table", ["mlp", "tokens"])
@pytest.mark.parametrize(
    "modality",
    [
        Modality("n", "table", features=("a",)),
        Modality("c", "table", levels={"u": ("x", "y")}),
    ],
)
def test_only_numbers_or_only_categories(modality, table):
    encoder = make_encoder(modality, SMALL.replace(table=table)).eval()
    n, c = len(modality.features), len(modality.levels)
    data = {"numeric": torch.ones(2, n), "categorical": torch.tensor([[0], [1]])[:, :c]}
    for given in (data, {k: x for k, x in data.items() if x.shape[1]}):
        pooled = encoder(Values(given, None, torch.arange(2))).pooled
        assert pooled.shape == (2, 8)
        assert torch.equal(pooled[0], pooled[1]) == (c == 0)


def test_tokens_are_one_per_column(modalities, made):
    encoder = make_encoder(modalities["table"], SMALL.replace(table="tokens")).eval()
    encoded = encoder(made("table"))
    assert encoded.tokens.shape == (6, 5, 8)
    assert encoded.token_present.all()


@pytest.mark.parametrize("table", ["mlp", "tokens"])
def test_learns_that_missing_is_evidence(table):
    """The label is whether the second cell is missing; a mean in its place would hide it."""
    torch.manual_seed(0)
    x = torch.randn(400, 2)
    label = torch.rand(400) < 0.5
    x[label, 1] = math.nan
    encoder = make_encoder(Modality("t", "table", features=("a", "b")), SMALL.replace(table=table))
    model = torch.nn.Sequential(torch.nn.Linear(8, 1))
    optimiser = torch.optim.AdamW([*encoder.parameters(), *model.parameters()], lr=1e-2)
    values = Values({"numeric": x}, None, torch.arange(400))
    for _ in range(60):
        loss = F.binary_cross_entropy_with_logits(
            model(encoder(values).pooled)[:, 0], label.float()
        )
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    found = model(encoder(values).pooled)[:, 0] > 0
    assert (found == label).float().mean() > 0.97
