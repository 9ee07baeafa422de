"""Plans: what they hold, what they refuse, and that they survive JSON."""

from __future__ import annotations

import json

import pytest

from amodal.errors import SettingError, UnknownNameError
from amodal.settings import parse_method
from amodal.study.plan import Plan


def test_a_plan_survives_json():
    plan = Plan(
        "builtin:digits",
        ("aum:aggregation=posterior", "boosting"),
        rates=(0.5, 0, 0.5),
        mechanisms=("mcar", "mnar:odds_ratio=5"),
        seeds=3,
        folds=5,
        absent_at="both",
        keep_one=True,
        settings={"*": {"ensemble": 2}, "aum": {"beta": 0.1}},
        metrics=("auroc",),
        focus=("aum:aggregation=posterior",),
        reference="boosting",
    )
    stored = json.loads(json.dumps(plan.to_json()))
    assert Plan.from_json(stored) == plan
    assert plan.rates == (0.0, 0.5)
    assert plan.seeds == (0, 1, 2)


def test_single_values_stand_for_themselves():
    plan = Plan("d", "mean", rates=0.5, mechanisms="mcar", seeds=[7])
    assert (plan.methods, plan.rates, plan.mechanisms) == (("mean",), (0.5,), ("mcar",))
    assert plan.seeds == (7,)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"methods": ()}, "at least one of methods; got none"),
        ({"rates": ()}, "at least one of rates"),
        ({"seeds": 0}, "the number of seeds must be a whole number of at least 1; got 0"),
        ({"seeds": -1}, "the number of seeds must be a whole number of at least 1; got -1"),
        ({"seeds": ()}, "at least one of seeds"),
        ({"rates": (True,)}, "an absence rate must lie between 0 and 1; got True"),
        ({"probe": "no"}, "probe of a study is true or false; got 'no'"),
        ({"keep_one": 2}, "keep_one of a study is true or false; got 2"),
        ({"hidden_labels": 1}, "some labels must stay known; got a share of hidden labels of 1"),
        ({"rates": (1.5,)}, "an absence rate must lie between 0 and 1; got 1.5"),
        ({"rates": ("x",)}, "an absence rate must lie between 0 and 1; got 'x'"),
        ({"seeds": (-1,)}, "a seed must be a whole number of at least 0; got -1"),
        ({"seeds": (1.5,)}, "a seed must be a whole number"),
        ({"seeds": (1, 1)}, "the seeds of a study differ"),
        ({"methods": ("mean", "mean")}, "the methods of a study differ"),
        ({"methods": ("mean", " ")}, "got an empty one"),
        ({"folds": -2}, "number of folds"),
        ({"jobs": 0}, "number of jobs"),
        ({"replicates": 0}, "number of replicates"),
        ({"absent_at": "tset"}, "unknown absent_at 'tset': did you mean 'test'"),
        ({"mechanisms": ()}, "a rate above 0 needs a mechanism"),
        ({"focus": ("aum",)}, "unknown method of the study 'aum'"),
        ({"reference": "meen"}, "did you mean 'mean'"),
        ({"settings": {"mean": 3}}, "settings of a study are a table per method"),
        (
            {"mechanisms": ("mcar:rate=0.2",)},
            "'mcar:rate=0.2' states its own; take it out and write",
        ),
        (
            {"mechanisms": ("mcar+noise:seed=1",)},
            "the seed of a mechanism is that of a study's cells",
        ),
        ({"seeds": 10**8}, "a study has at most 10000 seeds; got 100000000"),
        ({"methods": ("mean:width",)}, "written name:key=value"),
    ],
)
def test_what_has_no_meaning_is_refused(change, message):
    with pytest.raises(SettingError, match=message.replace("(", r"\(")):
        Plan(**{"data": "d", "methods": ("mean",), **change})


def test_an_unknown_field_is_named():
    with pytest.raises(UnknownNameError, match="unknown field of a study plan 'rate': did you"):
        Plan.from_json({"data": "d", "methods": ["mean"], "rate": [0.5]})
    with pytest.raises(SettingError, match="names 'methods'"):
        Plan.from_json({"data": "d"})


def test_values_of_a_spec_are_read_in_their_type():
    name, settings = parse_method("aum:vib=false:beta=1e-3:ensemble=4:series=gru:depth=none")
    assert name == "aum"
    assert settings == {"vib": False, "beta": 0.001, "ensemble": 4, "series": "gru", "depth": None}
