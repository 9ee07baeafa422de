"""AUM's equations on a fitted and an unfitted method, against loops and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal import Model
from amodal.batch import Batch
from amodal.data.scaling import Scaler
from amodal.data.simulate import simulate, true_variance
from amodal.data.splits import assign_splits
from amodal.data.tensors import to_batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, UnknownNameError
from amodal.methods.aum import AUM, Edges
from amodal.metrics.reliability import rank_correlation
from amodal.nn.graph import Slots
from amodal.shifts import make_shift
from amodal.testing import made_up

SMALL = EncoderSettings(width=8, depth=1, heads=2, dropout=0.0)


def built(**settings) -> tuple[AUM, Batch]:
    data = made_up(n=40)
    scaler = Scaler.fit(data)
    batch = to_batch(scaler.apply(data))
    torch.manual_seed(0)
    settings = {"aggregation": "paper", **settings}
    method = AUM(scaler.modalities, scaler.task, encoder=SMALL, **settings)
    method.prepare(batch)
    return method, batch


def learned(method: AUM) -> AUM:
    """Variance heads that have something to say."""
    with torch.no_grad():
        method.variance_head.last.weight.normal_(0, 0.5)
    return method


def test_edges_start_with_one_variance_and_uniform_attention() -> None:
    method, batch = built(start=-0.5)
    edges = method.edges(batch)
    assert torch.equal(edges.log_var, torch.full_like(edges.log_var, -0.5))
    alpha = method.attend(edges)
    count = batch.present.sum(1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(alpha, batch.present / count)


def test_paper_variance_is_the_sum_of_squared_weights() -> None:
    method, batch = built(theta=2.0)
    edges = learned(method).edges(batch)
    fused = method.eval().fuse(edges)
    _, log_var, _ = edges.by_row()
    for i in range(len(batch)):
        have = batch.present[i].nonzero()[:, 0].tolist()
        if not have:
            assert (fused.var[i] == 1).all()
            assert (fused.mean[i] == 0).all()
            continue
        s = np.array([log_var[i, k].exp().mean().item() for k in have])
        weight = np.exp(1 / (2.0 * s) - (1 / (2.0 * s)).max())
        weight /= weight.sum()
        expected = sum(w**2 * log_var[i, k].exp() for w, k in zip(weight, have, strict=True))
        torch.testing.assert_close(fused.var[i], expected, rtol=1e-4, atol=1e-6)
        np.testing.assert_allclose(fused.reliance[i, have].detach(), weight, rtol=1e-4)


@pytest.mark.parametrize("layers", [2, 3])
def test_frozen_nodes_are_the_means_over_training_rows(layers: int) -> None:
    method, batch = built(layers=layers)
    learned(method).finalise([batch.rows(r) for r in torch.arange(40).split(7)])
    edges = method.edges(batch)
    mean, _, present = edges.by_row()
    slots, there = edges.slots, edges.slots.there[None]
    weight = slots.take(method.attend(edges))[None]
    row, node = torch.ones(1, 40, 8), method.graph.nodes[None]
    to_row = to_node = slots.take(mean)[None]
    for level in range(layers - 1):
        layer, update = method.graph.layers[level], method.graph.updates[level]
        message, count = layer.to_modalities(row, layer.project(to_node), there, slots)
        torch.testing.assert_close(method.graph.node_mean[level], message[0], rtol=1e-4, atol=1e-6)
        assert torch.equal(method.graph.node_count[level], count[0])
        assert torch.equal(count[0], present.sum(0).float())
        row = layer.update(row, layer.to_rows(node, layer.project(to_row), weight, slots))
        node = layer.update(node, message)
        to_row, to_node = (
            update.to_rows(row, node, update.project(to_row), slots),
            update.to_modalities(row, node, update.project(to_node), slots),
        )


def test_rows_differ_behind_the_graph_before_training() -> None:
    """What differs between rows over what they have in common: .14 if linear maps start as usual."""
    method, batch = built()
    fused = method.eval().fuse(method.edges(batch)).mean[batch.present.any(1)]
    assert fused.std(0).norm() / fused.mean(0).norm() > 0.25


def test_views_together_are_the_views_one_by_one() -> None:
    method, batch = built()
    edges = learned(method).train().edges(batch)
    few = batch.present.clone()
    few[::2, 1] = False
    first, means = method.fuse_views(edges, torch.stack([batch.present, few]))
    for mean, there in zip(means, (batch.present, few), strict=True):
        alone, _ = method.fuse_views(edges, there[None])
        torch.testing.assert_close(alone.mean, mean)
    torch.testing.assert_close(first.mean, means[0])


def test_what_stands_at_absent_pairs_changes_nothing() -> None:
    """Forward and backward: what encoders say of present pairs is all that is read."""
    found = []
    for garbage in (0.0, float("nan")):
        method, batch = built()
        hidden = method.encode(batch).detach()
        hidden = torch.where(batch.present[..., None], hidden, torch.tensor(garbage))
        seen = hidden.clone().requires_grad_()
        method.encode = lambda b, x=seen: torch.where(b.present[..., None], x, x.new_zeros(()))
        torch.manual_seed(1)
        loss = sum(method.train().loss(batch).values())
        loss.backward()
        found.append((loss.item(), seen.grad[batch.present]))
        assert seen.grad[~batch.present].abs().sum() == 0
    assert found[0][0] == found[1][0]
    assert torch.equal(found[0][1], found[1][1])


@pytest.mark.parametrize("aggregation", ["paper", "posterior"])
def test_half_precision_gives_nearly_the_same_loss(aggregation: str) -> None:
    method, batch = built(aggregation=aggregation, contrast=1.0)
    losses = []
    for half in (False, True):
        torch.manual_seed(1)
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            losses.append(sum(learned(method).train().loss(batch).values()))
    losses[1].backward()
    assert losses[1].item() == pytest.approx(losses[0].item(), rel=0.05)
    grads = [p.grad for p in method.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_running_average_is_weighted_by_count_and_skips_absent_modalities() -> None:
    method, _ = built()
    method.graph.track(0, torch.ones(4, 8), torch.tensor([3.0, 0.0, 1.0, 1.0]))
    method.graph.track(0, torch.zeros(4, 8), torch.tensor([1.0, 5.0, 0.0, 1.0]))
    kept = method.graph.node_mean[0, :, 0].tolist()
    assert kept == pytest.approx([2.7 / 3.7, 0.0, 1.0, 0.9 / 1.9])
    assert method.graph.node_count[0].tolist() == pytest.approx([3.7, 5.0, 1.0, 1.9])


def test_second_view_does_not_move_the_running_average() -> None:
    method, batch = built(contrast=1.0)
    plain, _ = built(contrast=0.0)
    for m in (method, plain):
        m.train()
        torch.manual_seed(1)
        m.loss(batch)
    torch.testing.assert_close(method.graph.node_mean, plain.graph.node_mean)


def test_loss_terms_follow_the_settings() -> None:
    cases = {
        ("task", "vib", "corrupt", "contrast"): {},
        ("task", "vib", "corrupt"): {"contrast": 0.0},
        ("task", "vib"): {"contrast": 0.0, "corrupt": 0.0},
        ("task",): {"contrast": 0.0, "corrupt": 0.0, "vib": False},
    }
    for names, settings in cases.items():
        method, batch = built(**settings)
        assert tuple(method.loss(batch)) == names
    with_half, batch = built(beta=0.5)
    with_one, _ = built(beta=1.0)
    half, one = (m.eval().loss(batch)["vib"] for m in (with_half, with_one))
    torch.testing.assert_close(2 * half, one)


def test_rows_without_anything_or_label_give_zero_not_nan() -> None:
    method, batch = built(contrast=1.0)
    for bad in (
        batch.drop(torch.ones_like(batch.present)),
        Batch(batch.names, batch.values, batch.absence, batch.target * float("nan")),
    ):
        terms = method.loss(bad)
        total = sum(terms.values())
        assert torch.isfinite(total)
        total.backward()
        assert terms["task"].item() == 0
        grads = [p.grad for p in method.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in grads)


def test_more_modalities_never_raise_the_posterior_variance() -> None:
    model = Model("aum", aggregation="posterior", epochs=5, width=16, heads=2, batch_size=16).fit(
        made_up()
    )
    data = made_up(seed=1)
    whole = model.predict(data).variance
    for k in range(4):
        lost = np.zeros(data.shape, dtype=bool)
        lost[:, k] = True
        fewer = model.predict(data.lose(lost)).variance
        assert bool((fewer >= whole - 1e-6).all())


def test_constant_variance_and_uniform_attention_are_flat() -> None:
    method, batch = built(variance="constant")
    assert method.variance_head is None
    found = method.eval()(batch)
    there = batch.present
    assert found.reliability[there].unique().tolist() == [0.5]
    method, batch = built(attention="uniform")
    alpha = learned(method).attend(method.edges(batch))
    torch.testing.assert_close(alpha.sum(1), there.any(1).float())
    assert alpha[there.sum(1) == 4].unique().tolist() == [0.25]


def test_conflict_is_uniform_where_it_was_calibrated() -> None:
    method, batch = built(aggregation="posterior")
    found = method.eval()(batch)
    method.calibrate_conflict(found)
    again = method(batch).conflict
    known = again[~again.isnan()].sort().values
    uniform = torch.linspace(0, 1, len(known))
    assert (known - uniform).abs().max() < 0.1
    assert again.isnan().equal(batch.present.sum(1) < 2)


def test_conflict_widens_only_when_asked() -> None:
    plain, batch = built(aggregation="posterior")
    wide, _ = built(aggregation="posterior", widen=True)
    mean = torch.zeros(4, 2, 8)
    mean[0, 1] = 30.0
    edges = Edges(mean, torch.full_like(mean, -2.0), Slots.of(torch.ones(2, 4).bool()))
    for method, expected in ((plain, [True, True]), (wide, [True, False])):
        method.eval().edges = lambda _, e=edges: e
        found = method(batch.rows(torch.arange(2)))
        posterior = method.fuse(edges).var
        same = [bool(torch.allclose(found.variance[i], posterior[i])) for i in range(2)]
        assert same == expected


def test_diagnostics_see_a_collapse() -> None:
    method, batch = built(clamp=2.0)
    with torch.no_grad():
        found = method.eval()(batch)
    told = method.diagnostics(found)
    assert told["variance_collapse"] == 0
    assert told["attention_entropy"] == pytest.approx(1, abs=1e-5)
    with torch.no_grad():
        method.variance_head.last.bias.fill_(-10.0)
        assert method.diagnostics(method(batch))["variance_collapse"] == 1


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"aggregation": "postrior"}, "did you mean 'posterior'"),
        ({"attention": "x"}, "unknown attention"),
        ({"theta": 0.0}, "theta must be positive"),
        ({"layers": 0}, "layers must be positive"),
    ],
)
def test_bad_settings_are_one_sentence(settings: dict, text: str) -> None:
    with pytest.raises((UnknownNameError, SettingError), match=text):
        built(**settings)


def test_means_have_one_size_unless_told_otherwise() -> None:
    method, batch = built()
    edges = method.edges(batch)
    mean = edges.mean[edges.slots.there]
    torch.testing.assert_close(mean.mean(-1), torch.zeros(len(mean)), atol=1e-5, rtol=0)
    torch.testing.assert_close(
        mean.var(-1, unbiased=False), torch.ones(len(mean)), atol=1e-2, rtol=0
    )
    free, _ = built(unit_means=False)
    assert free.edges(batch).mean[edges.slots.there].var(-1).std() > 1e-3


@pytest.mark.slow
@pytest.mark.parametrize("aggregation", ["paper", "posterior"])
def test_reliability_is_real_where_the_truth_is_known(aggregation: str) -> None:
    """Rank correlation with the planted variance; noise lowers reliability, step by step."""
    data = simulate(6000, seed=0)
    rows = assign_splits(data, seed=0)
    test = data[rows.pop("test")]
    development = data[np.sort(np.concatenate(list(rows.values())))]
    model = Model("aum", aggregation=aggregation).fit(development)
    found = model.predict(test)
    rho = rank_correlation(-found.reliability.numpy(), true_variance(test), test.present)
    assert rho >= 0.8
    means = []
    for severity in (0.5, 1.0, 2.0, 4.0):
        shift = make_shift("noise", 1.0, seed=1, severity=severity, modalities=("m1",))
        means.append(model.predict(shift(test, reference=development)).reliability.mean(0))
    told = torch.stack([found.reliability.mean(0), *means])
    assert bool((told[1:, 1] < told[:-1, 1] - 0.01).all())
    assert torch.equal(told[:, 0], told[:1, 0].expand(5))
