"""The ten-answer accuracy against cases worked out by hand from the official evaluation code."""

from __future__ import annotations

import numpy as np
import pytest

from amodal.errors import DataError
from amodal.metrics.vqa import normalise_answer, vqa_accuracy, vqa_scores


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("  Yes\n", "yes"),
        ("the  red bus", "red bus"),
        ("A", ""),
        ("Three", "3"),
        ("none", "0"),
        ("eleven", "eleven"),
        ("dont", "don't"),
        ("Im", "im"),  # the official table has "Im", which small letters never meet
        ("shes", "shes"),  # and no such entry
        ("somebody'd", "somebodyd"),
        ("couldnt've", "couldn't've"),
        ("couldntve", "couldntve"),
        ("yall'd've", "y'all'd've"),
        ("twas", "'twas"),
        ("it's", "it's"),
        ("black-white", "black white"),
        ("black - white", "black white"),
        ("black- white", "black white"),
        ("t-shirt, blue", "t shirt blue"),
        ("1,000", "1000"),
        ("1,000 t-shirts", "1000 tshirts"),
        ("3.5 ft.", "3.5 ft"),
        ("e.g.3", "eg.3"),
        ("5:30", "5:30"),
        ("what?!", "what"),
    ],
)
def test_answers_are_normalised_as_the_official_code_does(text, expected):
    assert normalise_answer(text) == expected


@pytest.mark.parametrize(
    ("agree", "expected"), [(0, 0), (1, 0.3), (2, 0.6), (3, 0.9), (4, 1), (10, 1)]
)
def test_of_ten_people_so_many_agree(agree, expected):
    people = ["red"] * agree + [f"other {k}" for k in range(10 - agree)]
    assert vqa_scores(["red"], [people])[0] == pytest.approx(expected)


def test_the_mean_over_subsets_by_brute_force():
    rng = np.random.default_rng(0)
    for size in range(1, 12):
        people = [str(x) for x in rng.integers(0, 3, size)]
        each = [
            min(sum(p == "1" for j, p in enumerate(people) if j != left) / 3, 1)
            for left in range(size)
        ]
        assert vqa_scores(["1"], [people])[0] == pytest.approx(np.mean(each))


def test_people_who_all_say_the_same_are_taken_at_their_word():
    assert vqa_scores(["t-shirt"], [["t-shirt"] * 10])[0] == 0
    assert vqa_scores(["t-shirt"], [["t-shirt"] * 9 + ["shirt"]])[0] == 1


def test_accuracy_is_the_mean():
    assert vqa_accuracy(["a cat", "no"], [["cat"] * 10, ["yes"] * 10]) == 0.5
    assert np.isnan(vqa_accuracy([], []))


def test_what_has_no_people_is_refused():
    with pytest.raises(DataError, match="1 have none"):
        vqa_scores(["a", "b"], [["a"], []])
    with pytest.raises(DataError, match="2 answers and 1 lists"):
        vqa_scores(["a", "b"], [["a"]])
    with pytest.raises(DataError, match="1 have none"):
        vqa_scores(["a"], ["a"])
