"""The contract of a method, as checks that anyone can run on a method of their own."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from amodal.batch import Prediction
from amodal.data.dataset import Dataset
from amodal.methods import get_method
from amodal.model import Model, make_model
from amodal.nn.text_decoder import unpack_memory
from amodal.types import NOT_MEASURED, Task
from amodal.vocabulary import BEGIN

__all__ = ["CHECKS", "REPORTS", "check_method", "made_up"]

REPORTS = ("reliability", "reliance", "conflict")
"""What a prediction can tell besides the target."""


def made_up(kind: str = "binary", n: int = 80, *, seed: int = 0) -> Dataset:
    """A small data set with a table, a series, codes and an embedding, each absent in some rows.

    The target can be learned from each of them. Row 0 has nothing at all.

    >>> made_up("regression").shape
    (80, 4)
    """
    rng = np.random.default_rng(seed)
    latent = rng.normal(size=n)
    table = np.column_stack([latent + rng.normal(size=n), rng.normal(size=n)])
    table[rng.random((n, 2)) < 0.1] = np.nan
    series = []
    codes = []
    for z in latent:
        steps = int(rng.integers(1, 7))
        times = np.sort(rng.uniform(0, 10, steps))
        series.append((times, z + rng.normal(size=(steps, 2))))
        codes.append([("high" if z > rng.normal() else "low", "type", float(t)) for t in times])
    embedding = latent[:, None] * np.ones(5) + rng.normal(size=(n, 5))
    entries = {"t": list(table), "s": series, "c": codes, "e": list(embedding)}
    gone = rng.random((n, 4)) < 0.25
    gone[0], gone[1] = True, False
    for k, name in enumerate(entries):
        entries[name] = [None if gone[i, k] else x for i, x in enumerate(entries[name])]
    kinds = {"t": "table", "s": "series", "c": "codes", "e": "embedding"}
    noisy = latent + 0.3 * rng.normal(size=n)
    if kind == "binary":
        target, task = (noisy > 0.3).astype(float), Task("binary")
    elif kind == "multiclass":
        target, task = (
            np.digitize(noisy, [-0.5, 0.5]).astype(float),
            Task("multiclass", tuple("abc")),
        )
    elif kind == "multilabel":
        target = np.column_stack([noisy > 0, noisy < 0.5]).astype(float)
        task = Task("multilabel", ("up", "down"))
    elif kind == "sequence":
        target, task = _sentences(noisy), Task("sequence")
    else:
        target, task = 10 + 3 * noisy, Task("regression")
    return Dataset.from_arrays(entries, target, modalities=kinds, task=task)


def _sentences(x: np.ndarray) -> list[list[str]]:
    """One or two texts per row that say the same."""
    words = ("low", "middle", "high")
    found = []
    for level, sign in zip(np.digitize(x, [-0.5, 0.5]), x > 0, strict=True):
        texts = [f"it is {words[level]}", f"{words[level]} it is"]
        found.append(texts if sign else texts[:1])
    return found


def _finite(found: Prediction) -> bool:
    return bool(torch.isfinite(found.params).all())


def _close(a: Prediction, b: Prediction, tolerance: float, what: str) -> None:
    told = a.text_head is not None
    if told:
        a, b = (p.replace(extra=_said(p)) for p in (a, b))
    for name in ("said" if told else "params", "reliability", "reliance", "conflict"):
        x, y = ((p.extra[name] if name == "said" else getattr(p, name)) for p in (a, b))
        if x is None:
            assert y is None, f"{what}: {name} is there once and not the other time"
            continue
        gap = (
            (x.nan_to_num(-1.0) - y.nan_to_num(-1.0)).abs().max() if x.numel() else torch.tensor(0)
        )
        assert gap <= tolerance, f"{what}: {name} differs by {float(gap):.2g}"


def _said(found: Prediction) -> dict[str, torch.Tensor]:
    """What a distribution over texts says of two of them: memories are padded to their batch."""
    texts = found.text_head.tokens([("it is high", "low it is")] * len(found))
    return {"said": found.dist.log_prob(texts)}


def check_absent_is_absent(model: Model, data: Dataset) -> None:
    """What stood where a modality is lost changes nothing."""
    lost = np.random.default_rng(0).random(data.shape) < 0.4
    plain = model.predict(data.lose(lost))
    for k, name in enumerate(data.names):
        values = data.values[name]
        changed = {
            key: np.where(np.ones_like(x, dtype=bool), 1e6, x) if x.dtype.kind == "f" else x
            for key, x in values.data.items()
        }
        hidden = np.zeros(data.shape, dtype=bool)
        hidden[:, k] = True
        poisoned = data.replace(
            values={**data.values, name: type(values)(changed, values.offsets, values.index)}
        )
        _close(
            model.predict(data.lose(hidden)),
            model.predict(poisoned.lose(hidden)),
            0.0,
            f"values of {name} where it is lost",
        )
    assert _finite(plain), "a prediction is not finite"


def check_rows_are_independent(model: Model, data: Dataset) -> None:
    """A row predicts the same alone, in any batch and in any order."""
    whole = model.predict(data)
    order = np.random.default_rng(0).permutation(len(data))
    _close(whole.rows(torch.as_tensor(order)), model.predict(data[order]), 2e-5, "another order")
    for i in (0, 1, len(data) - 1):
        _close(whole.rows(torch.tensor([i])), model.predict(data[[i]]), 2e-5, f"row {i} alone")
    assert len(model.predict(data[:0])) == 0, "no rows must give no predictions"


def check_base_rate(model: Model, data: Dataset) -> None:
    """A row with nothing present predicts the base rate of the training rows, within .02."""
    empty = model.predict(data.lose(np.ones(data.shape, dtype=bool)))
    train = data[np.isin(data.row_id, model.rows_["train"])]
    if data.task.kind == "sequence":
        _check_prior(empty, train)
        return
    known = train.target[train.labelled]
    outputs = empty.outputs()
    if data.task.kind == "regression":
        assert abs(outputs["mean"].mean() - known.mean()) <= 0.1 * known.std()
        assert 0.8 <= outputs["std"].mean() / known.std() <= 1.25
        return
    if data.task.kind == "multiclass":
        known = known[:, None] == np.arange(len(data.task.classes))
    allowed = 0.02 if model.members_[0].neural else 0.06  # classic methods refit on valid rows too
    gap = np.abs(outputs["probability"] - known.mean(0)).max()
    assert gap <= allowed, f"the base rate is missed by {gap:.3f}"


def _check_prior(empty: Prediction, train: Dataset) -> None:
    """Of nothing all rows are written alike, the first word as often as it came first in training.

    Learned and not set, unlike a base rate: so the tolerance is that of a short training.
    """
    head = empty.text_head
    memory = head.decoder.start(*unpack_memory(empty.params, head.decoder.width))
    begin = torch.full((len(empty), 1), BEGIN)
    with torch.no_grad():
        said = head.decoder.step(begin, memory)[0][:, 0].exp()
    assert float((said - said[:1]).abs().max()) < 1e-6, "rows with nothing differ"
    found = [head.vocabulary.encode(t)[0] for texts in train.references for t in texts]
    rate = np.bincount(found, minlength=len(head.vocabulary)) / len(found)
    gap = np.abs(said[0].double().numpy() - rate).max()
    assert gap <= 0.25, f"the first word of nothing is missed by {gap:.3f}"


def check_fields(model: Model, data: Dataset) -> None:
    """Reliability and reliance lie in [0, 1] and are 0 where absent; reliance sums to at most 1."""
    found = model.predict(data)
    absent = torch.as_tensor(~data.present)
    told = {name for name in REPORTS if getattr(found, name) is not None}
    assert told == set(get_method(model.members_[0].name).reports), "`reports` says what there is"
    for name in ("reliability", "reliance"):
        x = getattr(found, name)
        if x is not None:
            assert x.shape == data.shape, f"{name} has one entry per row and modality"
            assert bool(((x >= 0) & (x <= 1 + 1e-6)).all()), f"{name} lies in [0, 1]"
            assert float(x[absent].abs().sum()) == 0, f"{name} is 0 where absent"
    if found.reliance is not None:
        assert float(found.reliance.sum(1).max()) <= 1 + 1e-5, "reliance sums to at most 1"
    entropy = found.uncertainty()
    assert entropy.shape == (len(data),), "one uncertainty per row"


def check_learns(model: Model, data: Dataset) -> None:
    """The training rows are predicted better than by the base rate."""
    rows = data[data.labelled & data.present.any(1)]
    found = model.predict(rows)
    if data.task.kind == "sequence":
        target = found.text_head.tokens([texts[:1] for texts in rows.references])
    else:
        target = torch.tensor(rows.target).float()
    nll = -found.dist.log_prob(target).mean()
    empty = model.predict(rows.lose(np.ones(rows.shape, dtype=bool)))
    assert float(nll) < float(-empty.dist.log_prob(target).mean()), "it learns nothing"


def check_input_is_unchanged(model: Model, data: Dataset) -> None:
    """Prediction leaves its input as it was, and repeats itself."""
    before = data.fingerprint()
    first = model.predict(data)
    _close(first, model.predict(data), 0.0, "the second call")
    assert data.fingerprint() == before, "the input was changed"


def check_not_measured_is_not_lost(model: Model, data: Dataset) -> None:
    """A lost modality tells nothing of whether it was measured."""
    k = 0
    lost = np.zeros(data.shape, dtype=bool)
    lost[:, k] = True
    measured = data.lose(lost)
    absence = data.absence.copy()
    absence[:, k] = NOT_MEASURED
    unmeasured = measured.replace(absence=absence).lose(lost)
    _close(model.predict(measured), model.predict(unmeasured), 0.0, "measured before it was lost")


CHECKS: dict[str, Callable[[Model, Dataset], None]] = {
    "absent is absent": check_absent_is_absent,
    "rows are independent": check_rows_are_independent,
    "base rate": check_base_rate,
    "fields": check_fields,
    "learns": check_learns,
    "input unchanged": check_input_is_unchanged,
    "lost is not unmeasured": check_not_measured_is_not_lost,
}
"""Every promise of a method by name."""


def check_method(spec: str, kind: str = "binary", **settings: object) -> Model:
    """Fits a method on a small made-up data set and checks every promise of the contract.

    Args:
        spec: method and settings, as `amodal.model.make_model` reads them.
        kind: of the task.
        **settings: further ones; keep the model small.

    Returns:
        the fitted model.

    Raises:
        AssertionError: a promise is broken; the text says which.

    >>> check_method("pattern").task_.kind
    'binary'
    """
    data = made_up(kind)
    model = make_model(spec, **settings).fit(data)
    for check in CHECKS.values():
        check(model, data)
    return model
