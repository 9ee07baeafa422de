"""Means over rows that lie on several devices."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch

from amodal.nn.graph import mean_over_rows

HALF = """
import sys, torch
import torch.distributed as dist
from amodal.nn.graph import mean_over_rows

folder, rank = sys.argv[1], int(sys.argv[2])
dist.init_process_group("gloo", init_method=f"file://{folder}/meet", rank=rank, world_size=2)
edge, there = torch.load(f"{folder}/whole.pt", weights_only=True)
mine = slice(None, 5) if rank == 0 else slice(5, None)
part = edge[:, :, mine].clone().requires_grad_()
mean, count = mean_over_rows(part, there[:, :, mine])
mean.square().sum().backward()
torch.save((mean.detach(), count.detach(), part.grad), f"{folder}/{rank}.pt")
dist.destroy_process_group()
"""


@pytest.mark.processes
def test_means_are_over_the_rows_of_all_devices(tmp_path: Path) -> None:
    torch.manual_seed(0)
    edge, there = torch.randn(1, 3, 8, 4, dtype=torch.double), torch.rand(1, 3, 8) < 0.6
    there[:, 2] = False  # a modality that no row has
    torch.save((edge, there), tmp_path / "whole.pt")
    script = [sys.executable, "-c", HALF, str(tmp_path)]
    both = [subprocess.Popen([*script, str(rank)]) for rank in range(2)]
    assert [process.wait(timeout=120) for process in both] == [0, 0]
    whole = edge.clone().requires_grad_()
    mean, count = mean_over_rows(whole, there)
    mean.square().sum().backward()
    grads = []
    for rank in range(2):
        found, number, grad = torch.load(tmp_path / f"{rank}.pt", weights_only=True)
        torch.testing.assert_close(found, mean.detach())
        assert torch.equal(number, count)
        grads.append(grad)
    # Each device has the loss of all, and what averages gradients halves their sum.
    torch.testing.assert_close(torch.cat(grads, 2) / 2, whole.grad)
