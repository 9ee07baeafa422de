"""Data sets from a user's own files: specs, joins, formats, errors; and the specs of real sets."""

from __future__ import annotations

import gzip
import json
import os
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from amodal.data.dataset import Dataset
from amodal.data.files import example_spec, prepare_files, read_files
from amodal.errors import AmodalError, DataError, SettingError, StorageError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED, Modality, Task

SPECS = Path(__file__).parents[2] / "examples" / "specs"
NAN = float("nan")

PATIENTS = """patient,hospital,died,age,bmi,sex
p1,A,0,50,20.5,f
p2,A,1,?,NA,m
p3,B,,61,,
p4,B,1,,,
"""
LABS = """patient,hours,test,result
p1,5,lactate,2.0
p1,1,ph,7.4
p1,1,lactate,1.5
p9,1,ph,7.0
p2,0,ph,7.1
p2,0,ph,7.2
p4,3,ph,
"""
DIAGNOSES = """patient,icd10,source
p1,I10,note
p1,038.0,bill
p3,I10,
"""


@pytest.fixture
def home(tmp_path) -> Path:
    """The files that the example spec describes."""
    (tmp_path / "patients.csv").write_text(PATIENTS)
    (tmp_path / "labs.csv").write_text(LABS)
    (tmp_path / "diagnoses.csv").write_text(DIAGNOSES)
    features = np.array([[1, 2], [3, 4], [5, 6], [NAN, NAN]], dtype=np.float32)
    np.savez(tmp_path / "image.npz", features=features, has_image=[1, 0, 1, 1])
    (tmp_path / "notes.csv").write_text("patient,text\np1,slept well\np2,\np3,in pain\n")
    (tmp_path / "photos.csv").write_text("patient,name\np2,two.png\n")
    (tmp_path / "photos").mkdir()
    Image.new("RGB", (4, 4), "red").save(tmp_path / "photos" / "two.png")
    return tmp_path


def read(home: Path, text: str) -> Dataset:
    (home / "spec.toml").write_text(text)
    return read_files(home / "spec.toml")


ROWS = '[rows]\nfile = "patients.csv"\nrow_id = "patient"\n'
AGE = '[modality.age]\ncolumns = ["age"]\n'


def steps(data: Dataset, name: str, row: int) -> dict:
    v = data.values[name]
    j = v.index[row]
    span = slice(v.offsets[j], v.offsets[j + 1])
    return {k: x[span].tolist() for k, x in v.data.items()}


# -- the example ----------------------------------------------------------------------------------


def test_the_example_spec_prepares_the_files_it_describes(home, tmp_path):
    (home / "spec.toml").write_text(example_spec())
    data = prepare_files(home / "spec.toml", tmp_path / "out")
    assert data.row_id.tolist() == ["p1", "p2", "p3", "p4"]
    assert data.group.tolist() == ["A", "A", "B", "B"]
    assert data.task == Task("binary", name="died")
    np.testing.assert_array_equal(data.target, [0, 1, NAN, 1])
    assert data.names == ("history", "labs", "diagnoses", "note", "photo", "image")
    assert data.present.astype(int).tolist() == [
        [1, 1, 1, 1, 0, 1],
        [1, 1, 0, 0, 1, 0],
        [1, 0, 1, 1, 0, 1],
        [0, 0, 0, 0, 0, 0],
    ]
    assert data.values["note"].data["source"].tolist() == ["slept well", "in pain"]
    history = data.values["history"]
    np.testing.assert_array_equal(history.data["numeric"], [[50, 20.5], [NAN, NAN], [61, NAN]])
    assert history.data["categorical"].tolist() == [[0], [1], [-1]]
    assert data.modality("history").levels == {"sex": ("f", "m")}
    assert data.modality("labs").features == ("lactate", "ph")
    assert data.modality("labs").time_unit == "hours"
    p1, p2 = steps(data, "labs", 0), steps(data, "labs", 1)
    assert p1["time"] == [1.0, 5.0]
    np.testing.assert_array_equal(p1["value"], [[1.5, 7.4], [2.0, NAN]])
    assert p2["time"] == [0.0, 0.0]  # measured twice at a time: two steps
    np.testing.assert_array_equal(p2["value"], [[NAN, 7.1], [NAN, 7.2]])
    assert data.modality("diagnoses").vocabulary == ("038.0", "I10")
    assert data.modality("diagnoses").types == ("bill", "note")
    assert steps(data, "diagnoses", 0)["code"] == [1, 0]
    assert steps(data, "diagnoses", 2)["type"] == [-1]
    assert data.values["image"].data["value"].tolist() == [[1, 2], [5, 6]]
    assert data.values["image"].data["value"].dtype == np.float32
    again = Dataset.load(tmp_path / "out")
    assert again.fingerprint() == data.fingerprint()
    assert again.provenance["lines_of_other_rows"] == {"labs": 1}
    assert set(again.provenance["files"]) == {
        "patients.csv",
        "labs.csv",
        "diagnoses.csv",
        "notes.csv",
        "photos.csv",
        "image.npz",
    }
    assert again.provenance["spec"] == tomllib.loads(example_spec())
    assert str(home) not in json.dumps(dict(again.provenance))


def test_the_target_folder_is_checked_before_the_files_are_read(home, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "x").write_text("")
    with pytest.raises(StorageError, match="holds something else"):
        prepare_files(home / "nowhere.toml", tmp_path / "mine")


# -- rows -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("lines", "task", "target"),
    [
        ('target = "died"', Task("binary", name="died"), [0, 1, NAN, 1]),
        ('target = "died"\ntask = "regression"', Task("regression", name="died"), [0, 1, NAN, 1]),
        (
            'target = "age"\nthreshold = 55',
            Task("binary", ("<= 55", "> 55"), "age"),
            [0, NAN, 1, NAN],
        ),
        (
            'target = "hospital"\npositive = "B"\nclasses = ["A", "B"]',
            Task("binary", ("A", "B"), "hospital"),
            [0, 0, 1, 1],
        ),
        (
            'target = "died"\npositive = 0\nclasses = ["1", "0"]',
            Task("binary", ("1", "0"), "died"),
            [1, 0, NAN, 0],
        ),
        ('target = "sex"', Task("binary", ("f", "m"), "sex"), [0, 1, NAN, NAN]),
        (
            'target = "sex"\nclasses = ["m", "x", "f"]',
            Task("multiclass", ("m", "x", "f"), "sex"),
            [2, 0, NAN, NAN],
        ),
        ('target = "age"\ntask = "multiclass"', Task("multiclass", ("50", "61"), "age"), None),
        ('target = ["died"]', Task("multilabel", ("died",)), [[0], [1], [NAN], [1]]),
        ("", None, None),
    ],
)
def test_targets(home, lines, task, target):
    data = read(home, f'{ROWS}{lines}\nmissing = ["", "?", "NA"]\n[modality.b]\ncolumns = ["bmi"]')
    assert data.task == task
    if target is not None:
        np.testing.assert_array_equal(data.target, target)


def test_split_weight_and_no_row_id(home):
    table = "x,part,w\n1,dev,1\n2,,2\n3,test,0.5\n"
    (home / "t.csv").write_text(table)
    data = read(
        home,
        '[rows]\nfile = "t.csv"\nsplit = "part"\nsplit_names = {dev = "valid"}\nweight = "w"\n'
        '[modality.a]\ncolumns = ["x"]',
    )
    assert data.split.tolist() == ["valid", "", "test"]
    assert data.weight.tolist() == [1.0, 2.0, 0.5]
    assert data.row_id.tolist() == ["0", "1", "2"]


def test_npz_rows_with_index_arrays_and_arrays_by_split(home):
    np.savez(
        home / "d.npz",
        y=np.array([3, 5, 3]),
        x=np.arange(6.0).reshape(3, 2),
        tr=[0, 2],
        te=np.array([False, True, False]),
        ids=["u", "v", "w"],
    )
    data = read(
        home,
        '[rows]\nfile = "d.npz"\nrow_id = "ids"\ntarget = "y"\n'
        'split = {train = "tr", test = "te"}\n[modality.a]\narray = "x"\nfeatures = ["p", "q"]',
    )
    assert data.split.tolist() == ["train", "test", "train"]
    assert data.target.tolist() == [0, 1, 0]
    assert data.task.classes == ("3", "5")
    assert data.modality("a").features == ("p", "q")
    assert data.row_id.tolist() == ["u", "v", "w"]
    np.savez(home / "p.npz", y1=["a", "b"], y2=["b"], x1=np.ones((2, 2)), x2=np.zeros((1, 2)))
    data = read(
        home,
        '[rows]\nfile = "p.npz"\ntarget = {test = "y1", train = "y2"}\n'
        '[modality.a]\narray = {train = "x2", test = "x1"}\n[modality.b]\narray = {train = "x2"}',
    )
    assert data.split.tolist() == ["test", "test", "train"]
    assert data.target.tolist() == [0, 1, 1]
    assert data.values["a"].data["numeric"].tolist() == [[1, 1], [1, 1], [0, 0]]
    assert data.present[:, 1].tolist() == [False, False, True]


def test_labels_from_a_matrix(home):
    np.savez(home / "d.npz", y=np.array([[0, 1], [1, 1]]), x=np.ones(2))
    spec = '[rows]\nfile = "d.npz"\ntarget = "y"\ntask = "multilabel"\n[modality.a]\narray = "x"'
    data = read(home, spec)
    assert data.task == Task("multilabel", ("0", "1"), "y")
    assert data.target.tolist() == [[0, 1], [1, 1]]


# -- modalities -----------------------------------------------------------------------------------


def test_a_table_of_another_file_is_joined_by_row_id(home):
    (home / "genes.tsv").write_text(
        "id\tgene_b\tgene_a\tnote\np3\t1\t2\tx\np9\t9\t9\ty\np1\t3\t\tz\n"
    )
    data = read(
        home,
        f'{ROWS}[modality.all]\nfile = "genes.tsv"\nrow_id = "id"\ncategorical = ["note"]\n'
        '[modality.some]\nfile = "genes.tsv"\nrow_id = "id"\ncolumns = ["gene_*"]\nabsent = "lost"',
    )
    assert data.modality("all") == Modality(
        "all", "table", features=("gene_b", "gene_a"), levels={"note": ("x", "z")}
    )
    assert data.values["all"].index.tolist() == [0, -1, 1, -1]
    np.testing.assert_array_equal(data.values["some"].data["numeric"], [[3, NAN], [1, 2]])
    assert data.absence[1].tolist() == [NOT_MEASURED, LOST]


def test_parquet_csv_and_compressed_csv_give_the_same_data_set(home):
    table = pd.read_csv(home / "patients.csv", na_values=["?"])
    pq.write_table(pa.Table.from_pandas(table), home / "patients.parquet")
    with gzip.open(home / "patients.csv.gz", "wt") as file:
        file.write(PATIENTS)
    (home / "semicolon.csv").write_bytes(b"\xef\xbb\xbf" + PATIENTS.replace(",", ";").encode())
    prints = set()
    for name in ("patients.csv", "patients.parquet", "patients.csv.gz", "semicolon.csv"):
        rows = ROWS.replace("patients.csv", name) + 'target = "died"\ngroup = "hospital"\n'
        rows += 'delimiter = ";"\n' if "semi" in name else ""
        data = read(
            home,
            rows + '[modality.h]\ncolumns = ["age", "bmi", "sex"]\ncategorical = ["sex"]\n'
            '[modality.labs]\nkind = "series"\nfile = "labs.csv"\ntime = "hours"\n'
            'variable = "test"\nvalue = "result"\ndelimiter = ","',
        )
        prints.add(data.fingerprint())
    assert len(prints) == 1


def test_categories_that_are_numbers_are_the_same_with_and_without_gaps(home):
    (home / "t.csv").write_text("a,b,c\n1.0,1,007\n,2,1.50\n2.0,1,x\n")
    data = read(
        home,
        '[rows]\nfile = "t.csv"\n[modality.m]\ncolumns = ["a", "b", "c"]\n'
        'categorical = ["a", "b", "c"]',
    )
    assert data.modality("m").levels == {
        "a": ("1", "2"),
        "b": ("1", "2"),
        "c": ("007", "1.50", "x"),
    }


def test_wide_series_and_chosen_variables(home):
    (home / "vitals.csv").write_text("patient,t,hr,sbp\np2,2,80,\np2,1,,120\np1,0,,\n")
    data = read(
        home,
        f'{ROWS}[modality.vitals]\nkind = "series"\nfile = "vitals.csv"\ntime = "t"\n'
        '[modality.ph]\nkind = "series"\nfile = "labs.csv"\ntime = "hours"\n'
        'variable = "test"\nvalue = "result"\ncolumns = ["ph", "never"]',
    )
    assert data.modality("vitals").features == ("hr", "sbp")
    assert data.values["vitals"].index.tolist() == [-1, 0, -1, -1]
    np.testing.assert_array_equal(steps(data, "vitals", 1)["value"], [[NAN, 120], [80, NAN]])
    assert data.modality("ph").features == ("ph", "never")
    np.testing.assert_array_equal(steps(data, "ph", 0)["value"], [[7.4, NAN]])


def test_codes_with_times_are_ordered_by_them(home):
    (home / "e.csv").write_text('patient,code,when\np1,"a,\nb",3\np1,c,\np1,d,1\n')
    data = read(
        home, f'{ROWS}[modality.e]\nkind = "codes"\nfile = "e.csv"\ncode = "code"\ntime = "when"'
    )
    assert data.modality("e").vocabulary == ("a,\nb", "c", "d")
    assert steps(data, "e", 0)["code"] == [2, 0, 1]


def test_embeddings_of_columns_and_of_an_npz_with_row_ids(home):
    np.savez(home / "e.npz", ids=["p4", "p1", "zz"], x=np.array([[1.0, 2], [3, 4], [5, 6]]))
    (home / "e.csv").write_text("patient,u,v\np2,1,2\n")
    data = read(
        home,
        f'{ROWS}[modality.a]\nkind = "embedding"\nfile = "e.npz"\nrow_id = "ids"\narray = "x"\n'
        '[modality.b]\nkind = "embedding"\nfile = "e.csv"',
    )
    assert data.values["a"].index.tolist() == [0, -1, -1, 1]
    assert data.values["a"].data["value"].tolist() == [[3, 4], [1, 2]]
    assert data.modality("b").features == ("u", "v")
    assert data.present[:, 1].tolist() == [False, True, False, False]


def test_long_series_against_pandas(home):
    rng = np.random.default_rng(0)
    long = pd.DataFrame(
        {
            "patient": rng.choice(["p1", "p2", "p3", "p7"], 3000),
            "hours": rng.integers(0, 400, 3000),
            "test": rng.choice(["ph", "k", "na"], 3000),
            "result": rng.normal(size=3000).round(3),
        }
    ).drop_duplicates(["patient", "hours", "test"])
    long.to_csv(home / "labs.csv", index=False)
    data = read(
        home,
        f'{ROWS}[modality.labs]\nkind = "series"\nfile = "labs.csv"\ntime = "hours"\n'
        'variable = "test"\nvalue = "result"',
    )
    wide = long.pivot(index=["patient", "hours"], columns="test", values="result").sort_index()
    for row, name in enumerate(["p1", "p2", "p3"]):
        found, expected = steps(data, "labs", row), wide.loc[name]
        assert found["time"] == expected.index.tolist()
        np.testing.assert_array_equal(found["value"], expected[["k", "na", "ph"]].to_numpy())


def test_files_named_by_an_environment_variable(home, monkeypatch):
    spec = '[rows]\nfile = "${SOME_HOME}/patients.csv"\n' + AGE + '[modality.b]\ncolumns = ["bmi"]'
    monkeypatch.delenv("SOME_HOME", raising=False)
    with pytest.raises(SettingError, match="variable SOME_HOME, which must be set; it is not"):
        read(home, spec)
    monkeypatch.setenv("SOME_HOME", str(home))
    assert len(read(home, spec)) == 4


# -- errors ---------------------------------------------------------------------------------------

LAB = '[modality.l]\nkind = "series"\nfile = "labs.csv"\ntime = "hours"\n'
LONG = LAB + 'variable = "test"\nvalue = "result"\n'
NPZ = '[modality.i]\nkind = "embedding"\nfile = "image.npz"\n'

REFUSED = [
    ("", SettingError, r"needs a section \[rows\]; it has none"),
    ("x = ", SettingError, "a spec is a TOML file; .* is none"),
    ("rows = 3\n" + AGE, SettingError, r"\[rows\] must be a section; got '3'"),
    ("[rows]\n" + AGE, SettingError, r"\[rows\] needs the key 'file'"),
    (ROWS, SettingError, r"needs a section \[modality.NAME\]"),
    (ROWS + "modality = 3", SettingError, r"needs a section \[modality.NAME\]|unknown key"),
    ("[row]\n", UnknownNameError, "unknown key in the spec: 'row': did you mean 'rows'"),
    (ROWS + 'traget = "x"\n' + AGE, UnknownNameError, "'traget': did you mean 'target'"),
    (ROWS + AGE + 'column = ["x"]', UnknownNameError, "'column': did you mean 'columns'"),
    (ROWS + AGE + 'kind = "tabel"', UnknownNameError, "'tabel': did you mean 'table'"),
    (ROWS + AGE + 'kind = "video"', UnknownNameError, r"kind in \[modality.age\]: 'video'"),
    (ROWS + AGE + 'kind = ["table"]', UnknownNameError, "did you mean 'table'"),
    (ROWS + 'task = "binry"\n' + AGE, UnknownNameError, "'binry': did you mean 'binary'"),
    (ROWS + "target = 3\n" + AGE, SettingError, r"'target' in \[rows\] must be a text; got '3'"),
    (ROWS + 'target = "died"\nthreshold = "x"\n' + AGE, SettingError, "must be a number"),
    (ROWS + 'target = "died"\nthreshold = nan\n' + AGE, SettingError, "a finite number"),
    (ROWS + "threshold = 1\n" + AGE, SettingError, "needs a target; it has none"),
    (
        ROWS + 'target = "died"\nthreshold = 1\npositive = 1\n' + AGE,
        SettingError,
        "positive and threshold with task None; keep one",
    ),
    (ROWS + 'delimiter = ";;"\n' + AGE, SettingError, "must be one character"),
    (ROWS + 'missing = "NA"\n' + AGE, SettingError, "must be a list of texts"),
    (ROWS + 'split = {dev = "x"}\n' + AGE, UnknownNameError, "'dev': choose from train"),
    (ROWS + 'split_names = {x = "tset"}\n' + AGE, UnknownNameError, "did you mean 'test'"),
    (ROWS + '[modality."a b"]\ncolumns = ["age"]', DataError, "letters, digits"),
    (ROWS + '[modality.a]\ncolumns = ["age"]\narray = "x"', SettingError, "it has both"),
    (ROWS + AGE + 'present = "x"', SettingError, "goes with `array`"),
    (ROWS + LAB + 'value = "result"', SettingError, "`variable` and `value` together"),
    (ROWS + '[modality.c]\nkind = "codes"', SettingError, "needs the key 'code'"),
    (ROWS + "[modality.a]\n", SettingError, "needs `columns` of patients.csv"),
    (ROWS.replace("patients.csv", "no.csv") + AGE, StorageError, "no such file; check the spec"),
    (ROWS.replace("patients.csv", "spec.toml") + AGE, SettingError, "must be .csv, .tsv"),
    (ROWS.replace("patients.csv", ".") + AGE, StorageError, "no such file"),
    (ROWS.replace('"patient"', '"patientt"') + AGE, UnknownNameError, "did you mean 'patient'"),
    (ROWS.replace('"patient"', '"hospital"') + AGE, DataError, "must be unique; 2 lines of pat"),
    (ROWS.replace('"patient"', '"sex"') + AGE, DataError, "needs a name in 'sex'; 2 have none"),
    (ROWS + 'target = "age"\n' + AGE, DataError, r"\[modality.age\] has 'age'; leave it out"),
    (ROWS + '[modality.a]\ncolumns = ["patient"]', DataError, "must not hold the answer"),
    (ROWS + '[modality.a]\ncolumns = ["agee"]', UnknownNameError, "patients.csv: 'agee'"),
    (ROWS + '[modality.a]\ncolumns = ["x*"]', DataError, "none fits; correct the spec"),
    (
        ROWS + '[modality.a]\ncolumns = ["sex"]',
        DataError,
        "'sex' of patients.csv must hold numbers",
    ),
    (ROWS + 'missing = [""]\n' + AGE, DataError, "must hold numbers; some cells hold text"),
    (ROWS + AGE + 'categorical = ["sex"]', SettingError, "'sex' is none; add it to `columns`"),
    (ROWS + 'weight = "sex"\n' + AGE, DataError, "'sex' of patients.csv must hold numbers"),
    (ROWS + 'weight = "died"\n' + AGE, DataError, "weights must be positive"),
    (ROWS + 'group = "sex"\n' + AGE, DataError, "group must be known for every row; 2 rows"),
    (ROWS + 'split = "hospital"\n' + AGE, DataError, "split must be one of"),
    (ROWS + 'target = "bmi"\npositive = "7"\n' + AGE, DataError, "no row has '7'; correct"),
    (ROWS + 'target = "hospital"\ntask = "regression"\n' + AGE, DataError, "must hold numbers"),
    (ROWS + 'target = "patient"\ntask = "binary"\n' + AGE, DataError, "got 4; say which is the"),
    (
        ROWS + 'target = "bmi"\ntask = "binary"\n' + AGE,
        DataError,
        "needs classes; the target has 1",
    ),
    (ROWS + 'target = ["died"]\ntask = "binary"\n' + AGE, SettingError, "make a multilabel task"),
    (ROWS + 'target = {train = "died"}\nsplit = "sex"\n' + AGE, SettingError, "leave `split` out"),
    (ROWS + LAB + 'row_id = "nope"', UnknownNameError, "column of labs.csv: 'nope'"),
    (ROWS + LAB + 'row_id = "test"', DataError, "none of its 7 lines belongs to a row"),
    (ROWS + LAB + 'columns = ["test"]', DataError, "'test' of labs.csv must hold numbers"),
    (
        ROWS + '[modality.l]\nkind = "series"\nfile = "labs.csv"\ntime = "result"\n'
        'variable = "test"\nvalue = "hours"',
        DataError,
        "each step of series 'l' needs a time; 1 of them have none",
    ),
    ('[rows]\nfile = "patients.csv"\n' + LONG, SettingError, r"so that \[rows\] needs a row_id"),
    (
        ROWS + '[modality.l]\nfile = "labs.csv"\ncolumns = ["hours"]',
        DataError,
        "lines of labs.csv re",
    ),
    (ROWS + '[modality.a]\narray = "x"', SettingError, "an array of an .npz file; patients.csv"),
    (ROWS + NPZ + 'array = "featurs"', UnknownNameError, "did you mean 'features'"),
    (ROWS + NPZ + 'array = "has_image"\npresent = "features"', DataError, "must hold numbers"),
    (ROWS + NPZ + 'array = {train = "features"}', SettingError, "need a target by split"),
    (ROWS + NPZ + 'array = "features"\nfeatures = ["x"]', DataError, "names 1 dimensions; its"),
    (ROWS + NPZ + 'array = "features"\nrow_id = "has_image"', DataError, "none of its 4 lines"),
]


@pytest.mark.parametrize(("spec", "error", "message"), REFUSED)
def test_bad_specs_are_one_sentence(home, spec, error, message):
    with pytest.raises(error, match=message) as caught:
        read(home, spec)
    assert "\n" not in str(caught.value)
    assert not {"50", "p1", "20.5"} & set(str(caught.value).replace("'", " ").split())


@pytest.mark.parametrize(
    ("name", "raw", "message"),
    [
        ("x.csv", b"", "cannot be read: it is truncated, damaged"),
        ("x.csv", b"patient,age\n", "needs rows; x.csv has none"),
        ("x.csv", b"patient,age\np1,1,2\n", "check the file and its delimiter"),
        ("x.csv", b"patient,age\np1,\xff\n", "not encoded as UTF-8; save it as UTF-8"),
        ("x.csv", b"patient,age,age\np1,1,2\n", "'age' repeats; rename it"),
        ("x.csv", b"patient,age\np1,inf\n", "must hold finite numbers"),
        ("x.csv.gz", b"not gzip", "could not be read|cannot be read"),
        ("x.parquet", b"PAR1", "cannot be read: it is truncated"),
        ("x.npz", b"PK", "cannot be read: it is truncated"),
        ("x.npz", b"\x80\x04N.", "cannot be read"),
    ],
)
def test_unreadable_files(home, name, raw, message):
    (home / name).write_bytes(raw)
    with pytest.raises(AmodalError, match=message) as caught:
        read(home, ROWS.replace("patients.csv", name) + AGE)
    assert "\n" not in str(caught.value)


def test_a_truncated_gzip_and_objects_in_an_npz(home):
    whole = gzip.compress(PATIENTS.encode() * 500)
    (home / "x.csv.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(AmodalError, match=r"x\.csv\.gz"):
        read(home, ROWS.replace("patients.csv", "x.csv.gz") + AGE)
    np.savez(home / "o.npz", y=np.array([0, 1]), x=np.array([{}, {}], dtype=object))
    with pytest.raises(DataError, match="cannot be read"):
        read(home, '[rows]\nfile = "o.npz"\ntarget = "y"\n[modality.a]\narray = "x"')


@pytest.mark.parametrize(
    ("arrays", "lines", "message"),
    [
        ({"t": [0, 1], "s": [1]}, 'split = {train = "t", test = "s"}', "rows of 's' in d.npz are"),
        ({"t": [0, 5]}, 'split = {train = "t"}', "row positions from 0 to 2"),
        ({"t": [-1]}, 'split = {train = "t"}', "row positions from 0 to 2"),
        ({"t": [0.5]}, 'split = {train = "t"}', "row positions from 0 to 2"),
        ({"t": [0, 0]}, 'split = {train = "t"}', "a row is in one split"),
        ({"g": ["a"]}, 'group = "g"', r"one entry per row \(3\); got shape \(1,\)"),
        ({"g": np.ones((3, 2))}, 'group = "g"', "one entry per row; got shape"),
        ({}, 'group = "y2"', "unknown column of d.npz: 'y2'"),
    ],
)
def test_bad_npz_rows(home, arrays, lines, message):
    np.savez(home / "d.npz", y=[0, 1, 0], x=np.ones((3, 1)), **arrays)
    spec = f'[rows]\nfile = "d.npz"\ntarget = "y"\n{lines}\n[modality.a]\narray = "x"'
    with pytest.raises(AmodalError, match=message):
        read(home, spec)


@pytest.mark.parametrize(
    ("target", "array", "message"),
    [
        (
            '{train = "y1"}',
            '{train = "x1", test = "x2"}',
            "splits of the target, train; got 'test'",
        ),
        (
            '{train = "y1", test = "y2"}',
            '{train = "x2"}',
            r"the row \(2\)|per row \(2\); got shape",
        ),
        ('{train = "y1", test = "y2"}', '{train = "x1", test = "x3"}', "equally many columns"),
        ('{train = "y1", test = "y2"}', '"x1"', r"one entry per row \(3\)"),
        ('{train = "y1", test = "n"}', '{train = "x1"}', "d.npz"),
    ],
)
def test_bad_arrays_by_split(home, target, array, message):
    arrays = {"y1": ["a", "b"], "y2": ["b"], "x1": np.ones((2, 2)), "x2": np.ones((1, 2))}
    np.savez(home / "d.npz", **arrays, x3=np.ones((1, 3)), n=np.float64(3))
    spec = f'[rows]\nfile = "d.npz"\ntarget = {target}\n[modality.a]\narray = {array}'
    with pytest.raises(AmodalError, match=message):
        read(home, spec)


# -- garbage --------------------------------------------------------------------------------------

KEYS = [
    "file", "row_id", "target", "task", "classes", "positive", "threshold", "group", "weight",
    "split", "split_names", "missing", "delimiter", "kind", "columns", "categorical", "array",
    "present", "features", "time", "time_unit", "variable", "value", "code", "type", "absent",
]  # fmt: skip
NAMES = [
    "patients.csv", "labs.csv", "diagnoses.csv", "image.npz", "patient", "hospital", "died", "age",
    "bmi", "sex", "hours", "test", "result", "icd10", "source", "features", "has_image", "binary",
    "multiclass", "multilabel", "regression", "table", "series", "codes", "embedding", "lost",
    "train", "*", "", "x", ";", "\0",
]  # fmt: skip
word = st.sampled_from(NAMES)
anything = st.one_of(
    word,
    st.lists(word, max_size=3),
    st.dictionaries(st.sampled_from(["train", "test", "x"]), word, max_size=2),
    st.integers(-1, 3),
    st.booleans(),
    st.floats(),
    st.text(max_size=3),
)
section = st.dictionaries(st.sampled_from(KEYS), anything, max_size=4)


def as_toml(value) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(k)} = {as_toml(x)}" for k, x in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(as_toml, value)) + "]"
    if isinstance(value, float):
        return repr(value) if "." in repr(value) or "n" in repr(value) else f"{value:.1e}"
    return json.dumps(value)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    section, st.dictionaries(st.sampled_from(["a", "b", ""]), section, max_size=2), st.booleans()
)
def test_garbage_gives_an_error_of_ours_or_a_data_set(home, rows, modalities, sound):
    rows = {"file": "patients.csv", **({"row_id": "patient"} if sound else {}), **rows}
    lines = ["[rows]", *(f"{k} = {as_toml(x)}" for k, x in rows.items())]
    for name, keys in modalities.items():
        lines += [f"[modality.{json.dumps(name)}]"]
        lines += [f"{k} = {as_toml(x)}" for k, x in keys.items()]
    try:
        data = read(home, "\n".join(lines))
    except AmodalError:
        return
    assert data.names == tuple(modalities)
    assert len(data) == 4 or rows["file"] != "patients.csv"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(st.sampled_from(["patients.csv", "labs.csv", "image.npz"]), st.data())
def test_damaged_files_give_an_error_of_ours_or_a_data_set(home, name, draw):
    (home / "damaged.toml").write_text(example_spec())
    whole = (home / name).read_bytes()
    raw = bytearray(whole)
    for _ in range(draw.draw(st.integers(1, 4))):
        raw[draw.draw(st.integers(0, len(raw) - 1))] = draw.draw(st.integers(0, 255))
    (home / name).write_bytes(raw[: draw.draw(st.integers(1, len(raw)))])
    try:
        data = read_files(home / "damaged.toml")
    except AmodalError:
        return
    finally:
        (home / name).write_bytes(whole)
    assert data.shape[1] == 4


# -- real sets ------------------------------------------------------------------------------------

REAL = os.environ.get("AMODAL_TEST_DATA", "")
real = pytest.mark.skipif(not REAL, reason="AMODAL_TEST_DATA is not set")


@real
def test_handwritten(tmp_path):
    data = prepare_files(SPECS / "handwritten.toml", tmp_path / "out")
    raw = np.load(f"{REAL}/multiview/handwritten.npz")
    assert data.shape == (2000, 6)
    assert data.present.all()
    for k, name in enumerate(data.names):
        np.testing.assert_array_equal(data.values[name].data["numeric"], raw[f"view{k}"])
    np.testing.assert_array_equal(data.target, raw["y"])
    assert (data.split == "train").sum() == 1600
    assert (data.split == "test").sum() == 400
    np.testing.assert_array_equal(np.flatnonzero(data.split == "test"), np.sort(raw["test_idx"]))
    assert Dataset.load(tmp_path / "out").fingerprint() == data.fingerprint()


@real
def test_cub():
    data = read_files(SPECS / "cub.toml")
    raw = np.load(f"{REAL}/multiview/cub_googlenet_doc2vec_c10.npz")
    assert [m.kind for m in data.modalities] == ["embedding", "embedding"]
    np.testing.assert_array_equal(data.values["image"].data["value"], raw["view0"])
    np.testing.assert_array_equal(data.values["text"].data["value"], raw["view1"])
    np.testing.assert_array_equal(data.target, raw["y"])
    np.testing.assert_array_equal(np.flatnonzero(data.split == "test"), np.sort(raw["test_idx"]))
    assert (data.split == "train").sum() == 480


@real
def test_heart():
    data = read_files(SPECS / "heart.toml")
    raw = pd.read_csv(f"{REAL}/uci_heart/heart_4sites.csv")
    np.testing.assert_array_equal(data.target, raw["target"] > 0)
    assert data.task.classes == ("no disease", "disease")
    assert data.group is None
    np.testing.assert_array_equal(data.split == "test", raw["site"] == "va")
    columns = [c for m in data.modalities for c in (*m.features, *m.levels)]
    assert sorted(columns) == sorted(set(raw.columns) - {"target", "site"})
    for k, m in enumerate(data.modalities):
        own = raw[[*m.features, *m.levels]]
        present = own.notna().any(axis=1).to_numpy()
        np.testing.assert_array_equal(data.present[:, k], present)
        v = data.values[m.name]
        np.testing.assert_array_equal(v.data["numeric"], own[list(m.features)][present])
        for c, (name, levels) in enumerate(m.levels.items()):
            known = np.array([float(x) for x in levels] + [np.nan])
            np.testing.assert_array_equal(known[v.data["categorical"][:, c]], own[name][present])
    imaging = data.present[:, data.names.index("imaging")]
    assert imaging[raw["site"] == "cleveland"].mean() > 0.99
    assert imaging[raw["site"] == "va"].mean() < 0.2


@real
def test_tcga():
    data = read_files(SPECS / "tcga_brca.toml")
    raw = np.load(f"{REAL}/tcga_brca_mixomics.npz")
    assert data.shape == (220, 3)
    test = data.split == "test"
    assert test.sum() == 70
    assert not data.present[test, data.names.index("protein")].any()
    assert data.present[~test].all()
    for name in ("mrna", "mirna"):
        whole = np.concatenate([raw[f"train_{name}"], raw[f"test_{name}"]])
        np.testing.assert_array_equal(data.values[name].data["numeric"], whole)
    np.testing.assert_array_equal(data.values["protein"].data["numeric"], raw["train_protein"])
    subtype = np.concatenate([raw["train_subtype"], raw["test_subtype"]])
    found = np.array(data.task.classes)[data.target.astype(int)]
    np.testing.assert_array_equal(found, subtype)
