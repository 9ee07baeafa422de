"""Text of stays and outcomes -> tables. All stays are parsed as one text, by pyarrow."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute
import pyarrow.csv as pc

from amodal.errors import DataError

__all__ = ["Tables", "parse_outcomes", "parse_records"]

_HEADER = b"Time,Parameter,Value"
_TIME = re.compile(r"(\d{1,4}):([0-5]\d)")
_NUMBER = r"[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)?|[Nn]a[Nn]|NA|"
_LINE = re.compile(rf"\d{{1,4}}:[0-5]\d,[^,]*,({_NUMBER})")


class Tables(NamedTuple):
    """The raw tables, as they were written: nothing dropped, corrected or averaged.

    Args:
        stays: ``record_id`` (string), in ascending order of the number.
        events: one row for each line of a stay: ``stay`` (int32, row of `stays`), ``minute``
            (int32, since admission), ``parameter`` (dictionary of strings), ``value`` (double, null
            where it is empty).
        outcomes: one row for each RecordID of the ``Outcomes-*.txt``, columns named as there; None
            where there is no such file.
    """

    stays: pa.Table
    events: pa.Table
    outcomes: pa.Table | None


def parse_records(records: Mapping[str, bytes]) -> tuple[pa.Table, pa.Table]:
    """`Tables.stays` and `Tables.events` of the stays ``RecordID -> text``.

    A text that has the header alone is a stay of which nothing is known.

    Raises:
        DataError: a file lacks the header, has a line that is not ``hh:mm,parameter,value``, seems
            truncated, or names another RecordID than its own.

    >>> _, events = parse_records({"7": b"Time,Parameter,Value\\n00:30,HR,80\\n"})
    >>> events.to_pylist()
    [{'stay': 0, 'minute': 30, 'parameter': 'HR', 'value': 80.0}]
    """
    ids = sorted(records, key=lambda name: (int(name), name))
    bodies = [_body(name, records[name]) for name in ids]
    _refuse_truncated(ids, bodies)
    bodies = [_tidy(body) for body in bodies]
    counts = [body.count(b"\n") for body in bodies]
    lines = _parse_lines(b"".join(bodies), sum(counts))
    if lines is None:
        raise _bad_line(ids, bodies)
    stay = np.repeat(np.arange(len(ids), dtype=np.int32), counts)
    events = lines.add_column(0, "stay", pa.array(stay))
    _check_record_id(ids, events)
    return pa.table({"record_id": pa.array(ids, pa.string())}), events


def _body(name: str, text: bytes) -> bytes:
    """The text behind the header line."""
    header, _, body = text.partition(b"\n")
    if header.removeprefix(b"\xef\xbb\xbf").strip() != _HEADER:
        found = "another first line" if text else "no bytes at all"
        raise DataError(
            f"the file of a stay begins with the line {_HEADER.decode()}; {name}.txt has {found}; "
            "fetch it again, or take it out"
        )
    return body


def _refuse_truncated(ids: list[str], bodies: list[bytes]) -> None:
    """Where the files of a set end with a line break, one that does not was cut short."""
    open_ended = [k for k, body in enumerate(bodies) if body and not body.endswith(b"\n")]
    closed = sum(body.endswith(b"\n") for body in bodies)
    if open_ended and closed:
        raise DataError(
            f"files of a set end with a line break ({closed} do); {ids[open_ended[0]]}.txt does "
            "not and seems truncated; fetch it again"
        )


def _tidy(body: bytes) -> bytes:
    """Unix line ends, no blank lines, a line break at the end."""
    if b"\r" in body:
        body = body.replace(b"\r\n", b"\n")
    if b"\n\n" in body or body.startswith(b"\n"):
        body = b"\n".join(line for line in body.split(b"\n") if line)
    return body if not body or body.endswith(b"\n") else body + b"\n"


def _parse_lines(text: bytes, n_lines: int) -> pa.Table | None:
    """Columns minute, parameter, value of `n_lines` lines; None where one of them is bad."""
    names = pa.dictionary(pa.int32(), pa.string())
    if not text:
        empty = pa.schema([("minute", pa.int32()), ("parameter", names), ("value", pa.float64())])
        return empty.empty_table()
    try:
        table = pc.read_csv(
            io.BytesIO(text),
            pc.ReadOptions(column_names=["time", "parameter", "value"], block_size=2**23),
            pc.ParseOptions(quote_char=False),
            pc.ConvertOptions(
                column_types={"time": names, "parameter": names, "value": pa.float64()}
            ),
        )
    except pa.ArrowInvalid:
        return None
    table = table.unify_dictionaries().combine_chunks()
    time = table["time"].chunk(0)
    minutes = [_minutes(t) for t in time.dictionary.to_pylist()]
    if table.num_rows != n_lines or min(minutes) < 0:
        return None
    minute = np.array(minutes, dtype=np.int32)[time.indices.to_numpy()]
    return table.select(["parameter", "value"]).add_column(0, "minute", pa.array(minute))


def _minutes(time: str) -> int:
    """Minutes of ``hh:mm``; -1 for anything else."""
    match = _TIME.fullmatch(time)
    return int(match[1]) * 60 + int(match[2]) if match else -1


def _bad_line(ids: list[str], bodies: list[bytes]) -> DataError:
    """The error for the first bad line, by file and number, without its content."""
    where = "one of the lines"
    for name, body in zip(ids, bodies, strict=True):
        if _parse_lines(body, body.count(b"\n")) is None:
            lines = body.decode("utf-8", errors="replace").split("\n")
            bad = [k for k, line in enumerate(lines[:-1], start=2) if not _LINE.fullmatch(line)]
            where = f"line {bad[0]} of {name}.txt" if bad else f"a line of {name}.txt"
            break
    return DataError(
        f"each line of a stay reads hh:mm,parameter,number; {where} does not; "
        "fetch the file again or correct the line"
    )


def _check_record_id(ids: list[str], events: pa.Table) -> None:
    """Where a file names its RecordID, it is the one that it is called after."""
    own = pa.compute.equal(events["parameter"].cast(pa.string()), "RecordID")
    named = events.filter(own)
    expected = np.array([int(i) for i in ids], dtype=np.float64)[named["stay"].to_numpy()]
    wrong = np.flatnonzero(named["value"].to_numpy() != expected)
    if len(wrong):
        first = ids[named["stay"][wrong[0]].as_py()]
        raise DataError(
            f"a stay's file is called after its RecordID; {first}.txt ({len(wrong)} such files) "
            "names another one inside; fetch it again"
        )


def parse_outcomes(outcomes: Mapping[str, bytes]) -> pa.Table | None:
    """`Tables.outcomes` of the files ``name -> text``; None where there is none.

    Raises:
        DataError: a file is no table of numbers with the column RecordID, or a RecordID repeats.

    >>> parse_outcomes({"Outcomes-a.txt": b"RecordID,In-hospital_death\\n7,1\\n"}).to_pylist()
    [{'RecordID': 7, 'In-hospital_death': 1.0}]
    """
    if not outcomes:
        return None
    tables = [_parse_outcomes(name, text) for name, text in outcomes.items()]
    table = pa.concat_tables(tables, promote_options="default").combine_chunks()
    repeated = table.num_rows - len(pa.compute.unique(table["RecordID"]))
    if repeated:
        raise DataError(
            f"outcomes have one line for each RecordID; {repeated} lines repeat one in "
            f"{', '.join(outcomes)}; keep one of them"
        )
    return table


def _parse_outcomes(name: str, text: bytes) -> pa.Table:
    header = text.removeprefix(b"\xef\xbb\xbf").partition(b"\n")[0].decode("utf-8", "replace")
    columns = [c.strip() for c in header.split(",")]
    if "RecordID" not in columns or len(set(columns)) < len(columns):
        raise DataError(
            f"outcomes begin with a header that names RecordID and each column once; {name} does "
            "not; fetch it again"
        )
    types = {c: pa.int64() if c == "RecordID" else pa.float64() for c in columns}
    try:
        return pc.read_csv(
            io.BytesIO(text),
            pc.ReadOptions(column_names=columns, skip_rows=1),
            pc.ParseOptions(quote_char=False),
            pc.ConvertOptions(column_types=types),
        )
    except pa.ArrowInvalid as error:
        if "Empty CSV" in str(error):
            return pa.schema(list(types.items())).empty_table()
        raise DataError(
            f"each line of outcomes has {len(columns)} numbers, as many as its header; {name} has "
            "a line that has not; fetch it again"
        ) from None
