"""How the classic methods see rows: the matrix, the practice losses, and the rows to choose on."""

from __future__ import annotations

import json

import numpy as np
import pytest

from amodal.errors import DataError
from amodal.methods.classic_choice import _merge, _spread
from amodal.methods.classic_design import Design, impute_means
from amodal.methods.classic_head import Held
from amodal.methods.classic_rows import Examples, gather, numbers, selection_pairs
from amodal.types import LOST, NOT_MEASURED, PRESENT

NAN = np.nan


def examples(x, absence, modality, *, target=None, held=None, group=None, weight=None):
    n = len(x)
    return Examples(
        x=np.array(x, dtype=float),
        absence=np.array(absence, dtype=np.int8),
        target=np.zeros(n) if target is None else np.array(target, dtype=float),
        weight=np.ones(n) if weight is None else np.array(weight, dtype=float),
        group=np.arange(n) if group is None else np.array(group),
        held=np.zeros(n, dtype=bool) if held is None else np.array(held, dtype=bool),
        modality=np.array(modality),
    )


def small():
    """Two modalities: columns 0-2 belong to the first, 3 to the second."""
    x = [[1, 5, NAN, 0], [3, 5, NAN, NAN], [NAN, NAN, NAN, 2], [5, NAN, NAN, NAN]]
    absence = [[PRESENT, PRESENT], [PRESENT, LOST], [NOT_MEASURED, PRESENT], [PRESENT, LOST]]
    return examples(x, absence, [0, 0, 0, 1])


# -- the matrix


def test_matrix_by_hand():
    rows = small()
    design = Design.fit(rows)
    found = design.apply(rows.x, rows.absence)
    z = 2 / np.sqrt(8 / 3)  # column 0: mean 3, std sqrt(8/3); column 3: mean 1, std 1
    expected = [  # column 1 is constant and column 2 empty: no more of them than missing cells
        # 0, 3, 1 missing, 2 missing, 0 not measured, 1 lost
        [-z, -1, 0, 1, 0, 0],
        [0, NAN, 0, 1, 0, 1],
        [NAN, 1, 0, 0, 1, 0],
        [z, NAN, 1, 1, 0, 1],
    ]
    np.testing.assert_allclose(found, expected)
    assert design.columns.tolist() == [0, 3]
    assert design.cells.tolist() == [1, 2]
    assert design.width == 6
    assert design.codes.tolist() == [[0, NOT_MEASURED], [1, LOST]]
    np.testing.assert_allclose(impute_means(found)[2, 0], 0.0)


def test_moments_are_weighted():
    rows = examples([[0.0], [1.0], [NAN]], [[0], [0], [0]], [0], weight=[3, 1, 5])
    design = Design.fit(rows)
    assert design.mean == pytest.approx([0.25])
    assert design.std == pytest.approx([np.sqrt(0.25 * 0.75)])


def test_extremes_are_cut_and_equal_indicators_kept_once():
    x = np.array([[0.0, 1.0, 1.0], [1.0, NAN, NAN], [0.5, 2.0, 3.0]])
    design = Design.fit(examples(x, [[0]] * 3, [0, 0, 0]))
    assert design.cells.tolist() == [1]
    assert design.apply(np.array([[1e9, 1.0, 1.0]]), np.zeros((1, 1)))[0, 0] == 10.0


def test_pattern_matrix_has_every_code_that_varies_and_no_numbers():
    rows = small()
    design = Design.fit(rows, values=False, presence=True)
    assert design.codes.tolist() == [[0, 0], [0, 1], [1, 0], [1, 2]]
    found = design.apply(rows.x, rows.absence)
    assert found.tolist() == [[1, 0, 1, 0], [1, 0, 0, 1], [0, 1, 1, 0], [1, 0, 0, 1]]


def test_design_survives_json():
    rows = small()
    design = Design.fit(rows)
    again = Design.from_json(json.loads(json.dumps(design.to_json())))
    np.testing.assert_array_equal(
        again.apply(rows.x, rows.absence), design.apply(rows.x, rows.absence)
    )
    blank = Design.fit(examples([[1.0]], [[0]], [0]))
    assert Design.from_json(json.loads(json.dumps(blank.to_json()))).width == 0


# -- practice losses


def test_copies_lose_values_and_nothing_else():
    rng = np.random.default_rng(0)
    absence = np.where(rng.random((2000, 4)) < 0.2, NOT_MEASURED, PRESENT)
    x = np.where(absence == PRESENT, rng.normal(size=(2000, 4)), NAN)
    rows = examples(x, absence, [0, 1, 2, 3], target=np.arange(2000))
    rows = rows.take(rows.present.any(axis=1))
    both = rows.with_losses(seed=1)
    n = len(rows)
    np.testing.assert_array_equal(both.x[:n], rows.x)
    copy = both.take(np.arange(n, len(both)))
    origin = copy.target.astype(int)
    assert len(set(origin)) == len(copy) > 0.7 * n
    assert copy.present.any(axis=1).all()
    lost = copy.absence == LOST
    assert np.isnan(copy.x[lost]).all()
    np.testing.assert_array_equal(copy.x[~lost], x[origin][~lost])
    np.testing.assert_array_equal(copy.absence[~lost], absence[origin][~lost])
    # NOT_MEASURED is overwritten as often as PRESENT: a loss tells nothing of what was there
    assert (absence[origin][lost] == NOT_MEASURED).mean() == pytest.approx(0.2, abs=0.03)
    again = rows.with_losses(seed=1)
    np.testing.assert_array_equal(again.absence, both.absence)
    other = rows.with_losses(seed=2)
    assert other.absence.shape != both.absence.shape or (other.absence != both.absence).any()


def test_rows_that_lost_much_are_left_as_they_are_in_part():
    rng = np.random.default_rng(0)
    absence = np.where(rng.random((4000, 10)) < 0.6, LOST, PRESENT)
    rows = examples(np.where(absence == 0, 1.0, NAN), absence, np.arange(10))
    copy = rows.with_losses(seed=1)
    more = (copy.absence[4000:] == LOST).mean()
    # u above .6 in 2 of 5 copies, on average half of the rest is lost then: .6 + .4 * .4 / 2 = .68,
    # less the rows that would have nothing
    assert 0.6 < more < 0.69


def test_copies_of_a_lone_modality_are_whole():
    rows = examples([[1.0]] * 50, [[0]] * 50, [0])
    assert (rows.with_losses(seed=0).absence == PRESENT).all()


# -- rows to choose on


def test_many_validation_rows_are_used_alone():
    held = np.arange(300) >= 100
    rows = examples(
        np.ones((300, 1)), np.zeros((300, 1)), [0], target=np.arange(300) % 2, held=held
    )
    ((fit, score),) = selection_pairs(rows, classes=True, folds=5, seed=0)
    np.testing.assert_array_equal(score, held)
    np.testing.assert_array_equal(fit, ~held)


@pytest.mark.parametrize(("held", "rare"), [(99, 2), (200, 20), (0, 2), (300, 2)])
def test_few_or_uneven_ones_make_folds(held, rare):
    target = (np.arange(300) % rare == 0) * 1.0
    rows = examples(
        np.ones((300, 1)), np.zeros((300, 1)), [0], target=target, held=np.arange(300) < held
    )
    pairs = selection_pairs(rows, classes=True, folds=5, seed=0)
    assert len(pairs) == 5
    assert (np.sum([s for _, s in pairs], axis=0) == 1).all()
    for fit, score in pairs:
        assert (fit ^ score).all()
        assert target[score].sum() == pytest.approx(target.sum() / 5, abs=1)


def test_folds_keep_groups_and_need_two():
    group = np.repeat(np.arange(7), 3)
    rows = examples(np.ones((21, 1)), np.zeros((21, 1)), [0], target=np.arange(21), group=group)
    pairs = selection_pairs(rows, classes=False, folds=5, seed=0)
    for fit, score in pairs:
        assert not set(group[fit]) & set(group[score])
    one = rows.take(group == 0)
    assert selection_pairs(one, classes=False, folds=5, seed=0) == []
    assert len(selection_pairs(rows.take(group < 2), classes=False, folds=5, seed=0)) == 2


# -- joining, merging, spread


def test_gather_joins_and_checks(make_rows):
    train, valid = make_rows(20, weight=np.full(20, 3.0)), make_rows(10, seed=1)
    rows = gather(train, valid.replace(row_id=np.char.add("v", valid.row_id)))
    assert len(rows) == 30
    assert rows.held.tolist() == [False] * 20 + [True] * 10
    assert rows.weight.mean() == pytest.approx(1.0)
    assert rows.weight[0] == pytest.approx(3 * rows.weight[-1])
    np.testing.assert_array_equal(rows.x[:20], numbers(train).x)
    assert len(set(rows.group)) == 30
    assert len(gather(train, valid[:0])) == 20
    with pytest.raises(DataError, match="must have the same columns"):
        gather(train, valid.select(["a"]))
    with pytest.raises(DataError, match="known target"):
        gather(train, valid.replace(target=None))


def test_a_label_takes_its_own_known_rows():
    target = np.array([[0, NAN], [NAN, 1], [1, 1]])
    rows = examples(np.arange(3.0)[:, None], np.zeros((3, 1)), [0], target=target)
    assert rows.label(0).x[:, 0].tolist() == [0, 2]
    assert rows.label(1).target.tolist() == [1, 1]


def test_settings_of_folds_are_averaged():
    found = _merge([{"max_iter": 10, "impute": True}, {"max_iter": 15, "impute": True}])
    assert found == {"max_iter": 12, "impute": True}


def test_error_by_number_of_modalities():
    count = np.repeat([1, 2, 3], [40, 29, 31])
    loss = np.repeat([4.0, 9.0, 1.0], [40, 29, 31])
    std = _spread(Held(loss, loss, np.ones(100), count), 3, 7.0)
    whole = np.sqrt(loss.mean())
    assert std == pytest.approx([whole, 2.0, whole, 1.0])
    assert _spread(None, 2, 7.0).tolist() == [7.0] * 3
    assert _spread(Held(*(np.zeros(1),) * 4), 1, 0.0).tolist() == [1e-3] * 2


def test_columns_of_absence_are_left_to_the_design(make_rows):
    assert numbers(make_rows(3)).names == ("a:x0", "a:x1", "a:x2", "b:x0", "b:x1")
