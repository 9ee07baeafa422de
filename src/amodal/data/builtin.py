"""Data sets that need no file: scikit-learn's own, and simulated rows.

They are loaded from the installed package, never from the network, and have no published split.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from amodal.data.dataset import Dataset
from amodal.types import Modality, Task

__all__ = ["BUILTIN", "diabetes", "digits", "simulated", "wdbc"]


def digits() -> Dataset:
    """1,797 handwritten digits in four quadrants, one modality each; 10 classes.

    An image of 8 x 8 pixels from 0 to 16 is cut into ``top_left``, ``top_right``, ``bottom_left``
    and ``bottom_right``, each a `table` of 16 pixels ``r<row>c<column>``. Source: UCI Optical
    Recognition of Handwritten Digits (test part), as bundled with scikit-learn.

    >>> d = digits()
    >>> d.shape, d.names[0], d.modality("bottom_right").features[:2]
    ((1797, 4), 'top_left', ('r4c4', 'r4c5'))
    """
    from sklearn.datasets import load_digits

    bunch = load_digits()
    modalities, arrays = [], {}
    for down, vertical in enumerate(("top", "bottom")):
        for right, horizontal in enumerate(("left", "right")):
            name = f"{vertical}_{horizontal}"
            rows, columns = range(4 * down, 4 * down + 4), range(4 * right, 4 * right + 4)
            pixels = tuple(f"r{r}c{c}" for r in rows for c in columns)
            modalities.append(Modality(name, "table", features=pixels))
            arrays[name] = bunch.images[:, rows][:, :, columns].reshape(len(bunch.images), 16)
    task = Task("multiclass", tuple(str(k) for k in range(10)), "digit")
    return _dataset("digits", arrays, modalities, bunch.target, task)


def wdbc() -> Dataset:
    """569 breast masses, benign or malignant (positive): 30 features of cell nuclei; 3 modalities.

    Ten features of the nuclei in an image of a fine-needle aspirate, summarised over the nuclei in
    three ways, each a `table`: ``mean``, ``error`` (standard error) and ``worst`` (mean of the
    three largest). Source: UCI Breast Cancer Wisconsin (Diagnostic), as bundled with scikit-learn.

    >>> d = wdbc()
    >>> d.shape, d.task.classes, int(d.target.sum())
    ((569, 3), ('benign', 'malignant'), 212)
    """
    from sklearn.datasets import load_breast_cancer

    bunch = load_breast_cancer()
    modalities, arrays = [], {}
    for k, name in enumerate(("mean", "error", "worst")):
        pick = slice(10 * k, 10 * k + 10)
        features = tuple(str(f).replace(" ", "_") for f in bunch.feature_names[pick])
        modalities.append(Modality(name, "table", features=features))
        arrays[name] = bunch.data[:, pick]
    task = Task("binary", ("benign", "malignant"), "malignant mass")
    malignant = list(bunch.target_names).index("malignant")
    return _dataset("wdbc", arrays, modalities, (bunch.target == malignant).astype(float), task)


def diabetes() -> Dataset:
    """442 patients: progression of diabetes after one year (25 to 346); 3 modalities; regression.

    Three `table` modalities in the units of the source: ``demographics`` (age in years; sex, two
    levels that the source does not name), ``body`` (body mass index in kg/m^2; mean arterial
    pressure in mmHg) and ``serum`` (s1 total cholesterol, s2 LDL, s3 HDL, s4 ratio of total to HDL
    cholesterol, s5 log of triglycerides, s6 glucose). Source: Efron et al. 2004, Least angle
    regression, Annals of Statistics 32, as bundled with scikit-learn.

    >>> d = diabetes()
    >>> d.shape, d.modality("demographics").levels, float(d.target.max())
    ((442, 3), {'sex': ('1', '2')}, 346.0)
    """
    from sklearn.datasets import load_diabetes

    bunch = load_diabetes(scaled=False)
    column = {name: bunch.data[:, k] for k, name in enumerate(bunch.feature_names)}
    modalities = [
        Modality("demographics", "table", features=("age",), levels={"sex": ("1", "2")}),
        Modality("body", "table", features=("bmi", "bp")),
        Modality("serum", "table", features=tuple(f"s{k}" for k in range(1, 7))),
    ]
    arrays = {
        m.name: np.column_stack([column[f] for f in (*m.features, *m.levels)]) for m in modalities
    }
    task = Task("regression", name="disease progression after one year")
    return _dataset("diabetes", arrays, modalities, bunch.target, task)


def simulated() -> Dataset:
    """4,000 simulated rows with a known true posterior and known reliability of each modality.

    >>> from amodal.data.simulate import true_reliability
    >>> simulated().shape, true_reliability(simulated()).shape
    ((4000, 4), (4000, 4))
    """
    from amodal.data.simulate import simulate

    return simulate()


def _dataset(
    name: str, arrays: dict[str, Any], modalities: Sequence[Modality], target: Any, task: Task
) -> Dataset:
    provenance = {"kind": "builtin", "name": name, "source": "bundled with scikit-learn"}
    return Dataset.from_arrays(
        arrays, target, modalities=modalities, task=task, provenance=provenance
    )


BUILTIN: dict[str, Callable[[], Dataset]] = {
    "digits": digits,
    "wdbc": wdbc,
    "diabetes": diabetes,
    "simulate": simulated,
}
"""Name -> function; each is opened as ``builtin:<name>``."""
