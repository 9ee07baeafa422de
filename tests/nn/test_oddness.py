"""How odd a vector is beside training vectors."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from amodal.nn.oddness import ODDNESS, Oddness


def low_rank(n: int, columns: int = 12, latents: int = 3, noise: float = 0.1, seed: int = 0):
    rng = np.random.default_rng(seed)
    loadings = np.random.default_rng(99).normal(size=(latents, columns))
    return rng.normal(size=(n, latents)) @ loadings + noise * rng.normal(size=(n, columns))


def fitted(x: np.ndarray) -> Oddness:
    odd = Oddness(x.shape[1]).double()
    odd.fit(torch.tensor(x))
    return odd


def test_it_is_its_formula():
    """Against numpy's eigenvectors of the correlation matrix."""
    train, x = low_rank(500), low_rank(20, noise=0.5, seed=1)
    found = fitted(train)(torch.tensor(x)).numpy()
    mean, std = train.mean(0), train.std(0)
    size, directions = np.linalg.eigh(np.cov((train - mean) / std, rowvar=False, bias=True))
    size, directions = size[::-1], directions[:, ::-1]
    held = (size.cumsum() - size) / size.sum()
    square = (((x - mean) / std) @ directions) ** 2 / np.maximum(size, 1e-3 * size.mean())
    for b, (low, high) in enumerate(((0, 0.5), (0.5, 0.9), (0.9, 2))):
        inside = (held >= low) & (held < high)
        wanted = 0.5 * np.log(square[:, inside].mean(1) + 0.01)
        np.testing.assert_allclose(found[:, b], wanted, atol=1e-5)
    assert (found[:, 3] == 1).all()


def test_noise_ranks_rows_by_the_last_band():
    """What no main direction holds grows with the noise, row by row."""
    rng = np.random.default_rng(2)
    severity = rng.uniform(0.1, 3, size=400)
    x = low_rank(400, noise=0.0, seed=3) + severity[:, None] * rng.normal(size=(400, 12))
    told = fitted(low_rank(1000))(torch.tensor(x))[:, 2].numpy()
    ranks = [np.argsort(np.argsort(v)) for v in (told, severity)]
    assert np.corrcoef(*ranks)[0, 1] > 0.9


@pytest.mark.parametrize(("rows", "columns"), [(100, 200), (360, 1024), (60, 30)])
def test_rows_not_trained_on_are_as_usual_as_those_that_were(rows, columns):
    """Without mixing, the last band of rows not trained on is 2.6, 1.9 and .4 higher here."""
    train, unseen = (low_rank(n, columns, 8, 1.0, seed) for n, seed in ((rows, 7), (300, 8)))
    noisy = unseen + 3 * np.random.default_rng(9).normal(size=unseen.shape)
    odd = fitted(train)
    seen, unseen, noisy = (odd(torch.tensor(x))[:, :3].mean(0) for x in (train, unseen, noisy))
    assert (unseen - seen).abs().max() < 0.25
    assert noisy[2] - unseen[2] > 0.9  # of log(10) / 2 = 1.15, where all that a band holds is noise


def test_unknown_numbers_are_taken_for_the_mean_and_told():
    odd = fitted(low_rank(300))
    x = torch.tensor(low_rank(4, seed=5))
    hidden = x.clone()
    hidden[:, :3] = torch.nan
    filled = torch.where(hidden.isnan(), odd.mean, hidden)
    torch.testing.assert_close(odd(hidden)[:, :3], odd(filled)[:, :3])
    assert odd(hidden)[:, 3].tolist() == pytest.approx([0.75] * 4)


@pytest.mark.parametrize("columns", [0, 1, 600])
@pytest.mark.parametrize("rows", [0, 1, 40])
def test_sizes_at_the_edge(columns, rows):
    x = torch.randn(rows, columns)
    odd = Oddness(columns)
    odd.fit(x)
    odd.fit(torch.zeros(rows, columns))  # constant columns
    found = odd(torch.randn(5, columns))
    assert found.shape == (5, ODDNESS)
    assert torch.isfinite(found).all()
