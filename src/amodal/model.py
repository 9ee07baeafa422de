"""`Model`: the front door. Fit, predict, score, save and load, with scikit-learn's conventions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from sklearn.base import BaseEstimator

import amodal
from amodal.batch import Prediction
from amodal.checks import check_trainable
from amodal.data.coerce import to_dataset
from amodal.data.dataset import Dataset
from amodal.data.media import naming_rows
from amodal.ensemble import mix_predictions
from amodal.errors import NotFittedError, SettingError
from amodal.held_out import HeldOut, fit_temperature
from amodal.member import Member, finish_member, fit_member, load_member
from amodal.methods import get_method
from amodal.metrics import METRICS
from amodal.model_files import described, versions, write_model
from amodal.posthoc.temperature import Temperature
from amodal.settings import coerce, parse_method, resolve_settings, told, told_spec
from amodal.training import seed_of
from amodal.types import Modality, Task

__all__ = ["CALIBRATE", "Model", "load", "make_model", "parse_method"]

CALIBRATE = ("temperature", "none")
_OWN = {"seed": 0, "ensemble": 1, "cross": False, "calibrate": "temperature", "device": "cpu"}


class Model(BaseEstimator):
    """A method from `amodal list methods`, ready to fit.

    Args:
        method: name of the method, or name and settings in one word
            ("aum:aggregation=posterior"; see `make_model`).
        seed: of everything random; the same seed on the same machine gives the same model.
        ensemble: number of members; each has its own seed and its own draw of validation rows, and
            their predictions are averaged.
        cross: each member is validated on a part of the rows of its own, and every row calibrates
            through the member that did not train on it: no row is set aside for anything. For
            small sets; needs an ensemble of 2 or more.
        calibrate: ``temperature`` (on rows set aside for it) or ``none``; sequences have none.
        device: ``cpu``, ``cuda``, ``mps`` or ``auto``.
        **settings: of the method, its encoders and its training, all by name.

    After `fit`: ``task_``, ``modalities_``, ``classes_`` (classification), ``rows_`` (split -> row
    ids), ``members_``, ``temperature_``.

    Raises:
        UnknownNameError: an unknown method or setting, with the nearest known name.

    Example:
        >>> import numpy as np
        >>> d = amodal.Dataset.from_arrays({"a": np.arange(60.0)[:, None]}, [0] * 30 + [1] * 30)
        >>> model = Model("logistic").fit(d)
        >>> model.predict(d).mean.shape
        torch.Size([60])
    """

    def __init__(
        self,
        method: str = "aum",
        *,
        seed: int = 0,
        ensemble: int = 1,
        cross: bool = False,
        calibrate: str = "temperature",
        device: str = "cpu",
        **settings: Any,
    ) -> None:
        self.method = method
        self.seed = seed
        self.ensemble = ensemble
        self.cross = cross
        self.calibrate = calibrate
        self.device = device
        self.settings = settings

    # -- scikit-learn -----------------------------------------------------------------------------

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """All settings by name."""
        own = {k: getattr(self, k) for k in ("method", *_OWN)}
        return {**own, **self.settings}

    def set_params(self, **params: Any) -> Model:
        """Changes settings by name."""
        for key, value in params.items():
            if key in ("method", *_OWN):
                setattr(self, key, value)
            else:
                self.settings = {**self.settings, key: value}
        return self

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.estimator_type = "classifier"
        task = getattr(self, "task_", None)
        if task is not None and not task.is_classification:
            tags.estimator_type = "regressor" if task.kind == "regression" else None
        return tags

    # -- fit --------------------------------------------------------------------------------------

    def fit(
        self,
        data: Any,
        y: Any = None,
        *,
        valid: Any = None,
        folder: str | Path | None = None,
        progress: Callable | None = None,
    ) -> Model:
        """Fits on the rows of `data`, setting some of them aside for validation and calibration.

        Args:
            data: a `Dataset`, or a dict of arrays.
            y: targets, where `data` has none or others are wanted.
            valid: validation and calibration rows of your own (half each); then all of `data` trains,
                and neural methods leave the validation rows out of the final weights.
            folder: where finished members, checkpoints and logs go; the same call after a kill goes
                on where it stopped.
            progress: called per epoch with (member, `Epoch`, number of epochs).

        Raises:
            DataError: no labels, one class only, too few rows.
        """
        self._check()
        data = to_dataset(data, target=y)
        check_trainable(data)
        self._check_kind(data.task)
        if self.cross and valid is not None:
            raise SettingError(
                "with cross=on members validate each other's rows; validation rows were given, too; "
                "leave out one of them"
            )
        held = self._held_out(data, valid)
        self.task_, self.modalities_ = data.task, data.modalities
        if self.task_.is_classification:
            self.classes_ = np.arange(max(2, len(self.task_.classes)))
        self.rows_ = held.ids
        self.n_features_in_ = len(data.modalities)
        self.members_ = []
        with naming_rows(data):
            for number in range(int(self.ensemble)):
                rows = held.of_member(number)
                self.members_.append(self._member(number, rows, folder, progress))
            self.temperature_ = None
            if self._calibrates(self.task_):
                self.temperature_ = fit_temperature(held, self.members_, device=self.device)
        return self

    def check(self, task: Task) -> None:
        """Refuses what can be refused before any row is read: settings, and the kind of the task.

        Raises:
            SettingError: a setting has no meaning, or the method is for other tasks.
            UnknownNameError: there is no such method, setting or choice.

        >>> Model("tmc").check(Task("regression"))
        Traceback (most recent call last):
        amodal.errors.SettingError: tmc is for binary or multiclass or multilabel tasks; this one is ...
        """
        self._check()
        self._check_kind(task)

    def _check(self) -> None:
        name, inline = parse_method(self.method)
        for key, default in _OWN.items():
            coerce(key, getattr(self, key), default)
        amodal.errors.at_least(2 if self.cross else 1, ensemble=int(self.ensemble))
        if self.calibrate not in CALIBRATE:
            raise amodal.errors.unknown_name("calibration", self.calibrate, CALIBRATE)
        resolve_settings(get_method(name), {**inline, **self.settings})

    def _check_kind(self, task: Task) -> None:
        """Refused here, before any row is read for hours."""
        method = get_method(parse_method(self.method)[0])
        if task.kind not in method.tasks:
            raise SettingError(
                f"{method.name} is for {' or '.join(method.tasks)} tasks; this one is {task.kind}; "
                "choose another method"
            )
        if task.kind == "sequence" and int(self.ensemble) > 1:
            raise SettingError(
                "members of an ensemble average what they say of one value; this task is a "
                f"sequence; got ensemble {self.ensemble}; use 1"
            )

    def _held_out(self, data: Dataset, valid: Any) -> HeldOut:
        calibrated = self._calibrates(data.task)
        if self.cross:
            return HeldOut.crossed(data, int(self.ensemble), seed=self.seed)
        if valid is None:
            return HeldOut.drawn(data, seed=self.seed, calibrated=calibrated)
        held = to_dataset(valid, modalities=data.modalities, task=data.task)
        return HeldOut.given(data, held, seed=self.seed, calibrated=calibrated)

    def _calibrates(self, task: Task) -> bool:
        return self.calibrate != "none" and task.kind != "sequence"

    def _member(
        self,
        number: int,
        rows: dict[str, Dataset],
        folder: str | Path | None,
        progress: Callable | None,
    ) -> Member:
        name, inline = parse_method(self.method)
        place = None if folder is None else Path(folder) / f"member-{number}"
        if place is not None and (place / "member.json").exists():
            return load_member(place)
        if place is not None:
            place.mkdir(parents=True, exist_ok=True)
        member = fit_member(
            name,
            {**inline, **self.settings},
            rows,
            seed=seed_of(self.seed, "member", number),
            kept_out=bool(self.cross),
            device=self.device,
            folder=place,
            progress=None if progress is None else lambda e, n: progress(number, e, n),
        )
        if place is not None:
            finish_member(member, place)
        return member

    # -- predict ----------------------------------------------------------------------------------

    def predict(self, data: Any) -> Prediction:
        """The `Prediction` for rows of the modalities that the model knows, on the CPU.

        Args:
            data: a `Dataset`, a DataFrame with the columns of the tables it was fitted on, a dict
                of arrays, or one row as a dict. A modality that it lacks counts as lost.
        """
        self._fitted()
        data = to_dataset(data, modalities=self.modalities_, task=self.task_)
        with naming_rows(data):
            found = self._mixture(data)
        return found if self.temperature_ is None else self.temperature_.apply(found)

    def _mixture(self, data: Dataset) -> Prediction:
        return mix_predictions([m.predict(data, device=self.device) for m in self.members_])

    def diagnostics(self, prediction: Prediction) -> dict[str, float]:
        """What tells whether the method works as it is meant to, e.g. AUM's variance collapse.

        Args:
            prediction: of this model. Empty for methods that report none.
        """
        self._fitted()
        first = self.members_[0]
        return first.method.diagnostics(prediction) if first.neural else {}

    def predict_proba(self, data: Any) -> np.ndarray:
        """Probabilities ``[n, C]`` (``multilabel``: ``[n, L]``).

        Raises:
            SettingError: the task is regression or a sequence.
        """
        self._fitted()
        if self.task_.kind == "regression":
            raise SettingError(
                "predict_proba is for classification; this model predicts a real value; "
                "use predict(data).mean and .std"
            )
        if self.task_.kind == "sequence":
            raise SettingError(
                "predict_proba is for classification; this model predicts texts; "
                "use predict(data).texts and .dist"
            )
        found = self.predict(data).outputs()["probability"]
        return np.stack([1 - found, found], 1) if self.task_.kind == "binary" else found

    def score(self, data: Any, y: Any = None) -> float:
        """Accuracy on labelled rows (regression: R squared), as scikit-learn defines it.

        Of a sequence the share of rows whose text is one of their references.
        """
        from sklearn.metrics import r2_score

        self._fitted()
        data = to_dataset(data, modalities=self.modalities_, task=self.task_, target=y)
        data = data[data.labelled]
        if self.task_.kind == "sequence":
            return float(METRICS["exact_match"](data.references, self.predict(data).outputs()))
        if self.task_.kind == "regression":
            return float(r2_score(data.target, self.predict(data).outputs()["mean"]))
        p = self.predict_proba(data)
        if self.task_.kind == "multilabel":
            return float(((p > 0.5) == data.target).mean())
        return float((p.argmax(1) == data.target).mean())

    def _fitted(self) -> None:
        if not hasattr(self, "members_"):
            raise NotFittedError(
                "a model predicts after it was fitted; this one was not; call fit first"
            )

    # -- files ------------------------------------------------------------------------------------

    def save(self, folder: str | Path) -> Path:
        """Stores the model in `folder` (JSON, safetensors, skops; no pickle).

        Raises:
            NotFittedError: it was not fitted.
            StorageError: the folder cannot be written, or holds something else.
        """
        self._fitted()
        return write_model(folder, self.members_, rows=self.rows_, facts=self._facts())

    def _facts(self) -> dict[str, Any]:
        return {
            "params": {**told(self.get_params()), "method": told_spec(self.method)},
            "task": self.task_.to_json(),
            "modalities": [m.to_json() for m in self.modalities_],
            "members": len(self.members_),
            "temperature": None if self.temperature_ is None else self.temperature_.to_json(),
            "versions": versions(),
        }


def make_model(spec: str, **params: Any) -> Model:
    """A `Model` from one word: ``name:key=value:...``, where keys may be the model's own too.

    >>> make_model("aum:ensemble=4:beta=0.01", seed=1).get_params()["ensemble"]
    4
    """
    name, settings = parse_method(spec)
    own = {k: coerce(k, settings.pop(k), d) for k, d in _OWN.items() if k in settings}
    known = resolve_settings(get_method(name), settings)
    del known
    return Model(name, **{**params, **own, **settings})


def load(folder: str | Path) -> Model:
    """The model stored in `folder`.

    Raises:
        StorageError: there is none.
        CheckpointError: foreign, of another version, or truncated.
    """
    with described(folder) as (facts, rows):
        model = Model(**facts["params"])
        model.task_ = Task.from_json(facts["task"])
        model.modalities_ = tuple(Modality.from_json(m) for m in facts["modalities"])
        model.temperature_ = Temperature(**facts["temperature"]) if facts["temperature"] else None
    if model.task_.is_classification:
        model.classes_ = np.arange(max(2, len(model.task_.classes)))
    model.n_features_in_ = len(model.modalities_)
    model.rows_ = {name: np.array(ids, dtype=str) for name, ids in rows.items()}
    model.members_ = [load_member(Path(folder, f"member-{k}")) for k in range(facts["members"])]
    return model
