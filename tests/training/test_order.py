"""The order of an epoch: a permutation, rows that share a file together, batches still varied."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch

from amodal import Dataset, Model
from amodal.data.tensors import to_batch
from amodal.training.order import draw_order, shared_file

Image = pytest.importorskip("PIL.Image")


def drawn(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def plainly(order: list[int], shared: list[int], most: int) -> list[int]:
    """The same rule as a loop: a row takes with it the next rows of its file, `most` in all."""
    left, out = list(order), []
    while left:
        row = left.pop(0)
        taken = [row]
        if shared[row] >= 0:
            taken += [r for r in left if shared[r] == shared[row]][: most - 1]
        left = [r for r in left if r not in taken]
        out += taken
    return out


@pytest.mark.parametrize("batch_size", [8, 16, 40, 400])
def test_equals_a_loop(batch_size):
    shared = torch.randint(-1, 6, (50,), generator=drawn(1))
    found = draw_order(50, batch_size, shared, drawn(2)).tolist()
    order = torch.randperm(50, generator=drawn(2)).tolist()
    assert found == plainly(order, shared.tolist(), max(1, batch_size // 8))
    assert sorted(found) == list(range(50))


def test_nothing_shared_is_the_plain_permutation_and_draws_as_much():
    one, two, three = drawn(3), drawn(3), drawn(3)
    plain = torch.randperm(9, generator=one)
    assert torch.equal(draw_order(9, 4, None, two), plain)
    assert torch.equal(draw_order(9, 4, torch.arange(9) - 1, three), plain)
    draw_order(9, 4, torch.zeros(9, dtype=torch.long), two)
    assert torch.equal(one.get_state(), three.get_state())
    assert draw_order(0, 4, torch.zeros(0, dtype=torch.long), drawn(0)).tolist() == []
    assert draw_order(1, 4, torch.zeros(1, dtype=torch.long), drawn(0)).tolist() == [0]


def test_every_row_is_as_likely_to_come_first():
    shared = torch.tensor([0, 0, 0, 1, -1])
    first = [int(draw_order(5, 64, shared, drawn(s))[0]) for s in range(500)]
    share = np.bincount(first, minlength=5) / 500
    assert np.abs(share - 0.2).max() < 4 * (0.16 / 500) ** 0.5


def questions(folder, images: int, each: int) -> Dataset:
    """Rows that ask one of five things about an image, which `each` of them share."""
    rng, rows = np.random.default_rng(0), images * each
    for k in range(images):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
    paths = [str(folder / f"{k % images}.png") for k in range(rows)]
    ask = [f"what {'abcde'[k % 5]}" for k in range(rows)]
    return Dataset.from_arrays(
        {"question": ask, "image": paths},
        [float(k % 2) for k in range(rows)],
        modalities={"question": "text", "image": "image"},
    )


SMALL = {"epochs": 1, "width": 8, "heads": 2, "depth": 1, "image_size": 8, "patch": 4}


@pytest.mark.parametrize(("each", "kept"), [(1, False), (4, True)])
def test_files_count_where_two_rows_share_one_and_texts_do_not(tmp_path, each, kept):
    data = questions(tmp_path, 12, each)
    model = Model("mean", **SMALL).fit(data)
    batch = to_batch(model.members_[0].scaler.apply(data))
    found = shared_file(model.members_[0].method, batch)
    assert (found is not None) == kept
    if kept:
        assert torch.equal(found, batch.values["image"].index)


@pytest.mark.parametrize("method", ["concat", "imro"])
def test_an_image_that_rows_share_gives_the_loss_and_gradient_of_one_each(tmp_path, method):
    data = questions(tmp_path, 3, 4)
    torch.manual_seed(0)
    member = Model(method, dropout=0.0, precision="64", **SMALL).fit(data).members_[0]
    fitted, batch = member.method, to_batch(member.scaler.apply(data), dtype=torch.float64)
    fitted.train().corrupt = 0.0
    apart = {k: v.index for k, v in batch.values.items()}
    prepared = fitted.prepare_values(batch)
    pixels = prepared.values["image"].data["pixels"]
    assert len(pixels) == 3
    spread = type(prepared.values["image"])(
        {"pixels": pixels[apart["image"]]}, None, torch.arange(len(batch))
    )
    plain = prepared.with_values({**prepared.values, "image": spread})
    found = []
    for one in (prepared, plain):
        again = copy.deepcopy(fitted)  # a step in training mode changes running means
        again.zero_grad()
        loss = sum(again.loss(one).values())
        loss.backward()
        grads = [p.grad for p in again.parameters() if p.grad is not None]
        found.append((loss.detach(), torch.cat([g.flatten() for g in grads])))
    torch.testing.assert_close(found[0][0], found[1][0])
    torch.testing.assert_close(found[0][1], found[1][1])
