"""MISA's three terms against loops over modalities."""

from __future__ import annotations

import torch

from amodal.methods.misa import MISA, moment_distance, overlap


def test_moments_are_those_of_the_rows_that_have_the_modality() -> None:
    torch.manual_seed(0)
    x, present = torch.rand(30, 3, 4).double(), torch.rand(30, 3) < 0.6
    gaps = []
    for j, k in ((0, 1), (0, 2), (1, 2)):
        a, b = x[present[:, j], j], x[present[:, k], k]
        gap = (a.mean(0) - b.mean(0)).norm()
        for power in range(2, 6):
            first = (a - a.mean(0)).pow(power).mean(0)
            gap = gap + (first - (b - b.mean(0)).pow(power).mean(0)).norm()
        gaps.append(gap)
    x[~present] = torch.nan
    torch.testing.assert_close(
        moment_distance(x, present), torch.stack(gaps).mean(), atol=1e-5, rtol=0
    )


def test_equal_distributions_have_no_distance_whatever_the_rows_order() -> None:
    x = torch.rand(20, 1, 3)
    both = torch.cat([x, x.flip(0)], 1)
    assert moment_distance(both, torch.ones(20, 2, dtype=torch.bool)).item() < 1e-4
    few = torch.zeros(20, 2, dtype=torch.bool)
    few[0] = True
    assert moment_distance(both, few) == 0


def test_overlap_is_the_mean_square_of_products_of_columns() -> None:
    torch.manual_seed(0)
    common, own = torch.randn(12, 3, 4).double(), torch.randn(12, 3, 4).double()
    present = torch.rand(12, 3) < 0.7

    def unit(x: torch.Tensor, k: int) -> torch.Tensor:
        full = torch.zeros(12, 4).double()
        rows = x[present[:, k], k]
        rows = rows - rows.mean(0)
        full[present[:, k]] = rows / rows.norm(dim=1, keepdim=True)
        return full

    within = sum((unit(common, k).T @ unit(own, k)).square().mean() for k in range(3)) / 3
    between = [(unit(own, j).T @ unit(own, k)).square().mean() for j, k in ((0, 1), (0, 2), (1, 2))]
    expected = within + sum(between) / 3
    torch.testing.assert_close(overlap(common, own, present), expected, atol=1e-6, rtol=0)


def test_orthogonal_parts_do_not_overlap() -> None:
    rows = torch.tensor([1.0, -1.0, 1.0, -1.0])
    common = torch.stack([rows, torch.zeros(4)], 1)[:, None]
    own = torch.stack([rows, rows], 1)[:, None]
    there = torch.ones(4, 1, dtype=torch.bool)
    assert overlap(common, own * torch.tensor([1.0, 0.0]), there) > 0.1
    crossed = torch.tensor([1.0, 1.0, -1.0, -1.0])[:, None, None] * torch.tensor([0.0, 1.0])
    assert overlap(common, crossed, there).item() < 1e-6


def test_terms_and_their_weights(build) -> None:
    method, batch = build(MISA, similar=2.0, differ=0.0, rebuild=3.0)
    terms = method.eval().loss(batch)
    u, common, own = method.parts(batch)
    error = (method.back(common + own) - u).square().mean(-1)[batch.present].mean()
    torch.testing.assert_close(terms["rebuild"], 3 * error)
    torch.testing.assert_close(terms["similar"], 2 * moment_distance(common, batch.present))
    assert terms["differ"] == 0
    assert ((common >= 0) & (common <= 1)).all()
