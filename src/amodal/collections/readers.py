"""Tables and JSON of a collection, read whole and checked for what the official layout promises."""

from __future__ import annotations

import csv
import gzip
import io
import json
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from amodal.collections.raw import RawFiles
from amodal.errors import DataError

__all__ = ["read_json", "read_lines", "read_table", "records", "write_table"]


def read_text(files: RawFiles, name: str) -> str:
    """A file as UTF-8 text, unpacked where its name ends in .gz.

    Raises:
        DataError: it is no UTF-8 text, or its compression is damaged.
        StorageError: it cannot be read.
    """
    content = files.read(name)
    try:
        if name.endswith(".gz"):
            content = gzip.decompress(content)
        return content.decode("utf-8-sig")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError):
        raise DataError(
            f"{name} must be UTF-8 text; it is not, or it is damaged; get it again"
        ) from None


def read_lines(files: RawFiles, name: str) -> list[str]:
    """The lines of a text file without blanks at their ends; empty ones are left out."""
    return [line.strip() for line in read_text(files, name).splitlines() if line.strip()]


def read_table(files: RawFiles, name: str, columns: Sequence[str]) -> dict[str, list[str]]:
    """Some columns of a CSV file, as texts.

    Raises:
        DataError: a column lacks, or a line has another number of cells.
    """
    lines = csv.reader(io.StringIO(read_text(files, name), newline=""))
    try:
        head = next(lines, [])
        body = [line for line in lines if line]
    except csv.Error:
        head, body = [], []
    lacking = [c for c in columns if c not in head]
    if lacking:
        raise DataError(
            f"{name} must have the columns {', '.join(map(repr, columns))}; it lacks "
            f"{', '.join(map(repr, lacking))}; get the official file"
        )
    odd = sum(len(line) != len(head) for line in body)
    if odd:
        raise DataError(
            f"lines of {name} must have {len(head)} cells, as its head has; {odd} have not; get it "
            "again"
        )
    return {c: [line[head.index(c)] for line in body] for c in columns}


def read_json(files: RawFiles, name: str) -> Any:
    """What a JSON file holds.

    Raises:
        DataError: it is no JSON.
    """
    try:
        return json.loads(read_text(files, name))
    except (ValueError, RecursionError):
        raise DataError(f"{name} must be JSON; it is not, or it is cut off; get it again") from None


def records(name: str, found: Any, key: str, fields: Mapping[str, type]) -> list[dict[str, Any]]:
    """The list of records that a JSON object holds under `key`, each with `fields` of these types.

    Args:
        name: of the file, for error texts.
        found: what it holds.
        key: of the list.
        fields: name -> type (int for whole numbers and their texts, str, list, dict).

    Raises:
        DataError: `key` or a field lacks, or is of another type: how many records, and the first.

    >>> records("a.json", {"images": [{"id": "7", "more": 0}]}, "images", {"id": int})
    [{'id': 7}]
    """
    entries = found.get(key) if isinstance(found, Mapping) else None
    if not isinstance(entries, list):
        raise DataError(
            f"{name} must be a JSON object with a list {key!r}; it has none; get the official file"
        )
    out, bad = [], []
    for k, entry in enumerate(entries):
        read = _fields(entry, fields)
        if isinstance(read, str):
            bad.append((k, read))
        else:
            out.append(read)
    if bad:
        raise DataError(
            f"each of {key!r} in {name} must have {', '.join(map(repr, fields))}; {len(bad)} of "
            f"{len(entries)} have not, the first is number {bad[0][0]} (counted from 0), which "
            f"lacks {bad[0][1]!r} or holds something else there; get the official file"
        )
    return out


def _fields(entry: Any, fields: Mapping[str, type]) -> dict[str, Any] | str:
    """The fields of a record, or the name of the first that is not as it should be."""
    if not isinstance(entry, Mapping):
        return next(iter(fields))
    out = {}
    for field, kind in fields.items():
        value = entry.get(field)
        if kind is int and isinstance(value, str) and value.isascii() and value.isdigit():
            value = int(value)
        if not isinstance(value, kind) or isinstance(value, bool):
            return field
        out[field] = value
    return out


def write_table(columns: Mapping[str, Sequence[Any] | np.ndarray]) -> bytes:
    """A CSV file of columns of equal length.

    >>> write_table({"row_id": ["a"], "share": [0.5]})
    b'row_id,share\\na,0.5\\n'
    """
    file = io.StringIO()
    table = csv.writer(file, lineterminator="\n")
    table.writerow(columns)
    table.writerows(zip(*columns.values(), strict=True))
    return file.getvalue().encode()
