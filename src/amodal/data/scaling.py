"""`Scaler`: a common scale for values and a vocabulary for names, from the training rows alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.data.scaling_kinds import (
    apply_values,
    fit_values,
    match_classes,
    moments,
    no_values,
    used_values,
)
from amodal.errors import CheckpointError, DataError, unknown_name
from amodal.types import LOST, Modality, Task
from amodal.values import Values
from amodal.vocabulary import Vocabulary

__all__ = ["Scaler"]


@dataclass(frozen=True, eq=False)
class Scaler:
    r"""What a model must know of its training rows to read any other rows.

    Numbers become ``clip((x - mean) / std, -clip, clip)`` with mean and standard deviation over
    the training cells; missing cells stay NaN, columns that are constant in training become 0.
    Times are divided by the 99th percentile of \|time\|. Levels, codes and event types become
    positions in the lists of those seen in training, the unseen -1; codes are listed by falling
    frequency, at most 4,096. A real target is standardised. Text, images and audio pass unchanged.

    A value that many rows share counts once; a value that no row holds does not count.

    Args:
        modalities: the modalities after scaling, with the training rows' levels and vocabularies.
        task: what is predicted.
        clip: bound of a scaled number, in standard deviations.
        target_mean: of the labelled training rows (regression; else 0).
        target_std: the same (else 1).
        stats: modality name -> ``mean``, ``std`` ``Float64[d]`` (std 0 = constant), ``time_unit``
            ``Float64[]``.

    >>> d = Dataset.from_arrays({"a": [[1.0], [3.0]]}, [0, 1])
    >>> Scaler.fit(d).apply(d).values["a"].data["numeric"].tolist()
    [[-1.0], [1.0]]
    """

    modalities: tuple[Modality, ...]
    task: Task | None = None
    clip: float = 8.0
    target_mean: float = 0.0
    target_std: float = 1.0
    stats: Mapping[str, Mapping[str, np.ndarray]] = field(default_factory=dict)

    @classmethod
    def fit(
        cls,
        data: Dataset,
        *,
        clip: float = 8.0,
        tokens: Callable[[Iterable[str]], Vocabulary] = Vocabulary.fit,
    ) -> Scaler:
        """The scaler of the training rows `data`.

        Args:
            data: training rows.
            clip: see above.
            tokens: makes the vocabulary of a sequence task that has none out of all references.
        """
        found = [fit_values(m, used_values(data.values[m.name])) for m in data.modalities]
        mean, std = _target_scale(data)
        return cls(
            modalities=tuple(m for m, _ in found),
            task=_fitted_task(data, tokens),
            clip=float(clip),
            target_mean=mean,
            target_std=std,
            stats={m.name: s for m, s in found},
        )

    def apply(self, data: Dataset) -> Dataset:
        """`data` as the training rows' scaler sees it; floats come out as float32.

        Modalities are put into the training order; one that `data` lacks is `LOST` in every row.
        Features, levels and codes are matched by name; lacking features are missing cells, further
        ones are left out. Classes are matched by name.

        Raises:
            UnknownNameError: a modality that was not there in training.
            DataError: another kind of modality, no feature in common, an unknown class.
        """
        known = [m.name for m in self.modalities]
        for name in data.names:
            if name not in known:
                raise unknown_name("modality", name, known)
        absence = np.full((len(data), len(known)), LOST, dtype=np.int8)
        values = {}
        for k, m in enumerate(self.modalities):
            if m.name in data.names:
                absence[:, k] = data.absence[:, data.names.index(m.name)]
                values[m.name] = self._apply_modality(m, data)
            else:
                values[m.name] = no_values(m, len(data))
        target = self._apply_target(data)
        return data.replace(
            modalities=self.modalities,
            values=values,
            absence=absence,
            target=target,
            task=self.task if self.task is not None else data.task,
        )

    def _apply_modality(self, to: Modality, data: Dataset) -> Values:
        own, values = data.modality(to.name), data.values[to.name]
        if own.kind != to.kind:
            raise DataError(
                f"modality {to.name!r} was of kind {to.kind} in training; got {own.kind}; "
                "prepare it in the same way"
            )
        return apply_values(values, to, own=own, stats=self.stats[to.name], clip=self.clip)

    def _apply_target(self, data: Dataset) -> np.ndarray | None:
        if data.target is None or self.task is None:
            return data.target
        if data.task.kind != self.task.kind:
            raise DataError(
                f"the task was {self.task.kind} in training; got {data.task.kind}; "
                "hand in the same target"
            )
        if not self.task.is_classification:
            return (data.target - self.target_mean) / self.target_std
        return match_classes(data.target, data.task, self.task)

    def to_state(self) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
        """(a JSON object, named arrays): all that `from_state` needs."""
        facts = {
            "modalities": [m.to_json() for m in self.modalities],
            "task": None if self.task is None else self.task.to_json(),
            "clip": self.clip,
            "target_mean": self.target_mean,
            "target_std": self.target_std,
        }
        arrays = {f"{n}/{k}": x for n, s in self.stats.items() for k, x in s.items()}
        return facts, arrays

    @classmethod
    def from_state(cls, facts: Mapping[str, Any], arrays: Mapping[str, np.ndarray]) -> Scaler:
        """The scaler that `to_state` wrote.

        Raises:
            CheckpointError: it is not a scaler's state.
        """
        try:
            modalities = tuple(Modality.from_json(m) for m in facts["modalities"])
            stats: dict[str, dict[str, np.ndarray]] = {m.name: {} for m in modalities}
            for name, array in arrays.items():
                modality, key = name.rsplit("/", 1)
                stats[modality][key] = np.asarray(array, dtype=np.float64)
            task = None if facts["task"] is None else Task.from_json(facts["task"])
            numbers = {k: float(facts[k]) for k in ("clip", "target_mean", "target_std")}
        except (KeyError, TypeError, ValueError) as error:
            raise CheckpointError(
                "a stored scaler holds modalities, task, clip and target scale; "
                f"this one does not ({type(error).__name__}); train the model again"
            ) from error
        return cls(modalities=modalities, task=task, stats=stats, **numbers)


def _fitted_task(data: Dataset, tokens: Callable[[Iterable[str]], Vocabulary]) -> Task | None:
    task = data.task
    if task is None or task.kind != "sequence" or task.vocabulary or data.references is None:
        return task
    return task.with_vocabulary(tokens(text for texts in data.references for text in texts))


def _target_scale(data: Dataset) -> tuple[float, float]:
    if data.task is None or data.task.kind != "regression" or not data.labelled.any():
        return 0.0, 1.0
    found = moments(data.target[data.labelled][:, None])
    return float(found["mean"][0]), float(found["std"][0]) or 1.0
