"""Figures: marks that can be told apart, labels that do not touch, SVG that fits into a page."""

from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.figure import Figure

from amodal.analysis.pooling import Pool
from amodal.analysis.summaries import reliability_rows
from amodal.metrics import Interval
from amodal.report.figures import axis_limits, curve_panels, end_labels, spread, title
from amodal.report.panels import calibration_panels, reliability_panels
from amodal.report.style import looks, mechanism_name, method_name, point_name, short_mechanism
from amodal.study.results import At, read_results


@given(st.lists(st.floats(-0.5, 1.5), max_size=12), st.floats(0.01, 0.3))
def test_labels_keep_their_order_and_distance_inside_the_axis(wanted, gap):
    found = spread(wanted, gap)
    gap = min(gap, 1 / max(len(wanted) - 1, 1))
    order = sorted(range(len(wanted)), key=lambda k: wanted[k])
    placed = [found[k] for k in order]
    assert all(b - a >= gap - 1e-9 for a, b in pairwise(placed))
    assert all(-1e-9 <= y <= 1 + 1e-9 for y in placed)


@given(st.lists(st.floats(0.2, 0.8), min_size=2, max_size=2, unique=True))
def test_labels_with_room_stay_where_they_are(wanted):
    if abs(wanted[0] - wanted[1]) >= 0.1:
        assert spread(wanted, 0.1) == pytest.approx(wanted)
    else:
        assert sum(spread(wanted, 0.1)) == pytest.approx(sum(wanted))


def test_a_value_far_out_does_not_flatten_the_others():
    near = [Interval(x, x - 0.1, x + 0.1) for x in (0.8, 0.9, 1.0, 1.1, 1.2)] * 4
    low, high = axis_limits([*near, Interval(-16.0, -47.0, 31.0)])
    assert low == pytest.approx(0.7 - 0.036)
    assert high == pytest.approx(1.3 + 0.036)
    assert axis_limits([Interval(0.5, float("nan"), float("nan"))]) == (0.45, 0.55)
    assert axis_limits([Interval(0.2, 0.1, 0.3)], floor=0.0)[0] < 0


def test_methods_can_be_told_apart_without_colour():
    methods = [f"m{k}" for k in range(18)]
    found = looks(methods, methods[:7])
    assert len({look.mark for m, look in found.items() if look.focus}) == 7
    assert len({look.mark for m, look in found.items() if not look.focus}) == 11
    assert len({look.colour for m, look in found.items() if look.focus}) == 7
    greys = {look.colour for look in found.values() if not look.focus}
    assert all(c[1:3] == c[3:5] == c[5:7] for c in greys)


def test_names():
    assert method_name("aum:vib=true:beta=0.1") == "AUM, vib, beta 0.1"
    assert method_name("boosting (depth=3)") == "gradient boosting (depth=3)"
    assert mechanism_name("something") == "something"
    assert short_mechanism("mnar-severity") == "MNAR-severity"
    # the rate that follows is no part of the setting
    assert point_name(At("mcar+noise:severity=2", 0.5)) == "MCAR + noise (severity 2) 0.5"
    assert short_mechanism("mcar:rates=a=0.7/b=0") == "MCAR (rates a 0.7 / b 0)"
    assert short_mechanism("mar:given=static/age") == "MAR (given static/age)"


def test_long_names_are_broken_and_what_is_left_out_is_marked():
    style = looks(["mean:ensemble=2", "imro:weights=uniform:corrupt=0:entropy=0"], [])
    figure = Figure()
    axes = figure.add_axes((0.1, 0.1, 0.6, 0.7))
    end_labels(axes, dict.fromkeys(style, 0.5), end=1.0, style=style)
    lines = [t.get_text() for t in axes.texts]
    assert lines[:2] == ["mean fusion,", "ensemble of 2"]
    assert lines[2:] == ["IMRO, uniform,", "corrupt 0, entropy\N{HORIZONTAL ELLIPSIS}"]


def test_a_long_second_line_takes_two():
    figure = Figure()
    title(figure, "AUROC", "lost completely at random (MCAR)")
    assert len(figure.texts) == 2
    title(figure, "AUROC", mechanism_name("mcar:rates=error=0/mean=0.7/worst=0.2+noise:severity=2"))
    told = [t.get_text() for t in figure.texts[3:]]
    assert len(told) == 2
    assert " ".join(told).endswith("rates error 0 / mean 0.7 / worst 0.2; with noise, severity 2")


@pytest.fixture(scope="module")
def drawings(study):
    results = read_results(study)
    pool = Pool(results)
    return [
        *curve_panels(pool, "auroc"),
        *curve_panels(pool, "ece"),
        *curve_panels(pool, "calibration_slope"),
        *calibration_panels(pool),
        *reliability_panels(results, reliability_rows(results)),
    ]


def test_every_figure_is_well_formed_and_self_contained(drawings):
    assert len(drawings) == 2 + 2 + 2 + 3 + 4
    for drawing in drawings:
        ElementTree.fromstring(drawing.svg)
        ElementTree.fromstring(drawing.inline)
        assert "http" not in drawing.inline
        assert "<?xml" not in drawing.inline
        assert "DejaVu" not in drawing.inline
        assert "<image" not in drawing.inline
        assert len(drawing.svg) < 200_000


def test_ids_are_unique_over_all_figures_and_refer_to_something(drawings):
    text = "".join(d.inline for d in drawings)
    ids = re.findall(r'\bid="([^"]+)"', text)
    assert len(ids) == len(set(ids))
    used = re.findall(r'href="#([^"]+)"|url\(#([^)]+)\)', text)
    assert used
    assert {a or b for a, b in used} <= set(ids)
    names = [d.name for d in drawings]
    assert len(names) == len(set(names))
    assert all(re.fullmatch(r"[\w.-]+", name) for name in names)


def test_text_stays_text_and_alternatives_tell_the_numbers(drawings, study):
    first = drawings[0]
    for text in ("AUROC", "AUM", "gradient boosting", "rate of loss", "higher is better"):
        assert f">{text}" in first.svg or text in re.sub(r"<[^>]+>", " ", first.svg)
    value = Pool(read_results(study)).scores("aum", _start())["auroc"].value
    assert f"AUM {value:.3f} at 0" in first.alt
    assert f'aria-label="{first.alt}"' in first.svg


def _start():
    from amodal.study.results import At

    return At("none", 0.0)


def test_a_figure_does_not_depend_on_the_day(study):
    results = read_results(study)
    one, two = (curve_panels(Pool(results), "auroc")[0].svg for _ in range(2))
    assert one == two
    assert "<dc:date>" not in one


def test_alternatives_are_escaped():
    from matplotlib.figure import Figure

    from amodal.report.svg import draw

    found = draw(Figure(figsize=(1, 1)), "x", alt='a < b & "c" 1.23456')
    assert 'aria-label="a &lt; b &amp; &quot;c&quot; 1.23456"' in found.inline
    ElementTree.fromstring(found.svg)
