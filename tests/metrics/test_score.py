"""The registry and `score`, and what holds for every metric in it (property tests)."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.metrics import (
    KINDS,
    METRICS,
    Bootstrap,
    Interval,
    compare,
    default_metrics,
    score,
)
from amodal.metrics.discrimination import auprc, auroc

CASES = [(n, kind) for n, metric in METRICS.items() if metric.installed for kind in metric.kinds]
BOOTSTRAPPED = [(name, kind) for name, kind in CASES if METRICS[name].samples is None]
COPIED = [(name, kind) for name, kind in BOOTSTRAPPED if name != "cider"]
"""Of CIDEr, document frequencies are those of the rows that are given, whatever their weights."""
ROWS = np.array([[1, 0, 0], [0.5, 0.5, 0], [0.25, 0.25, 0.5], [0.1, 0.2, 0.7], [0, 0.4, 0.6]])


def sample(kind: str, n: int, seed: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """A small sample of a kind, with ties."""
    rng = np.random.default_rng(seed)
    if kind == "binary":
        return rng.integers(0, 2, n), {"probability": rng.integers(0, 11, n) / 10}
    if kind == "multiclass":
        return rng.integers(0, 3, n), {"probability": ROWS[rng.integers(0, 5, n)]}
    if kind == "multilabel":
        return rng.integers(0, 2, (n, 2)), {"probability": rng.integers(0, 11, (n, 2)) / 10}
    if kind == "sequence":
        return texts(rng, n)
    y, mean = rng.integers(-3, 4, (2, n)).astype(float)
    return y, {"mean": mean, "std": rng.integers(1, 4, n) / 2}


def texts(rng: np.random.Generator, n: int) -> tuple[np.ndarray, dict[str, np.ndarray]]:
    """One or two references a row, and what was written."""
    y = np.empty(n, dtype=object)
    words = np.array(["a dog runs home fast", "two cats sit here", "one bird and a big fish"])
    y[:] = [tuple(words[rng.integers(0, 3, 1 + k % 2)].tolist()) for k in range(n)]
    tokens = rng.integers(2, 6, n).astype(float)
    written = {"text": words[rng.integers(0, 3, n)].astype(object)}
    likely = {"reference_log_prob": -tokens * rng.random(n), "reference_tokens": tokens}
    return y, written | likely


def take(outputs: dict[str, np.ndarray], rows: np.ndarray) -> dict[str, np.ndarray]:
    return {name: values[rows] for name, values in outputs.items()}


def close(a, b) -> bool:
    return bool(np.allclose(a, b, rtol=1e-6, atol=1e-9, equal_nan=True))


@pytest.mark.parametrize(("name", "kind"), COPIED)
@given(n=st.integers(0, 12), seed=st.integers(0, 10**6))
@settings(max_examples=12, deadline=None)
def test_a_weight_is_a_number_of_copies(name, kind, n, seed):
    """Weights 0 to 3 against rows left out or repeated; also many weights at once."""
    y, outputs = sample(kind, n, seed)
    weights = np.random.default_rng(seed + 1).integers(0, 4, size=(3, n))
    together = METRICS[name](y, outputs, weight=weights)
    for weight, value in zip(weights, together, strict=True):
        rows = np.repeat(np.arange(n), weight)
        copies = METRICS[name](y[rows], take(outputs, rows))
        assert close(value, copies)
        assert close(METRICS[name](y, outputs, weight=weight * 0.25), copies)


@pytest.mark.parametrize(("name", "kind"), BOOTSTRAPPED)
@given(n=st.integers(0, 12), seed=st.integers(0, 10**6))
@settings(max_examples=8, deadline=None)
def test_the_order_of_rows_is_irrelevant(name, kind, n, seed):
    y, outputs = sample(kind, n, seed)
    weight = np.random.default_rng(seed + 1).integers(0, 4, size=n)
    rows = np.random.default_rng(seed + 2).permutation(n)
    assert close(
        METRICS[name](y, outputs, weight=weight),
        METRICS[name](y[rows], take(outputs, rows), weight=weight[rows]),
    )


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 20), st.integers(0, 3)), max_size=30))
def test_ranking_is_invariant_under_monotone_maps(rows):
    y, score_, weight = np.array(rows, dtype=int).reshape(-1, 3).T
    p = score_ / 20
    for metric in (auroc, auprc):
        assert close(metric(y, p, weight=weight), metric(y, p**3 / 2 + 0.1, weight=weight))
    assert close(auroc(y, p, weight=weight), 1 - auroc(y, 1 - p, weight=weight))


@pytest.mark.parametrize(("name", "kind"), CASES)
def test_a_perfect_forecast_has_the_ideal_value(name, kind):
    y, _ = sample(kind, 40, 0)
    if kind == "regression":
        # std 0 is refused: perfect is a mean without error, and a spread with 90% inside
        outputs = {"mean": y.copy(), "std": np.full(40, 1e-3)}
        if name == "coverage_90":
            outputs["mean"] = y + np.where(np.arange(40) < 4, 1.0, 0.0)
        if name == "gaussian_nll":
            assert METRICS[name](y, outputs) < -5
            return
    elif kind == "sequence":
        first = np.array([x[0] for x in y], dtype=object)
        y[:] = [(x,) for x in first]  # CIDEr is a mean over references
        outputs = {"text": first, "reference_log_prob": 0 * y.nonzero()[0]}
        outputs["reference_tokens"] = outputs["reference_log_prob"] + 3
    else:
        outputs = {"probability": np.eye(3)[y] if kind == "multiclass" else y.astype(float)}
    value = METRICS[name](y, outputs)
    if name in ("calibration_slope", "calibration_intercept"):
        # clipped certainty: separated (slope undefined), and no shift up to the clipping
        assert np.isnan(value) if name == "calibration_slope" else abs(value) < 1.5
        return
    assert value == pytest.approx(METRICS[name].ideal, abs=1e-9)


@pytest.mark.parametrize("kind", KINDS)
def test_score_is_the_values_with_bootstrap_intervals(kind):
    y, outputs = sample(kind, 60, 1)
    group = np.arange(60) // 2
    found = score(kind, y, outputs, group=group, replicates=50, seed=3)
    assert tuple(found) == default_metrics(kind)
    resamples = Bootstrap(60, group=group, replicates=50, seed=3)
    block = np.concatenate(list(resamples.weights()))
    for name, interval in found.items():
        metric = METRICS[name]
        assert interval.value == pytest.approx(metric(y, outputs))
        if metric.samples is None and metric.interval == "percentile":
            values = metric(y, outputs, weight=block)
            expected = np.nanquantile(values, [0.025, 0.975])
            assert (interval.low, interval.high) == pytest.approx(tuple(expected))


def test_score_of_the_simulated_metric_is_its_range():
    y, outputs = sample("binary", 60, 1)
    found = score("binary", y, outputs, metrics="ece_of_perfect")["ece_of_perfect"]
    assert found.low < found.value < found.high
    assert found.replicates == 200
    by_row = METRICS["ece_of_perfect"](y, outputs, weight=np.ones((2, 60)))
    assert by_row.tolist() == pytest.approx([found.value] * 2)


def test_score_takes_weights_and_values_only():
    y, outputs = sample("binary", 60, 1)
    weight = np.arange(60.0)
    found = score("binary", y, outputs, weight=weight, replicates=0)
    for name, interval in found.items():
        assert interval.value == pytest.approx(METRICS[name](y, outputs, weight=weight))
    assert np.isnan(found["auroc"].low)


def test_metrics_of_lists_and_of_edge_sizes():
    for kind in KINDS:
        y, outputs = sample(kind, 1, 0)
        one = score(kind, y.tolist(), {k: v.tolist() for k, v in outputs.items()}, replicates=3)
        assert all(isinstance(value, Interval) for value in one.values())
        y, outputs = sample(kind, 0, 0)
        assert all(np.isnan(value.value) for value in score(kind, y, outputs).values())


def test_compare_equals_separate_scores():
    y, a = sample("multiclass", 80, 1)
    _, b = sample("multiclass", 80, 2)
    found = compare("multiclass", y, a, b, resamples=Bootstrap(80, replicates=30))
    assert "ece_of_perfect" not in found
    for name, difference in found.items():
        assert difference.value == pytest.approx(METRICS[name](y, a) - METRICS[name](y, b))
        assert 0 < difference.p_value <= 1


def test_unknown_names_are_answered_by_the_nearest():
    y, outputs = sample("binary", 4, 0)
    with pytest.raises(UnknownNameError, match="unknown metric 'aucroc': did you mean 'auroc'"):
        score("binary", y, outputs, metrics=["aucroc"])
    with pytest.raises(UnknownNameError, match="task kind 'binry': did you mean 'binary'"):
        score("binry", y, outputs)
    with pytest.raises(SettingError, match="'rmse' is for regression targets; found a binary"):
        score("binary", y, outputs, metrics="rmse")


@pytest.mark.parametrize(
    ("kind", "other", "message"),
    [
        ("binary", "multiclass", r"a binary task has probability of shape \[n\]"),
        ("binary", "regression", r"outputs of a binary task hold probability; found \['mean'"),
        ("multiclass", "binary", r"shape \[n, classes\] and y of shape \[n\]"),
        ("multilabel", "multiclass", r"y of shape \[n, labels\]; found \[4, 3\] and \[4\]"),
        ("regression", "binary", "hold mean and std"),
    ],
)
def test_outputs_of_another_kind_are_refused(kind, other, message):
    y, outputs = sample(other, 4, 0)
    with pytest.raises(DataError, match=message):
        score(kind, y, outputs)


def test_registry_is_consistent():
    for name, metric in METRICS.items():
        assert metric.name == name
        assert set(metric.kinds) <= set(KINDS)
        assert metric.title
        assert metric.range
    for kind in KINDS:
        for name in default_metrics(kind):
            assert kind in METRICS[name].kinds


def test_to_minimise_ranks_better_first():
    assert METRICS["auroc"].to_minimise(0.9) < METRICS["auroc"].to_minimise(0.8)
    assert METRICS["brier"].to_minimise(0.1) < METRICS["brier"].to_minimise(0.2)
    assert METRICS["calibration_slope"].to_minimise(1.1) < METRICS["calibration_slope"].to_minimise(
        0.7
    )


def test_import_needs_neither_torch_nor_scipy():
    code = (
        "import sys, amodal.metrics; "
        "print([m for m in ('torch', 'scipy', 'sklearn') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
