"""Encoders of texts, images and audio: from sources, from checkpoints, within memory."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from amodal import Dataset
from amodal.batch import take_values
from amodal.encoders import EncoderSettings, make_encoder
from amodal.encoders.text import train_tokenizer
from amodal.errors import MediaError, NotFittedError, SettingError, UnknownNameError
from amodal.media import log_mel
from amodal.types import Modality
from amodal.values import Values

Image = pytest.importorskip("PIL.Image")
soundfile = pytest.importorskip("soundfile")
transformers = pytest.importorskip("transformers")

SMALL = EncoderSettings(
    width=8, heads=2, depth=1, vocabulary=300, image_size=16, patch=4, max_seconds=1.0
)
NOTES = ["no fever", "Fever and cough", "cough", "nothing at all to say of this one", "  "]


@pytest.fixture
def sources(tmp_path):
    """Kind -> sources of five values."""
    rng = np.random.default_rng(0)
    images, sounds = [], []
    for k in range(5):
        pixels = rng.integers(0, 256, (10 + k, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"{k}.png")
        images.append(str(tmp_path / f"{k}.png"))
        soundfile.write(tmp_path / f"{k}.wav", rng.normal(0, 0.1, 500 + 900 * k), 8000)
        sounds.append(str(tmp_path / f"{k}.wav"))
    return {"text": NOTES, "image": images, "audio": sounds}


def values_of(some):
    source = np.empty(len(some), dtype=object)
    source[:] = some
    return Values({"source": source}, None, torch.arange(len(some)))


def fitted(kind, sources, settings=SMALL):
    torch.manual_seed(0)
    encoder = make_encoder(Modality("m", kind), settings)
    encoder.fit(values_of(sources[kind]))
    return encoder.eval()


KINDS = ["text", "image", "audio"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_source_is_encoded_alike_alone_prepared_or_among_others(kind, sources):
    encoder = fitted(kind, sources)
    together = encoder(values_of(sources[kind]))
    assert together.pooled.shape == (5, 8)
    prepared = encoder.prepare(values_of(sources[kind]))
    assert "source" not in prepared.data
    torch.testing.assert_close(encoder(prepared).pooled, together.pooled)
    for j, source in enumerate(sources[kind]):
        alone = encoder(values_of([source]))
        torch.testing.assert_close(alone.pooled[0], together.pooled[j], rtol=0, atol=4e-6)
        t = alone.tokens.shape[1]
        torch.testing.assert_close(alone.tokens[0], together.tokens[j, :t], rtol=0, atol=4e-6)
        assert int(together.token_present[j].sum()) == int(alone.token_present.sum())


def test_convolutions_add_to_the_patches_and_see_one_image_alone(sources):
    settings = SMALL.replace(stem="convolution")
    encoder, values = fitted("image", sources, settings), values_of(sources["image"])
    together = encoder(values)
    for j, source in enumerate(sources["image"]):
        alone = encoder(values_of([source]))
        torch.testing.assert_close(alone.tokens[0], together.tokens[j], rtol=0, atol=4e-6)
    pixels = encoder.prepare(values)
    with_stem, _ = encoder.tokens(pixels)
    x = encoder._standardised(pixels)
    for step in encoder.stem.steps:
        x = torch.nn.functional.gelu(
            torch.nn.functional.conv2d(x, step.weight, step.bias, stride=2, padding=1)
        )
    added = torch.einsum("vchw,dc->vhwd", x, encoder.stem.last.weight) + encoder.stem.last.bias
    encoder.stem = None
    plain, _ = encoder.tokens(pixels)
    torch.testing.assert_close(with_stem - plain, added.flatten(1, 2), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_the_largest_entries_of_the_tokens_that_are_there(kind, sources):
    encoder = fitted(kind, sources, SMALL.replace(pool="max"))
    found, read = encoder(values_of(sources[kind])), []
    encoder.body.register_forward_pre_hook(lambda _, x: read.append(x[0][:, 8:]))
    encoder(values_of(sources[kind]))
    for j in range(5):
        own = found.tokens[j][found.token_present[j]]
        top = own.max(0).values if len(own) else torch.zeros(8)
        torch.testing.assert_close(read[0][j], top)
    assert torch.isfinite(found.pooled).all()


@pytest.mark.parametrize("patch", [1, 6])
def test_convolutions_halve_the_image_again_and_again(patch):
    with pytest.raises(SettingError, match="patch must be a power of 2, from 2; got"):
        SMALL.replace(stem="convolution", image_size=12, patch=patch)


@pytest.mark.parametrize("kind", KINDS)
def test_many_values_are_encoded_in_parts_where_no_gradient_is_wanted(kind, sources):
    encoder = fitted(kind, sources)
    many = values_of(sources[kind] * 60)
    with torch.no_grad():
        parts = encoder(many)
    whole = encoder(many)
    torch.testing.assert_close(parts.pooled, whole.pooled)
    torch.testing.assert_close(parts.tokens, whole.tokens)
    assert torch.equal(parts.token_present, whole.token_present)


@pytest.mark.parametrize("kind", KINDS)
def test_before_fit_sources_stay_sources(kind, sources):
    encoder = make_encoder(Modality("m", kind), SMALL)
    assert "source" in encoder.prepare(values_of(sources[kind])).data


@pytest.mark.parametrize("kind", KINDS)
def test_weights_bring_all_that_was_fitted(kind, sources):
    encoder = fitted(kind, sources)
    again = make_encoder(Modality("m", kind), SMALL).eval()
    again.load_state_dict(encoder.state_dict())
    expected = encoder(values_of(sources[kind])).pooled
    assert torch.equal(again(values_of(sources[kind])).pooled, expected)


def test_what_does_not_fit_into_memory_stays_a_source(sources):
    for kind in ("image", "audio"):
        encoder = fitted(kind, sources, SMALL.replace(media_memory=0))
        many = values_of(sources[kind] * 4)
        kept = encoder.prepare(many)
        assert "source" in kept.data
        part = take_values(kept, torch.tensor([7, 1]))
        assert part.data["source"].tolist() == [sources[kind][1], sources[kind][2]]
        expected = fitted(kind, sources)(many).pooled
        torch.testing.assert_close(encoder(kept).pooled, expected)


def test_pixels_are_standardised_and_cut_into_patches(sources):
    encoder = fitted("image", sources)
    pixels = encoder.prepare(values_of(sources["image"])).data["pixels"].double() / 255
    torch.testing.assert_close(encoder.mean.double(), pixels.mean((0, 2, 3)))
    z = (pixels - pixels.mean((0, 2, 3))[:, None, None]) / pixels.std((0, 2, 3), correction=0)[
        :, None, None
    ]
    tokens, present = encoder.tokens(encoder.prepare(values_of(sources["image"])))
    assert tokens.shape == (5, 16, 8)
    assert present.all()
    patch = z[2, :, 4:8, 12:16].reshape(-1)  # row 1, column 3
    expected = encoder.first(patch.float())
    torch.testing.assert_close(tokens[2, 1 * 4 + 3], expected, rtol=1e-4, atol=1e-5)


def test_frames_are_standardised_and_four_are_one_token(sources):
    encoder = fitted("audio", sources)
    frames = [log_mel(_wave(x)) for x in sources["audio"]]
    every = np.concatenate(frames)
    np.testing.assert_allclose(encoder.mean, every.mean(0), rtol=1e-4)
    z = (frames[4] - every.mean(0)) / every.std(0)
    tokens, present = encoder.tokens(encoder.prepare(values_of(sources["audio"])))
    assert present.sum(1).tolist() == [-(-len(x) // 4) for x in frames]
    expected = encoder.first(torch.tensor(z[4:8].reshape(-1)).float())
    torch.testing.assert_close(tokens[4, 1], expected, rtol=1e-3, atol=1e-4)


def _wave(path):
    from amodal.media import read_wave

    with open(path, "rb") as file:
        return read_wave(file.read())


# -- tokenizers -----------------------------------------------------------------------------------


def test_the_same_texts_in_any_order_give_the_same_rules():
    texts = [f"word{k} again and again {k % 7}" for k in range(50)]
    rules = train_tokenizer(texts, 320)
    assert train_tokenizer(texts[::-1], 320) == rules
    assert len(json.loads(rules)["model"]["vocab"]) <= 320


def test_the_tokenizer_knows_training_texts_and_any_other():
    encoder = make_encoder(Modality("m", "text"), SMALL)
    encoder.fit(values_of(["fever", "fever", "a fever"]))
    known = encoder.prepare(values_of(["FEVER", "\U0001f321 Ü", ""]))
    assert known.lengths.tolist()[0] == 1  # one token, whatever its case
    assert known.lengths.tolist()[1] > 3  # bytes
    assert encoder(values_of(["\U0001f321 Ü", ""])).pooled.isfinite().all()


def test_only_the_first_tokens_are_read():
    encoder = make_encoder(Modality("m", "text"), SMALL.replace(max_tokens=3))
    encoder.fit(values_of(NOTES))
    assert encoder.prepare(values_of(["a b c d e f", "a b c x y z"])).lengths.tolist() == [3, 3]


def test_no_training_text_at_all_is_no_error():
    encoder = make_encoder(Modality("m", "text"), SMALL)
    encoder.fit(values_of([]))
    assert encoder(values_of([])).pooled.shape == (0, 8)
    assert encoder(values_of(["new"])).pooled.isfinite().all()


# -- checkpoints ----------------------------------------------------------------------------------


def checkpoint(kind, folder):
    """A tiny random one."""
    torch.manual_seed(3)
    small = {
        "hidden_size": 12,
        "num_hidden_layers": 1,
        "num_attention_heads": 2,
        "intermediate_size": 16,
    }
    if kind == "text":
        from tokenizers import Tokenizer

        rules = Tokenizer.from_str(train_tokenizer(NOTES, 300))
        made = transformers.PreTrainedTokenizerFast(tokenizer_object=rules, model_max_length=20)
        made.save_pretrained(folder)
        config = transformers.BertConfig(vocab_size=300, max_position_embeddings=24, **small)
        transformers.BertModel(config).save_pretrained(folder)
    elif kind == "image":
        config = transformers.ViTConfig(image_size=16, patch_size=8, **small)
        transformers.ViTModel(config).save_pretrained(folder)
        size = {"height": 16, "width": 16}
        transformers.ViTImageProcessorPil(size=size).save_pretrained(folder)
    else:
        config = transformers.ASTConfig(
            num_mel_bins=16, max_length=32, patch_size=8, frequency_stride=8, time_stride=8, **small
        )
        transformers.ASTModel(config).save_pretrained(folder)
        transformers.ASTFeatureExtractor(num_mel_bins=16, max_length=32).save_pretrained(folder)
    return str(folder)


def theirs(kind, folder, sources):
    """The hidden states as transformers itself gives them."""
    model = transformers.AutoModel.from_pretrained(folder).eval()
    if kind == "text":
        ids = transformers.AutoTokenizer.from_pretrained(folder)(sources[1])["input_ids"]
        return model(input_ids=torch.tensor([ids])).last_hidden_state[0]
    if kind == "image":
        processor = transformers.ViTImageProcessorPil.from_pretrained(folder)
        pixels = np.asarray(processor(Image.open(sources[1]))["pixel_values"])
        return model(pixel_values=torch.tensor(pixels)).last_hidden_state[0]
    extractor = transformers.ASTFeatureExtractor.from_pretrained(folder)
    found = extractor(_wave(sources[1]), sampling_rate=16000)["input_values"]
    return model(input_values=torch.tensor(np.asarray(found))).last_hidden_state[0]


@pytest.mark.parametrize("kind", KINDS)
def test_a_checkpoint_is_what_transformers_makes_of_it(kind, sources, tmp_path):
    folder = checkpoint(kind, tmp_path / "ckpt")
    encoder = fitted(kind, sources, SMALL.replace(**{kind: folder}))
    found = encoder(values_of(sources[kind]))
    hidden = theirs(kind, folder, sources[kind]).detach()
    tokens = encoder.norm(encoder.project(hidden[1:]))
    t = len(tokens)
    torch.testing.assert_close(found.tokens[1, :t], tokens, rtol=1e-3, atol=1e-4)
    both = torch.cat([hidden[0], hidden[1:].mean(0)])
    pooled = encoder.norm(encoder.gather(both))
    torch.testing.assert_close(found.pooled[1], pooled, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("kind", KINDS)
def test_a_model_needs_its_checkpoint_no_more(kind, sources, tmp_path):
    folder = checkpoint(kind, tmp_path / "ckpt")
    settings = SMALL.replace(**{kind: folder})
    encoder = fitted(kind, sources, settings)
    expected = encoder(values_of(sources[kind])).pooled
    (tmp_path / "ckpt").rename(tmp_path / "gone")
    again = make_encoder(Modality("m", kind), settings).eval()
    again.load_state_dict(encoder.state_dict())
    assert torch.equal(again(values_of(sources[kind])).pooled, expected)
    assert again(values_of([])).pooled.shape == (0, 8)


def test_a_checkpoint_learns(sources, tmp_path):
    folder = checkpoint("text", tmp_path / "ckpt")
    encoder = fitted("text", sources, SMALL.replace(text=folder)).train()
    encoder(values_of(NOTES)).pooled.square().sum().backward()
    grads = {n: p.grad for n, p in encoder.named_parameters() if n.startswith("backbone")}
    assert grads
    assert all(g is not None and g.isfinite().all() for g in grads.values())


def test_what_is_no_checkpoint_of_the_kind_is_refused(sources, tmp_path):
    image = checkpoint("image", tmp_path / "image")
    with pytest.raises(SettingError, match="it reads image, not text"):
        fitted("text", sources, SMALL.replace(text=image))
    with pytest.raises(SettingError, match="no such folder"):
        fitted("text", sources, SMALL.replace(text=str(tmp_path / "none")))
    (tmp_path / "image" / "preprocessor_config.json").unlink()
    with pytest.raises(SettingError, match=r"no preprocessor_config\.json"):
        fitted("image", sources, SMALL.replace(image=image))


def test_weights_that_could_run_code_are_refused(sources, tmp_path):
    folder = checkpoint("image", tmp_path / "ckpt")
    weights = tmp_path / "ckpt" / "model.safetensors"
    from safetensors.torch import load_file

    torch.save(load_file(weights), tmp_path / "ckpt" / "pytorch_model.bin")
    weights.unlink()
    with pytest.raises(SettingError, match="cannot be read"):
        fitted("image", sources, SMALL.replace(image=folder))


def test_code_of_a_checkpoint_is_not_run(sources, tmp_path):
    (tmp_path / "evil").mkdir()
    config = {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}}
    (tmp_path / "evil" / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil" / "code.py").write_text("raise SystemExit('ran')")
    with pytest.raises(SettingError, match="cannot be read"):
        fitted("text", sources, SMALL.replace(text=str(tmp_path / "evil")))


# -- bad input ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("settings", "error", "text"),
    [
        ({"image_size": 30}, SettingError, "patch must divide image_size"),
        ({"vocabulary": 200}, SettingError, "from 300"),
        ({"max_seconds": 0.0}, SettingError, "max_seconds must lie"),
        ({"image_fit": "crp"}, UnknownNameError, "'crop'"),
        ({"media_memory": -1}, SettingError, "media_memory"),
    ],
)
def test_wrong_settings_are_one_sentence(settings, error, text):
    with pytest.raises(error, match=text):
        EncoderSettings(**settings)


def test_a_text_before_fit_is_refused():
    with pytest.raises(NotFittedError, match="call fit first"):
        make_encoder(Modality("m", "text"), SMALL)(values_of(["a"]))


def test_a_file_that_is_gone_names_its_row_and_not_its_path(sources, tmp_path):
    from amodal import Model

    photos = [sources["image"][k % 5] for k in range(40)]
    data = Dataset.from_arrays({"p": photos}, [k % 2 for k in range(40)], modalities={"p": "image"})
    model = Model("mean", epochs=1, width=8, heads=2, image_size=8).fit(data)
    (tmp_path / "2.png").unlink()
    for call in (model.predict, Model("logistic").fit):
        with pytest.raises(MediaError, match=r"row 1 .*no such file") as caught:
            call(data[1:])
        assert "2.png" not in str(caught.value)
