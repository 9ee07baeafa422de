"""Codes: unknown ones, order, truncation, the bag."""

from __future__ import annotations

import math

import pytest
import torch

from amodal.encoders import EncoderSettings, make_encoder
from amodal.types import Modality
from amodal.values import Values

SMALL = EncoderSettings(width=8, heads=2)
CODES = Modality("c", "codes", vocabulary=tuple("abcdefgh"), types=("dx", "rx"))


def events(code, kind=None, time=None):
    """One value."""
    n = len(code)
    data = {
        "code": torch.tensor(code),
        "type": torch.tensor(kind or [0] * n),
        "time": torch.tensor(time or [math.nan] * n),
    }
    return Values(data, torch.tensor([0, n]), torch.tensor([0]))


@pytest.fixture
def encoder():
    encoder = make_encoder(CODES, SMALL).eval()
    for parameter in encoder.parameters():
        torch.nn.init.normal_(parameter, std=0.5)
    return encoder


def test_code_type_and_time_all_count(encoder):
    base = encoder(events([1, 2], [0, 1], [0.1, 0.2])).pooled
    for other in (
        events([1, 3], [0, 1], [0.1, 0.2]),
        events([1, -1], [0, 1], [0.1, 0.2]),
        events([1, 2], [0, 0], [0.1, 0.2]),
        events([1, 2], [0, -1], [0.1, 0.2]),
        events([1, 2], [0, 1], [0.1, 0.9]),
        events([1, 2], [0, 1], [0.1, math.nan]),
        events([1, 2, 2], [0, 1, 1], [0.1, 0.2, 0.2]),
    ):
        assert (encoder(other).pooled - base).abs().max() > 1e-4


def test_events_of_unknown_time_are_a_set(encoder):
    forth = encoder(events([1, 2, 5, 2])).pooled
    back = encoder(events([2, 5, 2, 1])).pooled
    torch.testing.assert_close(forth, back, rtol=0, atol=1e-6)


def test_events_are_taken_in_order_of_time(encoder):
    tidy = encoder(events([7, 1, 2], [0, 0, 1], [math.nan, 0.1, 0.2]))
    mixed = encoder(events([2, 7, 1], [1, 0, 0], [0.2, math.nan, 0.1]))
    torch.testing.assert_close(mixed.tokens, tidy.tokens, rtol=0, atol=1e-6)


def test_only_the_last_events_are_attended_to():
    short = make_encoder(CODES, SMALL.replace(max_events=3)).eval()
    seen = []
    short.course.register_forward_pre_hook(lambda _, given: seen.append(given))
    encoded = short(events([0, 1, 2, 3, 4], time=[0.5, 0.4, 0.3, 0.2, 0.1]))
    assert encoded.tokens.shape == (1, 3, 8)
    assert encoded.token_present.all()
    (tokens, _), kept = seen[0], torch.tensor([3, 2, 1])  # the codes at times .3, .4, .5, plus one
    time = short._times(torch.tensor([0.3, 0.4, 0.5]))
    expected = short.codes(kept) + short.types(torch.tensor([1])) + time
    torch.testing.assert_close(tokens[0], expected)


def test_the_bag_holds_all_events():
    short = make_encoder(CODES, SMALL.replace(max_events=2)).eval()
    seen = []
    short.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    short(events([0, 1, 2, -1], time=[0.1, 0.2, 0.3, 0.4]))
    bag = short.codes(torch.tensor([1, 2, 3, 0])).mean(0)
    torch.testing.assert_close(seen[0][0, 8:16], bag)
    assert seen[0][0, 16].item() == pytest.approx(math.log(5))


def test_no_real_code_is_frozen():
    encoder = make_encoder(CODES, SMALL)
    pooled = encoder(events([-1, 0, 7], [-1, 0, 1], [0.1, 0.2, math.nan])).pooled
    (pooled * torch.randn_like(pooled)).sum().backward()
    touched = encoder.codes.weight.grad.abs().sum(1) > 0
    assert touched.tolist() == [True, True, *[False] * 6, True]
    assert (encoder.types.weight.grad.abs().sum(1) > 0).all()
    assert (encoder.timeless.grad != 0).any()


@pytest.mark.slow
def test_learns_which_code_came_last():
    """Codes a and b both occur; the label is which of them is the later one."""
    torch.manual_seed(0)
    n = 600
    time = torch.rand(n, 2).sort(1).values
    swap = torch.rand(n) < 0.5
    code = torch.where(swap[:, None], torch.tensor([[0, 1]]), torch.tensor([[1, 0]]))

    def batch(rows):
        data = {"code": code[rows].flatten(), "time": time[rows].flatten()}
        data["type"] = torch.zeros_like(data["code"])
        return Values(data, torch.arange(0, 2 * len(rows) + 1, 2), torch.arange(len(rows)))

    encoder = make_encoder(CODES, EncoderSettings(width=16, heads=2, dropout=0.0))
    head = torch.nn.Linear(16, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=5e-3)
    for _ in range(250):
        rows = torch.randint(0, 400, (100,))
        logit = head(encoder(batch(rows)).pooled)[:, 0]
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logit, swap[rows].float())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    rows = torch.arange(400, n)
    found = head(encoder.eval()(batch(rows)).pooled)[:, 0] > 0
    clear = (time[rows, 1] - time[rows, 0]) > 0.1
    assert (found == swap[rows])[clear].float().mean() > 0.9


# -- names ----------------------------------------------------------------------------------------

TITLES = Modality(
    "c", "codes", vocabulary=("acute sepsis", "chronic sepsis", "fracture"), types=("dx",)
)


def named(**settings):
    encoder = make_encoder(TITLES, SMALL.replace(names="hashing", **settings))
    encoder.fit(events([0, 1, 2]))
    return encoder.eval()


def test_names_are_frozen_beside_learned_vectors():
    from amodal.embed import HashedWords

    encoder = named()
    table, learned = encoder.named.table, {n for n, _ in encoder.named_parameters()}
    assert "named.map" in learned
    assert "named.table" not in learned
    vectors = torch.from_numpy(HashedWords().embed(TITLES.vocabulary))
    assert torch.equal(table[0], torch.zeros(256))
    torch.testing.assert_close(table[1:], vectors / vectors.square().mean().sqrt())
    found = encoder(events([0, 2])).pooled
    with torch.no_grad():
        encoder.codes.weight += encoder.named()
        encoder.named.map.zero_()
    torch.testing.assert_close(encoder(events([0, 2])).pooled, found)


def test_a_stored_encoder_needs_no_embedder():
    encoder = named()
    again = make_encoder(TITLES, SMALL.replace(names="a checkpoint that is gone")).eval()
    again.load_state_dict(encoder.state_dict())
    batch = events([0, 1, 2, -1], [0, 0, 0, -1])
    assert torch.equal(again(batch).pooled, encoder(batch).pooled)


def test_names_are_embedded_once_and_kept(tmp_path, monkeypatch):
    from amodal.embed import HashedWords

    first = named(names_cache=str(tmp_path))
    monkeypatch.setattr(HashedWords, "embed", lambda *_: pytest.fail("embedded again"))
    assert torch.equal(named(names_cache=str(tmp_path)).named.table, first.named.table)


@pytest.mark.slow
def test_names_tell_of_codes_without_a_labelled_row(tmp_path):
    """A third of the codes occurs in unlabelled rows alone; their names say which way they point."""
    import numpy as np

    from amodal import Dataset, Model, load

    rng = np.random.default_rng(0)
    sick = rng.random(640) < 0.5
    codes = [
        [(f"{'unstable' if s else 'stable'} angina type {rng.integers(60)}", "dx", 0.0)]
        for s in sick
    ]
    target = np.where(np.arange(640) < 240, sick, np.nan)
    data = Dataset.from_arrays({"c": codes}, target, modalities={"c": "codes"})
    test, train = data[:80], data[80:]
    settings = {"batch_size": 16, "epochs": 12, "width": 16, "heads": 2, "depth": 1, "lr": 0.01}
    plain = Model("mean", **settings).fit(train).score(test)
    cache = str(tmp_path / "cache")
    model = Model("mean", names="hashing", names_cache=cache, **settings).fit(train)
    assert model.score(test) > max(0.95, plain + 0.1)
    model.save(tmp_path / "run")
    again = load(tmp_path / "run")
    assert torch.equal(again.predict(test).params, model.predict(test).params)
    for name in ("model.json", "member-0/member.json"):
        assert str(tmp_path) not in (tmp_path / "run" / name).read_text()
