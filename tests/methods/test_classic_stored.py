"""Classic methods survive storing through skops, and only what they wrote is read."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from skops.io import dumps, get_untrusted_types, loads

from amodal.errors import CheckpointError
from amodal.methods import get_method
from amodal.methods.classic import TRUSTED, ClassicMethod
from amodal.methods.classic_stored import check_estimator

METHODS = ("pattern", "logistic", "forest", "boosting", "single")
QUICK = {"forest": {"trees": 4}, "boosting": {"trees": 6}, "single": {"trees": 6}}


def fitted(name, data):
    method = get_method(name)(data.task, search=False, **QUICK.get(name, {}))
    return method.fit(data, None, seed=1)


@pytest.mark.parametrize("kind", ClassicMethod.tasks)
@pytest.mark.parametrize("name", METHODS)
def test_round_trip_predicts_the_same(name, kind, make_rows):
    train, test = make_rows(60, kind), make_rows(40, kind, seed=5)
    test = test.lose(np.random.default_rng(0).random(test.shape) < 0.3)
    method = fitted(name, train)
    files = {key: dumps(e) for key, e in method.estimators().items()}
    assert files
    for key, data in files.items():
        assert set(key) <= set("abcdefghijklmnopqrstuvwxyz0123456789-")
        assert set(get_untrusted_types(data=data)) <= set(TRUSTED)
    back = {key: loads(data, trusted=list(TRUSTED)) for key, data in files.items()}
    state = json.loads(json.dumps(method.state()))
    again = get_method(name)(train.task).restore(back, state)
    before, after = method.predict(test), again.predict(test)
    assert torch.equal(before.params, after.params)
    assert again.state() == state
    assert again.chosen == method.chosen
    if name == "single":
        assert torch.equal(before.reliance, after.reliance)
        assert again.ranking == method.ranking


@pytest.mark.parametrize("name", METHODS)
def test_one_class_is_stored_without_an_estimator(name, make_rows):
    train = make_rows(20)
    train = train.replace(target=np.zeros(20))
    method = fitted(name, train)
    assert method.estimators() == {}
    again = get_method(name)(train.task).restore({}, method.state())
    assert torch.equal(again.predict(train).params, method.predict(train).params)


def test_nothing_but_tree_nodes_is_trusted():
    assert TRUSTED == (
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
        "sklearn.tree._tree.Tree",
    )


@pytest.mark.parametrize("name", ["logistic", "forest", "boosting"])
def test_estimators_of_another_width_are_refused(name, make_rows):
    method = fitted(name, make_rows(60))
    (estimator, *_) = method.estimators().values()
    check_estimator(estimator, estimator.n_features_in_)
    with pytest.raises(CheckpointError, match="must be the one that was saved with its model"):
        check_estimator(estimator, estimator.n_features_in_ + 1)
    other = fitted(name, make_rows(60).select(["a"]))
    with pytest.raises(CheckpointError, match="train it again"):
        method.restore({**method.estimators(), **other.estimators()}, method.state())


def test_foreign_objects_are_refused(make_rows):
    method = fitted("logistic", make_rows(40))
    with pytest.raises(CheckpointError, match="does not fit"):
        method.restore({key: [1.0] for key in method.estimators()}, method.state())
    with pytest.raises(KeyError):
        method.restore({}, method.state())


@pytest.mark.parametrize(
    ("field", "value"), [("left", 0), ("right", 10**6), ("feature_idx", 99), ("is_categorical", 1)]
)
def test_boosted_trees_with_wrong_nodes_are_refused(field, value, make_rows):
    method = fitted("boosting", make_rows(90))
    estimator = method.estimators()["label0-plain"]
    tree = next(t for step in estimator._predictors for t in step if len(t.nodes) > 1)
    tree.nodes[field][0] = value
    with pytest.raises(CheckpointError, match="train it again"):
        method.restore(method.estimators(), method.state())


def test_forests_with_wrong_nodes_are_refused(make_rows):
    method = fitted("forest", make_rows(90))
    tree = method.estimators()["label0-plain"].estimators_[0].tree_
    tree.children_left[0] = tree.node_count
    with pytest.raises(CheckpointError, match="train it again"):
        method.restore(method.estimators(), method.state())
