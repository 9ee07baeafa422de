"""The classic methods one by one: losses, closed forms, choices, and what they refuse."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score

from amodal.errors import DataError, MediaError, NotFittedError, SettingError
from amodal.methods import get_method
from amodal.types import LOST, NOT_MEASURED, Modality, Task

METHODS = ("pattern", "logistic", "forest", "boosting", "single")
QUICK = {"forest": {"trees": 5}, "boosting": {"trees": 12}, "single": {"trees": 12}}


def made(name, task, **settings):
    return get_method(name)(task, **{"search": False, **QUICK.get(name, {}), **settings})


def lose(data, rate, seed=9):
    """`data` with a share of its pairs lost."""
    return data.lose(np.random.default_rng(seed).random(data.shape) < rate)


def has_loss(data):
    """``Bool[n]``: rows that lost something."""
    return (data.absence == LOST).any(axis=1)


# -- losses -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["pattern", "logistic", "forest", "boosting"])
def test_augmentation_changes_rows_with_losses_only(name, make_rows):
    train, test = make_rows(150), lose(make_rows(60, seed=5), 0.3)
    plain = made(name, train.task, augment=False).fit(train, None)
    both = made(name, train.task).fit(train, None)
    a, b = plain.predict(test).params, both.predict(test).params
    touched = has_loss(test) & test.present.any(axis=1)
    assert torch.equal(a[~touched], b[~touched])
    assert not torch.isclose(a[touched], b[touched]).all()


def test_a_weak_modality_is_used_where_the_strong_one_is_lost(tables):
    rng = np.random.default_rng(0)
    a = rng.normal(size=1200)  # tells all that b tells, and more
    b = a + 0.7 * rng.normal(size=1200)
    y = (a + 0.1 * rng.normal(size=1200) > 0) * 1.0
    data = tables([a[:, None], b[:, None]], np.zeros((1200, 2)), y, Task("binary"))
    test = data[800:].lose(np.tile([True, False], (400, 1)))
    nll = {}
    for augment in (False, True):
        model = made("logistic", data.task, search=True, augment=augment).fit(data[:800], None)
        found = model.predict(test).dist.log_prob(torch.tensor(test.target))
        nll[augment] = -float(found.mean())
    assert nll[True] < nll[False] - 0.05


# -- one method at a time ---------------------------------------------------------------------


def test_logistic_is_the_regression_on_a_matrix_built_by_hand(make_rows):
    train, valid, test = make_rows(200), make_rows(150, seed=2), make_rows(60, seed=5)
    model = made("logistic", train.task, augment=False).fit(train, valid)

    def raw(data):
        x = np.full((len(data), 5), np.nan)
        for k, columns in ((0, [0, 1, 2]), (1, [3, 4])):
            values = data.values["ab"[k]]
            has = values.index >= 0
            x[np.ix_(has, columns)] = values.data["numeric"][values.index[has]]
        return x, data.present

    seen = [raw(d) for d in (train, valid)]
    x, there = np.concatenate([s[0] for s in seen]), np.concatenate([s[1] for s in seen])
    y = np.concatenate([train.target, valid.target])
    mean, std = np.nanmean(x[there.any(1)], 0), np.nanstd(x[there.any(1)], 0)

    def matrix(x, there):
        cells = np.isnan(x[:, [1, 2]]) & there[:, [0]]
        return np.column_stack([np.nan_to_num((x - mean) / std), cells, ~there])

    use = there.any(1)
    other = LogisticRegression(C=0.01, max_iter=1000).fit(matrix(x, there)[use], y[use])
    p = other.predict_proba(matrix(*raw(test)))
    share = np.array([1 - y[use].mean(), y[use].mean()])
    p = (use.sum() * p + share) / (use.sum() + 1)
    some = test.present.any(1)
    assert model.predict(test).mean.numpy()[some] == pytest.approx(p[some, 1], abs=1e-6)


def test_ridge_is_the_closed_form(tables):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(80, 2))
    y = x @ [1.0, -2.0] + 0.1 * rng.normal(size=80)
    train = tables([x], np.zeros((80, 1)), y, Task("regression"))
    found = made("logistic", train.task).fit(train, None).predict(train).mean.numpy()
    z = (x - x.mean(0)) / x.std(0)
    beta = np.linalg.solve(z.T @ z + 100.0 * np.eye(2), z.T @ (y - y.mean()))
    assert found == pytest.approx(y.mean() + z @ beta, abs=1e-9)


@pytest.mark.parametrize("name", ["logistic", "forest", "boosting"])
def test_multilabel_is_one_model_per_label(name, make_rows):
    train, test = make_rows(90, "multilabel"), make_rows(30, "multilabel", seed=5)
    found = made(name, train.task).fit(train, None).predict(test).params
    for k in range(3):
        one = train.replace(task=Task("binary"), target=train.target[:, k])
        alone = made(name, one.task).fit(one, None)
        assert torch.equal(alone.predict(test.replace(target=None)).params[:, 0], found[:, k])


def test_logistic_picks_the_penalty_by_validation_loss(tables):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(700, 30))
    noise = tables([x], np.zeros((700, 1)), (rng.random(700) < 0.5) * 1.0, Task("binary"))
    clear = noise.replace(target=(x[:, 0] > 0) * 1.0)
    chosen = []
    for data in (noise, clear):
        model = made("logistic", data.task, search=True).fit(data[:400], data[400:])
        chosen.append(model.chosen[0]["plain"]["C"])
    assert chosen[0] <= 0.01
    assert chosen[1] >= 3.0


@pytest.mark.parametrize(("name", "least"), [("boosting", 0.93), ("forest", 0.85)])
def test_trees_find_an_interaction(name, least, tables):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(900, 4))
    y = (x[:, 0] * x[:, 1] > 0) * 1.0
    data = tables([x[:, :2], x[:, 2:]], np.zeros((900, 2)), y, Task("binary"))
    model = made(name, data.task, augment=False, trees=60)
    found = model.fit(data[:500], data[500:700]).predict(data[700:]).mean.numpy()
    assert roc_auc_score(y[700:], found) > least


def test_boosting_stops_early_on_noise(tables):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 5))
    y = (rng.random(500) < 0.3) * 1.0
    data = tables([x], np.zeros((500, 1)), y, Task("binary"))
    model = made("boosting", data.task).fit(data[:300], data[300:])
    assert model.chosen[0]["plain"]["max_iter"] <= 10
    assert float(model.predict(data).mean.std()) < 0.1


def test_boosting_tries_imputation_and_keeps_the_better(make_rows):
    data = make_rows(500)
    model = made("boosting", data.task, search=True, augment=False).fit(data[:250], data[250:])
    assert set(model.chosen[0]["plain"]) >= {"impute", "learning_rate", "max_iter"}
    tried = model.refine({"impute": False, "learning_rate": 0.06})
    assert {"impute": True, "learning_rate": 0.06} in tried


def test_pattern_reads_nothing_but_absence(make_rows, tables):
    train = make_rows(400, absent=0.5)
    target = (train.absence[:, 0] == NOT_MEASURED) * 1.0
    train = train.replace(target=target)
    model = made("pattern", train.task, search=True).fit(train[:250], train[250:])
    found = model.predict(train).mean.numpy()
    some = train.present.any(1)
    assert roc_auc_score(target[some], found[some]) == 1.0
    other = make_rows(400, absent=0.5, seed=8)
    swapped = tables(
        [np.full((400, 3), 7.0), np.full((400, 2), -7.0)], other.absence, None, train.task
    )
    a, b = model.predict(swapped).params, model.predict(other).params
    assert torch.equal(a, b)


def test_regression_error_depends_on_how_much_is_there(tables):
    rng = np.random.default_rng(0)
    n = 900
    x = rng.normal(size=(n, 2))
    y = x @ [1.0, 1.0] + 0.1 * rng.normal(size=n)
    absence = np.zeros((n, 2), dtype=np.int8)
    absence[::2, 1] = NOT_MEASURED
    data = tables([x[:, :1], x[:, 1:]], absence, y, Task("regression"))
    model = made("logistic", data.task, search=True).fit(data[:600], data[600:])
    std = model.predict(data).std.numpy()
    assert std[1] == pytest.approx(0.1, rel=0.2)
    assert std[0] == pytest.approx(1.0, rel=0.2)
    few = made("logistic", data.task, search=True).fit(data[:20], None).predict(data).std
    assert len(np.unique(few.numpy()[data.present.any(1)])) == 1  # too few rows to tell them apart


def test_single_takes_the_best_modality_that_a_row_has(make_rows):
    train, test = make_rows(400), make_rows(50, seed=5)
    model = made("single", train.task, search=True).fit(train[:300], train[300:])
    assert model.ranking == ("a", "b")
    found = model.predict(test)
    there = test.present
    expected = np.column_stack([there[:, 0], there[:, 1] & ~there[:, 0]])
    assert np.array_equal(found.reliance.numpy(), expected.astype(float))
    both, hidden = (
        model.predict(test).params,
        model.predict(test.lose(there & [False, True])).params,
    )
    kept = there[:, 0]
    assert torch.equal(both[kept], hidden[kept])
    assert model.chosen[0]["a"]["model"] in ("logistic", "boosting")


def test_single_ranks_what_is_rarely_there_low(tables):
    rng = np.random.default_rng(0)
    y = (rng.random(600) < 0.5) * 1.0
    a = (y + 0.1 * rng.normal(size=600))[:, None]
    b = (y + 1.0 * rng.normal(size=600))[:, None]
    absence = np.zeros((600, 2), dtype=np.int8)
    absence[30:, 0] = NOT_MEASURED
    data = tables([a, b], absence, y, Task("binary"))
    assert made("single", data.task).fit(data, None).ranking == ("b", "a")


# -- input ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["logistic", "forest", "boosting", "single"])
def test_series_codes_and_categories_are_read(name):
    from amodal.data.dataset import Dataset

    rng = np.random.default_rng(0)
    y = np.arange(80) % 2 * 1.0
    series = [
        None if i % 7 == 0 else (np.arange(3.0), rng.normal(y[i], 1, (3, 2))) for i in range(80)
    ]
    codes = [["x", "y"] if t else ["y"] for t in y]
    data = Dataset.from_arrays(
        {"s": series, "c": codes}, y, modalities={"s": "series", "c": "codes"}
    )
    found = made(name, data.task).fit(data[:60], data[60:]).predict(data)
    assert roc_auc_score(y, found.mean.numpy()) > 0.95


def test_files_that_are_not_there_are_refused_but_for_the_pattern(make_rows):
    train = make_rows(20)
    a, _ = train.modalities
    seen = Modality("b", "image")
    index = train.values["b"].index
    source = np.array([f"{i}.png" for i in range(len(train.values["b"]))], dtype=object)
    values = {"a": train.values["a"], "b": type(train.values["b"])({"source": source}, None, index)}
    media = train.replace(modalities=(a, seen), values=values)
    with pytest.raises(MediaError, match="files of kind image must be readable"):
        made("boosting", media.task).fit(media, None)
    assert torch.isfinite(made("pattern", media.task).fit(media, None).predict(media).params).all()


@pytest.mark.parametrize("name", METHODS)
def test_misuse_is_told(name, make_rows):
    train = make_rows(30)
    with pytest.raises(NotFittedError, match="call fit first"):
        made(name, train.task).predict(train)
    with pytest.raises(NotFittedError, match="call fit first"):
        made(name, train.task).state()
    with pytest.raises(DataError, match="known target"):
        made(name, train.task).fit(train.replace(target=np.full(30, np.nan)), None)
    with pytest.raises(DataError, match="columns of the training rows"):
        made(name, train.task).fit(train, None).predict(train.select(["b", "a"]))
    with pytest.raises(SettingError, match="n_jobs must be at least 1"):
        made(name, train.task, n_jobs=0)


def test_settings_are_listed(make_task):
    assert get_method("forest").settings() == {
        "augment": True,
        "search": True,
        "n_jobs": 1,
        "trees": 200,
    }
    with pytest.raises(SettingError, match="trees must be at least 1; got 0"):
        get_method("forest")(make_task("binary"), trees=0)
    for name in METHODS:
        method = get_method(name)
        assert method.name == name
        assert method.title
        assert method.reference
        assert method.year > 1900
