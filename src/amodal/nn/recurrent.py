"""Recurrent layers over packed sequences that are quick on a CPU."""

from __future__ import annotations

from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F
from torch.nn.utils.rnn import PackedSequence

__all__ = ["GRU", "MinGRU"]


def _by_time(offsets: Int[Tensor, " v1"]) -> tuple[Tensor, Tensor, Tensor]:
    """``(order, sizes, back)``: all first steps, then all second ones; sequences longest first.

    The k-th step concerns the first ``sizes[k]`` sequences, and ``sizes`` never grows: what
    `torch.nn.utils.rnn.PackedSequence` calls batch sizes. ``back`` undoes ``order``.
    """
    lengths = offsets[1:] - offsets[:-1]
    longest_first = torch.argsort(lengths, descending=True, stable=True)
    place = torch.arange(int(lengths.max()), device=offsets.device)[:, None]
    running = place < lengths[longest_first]
    order = (offsets[:-1][longest_first] + place)[running]
    back = torch.empty_like(order)
    back[order] = torch.arange(len(order), device=order.device)
    return order, running.sum(1).cpu(), back


def _ends(states: Float[Tensor, "s h"], offsets: Int[Tensor, " v1"]) -> Float[Tensor, "v h"]:
    """The last state of each sequence; 0 for an empty one."""
    if len(states) == 0:
        return states.new_zeros(len(offsets) - 1, states.shape[1])
    last = states[(offsets[1:] - 1).clamp_min(0)]
    return torch.where((offsets[1:] > offsets[:-1])[:, None], last, torch.zeros_like(last))


class GRU(nn.GRU):
    """One-layer GRU over packed sequences of different lengths.

    ``r = sigmoid(W_ir x + b_ir + W_hr h + b_hr)``, ``z`` likewise,
    ``n = tanh(W_in x + b_in + r (W_hn h + b_hn))``, ``h' = (1 - z) n + z h``
    (Cho et al. 2014 as in `torch.nn.GRU`, whose parameters it has).

    On a CPU in full precision a loop of its own runs over the time steps, with a backward pass of
    its own: no graph node per operation, and one product for the gradient of the weights.
    Elsewhere `torch.nn.GRU` itself runs. Both give the same numbers.

    Args:
        inputs: size i of a step's input.
        width: size h of the state.

    >>> last, states = GRU(2, 4)(torch.zeros(3, 2), torch.tensor([0, 1, 1, 3]))
    >>> last[1].tolist(), bool((last[2] == states[2]).all())
    ([0.0, 0.0, 0.0, 0.0], True)
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__(inputs, width)

    def forward(
        self, x: Float[Tensor, "s i"], offsets: Int[Tensor, " v1"]
    ) -> tuple[Float[Tensor, "v h"], Float[Tensor, "s h"]]:
        """The last state of each sequence (0 for an empty one), and the state behind each step.

        Args:
            x: the steps of all sequences, one sequence after the other.
            offsets: sequence j has the steps ``offsets[j]:offsets[j + 1]``.
        """
        if len(x) == 0:
            states = x.new_zeros(0, self.hidden_size)
        else:
            order, sizes, back = _by_time(offsets)
            states = self._run(x[order], sizes)[back]
        return _ends(states, offsets), states

    def _run(self, x: Tensor, sizes: Tensor) -> Tensor:
        if x.device.type != "cpu" or torch.is_autocast_enabled("cpu") or x.dtype.itemsize < 4:
            return super().forward(PackedSequence(x, sizes))[0].data
        gates = F.linear(x, self.weight_ih_l0, self.bias_ih_l0)
        return _Steps.apply(gates, self.weight_hh_l0, self.bias_hh_l0, sizes.tolist())


class _Steps(torch.autograd.Function):
    """The recurrence, given ``gates = W_i x + b_i`` ``[s, 3 h]`` as `_by_time` orders it."""

    @staticmethod
    def forward(ctx: Any, gates: Tensor, weight: Tensor, bias: Tensor, sizes: list[int]) -> Tensor:
        h = weight.shape[1]
        w_rz, w_n = weight[: 2 * h].t(), weight[2 * h :].t()
        add_rz = (gates[:, : 2 * h] + bias[: 2 * h]).split(sizes)
        add_n, bias_n = gates[:, 2 * h :].split(sizes), bias[2 * h :]
        state, steps, states = gates.new_zeros(sizes[0], h), [], []
        for k, n in enumerate(sizes):
            before = state[:n]
            rz = torch.addmm(add_rz[k], before, w_rz).sigmoid_()
            r, z = rz.chunk(2, dim=1)
            inner = torch.addmm(bias_n, before, w_n)
            new = torch.addcmul(add_n[k], r, inner).tanh_()
            state = torch.lerp(new, before, z)
            steps.append((before, rz, inner, new))
            states.append(state)
        ctx.steps, ctx.sizes = steps, sizes
        ctx.save_for_backward(weight)
        return torch.cat(states)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (weight,) = ctx.saved_tensors
        h, sizes = weight.shape[1], ctx.sizes
        weight_nrz = torch.cat([weight[2 * h :], weight[: 2 * h]])
        slopes = grad.new_empty(len(grad), 4 * h)  # hidden part of n, r, z, input part of n
        carry = grad.new_zeros(sizes[0], h)
        grads, parts = grad.split(sizes), slopes.split(sizes)
        for k in range(len(sizes) - 1, -1, -1):
            before, rz, inner, new = ctx.steps[k]
            r, z = rz.chunk(2, dim=1)
            d_hidden, d_r, d_z, d_n = parts[k].chunk(4, dim=1)
            d = carry[: sizes[k]].add_(grads[k])
            torch.mul(torch.addcmul(d, d, z, value=-1), 1 - new * new, out=d_n)
            torch.mul(d_n, r, out=d_hidden)
            torch.mul(d_n, inner * (r - r * r), out=d_r)
            torch.mul(d, (before - new) * (z - z * z), out=d_z)
            d.mul_(z).addmm_(parts[k][:, : 3 * h], weight_nrz)
        before = torch.cat([s[0] for s in ctx.steps])
        d_weight = slopes[:, : 3 * h].t() @ before
        d_bias = slopes[:, : 3 * h].sum(0)
        order = torch.tensor([1, 2, 0]).repeat_interleave(h) * h + torch.arange(h).repeat(3)
        return slopes[:, h:], d_weight[order], d_bias[order], None


class MinGRU(nn.Module):
    """A GRU whose gates do not look at the state: a learned, gated moving average.

    ``z_t = sigmoid(W_z x_t + b_z)``, ``n_t = gelu(W_n x_t + b_n)``, ``h_t = (1 - z_t) h_{t-1} +
    z_t n_t`` (Feng et al. 2024, "Were RNNs all we needed?", section 3.1, with a gelu). All products
    are done at once for all steps; one elementwise operation per step remains.

    Args:
        inputs: size i of a step's input.
        width: size h of the state.

    >>> last, states = MinGRU(2, 4)(torch.zeros(3, 2), torch.tensor([0, 1, 1, 3]))
    >>> last[1].tolist(), bool((last[2] == states[2]).all())
    ([0.0, 0.0, 0.0, 0.0], True)
    """

    def __init__(self, inputs: int, width: int) -> None:
        super().__init__()
        self.new = nn.Linear(inputs, width)
        self.gate = nn.Linear(inputs, width)
        nn.init.constant_(self.gate.bias, -1.0)  # remembers about four steps at the start

    def forward(
        self, x: Float[Tensor, "s i"], offsets: Int[Tensor, " v1"]
    ) -> tuple[Float[Tensor, "v h"], Float[Tensor, "s h"]]:
        """The last state of each sequence (0 for an empty one), and the state behind each step.

        Args:
            x: the steps of all sequences, one sequence after the other.
            offsets: sequence j has the steps ``offsets[j]:offsets[j + 1]``.
        """
        if len(x) == 0:
            states = x.new_zeros(0, self.new.out_features)
            return _ends(states, offsets), states
        order, sizes, back = _by_time(offsets)
        x = x[order].to(self.new.weight.dtype)
        with torch.autocast(x.device.type, enabled=False):  # a long product of gates needs float32
            new, gate = F.gelu(self.new(x)), self.gate(x).sigmoid()
            states = _Average.apply(new, gate, sizes.tolist())[back]
        return _ends(states, offsets), states


class _Average(torch.autograd.Function):
    """``h_t = h_{t-1} + z_t (n_t - h_{t-1})`` over steps that stand as `_by_time` orders them."""

    @staticmethod
    def forward(ctx: Any, new: Tensor, gate: Tensor, sizes: list[int]) -> Tensor:
        states = torch.empty_like(new)
        state = new.new_zeros(sizes[0], new.shape[1])
        parts = (y.split(sizes) for y in (new, gate, states))
        for n, fresh, z, out in zip(sizes, *parts, strict=True):
            state = torch.lerp(state[:n], fresh, z, out=out)
        ctx.sizes = sizes
        ctx.save_for_backward(new, gate, states)
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        new, gate, states = ctx.saved_tensors
        sizes = ctx.sizes
        total, keep = torch.empty_like(grad), 1 - gate
        carry = grad.new_zeros(sizes[0], grad.shape[1])
        parts = [y.split(sizes) for y in (grad, keep, total)]
        for n, d, left, out in reversed(list(zip(sizes, *parts, strict=True))):
            torch.add(d, carry[:n], out=out)
            torch.mul(out, left, out=carry[:n])
        done = states.split(sizes)
        before = [torch.zeros_like(done[0])]
        before += [state[:n] for state, n in zip(done, sizes[1:], strict=False)]
        return total * gate, total * (new - torch.cat(before)), None
