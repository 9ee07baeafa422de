"""What is read of a raw table, wherever it is: its columns, their types, its key."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from amodal.errors import DataError

__all__ = ["RawTable", "choose_columns", "repeated_key"]


@dataclass(frozen=True)
class RawTable:
    """What is read of one table.

    Args:
        name: of the file, without suffix; case does not count.
        columns: column -> "int", "float", "text" or "time"; all of them are needed.
        optional: the same of columns that some versions lack: null there.
        key: columns that together occur once.
        since: which version has the table, for error texts.
        aliases: column -> a name that it has in other versions.

    >>> table = RawTable("admissions", {"race": "text"}, aliases={"race": "ethnicity"})
    >>> choose_columns("a.csv", ["ethnicity"], table)
    {'race': 'ethnicity'}
    """

    name: str
    columns: Mapping[str, str]
    optional: Mapping[str, str] = field(default_factory=dict)
    key: tuple[str, ...] = ()
    since: str = ""
    aliases: Mapping[str, str] = field(default_factory=dict)


def choose_columns(where: str, names: list[str], table: RawTable) -> dict[str, str]:
    """Our name of a column -> the one among `names`; `where` is what an error calls the source.

    Raises:
        DataError: one that is needed is lacking.

    >>> table = RawTable("t", {"race": "text"}, {"flag": "text"}, aliases={"race": "ethnicity"})
    >>> choose_columns("t.csv", ["ID", "Ethnicity"], table)
    {'race': 'Ethnicity'}
    """
    there = {n.lower(): n for n in names}
    chosen: dict[str, str] = {}
    for name in (*table.columns, *table.optional):
        raw = there.get(name) or there.get(table.aliases.get(name, name))
        if raw is not None:
            chosen[name] = raw
        elif name in table.columns:
            since = f" ({table.since} has it)" if table.since else ""
            raise DataError(
                f"table {table.name} needs the column {name}{since}; {where} has "
                f"{', '.join(names)[:120]}; use the file as it is published"
            )
    return chosen


def repeated_key(table: RawTable, lines: int) -> DataError:
    """What to say where `lines` repeat a key.

    >>> print(repeated_key(RawTable("patients", {"id": "int"}, key=("id",)), 2))
    each id occurs once in table patients; 2 lines repeat one; keep one of them
    """
    return DataError(
        f"each {' and '.join(table.key)} occurs once in table {table.name}; {lines} lines "
        "repeat one; keep one of them"
    )
