"""The running average of weights, beside the one of torch."""

from __future__ import annotations

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel

from amodal.training.average import RunningAverage


def _moved(net: nn.Module) -> None:
    with torch.no_grad():
        for p in net.parameters():
            p.add_(torch.randn_like(p))
    net(torch.randn(8, 3))  # moves the buffers of the batch norm


def _theirs(net: nn.Module) -> AveragedModel:
    def lerp(averaged, current, count):
        keep = min(0.7, (1 + int(count)) / (10 + int(count)))
        torch._foreach_lerp_(averaged, current, 1 - keep)

    return AveragedModel(net, multi_avg_fn=lerp)


def test_equals_the_average_of_torch_and_resumes():
    torch.manual_seed(0)
    net = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    ours, theirs = RunningAverage(net, 0.7), _theirs(net)
    for step in range(30):
        _moved(net)
        ours.update()
        theirs.update_parameters(net)
        if step == 10:
            kept = ours.state_dict()
            ours = RunningAverage(net, 0.7)
            ours.load_state_dict(kept)
    for name, value in theirs.module.state_dict().items():
        assert torch.equal(ours.module.state_dict()[name], value), name


def test_the_source_is_left_alone():
    net = nn.Linear(2, 2)
    before = {k: v.clone() for k, v in net.state_dict().items()}
    average = RunningAverage(net, 0.9)
    with torch.no_grad():
        average.module.weight.fill_(7.0)
    average.update()
    assert all(torch.equal(v, before[k]) for k, v in net.state_dict().items())
    assert torch.equal(average.module.weight, net.weight)
    assert net.weight.requires_grad
