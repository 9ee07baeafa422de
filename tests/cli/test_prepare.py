"""`amodal prepare`: what is written, what is told, and what is refused."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest

from amodal.cli.prepared import show_dataset
from amodal.data.dataset import Dataset
from amodal.data.files import example_spec

SPEC = """
[rows]
file = "rows.csv"
row_id = "id"
target = "ill"

[modality.history]
kind = "table"
columns = ["age", "bmi"]

[modality.labs]
kind = "series"
file = "labs.csv"
row_id = "id"
time = "hour"
variable = "test"
value = "result"
"""


def write_files(folder, *, rows: int = 40, labs: str = "") -> None:
    lines = [f"p{k},{20 + k},{'' if k % 3 else 22.5},{int(k < 4)}" for k in range(rows)]
    (folder / "spec.toml").write_text(SPEC)
    (folder / "rows.csv").write_text("\n".join(["id,age,bmi,ill", *lines]) + "\n")
    told = [f"p{k},{h},ph,7.{h}" for k in range(0, rows, 2) for h in (1, 2)]
    (folder / "labs.csv").write_text("\n".join(["id,hour,test,result", *told]) + "\n" + labs)


def test_files(call, tmp_path):
    write_files(tmp_path, labs="other,1,ph,7.0\n")
    result = call("prepare", "files", tmp_path / "spec.toml", tmp_path / "out")
    assert (result.code, result.bug) == (0, None)
    data = Dataset.load(tmp_path / "out")
    assert len(data) == 40
    assert data.present.sum(axis=0).tolist() == [40, 20]
    lines = result.out.splitlines()
    assert lines[0] == f"Prepared 40 rows in {tmp_path / 'out'}"
    assert lines[1] == "  40 with an outcome"
    # 4 of 40 are ill: that count is hidden, and so is the other, from which it would follow.
    assert lines[2] == "  ill (binary): 0 not shown, 1 <10"
    assert lines[3] == "  raw values: lines of labs without a row <10"
    table = {x.split()[0]: x.split()[1:] for x in lines[5:8]}
    assert table["history"] == ["table", "2", "0.0%", "0.0%"]
    assert table["labs"] == ["series", "1", "50.0%", "0.0%"]
    assert lines[-1] == f"Next: amodal train {tmp_path / 'out'} --method aum --out RUN"


def test_a_set_without_outcomes(call, tmp_path):
    write_files(tmp_path)
    spec = tmp_path / "spec.toml"
    spec.write_text(SPEC.replace('target = "ill"\n', ""))
    result = call("prepare", "files", spec, tmp_path / "out")
    assert result.code == 0
    assert "  without outcomes\n" in result.out
    assert "Next" not in result.out


def test_the_example_is_printed_or_written(call, refused, tmp_path):
    assert call("prepare", "files", "--example").out == example_spec()
    path = tmp_path / "mine.toml"
    assert call("prepare", "files", "--example", path).code == 0
    assert path.read_text(encoding="utf-8") == example_spec()
    assert "is there already" in refused("prepare", "files", "--example", path)
    assert "prepares nothing" in refused("prepare", "files", path, tmp_path, "--example")


def test_files_need_spec_and_folder(refused):
    assert "got neither" in refused("prepare", "files")
    assert "got no folder" in refused("prepare", "files", "spec.toml")


def test_builtin(call, refused, tmp_path):
    result = call("prepare", "builtin", "wdbc", tmp_path / "w")
    assert result.code == 0
    assert "malignant mass (binary): benign 357, malignant 212" in result.out
    assert Dataset.load(tmp_path / "w").fingerprint() == Dataset.load("builtin:wdbc").fingerprint()
    assert refused("prepare", "builtin", "wdcb", tmp_path / "x") == (
        "unknown built-in data set 'wdcb': did you mean 'wdbc'?"
    )
    assert not (tmp_path / "x").exists()


def test_physionet2012(call, refused, tmp_path):
    raw = tmp_path / "raw" / "set-a"
    raw.mkdir(parents=True)
    for k in range(3):
        (raw / f"{100 + k}.txt").write_text(
            f"Time,Parameter,Value\n00:00,RecordID,{100 + k}\n00:00,Age,{60 + k}\n"
            "00:07,HR,80\n00:37,HR,-5\n01:00,Lactate,2.1\n"
        )
    (tmp_path / "raw" / "Outcomes-a.txt").write_text(
        "RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
        + "".join(f"{100 + k},1,1,5,-1,{k % 2}\n" for k in range(3))
    )
    result = call("prepare", "physionet2012", tmp_path / "raw", tmp_path / "out")
    assert (result.code, result.bug) == (0, None)
    assert "Prepared <10 rows" in result.out
    assert "in-hospital death (binary): survived <10, died <10" in result.out
    assert Dataset.load(tmp_path / "out").shape == (3, 11)
    again = call("prepare", "physionet2012", raw, tmp_path / "days", "--outcome", "length_of_stay")
    assert "(regression)\n" in again.out  # no mean of three patients
    assert "unknown outcome" in refused(
        "prepare", "physionet2012", raw, tmp_path / "no", "--outcome", "death"
    )
    assert not (tmp_path / "no").exists()


def test_a_folder_of_something_else_is_refused_before_anything_is_read(refused, tmp_path):
    (tmp_path / "mine.txt").write_text("precious")
    message = refused("prepare", "physionet2012", tmp_path / "no raw", tmp_path)
    assert "holds something else" in message
    assert os.listdir(tmp_path) == ["mine.txt"]


def test_the_classes_of_many_are_cut(capsys, tmp_path):
    target = np.repeat(np.arange(20.0), 12)
    show_dataset(Dataset.from_arrays({"a": np.ones((240, 1))}, target), tmp_path)
    line = next(x for x in capsys.readouterr().out.splitlines() if "multiclass" in x)
    assert line.endswith("11 12, ...")


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT])
def test_a_full_disk_leaves_nothing(refused, tmp_path, monkeypatch, number):
    write_files(tmp_path)

    def full(*args, **options):
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr("pyarrow.parquet.write_table", full)
    message = refused("prepare", "files", tmp_path / "spec.toml", tmp_path / "out")
    assert os.strerror(number) in message
    assert sorted(os.listdir(tmp_path)) == ["labs.csv", "rows.csv", "spec.toml"]
