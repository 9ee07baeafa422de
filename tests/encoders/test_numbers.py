"""Numbers in pieces of their range."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from amodal.encoders import EncoderSettings, make_encoder
from amodal.encoders.numbers import Pieces
from amodal.errors import SettingError
from amodal.types import Modality
from amodal.values import Values


def by_hand(x: float, edges: np.ndarray) -> list[float]:
    out, last = [x], len(edges) - 2
    for t, (low, high) in enumerate(itertools.pairwise(edges)):
        if high <= low:
            out.append(0.0)
            continue
        part = (x - low) / (high - low)
        part = part if t == 0 else max(part, 0.0)
        part = part if t == last else min(part, 1.0)
        out.append(min(max(part, -1.0), 2.0 if t == last else 1.0))
    return out


def test_pieces_are_those_worked_out_one_by_one():
    rng = np.random.default_rng(0)
    train = rng.normal(size=(200, 3)) * [1, 5, 0.1]
    train[:120, 2] = 0.0  # ties: pieces without width
    train[rng.random((200, 3)) < 0.2] = np.nan
    pieces = Pieces(3, 4).double()
    pieces.fit(torch.tensor(train))
    edges = np.nanquantile(train, np.linspace(0, 1, 5), axis=0)
    x = rng.normal(size=(50, 3)) * 8
    found = pieces(torch.tensor(x)).view(50, 5, 3)
    for i in range(50):
        for j in range(3):
            wanted = by_hand(x[i, j], edges[:, j].astype(np.float64))
            np.testing.assert_allclose(found[i, :, j].numpy(), wanted, atol=1e-5)


def test_a_linear_layer_behind_pieces_is_any_function_linear_within_them():
    """sum over pieces of (f(b_t) - f(b_{t-1})) piece_t + f(b_0) = f, here f = |x|."""
    train = torch.linspace(-2, 2, 401, dtype=torch.double)[:, None]
    pieces = Pieces(1, 8).double()
    pieces.fit(train)
    rise = pieces.edges[:, 0].abs().diff()
    found = pieces(train)[:, 1:] @ rise + pieces.edges[0, 0].abs()
    torch.testing.assert_close(found, train[:, 0].abs(), atol=1e-6, rtol=0)


def test_what_is_unknown_is_zero_and_lets_no_gradient_through():
    pieces = Pieces(2, 3)
    pieces.fit(torch.tensor([[0.0, torch.nan], [3.0, torch.nan]]))  # one column never known
    assert torch.isfinite(pieces.edges).all()
    x = torch.tensor([[torch.nan, 1.0]], requires_grad=True)
    out = pieces(x).view(4, 2)
    assert (out[:, 0] == 0).all()
    out.sum().backward()
    assert x.grad[0, 0] == 0
    assert torch.isfinite(x.grad).all()


@pytest.mark.parametrize("rows", [0, 1])
def test_none_or_one_training_row(rows):
    pieces = Pieces(2, 3)
    pieces.fit(torch.ones(rows, 2))
    assert torch.isfinite(pieces(torch.randn(5, 2))).all()


def test_the_edges_are_stored_with_the_weights():
    modality = Modality("a", "table", features=("x", "y"))
    first, second = (make_encoder(modality, EncoderSettings(width=8)) for _ in range(2))
    values = Values({"numeric": torch.randn(30, 2) * 7}, None, torch.arange(30))
    first.fit(values)
    second.load_state_dict(first.state_dict())
    assert torch.equal(first.eval()(values).pooled, second.eval()(values).pooled)


def test_a_series_that_enters_in_no_way_is_refused():
    with pytest.raises(SettingError, match="must enter somehow"):
        EncoderSettings(series="summaries", summaries=False)


def test_numbers_are_the_columns_that_enter():
    table = make_encoder(Modality("a", "table", features=("x", "y")), EncoderSettings(width=8))
    values = Values({"numeric": torch.tensor([[1.0, torch.nan]])}, None, torch.arange(1))
    assert table.columns == table.numbers(values).shape[1] == 2
    codes = make_encoder(Modality("c", "codes", vocabulary=("u",)), EncoderSettings(width=8))
    assert codes.columns == 0
    for kind in ("windows", "summaries", "gru"):
        series = make_encoder(Modality("s", "series", ("x", "y")), EncoderSettings(series=kind))
        steps = {"time": torch.tensor([0.0, 1.0]), "value": torch.tensor([[1.0, torch.nan]] * 2)}
        found = series.numbers(Values(steps, torch.tensor([0, 2]), torch.tensor([0])))
        assert found.shape == (1, series.columns) == (1, 2 * 9 + 3)
        assert found[0].isnan().sum() == 9  # all that a variable never observed would tell


def test_pieces_left_out_are_what_edges_at_zero_give_without_the_work():
    x = torch.tensor([[1.5, torch.nan, -2.0], [0.0, 3.0, torch.nan]])
    pieces = Pieces(3, 4)
    pieces.leave_out()
    found = pieces(x)
    pieces.left_out = False
    assert torch.equal(found, pieces(x))
    again = Pieces(3, 4)
    again.load_state_dict(pieces.state_dict())
    assert again.left_out
    assert torch.equal(found, again(x))
    again.fit(torch.randn(9, 3))
    assert not again.left_out
