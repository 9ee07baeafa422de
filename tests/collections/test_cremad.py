"""CREMA-D from made-up files in its official layout, and the votes of real people."""

from __future__ import annotations

import csv
import io

import numpy as np
import pytest

from amodal.collections import prepare_cremad
from amodal.errors import DataError, MediaError, SettingError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED

HEAD = '"","A","D","F","H","N","S","fileName","numResponses"\n'
LINES = {
    "voice": ("100001", (6, 2, 0, 0, 2, 0), "1001_DFA_ANG_XX"),
    "face": ("200001", (5, 0, 0, 0, 0, 0), "1001_DFA_ANG_XX"),
    "both": ("300001", (9, 0, 0, 0, 0, 0), "1001_DFA_ANG_XX"),
    "only face": ("200002", (0, 0, 0, 3, 1, 0), "1002_IEO_HAP_LO"),
    "odd": ("100003", (0, 0, 0, 0, 4, 0), "1002_IEO_ZZZ_LO"),
}


def write_votes(home, lines):
    path = home / "processedResults" / "tabulatedVotes.csv"
    path.parent.mkdir(parents=True)
    text = [f'"{k}",{",".join(map(str, v))},"{clip}",9\n' for k, v, clip in lines]
    path.write_text(HEAD + "".join(text))


def wave() -> bytes:
    soundfile = pytest.importorskip("soundfile")
    file = io.BytesIO()
    soundfile.write(file, np.sin(np.arange(400)), 16000, format="WAV")
    return file.getvalue()


@pytest.fixture
def raw(tmp_path):
    write_votes(tmp_path / "raw", LINES.values())
    return tmp_path / "raw"


def rows(path):
    with open(path) as file:
        return list(csv.DictReader(file))


def test_votes_of_the_official_table(raw, tmp_path):
    data = prepare_cremad(raw, tmp_path / "out")
    assert data.row_id.tolist() == ["1001_DFA_ANG_XX", "1002_IEO_HAP_LO", "1002_IEO_ZZZ_LO"]
    assert data.names == ("voice", "face")
    assert data.task.classes[:3] == ("anger", "disgust", "fear")
    np.testing.assert_array_equal(data.target, [0, 3, np.nan])
    assert data.group.tolist() == ["1001", "1002", "1002"]
    there = NOT_MEASURED
    assert data.absence.tolist() == [[0, 0], [there, 0], [0, there]]
    voice, face = (data.values[m].data["numeric"] for m in data.names)
    np.testing.assert_allclose(voice, [[0.6, 0.2, 0, 0, 0.2, 0], [0, 0, 0, 0, 1, 0]])
    np.testing.assert_allclose(face, [[1, 0, 0, 0, 0, 0], [0, 0, 0, 0.75, 0.25, 0]])
    assert data.provenance["counts"]["unknown_emotions"] == 1


def test_shares_lie_beside_the_data_and_not_in_it(raw, tmp_path):
    data = prepare_cremad(raw, tmp_path / "out")
    told = rows(tmp_path / "out" / "shares.csv")
    assert [r["row_id"] for r in told] == data.row_id.tolist()
    assert [r["raters_voice"] for r in told] == ["10", "0", "4"]
    assert [r["share_voice"] for r in told] == ["0.6", "", ""]
    assert [r["share_face"] for r in told] == ["1.0", "0.75", ""]


def test_a_table_with_a_line_a_clip_tells_the_same(raw, tmp_path):
    wide = tmp_path / "wide"
    wide.mkdir()
    names = [f"{m}_{x}" for m in ("voice", "face") for x in "ADFHNS"]
    with open(wide / "votes.csv", "w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["fileName", *names])
        table.writerow(["1001_DFA_ANG_XX", 6.0, 2, 0, 0, 2, 0, 5, 0, 0, 0, 0, 0])
        table.writerow(["1002_IEO_HAP_LO", *[""] * 6, 0, 0, 0, 3, 1, 0])
        table.writerow(["1002_IEO_ZZZ_LO", 0, 0, 0, 0, 4, 0, *[""] * 6])
    one = prepare_cremad(wide, tmp_path / "a")
    assert one.fingerprint() == prepare_cremad(raw, tmp_path / "b").fingerprint()


def test_recordings_join_the_votes_by_the_name_of_the_clip(raw, tmp_path, zipped, same_bytes):
    for name in ("1001_DFA_ANG_XX", "1003_IEO_SAD_HI"):
        (raw / "AudioWAV").mkdir(exist_ok=True)
        (raw / "AudioWAV" / f"{name}.wav").write_bytes(wave())
    every = ("voice", "recording")
    data = prepare_cremad(raw, tmp_path / "a", modalities=every)
    assert len(data) == 3  # nobody heard the second clip alone; the fourth has sound alone
    assert data.absence.tolist() == [[0, 0], [0, NOT_MEASURED], [NOT_MEASURED, 0]]
    assert data.provenance["counts"]["clips_without_votes"] == 1
    prepare_cremad(zipped(raw), tmp_path / "b", modalities=every)
    prepare_cremad(raw, tmp_path / "c", modalities=every)
    assert same_bytes(tmp_path / "a", tmp_path / "c")
    assert same_bytes(tmp_path / "a", tmp_path / "b")


def test_an_unreadable_recording_is_named_by_row_or_lost(raw, tmp_path):
    (raw / "AudioWAV").mkdir()
    (raw / "AudioWAV" / "1001_DFA_ANG_XX.wav").write_bytes(wave())
    (raw / "AudioWAV" / "1002_IEO_HAP_LO.wav").write_bytes(wave()[:100])
    names = ("face", "recording")
    with pytest.raises(MediaError, match=r"row 1 .*'recording' is not: the file ends too early"):
        prepare_cremad(raw, tmp_path / "out", modalities=names)
    assert not (tmp_path / "out").exists()
    data = prepare_cremad(raw, tmp_path / "out", modalities=names, unreadable="lost")
    assert data.absence.tolist() == [[0, 0], [0, LOST]]
    assert data.provenance["unreadable"] == {"recording": {"truncated": 1}}


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        ([("17", (1, 0, 0, 0, 0, 0), "1001_DFA_ANG_XX")], "numbered 100000"),
        ([("100001", (-1, 0, 0, 0, 0, 2), "1001_DFA_ANG_XX")], "votes .* are counts"),
        ([("100001", ("x", *[0] * 5), "1001_DFA_ANG_XX")], "votes .* are counts"),
        ([LINES["face"], LINES["face"]], "0 are called otherwise and 1 repeat"),
        ([("100001", (1, 0, 0, 0, 0, 2), "anger.mp4")], "1 are called otherwise"),
        ([], "consists of clips; raw has none"),
    ],
    ids=["number", "negative", "text", "twice", "name", "empty"],
)
def test_votes_that_are_none_are_refused(tmp_path, lines, message):
    write_votes(tmp_path / "raw", lines)
    with pytest.raises(DataError, match=message):
        prepare_cremad(tmp_path / "raw", tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_another_layout_is_refused(raw, tmp_path):
    with pytest.raises(UnknownNameError, match="'recording'"):
        prepare_cremad(raw, tmp_path / "out", modalities=("recordin",))
    with pytest.raises(SettingError, match="each once"):
        prepare_cremad(raw, tmp_path / "out", modalities=("voice", "voice"))
    table = raw / "processedResults" / "tabulatedVotes.csv"
    table.write_text(table.read_text().replace('"fileName"', '"clip"'))
    with pytest.raises(DataError, match="it lacks 'fileName'"):
        prepare_cremad(raw, tmp_path / "out")
    table.write_text(HEAD + '"100001",1\n')
    with pytest.raises(DataError, match="1 have not"):
        prepare_cremad(raw, tmp_path / "out")
    table.unlink()
    with pytest.raises(DataError, match="raw has 0 such files"):
        prepare_cremad(raw, tmp_path / "out")


def test_real_votes(real_data, tmp_path):
    from scipy.stats import spearmanr

    data = prepare_cremad(real_data / "crema_d_votes", tmp_path / "out")
    assert data.shape == (5885, 2)
    assert data.present.all()
    told = rows(tmp_path / "out" / "shares.csv")
    found = []
    for name in data.names:
        p = data.values[name].data["numeric"][data.values[name].index]
        assert np.allclose(p.sum(1), 1)
        own = p[np.arange(len(data)), data.target.astype(int)]
        share = np.array([float(r[f"share_{name}"]) for r in told])
        np.testing.assert_allclose(share, own)
        entropy = -(p * np.log(np.where(p > 0, p, 1))).sum(1)
        found.append(spearmanr(-entropy, share).statistic)
    np.testing.assert_allclose(found, [0.33, 0.71], atol=0.005)
