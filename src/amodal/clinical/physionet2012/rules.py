"""Every rule that a value of PhysioNet 2012 meets, as tables to be reviewed: no code decides.

The ranges are wide on purpose: they drop what cannot be (a heart rate of 0 in a patient who stays
two days, a pH of 187, a line flushed to 0 mmHg), not what is rare or extreme.
"""

from __future__ import annotations

from typing import NamedTuple

__all__ = [
    "ALIASES",
    "CATEGORIES",
    "GROUPS",
    "HORIZON_MINUTES",
    "MISSING_CODE",
    "RESCALED",
    "VARIABLES",
    "Rescale",
    "Variable",
]

MISSING_CODE = -1.0
"""Written where a value is missing; no variable can be -1."""

HORIZON_MINUTES = 48 * 60
"""The challenge covers the first 48 hours; later lines do not occur, and would be dropped."""


class Variable(NamedTuple):
    """What is allowed of a variable, both ends included, after `RESCALED`.

    `repeats` says what becomes of several values at the same minute: their "mean", or their "sum"
    (volumes collected in two vessels).

    >>> VARIABLES["Urine"].repeats, VARIABLES["pH"].low, VARIABLES["pH"].high
    ('sum', 6.5, 8.0)
    """

    unit: str
    low: float
    high: float
    repeats: str = "mean"


class Rescale(NamedTuple):
    """Values of `variable` within [low, high] are multiplied by `factor`: a known slip of units.

    >>> rule = RESCALED[0]
    >>> rule.variable, rule.low <= 73.5 <= rule.high, round(73.5 * rule.factor, 6)
    ('pH', True, 7.35)
    """

    variable: str
    low: float
    high: float
    factor: float
    why: str


VARIABLES: dict[str, Variable] = {
    # descriptors, written at 00:00
    "Age": Variable("years", 0, 120),
    "Gender": Variable("0 female, 1 male", 0, 1),
    "Height": Variable("cm", 100, 230),
    "ICUType": Variable("1 to 4", 1, 4),
    "Weight": Variable("kg", 20, 300),
    # vital signs
    "HR": Variable("beats/min", 10, 300),
    "RespRate": Variable("breaths/min", 1, 80),
    "Temp": Variable("degrees C", 20, 45),
    "NISysABP": Variable("mmHg", 20, 300),
    "NIDiasABP": Variable("mmHg", 10, 200),
    "NIMAP": Variable("mmHg", 10, 250),
    # invasive pressure
    "SysABP": Variable("mmHg", 20, 300),
    "DiasABP": Variable("mmHg", 10, 200),
    "MAP": Variable("mmHg", 10, 250),
    # consciousness, kidneys
    "GCS": Variable("points", 3, 15),
    "Urine": Variable("mL", 0, 5000, "sum"),
    # blood gases and ventilation
    "pH": Variable("1", 6.5, 8.0),
    "PaCO2": Variable("mmHg", 5, 200),
    "PaO2": Variable("mmHg", 10, 700),
    "SaO2": Variable("%", 20, 100),
    "FiO2": Variable("fraction", 0.21, 1.0),
    "MechVent": Variable("1 on, 0 off", 0, 1),
    # chemistry
    "Na": Variable("mmol/L", 80, 200),
    "K": Variable("mmol/L", 1, 15),
    "Mg": Variable("mg/dL", 0.2, 15),  # the challenge writes mmol/L; its median of 2.0 is mg/dL
    "HCO3": Variable("mmol/L", 2, 60),
    "BUN": Variable("mg/dL", 1, 300),
    "Creatinine": Variable("mg/dL", 0.05, 30),
    "Glucose": Variable("mg/dL", 5, 2000),
    # haematology
    "HCT": Variable("%", 5, 75),
    "Platelets": Variable("1e9/L", 1, 2500),
    "WBC": Variable("1e9/L", 0, 500),
    # lactate
    "Lactate": Variable("mmol/L", 0.1, 50),
    # liver
    "ALP": Variable("IU/L", 1, 10000),
    "ALT": Variable("IU/L", 1, 30000),
    "AST": Variable("IU/L", 1, 40000),
    "Bilirubin": Variable("mg/dL", 0, 80),
    "Albumin": Variable("g/dL", 0.5, 8),
    "Cholesterol": Variable("mg/dL", 10, 1000),
    # heart muscle
    "TroponinI": Variable("ug/L", 0, 1000),
    "TroponinT": Variable("ug/L", 0, 100),
}

RESCALED: tuple[Rescale, ...] = (
    Rescale("pH", 65, 80, 0.1, "decimal point lost: 73.5 is 7.35"),
    Rescale("pH", 650, 800, 0.01, "decimal point lost: 735 is 7.35"),
    Rescale("Height", 1.2, 2.3, 100, "metres"),
    Rescale("Height", 48, 84, 2.54, "inches"),
    Rescale("Height", 300, 460, 1 / 2.54, "centimetres taken for inches and converted again"),
    Rescale("FiO2", 21, 100, 0.01, "percent"),
)

ALIASES = {"TropI": "TroponinI", "TropT": "TroponinT"}
"""Names of the challenge's own description, where the files say otherwise."""

CATEGORIES: dict[str, dict[int, str]] = {
    "Gender": {0: "female", 1: "male"},
    "ICUType": {
        1: "coronary care",
        2: "cardiac surgery recovery",
        3: "medical",
        4: "surgical",
    },
}

GROUPS: dict[str, tuple[str, ...]] = {
    "static": ("Age", "Height", "Weight", "Gender", "ICUType"),
    "vital_signs": ("HR", "RespRate", "Temp", "NISysABP", "NIDiasABP", "NIMAP", "Weight"),
    "invasive_pressure": ("SysABP", "DiasABP", "MAP"),
    "gcs": ("GCS",),
    "urine": ("Urine",),
    "blood_gas": ("pH", "PaCO2", "PaO2", "SaO2", "FiO2", "MechVent"),
    "chemistry": ("Na", "K", "Mg", "HCO3", "BUN", "Creatinine", "Glucose"),
    "haematology": ("HCT", "Platelets", "WBC"),
    "lactate": ("Lactate",),
    "liver": ("ALP", "ALT", "AST", "Bilirubin", "Albumin", "Cholesterol"),
    "troponin": ("TroponinI", "TroponinT"),
}
"""Modality -> variables. `static` is a table of what is written at 00:00; the others are series.

Weight at 00:00 is the admission weight and belongs to `static`; Weight later is charted along with
the vital signs and belongs to `vital_signs`. Neither fills gaps of the other.
"""
