"""Every example runs and prints numbers that make sense."""

from __future__ import annotations

import re
import runpy
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
LONGEST = 40


@pytest.fixture
def output(capsys):
    """output(name) -> what the example prints."""

    def function(name: str) -> str:
        runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")
        return capsys.readouterr().out

    return function


def numbers(pattern: str, text: str) -> list[float]:
    """The groups of all places where `pattern` fits, as numbers."""
    found = re.findall(pattern, text)
    return [float(x) for x in (f if isinstance(f, tuple) else (f,) for f in found) for x in x]


@pytest.mark.slow
def test_quickstart_loses_accuracy_and_confidence(output) -> None:
    text = output("quickstart")
    whole, half = numbers(r"accuracy ([\d.]+)", text)
    assert whole > 0.85
    assert 0.5 < half < whole
    sure, less = numbers(r"confidence ([\d.]+)", text)
    assert less < sure
    reliance = numbers(r"present +reliance ([\d.]+)", text)
    assert len(reliance) == 2
    assert 0 < sum(reliance) <= 1.01
    assert numbers(r"lost +reliance ([\d.]+) +reliability ([\d.]+)", text) == [0.0] * 4


@pytest.mark.slow
def test_own_tables_predict_a_sick_patient(output) -> None:
    text = output("own_tables")
    assert "history: table, crp: table, gas: table" in text
    assert numbers(r"probability of 'yes': ([\d.]+)", text)[0] > 0.4
    assert numbers(r"gas +reliance ([\d.]+)", text) == [0.0]
    assert numbers(r"crp +reliance ([\d.]+)", text)[0] > 0.1


@pytest.mark.slow
def test_shifts_and_metrics_agree_with_themselves(output) -> None:
    text = output("shifts_and_metrics")
    lost = numbers(r"lost ([\d.]+)%", text)
    assert lost[0] == 0
    assert abs(lost[1] - 30) < 5
    assert abs(lost[2] - 60) < 5
    aum, mean, gap = (
        numbers(rf"auroc of {name} +([+-][\d.]+)", text)
        for name in ("aum", "mean", "aum minus mean")
    )
    assert min(aum + mean) > 0.6
    assert [x - y for x, y in zip(aum, mean, strict=True)] == pytest.approx(gap, abs=2e-3)


def test_all_examples_are_tested_and_short() -> None:
    paths = sorted(EXAMPLES.glob("*.py"))
    assert [p.stem for p in paths] == ["own_tables", "quickstart", "shifts_and_metrics"]
    for path in paths:
        assert len(path.read_text().splitlines()) <= LONGEST, path.name
