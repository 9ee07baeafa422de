"""Settings and the choice of an encoder."""

from __future__ import annotations

import re

import pytest
import torch

from amodal.encoders import ENCODERS, EncoderSettings, make_encoder
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.types import Modality
from amodal.values import Values


@pytest.mark.parametrize(
    ("changes", "text"),
    [
        ({"width": 0}, "width must be a whole number from 1; got 0; raise it"),
        ({"depth": 1.5}, "depth must be a whole number from 1; got 1.5; raise it"),
        ({"max_steps": True}, "max_steps must be a whole number from 1; got True; raise it"),
        ({"width": 10, "heads": 3}, "heads must divide width; got width 10, heads 3; change one"),
        ({"dropout": 1.0}, "dropout must lie in [0, 1); got 1.0; change it"),
        ({"dropout": float("nan")}, "dropout must lie in [0, 1); got nan; change it"),
        ({"dropout": "high"}, "dropout must lie in [0, 1); got 'high'; change it"),
        ({"summaries": "yes"}, "summaries must be true or false; got 'yes'; change it"),
    ],
)
def test_settings_out_of_range(changes, text):
    with pytest.raises(SettingError, match=re.escape(text)):
        EncoderSettings(**changes)


def test_unknown_choices_name_the_nearest():
    with pytest.raises(
        UnknownNameError, match=r"unknown series encoder 'gruu': did you mean 'gru'\?"
    ):
        EncoderSettings(series="gruu")
    with pytest.raises(
        UnknownNameError, match="unknown table encoder 'x': choose from mlp, tokens"
    ):
        EncoderSettings(table="x")


def test_settings_survive_json():
    settings = EncoderSettings(width=32, series="transformer", summaries=False)
    assert EncoderSettings.from_json(settings.to_json()) == settings
    assert settings.replace(width=64).width == 64
    assert settings.width == 32


def test_an_embedding_without_dimensions():
    with pytest.raises(DataError, match="needs the dimensions of embedding 'e'"):
        make_encoder(Modality("e", "embedding"))


def test_each_class_says_what_it_reads():
    assert {kind: cls.kind for kind, cls in ENCODERS.items()} == {k: k for k in ENCODERS}
    assert "t, table" in repr(make_encoder(Modality("t", "table", features=("a",))))


def numbers_of(rows: torch.Tensor) -> Values:
    none = torch.zeros(len(rows), 0).long()
    return Values({"numeric": rows, "categorical": none}, None, torch.arange(len(rows)))


def test_more_inputs_than_rows_slow_the_first_map_and_change_nothing_else():
    rows = torch.randn(38, 4)
    modality = Modality("a", "table", tuple("wxyz"))
    encoder = make_encoder(modality, EncoderSettings(width=8, dropout=0.0)).eval()
    values = numbers_of(rows)
    inputs = encoder.body.first.in_features  # 4 numbers, 8 pieces of each, 4 flags
    encoder.pieces.fit(rows)
    before, weight = encoder(values).pooled, encoder.body.first.weight.clone()
    encoder.fit(values)
    assert inputs == 40
    assert encoder.body.pace.item() == pytest.approx(38 / 40)
    assert torch.allclose(encoder.body.first.weight, weight * 40 / 38)
    assert torch.allclose(encoder(values).pooled, before, atol=1e-5)
    encoder.body.slow(rows=20)
    assert encoder.body.pace.item() == pytest.approx((20 / 40) ** 3)
    encoder.body.slow(rows=1000)
    assert encoder.body.pace.item() == 1.0
    assert torch.allclose(encoder.body.first.weight, weight, rtol=1e-5)


def test_numbers_of_fewer_rows_than_pieces_enter_as_they_are():
    rows = torch.randn(6, 4)
    modality = Modality("a", "table", tuple("wxyz"))
    encoder = make_encoder(modality, EncoderSettings(width=8, dropout=0.0)).eval()
    encoder.fit(numbers_of(rows))
    assert encoder.body.pace.item() == pytest.approx(6 / 8)  # 4 numbers and 4 flags
    weight, bias = encoder.body.first.weight * encoder.body.pace, encoder.body.first.bias
    plain = encoder.body.refine(rows @ weight[:, :4].T + bias)
    assert torch.allclose(encoder(numbers_of(rows)).pooled, plain, atol=1e-5)
