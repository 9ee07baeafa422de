"""Files of tuned settings in a study: who wins, and what is refused."""

from __future__ import annotations

import pytest

from amodal.errors import SettingError, StorageError
from amodal.study import Plan, read_study_file
from amodal.study.tuned import FORMAT, read_tuned, toml_text, with_tuned

HEAD = {**FORMAT, "trials": 20, "seconds": 0.0, "metric": "log_loss", "data": "d", "seed": 0}


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "tuned.toml"
    text = toml_text({"tuned": HEAD})
    text += '\n[settings.mean]\nlr = 0.005\nwidth = 64\n[settings."qmf:rank=0.2"]\nlr = 0.002\n'
    path.write_text(text)
    return path


def test_stated_settings_win(file):
    plan = Plan(
        "d",
        ("mean", "mean:width=16", "qmf:rank=0.2", "pattern"),
        settings={"neural": {"lr": 1.0, "epochs": 3}, "mean:width=16": {"lr": 0.1}},
    )
    found = with_tuned(plan, file)
    assert found.settings == {
        "neural": {"lr": 1.0, "epochs": 3},
        "mean": {"lr": 0.005, "width": 64},
        "mean:width=16": {"lr": 0.1},
        "qmf:rank=0.2": {"lr": 0.002},
    }
    assert found.tuned.startswith("tuned.toml: 20 trials for each method, by log_loss")
    assert plan.settings != found.settings  # the plan itself is left alone
    assert Plan.from_json(found.to_json()) == found


def test_a_study_file_names_it(file, tmp_path):
    plan = tmp_path / "plan.toml"
    plan.write_text(
        'data = "d"\nmethods = ["mean"]\ntuned = "tuned.toml"\n[settings.mean]\nlr = 1\n'
    )
    assert read_study_file(plan).settings == {"mean": {"lr": 1, "width": 64}}
    other = tmp_path / "other.toml"
    other.write_text(file.read_text().replace("64", "16"))
    assert read_study_file(plan, {"tuned": other}).settings["mean"]["width"] == 16
    plan.write_text('data = "d"\nmethods = ["mean"]\ntuned = 3\n')
    with pytest.raises(SettingError, match="tuned names a file"):
        read_study_file(plan)


def test_refused(file, tmp_path):
    with pytest.raises(StorageError, match="cannot be read"):
        read_tuned(tmp_path / "none.toml")
    with pytest.raises(SettingError, match="tuned settings are of methods of the study"):
        with_tuned(Plan("d", ("forest",)), file)
    for text in ("lr = 3", "[tuned]\nformat = 'x'", "no toml ["):
        (tmp_path / "bad.toml").write_text(text)
        with pytest.raises(SettingError):
            read_tuned(tmp_path / "bad.toml")
