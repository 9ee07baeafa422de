"""Columns of a file, whatever its format."""

from __future__ import annotations

import re
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.cells import Coded, factorise
from amodal.errors import AmodalError, DataError, StorageError, unknown_name

__all__ = ["Cells", "Columns", "code_column", "object_array", "reading", "tidy"]

_WHOLE = re.compile(r"(-?(?:0|[1-9][0-9]*))\.0+")

Cells = tuple[np.ndarray, tuple[str, ...] | None]


class Columns:
    """The columns (or arrays) of a file.

    Args:
        path: the file.
        missing: texts that stand for a missing cell.
    """

    def __init__(self, path: Path, missing: Sequence[str] = ()) -> None:
        self.path, self.missing = path, frozenset(missing)
        self.names: tuple[str, ...] = ()

    def check(self, name: str) -> None:
        """Raises UnknownNameError where there is no column `name`."""
        if name not in self.names:
            raise unknown_name(f"column of {self.path.name}:", name, self.names)

    def load(self, columns: Sequence[str]) -> None:
        """Reads several columns at once, for later use."""
        for name in columns:
            self.check(name)

    def texts(self, name: str) -> np.ndarray:
        """A column as texts, None where missing (numbers as short as they go)."""
        raise NotImplementedError

    def coded(self, name: str) -> Coded:
        """A column as texts, each written once: what long tables are read as."""
        return Coded(*factorise(self._what(name), self.texts(name)))

    def floats(self, name: str) -> np.ndarray:
        """A column as floats, NaN where missing."""
        raise NotImplementedError

    def cells(self, name: str, *, categorical: bool = False) -> Cells:
        """(a column as floats, or as names where it is categorical; its levels where it has some).

        Raises:
            DataError: text in a column of numbers.
        """
        raise NotImplementedError

    def target(self, name: str) -> Cells:
        """A column as numbers where all of its cells are numbers, else as names."""
        return self.cells(name)

    def _what(self, name: str) -> str:
        return f"column {name!r} of {self.path.name}"

    def _clean(self, found: Sequence[str | None]) -> np.ndarray:
        stripped = [None if x is None else x.strip() for x in found]
        return object_array([None if x in self.missing else x for x in stripped])


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Turns what readers raise into one sentence (theirs may quote cells).

    Raises:
        StorageError: in place of an error of the system.
        DataError: in place of one about the content.

    >>> with reading(Path("a.csv")):
    ...     raise ValueError("cell 4711 is bad")
    Traceback (most recent call last):
    amodal.errors.DataError: a.csv cannot be read: it is truncated, damaged, or not of the format ...
    """
    import pyarrow as pa

    try:
        yield
    except AmodalError:
        raise
    except (OSError, zlib.error, EOFError) as error:
        reason = getattr(error, "strerror", None) or "it is damaged"
        raise StorageError(f"{path} could not be read: {reason}; check the file") from error
    except (pa.ArrowException, ValueError, KeyError, zipfile.BadZipFile, NotImplementedError) as e:
        utf8 = "UTF8" in str(e)
        raise DataError(
            f"{path} cannot be read: it is truncated, damaged, or not "
            f"{'encoded as UTF-8' if utf8 else 'of the format that its name says'}; "
            f"{'save it as UTF-8' if utf8 else 'check the file and its delimiter'}"
        ) from None


def code_column(column: Any, clean: Callable[[list], Sequence[str | None]]) -> Coded:
    """An arrow column of texts, its distinct ones cleaned; those that become equal are one.

    >>> import pyarrow as pa
    >>> column = pa.chunked_array([["a ", "a", None, "b"]])
    >>> coded = code_column(column, lambda names: [name.strip() for name in names])
    >>> coded.positions.tolist(), coded.names
    ([0, 0, -1, 1], ['a', 'b'])
    """
    import pyarrow as pa

    column = column if pa.types.is_dictionary(column.type) else column.dictionary_encode()
    array = column.unify_dictionaries().combine_chunks()
    distinct = clean(array.dictionary.to_pylist())
    positions, names = factorise("a column", object_array(distinct))
    indices = array.indices.fill_null(-1).to_numpy(zero_copy_only=False)
    return Coded(np.append(positions, -1)[indices], list(names))


def object_array(found: Sequence[Any]) -> np.ndarray:
    """``object[n]``, never an array of more dimensions.

    >>> object_array([[1, 2], [3, 4]]).shape
    (2,)
    """
    array = np.empty(len(found), dtype=object)
    array[:] = found
    return array


def tidy(text: str | None) -> str | None:
    """A whole number without its decimals: with gaps, a column of 1 and 2 is written 1.0 and 2.0.

    >>> tidy("1.0"), tidy("1.50"), tidy("007.0")
    ('1', '1.50', '007.0')
    """
    whole = _WHOLE.fullmatch(text) if text else None
    return whole[1] if whole else text
