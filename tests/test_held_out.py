"""Which rows members train on, and which calibrate them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal import Model, load
from amodal.ensemble import mix_predictions
from amodal.errors import SettingError
from amodal.held_out import HeldOut, averaging
from amodal.member import fit_member
from amodal.posthoc.temperature import Temperature
from amodal.settings import parse_method
from amodal.shifts import make_shift
from amodal.testing import made_up


def test_crossed_members_validate_each_row_once_and_never_train_on_it() -> None:
    target = made_up(n=61).target.copy()
    target[:6] = np.nan
    data = made_up(n=61).replace(target=target, group=np.array([f"g{k // 3}" for k in range(61)]))
    held = HeldOut.crossed(data, 4, seed=2)
    parts = [held.of_member(k) for k in range(4)]
    validated = np.concatenate([p["valid"].row_id for p in parts])
    assert sorted(validated) == sorted(data[data.labelled].row_id)
    for part in parts:
        assert set(part) == {"train", "valid"}, "a last fit on both would have seen its rows"
        assert not set(part["train"].group) & set(part["valid"].group)
        rows = [*part["train"].row_id, *part["valid"].row_id]
        assert set(rows) >= set(data[data.labelled].row_id)


def test_crossed_members_calibrate_on_what_they_did_not_see() -> None:
    data = made_up(n=90)
    model = Model("logistic", ensemble=3, cross=True, seed=5).fit(data)
    held = HeldOut.crossed(data, 3, seed=5)
    params, target, present, weight, rest = [], [], [], [], []
    for k, member in enumerate(model.members_):
        rows = held.of_member(k)["valid"]
        for rate, share in ((0.0, 1.0), (0.3, 0.5), (0.6, 0.5)):
            copy = make_shift("mcar", rate, seed=5)(rows) if rate else rows
            found = member.predict(copy)
            rest.append(
                mix_predictions([m.predict(copy) for m in model.members_ if m is not member])
            )
            params.append(found.params)
            present.append(found.present)
            target.append(torch.tensor(copy.target))
            weight.append(np.full(len(copy), share))
    whole = member.predict(data[:1]).replace(params=torch.cat(params), present=torch.cat(present))
    expected = Temperature.fit(
        whole, torch.cat(target), model.members_[0].base, weight=np.concatenate(weight)
    )
    some = torch.cat(present).any(1)
    share = averaging(torch.cat(params)[some], torch.cat([p.params for p in rest])[some], 3)
    assert 1 / 3 <= share <= 1
    assert model.temperature_.level == pytest.approx(expected.level + np.log(share), abs=1e-6)
    assert model.temperature_.slope == pytest.approx(expected.slope, abs=1e-6)
    assert len(model.rows_["train"]) == 90
    assert len(model.rows_["calibration"]) == 0


@pytest.mark.parametrize(
    "spec",
    ["logistic", "boosting:trees=20", pytest.param("single", marks=pytest.mark.slow)],
)
def test_labels_of_rows_that_a_crossed_member_calibrates_change_nothing_in_it(spec: str) -> None:
    data = made_up(n=80)
    held = HeldOut.crossed(data, 2, seed=0)
    own = np.isin(data.row_id, held.of_member(0)["valid"].row_id)
    turned = np.where(own, 1 - data.target, data.target)
    name, settings = parse_method(spec)
    found = []
    for target in (data.target, turned):
        whole = data.replace(target=target)
        ids = {k: part.row_id for k, part in held.of_member(0).items()}
        parts = {k: whole[np.isin(whole.row_id, x)] for k, x in ids.items()}
        member = fit_member(name, settings, parts, seed=1, kept_out=True)
        found.append(member.predict(data).params)
    assert torch.equal(*found)


def test_what_averaging_takes_from_the_spread_makes_the_slope_one() -> None:
    draw = torch.Generator().manual_seed(1)
    truth = torch.randn(200_000, 1, generator=draw, dtype=torch.float64)
    noise = torch.randn(6, 200_000, 1, generator=draw, dtype=torch.float64)
    members = truth + 0.8 * noise
    ratio = averaging(members[0], members[1:].mean(0), 6)
    one, mean = members[0], members.mean(0)
    slope = [float((truth * x).mean() / (x * x).mean()) for x in (one, mean)]
    temperature = ratio / slope[0]  # that of one member, lowered
    assert slope[1] * temperature == pytest.approx(1.0, abs=0.01)
    assert slope[1] / slope[0] > 1.4, "without it the mean is shrunk by this much"


def test_a_crossed_model_is_stored_and_averages_its_members(tmp_path) -> None:
    data = made_up(n=60)
    model = Model("mean", ensemble=2, cross=True, calibrate="none", epochs=3, width=8).fit(data)
    single = torch.stack([m.predict(data).params.sigmoid() for m in model.members_]).mean(0)
    torch.testing.assert_close(model.predict(data).params.sigmoid(), single)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert again.cross
    assert torch.equal(again.predict(data).params, model.predict(data).params)


def test_cross_needs_members_and_no_rows_of_the_users_own() -> None:
    data = made_up(n=40)
    with pytest.raises(SettingError, match="ensemble must be at least 2; got 1; change it"):
        Model("logistic", cross=True).fit(data)
    with pytest.raises(SettingError, match="members validate each other's rows"):
        Model("logistic", ensemble=2, cross=True).fit(data, valid=data[:9])
