"""PhysioNet 2012: every official layout gives the same data set; bad input gives one sentence."""

from __future__ import annotations

import contextlib
import gzip
import io
import json
import random
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from amodal.clinical import prepare_physionet2012
from amodal.clinical.physionet2012 import members
from amodal.data.dataset import Dataset
from amodal.errors import AmodalError, DataError, StorageError

HEADER = "Time,Parameter,Value\n"
STAYS = {
    "132539": "00:00,Age,54\n00:07,HR,73\n10:00,Lactate,1.5\n",
    "132540": "00:00,Age,76\n00:42,pH,7.4\n00:42,Urine,900\n",
    "99": "00:00,Gender,1\n47:59,GCS,15\n",
}
FILES = {
    f"{record}.txt": f"{HEADER}00:00,RecordID,{record}\n{lines}".encode()
    for record, lines in STAYS.items()
}
OUTCOMES = (
    b"RecordID,SAPS-I,SOFA,Length_of_stay,Survival,In-hospital_death\n"
    b"132539,6,1,5,-1,0\n132540,16,8,8,3,1\n99,1,1,1,-1,0\n"
)


def pack_tar(files: Mapping[str, bytes], path: Path) -> Path:
    """A tar.gz of `files`, below the folder set-a."""
    with tarfile.open(path, "w:gz") as archive:
        for name, text in files.items():
            info = tarfile.TarInfo(f"set-a/{name}")
            info.size = len(text)
            archive.addfile(info, io.BytesIO(text))
    return path


def pack_zip(files: Mapping[str, bytes], path: Path) -> Path:
    """A zip of `files`, below the folder set-a."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, text in files.items():
            archive.writestr(f"set-a/{name}", text)
    return path


def write_files(folder: Path, files: Mapping[str, str | bytes]) -> Path:
    """`files` in `folder`, which is made."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in files.items():
        (folder / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    return folder


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    """A folder with set-a, unpacked, and its outcomes."""
    write_files(tmp_path / "raw" / "set-a", FILES)
    return write_files(tmp_path / "raw", {"Outcomes-a.txt": OUTCOMES})


def layouts(tmp_path: Path) -> dict[str, Path]:
    """Name -> RAW, for every layout that is read."""
    out = {}
    out["folder of stays"] = write_files(tmp_path / "1" / "set-a", FILES)
    out["folder with set-a"] = out["folder of stays"].parent
    out["folder of stays and outcomes"] = write_files(
        tmp_path / "2" / "mine", FILES | {"Outcomes-a.txt": OUTCOMES}
    )
    for k, (form, pack) in enumerate({"tar.gz": pack_tar, "zip": pack_zip}.items(), start=3):
        folder = write_files(tmp_path / str(k), {})
        out[form] = pack(FILES, folder / f"set-a.{form}")
        out[f"folder with {form}"] = folder
        inside = write_files(tmp_path / f"{k}in", {})
        out[f"outcomes in the {form}"] = pack(
            FILES | {"Outcomes-a.txt": OUTCOMES}, inside / f"set-a.{form}"
        )
    for k in "134":
        write_files(tmp_path / k, {"Outcomes-a.txt": OUTCOMES})
    return out


def test_every_layout_gives_the_same(tmp_path):
    data = {name: prepare_physionet2012(path) for name, path in layouts(tmp_path).items()}
    first = data["folder of stays"]
    assert first.row_id.tolist() == ["99", "132539", "132540"]
    assert first.target.tolist() == [0.0, 0.0, 1.0]
    for name, other in data.items():
        assert other.fingerprint() == first.fingerprint(), name
        assert other.target.tolist() == first.target.tolist(), name
        assert other.provenance["sha256"] == first.provenance["sha256"], name
        assert other.provenance["counts"] == first.provenance["counts"], name


def test_saved_and_loaded(raw, tmp_path):
    data = prepare_physionet2012(raw, tmp_path / "out")
    again = Dataset.load(tmp_path / "out")
    assert again.fingerprint() == data.fingerprint()
    assert again.provenance["counts"]["stays"] == 3


def test_provenance_is_json_without_paths_or_record_ids(raw):
    text = json.dumps(dict(prepare_physionet2012(raw).provenance))
    assert str(raw) not in text
    assert "132539" not in text


def test_several_sets_are_read_together_and_one_form_of_each(raw):
    write_files(raw / "set-b", {"7.txt": HEADER + "01:00,HR,80\n"})
    pack_tar(FILES, raw / "set-a.tar.gz")
    data = prepare_physionet2012(raw)
    assert data.row_id.tolist() == ["7", "99", "132539", "132540"]
    assert data.labelled.tolist() == [False, True, True, True]
    assert data.provenance["sets"] == ["a", "b"]


def test_outcomes_of_another_set_are_not_taken(raw):
    (raw / "Outcomes-a.txt").rename(raw / "Outcomes-b.txt")
    assert not prepare_physionet2012(raw).labelled.any()


def test_beside_a_set_of_another_name_outcomes_are_taken_where_they_name_a_stay(raw):
    mine = write_files(raw / "mine", FILES)
    assert prepare_physionet2012(mine).target.tolist() == [0.0, 0.0, 1.0]
    others = write_files(raw / "others", {"7.txt": HEADER + "01:00,HR,80\n"})
    assert not prepare_physionet2012(others).labelled.any()


def test_line_ends_do_not_matter(tmp_path):
    plain = prepare_physionet2012(write_files(tmp_path / "0", FILES)).fingerprint()
    forms = {
        "windows": lambda t: t.replace(b"\n", b"\r\n"),
        "blank lines": lambda t: t.replace(b"\n", b"\n\n").replace(b"\n\n", b"\n", 1) + b"\n",
        "no last line break": lambda t: t.rstrip(b"\n"),
        "byte order mark": lambda t: b"\xef\xbb\xbf" + t,
    }
    for name, change in forms.items():
        folder = write_files(tmp_path / name, {k: change(t) for k, t in FILES.items()})
        assert prepare_physionet2012(folder).fingerprint() == plain, name


def test_other_files_are_ignored_and_counted(raw):
    write_files(raw / "set-a", {"README.txt": b"x", "._132539.txt": b"\0", "index.html": b""})
    assert prepare_physionet2012(raw).provenance["files_ignored"] == 3


def test_links_in_an_archive_are_ignored_and_nothing_is_unpacked(tmp_path):
    path = tmp_path / "set-a.tar.gz"
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo("set-a/5.txt")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(link)
        text = FILES["99.txt"]
        info = tarfile.TarInfo("../../99.txt")
        info.size = len(text)
        archive.addfile(info, io.BytesIO(text))
    assert prepare_physionet2012(path).row_id.tolist() == ["99"]
    assert [p.name for p in tmp_path.rglob("*")] == ["set-a.tar.gz"]


def bad(raw: Path, match: str, error: type[AmodalError] = DataError) -> str:
    """Preparing `raw` fails with one sentence that matches, and writes nothing."""
    out = raw.parent / "never"
    with pytest.raises(error, match=match) as caught:
        prepare_physionet2012(raw, out)
    assert not out.exists()
    assert "\n" not in str(caught.value)
    assert "73" not in str(caught.value)  # the value of a patient
    return str(caught.value)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("", "no bytes at all"),
        ("RecordID,HR\n1,73\n", "99.txt has another first line"),
        (HEADER + "00:00,HR,73", "99.txt does not and seems truncated"),
        (HEADER + "00:00,HR,73\n00:10,HR\n", "line 3 of 99.txt"),
        (HEADER + "00:00,HR,73\n00:10,HR,8,1\n", "line 3 of 99.txt"),
        (HEADER + "00:73,HR,80\n", "line 2 of 99.txt"),
        (HEADER + "noon,HR,73\n", "line 2 of 99.txt"),
        (HEADER + "00:01,HR,73bpm\n", "line 2 of 99.txt"),
        (HEADER + "00:01,HR,73\n\x00\n", "line 3 of 99.txt"),
        (HEADER + "00:00,RecordID,98\n", r"99.txt \(1 such files\) names another"),
        (HEADER + "00:01,O2Sat,73\n" * 99, "of 107 lines name others"),
    ],
)
def test_bad_stays(raw, text, match):
    (raw / "set-a" / "99.txt").write_text(text)
    bad(raw, match)


def test_bytes_that_are_no_text(raw):
    (raw / "set-a" / "99.txt").write_bytes(HEADER.encode() + b"00:01,\xff\xfe,73\n")
    bad(raw, "99.txt|unknown")


def test_bad_places(tmp_path, raw):
    bad(tmp_path / "nowhere", "there is no", StorageError)
    bad(write_files(tmp_path / "empty", {}), "empty has none")
    bad(write_files(tmp_path / "other", {"notes.txt": b"x"}), "other has none")
    bad(raw / "Outcomes-a.txt", "a folder, a tar.gz or a zip")
    write_files(raw / "set-b", {"99.txt": FILES["99.txt"]})
    bad(raw, "1 occur in two sets")


@pytest.mark.parametrize("pack", [pack_tar, pack_zip])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.3, 0.6, 0.9, 0.99])
def test_truncated_archives(tmp_path, pack, share):
    name = "set-a.tar.gz" if pack is pack_tar else "set-a.zip"
    path = pack(FILES, tmp_path / name)
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    bad(path, "must be whole", StorageError)


def test_archives_of_another_kind(tmp_path):
    (tmp_path / "set-a.tar.gz").write_bytes(b"this is no archive" * 99)
    bad(tmp_path, "set-a.tar.gz must be whole", StorageError)
    (tmp_path / "set-a.tar.gz").write_bytes(gzip.compress(b"neither is this" * 99))
    bad(tmp_path, "set-a.tar.gz must be whole", StorageError)


def test_damaged_archives_are_told_or_harmless(tmp_path):
    draw = random.Random(0)
    for pack in (pack_tar, pack_zip):
        path = pack(FILES, tmp_path / ("set-a.tar.gz" if pack is pack_tar else "set-a.zip"))
        whole = path.read_bytes()
        expected = prepare_physionet2012(path).fingerprint()
        for _ in range(60):
            broken = bytearray(whole)
            broken[draw.randrange(len(broken))] ^= 1 << draw.randrange(8)
            path.write_bytes(bytes(broken))
            found = None
            with contextlib.suppress(AmodalError):  # one of ours, or none: nothing else escapes
                found = prepare_physionet2012(path)
            if found is not None:  # a date or a name was hit: no content
                assert set(found.row_id) <= {"99", "132539", "132540"}
                assert len(found) < 3 or found.fingerprint() == expected


def test_absurd_sizes_are_refused(tmp_path, monkeypatch):
    big = {"1.txt": HEADER.encode() + b"00:01,HR,73\n" * 10_000}
    forms = [
        write_files(tmp_path / "a" / "set-a", big),
        pack_tar(big, tmp_path / "set-a.tar.gz"),
        pack_zip(big, tmp_path / "set-a.zip"),
    ]
    monkeypatch.setattr(members, "MAX_FILE_BYTES", 2**16)
    for path in forms:
        bad(path, "at most 0 MiB; 1.txt has")
    monkeypatch.setattr(members, "MAX_FILE_BYTES", 2**24)
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 2**16)
    for path in forms:
        bad(path, "there is more|unpacks to more")
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 2**24)
    monkeypatch.setattr(members, "MAX_FILES", 2)
    bad(pack_zip(FILES, tmp_path / "set-b.zip"), "at most 2 files")


def test_a_bomb_of_ignored_bytes_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(members, "MAX_TOTAL_BYTES", 2**20)
    bad(pack_tar({"x.bin": bytes(2**22)}, tmp_path / "set-a.tar.gz"), "unpacks to more")


def test_no_torch():
    code = (
        "import sys; from amodal.clinical import prepare_physionet2012;"
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
