"""The simulation against brute force: conditioning, integration, calibration, invariance."""

from __future__ import annotations

import json

import numpy as np
import pytest
from scipy.integrate import quad
from scipy.stats import norm, spearmanr

from amodal.data.planted import ODDS_RATIO, TARGET_STD, Plan
from amodal.data.scaling import Scaler
from amodal.data.simulate import (
    oracle_outputs,
    oracle_probability,
    simulate,
    true_posterior,
    true_reliability,
    true_variance,
)
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.types import LOST, NOT_MEASURED, PRESENT


def plan_of(data):
    return Plan(**data.provenance["simulate"])


def lose_some(data, seed=0, share=0.4):
    return data.lose(np.random.default_rng(seed).random(data.shape) < share)


def log_loss(y, p):
    if p.ndim == 2:
        return -np.log(p[np.arange(len(y)), y.astype(int)]).mean()
    return -np.log(np.where(y == 1, p, 1 - p)).mean()


def uniform(data):
    """The probability for one who takes every modality to be equally noisy (variance 1)."""
    plan, total = plan_of(data), np.zeros((len(data), 4))
    for k, name in enumerate(data.names):
        v, has = data.values[name], data.present[:, k]
        seen = v.data["numeric"] @ plan.loadings(k) / np.sqrt(plan.features / plan.latents)
        total[has] += seen[v.index[has]]
    precision = 1 + data.present.sum(axis=1)
    g = total @ plan.directions()[0] / precision
    return 1 / (1 + np.exp(-3 * g / np.sqrt(1 + 9 * np.pi / 8 / precision)))


def conditioned(data, row):
    """Mean and covariance of z given the row's raw values, from the joint covariance matrix."""
    plan = plan_of(data)
    variance = plan.variances_of(plan.n)
    c = np.sqrt(plan.features / plan.latents)
    blocks, noise, x = [], [], []
    for k, name in enumerate(data.names):
        v = data.values[name]
        if v.index[row] >= 0:
            blocks.append(c * plan.loadings(k))
            noise += [c**2 * variance[int(data.row_id[row][1:]), k]] * plan.features
            x.append(v.data["numeric"][v.index[row]])
    if not blocks:
        return np.zeros(plan.latents), np.eye(plan.latents)
    load = np.concatenate(blocks)
    gain = load.T @ np.linalg.inv(load @ load.T + np.diag(noise))
    return gain @ np.concatenate(x), np.eye(plan.latents) - gain @ load


@pytest.mark.parametrize("noise", ["row", "modality"])
@pytest.mark.parametrize("absence", ["none", "informative"])
def test_posterior_equals_gaussian_conditioning_on_the_raw_values(noise, absence):
    data = lose_some(simulate(25, noise=noise, absence=absence, seed=3), share=0.6)
    mean, variance = true_posterior(data)
    assert {0, 1, 2} < set(data.present.sum(axis=1).tolist())
    for i in range(len(data)):
        expected, covariance = conditioned(data, i)
        np.testing.assert_allclose(mean[i], expected, atol=1e-9)
        np.testing.assert_allclose(covariance, variance[i] * np.eye(4), atol=1e-9)


def integrand(plan, data, i, mean, sd):
    """g -> density of the first score given values times probability of the pattern of absence."""

    def density(g):
        p = float(plan.p_measured(np.array(g)))
        factors = {PRESENT: p, NOT_MEASURED: 1 - p, LOST: 1.0}
        return norm.pdf(g, mean, sd) * np.prod([factors[a] for a in data.absence[i].tolist()])

    return density


@pytest.mark.parametrize("task", ["binary", "regression"])
@pytest.mark.parametrize("absence", ["none", "informative"])
def test_oracle_equals_numerical_integration(task, absence):
    data = lose_some(simulate(8, task=task, absence=absence, seed=5), seed=1, share=0.3)
    plan, found = plan_of(data), oracle_outputs(data)
    mean, variance = true_posterior(data)
    for i in range(len(data)):
        centre, sd = float(plan.directions()[0] @ mean[i]), float(np.sqrt(variance[i]))
        density = integrand(plan, data, i, centre, sd)

        def expect(f, density=density, low=centre - 10 * sd, high=centre + 10 * sd):
            return quad(lambda g: f(g) * density(g), low, high, epsabs=1e-12, limit=200)[0]

        total = expect(lambda g: 1.0)
        if task == "binary":
            expected = expect(lambda g: 1 / (1 + np.exp(-3 * g))) / total
            assert found["probability"][i] == pytest.approx(expected, abs=1e-8)
        else:
            first, second = expect(lambda g: g) / total, expect(lambda g: g * g) / total
            assert found["mean"][i] == pytest.approx(first, abs=1e-8)
            std = np.sqrt(second - first**2 + TARGET_STD**2)
            assert found["std"][i] == pytest.approx(std, abs=1e-8)


def test_three_class_oracle_equals_numerical_integration():
    data = lose_some(simulate(20, task="multiclass", seed=2), share=0.5)
    mean, variance = true_posterior(data)
    plan = plan_of(data)
    for i in range(len(data)):
        centre, sd = plan.directions() @ mean[i], np.sqrt(variance[i])
        u, w = np.polynomial.legendre.leggauss(150)
        u, w = 8 * u, 8 * w * norm.pdf(8 * u)
        g = centre + sd * np.stack(np.meshgrid(u, u, indexing="ij"), axis=-1)
        expected = np.einsum("u,v,uvc->c", w, w, plan.probabilities(g))
        np.testing.assert_allclose(oracle_probability(data)[i], expected, atol=1e-5)


def test_a_row_with_nothing_has_the_prior():
    data = simulate(300, absence="informative")
    empty = data.lose(np.ones(data.shape, dtype=bool))
    mean, variance = true_posterior(empty)
    assert not mean.any()
    assert (variance == 1).all()
    np.testing.assert_allclose(oracle_probability(empty), 0.5, atol=1e-12)
    assert np.isinf(true_variance(empty)).all()
    assert not true_reliability(empty).any()
    real = oracle_outputs(simulate(5, task="regression").lose(np.ones((5, 4), dtype=bool)))
    np.testing.assert_allclose(real["std"], np.sqrt(1 + TARGET_STD**2))
    three = oracle_probability(simulate(5, task="multiclass").lose(np.ones((5, 4), dtype=bool)))
    np.testing.assert_allclose(three, 1 / 3, atol=1e-6)


def test_an_unmeasured_modality_tells_and_a_lost_one_does_not():
    data = simulate(200, absence="informative", seed=1)
    away = (data.absence == NOT_MEASURED).any(axis=1)
    as_lost = data.replace(absence=np.where(data.present, PRESENT, LOST).astype(np.int8))
    told, untold = oracle_probability(data), oracle_probability(as_lost)
    gone = data.lose(np.ones(data.shape, dtype=bool))
    none_measured = gone.replace(absence=np.full(data.shape, NOT_MEASURED, dtype=np.int8))
    assert (told[away] < untold[away] + 0.2).all()
    assert (oracle_probability(none_measured) < 0.25).all()
    np.testing.assert_array_equal(true_posterior(data)[0], true_posterior(as_lost)[0])


def test_a_further_modality_never_widens_the_posterior():
    data = simulate(50)
    widths = [true_posterior(data.select(data.names[: k + 1]))[1] for k in range(4)]
    assert (np.diff(widths, axis=0) < 0).all()


@pytest.mark.parametrize("absence", ["none", "informative"])
def test_binary_oracle_is_calibrated_and_beats_all_others(absence):
    data = lose_some(simulate(12000, absence=absence, seed=9), share=0.2)
    y, p = data.target, oracle_probability(data)
    bins = np.digitize(p, np.linspace(0, 1, 11)[1:-1])
    for b in range(10):
        mine = bins == b
        error = (y[mine] - p[mine]).sum() / np.sqrt((p[mine] * (1 - p[mine])).sum())
        assert abs(error) < 4
    logit, best = np.log(p / (1 - p)), log_loss(y, p)
    assert best == pytest.approx(-(p * np.log(p) + (1 - p) * np.log(1 - p)).mean(), abs=0.012)
    rivals = [1 / (1 + np.exp(-(s * logit + b))) for s, b in ((0.8, 0), (1.25, 0), (1, 0.2))]
    rivals.append(uniform(data))
    if absence == "informative":
        unaware = np.where(data.present, PRESENT, LOST).astype(np.int8)
        rivals.append(oracle_probability(data.replace(absence=unaware)))
    assert min(log_loss(y, q) for q in rivals) > best + 1e-3


def test_three_class_and_real_oracles_are_calibrated():
    data = lose_some(simulate(1200, task="multiclass", seed=4))
    y, p = data.target, oracle_probability(data)
    np.testing.assert_allclose(p.sum(axis=1), 1.0)
    for c in range(3):
        q = p[:, c]
        for mine in (q < 0.2, (q >= 0.2) & (q < 0.6), q >= 0.6):
            spread = np.sqrt((q * (1 - q))[mine].sum())
            assert abs(((y == c)[mine] - q[mine]).sum()) < 4 * spread
    assert log_loss(y, p) < log_loss(y, (p + 0.05) / 1.15)
    data = lose_some(simulate(20000, task="regression", seed=4))
    found = oracle_outputs(data)
    z = (data.target - found["mean"]) / found["std"]
    assert abs(z.mean()) < 4 / np.sqrt(len(z))
    assert z.var() == pytest.approx(1.0, abs=0.05)
    assert (np.abs(z) < norm.ppf(0.975)).mean() == pytest.approx(0.95, abs=0.007)


def test_noise_can_be_read_off_a_row_and_ranks_as_the_truth():
    data = simulate(2000, seed=6)
    plan, variance = plan_of(data), true_variance(data)
    for k, name in enumerate(data.names):
        load, x = plan.loadings(k), data.values[name].data["numeric"]
        residual = x - x @ load @ load.T
        estimate = (residual**2).sum(axis=1) / (plan.features / plan.latents) / (32 - 4)
        assert spearmanr(estimate, variance[:, k]).statistic > 0.95
    assert variance.min() >= 0.05
    assert variance.max() <= 20
    assert np.log(variance).mean() == pytest.approx(0.0, abs=0.1)  # log-uniform about 1
    assert spearmanr(variance[:, 0], variance[:, 1]).statistic == pytest.approx(0, abs=0.08)
    order = np.argsort(variance.ravel())
    assert (np.diff(true_reliability(data).ravel()[order]) <= 0).all()


def test_one_variance_per_modality():
    variance = true_variance(simulate(10, noise="modality"))
    expected = np.geomspace(0.05, 20, 4)
    np.testing.assert_allclose(variance, np.broadcast_to(expected, (10, 4)))
    np.testing.assert_allclose(true_variance(simulate(2, modalities=1, noise="modality")), 1.0)


def test_informative_absence_has_the_stated_odds():
    data = simulate(40000, modalities=2, absence="informative", seed=8)
    plan = plan_of(data)
    g = plan.latents_of(40000) @ plan.directions()[0]
    for k in range(2):
        odds = [data.present[np.abs(g - at) < 0.1, k].mean() for at in (0.0, 1.0)]
        first, second = (p / (1 - p) for p in odds)
        assert first == pytest.approx(7 / 3, rel=0.15)
        assert second / first == pytest.approx(ODDS_RATIO, rel=0.25)
    assert set(np.unique(data.absence)) == {PRESENT, NOT_MEASURED}


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_a_row_does_not_depend_on_how_many_there_are(task):
    settings = {"task": task, "absence": "informative", "seed": 4}
    few, many = simulate(30, **settings), simulate(100, **settings)
    assert many[:30].fingerprint() == few.fingerprint()
    for key, array in oracle_outputs(few).items():
        np.testing.assert_array_equal(array, oracle_outputs(many)[key][:30])


def test_seed_decides():
    assert simulate(20, seed=1).fingerprint() == simulate(20, seed=1).fingerprint()
    assert simulate(20, seed=1).fingerprint() != simulate(20, seed=2).fingerprint()


def test_the_truth_follows_slices_copies_selection_and_scaling():
    data = simulate(60, absence="informative", seed=7)
    rows = np.array([41, 3, 17])
    mean, variance = true_posterior(data)
    for part in (data[rows], Scaler.fit(data).apply(data)[rows]):
        np.testing.assert_allclose(true_posterior(part)[0], mean[rows], atol=1e-12)
        np.testing.assert_allclose(true_posterior(part)[1], variance[rows])
        np.testing.assert_allclose(oracle_probability(part), oracle_probability(data)[rows])
    twice = data.resample(np.array([5, 5]))
    np.testing.assert_array_equal(true_variance(twice)[0], true_variance(twice)[1])
    turned = data.select(["m3", "m1"])
    np.testing.assert_array_equal(true_variance(turned), true_variance(data)[:, [3, 1]])
    stored = data.replace(provenance=json.loads(json.dumps(dict(data.provenance))))
    np.testing.assert_array_equal(true_variance(stored), true_variance(data))


def test_every_latent_counts_in_the_target():
    for seed in range(5):
        w = plan_of(simulate(1, latents=6, seed=seed)).directions()
        assert w.shape == (1, 6)
        assert (w**2).sum() == pytest.approx(1)
        assert np.abs(w).min() > 0.1
    two = plan_of(simulate(1, task="multiclass")).directions()
    np.testing.assert_allclose(two @ two.T, np.eye(2), atol=1e-12)


def test_smallest_sizes():
    data = simulate(1, modalities=1, latents=1, features=4)
    assert data.shape == (1, 1)
    assert 0 < oracle_probability(data)[0] < 1
    assert oracle_probability(data[:0]).shape == (0,)
    assert true_posterior(data[:0])[0].shape == (0, 1)


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"features": 15}, "at least 4 features per latent"),
        ({"modalities": 0}, "'modalities' of a simulation must be a whole number of at least 1"),
        ({"n": 2.5}, "'n' of a simulation must be a whole number"),
        ({"seed": -1}, "at least 0"),
        ({"task": "multiclass", "latents": 1}, "at least 2 latents"),
    ],
)
def test_wrong_settings_are_refused(settings, text):
    with pytest.raises(SettingError, match=text):
        simulate(**settings)


def test_unknown_names_are_refused():
    with pytest.raises(UnknownNameError, match="did you mean 'binary'"):
        simulate(task="binry")


def test_data_from_elsewhere_have_no_known_truth():
    data = simulate(10)
    strange = [
        data.replace(provenance={}),
        data.replace(row_id=np.array([f"p{i}" for i in range(10)])),
        data.replace(row_id=np.array([f"r{i + 5}" for i in range(10)])),
    ]
    for other in strange:
        with pytest.raises(DataError, match="known of simulated data only"):
            true_variance(other)
    with pytest.raises(DataError, match="has no probability"):
        oracle_probability(simulate(3, task="regression"))
