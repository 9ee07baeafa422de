"""The GRU against torch.nn.GRU, and both against loops, sequence by sequence."""

from __future__ import annotations

from itertools import pairwise

import pytest
import torch

from amodal.nn.recurrent import GRU, MinGRU


def packed(lengths, inputs=3, dtype=torch.float64):
    offsets = torch.tensor([0, *torch.tensor(lengths, dtype=torch.long).cumsum(0).tolist()])
    g = torch.Generator().manual_seed(0)
    return torch.randn(int(offsets[-1]), inputs, generator=g, dtype=dtype), offsets


def reference(gru, x, offsets):
    """torch.nn.GRU over one sequence at a time."""
    plain = torch.nn.GRU(gru.input_size, gru.hidden_size).to(x.dtype)
    plain.load_state_dict(gru.state_dict())
    last, states = [], []
    for a, b in pairwise(offsets.tolist()):
        if a == b:
            last.append(torch.zeros(gru.hidden_size, dtype=x.dtype))
            continue
        every = plain(x[a:b])[0]
        states.append(every)
        last.append(every[-1])
    return plain, torch.stack(last), torch.cat(states)


@pytest.mark.parametrize("lengths", [[1], [4], [2, 5, 0, 1, 5, 3], [0, 0, 2]])
def test_states_and_gradients_are_those_of_torch(lengths):
    torch.manual_seed(1)
    gru = GRU(3, 4).double()
    x, offsets = packed(lengths)
    x.requires_grad_()
    last, states = gru(x, offsets)
    plain, expected_last, expected_states = reference(gru, x, offsets)
    torch.testing.assert_close(last, expected_last)
    torch.testing.assert_close(states, expected_states)
    w, u = torch.randn_like(states), torch.randn_like(last)
    found = torch.autograd.grad((states * w).sum() + (last * u).sum(), [x, *gru.parameters()])
    loss = (expected_states * w).sum() + (expected_last * u).sum()
    expected = torch.autograd.grad(loss, [x, *plain.parameters()])
    for a, b in zip(found, expected, strict=True):
        torch.testing.assert_close(a, b)


def test_gradients_are_the_finite_differences():
    torch.manual_seed(2)
    gru = GRU(2, 3).double()
    x, offsets = packed([3, 1, 0, 2], inputs=2)
    assert torch.autograd.gradcheck(lambda y: gru(y, offsets)[1], x.requires_grad_())


@pytest.mark.parametrize("lengths", [[1], [4], [2, 5, 0, 1, 5, 3], [0, 0, 2]])
def test_moving_average_matches_a_loop(lengths):
    torch.manual_seed(1)
    layer = MinGRU(3, 4).double()
    x, offsets = packed(lengths)
    last, states = layer(x, offsets)
    for j, (a, b) in enumerate(pairwise(offsets.tolist())):
        state = torch.zeros(4, dtype=torch.float64)
        for step in range(a, b):
            z = layer.gate(x[step]).sigmoid()
            state = (1 - z) * state + z * torch.nn.functional.gelu(layer.new(x[step]))
            torch.testing.assert_close(states[step], state)
        torch.testing.assert_close(last[j], state)


def test_gradients_of_the_moving_average_are_the_finite_differences():
    torch.manual_seed(2)
    layer = MinGRU(2, 3).double()
    x, offsets = packed([3, 1, 0, 2], inputs=2)

    def run(y, *weights):
        names = [name for name, _ in layer.named_parameters()]
        given = dict(zip(names, weights, strict=True))
        return torch.func.functional_call(layer, given, (y, offsets))[1]

    assert torch.autograd.gradcheck(run, (x.requires_grad_(), *layer.parameters()))


@pytest.mark.parametrize("kind", [GRU, MinGRU])
@pytest.mark.parametrize("lengths", [[], [0], [0, 0]])
def test_nothing_to_read(lengths, kind):
    last, states = kind(3, 4)(*packed(lengths, dtype=torch.float32))
    assert last.tolist() == [[0.0] * 4] * len(lengths)
    assert states.shape == (0, 4)


@pytest.mark.parametrize("kind", [GRU, MinGRU])
def test_autocast_and_half_precision(kind):
    torch.manual_seed(3)
    gru = kind(3, 4)
    x, offsets = packed([3, 0, 6], dtype=torch.float32)
    full = gru(x, offsets)[0]
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = gru(x, offsets)[0]
    half = gru.bfloat16()(x.bfloat16(), offsets)[0]
    for found in (mixed, half):
        torch.testing.assert_close(found.float(), full, rtol=0.05, atol=0.05)
        assert (found[1] == 0).all()
