"""The nouns that need no tensor: `Modality` and `Task`, and the meaning of absence.

This file imports neither torch nor numpy's random state; `Task.dist` imports torch when called.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

from amodal.errors import DataError, SettingError, unknown_name
from amodal.vocabulary import Vocabulary

if TYPE_CHECKING:
    import torch

__all__ = ["KINDS", "LOST", "NOT_MEASURED", "PRESENT", "TASK_KINDS", "Modality", "Task"]

PRESENT = 0
"""The modality is there."""
NOT_MEASURED = 1
"""Nobody measured it: informative, part of the data."""
LOST = 2
"""Measured or not, it did not arrive: a shift or a failure; carries no information."""

KINDS = ("table", "series", "codes", "embedding", "text", "image", "audio")
TASK_KINDS = ("binary", "multiclass", "multilabel", "regression", "sequence")

_MIN_LOG_STD, _MAX_LOG_STD = -7.0, 7.0


@dataclass(frozen=True)
class Modality:
    """A named source of information about a row.

    Args:
        name: unique in a data set; letters, digits, ``_`` and ``-``.
        kind: one of `KINDS`.
        features: names of the numeric columns (``table``), variables (``series``) or dimensions
            (``embedding``; may be left empty).
        levels: categorical columns of a ``table`` and their levels, in order: column -> levels.
        vocabulary: the distinct codes of a ``codes`` modality; events hold positions in it.
        types: the distinct event types of a ``codes`` modality (diagnosis, drug, ...).
        time_unit: unit of the times of ``series`` and ``codes``, for people ("hours").

    Raises:
        DataError: an empty name, an unknown kind.

    >>> Modality("labs", "series", features=("lactate", "ph")).n_features
    2
    """

    name: str
    kind: str
    features: tuple[str, ...] = ()
    levels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    vocabulary: tuple[str, ...] = ()
    types: tuple[str, ...] = ()
    time_unit: str = ""

    def __post_init__(self) -> None:
        if not self.name or not all(c.isalnum() or c in "_-" for c in self.name):
            raise DataError(
                "a modality's name consists of letters, digits, '_' and '-'; "
                f"got {self.name!r}; rename it"
            )
        if self.kind not in KINDS:
            raise unknown_name(f"kind of modality {self.name!r}", self.kind, KINDS)
        for name in ("features", "vocabulary", "types"):
            object.__setattr__(self, name, tuple(str(x) for x in getattr(self, name)))
        levels = {str(k): tuple(str(x) for x in v) for k, v in dict(self.levels).items()}
        object.__setattr__(self, "levels", levels)

    def __hash__(self) -> int:
        return hash((self.name, self.kind, self.features, self.vocabulary, self.types))

    @property
    def n_features(self) -> int:
        """Number of numeric features."""
        return len(self.features)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads; fields at their defaults are left out."""
        out: dict[str, Any] = {"name": self.name, "kind": self.kind}
        for key in ("features", "vocabulary", "types"):
            if getattr(self, key):
                out[key] = list(getattr(self, key))
        if self.levels:
            out["levels"] = {k: list(v) for k, v in self.levels.items()}
        if self.time_unit:
            out["time_unit"] = self.time_unit
        return out

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Modality:
        """The modality that `to_json` wrote."""
        return cls(**{k: tuple(v) if isinstance(v, list) else v for k, v in data.items()})


@dataclass(frozen=True)
class Task:
    """What is predicted: its kind, its classes, and the distribution that parameters stand for.

    Parameters of a prediction are a float tensor ``[n, param_size]``:

    | kind | parameters | distribution |
    |---|---|---|
    | ``binary`` | one logit | Bernoulli |
    | ``multiclass`` | C logits | Categorical |
    | ``multilabel`` | L logits | L independent Bernoullis |
    | ``regression`` | mean, log standard deviation | Normal |
    | ``sequence`` | V logits | Categorical: one token of the text, wherever it stands |

    A whole text has no distribution of a few parameters: see `Prediction.dist`.

    Args:
        kind: one of `TASK_KINDS`.
        classes: names of the classes (``binary``: the negative then the positive one) or labels;
            a target holds positions in it. Empty for regression and for sequences.
        name: what is predicted, for people ("in-hospital death").
        vocabulary: the tokens of a ``sequence``; left out, it is fitted on training rows.

    >>> Task("multiclass", ("a", "b", "c")).param_size
    3
    """

    kind: str
    classes: tuple[str, ...] = ()
    name: str = "target"
    vocabulary: Vocabulary | None = None

    def __post_init__(self) -> None:
        if self.kind not in TASK_KINDS:
            raise unknown_name("task kind", self.kind, TASK_KINDS)
        classes = tuple(str(c) for c in self.classes)
        if self.kind == "binary" and not classes:
            classes = ("0", "1")
        object.__setattr__(self, "classes", classes)
        if self.vocabulary is not None and self.kind != "sequence":
            raise SettingError(
                f"a vocabulary is for the tokens of a sequence task; this one is {self.kind}; "
                "leave it out"
            )
        least = {"binary": 2, "multiclass": 2, "multilabel": 1}.get(self.kind, 0)
        most = {"binary": 2, "regression": 0, "sequence": 0}.get(self.kind, len(classes))
        if not least <= len(classes) <= most:
            raise SettingError(
                f"a {self.kind} task has {least if least == most else f'at least {least}'} classes;"
                f" got {len(classes)}; name them all"
            )

    @property
    def is_classification(self) -> bool:
        """True where the target is a class or labels."""
        return self.kind in ("binary", "multiclass", "multilabel")

    @property
    def param_size(self) -> int:
        """Number of parameters of one row's predicted distribution."""
        if self.kind == "sequence":
            return 0 if self.vocabulary is None else len(self.vocabulary)
        return {"binary": 1, "regression": 2}.get(self.kind, len(self.classes))

    @property
    def output_columns(self) -> dict[str, tuple[str, ...]]:
        """What metrics read of a prediction -> names of its columns in a table.

        >>> Task("multiclass", ("a", "b")).output_columns
        {'probability': ('probability_a', 'probability_b')}
        """
        if self.kind == "regression":
            return {"mean": ("mean",), "std": ("std",)}
        if self.kind == "sequence":
            return {k: (k,) for k in ("text", "log_probability", "token_entropy")}
        if self.kind == "binary":
            return {"probability": ("probability",)}
        return {"probability": tuple(f"probability_{c}" for c in self.classes)}

    @property
    def monitor(self) -> str:
        """The validation metric that early stopping watches unless told otherwise."""
        return {"regression": "gaussian_nll", "sequence": "token_log_loss"}.get(
            self.kind, "log_loss"
        )

    def dist(self, params: torch.Tensor) -> torch.distributions.Distribution:
        """The distribution over the target that `params` ``[n, param_size]`` stands for.

        >>> import torch
        >>> Task("binary").dist(torch.zeros(1, 1)).mean
        tensor([0.5000])
        """
        import torch.distributions as D

        if self.kind == "binary":
            return D.Bernoulli(logits=params[..., 0], validate_args=False)
        if self.kind in ("multiclass", "sequence"):
            return D.Categorical(logits=params, validate_args=False)
        if self.kind == "multilabel":
            return D.Independent(D.Bernoulli(logits=params, validate_args=False), 1)
        std = params[..., 1].clamp(_MIN_LOG_STD, _MAX_LOG_STD).exp()
        return D.Normal(params[..., 0], std, validate_args=False)

    def same(self, target: torch.Tensor) -> torch.Tensor | None:
        """``[n, n]`` true where two rows have the same target; None where that has no meaning.

        >>> import torch
        >>> Task("binary").same(torch.tensor([0.0, 1.0, 0.0])).int().tolist()
        [[1, 0, 1], [0, 1, 0], [1, 0, 1]]
        """
        if self.kind not in ("binary", "multiclass"):
            return None
        return target[:, None] == target[None, :]

    def with_name(self, name: str) -> Task:
        """The same task under another name."""
        return replace(self, name=name)

    def with_vocabulary(self, vocabulary: Vocabulary) -> Task:
        """The same sequence task with its tokens."""
        return replace(self, vocabulary=vocabulary)

    def to_json(self) -> dict[str, Any]:
        """A JSON object that `from_json` reads."""
        found = {"kind": self.kind, "classes": list(self.classes), "name": self.name}
        return (
            found if self.vocabulary is None else found | {"vocabulary": self.vocabulary.to_json()}
        )

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Task:
        """The task that `to_json` wrote."""
        told = data.get("vocabulary")
        vocabulary = None if told is None else Vocabulary.from_json(told)
        classes = tuple(data.get("classes", ()))
        return cls(data["kind"], classes, data.get("name", "target"), vocabulary)
