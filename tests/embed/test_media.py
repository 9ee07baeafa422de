"""Images and recordings become vectors once, by a frozen network."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal import Dataset
from amodal.data.media import check_media
from amodal.embed import VectorCache, embed, make_embedder
from amodal.errors import DataError, MediaError, SettingError

Image = pytest.importorskip("PIL.Image")
transformers = pytest.importorskip("transformers")


@pytest.fixture
def vit(tmp_path):
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        image_size=16,
        patch_size=8,
        hidden_size=12,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
    )
    transformers.ViTModel(config).save_pretrained(tmp_path / "vit")
    processor = transformers.ViTImageProcessorPil(size={"height": 16, "width": 16})
    processor.save_pretrained(tmp_path / "vit")
    return str(tmp_path / "vit")


def photos(folder, n=5):
    rng = np.random.default_rng(0)
    paths = []
    for k in range(n):
        pixels = rng.integers(0, 256, (20, 24, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{k}.png")
        paths.append(str(folder / f"{k}.png"))
    rows = {"p": [*paths, None, paths[0]]}
    return Dataset.from_arrays(rows, modalities={"p": "image"})


def test_a_vector_is_what_transformers_makes_of_the_file(vit, tmp_path):
    data = photos(tmp_path)
    made = embed(data, make_embedder(vit))
    assert made.modality("p").kind == "embedding"
    assert made.values["p"].index.tolist() == [0, 1, 2, 3, 4, -1, 0]
    model = transformers.AutoModel.from_pretrained(vit).eval()
    processor = transformers.ViTImageProcessorPil.from_pretrained(vit)
    pixels = np.asarray(processor(Image.open(tmp_path / "3.png"))["pixel_values"])
    hidden = model(pixel_values=torch.tensor(pixels)).last_hidden_state[0].detach()
    expected = torch.cat([hidden[0], hidden[1:].mean(0)])
    np.testing.assert_allclose(made.values["p"].data["value"][3], expected, rtol=1e-4, atol=1e-5)


def test_the_cache_knows_files_by_their_content(vit, tmp_path):
    data = check_media(photos(tmp_path))
    embedder, cache = make_embedder(vit), VectorCache(tmp_path / "cache")
    first = embed(data, embedder, cache=cache)
    (tmp_path / "moved").mkdir()
    moved = check_media(photos(tmp_path / "moved"))
    embedder.embed = None  # nothing is left to do
    again = embed(moved, embedder, cache=cache)
    assert (first.values["p"].data["value"] == again.values["p"].data["value"]).all()


def test_bad_input_is_one_sentence(vit, tmp_path):
    data = photos(tmp_path)
    with pytest.raises(DataError, match="needs a modality of kind image; the data set has none"):
        embed(Dataset.from_arrays({"a": [[1.0]]}), make_embedder(vit))
    with pytest.raises(SettingError, match="windows is for texts"):
        make_embedder(vit, windows=2)
    with pytest.raises(DataError, match="kind text; 'p' is of kind image"):
        embed(data, make_embedder("hashing"), modalities=["p"])
    (tmp_path / "2.png").unlink()
    with pytest.raises(MediaError, match="row 2 "):
        embed(data, make_embedder(vit))
