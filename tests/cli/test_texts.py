"""A target of texts from the command line: train, predict, evaluate, list."""

from __future__ import annotations

import importlib.util
import json

import numpy as np
import pyarrow.csv as csv
import pyarrow.parquet as pq
import pytest

from amodal import Dataset, Task, load
from amodal.metrics.text import caption_scores

pytest.importorskip("pycocoevalcap")

QUICK = ("epochs=2", "width=8", "heads=2", "target_length=4", "lr=0.02", "refit=false")


@pytest.fixture(scope="module")
def texts(tmp_path_factory) -> str:
    rng = np.random.default_rng(0)
    side = rng.integers(0, 2, 120)
    said = [["left side", "the left"] if s else "right side" for s in side]
    said[5] = None
    data = Dataset.from_arrays(
        {"a": side[:, None] + 0.1 * rng.normal(size=(120, 1)), "b": rng.normal(size=(120, 2))},
        said,
        task=Task("sequence", name="caption"),
    )
    return str(data.save(tmp_path_factory.mktemp("texts") / "data"))


@pytest.fixture(scope="module")
def run(call, texts, tmp_path_factory) -> str:
    out = tmp_path_factory.mktemp("texts") / "run"
    words = [w for s in QUICK for w in ("--set", s)]
    result = call("train", texts, "--method", "imro", "--out", out, *words)
    assert result.code == 0, result.err
    assert "Token log loss" in result.out
    assert "calibration" not in result.out.lower()
    return str(out)


def test_predict(call, run, texts, tmp_path) -> None:
    assert call("predict", run, texts, "--out", tmp_path / "p.parquet").code == 0
    table = pq.read_table(tmp_path / "p.parquet")
    assert table.column_names[:4] == ["row_id", "text", "log_probability", "token_entropy"]
    expected = load(run).predict(Dataset.load(texts))
    assert table["text"].to_pylist() == expected.texts
    np.testing.assert_allclose(table["log_probability"], expected.written.log_prob, rtol=1e-5)
    np.testing.assert_allclose(table["token_entropy"], expected.uncertainty(), rtol=1e-5)
    np.testing.assert_allclose(table["reliance_a"], expected.reliance[:, 0], rtol=1e-5)
    assert call("predict", run, texts, "--out", tmp_path / "p.csv").code == 0
    assert csv.read_csv(tmp_path / "p.csv")["text"].to_pylist() == expected.texts


def test_evaluate(call, run, texts) -> None:
    result = call("evaluate", run, texts, "--replicates", "20")
    assert result.code == 0, result.err
    for word in (
        "BLEU-1",
        "BLEU-4",
        "ROUGE-L",
        "CIDEr",
        "Exact match",
        "Token log loss",
        "Perplexity",
    ):
        assert word in result.out
    found = call("evaluate", run, texts, "--absent", "0.5", "--json", "--replicates", "0")
    metrics = json.loads(found.out)["metrics"]
    expected = np.exp(metrics["token_log_loss"]["value"])
    assert metrics["perplexity"]["value"] == pytest.approx(expected)
    assert metrics["token_log_loss"]["value"] < np.log(8)


def test_evaluate_scores_captions_as_the_scorer_does(call, run, texts) -> None:
    result = call("evaluate", run, texts, "--metrics", "cider,bleu_2,rouge_l", "--json")
    assert result.code == 0, result.err
    told = json.loads(result.out)["metrics"]
    assert list(told) == ["cider", "bleu_2", "rouge_l"]
    model, data = load(run), Dataset.load(texts)
    rows = data[np.isin(data.row_id, model.rows_["test"])]
    rows = rows[rows.labelled]
    scores = caption_scores(model.predict(rows).texts, rows.references)
    for name, interval in told.items():
        assert interval["value"] == pytest.approx(scores[name])
        assert interval["low"] <= interval["value"] <= interval["high"]


def test_evaluate_says_what_is_left_out(call, run, texts, monkeypatch) -> None:
    found = importlib.util.find_spec
    monkeypatch.setattr(
        "amodal.metrics.metric.find_spec", lambda x: None if x == "pycocoevalcap" else found(x)
    )
    result = call("evaluate", run, texts, "--replicates", "0")
    assert result.code == 0, result.err
    assert "Left out: BLEU-1, BLEU-2, BLEU-3, BLEU-4, ROUGE-L, CIDEr." in result.out
    assert "pip install 'amodal[captions]'" in result.out
    assert "Perplexity" in result.out
    asked = call("evaluate", run, texts, "--metrics", "perplexity")
    assert "Left out" not in asked.out


def test_list(call) -> None:
    found = {m["name"]: m for m in json.loads(call("list", "methods", "--json").out)}
    assert {n for n, m in found.items() if "sequence" in m["tasks"]} == {
        "imro",
        "concat",
        "attention",
    }
    shown = call("list", "methods", "imro").out
    for name in ("beam", "length_penalty", "target_length", "smoothing"):
        assert name in shown
    assert "beam" not in call("list", "methods", "aum").out


def test_prepare(call, tmp_path) -> None:
    lines = [f"{k},{k},text {k % 3},text" for k in range(30)]
    (tmp_path / "rows.csv").write_text("\n".join(["id,x,c1,c2", *lines]) + "\n")
    (tmp_path / "spec.toml").write_text(
        '[rows]\nfile = "rows.csv"\nrow_id = "id"\ntarget = ["c1", "c2"]\ntask = "sequence"\n'
        '[modality.a]\nkind = "table"\ncolumns = ["x"]\n'
    )
    result = call("prepare", "files", tmp_path / "spec.toml", tmp_path / "out")
    assert result.code == 0, result.err
    assert "target (sequence)" in result.out
    assert "--method imro" in result.out


def test_refused(refused, texts, tmp_path) -> None:
    out = ("--out", tmp_path / "run")
    text = refused("train", texts, "--method", "aum", *out)
    assert "this one is sequence; choose another method" in text
    text = refused("train", texts, "--method", "imro", "--set", "beam=0", *out)
    assert text.startswith("beam must be a whole number from 1; got 0")
    text = refused("train", texts, "--method", "imro", "--ensemble", "2", *out)
    assert "this task is a sequence; got ensemble 2" in text
    asked = ("study", texts, "--methods", "imro", "--absent", "0", "--out", tmp_path / "s")
    assert "a sequence; leave probe out" in refused(*asked, "--probe")
