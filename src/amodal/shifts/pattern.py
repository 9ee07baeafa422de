"""`LossPattern`: which (row, modality) pairs a shift loses, kept as a file and replayed."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.errors import DataError, StorageError, unknown_name
from amodal.types import NOT_MEASURED

__all__ = ["LossPattern", "LossRates"]

_FORMAT, _VERSION = "amodal-loss-pattern", 1
_COLUMN = "lost:"  # before a modality's name, so that one called "row_id" is no clash
_WORSE = "worse:"


def _share(where: np.ndarray) -> float:
    """The share of true entries; NaN where there are none to count."""
    return float(where.mean()) if where.size else math.nan


@dataclass(frozen=True)
class LossRates:
    """What was asked of a loss and what came out: shares in [0, 1], NaN where nothing is counted.

    Pairs are those of the modalities concerned, whether measured or not.

    Args:
        requested: the rate asked for.
        expected: the mean of the probabilities with which pairs were lost.
        achieved: the share of pairs lost.
        achieved_present: the share of the pairs present before that were lost.
        natural_absence: the share of pairs not measured before.
        neutral: the share of pairs without a score, lost at the rate asked for (0 under MCAR).
        empty_before: the share of rows with no modality present before.
        empty_rows: the share of rows left with no modality.
        kept_rows: the share of rows in which `keep_one` brought a modality back.
        per_modality: modality -> its own ``expected``, ``achieved``, ``achieved_present`` and
            ``natural_absence``.
        worse: the share of present pairs whose values were changed.

    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]], "b": [[1.0], None]})
    >>> lost = np.array([[True, True], [False, True]])
    >>> rates = LossPattern.measure(d, lost, requested=0.5).rates
    >>> rates.achieved, round(rates.achieved_present, 3), rates.natural_absence, rates.empty_rows
    (0.75, 0.667, 0.25, 0.5)
    """

    requested: float
    expected: float
    achieved: float
    achieved_present: float
    natural_absence: float
    neutral: float
    empty_before: float
    empty_rows: float
    kept_rows: float
    per_modality: Mapping[str, Mapping[str, float]]
    worse: float = 0.0

    def describe(self) -> str:
        """The rates in words.

        >>> r = LossRates(0.5, 0.5, 0.48, 0.47, 0.2, 0.0, 0.0, 0.1, 0.0, {})
        >>> r.describe()[:58]
        'Asked to lose 50.0% of the pairs; lost 48.0% of all pairs '
        """
        kept = "."
        if self.kept_rows > 0:
            kept = (
                f"; less than drawn, because one modality was kept in {self.kept_rows:.1%} of the "
                "rows, which would have lost all."
            )
        return (
            f"Asked to lose {self.requested:.1%} of the pairs; lost {self.achieved:.1%} of all "
            f"pairs and {self.achieved_present:.1%} of those present (expected "
            f"{self.expected:.1%}); {self.natural_absence:.1%} had not been measured; "
            f"{self.empty_rows:.1%} of the rows are left with nothing{self._worse()}{kept}"
        )

    def _worse(self) -> str:
        return f"; values of {self.worse:.1%} of those present were changed" if self.worse else ""

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads; NaN becomes null."""
        return _without_nan(asdict(self))

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> LossRates:
        """The rates that `to_json` wrote."""
        known = {f.name: data[f.name] for f in fields(cls) if f.name != "worse"}
        known["worse"] = data.get("worse", 0.0)
        return cls(**_with_nan(known))


def _without_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _without_nan(v) for k, v in value.items()}
    return None if isinstance(value, float) and math.isnan(value) else value


def _with_nan(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {k: _with_nan(v) for k, v in value.items()}
    return math.nan if value is None else value


@dataclass(frozen=True, eq=False)
class LossPattern:
    """The pairs that are lost, by row id and modality name; the same for every method.

    Args:
        row_id: ``str[n]``, unique.
        names: the m modalities.
        lost: ``Bool[n, m]``.
        spec: the shift that drew it (`Shift.to_json`), with what it learned under ``learned``.
        rates: what was asked and what came out, on the rows it was drawn for.
        worse: ``Bool[n, m]`` the pairs whose values were changed, None where none were: `apply`
            does not change them again, `Composed` does, the same way at the same seed.

    >>> d = Dataset.from_arrays({"a": [[1.0], [2.0]]}, rows={"row_id": ["p", "q"]})
    >>> p = LossPattern.measure(d, np.array([[True], [False]]), requested=0.5)
    >>> p.apply(d[::-1]).present.tolist()
    [[True], [False]]
    """

    row_id: np.ndarray
    names: tuple[str, ...]
    lost: np.ndarray
    spec: Mapping[str, Any]
    rates: LossRates
    worse: np.ndarray | None = None

    def __post_init__(self) -> None:
        if self.lost.shape != (len(self.row_id), len(self.names)):
            raise DataError(
                f"a pattern of loss has one entry per row and modality, "
                f"{(len(self.row_id), len(self.names))}; got {self.lost.shape}; reshape it"
            )
        self.lost.setflags(write=False)

    @classmethod
    def measure(
        cls,
        data: Dataset,
        lost: np.ndarray,
        *,
        requested: float,
        probability: np.ndarray | None = None,
        columns: np.ndarray | None = None,
        neutral: np.ndarray | None = None,
        kept: np.ndarray | None = None,
        spec: Mapping[str, Any] | None = None,
    ) -> LossPattern:
        """The pattern `lost` of `data` with its rates.

        Args:
            data: the rows it was drawn for, before the loss.
            lost: ``Bool[n, m]``.
            requested: the rate asked for.
            probability: ``Float[n, c]`` with which each pair was lost; `requested` if left out.
            columns: ``Int[c]`` the modalities concerned; all if left out.
            neutral: ``Bool[n, c]`` pairs without a score; none if left out.
            kept: ``Bool[n]`` rows in which one modality was kept; none if left out.
            spec: the shift.
        """
        n, m = data.shape
        lost = np.array(lost, dtype=bool)
        columns = np.arange(m) if columns is None else columns
        shape = (n, len(columns))
        probability = np.full(shape, requested) if probability is None else probability
        neutral = np.zeros(shape, dtype=bool) if neutral is None else neutral
        per_modality = {
            data.names[k]: _pair_rates(data, lost, probability[:, [j]], np.array([k]))
            for j, k in enumerate(columns.tolist())
        }
        rates = LossRates(
            requested=requested,
            **_pair_rates(data, lost, probability, columns),
            neutral=_share(neutral),
            empty_before=_share(~data.present.any(axis=1)),
            empty_rows=_share(~(data.present & ~lost).any(axis=1)),
            kept_rows=_share(np.zeros(n, dtype=bool) if kept is None else kept),
            per_modality=per_modality,
        )
        return cls(data.row_id, data.names, lost, dict(spec or {}), rates)

    def apply(self, data: Dataset) -> Dataset:
        """`data` with the pairs of the pattern `LOST`; rows and modalities are joined by name.

        The pattern may hold more rows and modalities than `data`, not fewer.

        Raises:
            DataError: rows of `data` are not in the pattern.
            UnknownNameError: a modality of `data` is not in the pattern.
        """
        for name in data.names:
            if name not in self.names:
                raise unknown_name("modality of the pattern of loss", name, self.names)
        columns = [self.names.index(name) for name in data.names]
        changed = data.lose(self.lost[self._join(data.row_id)][:, columns])
        if not self.spec:
            return changed
        done = [*data.provenance.get("shifts", ()), dict(self.spec)]
        return changed.replace(provenance={**data.provenance, "shifts": done})

    def _join(self, row_id: np.ndarray) -> np.ndarray:
        """``Int[n]`` positions of `row_id` in the pattern."""
        order = np.argsort(self.row_id, kind="stable")
        at = np.searchsorted(self.row_id, row_id, sorter=order)
        found = order[np.minimum(at, len(order) - 1)] if len(order) else at - 1
        missing = int((self.row_id[found] != row_id).sum()) if len(order) else len(row_id)
        if missing:
            raise DataError(
                f"a pattern of loss must hold every row that it is applied to; {missing} of "
                f"{len(row_id)} rows are not in it; draw it for these data"
            )
        return found

    def describe(self) -> str:
        """The rates in words."""
        return self.rates.describe()

    def save(self, path: str | Path) -> Path:
        """Writes one Parquet file: ``row_id`` and columns ``lost:<modality>``; JSON in its schema.

        Raises:
            StorageError: the file cannot be written; nothing is left behind under its name.
        """
        import pyarrow as pa
        import pyarrow.parquet as pq

        path = Path(path)
        columns = {"row_id": pa.array(self.row_id.tolist(), pa.string())}
        for k, name in enumerate(self.names):
            columns[_COLUMN + name] = pa.array(self.lost[:, k])
            if self.worse is not None:
                columns[_WORSE + name] = pa.array(self.worse[:, k])
        facts = {"format": _FORMAT, "version": _VERSION, "spec": dict(self.spec)}
        facts["rates"] = self.rates.to_json()
        table = pa.table(columns).replace_schema_metadata({"amodal": json.dumps(facts)})
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_whole(path, lambda part: pq.write_table(table, part))
        except OSError as error:
            raise StorageError(
                f"a pattern of loss is written to one file; {path} could not be written "
                f"({error.strerror or error}); choose another place"
            ) from error
        return path

    @classmethod
    def load(cls, path: str | Path) -> LossPattern:
        """The pattern that `save` wrote.

        Raises:
            StorageError: the file is missing, unreadable, foreign, or of a later version.
        """
        table, facts = _read(Path(path))
        names = tuple(c[len(_COLUMN) :] for c in table.column_names if c.startswith(_COLUMN))
        lost, worse = (_columns(table, prefix, names) for prefix in (_COLUMN, _WORSE))
        row_id = np.array(table["row_id"].to_pylist(), dtype=str)
        rates = LossRates.from_json(facts["rates"])
        return cls(row_id, names, lost, facts["spec"], rates, worse)


def _columns(table: Any, prefix: str, names: tuple[str, ...]) -> np.ndarray | None:
    """``Bool[n, m]`` the columns of `names`; None where the file has none with this prefix."""
    if not any(c.startswith(prefix) for c in table.column_names):
        return None if prefix == _WORSE else np.zeros((table.num_rows, 0), dtype=bool)
    each = [table[prefix + name].to_numpy(zero_copy_only=False) for name in names]
    return np.column_stack(each).astype(bool).reshape(table.num_rows, len(names))


def _pair_rates(
    data: Dataset, lost: np.ndarray, probability: np.ndarray, columns: np.ndarray
) -> dict[str, float]:
    lost, present = lost[:, columns], data.present[:, columns]
    return {
        "expected": round(float(probability.mean()), 12) if probability.size else math.nan,
        "achieved": _share(lost),
        "achieved_present": _share(lost[present]),
        "natural_absence": _share(data.absence[:, columns] == NOT_MEASURED),
    }


def _write_whole(path: Path, write: Any) -> None:
    """Writes to a sibling first, so that a half-written file never has the final name."""
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        write(part)
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)


def _read(path: Path) -> tuple[Any, dict[str, Any]]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise StorageError(
            f"a pattern of loss is one Parquet file; {path} is missing or cannot be read; "
            "draw and save it again"
        ) from error
    facts = json.loads((table.schema.metadata or {}).get(b"amodal", b"{}"))
    if facts.get("format") != _FORMAT or facts.get("version") != _VERSION:
        raise StorageError(
            f"a pattern of loss has format {_FORMAT} version {_VERSION}; {path} has "
            f"{facts.get('format', 'none')} {facts.get('version', '')}".rstrip()
            + "; save it again with this version"
        )
    return table, facts
