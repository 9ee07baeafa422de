"""Every method keeps every promise, for every kind of task."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.model_selection import cross_val_score

from amodal import Model, load
from amodal.errors import SettingError
from amodal.methods import METHODS, get_method
from amodal.model import make_model
from amodal.testing import check_method, made_up

SMALL = {
    "epochs": 6,
    "batch_size": 16,
    "width": 16,
    "depth": 1,
    "heads": 2,
    "lr": 0.02,
    "ema": 0.8,
    "refit": False,
}
FEW_TREES = {"trees": 20}
NEURAL = [name for name in METHODS if hasattr(get_method(name), "stages")]
CLASSIC = [name for name in METHODS if name not in NEURAL]
FIRST = [
    "aum:aggregation=paper",
    "aum:variance=constant:vib=off:contrast=0",
    "imro:table=tokens:series=gru:stability=on:schedule=rise",
    "imro:weights=certainty:series=transformer:pattern=off:gated=on:conditioned=on",
]
"""Variants that are tested each time."""
VARIANTS = [
    *FIRST,
    "aum:aggregation=paper:attention=precision:absent=literal:layers=1",
    "aum:aggregation=paper:layers=3:widen=on",
    "imro:weights=gate:corrupt=0:entropy=0:information=0",
    "imro:weights=uniform:class_weight=balanced:layers=1:queries=1",
    "concat:class_weight=balanced",
    "mean:pattern=off",
    "muse:layers=1:contrast=0:pattern=off",
    "tmc:class_weight=balanced:pattern=off",
    "m3care:memory=5:pattern=off",
    "qmf:rank=0:pattern=off",
    "attention:mc_dropout=3",
    "m3care:mc_dropout=2",
]


def small(spec: str) -> dict:
    if spec.split(":")[0] in NEURAL:
        return SMALL
    return FEW_TREES if "trees" in get_method(spec).settings() else {}


EACH_TIME = ("aum", "imro", "concat", "boosting", "logistic")
"""Tested in full each time."""
OURS = ("attention", "mean", "forest", "single", "pattern")
"""Tested on binary tasks each time; `make test-all` leaves nothing out."""


def later(spec: str, late: bool = False) -> object:
    """The spec; one of a method that is not tested in full each time is left to the slow tests."""
    late = late or spec.split(":")[0] not in EACH_TIME
    return pytest.param(spec, marks=[pytest.mark.slow] if late else [])


def predicted() -> list:
    """Every method with every kind of task that it predicts; some are left to the slow tests."""
    found = []
    for name in NEURAL + CLASSIC:
        for kind in get_method(name).tasks:
            late = name not in EACH_TIME and (kind != "binary" or name not in OURS)
            found.append(pytest.param(name, kind, marks=[pytest.mark.slow] if late else []))
    return found


@pytest.mark.parametrize(("spec", "kind"), predicted())
def test_contract(spec: str, kind: str) -> None:
    check_method(spec, kind, **small(spec))


@pytest.mark.parametrize("spec", [m for m in NEURAL if "regression" not in get_method(m).tasks])
def test_other_tasks_are_refused(spec: str) -> None:
    said = f"{spec} is for .* tasks; this one is regression; choose another method"
    with pytest.raises(SettingError, match=said):
        make_model(spec, **SMALL).fit(made_up("regression"))


@pytest.mark.parametrize("spec", [later(s, s not in FIRST) for s in VARIANTS])
def test_contract_of_variants(spec: str) -> None:
    check_method(spec, **small(spec))


@pytest.mark.parametrize("spec", [later(s) for s in NEURAL + CLASSIC])
def test_same_seed_same_model_and_files_keep_it(spec: str, tmp_path) -> None:
    data = made_up()
    first = make_model(spec, seed=3, **small(spec)).fit(data).predict(data)
    model = make_model(spec, seed=3, **small(spec)).fit(data)
    assert torch.equal(first.params, model.predict(data).params)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run").predict(data)
    assert torch.equal(first.params, again.params)
    assert not list((tmp_path / "run").rglob("*.pkl"))


def test_scikit_learn_clones_and_cross_validates() -> None:
    data = made_up(n=90)
    model = Model("logistic", seed=1)
    assert clone(model).get_params() == model.get_params()
    scores = cross_val_score(model, data, data.target, cv=3)
    assert scores.shape == (3,)
    assert scores.mean() > max(data.target.mean(), 1 - data.target.mean())


@pytest.mark.parametrize("name", [later(m) for m in NEURAL if get_method(m).uses_unlabelled])
def test_unlabelled_rows_are_used_as_told(name: str) -> None:
    data = made_up(n=120)
    target = data.target.copy()
    target[:30] = np.nan
    some = data.replace(target=target)
    found = [
        Model(name, unlabelled=told, **SMALL).fit(some).predict(some).params
        for told in (False, True)
    ]
    assert all(bool(x.isfinite().all()) for x in found)
    assert not torch.equal(*found), f"{name} learns nothing from rows without a label"


@pytest.mark.parametrize("spec", ["mean", "logistic"])
def test_weights_are_used(spec: str) -> None:
    data = made_up(n=120)
    weighted = data.replace(weight=np.where(data.target == 1, 4.0, 1.0))
    empty = data[:1].lose(np.ones((1, 4), dtype=bool))
    plain = make_model(spec, **small(spec)).fit(data).predict(empty).mean
    heavy = make_model(spec, **small(spec)).fit(weighted).predict(empty).mean
    assert heavy > plain


def test_mc_dropout_is_a_mixture_of_fixed_smaller_networks() -> None:
    data = made_up()
    plain = Model("mean", calibrate="none", **SMALL).fit(data)
    found = {}
    for draws in (0, 1, 30):
        plain.members_[0].method.mc_dropout = draws
        found[draws] = plain.predict(data)
        assert torch.equal(found[draws].params, plain.predict(data).params)
    gap = {k: float((found[k].mean - found[0].mean).abs().mean()) for k in (1, 30)}
    assert 0 < gap[30] < gap[1]
    assert found[1].uncertainty().mean() < found[30].uncertainty().mean()
    with pytest.raises(SettingError, match="needs dropout above 0; got 5 and dropout 0"):
        Model("mean", mc_dropout=5, dropout=0.0, **SMALL).fit(data)
