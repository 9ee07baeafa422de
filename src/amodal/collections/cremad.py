"""CREMA-D: clips of acted emotions, and how raters named them by voice alone and by face alone."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amodal.collections.raw import Media, RawFiles
from amodal.collections.readers import read_table, write_table
from amodal.data.dataset import Dataset
from amodal.data.store import check_target_folder
from amodal.errors import DataError, SettingError, unknown_name
from amodal.types import Modality, Task

__all__ = ["CREMAD_MODALITIES", "EMOTIONS", "prepare_cremad"]

EMOTIONS = {
    "ANG": "anger",
    "DIS": "disgust",
    "FEA": "fear",
    "HAP": "happy",
    "NEU": "neutral",
    "SAD": "sad",
}
"""What a clip's name calls an emotion -> its name; a vote is the first letter."""

CREMAD_MODALITIES = ("voice", "face", "recording")

_HEARD = {"voice": 1, "face": 2}  # the hundred thousands of a line's number in the official table
_TABLE = "tabulatedVotes.csv"
_CLIP = re.compile(r"(\d{4})_([A-Z]{3})_([A-Z]{3})_([A-Z]+)")
_LETTERS = tuple(code[0] for code in EMOTIONS)


def prepare_cremad(
    raw: str | Path,
    out: str | Path,
    *,
    modalities: Sequence[str] = ("voice", "face"),
    unreadable: str = "refuse",
) -> Dataset:
    """A row for each clip; the target is the emotion that the actor meant to show.

    | modality | what it is |
    |---|---|
    | ``voice`` | six numbers: the share of the raters who heard the voice alone and named each emotion |
    | ``face`` | the same of those who saw the face alone |
    | ``recording`` | the sound of the clip (``AudioWAV``) |

    The votes come from the official ``tabulatedVotes.csv``, whose lines are numbered
    100000 t + clip (t = 1: voice, 2: face), or from a CSV file with a line a clip and columns
    ``fileName``, ``voice_A`` ... ``voice_S``, ``face_A`` ... ``face_S``. A clip that nobody rated
    in one way, or whose recording is not there, has that modality `NOT_MEASURED`. Groups are actors;
    there is no official split. What a clip's name says of the emotion is the target and nothing
    else. An emotion that is none of `EMOTIONS` is unknown.

    ``shares.csv`` in the folder tells of each row how many raters there were and which share of them
    named the intended emotion, for voice and for face: a human measure of each one's reliability,
    which no model sees.

    Args:
        raw: the folder or zip.
        out: a new folder, or a data set that is replaced.
        modalities: some of `CREMAD_MODALITIES`.
        unreadable: "refuse" a recording that cannot be decoded, or let it be "lost".

    Raises:
        DataError: another layout, votes that are no counts, a clip twice.
        MediaError: a recording that cannot be decoded.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another modality or choice.

    Reference: Cao, Cooper, Keutmann, Gur, Nenkova and Verma, IEEE Transactions on Affective
    Computing 5(4), 2014.
    """  # noqa: E501
    chosen = _chosen(modalities)
    folder, files = check_target_folder(out), RawFiles(raw)
    votes = _votes(files) if set(chosen) & set(_HEARD) else {}
    wavs = _recordings(files) if "recording" in chosen else {}
    rated = {clip for m in chosen for clip in votes.get(m, ())}
    clips = sorted({*rated, *wavs})
    if not clips:
        raise DataError(f"CREMA-D consists of clips; {files.path.name} has none; check the path")
    media = Media(folder, files, unreadable=unreadable)
    arrays: dict[str, Any] = {m: _shares(votes[m], clips) for m in chosen if m in votes}
    if "recording" in chosen:
        raws = [wavs.get(clip) for clip in clips]
        arrays["recording"] = media.take("recording", raws, "audio")
    codes = [_CLIP.fullmatch(clip)[3] for clip in clips]
    known = list(EMOTIONS)
    target = np.array([known.index(c) if c in known else np.nan for c in codes])
    data = Dataset.from_arrays(
        arrays,
        target,
        modalities=[_modality(m) for m in chosen],
        task=Task("multiclass", tuple(EMOTIONS.values()), name="intended emotion"),
        rows={"row_id": clips, "group": [clip[:4] for clip in clips]},
        provenance={
            "kind": "cremad",
            "counts": {
                "unknown_emotions": int(np.isnan(target).sum()),
                "clips_without_votes": len(clips) - len(rated) if votes else 0,
                "clips_without_recording": len(clips) - len(wavs) if wavs else 0,
            },
        },
    )
    return media.save(data, {"shares.csv": _truth(votes, clips, codes)} if votes else {})


def _chosen(modalities: Sequence[str]) -> tuple[str, ...]:
    for name in modalities:
        if name not in CREMAD_MODALITIES:
            raise unknown_name("modality of CREMA-D", name, CREMAD_MODALITIES)
    if not modalities or len(set(modalities)) < len(modalities):
        raise SettingError(
            f"modalities are some of {', '.join(CREMAD_MODALITIES)}, each once; got "
            f"{len(modalities)} with repeats or none; name each once"
        )
    return tuple(modalities)


def _modality(name: str) -> Modality:
    if name == "recording":
        return Modality(name, "audio")
    return Modality(name, "table", tuple(EMOTIONS.values()))


def _recordings(files: RawFiles) -> dict[str, str]:
    """Clip -> its file; where there are several of one name, that in ``AudioWAV``."""
    found: dict[str, str] = {}
    for name in files.find(lambda n: n.lower().endswith(".wav")):
        clip = name.rsplit("/", 1)[-1][:-4]
        if _CLIP.fullmatch(clip) and (clip not in found or "AudioWAV/" in name):
            found[clip] = name
    return found


# -- votes ----------------------------------------------------------------------------------------


def _votes(files: RawFiles) -> dict[str, dict[str, np.ndarray]]:
    """Voice and face: clip -> number of votes for each of the emotions."""
    official = list(files.find(lambda n: n.rsplit("/", 1)[-1] == _TABLE))
    tables = official or list(files.find(lambda n: n.endswith((".csv", ".csv.gz"))))
    if len(tables) != 1:
        raise DataError(
            f"votes come from one {_TABLE} (in processedResults), or from one CSV file with a line "
            f"a clip; {files.path.name} has {len(tables)} such files; name the folder or zip of "
            "CREMA-D itself"
        )
    return _official(files, tables[0]) if official else _wide(files, tables[0])


def _official(files: RawFiles, name: str) -> dict[str, dict[str, np.ndarray]]:
    lines = read_table(files, name, ("", "fileName", *_LETTERS))
    counts = _counts(name, [lines[x] for x in _LETTERS])
    way = np.array([int(x) // 100_000 if x.isdigit() else -1 for x in lines[""]])
    if not np.isin(way, (1, 2, 3)).all():
        raise DataError(
            f"lines of {name} are numbered 100000, 200000 or 300000 and more, for voice, face and "
            f"both; {int((~np.isin(way, (1, 2, 3))).sum())} are not; get the official file"
        )
    clips = np.array(lines["fileName"], dtype=str)
    return {m: _by_clip(name, clips[way == t], counts[way == t]) for m, t in _HEARD.items()}


def _wide(files: RawFiles, name: str) -> dict[str, dict[str, np.ndarray]]:
    columns = {m: [f"{m}_{x}" for x in _LETTERS] for m in _HEARD}
    lines = read_table(files, name, ("fileName", *columns["voice"], *columns["face"]))
    clips = np.array(lines["fileName"], dtype=str)
    return {m: _by_clip(name, clips, _counts(name, [lines[c] for c in columns[m]])) for m in _HEARD}


def _counts(name: str, columns: Sequence[Sequence[str]]) -> np.ndarray:
    """``Int[n, 6]``; an empty cell is no vote."""
    try:
        counts = np.array([[float(x or 0) for x in column] for column in columns]).T
        if not ((counts >= 0) & (counts == np.round(counts)) & np.isfinite(counts)).all():
            raise ValueError("no counts")
    except ValueError:
        raise DataError(
            f"votes in {name} are counts, whole numbers from 0 on; some are not; get it again"
        ) from None
    return counts.astype(np.int64).reshape(-1, len(EMOTIONS))


def _by_clip(name: str, clips: np.ndarray, counts: np.ndarray) -> dict[str, np.ndarray]:
    odd = [c for c in clips.tolist() if not _CLIP.fullmatch(c)]
    if odd or len(set(clips.tolist())) < len(clips):
        twice = len(clips) - len(set(clips.tolist()))
        raise DataError(
            f"{name} has one line for each clip and way, called actor_sentence_emotion_level "
            f"(1001_DFA_ANG_XX); {len(odd)} are called otherwise and {twice} repeat; get it again"
        )
    return {c: x for c, x in zip(clips.tolist(), counts, strict=True) if x.sum()}


def _shares(votes: dict[str, np.ndarray], clips: Sequence[str]) -> np.ndarray:
    """``Float[n, 6]``, NaN where nobody rated."""
    nobody = np.full(len(EMOTIONS), np.nan)
    return np.stack([votes[c] / votes[c].sum() if c in votes else nobody for c in clips])


def _truth(
    votes: dict[str, dict[str, np.ndarray]], clips: Sequence[str], codes: Sequence[str]
) -> bytes:
    columns: dict[str, list[Any]] = {"row_id": list(clips)}
    for m, counts in votes.items():
        told: list[Any] = []
        for clip, code in zip(clips, codes, strict=True):
            named = counts.get(clip)
            sure = named is not None and code in EMOTIONS
            told.append(float(named[list(EMOTIONS).index(code)] / named.sum()) if sure else "")
        columns[f"raters_{m}"] = [int(counts[c].sum()) if c in counts else 0 for c in clips]
        columns[f"share_{m}"] = told
    return write_table(columns)
