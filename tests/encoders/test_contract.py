"""What every encoder must do, whatever it reads."""

from __future__ import annotations

import math

import pytest
import torch

from amodal.batch import Encoded, take_values
from amodal.encoders import ENCODERS, EncoderSettings, make_encoder

SMALL = EncoderSettings(
    blocks=1, width=16, heads=2, max_steps=5, max_events=4, vocabulary=300, image_size=16
)
CASES = {
    "table": ("table", SMALL),
    "table-tokens": ("table", SMALL.replace(table="tokens")),
    "series-windows": ("series", SMALL),
    "series-gru": ("series", SMALL.replace(series="gru")),
    "series-mingru": ("series", SMALL.replace(series="mingru")),
    "series-transformer": ("series", SMALL.replace(series="transformer")),
    "series-course-only": ("series", SMALL.replace(series="gru", summaries=False)),
    "codes": ("codes", SMALL),
    "embedding": ("embedding", SMALL),
    "text": ("text", SMALL),
    "image": ("image", SMALL),
    "audio": ("audio", SMALL),
}


RAGGED = [name for name, (kind, _) in CASES.items() if kind in ("series", "codes", "text", "audio")]
WITH_CELLS = [name for name, (kind, _) in CASES.items() if kind in ("table", "series", "codes")]


@pytest.fixture(params=CASES)
def case(request, modalities):
    """(kind, encoder in evaluation mode)."""
    kind, settings = CASES[request.param]
    torch.manual_seed(1)
    return kind, make_encoder(modalities[kind], settings).eval()


def test_every_encoder_has_a_case():
    assert {kind for kind, _ in CASES.values()} == set(ENCODERS)


@pytest.mark.parametrize("v", [0, 1, 6])
def test_sizes(case, made, v):
    kind, encoder = case
    encoded = encoder(made(kind, v))
    assert isinstance(encoded, Encoded)
    assert encoded.pooled.shape == (v, 16)
    assert encoded.pooled.dtype == torch.float32
    assert encoded.pooled.isfinite().all()
    if encoded.tokens is not None:
        assert encoded.tokens.shape == (*encoded.token_present.shape, 16)
        assert (encoded.tokens[~encoded.token_present] == 0).all()


@pytest.mark.parametrize("v", [0, 1, 6, 150])
def test_pooling_alone_gives_the_same(case, made, v):
    """Of many values those of like length are read together."""
    kind, encoder = case
    values = made(kind, v)
    expected = encoder(values).pooled
    torch.testing.assert_close(encoder.pool(values), expected, rtol=1e-5, atol=1e-5)
    weight = torch.randn_like(expected)
    grads = [
        torch.autograd.grad((x * weight).sum(), list(encoder.parameters()), allow_unused=True)
        for x in (expected, encoder.pool(values))
    ]
    for full, alone in zip(*grads, strict=True):
        if full is not None:
            torch.testing.assert_close(alone, full, rtol=1e-4, atol=1e-4)


def test_no_values_still_have_a_gradient_path(case, made):
    kind, encoder = case
    loss = encoder(made(kind, 0)).pooled.sum()
    grads = torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True)
    assert all(g is None or (g == 0).all() for g in grads)


def test_an_output_depends_on_its_own_value_only(case, made, picked):
    kind, encoder = case
    values = made(kind, 6)
    together = encoder(values).pooled
    order = [4, 2, 0, 5, 3, 1]
    shuffled = encoder(picked(values, order)).pooled
    torch.testing.assert_close(shuffled, together[order], rtol=0, atol=4e-6)
    for j in range(6):
        alone = encoder(picked(values, [j])).pooled
        torch.testing.assert_close(alone[0], together[j], rtol=0, atol=4e-6)


@pytest.mark.parametrize("case", RAGGED, indirect=True)
def test_padding_changes_nothing(case, made, picked):
    """A far longer neighbour lengthens the padding."""
    kind, encoder = case
    values, long = made(kind, 3), made(kind, 1, seed=5, longest=60)
    data = {k: torch.cat([x, long.data[k]]) for k, x in values.data.items()}
    offsets = torch.cat([values.offsets, values.offsets[-1:] + long.offsets[1:]])
    both = type(values)(data, offsets, torch.arange(4))
    expected = encoder(values).pooled
    torch.testing.assert_close(encoder(both).pooled[:3], expected, rtol=0, atol=1e-6)


def test_prepared_values_give_the_same_whole_or_in_part(case, made):
    kind, encoder = case
    values = made(kind, 6)
    expected = encoder(values).pooled
    prepared = encoder.prepare(values)
    assert torch.equal(encoder(prepared).pooled, expected)
    assert torch.equal(encoder(encoder.prepare(prepared)).pooled, expected)
    part = take_values(prepared, torch.tensor([1, 2, 5]))
    torch.testing.assert_close(encoder(part).pooled, expected[[1, 2, 5]], rtol=0, atol=1e-6)


def test_gradients_are_finite_and_pass_no_missing_cell(case, made, changed):
    kind, encoder = case
    values = made(kind, 6)
    floats = {
        k: x.clone().requires_grad_() for k, x in values.data.items() if x.is_floating_point()
    }
    out = encoder.train()(changed(values, **floats)).pooled
    weight = torch.randn_like(out)
    wanted = [*floats.values(), *encoder.parameters()]
    grads = torch.autograd.grad((out * weight).sum(), wanted, allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in grads)
    for x, g in zip(floats.values(), grads, strict=False):
        assert (g[x.isnan()] == 0).all()
        assert (g[~x.isnan()] != 0).any()


@pytest.mark.parametrize("case", WITH_CELLS, indirect=True)
def test_a_missing_cell_is_not_a_zero(case, made, changed):
    kind, encoder = case
    key = {"table": "numeric", "series": "value", "codes": "time"}[kind]
    values = made(kind, 6)
    filled = changed(values, **{key: torch.nan_to_num(values.data[key])})
    hidden = values.data[key].isnan()
    if kind == "codes":  # order by time decides which events are attended to
        encoder = make_encoder(encoder.modality, SMALL.replace(max_events=99)).eval()
        torch.nn.init.normal_(encoder.timeless)  # 0 at the start
    lines = hidden if hidden.ndim == 1 else hidden.any(1)
    value_of = torch.arange(6)
    if values.offsets is not None:
        value_of = torch.repeat_interleave(value_of, values.lengths)
    affected = torch.zeros(6, dtype=torch.bool).index_fill(0, value_of[lines], True)
    assert affected.any()
    difference = (encoder(values).pooled - encoder(filled).pooled).abs().amax(1)
    assert (difference[affected] > 1e-5).all()
    assert (difference[~affected] <= 1e-6).all()


def test_dropout_acts_in_training_only(case, made):
    kind, encoder = case
    values = made(kind, 6)
    assert torch.equal(encoder(values).pooled, encoder(values).pooled)
    encoder.train()
    assert not torch.equal(encoder(values).pooled, encoder(values).pooled)


def test_the_callers_seed_fixes_the_weights(case, modalities):
    kind, encoder = case
    torch.manual_seed(1)
    again = make_encoder(modalities[kind], encoder.settings).state_dict()
    torch.manual_seed(2)
    other = make_encoder(modalities[kind], encoder.settings).state_dict()
    state = encoder.state_dict()
    assert all(torch.equal(x, again[k]) for k, x in state.items())
    assert any(not torch.equal(x, other[k]) for k, x in state.items())


def test_type_follows_the_parameters(case, made):
    kind, encoder = case
    values = made(kind, 6)
    single = encoder(values).pooled
    double = encoder.double()(values).pooled
    assert double.dtype == torch.float64
    torch.testing.assert_close(double.float(), single, rtol=1e-3, atol=1e-4)
    half = encoder.bfloat16()(values).pooled
    assert half.dtype == torch.bfloat16
    torch.testing.assert_close(half.float(), single, rtol=0.1, atol=0.15)


def test_autocast_stays_close(case, made):
    kind, encoder = case
    values = made(kind, 6)
    single = encoder(values).pooled
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = encoder(values).pooled
        loss = mixed.float().square().sum()
    torch.testing.assert_close(mixed.float(), single, rtol=0.1, atol=0.15)
    grads = torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True)
    assert all(g is None or g.isfinite().all() for g in grads)


def test_inputs_are_left_as_they_were(case, made):
    kind, encoder = case
    values, twin = made(kind, 6), made(kind, 6)
    encoder.train()(values).pooled.sum().backward()
    for key, x in values.data.items():
        assert torch.equal(torch.nan_to_num(x, math.pi), torch.nan_to_num(twin.data[key], math.pi))


def test_every_weight_learns(case, made):
    kind, encoder = case
    values = made(kind, 40)
    if kind == "text":  # runs of tokens are known after `fit` alone, which needs texts
        encoder.ngrams.fit(values.data["token"], values.offsets)
    out = encoder.train()(values)
    loss = (out.pooled * torch.randn_like(out.pooled)).sum()
    unused = {
        name
        for (name, _), g in zip(
            encoder.named_parameters(),
            torch.autograd.grad(loss, list(encoder.parameters()), allow_unused=True),
            strict=True,
        )
        if g is None or not (g != 0).any()
    }
    assert unused == set()
