"""Embeddings: wide vectors, and length as evidence."""

from __future__ import annotations

import torch

from amodal.encoders import EncoderSettings, make_encoder
from amodal.types import Modality
from amodal.values import Values


def values(x):
    return Values({"value": x}, None, torch.arange(len(x)))


def test_dropout_acts_on_the_input_of_wide_vectors():
    torch.manual_seed(0)
    modality = Modality("e", "embedding", tuple(map(str, range(1024))))
    encoder = make_encoder(modality, EncoderSettings(dropout=0.5))
    seen = []
    encoder.body.register_forward_pre_hook(lambda _, given: seen.append(given[0]))
    encoder(values(torch.ones(8, 1024)))
    assert 0.45 < (seen[0] == 0).float().mean() < 0.55
    encoder.eval()(values(torch.ones(8, 1024)))
    assert (seen[1] == 1).all()


def test_the_length_of_a_vector_is_not_normalised_away():
    torch.manual_seed(0)
    modality = Modality("e", "embedding", tuple(map(str, range(16))))
    encoder = make_encoder(modality, EncoderSettings()).eval()
    x = torch.randn(5, 16)
    near, far = encoder(values(x)).pooled, encoder(values(3 * x)).pooled
    assert ((near - far).abs().amax(1) > 0.05).all()


def test_noise_can_be_read_off():
    """A linear reading of the pooled vector ranks rows by the noise put into them."""
    torch.manual_seed(0)
    n, d = 1200, 32
    noise = torch.rand(n, 1) * 2
    x = torch.randn(n, 3) @ torch.randn(3, d) + noise * torch.randn(n, d)
    x = (x - x.mean(0)) / x.std(0)
    encoder = make_encoder(
        Modality("e", "embedding", tuple(map(str, range(d)))), EncoderSettings(width=32, blocks=2)
    )
    head = torch.nn.Linear(32, 1)
    optimiser = torch.optim.AdamW([*encoder.parameters(), *head.parameters()], lr=3e-3)
    for _ in range(150):
        rows = torch.randint(0, 800, (128,))
        loss = (head(encoder(values(x[rows])).pooled) - noise[rows]).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    encoder.eval()
    found = head(encoder(values(x[800:])).pooled).detach()
    both = torch.cat([found, noise[800:]], dim=1).argsort(0).argsort(0).double()
    assert torch.corrcoef(both.T)[0, 1] > 0.8
