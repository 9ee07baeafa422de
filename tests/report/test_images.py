"""Images of digits as a method saw them."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import matplotlib as mpl
import numpy as np
import pytest
from sklearn.datasets import load_digits

from amodal.data.builtin import digits
from amodal.report.images import Image, _images, _panel, image_panels
from amodal.report.style import rc
from amodal.study.predictions import Predicted
from amodal.types import LOST, PRESENT


@pytest.fixture(scope="module")
def cell():
    """Predictions of two test rows, the second without its top right and bottom left."""
    data = digits()
    rows = np.array([17, 42])
    absence = np.full((2, 4), PRESENT, dtype=np.int8)
    absence[1, [1, 2]] = LOST
    p = np.full((2, 10), 0.05)
    p[:, 7] = 0.55
    told = np.array([[0.1, 0.2, 0.3, 0.4], [0.25, 0.0, 0.0, 0.75]])
    predicted = Predicted(
        data.task,
        data.names,
        data.row_id[rows],
        data.target[rows],
        {"probability": p},
        absence,
        None,
        None,
        reliability=told,
        reliance=None,
    )
    return SimpleNamespace(predicted=predicted)


def test_pixels_shares_and_words_are_those_of_the_row(cell):
    (image,) = _images(digits(), cell.predicted, "reliability")
    bunch = load_digits()
    assert np.array_equal(image.pixels, bunch.images[42])
    expected = {"top_left": 0.25, "top_right": None, "bottom_left": None, "bottom_right": 0.75}
    assert image.shares == expected
    assert (image.said, image.truth) == ("7 (0.55)", str(bunch.target[42]))


def test_what_is_drawn_is_told_in_words(cell):
    with mpl.rc_context(rc()):
        drawing = _panel(
            _images(digits(), cell.predicted, "reliability"),
            name="images-0",
            title="AUM",
            told="at 0.5",
        )
    assert "top left 0.25, top right absent, bottom left absent" in drawing.alt
    assert drawing.svg.count("0.75</text>") == 1
    assert f"is {load_digits().target[42]}" in drawing.svg


def test_rows_of_other_data_are_not_shown():
    other = {"name": "ward", "modalities": [{"name": n} for n in digits().names]}
    assert image_panels(SimpleNamespace(data=other)) == []
    for names in (["labs"], digits().names):
        renamed = {"name": "digits", "modalities": [{"name": n} for n in names], "fingerprint": "x"}
        assert image_panels(SimpleNamespace(data=renamed)) == []


def test_nothing_is_drawn_where_nothing_is_absent(cell):
    whole = replace(cell.predicted, absence=np.zeros_like(cell.predicted.absence))
    facts = {"name": "digits", "fingerprint": digits().fingerprint()}
    study = SimpleNamespace(
        data=facts,
        mechanisms=("none",),
        methods=("aum",),
        focus=("aum",),
        rates=lambda mechanism: (0.0,),
        group=lambda method, at: [SimpleNamespace(predicted=whole)],
    )
    assert image_panels(study) == []
    study.group = lambda method, at: [cell]
    assert len(image_panels(study)) == 1


def test_an_image_is_a_value():
    one = Image(((0.0,),), {"top_left": None}, "1 (0.50)", "1")
    assert one == Image(((0.0,),), {"top_left": None}, "1 (0.50)", "1")
