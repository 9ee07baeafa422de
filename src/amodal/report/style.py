"""How methods and mechanisms are named and drawn: the same in every figure, text and table."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle
from typing import Any

from amodal.settings import parse_method
from amodal.study.plan import NONE
from amodal.study.results import At

__all__ = [
    "GREY",
    "INK",
    "Look",
    "file_name",
    "looks",
    "mechanism_name",
    "method_name",
    "point_name",
    "rc",
    "short_mechanism",
]

INK, GREY, RULE = "#1a1a1a", "#595959", "#d9d9d9"

# Okabe and Ito's colours, which stay apart under the common kinds of colour blindness; yellow is
# left out, being invisible on white
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_MARKS = ("o", "s", "^", "D", "v", "P", "X")
_GREYS = ("#4d4d4d", "#8c8c8c", "#6b6b6b")
_DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1.2, 1.4)), (0, (6, 1.5, 1, 1.5)))
_OPEN = ("o", "s", "^", "D", "v", "<", ">", "p", "h", "x", "+")

_ACRONYMS = ("aum", "grape", "imro", "misa", "mt", "muse", "qmf", "tfn", "tmc")
_NAMES = {
    "pattern": "pattern only",
    "logistic": "logistic regression",
    "forest": "random forest",
    "boosting": "gradient boosting",
    "single": "best single modality",
    "concat": "concatenation",
    "mean": "mean fusion",
    "attention": "attention fusion",
    "poe": "product of experts",
    "shaspec": "ShaSpec",
    "m3care": "M3Care",
    "cmae": "CM-AE",
    "mult": "MulT",
}
_LETTERS = ("mcar", "mar", "mnar")  # read letter by letter
_MECHANISMS = {
    NONE: "data as they are",
    "mcar": "lost completely at random (MCAR)",
    "mar": "lost by the values of others (MAR)",
    "natural": "lost by the patterns that occur",
    "mnar": "lost by their own values (MNAR)",
    "mnar-severity": "lost by severity (MNAR)",
    "mnar-target": "lost by the target (MNAR, stress test)",
}


@dataclass(frozen=True)
class Look:
    """How a method is drawn.

    Args:
        name: as people read it.
        colour: of line and mark.
        mark: matplotlib marker.
        dash: matplotlib line style.
        width: of the line, in points.
        focus: whether it is one of the methods that the study is about.
    """

    name: str
    colour: str
    mark: str
    dash: Any
    width: float
    focus: bool

    @property
    def line(self) -> dict[str, Any]:
        """Arguments of `Axes.plot`."""
        return {
            "color": self.colour,
            "linestyle": self.dash,
            "linewidth": self.width,
            "marker": self.mark,
            "markersize": 5.5 if self.focus else 4.2,
            "markerfacecolor": self.colour if self.focus else "white",
            "markeredgecolor": self.colour,
            "markeredgewidth": 1.0,
            "zorder": 4 if self.focus else 2,
        }


def looks(methods: Sequence[str], focus: Sequence[str]) -> dict[str, Look]:
    """Method -> how it is drawn: those in focus in colour, the others thin and grey.

    Within each of the two, the mark alone tells methods apart (up to seven and eleven), so that no
    colour vision is needed.

    >>> found = looks(["aum", "boosting", "forest"], ["aum"])
    >>> found["aum"].colour, found["boosting"].mark != found["forest"].mark
    ('#0072B2', True)
    """
    own = [m for m in methods if m in focus]
    rest = [m for m in methods if m not in focus]
    coloured = zip(own, cycle(_COLOURS), cycle(_MARKS), _stretch(_DASHES, len(_COLOURS)))
    plain = zip(rest, cycle(_GREYS), cycle(_OPEN), cycle(_DASHES))
    found = {m: Look(method_name(m), c, k, d, 2.0, True) for m, c, k, d in coloured}
    return found | {m: Look(method_name(m), c, k, d, 1.0, False) for m, c, k, d in plain}


def _stretch(values: Sequence[Any], times: int) -> Any:
    return cycle(v for v in values for _ in range(times))


def method_name(label: str) -> str:
    """A spec in words.

    >>> method_name("aum:aggregation=posterior:ensemble=4:vib=false")
    'AUM, posterior, ensemble of 4, no vib'
    >>> method_name("aum:ensemble=5:cross=on")
    'AUM, ensemble of 5, cross'
    >>> method_name("boosting")
    'gradient boosting'
    """
    spec, bracket, rest = label.partition(" (")
    name, settings = parse_method(spec)
    plain = name.upper() if name in _ACRONYMS else name.replace("_", " ")
    parts = [_NAMES.get(name, plain)]
    return ", ".join([*parts, *(_setting(k, v) for k, v in settings.items())]) + bracket + rest


def _setting(key: str, value: Any) -> str:
    key = key.replace("_", " ")
    value = {"on": True, "off": False}.get(value, value) if isinstance(value, str) else value
    if isinstance(value, bool):
        return key if value else f"no {key}"
    if key == "ensemble":
        return f"ensemble of {value}"
    return value if isinstance(value, str) and value != "none" else f"{key} {value}"


def mechanism_name(spec: str) -> str:
    """A mechanism in words.

    >>> mechanism_name("mcar")
    'lost completely at random (MCAR)'
    >>> mechanism_name("mnar:odds_ratio=5")
    'lost by their own values (MNAR), odds ratio 5'
    >>> mechanism_name("mcar:rates=labs=0.7/notes=0")
    'lost completely at random (MCAR), rates labs 0.7 / notes 0'
    """
    told = []
    for part in spec.split("+"):
        name, settings = parse_method(part)
        known = _MECHANISMS.get(name.replace("_", "-"), name.replace("-", " "))
        told.append(", ".join([known, *_settings(settings)]))
    return "; with ".join(told)


def short_mechanism(spec: str) -> str:
    """A mechanism in a table's head.

    >>> short_mechanism("mnar-severity:odds_ratio=5")
    'MNAR-severity (odds ratio 5)'
    >>> short_mechanism("mcar+noise:severity=2")
    'MCAR + noise (severity 2)'
    """
    told = []
    for part in spec.split("+"):
        name, settings = parse_method(part)
        head, dash, tail = name.replace("_", "-").partition("-")
        head = head.upper() if head in _LETTERS else head
        own = f" ({', '.join(_settings(settings))})" if settings else ""
        told.append(head + dash + tail + own)
    return " + ".join(told)


def _settings(settings: Mapping[str, Any]) -> list[str]:
    """Settings of a shift in words: a number behind them is then no part of the last one."""
    told = []
    for key, value in settings.items():
        if key == "rates":
            value = " / ".join(str(value).replace("=", " ").split("/"))
        told.append(f"{key.replace('_', ' ')} {value}")
    return told


def file_name(spec: str) -> str:
    """A mechanism as part of the name of a file.

    >>> file_name("mnar:odds_ratio=5"), file_name("mcar:rates=a=0.7/b=0+noise")
    ('mnar_odds_ratio-5', 'mcar_rates-a-0.7-b-0-noise')
    """
    return re.sub(r"[^A-Za-z0-9_.]+", "-", spec.replace(":", "_"))


def point_name(at: At) -> str:
    """A point of the study in words.

    >>> point_name(At("mcar", 0.3)), point_name(At("none", 0.0)), point_name(At("mcar", None))
    ('MCAR 0.3', 'data as they are', 'MCAR, mean over rates')
    """
    if at.rate is None:
        return f"{short_mechanism(at.mechanism)}, mean over rates"
    if at.rate == 0:
        return _MECHANISMS[NONE]
    return f"{short_mechanism(at.mechanism)} {at.rate:g}"


def rc() -> dict[str, Any]:
    """Matplotlib settings: quiet axes, text kept as text."""
    return {
        "svg.fonttype": "none",
        "svg.hashsalt": "amodal",
        "font.family": "DejaVu Sans",  # measured with; the page replaces it by the system's font
        "font.size": 8.5,
        "text.color": INK,
        "axes.edgecolor": GREY,
        "axes.labelcolor": GREY,
        "axes.linewidth": 0.7,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.grid": True,
        "axes.axisbelow": True,
        "grid.color": "#e6e6e6",
        "grid.linewidth": 0.6,
        "xtick.color": GREY,
        "ytick.color": GREY,
        "xtick.major.width": 0.7,
        "ytick.major.width": 0.7,
        "xtick.major.size": 3,
        "ytick.major.size": 3,
    }
