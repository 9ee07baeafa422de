"""The outer product against `torch.einsum`; sizes that fit."""

from __future__ import annotations

import pytest
import torch

from amodal.errors import SettingError
from amodal.methods.tfn import TFN, outer_product
from amodal.types import Modality, Task


def test_outer_product_is_that_of_all_factors() -> None:
    torch.manual_seed(0)
    z, there = torch.randn(5, 3, 2), torch.ones(5, 3, dtype=torch.bool)
    a, b, c = (torch.cat([z[:, k], torch.ones(5, 1)], 1) for k in range(3))
    expected = torch.einsum("ni,nj,nk->nijk", a, b, c).flatten(1)
    torch.testing.assert_close(outer_product(z, there), expected)


def test_an_absent_modality_leaves_the_product_of_the_others() -> None:
    torch.manual_seed(0)
    z, there = torch.randn(5, 3, 2), torch.ones(5, 3, dtype=torch.bool)
    there[:, 1] = False
    z[:, 1] = torch.nan
    found = outer_product(z, there).view(5, 3, 3, 3)
    others = outer_product(z[:, [0, 2]], there[:, [0, 2]]).view(5, 3, 3)
    torch.testing.assert_close(found[:, :, 2], others)
    assert (found[:, :, :2] == 0).all()
    nothing = outer_product(z, torch.zeros(5, 3, dtype=torch.bool))
    assert nothing.sum(1).tolist() == [1.0] * 5


@pytest.mark.parametrize(("modalities", "size"), [(1, 32), (2, 32), (3, 15), (4, 7), (12, 1)])
def test_largest_size_that_fits(modalities: int, size: int) -> None:
    tables = [Modality(f"m{k}", "table", ("x",)) for k in range(modalities)]
    assert TFN(tables, Task("binary")).factors.last.weight.shape[-1] == size


def test_too_many_modalities_are_refused() -> None:
    tables = [Modality(f"m{k}", "table", ("x",)) for k in range(13)]
    with pytest.raises(SettingError, match="at most 4096; got size 1 and 13 modalities"):
        TFN(tables, Task("binary"))
    with pytest.raises(SettingError, match="got size 8 and 4 modalities"):
        TFN(tables[:4], Task("binary"), size=8)
