"""The classic methods: what they predict, row for row, and on awkward data."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import roc_auc_score

from amodal.methods import get_method
from amodal.methods.base_rates import base_params
from amodal.methods.classic import ClassicMethod
from amodal.types import LOST, NOT_MEASURED, Task

METHODS = ("pattern", "logistic", "forest", "boosting", "single")
QUICK = {"forest": {"trees": 5}, "boosting": {"trees": 12}, "single": {"trees": 12}}


def made(name, task, **settings):
    return get_method(name)(task, **{"search": False, **QUICK.get(name, {}), **settings})


def lose(data, rate, seed=9):
    """`data` with a share of its pairs lost."""
    return data.lose(np.random.default_rng(seed).random(data.shape) < rate)


def empty(data):
    """The same rows with nothing present: half not measured, half lost."""
    gone = data.lose(np.ones(data.shape, dtype=bool))
    absence = gone.absence.copy()
    absence[::2] = NOT_MEASURED
    return gone.replace(absence=absence)


# -- every method on every task ---------------------------------------------------------------


@pytest.mark.parametrize("kind", ClassicMethod.tasks)
@pytest.mark.parametrize("name", METHODS)
def test_empty_rows_get_the_base_rate_exactly(name, kind, make_rows):
    weight = np.random.default_rng(1).uniform(0.5, 2.0, 40)
    train = make_rows(40, kind, weight=weight)
    found = made(name, train.task).fit(train, make_rows(10, kind, seed=2)).predict(empty(train))
    base = base_params(train.task, torch.tensor(train.target), torch.tensor(weight))
    assert found.params.dtype == torch.float64
    assert torch.equal(found.params, base.double().expand(40, -1))
    assert found.reliability is None


@pytest.mark.parametrize("kind", ClassicMethod.tasks)
@pytest.mark.parametrize("name", METHODS)
def test_probabilities_are_proper_and_better_than_the_base_rate(name, kind, make_rows):
    train, test = make_rows(90, kind), make_rows(150, kind, seed=5)
    model = made(name, train.task).fit(train, make_rows(30, kind, seed=2))
    for rows in (test, lose(test, 0.4)):
        found = model.predict(rows)
        assert found.params.shape == (150, train.task.param_size)
        assert torch.isfinite(found.params).all()
        nll = -found.dist.log_prob(torch.tensor(test.target)).mean()
        base = model.predict(empty(test))
        least = -base.dist.log_prob(torch.tensor(test.target)).mean()
        assert nll < least + (0.05 if name == "pattern" else 0.0)
        if kind == "multiclass":
            assert torch.allclose(found.params.exp().sum(1), torch.ones(150).double())


@pytest.mark.parametrize("name", METHODS)
def test_rows_are_independent_and_seeds_repeat(name, make_rows):
    train, test = make_rows(100), lose(make_rows(40, seed=5), 0.3)
    model = made(name, train.task).fit(train, None, seed=3)
    whole = model.predict(test).params
    order = np.random.default_rng(0).permutation(40)
    assert torch.allclose(model.predict(test.take(order)).params, whole[order], atol=1e-12)
    alone = torch.cat([model.predict(test[[i]]).params for i in range(5)])
    assert torch.allclose(alone, whole[:5], atol=1e-12)
    again = made(name, train.task).fit(train, None, seed=3).predict(test).params
    assert torch.equal(again, whole)
    assert model.predict(test[:0]).params.shape == (0, 1)


@pytest.mark.parametrize("kind", ClassicMethod.tasks)
@pytest.mark.parametrize("name", METHODS)
def test_ten_rows_will_do(name, kind, make_rows):
    train = make_rows(10, kind)
    found = made(name, train.task).fit(train[:8], train[8:]).predict(make_rows(20, kind, seed=3))
    assert torch.isfinite(found.params).all()


@pytest.mark.parametrize("name", METHODS)
def test_one_row_will_do(name, make_rows):
    train = make_rows(1, absent=0.0)
    found = made(name, train.task).fit(train, None).predict(make_rows(5, seed=3))
    base = base_params(train.task, torch.tensor(train.target)).double()
    assert torch.allclose(found.params, base.expand(5, 1), atol=1e-6)


@pytest.mark.parametrize("kind", ["binary", "multiclass"])
@pytest.mark.parametrize("name", METHODS)
def test_one_class_predicts_its_smoothed_rate(name, kind, make_rows):
    train = make_rows(30, kind)
    train = train.replace(target=np.ones(30))
    found = made(name, train.task).fit(train, None).predict(make_rows(10, kind, seed=3)).mean
    rest = 0.5 * (found.shape[1] - 1) if kind == "multiclass" else 0.5
    positive = found[:, 1] if kind == "multiclass" else found
    expected = 30 / (30 + rest) if name == "single" else None
    assert (positive > 0.95).all()
    if expected is not None:  # each part has the rows of its own modality alone
        assert (positive <= expected + 1e-6).all()


@pytest.mark.parametrize("name", METHODS)
def test_class_without_training_rows_keeps_a_small_probability(name, make_rows):
    train = make_rows(60, "multiclass")
    train = train.replace(target=np.minimum(train.target, 1.0))
    found = made(name, train.task).fit(train, None).predict(make_rows(10, "multiclass", seed=3))
    rare = found.mean[:, 2]
    assert (rare > 0).all()
    assert (rare < 0.02).all()


@pytest.mark.parametrize("name", METHODS)
def test_unlabelled_rows_are_ignored(name, make_rows):
    train = make_rows(80)
    target = train.target.copy()
    target[60:] = np.nan
    known = made(name, train.task).fit(train[:60], None).predict(train).params
    mixed = made(name, train.task).fit(train.replace(target=target), None).predict(train).params
    assert torch.equal(known, mixed)


@pytest.mark.parametrize("name", METHODS)
def test_scale_of_weights_does_not_matter_and_weights_do(name, make_rows):
    n, weight = 60, np.random.default_rng(4).uniform(0.5, 2.0, 60)
    flat, ten = make_rows(n, weight=weight), make_rows(n, weight=10 * weight)
    test = make_rows(50, seed=5)
    one = made(name, flat.task).fit(flat, None).predict(test).params
    same = made(name, flat.task).fit(ten, None).predict(test).params
    assert torch.allclose(one, same, atol=1e-6)
    wrong = np.arange(n) < 20  # a third of the rows are mislabelled, and hardly count
    target = np.where(wrong, 1 - flat.target, flat.target)
    light = flat.replace(target=target, weight=np.where(wrong, 1e-3, 1.0))
    trusted = made(name, flat.task).fit(light, None).predict(test).mean.numpy()
    if name != "pattern":
        assert roc_auc_score(test.target, trusted) > 0.6


@pytest.mark.parametrize("name", METHODS)
def test_columns_and_modalities_that_are_never_there(name, tables):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(60, 3))
    x[:, 1] = np.nan
    absence = np.zeros((60, 3), dtype=np.int8)
    absence[:, 1], absence[:, 2] = NOT_MEASURED, LOST
    train = tables([x, x[:, :2], x[:, :1]], absence, (x[:, 0] > 0) * 1.0, Task("binary"))
    model = made(name, train.task).fit(train[:45], train[45:])
    found = model.predict(train).mean.numpy()
    if name != "pattern":
        assert roc_auc_score(train.target, found) > 0.95
    here = tables([x, x, x], np.zeros((60, 3)), None, Task("binary"))
    here = here.replace(
        modalities=train.modalities,
        values=here.select(["a"]).values | {"b": train.values["b"], "c": train.values["c"]},
        absence=absence,
    )
    assert np.array_equal(model.predict(here).mean.numpy(), found)
    only = train.lose(np.tile([True, False, False], (60, 1)))
    assert torch.isfinite(model.predict(only).params).all()


@pytest.mark.parametrize("name", METHODS)
def test_a_modality_never_trained_on_gives_the_base_rate_alone(name, make_rows):
    train = make_rows(60)
    bare = train.lose(np.tile([False, True], (60, 1)))
    back = train.lose(np.tile([True, False], (60, 1)))  # only what no training row had
    found = made(name, train.task).fit(bare, None).predict(back).params
    assert torch.isfinite(found).all()
    if name == "single":
        base = base_params(train.task, torch.tensor(train.target)).double()
        assert torch.equal(found, base.expand(60, 1))
