"""Batches whose files are decoded ahead are those that are decoded at once."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal import Dataset, Model
from amodal.data.tensors import to_batch
from amodal.errors import MediaError
from amodal.training.feed import feed, part_size

Image = pytest.importorskip("PIL.Image")

SMALL = {"epochs": 1, "width": 8, "heads": 2, "depth": 1, "image_size": 8, "patch": 4}


def photos(folder, n=60):
    rng = np.random.default_rng(0)
    paths = []
    for k in range(20):
        pixels = rng.integers(0, 256, (8, 8, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
    rows = {"p": [None if k % 7 == 0 else paths[k % 20] for k in range(n)], "x": rng.random((n, 1))}
    return Dataset.from_arrays(rows, [k % 2 for k in range(n)], modalities={"p": "image"})


@pytest.fixture(autouse=True)
def one_process(monkeypatch):
    """Starting others takes longer than all that they do here."""
    monkeypatch.setattr("amodal.media.decode._WORKERS", 1)


def test_each_batch_is_the_one_decoded_at_once(tmp_path):
    data = photos(tmp_path)
    model = Model("mean", media_memory=0, **SMALL).fit(data)
    member = model.members_[0]
    method, batch = member.method, to_batch(member.scaler.apply(data))
    whole = batch.with_values(
        {n: e.load(batch.values[n]) if e.kind == "image" else batch.values[n]
         for n, e in zip(method.names, method.encoders, strict=True)}
    )  # fmt: skip
    parts = list(torch.randperm(60).split(17))
    assert part_size(method, batch, 1024) < 1024 == part_size(method, whole, 1024)
    pairs = zip(feed(method, batch, parts), feed(method, whole, parts), strict=True)
    for lazy, plain in pairs:
        assert torch.equal(lazy.values["p"].data["pixels"], plain.values["p"].data["pixels"])
        assert torch.equal(lazy.values["p"].index, plain.values["p"].index)
        assert torch.equal(lazy.absence, plain.absence)


def test_memory_changes_no_prediction(tmp_path):
    data = photos(tmp_path)
    one, two = (Model("mean", media_memory=m, **SMALL).fit(data) for m in (0, 64))
    assert torch.equal(one.predict(data).params, two.predict(data).params)
    (tmp_path / "3.png").unlink()
    for model in (one, two):
        with pytest.raises(MediaError, match="row 3 "):
            model.predict(data)
