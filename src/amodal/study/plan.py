"""`Plan`: what a study compares, as settings that are kept as JSON."""

from __future__ import annotations

import operator
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields, replace
from typing import Any

from amodal.checks import check_fraction
from amodal.errors import SettingError, unknown_name
from amodal.settings import parse_method, told, told_spec
from amodal.shifts.rates import rates_text

__all__ = ["ABSENT_AT", "NONE", "Plan"]

ABSENT_AT = ("test", "training", "both")
"""Where modalities are lost: at test only (fit once), at training only, or at both alike."""
NONE = "none"
"""Name of the mechanism of a cell at rate 0."""
_MOST_SEEDS = 10_000


@dataclass(frozen=True)
class Plan:
    """Methods x rates x mechanisms x seeds (x folds) on one data set.

    A seed varies three things together: the split into development and test rows, the pattern of
    loss, and the model's own seed. Everything is drawn once per seed and the same for all methods.

    Args:
        data: a prepared folder, or ``builtin:NAME``.
        methods: specs such as ``"boosting"`` or ``"aum:aggregation=posterior:ensemble=4"``.
        rates: probabilities that a (row, modality) pair is lost; 0 is the data as they are. A table
            of rates per modality, ``{"labs": 0.7, "notes": 0.1}`` or ``"labs=0.7/notes=0.1"`` (0
            for those not named), goes to `unequal`.
        mechanisms: names of shifts, with settings as in `methods` (``"mnar:odds_ratio=2"``): losses,
            changes of values (the rate is then that of changed pairs), or both
            (``"mcar+noise:severity=2"``).
        unequal: tables of rates per modality as texts; each is done under every mechanism that
            loses modalities, and shown under the mean of its rates.
        seeds: whole numbers; a single number k stands for 0 .. k-1.
        folds: 0 or 1: one split per seed; k: k-fold cross-validation per seed.
        absent_at: ``"test"``: fit once on the data as they are, evaluate under every shift;
            ``"both"``: training rows lose too, by the same mechanism and rate (one fit per rate);
            ``"training"``: training rows alone, tested on the data as they are.
        keep_one: a row never loses all that it had.
        hidden_labels: share of the groups (or rows) of a fit's development rows whose labels are
            hidden from it, drawn by the fit's seed and the same for all methods.
        probe: whether it is measured what reliability is worth (`amodal.study.probe`).
        settings: settings of the models: key ``"*"`` for all methods, ``"neural"`` or ``"classic"``
            for a family, a method's name, or a whole spec; the later in this order wins, and a
            value in the spec itself wins over all.
        metrics: names; empty for the default ones of the task. The first is the primary one.
        replicates: bootstrap replicates of every interval.
        jobs: processes; changes nothing in the results.
        focus: specs of the methods that the study is about; the others are the baselines. Empty:
            those whose name is one of this package's own methods, else the first method.
        reference: the spec that every method is compared with; empty for the first of `focus`.
        subgroups: columns by which results are told apart: facts of the data (``"sex"``), or columns
            of a table (``"demographics.age:18:65"``; numbers are cut at the values behind colons).
        site: a column that says where a row comes from, in the same form; ``"group"`` for the groups
            of the data. Where folds keep sites on one side, results are pooled over held-out sites.
        thresholds: risks from which one would act, for binary tasks.
        tuned: name of the file of tuned settings, which are part of `settings` already.
        margin: non-inferiority margin of the primary metric, stated before the results are known: a
            method whose difference has its whole 95% interval above -margin is "non-inferior". 0
            states none.

    Raises:
        SettingError: a value that has no meaning here.

    >>> plan = Plan("builtin:digits", ("aum", "boosting"), seeds=3)
    >>> plan.seeds, Plan.from_json(plan.to_json()) == plan
    ((0, 1, 2), True)
    """

    data: str
    methods: tuple[str, ...]
    rates: tuple[float, ...] = (0.0, 0.3, 0.5, 0.7)
    mechanisms: tuple[str, ...] = ("mcar",)
    seeds: tuple[int, ...] = (0,)
    folds: int = 0
    absent_at: str = "test"
    keep_one: bool = False
    settings: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    metrics: tuple[str, ...] = ()
    replicates: int = 1000
    jobs: int = 1
    focus: tuple[str, ...] = ()
    reference: str = ""
    margin: float = 0.0
    subgroups: tuple[str, ...] = ()
    site: str = ""
    thresholds: tuple[float, ...] = (0.05, 0.1, 0.2, 0.5)
    tuned: str = ""
    unequal: tuple[str, ...] = ()
    hidden_labels: float = 0.0
    probe: bool = False

    def __post_init__(self) -> None:
        self._set("data", str(self.data))
        for name in ("methods", "mechanisms", "metrics", "focus", "subgroups"):
            self._set(name, _names(name, getattr(self, name)))
        given = (self.rates,) if isinstance(self.rates, Mapping) else _many(self.rates)
        table = [isinstance(r, Mapping) or (isinstance(r, str) and "=" in r) for r in given]
        plain = [r for r, yes in zip(given, table, strict=True) if not yes]
        tables = [r for r, yes in zip(given, table, strict=True) if yes] + [*_many(self.unequal)]
        self._set("unequal", tuple(dict.fromkeys(map(rates_text, tables))))
        rates = [check_fraction("an absence rate", r) for r in plain]
        self._set("rates", tuple(sorted(set(rates))))
        risks = [check_fraction("a threshold", t) for t in _many(self.thresholds)]
        self._set("thresholds", tuple(sorted(set(risks))))
        if isinstance(seeds := self.seeds, int):
            seeds = _whole("the number of seeds", seeds, 1)
            if seeds > _MOST_SEEDS:
                raise SettingError(
                    f"a study has at most {_MOST_SEEDS} seeds; got {seeds}; to name one, write "
                    f"[{seeds}]"
                )
            seeds = range(seeds)
        self._set("seeds", tuple(_whole("a seed", s, 0) for s in _many(seeds)))
        self._set("folds", _whole("the number of folds", self.folds, 0))
        self._set("replicates", _whole("the number of replicates", self.replicates, 1))
        self._set("jobs", _whole("the number of jobs", self.jobs, 1))
        for name in ("keep_one", "probe"):
            self._set(name, _truth(name, getattr(self, name)))
        hidden = check_fraction("the share of hidden labels", self.hidden_labels)
        self._set("hidden_labels", hidden)
        self._set("margin", check_fraction("a non-inferiority margin", self.margin))
        settings = {str(k): dict(_table(k, v)) for k, v in _table("", self.settings).items()}
        self._set("settings", settings)
        self._check()

    def _set(self, name: str, value: Any) -> None:
        object.__setattr__(self, name, value)  # the dataclass is frozen

    def _check(self) -> None:
        for name in ("methods", "rates", "seeds"):
            if not getattr(self, name) and not (name == "rates" and self.unequal):
                raise SettingError(f"a study needs at least one of {name}; got none; name one")
        for name in ("methods", "mechanisms", "seeds", "focus", "subgroups"):
            values = getattr(self, name)
            if len(set(values)) < len(values):
                raise SettingError(f"the {name} of a study differ; some repeat; name each once")
        if (max(self.rates, default=0) > 0 or self.unequal) and not self.mechanisms:
            raise SettingError("a rate above 0 needs a mechanism; got none; name one (mcar)")
        if not all(0 < t < 1 for t in self.thresholds):
            raise SettingError("a threshold lies between 0 and 1, without the ends; change it")
        if self.hidden_labels == 1:
            raise SettingError(
                "some labels must stay known; got a share of hidden labels of 1; lower it"
            )
        if self.absent_at not in ABSENT_AT:
            raise unknown_name("absent_at", self.absent_at, ABSENT_AT)
        for spec in (*self.focus, *filter(None, [self.reference])):
            if spec not in self.methods:
                raise unknown_name("method of the study", spec, self.methods)
        for spec in self.methods:
            parse_method(spec)
        for mechanism in self.mechanisms:
            _no_rate_of_its_own(mechanism)

    def __hash__(self) -> int:
        return hash((self.data, self.methods, self.rates, self.mechanisms, self.seeds, self.folds))

    @property
    def n_folds(self) -> int:
        """Test parts per seed: 1 where there is one split."""
        return max(1, self.folds)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads, with every field."""
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        return {k: list(v) if isinstance(v, tuple) else v for k, v in values.items()}

    def told(self) -> Plan:
        """The plan as files and reports show it: folders of encoders by their last part.

        >>> Plan("d", ("aum:names=/home/someone/bert",)).told().methods
        ('aum:names=bert',)
        """
        return replace(
            self,
            methods=tuple(map(told_spec, self.methods)),
            mechanisms=tuple(map(told_spec, self.mechanisms)),
            focus=tuple(map(told_spec, self.focus)),
            reference=told_spec(self.reference) if self.reference else self.reference,
            settings={told_spec(k): told(v) for k, v in self.settings.items()},
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Plan:
        """The plan that `to_json` wrote; fields that are left out take their defaults.

        Raises:
            UnknownNameError: a field that plans do not have.
            SettingError: a value that has no meaning here, or ``data`` or ``methods`` left out.
        """
        known = [f.name for f in fields(cls)]
        for key in data:
            if key not in known:
                raise unknown_name("field of a study plan", key, known)
        for key in ("data", "methods"):
            if key not in data:
                raise SettingError(f"a study plan names {key!r}; this one does not; add it")
        return cls(**data)


def _many(values: Any) -> tuple[Any, ...]:
    if isinstance(values, str) or not isinstance(values, Iterable):
        return (values,)
    return tuple(values)


def _names(what: str, values: Any) -> tuple[str, ...]:
    names = tuple(str(v).strip() for v in _many(values))
    if not all(names):
        raise SettingError(f"the {what} of a study have names; got an empty one; leave it out")
    return names


def _whole(what: str, value: Any, least: int) -> int:
    try:
        number = operator.index(value)
    except TypeError:
        number = least - 1
    if number < least or isinstance(value, bool):
        raise SettingError(
            f"{what} must be a whole number of at least {least}; got {value!r}; change it"
        )
    return number


def _truth(what: str, value: Any) -> bool:
    """``bool("no")`` is true, so a text is refused."""
    if value not in (True, False):
        raise SettingError(f"{what} of a study is true or false; got {value!r}; change it")
    return bool(value)


def _table(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise SettingError(
            "settings of a study are a table per method, {method: {name: value}}; "
            f"got {value!r}{f' for {key!r}' if key else ''}; write them so"
        )
    return value


def _no_rate_of_its_own(mechanism: str) -> None:
    """Beside a loss noise may state one: it is the loss that takes the rate of a cell."""
    parts = [parse_method(part)[1] for part in mechanism.split("+")]
    stated = {"seed" for part in parts if "seed" in part}
    if len(parts) == 1 and "rate" in parts[0]:
        stated.add("rate")
    for key in sorted(stated):
        raise SettingError(
            f"the {key} of a mechanism is that of a study's cells; {mechanism!r} states its own; "
            f"take it out and write {key}s = [...]"
        )
