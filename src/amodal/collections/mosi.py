"""CMU-MOSI and CMU-MOSEI: opinions in videos, from npz files of arrays."""

from __future__ import annotations

import io
import re
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from amodal.collections.raw import RawFiles
from amodal.data.arrays import assemble
from amodal.data.dataset import Dataset
from amodal.data.packing import pack_embedding, pack_series, pack_source
from amodal.data.store import check_target_folder
from amodal.errors import DataError, StorageError, unknown_name
from amodal.types import Modality, Task
from amodal.values import Values

__all__ = ["MOSI_MODALITIES", "TARGETS", "prepare_mosi"]

MOSI_MODALITIES = ("transcript", "text", "audio", "vision", "video")
TARGETS = ("score", "sign")
"""The score from -3 to 3, or whether it is positive; 0 is unknown then."""

PARTS = ("train", "valid", "test")
_LABELS, _IDS = ("labels", "label"), ("id", "ids", "utt_id")
_PICKLES = (".pkl", ".pickle", ".p", ".pt", ".pth", ".joblib")
_KEY = re.compile(rf"(?:({'|'.join(PARTS)})[_/])?(\w+)")
_LEAKY = {"text": 100, "audio": 73, "video": 100}
_WARNING = (
    "vectors of an utterance (text 100, audio 73, video 100) come from networks that were trained on "
    "the labels of these rows and encode them: nothing learned from them tells of other rows"
)


def prepare_mosi(
    raw: str | Path,
    out: str | Path,
    *,
    modalities: Sequence[str] = (),
    target: str = "",
) -> Dataset:
    """A row for each utterance, with its sentiment.

    An npz file with arrays ``train_text`` (or ``train/text``), ``train_audio``, ``train_vision``,
    ``train_labels``, ``train_id``, the same of ``valid`` and ``test``; a folder with ``train.npz``,
    ``valid.npz`` and ``test.npz``, each with ``text`` ... ``id``; or one npz file of rows without
    split. Features are ``[n, t, d]`` (a `series` of word positions, of which all-zero ones are
    padding; infinite values are missing cells) or ``[n, d]`` (an `embedding`); ``transcript`` holds
    texts. Labels are numbers ``[n]``, ``[n, 1]`` or ``[n, 1, k]``, whose first column counts. The
    group of a row is its video: an id up to "$_$", to "[", or to its last "_"; of an id of several
    columns the first.

    Pickles are not opened: unpickling executes what is in them.

    Vectors that encode the training labels (``[n, d]`` of 100, 73 and 100 numbers) are left out
    unless `modalities` names them, and the data set carries a warning in its provenance.

    Args:
        raw: the npz file, or the folder or zip of such files.
        out: a new folder, or a data set that is replaced.
        modalities: some of `MOSI_MODALITIES`; left out, all that are there.
        target: one of `TARGETS`; left out, "sign" where labels are 0 and 1, else "score".

    Raises:
        DataError: a pickle, objects in an array, another layout.
        StorageError: `raw` cannot be read, or `out` cannot be written.
        UnknownNameError: another modality or target.

    Reference: Zadeh et al., IEEE Intelligent Systems 31(6), 2016; ACL 2018 (MOSEI).
    """
    for name in modalities:
        if name not in MOSI_MODALITIES:
            raise unknown_name("modality of CMU-MOSI", name, MOSI_MODALITIES)
    if target and target not in TARGETS:
        raise unknown_name("target of CMU-MOSI", target, TARGETS)
    folder, parts = check_target_folder(out), _parts(Path(raw).expanduser())
    sizes = {part: _rows(part, arrays) for part, arrays in parts.items()}
    features, leaky = _chosen(parts, modalities)
    infinite = 0
    packed = {}
    for name in features:
        modality, values, bad = _pack(name, parts, sizes)
        packed[name], infinite = (modality, values), infinite + bad
    ids = np.concatenate([_column(a, _IDS, n, part) for (part, a), n in _with(parts, sizes)])
    split = np.repeat(list(sizes), list(sizes.values()))
    task, y = _target(parts, target)
    data = assemble(
        packed,
        y,
        task=task,
        rows={
            "row_id": _unique(ids, split),
            "group": [_video(i) for i in ids],
            "split": split if any(parts) else None,
        },
        provenance={
            "kind": "mosi",
            "counts": {"infinite_values": infinite},
            **({"warning": _WARNING + leaky} if leaky else {}),
        },
    )
    data.save(folder)
    return Dataset.load(folder)


# -- reading --------------------------------------------------------------------------------------

_Arrays = dict[str, np.ndarray]


def _parts(path: Path) -> dict[str, _Arrays]:
    """Part of the split ("" for none) -> its arrays."""
    if path.suffix.lower() in _PICKLES:
        raise _pickled(path.name)
    if path.suffix.lower() == ".npz":
        return _by_part(path.name, _arrays(path.name, _content(path)))
    files = RawFiles(path)
    names = list(files.find(lambda n: n.lower().endswith(".npz")))
    if not names and any(n.lower().endswith(_PICKLES) for n in files.names):
        raise _pickled(next(n for n in files.names if n.lower().endswith(_PICKLES)))
    own = {n.rsplit("/", 1)[-1][:-4]: n for n in names}
    if set(own) & set(PARTS):
        return {p: _arrays(own[p], files.read(own[p])) for p in PARTS if p in own}
    if len(names) != 1:
        raise DataError(
            f"CMU-MOSI is read from one npz file, or from train.npz, valid.npz and test.npz; "
            f"{path.name} has {len(names)} npz files of other names; name one of them"
        )
    return _by_part(names[0], _arrays(names[0], files.read(names[0])))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise StorageError(f"{path} cannot be read ({error.strerror}); check the path") from None


def _pickled(name: str) -> DataError:
    return DataError(
        f"CMU-MOSI is read from npz files of arrays; {name} is a pickle, and opening one executes "
        "what is in it; where you trust it, load it yourself and np.savez its arrays as train_text, "
        "train_audio, train_vision, train_labels, train_id, and so on"
    )


def _arrays(name: str, content: bytes) -> _Arrays:
    try:
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            found = {key: file[key] for key in file.files}
    except (ValueError, OSError, EOFError, KeyError, zipfile.BadZipFile):
        raise DataError(
            f"{name} must be an npz file of numbers and texts; it is damaged, or holds objects, "
            "which only a pickle can; save plain arrays"
        ) from None
    return {k: x.astype(str) if x.dtype.kind == "S" else x for k, x in found.items()}


def _by_part(name: str, arrays: Mapping[str, np.ndarray]) -> dict[str, _Arrays]:
    found: dict[str, _Arrays] = {}
    for key, array in arrays.items():
        match = _KEY.fullmatch(key)
        if match:
            found.setdefault(match[1] or "", {})[match[2]] = array
    if len(found) > 1:
        found.pop("", None)
    if not found:
        raise DataError(f"{name} must hold arrays called train_text and so on; it holds none")
    return {p: found[p] for p in ("", *PARTS) if p in found}


def _rows(part: str, arrays: _Arrays) -> int:
    """How many rows a part has; all of its arrays must agree."""
    known = {k: x for k, x in arrays.items() if k in (*MOSI_MODALITIES, *_LABELS, *_IDS)}
    sizes = {len(x) if x.ndim else -1 for x in known.values()}
    if not known.keys() & set(_LABELS) or not known.keys() & set(_IDS) or len(sizes) != 1:
        raise DataError(
            f"arrays of a part are features, labels and id, with a line an utterance; "
            f"{part or 'this one'} has {', '.join(sorted(known)) or 'none of them'}, of "
            f"{len(sizes)} lengths; save all of them"
        )
    return sizes.pop()


def _with(parts: Mapping[str, _Arrays], sizes: Mapping[str, int]) -> Any:
    return zip(parts.items(), sizes.values(), strict=True)


def _column(arrays: _Arrays, names: Sequence[str], n: int, part: str) -> np.ndarray:
    found = next(arrays[k] for k in names if k in arrays)
    return np.asarray(found.reshape(n, -1)[:, 0] if found.size else found.reshape(n), dtype=str)


def _video(name: str) -> str:
    for mark in ("$_$", "["):
        if mark in name:
            return name.split(mark)[0]
    return name.rpartition("_")[0] or name


def _unique(ids: np.ndarray, split: np.ndarray) -> list[str]:
    """Ids as they are where each is one row's, else with their place in the part."""
    if len(set(ids.tolist())) == len(ids):
        return ids.tolist()
    return [f"{part or 'row'}-{k}-{i}" for k, (part, i) in enumerate(zip(split, ids, strict=True))]


# -- features and target --------------------------------------------------------------------------


def _chosen(parts: Mapping[str, _Arrays], asked: Sequence[str]) -> tuple[list[str], str]:
    """Names of the features to read, and what to say of those that encode labels."""
    arrays = next(iter(parts.values()))
    there = [m for m in MOSI_MODALITIES if all(m in a for a in parts.values())]
    leaky = all(
        k in arrays and arrays[k].ndim == 2 and arrays[k].shape[1] == d for k, d in _LEAKY.items()
    )
    free = [m for m in there if not (leaky and m in _LEAKY)]
    for name in asked:
        if name not in there:
            raise unknown_name("modality of these files", name, there or ("none",))
    chosen = list(dict.fromkeys(asked)) or free
    if not chosen:
        raise DataError(
            f"an utterance has at least one of {', '.join(MOSI_MODALITIES)}; the file has "
            f"{'those alone that encode labels; name them' if there else 'none'}"
        )
    told = "; they are in" if set(chosen) & set(_LEAKY) else "; they are left out"
    return chosen, told if leaky else ""


def _pack(
    name: str, parts: Mapping[str, _Arrays], sizes: Mapping[str, int]
) -> tuple[Modality, Values, int]:
    """(the modality, its values, how many of them were infinite)."""
    arrays = [a[name] for a in parts.values()]
    if len({x.shape[2:] if x.ndim == 3 else x.shape[1:] for x in arrays}) > 1:
        raise DataError(f"{name} must be as wide in all parts; it is not; save it again")
    n = sum(sizes.values())
    if name == "transcript":
        texts = np.concatenate(arrays)
        return Modality(name, "text"), pack_source(name, [str(x).strip() for x in texts]), 0
    if any(x.dtype.kind not in "biuf" or x.ndim not in (2, 3) for x in arrays):
        raise DataError(
            f"features are numbers [rows, d] or [rows, steps, d]; {name} is not; save it again"
        )
    if arrays[0].ndim == 2:
        return Modality(name, "embedding"), pack_embedding(name, np.concatenate(arrays)), 0
    rows, times, steps = [], [], []
    start = 0
    for x in arrays:
        i, t = np.nonzero((x != 0).any(axis=2))
        rows, times, steps = [*rows, i + start], [*times, t], [*steps, x[i, t]]
        start += len(x)
    value = np.concatenate(steps).astype(np.float64)
    infinite = np.isinf(value)
    value = np.where(infinite, np.nan, value)
    packed = pack_series(
        name, np.concatenate(rows), np.concatenate(times).astype(np.float64), value, n
    )
    names = tuple(f"{name}{k}" for k in range(value.shape[1]))
    return Modality(name, "series", names, time_unit="words"), packed, int(infinite.sum())


def _target(parts: Mapping[str, _Arrays], wanted: str) -> tuple[Task, np.ndarray]:
    columns = []
    for arrays in parts.values():
        found = next(arrays[k] for k in _LABELS if k in arrays)
        if found.dtype.kind not in "biuf":
            raise DataError("labels are numbers; these are not; save them again")
        columns.append(found.reshape(len(found), -1)[:, 0] if found.size else found.reshape(-1))
    y = np.concatenate(columns).astype(np.float64)
    binary = bool(np.isin(y[~np.isnan(y)], (0, 1)).all())
    if binary and wanted == "score":
        raise DataError("labels are 0 and 1 here; a score is not known; leave --target out")
    if binary:
        return Task("binary", ("negative", "positive"), name="sentiment"), y
    if wanted == "sign":
        y = np.where((y == 0) | np.isnan(y), np.nan, (y > 0).astype(np.float64))
        return Task("binary", ("negative", "positive"), name="sentiment"), y
    return Task("regression", name="sentiment"), y
