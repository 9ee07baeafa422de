"""IMRO's formulas on a built and a fitted method, against loops and invariants."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal import Model
from amodal.batch import Batch
from amodal.data.dataset import Dataset
from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.encoders import EncoderSettings
from amodal.errors import SettingError, UnknownNameError
from amodal.methods.base_rates import base_params
from amodal.methods.imro import IMRO
from amodal.nn.modality_reliability import WEIGHTS
from amodal.shifts import make_shift
from amodal.testing import made_up
from amodal.values import Values

SMALL = EncoderSettings(width=8, depth=1, heads=2, dropout=0.0, table="tokens", series="gru")


def built(kind: str = "binary", **settings) -> tuple[IMRO, Batch]:
    data = made_up(kind, n=40)
    scaler = Scaler.fit(data)
    batch = to_batch(scaler.apply(data))
    torch.manual_seed(0)
    method = IMRO(scaler.modalities, scaler.task, encoder=SMALL, **settings)
    method.prepare(batch)
    return method, batch


def learned(method: IMRO) -> IMRO:
    """Heads that have something to say."""
    with torch.no_grad():
        method.heads.last.weight.normal_(0, 0.1)
    return method


@pytest.mark.parametrize("kind", ["binary", "multiclass", "multilabel", "regression"])
def test_heads_start_at_the_base_rate_of_the_rows_that_have_the_modality(kind: str) -> None:
    method, batch = built(kind)
    seen = method.look(batch)
    for k in range(4):
        own = batch.present[:, k]
        expected = base_params(method.task, batch.target[own])
        torch.testing.assert_close(method.prior[k], expected)
        torch.testing.assert_close(seen.params[own, k], expected.expand(int(own.sum()), -1))
    assert seen.information.abs().max() < 1e-6
    count = batch.present.sum(1, keepdim=True).clamp_min(1)
    torch.testing.assert_close(method.shares(seen).sum(1), batch.present.any(1).float())
    seen.information.zero_()
    torch.testing.assert_close(method.shares(seen), batch.present / count)


@pytest.mark.parametrize("weights", WEIGHTS)
def test_reliance_is_the_formula(weights: str) -> None:
    method, batch = built(weights=weights)
    learned(method).eval()
    found, seen = method(batch), method.look(batch)
    eps = 0.1 * np.log(32)
    told, entropy = found.extra["information"], found.extra["entropy"]
    for i in range(len(batch)):
        have = batch.present[i].nonzero()[:, 0].tolist()
        if not have:
            assert found.reliance[i].abs().sum() == 0
            continue
        score = []
        for k in have:
            a, h = told[i, k].item(), entropy[i, k].item()
            gate = (
                method.gate(seen.pooled)[seen.index[i, k], k, 0].exp().item()
                if weights == "gate"
                else 0
            )
            score.append(
                {
                    "reliability": a / (h + eps),
                    "information": a,
                    "certainty": 1 / (h + eps),
                    "uniform": 1,
                    "gate": gate,
                }[weights]
            )
            assert found.reliability[i, k].item() == pytest.approx(a / (a + h + eps), rel=1e-4)
        expected = np.array(score) / np.sum(score)
        np.testing.assert_allclose(found.reliance[i, have].detach(), expected, rtol=1e-4)


def test_loss_is_the_sum_of_the_papers_terms() -> None:
    method, batch = built(corrupt=0.0, entropy=0.3, information=0.7)
    learned(method).eval()
    terms, seen = method.loss(batch), method.look(batch)
    entropy = told = 0.0
    for k in range(4):
        own = batch.present[:, k]
        entropy += seen.entropy[own, k].mean()
        q = torch.sigmoid(seen.params[own, k, 0])
        p = batch.target[own].mean()
        y = batch.target[own]
        log_q = y * q.log() + (1 - y) * (1 - q).log()
        h = -(p * p.log() + (1 - p) * (1 - p).log())
        told += h + log_q.mean()  # H(Y) - H(Y | X_k)
    assert terms["entropy"].item() == pytest.approx(0.3 * entropy.item(), rel=1e-5)
    assert terms["information"].item() == pytest.approx(-0.7 * told.item(), rel=1e-4)
    assert set(terms) == {"task", "entropy", "information", "prototypes"}


def gradients(method: IMRO, batch: Batch, term: str) -> dict[str, float]:
    """Size of the gradient of one term, by part of the method."""
    method.zero_grad()
    method.loss(batch)[term].backward(retain_graph=True)
    found: dict[str, float] = {}
    for name, p in method.named_parameters():
        part = name.split(".")[0]
        size = 0.0 if p.grad is None else float(p.grad.abs().sum())
        found[part] = found.get(part, 0.0) + size
    return found


def test_reliability_is_detached_and_estimators_learn_alone() -> None:
    method, batch = built(corrupt=0.0, entropy=0.5, information=0.5)
    learned(method).train()
    task = gradients(method, batch, "task")
    assert task["heads"] == task["prototypes"] == 0 < task["encoders"]
    told = gradients(method, batch, "information")
    assert min(told["heads"], told["encoders"]) > 0 == told["prototypes"]
    fitted = gradients(method, batch, "prototypes")
    assert fitted["prototypes"] > 0 == fitted["encoders"]
    off, _ = built(corrupt=0.0, entropy=0.0, information=0.0)
    told_off = gradients(learned(off).train(), batch, "information")
    assert told_off["encoders"] == 0
    assert told_off["heads"] == pytest.approx(told["heads"], rel=1e-4)
    assert gradients(off, batch, "entropy")["encoders"] == 0
    twice, _ = built(corrupt=0.0, information=1.0)
    more = gradients(learned(twice).train(), batch, "information")
    assert more["encoders"] == pytest.approx(2 * told["encoders"], rel=1e-3)


@pytest.mark.parametrize(
    ("schedule", "paces"), [("constant", [1, 1, 1]), ("rise", [0, 0.8, 1]), ("fall", [1, 0.6, 0.1])]
)
def test_schedules(schedule: str, paces: list[float]) -> None:
    method, batch = built(corrupt=0.0, schedule=schedule, entropy=1.0)
    method.eval()
    sizes = []
    for done in (0.0, 0.4, 0.9):
        method.begin_epoch(done)
        sizes.append(method.loss(batch)["entropy"].item())
    method.pace = 1.0
    whole = method.loss(batch)["entropy"].item()
    assert sizes == pytest.approx([whole * p for p in paces])


def test_shared_values_are_encoded_once_and_absent_ones_never() -> None:
    method, batch = built()
    name = batch.names[3]
    values = batch.values[name]
    one = torch.where(values.index >= 0, 0, -1)
    shared = Values({k: x[:1] for k, x in values.data.items()}, None, one)
    batch = batch.with_values({**batch.values, name: shared})
    counted = []
    for encoder in method.encoders:
        encoder.register_forward_hook(lambda _, i, o: counted.append(len(o.pooled)))
    encoded = method.encode_tokens(batch)
    assert counted == [*batch.present.sum(0)[:3].tolist(), 1]
    for e in encoded:
        assert torch.equal(e.tokens[:, 0], e.pooled)
        assert bool(e.token_present[:, 0].all())
    assert encoded[0].tokens.shape[1] == 3  # pooled, and two columns
    assert encoded[3].tokens.shape[1] == 1


@pytest.mark.parametrize("weights", ["reliability", "uniform"])
def test_conditioned_queries_are_the_product_over_what_a_row_has(weights: str) -> None:
    method, batch = built(conditioned=True, weights=weights, queries=2)
    seen = learned(method).eval().look(batch)
    shares = method.shares(seen)
    found = method.begin(seen, shares)
    for i in range(len(batch)):
        have = batch.present[i].nonzero()[:, 0].tolist()
        factors = torch.ones(2 * method.width)
        for k in have:
            pooled = seen.encoded[k].pooled[seen.index[i, k]]
            asked = pooled @ method.start.weight[k] + method.start.bias[k, 0]
            factors = factors * (1 + len(have) * shares[i, k] * asked)
        torch.testing.assert_close(found[i].flatten(), factors - 1, rtol=1e-4, atol=1e-5)


def test_half_precision_gives_nearly_the_same_loss() -> None:
    method, batch = built(corrupt=0.0)
    losses = []
    for half in (False, True):
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=half):
            losses.append(sum(learned(method).train().loss(batch).values()))
    losses[1].backward()
    grads = [p.grad for p in method.parameters() if p.grad is not None]
    assert all(torch.isfinite(g).all() for g in grads)


def test_the_bound_on_kept_rows_is_entropy_minus_cross_entropy() -> None:
    method, batch = built("multiclass")
    learned(method)
    method.examine(batch.rows(r) for r in torch.arange(40).split(7))
    params = method.look(batch).params
    for k in range(4):
        own = batch.present[:, k]
        y = batch.target[own].long()
        gain = torch.nn.functional.cross_entropy(method.prior[k].expand(len(y), -1), y)
        gain = gain - torch.nn.functional.cross_entropy(params[own, k], y)
        torch.testing.assert_close(method.bound[k], gain.detach(), rtol=1e-3, atol=1e-4)
    other, _ = built("multiclass")
    other.inherit(method)
    assert torch.equal(other.bound, method.bound)


def test_embeddings_are_centred_at_their_mean_over_the_training_rows() -> None:
    method, batch = built()
    method.finalise([batch.rows(r) for r in torch.arange(40).split(7)])
    encoded = method.encode_tokens(batch)
    for k, name in enumerate(batch.names):
        index = batch.values[name].index
        mean = encoded[k].pooled[index[index >= 0]].mean(0)
        torch.testing.assert_close(method.prototypes.centre[k], mean, rtol=1e-4, atol=1e-5)
    assert bool(((method.used >= 1) & (method.used <= 32)).all())


def test_noise_lowers_the_reliability_of_a_modality() -> None:
    """Two tables tell the same; noise in place of one must make the other count more."""
    rng = np.random.default_rng(0)
    signal = np.where(rng.random(400) < 0.5, -1.0, 1.0)
    blocks = {name: signal[:, None] + 0.5 * rng.normal(size=(400, 6)) for name in ("left", "right")}
    data = Dataset.from_arrays(blocks, (signal > 0).astype(float))
    model = Model("imro", epochs=6, batch_size=32, width=16, lr=0.01, ema=0.8, refit=False)
    model.fit(data[:300])
    test = data[300:]
    noisy = make_shift("pure-noise", modalities=("left",))(test, data[:300])
    plain, found = model.predict(test), model.predict(noisy)
    assert found.reliability[:, 0].mean() < 0.8 * plain.reliability[:, 0].mean()
    torch.testing.assert_close(found.reliability[:, 1], plain.reliability[:, 1])
    assert (found.reliance[:, 0] < found.reliance[:, 1]).float().mean() > 0.65


def test_diagnostics_tell_collapse_and_stability() -> None:
    model = Model("imro", stability=True, table="tokens", epochs=3, width=8, heads=2, refit=False)
    data = made_up(n=120)
    found = model.fit(data).predict(data)
    told = model.diagnostics(found)
    for name in data.names:
        assert 0 <= told[f"reliance:{name}"] <= 1
        assert f"information:{name}" in told
    for what in ("query", "output"):
        assert told[f"gradient_variance_{what}"] > 0
        ratio = told[f"gradient_variance_{what}"] / told[f"gradient_bound_{what}"]
        assert told[f"gradient_ratio_{what}"] == pytest.approx(ratio)
        assert 0 <= told[f"bound_held_{what}"] <= 1
    assert told["prototype_collapse"] == 0
    few = found.replace(extra={**found.extra, "entropy": torch.zeros(120, 4)})
    assert model.diagnostics(few)["prototype_collapse"] == 1


@pytest.mark.parametrize(
    ("settings", "error"),
    [
        ({"weights": "ratio"}, UnknownNameError),
        ({"schedule": "cosine"}, UnknownNameError),
        ({"eps": 0.0}, SettingError),
        ({"layers": 0}, SettingError),
        ({"prototypes": 1}, SettingError),
        ({"corrupt": 1.5}, SettingError),
        ({"entropy": -1.0}, SettingError),
    ],
)
def test_bad_settings_are_refused(settings: dict, error: type) -> None:
    with pytest.raises(error):
        built(**settings)
