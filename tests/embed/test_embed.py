"""Texts become vectors once, each alone, and absent ones never."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from amodal import Dataset, Model
from amodal.cli.app import app
from amodal.embed import HashedWords, VectorCache, embed, make_embedder
from amodal.embed.checkpoint import TextCheckpoint
from amodal.errors import DataError, SettingError, StorageError, UnknownNameError

NOTES = ["fever and cough", None, "no fever", "fever and cough", "", "rash; no fever, no cough"]


class Counting(HashedWords):
    """Remembers what it was asked for."""

    batch_size = 2

    def __init__(self) -> None:
        super().__init__(16)
        self.asked: list[str] = []

    def embed(self, texts):
        self.asked += texts
        return super().embed(texts)


def notes(texts: list = NOTES) -> Dataset:
    rows = {"note": texts, "age": [[float(k)] for k in range(len(texts))]}
    kinds = {"note": "text", "age": "table"}
    return Dataset.from_arrays(rows, [k % 2 for k in range(len(texts))], modalities=kinds)


def test_words_are_counted_with_signs_at_their_hash():
    from sklearn.utils.murmurhash import murmurhash3_32

    expected = np.zeros(32)
    for word in ("no", "fever", "no fever"):
        hashed = murmurhash3_32(word, 0)
        expected[abs(hashed) % 32] += 1 if hashed >= 0 else -1
    expected = np.sign(expected) * np.log1p(np.abs(expected))
    found = HashedWords(32).embed(["No, fever!"])[0]
    np.testing.assert_allclose(found, expected / np.linalg.norm(expected), atol=1e-6)


def test_words_of_one_letter_count():
    pairs = [("Hepatitis B", "Hepatitis C"), ("Type 1 diabetes", "Type 2 diabetes"), ("K", "")]
    for one, other in pairs:
        first, second = HashedWords().embed([one, other])
        assert not np.array_equal(first, second)


def test_each_distinct_text_is_encoded_once_and_absent_ones_never():
    data, counting = notes(), Counting()
    found = embed(data, counting)
    present = [t for t in NOTES if t]  # an empty text is absent
    assert sorted(counting.asked) == sorted(set(present))
    assert np.array_equal(found.present, data.present)
    values = found.values["note"]
    for row, text in enumerate(NOTES):
        if not text:
            assert values.index[row] == -1
        else:
            alone = HashedWords(16).embed([text])[0]
            np.testing.assert_array_equal(values.data["value"][values.index[row]], alone)
    assert found.values["age"] is not None
    assert found.provenance["embedded"]["note"]["width"] == 16


def test_a_cache_is_read_by_content_and_written_on_the_way(tmp_path):
    cache, counting = VectorCache(tmp_path), Counting()
    first = embed(notes(), counting, cache=cache)
    counting.asked.clear()
    again = embed(notes([*NOTES, "new"]), counting, cache=VectorCache(tmp_path))
    assert counting.asked == ["new"]
    a, b = first.values["note"], again.values["note"]
    for row in (0, 2, 3, 5):
        np.testing.assert_array_equal(a.data["value"][a.index[row]], b.data["value"][b.index[row]])
    counting.key = "another"
    counting.asked.clear()
    embed(notes(), counting, cache=cache)
    assert len(counting.asked) == 3


def test_what_was_embedded_before_a_failure_is_kept(tmp_path):
    class Failing(Counting):
        def embed(self, texts):
            if self.asked:
                raise RuntimeError("power cut")
            return super().embed(texts)

    with pytest.raises(RuntimeError):
        embed(notes(), Failing(), cache=VectorCache(tmp_path))
    counting = Counting()
    embed(notes(), counting, cache=VectorCache(tmp_path))
    assert len(counting.asked) == 1


def test_no_text_of_a_row_is_stored_in_the_cache(tmp_path):
    embed(notes(), HashedWords(16), cache=VectorCache(tmp_path))
    assert b"fever" not in (tmp_path / "vectors.sqlite").read_bytes()


def test_every_method_reads_what_was_embedded():
    rng = np.random.default_rng(0)
    sick = rng.random(120) < 0.5
    texts = ["worse, unstable" if s else "better, stable" for s in sick]
    texts = [None if rng.random() < 0.2 else t for t in texts]
    rows = {"note": texts, "age": rng.normal(size=(120, 1))}
    data = Dataset.from_arrays(rows, sick.astype(float), modalities={"note": "text"})
    made = embed(data, HashedWords(32))
    for model in (Model("logistic"), Model("mean", epochs=8, width=8, heads=2, lr=0.02)):
        told = model.fit(made).predict_proba(made)
        there = made.present[:, made.names.index("note")]
        assert ((told[there, 1] > 0.5) == sick[there]).mean() > 0.95


def test_vectors_of_another_encoder_are_refused():
    model = Model("logistic").fit(embed(notes(NOTES * 10), HashedWords(16)))
    with pytest.raises(DataError, match="features in common"):
        model.predict(embed(notes(), HashedWords(32)))


def test_every_method_reads_texts_as_they_are():
    data = notes(NOTES * 10)
    for model in (Model("logistic"), Model("mean", epochs=1, width=8, heads=2)):
        assert len(model.fit(data).predict(data)) == len(data)


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (lambda _: embed(notes(), HashedWords(8), modalities=["nte"]), UnknownNameError, "'note'"),
        (
            lambda _: embed(notes(), HashedWords(8), modalities=["age"]),
            DataError,
            "is of kind table",
        ),
        (lambda _: embed(embed(notes(), HashedWords(8)), HashedWords(8)), DataError, "has none"),
        (lambda _: HashedWords(4), SettingError, "at least 8"),
        (lambda p: VectorCache(p / "file"), StorageError, "could not be made"),
        (lambda p: VectorCache(p / "bad").get("a", ["b"]), StorageError, "cannot be used"),
        (lambda p: make_embedder(str(p / "none")), SettingError, "no such folder"),
        (lambda p: TextCheckpoint(str(p), max_tokens=2), SettingError, "at least 8"),
    ],
)
def test_bad_input_is_one_sentence(tmp_path, call, error, text):
    (tmp_path / "file").write_text("x")
    (tmp_path / "bad").mkdir()
    (tmp_path / "bad" / "vectors.sqlite").write_bytes(b"not a database" * 100)
    with pytest.raises(error, match=text):
        call(tmp_path)


def test_command_line(tmp_path):
    notes().save(tmp_path / "data")
    args = ["embed", str(tmp_path / "data"), str(tmp_path / "out"), "--width", "16"]
    found = CliRunner().invoke(app, [*args, "--cache", str(tmp_path / "cache")])
    assert found.exit_code == 0, found.output
    data = Dataset.load(tmp_path / "out")
    assert data.modality("note").kind == "embedding"
    assert data.modality("note").n_features == 16
    assert "fever" not in found.output
    for file in (tmp_path / "out").iterdir():
        assert b"fever" not in file.read_bytes()


# -- checkpoints ----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory) -> Path:
    """A small random transformer with a vocabulary of words."""
    transformers = pytest.importorskip("transformers")
    import tokenizers
    import torch

    folder = tmp_path_factory.mktemp("checkpoint")
    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "no", "fever", "cough", "rash", "and", "stable"]
    made = tokenizers.Tokenizer(
        tokenizers.models.WordLevel({w: k for k, w in enumerate(words)}, unk_token="[UNK]")
    )
    made.pre_tokenizer = tokenizers.pre_tokenizers.BertPreTokenizer()
    made.post_processor = tokenizers.processors.BertProcessing(("[SEP]", 3), ("[CLS]", 2))
    fast = transformers.PreTrainedTokenizerFast(
        tokenizer_object=made,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = transformers.BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    transformers.BertModel(config).save_pretrained(folder)
    return folder


def test_a_checkpoint_gives_the_mean_of_its_hidden_states(checkpoint):
    import torch
    import transformers

    model = transformers.AutoModel.from_pretrained(checkpoint).eval()
    embedder = make_embedder(str(checkpoint))
    texts = ["no fever and cough", "rash", "", "stable and no rash"]
    found = embedder.embed(texts)
    ids = {"no": 4, "fever": 5, "cough": 6, "rash": 7, "and": 8, "stable": 9}
    for text, vector in zip(texts, found, strict=True):
        tokens = [2, *(ids[w] for w in text.split()), 3]
        with torch.no_grad():
            state = model(input_ids=torch.tensor([tokens])).last_hidden_state[0]
        own = state[1:-1] if text else state  # nothing but special tokens: these
        np.testing.assert_allclose(vector, own.mean(0).numpy(), atol=1e-5)
        np.testing.assert_allclose(embedder.embed([text])[0], vector, atol=1e-6)


def test_a_long_text_is_read_in_windows(checkpoint):
    embedder = make_embedder(str(checkpoint), max_tokens=8, windows=2)
    words = ["no", "fever", "and", "cough", "rash", "stable"]
    text = " ".join(words * 3)
    parts = make_embedder(str(checkpoint), max_tokens=8).embed(
        [" ".join((words * 3)[:6]), " ".join((words * 3)[6:12])]
    )
    np.testing.assert_allclose(embedder.embed([text])[0], parts.mean(0), atol=1e-5)


def test_the_key_changes_with_weights_and_settings_alone(checkpoint, tmp_path):
    import shutil

    import transformers

    key = make_embedder(str(checkpoint)).key
    copy = tmp_path / "elsewhere"
    shutil.copytree(checkpoint, copy)
    assert make_embedder(str(copy)).key == key
    assert make_embedder(str(copy), max_tokens=16).key != key
    model = transformers.AutoModel.from_pretrained(copy)
    model.embeddings.word_embeddings.weight.data[5, 0] += 0.5
    model.save_pretrained(copy)
    assert make_embedder(str(copy)).key != key


def test_a_checkpoint_on_the_command_line(checkpoint, tmp_path):
    notes().save(tmp_path / "data")
    args = ["embed", str(tmp_path / "data"), str(tmp_path / "out"), "--encoder", str(checkpoint)]
    found = CliRunner().invoke(app, args)
    assert found.exit_code == 0, found.output
    manifest = json.loads((tmp_path / "out" / "manifest.json").read_text())
    told = manifest["provenance"]["embedded"]["note"]
    assert told["encoder"] == checkpoint.name
    assert str(checkpoint.parent) not in json.dumps(manifest)


def test_the_key_is_that_of_what_was_loaded_and_of_the_rules(checkpoint, tmp_path):
    import shutil

    import transformers

    language = transformers.BertForMaskedLM(transformers.AutoConfig.from_pretrained(checkpoint))
    shutil.copytree(checkpoint, tmp_path / "mlm")
    language.save_pretrained(tmp_path / "mlm")  # without the pooler, which is drawn anew
    first, second = (make_embedder(str(tmp_path / "mlm")) for _ in range(2))
    assert first.key == second.key
    np.testing.assert_array_equal(first.embed(["no fever"]), second.embed(["no fever"]))
    for file, old, new in (
        ("config.json", '"num_attention_heads": 2', '"num_attention_heads": 4'),
        ("tokenizer.json", '"normalizer": null', '"normalizer": {"type": "Lowercase"}'),
    ):
        changed = tmp_path / file
        shutil.copytree(tmp_path / "mlm", changed)
        text = (changed / file).read_text()
        assert old in text
        (changed / file).write_text(text.replace(old, new))
        assert make_embedder(str(changed)).key != first.key


def test_a_checkpoint_without_its_weights_is_refused(checkpoint, tmp_path):
    import shutil

    import torch
    from safetensors.torch import save_file

    shutil.copytree(checkpoint, tmp_path / "empty")
    save_file({"foo": torch.zeros(1)}, tmp_path / "empty" / "model.safetensors")
    with pytest.raises(SettingError, match=r"lacks \d+ weights"):
        make_embedder(str(tmp_path / "empty"))
    (tmp_path / "empty" / "model.safetensors").write_bytes(b"garbage" * 9)
    with pytest.raises(SettingError, match="cannot be read"):
        make_embedder(str(tmp_path / "empty"))


def test_weights_in_a_pickle_are_not_opened(checkpoint, tmp_path):
    import shutil

    shutil.copytree(checkpoint, tmp_path / "old")
    (tmp_path / "old" / "model.safetensors").unlink()
    (tmp_path / "old" / "pytorch_model.bin").write_bytes(b"x")
    with pytest.raises(SettingError, match=r"cannot be read: .*model\.safetensors"):
        make_embedder(str(tmp_path / "old"))


def test_half_precision_is_read_in_single(checkpoint, tmp_path):
    import shutil

    import torch
    import transformers

    shutil.copytree(checkpoint, tmp_path / "half")
    model = transformers.AutoModel.from_pretrained(checkpoint, dtype=torch.bfloat16)
    model.save_pretrained(tmp_path / "half")
    embedder = make_embedder(str(tmp_path / "half"))
    texts = ["no fever", "rash and cough and no fever", "stable"]
    alone = np.concatenate([embedder.embed([t]) for t in texts])
    np.testing.assert_allclose(embedder.embed(texts), alone, atol=1e-6)


def test_positions_of_roberta_begin_behind_the_padding(checkpoint, tmp_path):
    import shutil

    import transformers

    shutil.copytree(checkpoint, tmp_path / "roberta")
    config = transformers.RobertaConfig(
        vocab_size=10,
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=34,
        pad_token_id=0,
    )
    transformers.RobertaModel(config).save_pretrained(tmp_path / "roberta")
    embedder = make_embedder(str(tmp_path / "roberta"), max_tokens=512)
    assert embedder.max_tokens == 33
    assert np.isfinite(embedder.embed(["no fever " * 100])).all()


@pytest.mark.parametrize(
    ("args", "text"),
    [
        (["--cache", "OUT/cache"], "lies in OUT"),
        (["--windows", "2"], "--windows is not for the encoder hashing"),
        (["--encoder", "nosuch"], "no such folder"),
        (["--encoder", "a/b", "--width", "8"], "--width is not for"),
        (["--device", "foo"], "unknown device"),
    ],
)
def test_command_line_refuses_what_does_not_apply(tmp_path, args, text):
    notes().save(tmp_path / "data")
    out = tmp_path / "out"
    args = [a.replace("OUT", str(out)) for a in args]
    found = CliRunner().invoke(app, ["embed", str(tmp_path / "data"), str(out), *args])
    assert found.exit_code == 2
    assert text in " ".join(found.output.split())
    assert not out.exists()


def test_a_checkpoint_needs_transformers(checkpoint, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(SettingError, match=r"pip install 'amodal\[text\]'"):
        make_embedder(str(checkpoint))
