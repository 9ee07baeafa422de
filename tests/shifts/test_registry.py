"""Shifts by name: making, describing, storing as JSON and reading back."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError

import pytest

from amodal.data.dataset import Dataset
from amodal.errors import SettingError, UnknownNameError
from amodal.shifts import SHIFTS, Mcar, NoShift, Shift, make_shift, shift_class, shift_from_json

EXAMPLES = [
    make_shift("none"),
    make_shift("mcar", 0.3, 7, keep_one=True, modalities=["a", "b"], rates={"a": 0.1}),
    make_shift("mnar", 0.3, 7, odds_ratio=2.5, by="extreme"),
    make_shift("mnar-severity", 0.3, folds=3, positive="died"),
    make_shift("mnar-target", 0.5, positive="died", odds_ratio=9),
    make_shift("noise", severity=2.0, modalities=("labs",)),
    make_shift("pure-noise", 0.5, 3),
    make_shift("missing_cells", 0.2),
    make_shift("text-noise", severity=0.2, how="swap"),
    make_shift("image-noise", severity=2, how="occlusion", modalities=("photo",)),
    make_shift("audio-noise", 0.5, severity=2.0),
    make_shift("codes-noise", how="replace"),
    make_shift("mar", 0.3, 7, given=("static/age", "labs"), rates={"notes": 0.5}),
    make_shift("natural", 0.2, 7, source="builtin:digits"),
    make_shift("swap", 0.5, 3, modalities="labs"),
]


def test_every_shift_is_listed_under_its_name() -> None:
    assert {s.name for s in EXAMPLES} == set(SHIFTS)
    for name, cls in SHIFTS.items():
        assert cls.name == name
        assert cls.title
        assert cls.__doc__


@pytest.mark.parametrize("shift", EXAMPLES, ids=lambda s: s.name)
def test_json_and_back(shift: Shift) -> None:
    stored = json.loads(json.dumps(shift.to_json(), allow_nan=False))
    assert stored["shift"] == shift.name
    assert shift_from_json(stored) == shift
    assert shift_from_json({**stored, "learned": {"intercept": 1.0}}) == shift
    assert hash(shift_from_json(stored)) == hash(shift)


@pytest.mark.parametrize("shift", EXAMPLES, ids=lambda s: s.name)
def test_described_in_one_sentence(shift: Shift) -> None:
    text = shift.describe()
    assert text[0].isupper()
    assert text.endswith(".")
    assert ". " not in text
    for name in shift.modalities or ():
        assert name in text


def test_descriptions_in_full() -> None:
    assert [s.describe() for s in EXAMPLES[1:]] == [
        "Lost completely at random: each of the modalities a, b of each row, measured or not, with "
        "probability 0.3, a with 0.1, but no row loses all that it has.",
        "Lost not at random: each modality of each row with mean probability 0.3, the odds times "
        "2.5 per standard deviation by which its own values lie further from the median.",
        "Lost not at random: each modality of each row with mean probability 0.3, the odds times 3 "
        "per standard deviation of the severity of the case, as models predict it that were fitted "
        "without the row's own label.",
        "Lost not at random: each modality of each row with mean probability 0.5, the odds times 9 "
        "by the target itself; a stress test that puts the label into the pattern of loss.",
        "Gaussian noise of 2 standard deviations of each feature is added to labs.",
        "The values of every modality (in 50% of the rows) are replaced by noise: numbers by 1 "
        "standard deviation around the mean of each feature.",
        "Each cell of every modality of kind table goes missing with probability 0.2.",
        "In every modality of kind text, each word changes places with the next with probability 20%.",
        "In photo, a black field covers a part, severity 2.",
        "In every modality of kind audio (in 50% of the rows), white noise is added, 6.02 dB above the "
        "signal.",
        "In every modality of kind codes, each code is replaced by a random one with probability 30%.",
        "Lost at random given others: each modality but static, labs of each row with mean probability "
        "0.3, notes with 0.5, the odds times 3 per standard deviation by which static/age, labs lie "
        "higher.",
        "Lost by the patterns that occur of another data set: each modality of each row with mean "
        "probability 0.2, together with those that are absent with it.",
        "The values of labs (in 50% of the rows) come from other rows.",
    ]


def test_names_that_are_not_known() -> None:
    with pytest.raises(UnknownNameError, match="unknown shift 'mnar-sevrity': did you mean 'mnar-"):
        make_shift("mnar-sevrity", 0.5)
    with pytest.raises(UnknownNameError, match="setting of shift 'mcar' 'keepone': did you mean"):
        make_shift("mcar", 0.5, keepone=True)
    with pytest.raises(UnknownNameError, match="unknown setting of shift 'mcar' 'odds'"):
        shift_from_json({"shift": "mcar", "rate": 0.1, "odds": 2})
    with pytest.raises(SettingError, match="must name itself under 'shift'"):
        shift_from_json({"rate": 0.1})


def test_rate_is_needed_where_there_is_no_default() -> None:
    with pytest.raises(SettingError, match="shift 'mcar' needs a rate between 0 and 1; got none"):
        make_shift("mcar")
    with pytest.raises(SettingError, match="needs a rate"):
        make_shift("missing-cells")
    assert make_shift("noise").rate == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"rate": 0.5, "modalities": 5}, "modalities must be a sequence of names; got 5"),
        ({"rate": 0.5, "modalities": [1, "a"]}, "modalities must be a sequence of names"),
        ({"rate": 0.5, "rates": 3}, "rates must map names of modalities to rates; got 3"),
        ({"rate": 0.5, "rates": ["a"]}, "rates must map names"),
        ({"rate": 0.5, "rates": {"a": None}}, "the rate of modality 'a' must lie between"),
        ({"rate": None}, "needs a rate"),
        ({"rate": 0.5, "seed": None}, "a seed must be an integer"),
    ],
)
def test_garbage_in_a_stored_shift_is_named(settings: dict, text: str) -> None:
    with pytest.raises(SettingError, match=text):
        shift_from_json({"shift": "mcar", **settings})


def test_no_shift() -> None:
    data = Dataset.from_arrays({"a": [[1.0]]})
    assert make_shift("none", 0.0)(data) is data
    with pytest.raises(SettingError, match=r"its rate is 0; got 0\.5; name another shift"):
        NoShift(0.5)


def test_frozen_and_plain_values() -> None:
    shift = Mcar(0.5)
    with pytest.raises(FrozenInstanceError):
        shift.rate = 0.1  # type: ignore[misc]
    assert shift_class("missing_cells") is SHIFTS["missing-cells"]


def test_import_needs_neither_torch_nor_scikit_learn() -> None:
    code = (
        "import sys, amodal.shifts; "
        "print(*sorted({'torch', 'sklearn', 'pyarrow', 'pandas'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
