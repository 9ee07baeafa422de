"""`Results`: what a study's folder holds, read without torch."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, NamedTuple

from amodal.errors import StorageError
from amodal.metrics import METRICS, Interval, score, select
from amodal.study.files import read_json
from amodal.study.plan import NONE, Plan
from amodal.study.predictions import Predicted, read_predictions
from amodal.study.records import check_format
from amodal.types import Task

__all__ = ["OWN", "At", "Cell", "Results", "read_results"]

OWN = ("aum", "imro")
"""Methods that are this package's own subject; all others are what they are compared with."""


_OTHER = "run the study anew, into another folder"


class At(NamedTuple):
    """A point of a study: a mechanism of loss and a rate; rate None: the mean over all rates."""

    mechanism: str
    rate: float | None


@dataclass(frozen=True, eq=False)
class Cell:
    """One finished evaluation.

    Args:
        folder: of the study.
        record: what its file holds.
        label: the method as tables and figures name it.
    """

    folder: Path
    record: Mapping[str, Any]
    label: str

    @property
    def mechanism(self) -> str:
        """Name of the mechanism of loss, "none" at rate 0."""
        return self.record["mechanism"]

    @property
    def rate(self) -> float:
        """The rate asked for."""
        return self.record["rate"]

    @property
    def unit(self) -> tuple[int, int]:
        """(seed, fold): which rows were tested."""
        return self.record["seed"], self.record["fold"]

    @property
    def metrics(self) -> dict[str, Interval]:
        """The metrics with their intervals, as evaluated."""
        return {k: Interval.from_json(v) for k, v in self.record["metrics"].items()}

    @cached_property
    def predicted(self) -> Predicted:
        """The predictions, read when first asked for."""
        path = self.folder / "predictions" / f"{self.record['id']}.parquet"
        task = Task.from_json(self.record["task"])
        return read_predictions(path, task, self.record["modalities"])

    def score(self, metrics: Iterable[str], replicates: int) -> dict[str, Interval]:
        """`metrics` with intervals: as evaluated, or from the predictions where they lack."""
        known, names = self.metrics, list(metrics)
        lacking = [n for n in names if n not in known]
        if lacking:
            p = self.predicted
            known |= score(
                p.task.kind,
                p.target,
                p.outputs,
                metrics=lacking,
                weight=p.weight,
                group=p.group,
                replicates=replicates,
            )
        return {n: known[n] for n in names}


@dataclass(frozen=True, eq=False)
class Results:
    """The finished cells of a study that belong together, and what is known of the rest.

    Args:
        folder: of the study.
        plan: as last asked for.
        versions: with which it was last run.
        data: what the data consist of (`describe_data`).
        cells: finished evaluations on these data, by this version, under this protocol.
        failed: records of cells of the plan that did not work.
        expected: evaluations that the plan asks for.
        unfinished: those of them that are not finished.
        left_out: finished evaluations of other data, another version or another protocol.
    """

    folder: Path
    plan: Plan
    versions: Mapping[str, str]
    data: Mapping[str, Any]
    cells: tuple[Cell, ...]
    failed: tuple[Mapping[str, Any], ...] = ()
    expected: int = 0
    unfinished: int = 0
    left_out: int = 0
    _groups: dict[Any, list[Cell]] = field(default_factory=dict, repr=False)

    def __post_init__(self) -> None:
        for cell in self.cells:
            self._groups.setdefault((cell.label, cell.mechanism, cell.rate), []).append(cell)

    @property
    def task(self) -> Task:
        """What is predicted."""
        return Task.from_json(self.data["task"])

    @property
    def metrics(self) -> tuple[str, ...]:
        """The metrics of the plan, the primary one first."""
        return tuple(select(self.task.kind, self.plan.metrics or None))

    @property
    def primary(self) -> str:
        """The metric that the summary speaks of: the first that has a direction."""
        ranked = [m for m in self.metrics if METRICS[m].higher_is_better is not None]
        return (ranked or list(self.metrics))[0]

    @cached_property
    def methods(self) -> tuple[str, ...]:
        """Labels of the methods: those in focus first, then in the order of the plan."""
        order = {spec: k for k, spec in enumerate(self.plan.methods)}
        found = {c.label: order.get(c.record["method"]["spec"], len(order)) for c in self.cells}
        focus = self.focus
        return tuple(sorted(found, key=lambda m: (m not in focus, found[m], m)))

    @cached_property
    def focus(self) -> tuple[str, ...]:
        """Labels of the methods that the study is about."""
        specs: dict[str, str] = {c.label: c.record["method"]["spec"] for c in self.cells}
        if self.plan.focus:
            return tuple(label for label, spec in specs.items() if spec in self.plan.focus)
        own = tuple(m for m, spec in specs.items() if spec.split(":")[0] in OWN)
        first = [m for m, spec in specs.items() if spec == self.plan.methods[0]]
        return own or tuple(first[:1])

    @property
    def baselines(self) -> tuple[str, ...]:
        """Labels of the methods that those in focus are compared with."""
        return tuple(m for m in self.methods if m not in self.focus)

    @property
    def reference(self) -> str | None:
        """The label that every method is compared with; None where it has no finished cell."""
        specs = {c.label: c.record["method"]["spec"] for c in self.cells}
        wanted = [m for m in self.methods if specs[m] == self.plan.reference]
        return next(iter(wanted or self.methods), None)

    @cached_property
    def mechanisms(self) -> tuple[str, ...]:
        """The mechanisms with finished cells, in the order of the plan; "none" where all are."""
        found = {c.mechanism for c in self.cells} - {NONE}
        order = {m: k for k, m in enumerate(self.plan.mechanisms)}
        names = tuple(sorted(found, key=lambda m: (order.get(m, len(order)), m)))
        return names or ((NONE,) if self.cells else ())

    def rates(self, mechanism: str) -> tuple[float, ...]:
        """The rates with finished cells under a mechanism, 0 included."""
        return tuple(sorted({r for _, m, r in self._groups if m in (mechanism, NONE)}))

    def group(self, method: str, at: At) -> list[Cell]:
        """The cells of a method at one point, over seeds and folds; rate 0 is any mechanism's."""
        return self._groups.get((method, NONE if at.rate == 0 else at.mechanism, at.rate), [])

    def units(self, method: str, at: At) -> frozenset[tuple[int, int]]:
        """(seed, fold) of the finished cells of a method at one point."""
        return frozenset(c.unit for c in self.group(method, at))

    def points(self, *, means: bool = False) -> list[At]:
        """Mechanism by mechanism, rate by rate; rate 0, which all mechanisms share, comes once."""
        found = []
        for mechanism in self.mechanisms:
            rates = self.rates(mechanism)
            found += [At(NONE if r == 0 else mechanism, r) for r in rates]
            found += [At(mechanism, None)] if means and len(rates) > 1 else []
        return list(dict.fromkeys(found))

    def about(self, method: str) -> Mapping[str, Any]:
        """Name, title, reference, year, settings of a method."""
        return next(c.record["method"] for c in self.cells if c.label == method)

    def tidy(self) -> list[dict[str, Any]]:
        """One dict per cell and metric, seeds and folds apart."""
        return [row for cell in self.cells for row in self._tidy(cell)]

    def _tidy(self, cell: Cell) -> Iterable[dict[str, Any]]:
        rates, rows = cell.record["absence"], cell.record["rows"]
        head = {
            "method": cell.label,
            "mechanism": cell.mechanism,
            "rate": cell.rate,
            "achieved": rates["achieved"],
            "achieved_present": rates["achieved_present"],
            "natural_absence": rates["natural_absence"],
            "with_nothing": rates["empty_rows"],
            "seed": cell.unit[0],
            "fold": cell.unit[1],
        }
        for name, found in cell.score(self.metrics, self.plan.replicates).items():
            ends = {"value": found.value, "low": found.low, "high": found.high}
            yield {**head, "metric": name, **ends, "n": rows}


def read_results(folder: str | Path) -> Results:
    """What the folder of a study holds.

    Only cells that can be compared are kept: those on the data, by the version and under the
    protocol (folds, where modalities are absent, `keep_one`) of the last plan.

    Raises:
        StorageError: it is no study's folder, or a file in it cannot be read.

    >>> from tempfile import TemporaryDirectory
    >>> from amodal.study.records import write_head
    >>> with TemporaryDirectory() as folder:
    ...     plan = Plan("builtin:digits", ("mean",))
    ...     write_head(Path(folder), plan, [], description={"fingerprint": "x"})
    ...     results = read_results(folder)
    >>> results.plan.methods, results.expected, results.cells
    (('mean',), 0, ())
    """
    folder = Path(folder)
    if not (folder / "study.json").exists():
        raise StorageError(
            f"a study's folder holds study.json; {folder} does not; "
            "run `amodal study` with it as --out"
        )
    head = read_json(folder / "study.json", "the head of a study")
    check_format(head, str(folder), advice=_OTHER)
    plan, data = Plan.from_json(head["plan"]), head["data"]
    every = [read_json(p, "an evaluation") for p in sorted(folder.glob("evaluations/*.json"))]
    every = [r for r in every if "error" not in r]
    for record in every:
        check_format(record, f"evaluation {record.get('id')}", advice=_OTHER, kind="evaluation")
    kept = [r for r in every if _belongs(r, plan, head)]
    labels = _labels(kept)
    cells = [Cell(folder, r, labels[r["id"]]) for r in kept]
    cells.sort(key=lambda c: (c.label, c.mechanism, c.rate, c.unit))
    asked = head["cells"]["evaluations"]
    return Results(
        folder,
        plan,
        head["versions"],
        read_json(folder / "data" / f"{data}.json", "the description of the data"),
        tuple(cells),
        failed=tuple(_failed(folder, head)),
        expected=len(asked),
        unfinished=len(set(asked) - {r["id"] for r in kept}),
        left_out=len(every) - len(kept),
    )


def _belongs(record: Mapping[str, Any], plan: Plan, head: Mapping[str, Any]) -> bool:
    folds = plan.folds if plan.folds > 1 else 0
    same = record["data"] == head["data"] and record["package"] == head["versions"]["amodal"]
    none = record["mechanism"] == NONE
    loses = none or record["keep_one"] == plan.keep_one
    under = record["trained_under"]
    trained = under["mechanism"] == (NONE if plan.absent_at == "test" else record["mechanism"])
    trained = trained and under["rate"] == (0.0 if plan.absent_at == "test" else record["rate"])
    tested = none or (record["pattern"] is None) == (plan.absent_at == "training")
    hidden = under.get("hidden_labels", 0.0) == plan.hidden_labels
    return same and loses and trained and tested and hidden and record["folds"] == folds


def _labels(records: list[Mapping[str, Any]]) -> dict[str, str]:
    """Evaluation id -> label: the spec, with the settings that differ where it has several."""
    variants: dict[str, list[Mapping[str, Any]]] = defaultdict(list)
    for record in records:
        spec, settings = record["method"]["spec"], record["method"]["settings"]
        if settings not in variants[spec]:
            variants[spec].append(settings)
    found = {}
    for record in records:
        spec, settings = record["method"]["spec"], record["method"]["settings"]
        others = variants[spec]
        differ = [k for k, v in settings.items() if any(o.get(k, ...) != v for o in others)]
        told = ", ".join(f"{k}={settings[k]}" for k in sorted(differ))
        found[record["id"]] = spec if len(others) == 1 else f"{spec} ({told or 'defaults'})"
    return found


def _failed(folder: Path, head: Mapping[str, Any]) -> Iterable[Mapping[str, Any]]:
    for kind, cells in (("fits", "fits"), ("evaluations", "evaluations"), ("probes", "fits")):
        for path in sorted(folder.glob(f"{kind}/*.failed.json")):
            if path.name.removesuffix(".failed.json") in head["cells"][cells]:
                yield read_json(path, "the record of a failed cell")
