"""PhysioNet 2012 set-a, against counts made in plain Python."""

from __future__ import annotations

import tarfile
from collections import Counter, defaultdict

import numpy as np
import pytest

from amodal.clinical import prepare_physionet2012

pytestmark = pytest.mark.xdist_group("physionet2012")  # what is prepared for all is prepared once

# restated by hand, so that a slip in the table of rules is found
RANGES = {
    "HR": (10, 300),
    "Temp": (20, 45),
    "SysABP": (20, 300),
    "DiasABP": (10, 200),
    "MAP": (10, 250),
    "Lactate": (0.1, 50),
    "Urine": (0, 5000),
    "GCS": (3, 15),
}
LIVER = {"ALP", "ALT", "AST", "Bilirubin", "Albumin", "Cholesterol"}
TROPONIN = {"TroponinI", "TroponinT"}
BLOOD_GAS = {"pH", "PaCO2", "PaO2", "SaO2", "FiO2", "MechVent"}


def possible(name: str, text: str) -> bool:
    """Whether a value lies in its range."""
    return name in RANGES and RANGES[name][0] <= float(text) <= RANGES[name][1]


@pytest.fixture(scope="module")
def plain(real_data):
    """RecordID -> names written and names with a possible value; sums and counts of those."""
    stays, written = {}, Counter()
    with tarfile.open(real_data / "physionet2012" / "set-a.tar.gz") as archive:
        for member in archive:
            if not member.isfile():
                continue
            text = archive.extractfile(member).read().decode()
            fields = text.rstrip("\n").replace("\n", ",").split(",")
            pairs = list(zip(fields[4::3], fields[5::3], strict=True))
            written.update(pairs)
            valid = {name for name, x in set(pairs) if possible(name, x)}
            stays[member.name.split("/")[1][:-4]] = ({name for name, _ in pairs}, valid)
    sums, kept = defaultdict(float), Counter()
    for (name, x), times in written.items():
        if possible(name, x):
            sums[name] += float(x) * times
            kept[name] += times
    return stays, sums, kept


@pytest.fixture(scope="module")
def data(real_data):
    return prepare_physionet2012(real_data / "physionet2012")


@pytest.fixture(scope="module")
def died(real_data):
    """RecordID -> died in hospital."""
    lines = (real_data / "physionet2012" / "Outcomes-a.txt").read_text().split("\n")[1:-1]
    return {line.split(",")[0]: line.split(",")[5] == "1" for line in lines}


def absent(data, name):
    return ~data.present[:, data.names.index(name)]


def test_rows_and_outcomes(data, plain, died):
    assert len(data) == len(plain[0]) == 4000
    assert data.row_id.tolist() == sorted(plain[0], key=int)
    assert [bool(t) for t in data.target] == [died[r] for r in data.row_id]
    assert data.target.sum() == 554
    assert data.target.mean() == pytest.approx(0.139, abs=0.0006)


@pytest.mark.parametrize(
    ("name", "variables", "share"),
    [
        ("troponin", TROPONIN, 0.73),
        ("liver", LIVER, 0.46),
        ("lactate", {"Lactate"}, 0.45),
        ("invasive_pressure", {"SysABP", "DiasABP", "MAP"}, 0.30),
        ("blood_gas", BLOOD_GAS, 0.19),
    ],
)
def test_share_never_measured(data, plain, name, variables, share):
    assert absent(data, name).mean() == pytest.approx(share, abs=0.006)
    never = np.array([not variables & plain[0][r][0] for r in data.row_id])
    assert absent(data, name)[never].all()  # what is never written is absent
    lost = absent(data, name) & ~never  # the rest had impossible values alone
    assert lost.sum() <= 12
    if variables <= set(RANGES):
        valid = np.array([bool(variables & plain[0][r][1]) for r in data.row_id])
        assert (absent(data, name) == ~valid).all()


def test_measuring_is_informative(data):
    without = absent(data, "lactate")
    assert data.target[~without].mean() == pytest.approx(0.176, abs=0.0005)
    assert data.target[without].mean() == pytest.approx(0.093, abs=0.0005)


@pytest.mark.parametrize("name", ["HR", "SysABP", "Lactate", "GCS", "Urine", "Temp"])
def test_values_are_those_within_range(data, plain, name):
    _, sums, kept = plain
    assert data.provenance["counts"]["kept"][name] == kept[name]
    modality = next(m for m in data.modalities if name in m.features)
    values = data.values[modality.name].data["value"][:, modality.features.index(name)]
    merged = data.provenance["counts"]["combined_repeats"].get(name, 0)
    assert (~np.isnan(values)).sum() == kept[name] - merged
    if name == "Urine" or not merged:  # averaging repeats changes a sum, adding up does not
        assert np.nansum(values) == pytest.approx(sums[name], rel=1e-9)


def test_times_lie_within_two_days_and_rise(data):
    for name in data.names[1:]:
        values = data.values[name]
        time = values.data["time"]
        assert time.min() >= 0
        assert time.max() <= 48
        rising = np.diff(time) > 0
        starts = values.offsets[1:-1] - 1
        assert rising[np.setdiff1d(np.arange(len(rising)), starts)].all()
        assert not np.isnan(values.data["value"]).all(axis=1).any()
