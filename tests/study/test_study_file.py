"""Study files: fields, paths, changes, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from amodal.errors import SettingError, StorageError, UnknownNameError
from amodal.study import Plan, read_study_file

TEXT = """
data = "rows"
methods = ["aum", "mean"]
rates = [0.5, 0]
seeds = 2
margin = 0.01

[settings.neural]
epochs = 3
width = 8
"""


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "plan.toml"
    path.write_text(TEXT)
    return path


def test_fields_and_the_path_of_the_data(file, tmp_path):
    settings = {"neural": {"epochs": 3, "width": 8}}
    expected = Plan(
        str(tmp_path / "rows"),
        ("aum", "mean"),
        rates=(0, 0.5),
        seeds=2,
        margin=0.01,
        settings=settings,
    )
    assert read_study_file(file) == expected


def test_builtin_data_have_no_path(file):
    file.write_text(TEXT.replace('"rows"', '"builtin:digits"'))
    assert read_study_file(file).data == "builtin:digits"


def test_changes_win_and_settings_join(file):
    changes = {
        "data": "here",
        "rates": (0.3,),
        "settings": {"neural": {"epochs": 9}, "*": {"a": 1}},
    }
    plan = read_study_file(file, changes)
    assert (plan.data, plan.rates, plan.margin) == ("here", (0.3,), 0.01)
    assert plan.settings == {"neural": {"epochs": 9, "width": 8}, "*": {"a": 1}}


@pytest.mark.parametrize(
    ("text", "error", "words"),
    [
        (TEXT.replace("rates", "rate"), UnknownNameError, "did you mean 'rates'"),
        (TEXT.replace("methods", "#"), SettingError, "names 'methods'"),
        (TEXT + "\n[neural", SettingError, "written in TOML"),
        (TEXT.replace("0.01", "2"), SettingError, "margin must lie between 0 and 1"),
        (TEXT.replace("0.5", "1.5"), SettingError, "rate must lie between 0 and 1"),
        ("settings = 3\ndata = 'x'\nmethods = 'mean'", SettingError, "table per method"),
        ("data = 'x'\nmethods = 'mean'\n[settings]\nepochs = 3", SettingError, "table per method"),
    ],
)
def test_refused(file, text, error, words):
    file.write_text(text)
    with pytest.raises(error, match=words):
        read_study_file(file)


def test_no_file(tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        read_study_file(tmp_path / "none.toml")
    with pytest.raises(StorageError, match="cannot be read"):
        read_study_file(tmp_path)


STUDIES = sorted((Path(__file__).parents[2] / "studies").glob("*.toml"))


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: p.stem)
def test_study_files_of_the_project_can_be_run(path):
    from amodal.model import make_model

    plan = read_study_file(path)
    assert plan.metrics
    for spec in plan.methods:
        make_model(spec)
