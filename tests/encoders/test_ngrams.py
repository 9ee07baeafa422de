"""Runs of tokens that are counted beside the transformer of a text."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pytest
import torch

from amodal.encoders import EncoderSettings, make_encoder, ngrams
from amodal.encoders.ngrams import NGrams
from amodal.errors import SettingError
from amodal.types import Modality
from amodal.values import Values

SMALL = EncoderSettings(width=8, heads=2, depth=1, vocabulary=300)
NOTES = ["no fever", "Fever and cough", "cough and cough", "no cough", ""]


def packed(texts):
    offsets = torch.tensor([0, *np.cumsum([len(x) for x in texts])])
    return torch.tensor([t for x in texts for t in x], dtype=torch.long), offsets


def drawn(texts=40, tokens=6, seed=0):
    rng = np.random.default_rng(seed)
    return [rng.integers(0, tokens, rng.integers(0, 9)).tolist() for _ in range(texts)]


def runs_of(text, longest):
    return [tuple(text[i : i + n]) for n in range(1, longest + 1) for i in range(len(text) - n + 1)]


def known_runs(texts, longest):
    """By hand: of at least two texts, shorter runs first."""
    number = Counter(run for text in texts for run in set(runs_of(text, longest)))
    kept = [run for run, count in number.items() if count >= 2]
    return sorted(kept, key=lambda run: (len(run), run)), number


def fitted(texts, *, longest=3, tokens=6, width=4):
    grams = NGrams(tokens, width, longest)
    grams.fit(*packed(texts))
    with torch.no_grad():
        grams.weight[1:].normal_(generator=torch.Generator().manual_seed(1))
    return grams


def values_of(some):
    source = np.empty(len(some), dtype=object)
    source[:] = some
    return Values({"source": source}, None, torch.arange(len(some)))


def encoder_of(settings=SMALL, texts=NOTES):
    torch.manual_seed(0)
    encoder = make_encoder(Modality("m", "text"), settings)
    encoder.fit(values_of(texts))
    return encoder.eval()


@pytest.mark.parametrize("longest", [1, 2, 3, 5])
def test_runs_are_those_that_a_loop_over_texts_counts(longest):
    texts = drawn()
    expected, _ = known_runs(texts, longest)
    assert fitted(texts, longest=longest).runs() == expected


def test_the_sum_is_that_of_a_loop_over_runs():
    train, texts = drawn(), drawn(texts=12, tokens=7, seed=1)  # token 6 is in no training text
    grams = fitted(train, tokens=7)
    place = {run: j + 1 for j, run in enumerate(grams.runs())}
    found = grams(*packed(texts))
    for text, told in zip(texts, found, strict=True):
        known = [grams.weight[place[r]] for r in runs_of(text, 3) if r in place]
        expected = 12 * sum(known, torch.zeros(4)) / max(len(known), 1) ** 0.5
        torch.testing.assert_close(told, expected)


def test_by_hand():
    grams = NGrams(10, 1, 2)
    grams.fit(*packed([[1, 2], [1, 2, 3], [3]]))
    assert grams.runs() == [(1,), (2,), (3,), (1, 2)]
    with torch.no_grad():
        grams.weight[1:, 0] = torch.tensor([1.0, 10.0, 100.0, 1000.0])
    told = grams(*packed([[1, 2], [2, 1], [3, 3, 3, 3], [9], []]))[:, 0]
    root = 3**0.5
    expected = [12 * 1011 / root, 12 * 11 / 2**0.5, 12 * 400 / 2, 0, 0]
    torch.testing.assert_close(told, torch.tensor(expected))


def test_of_too_many_runs_those_of_the_most_texts_stay_with_their_starts(monkeypatch):
    texts = drawn()
    every, number = known_runs(texts, 3)
    monkeypatch.setattr(ngrams, "_MOST", 20)
    grams = fitted(texts)
    kept = grams.runs()
    assert len(kept) == 20
    assert min(number[r] for r in kept) >= max(number[r] for r in every if r not in kept)
    assert all(r[:-1] in kept for r in kept if len(r) > 1)
    place = grams.places(*packed(texts))
    found = Counter(kept[p - 1] for p in place.flatten().tolist() if p)
    every_run = Counter(r for text in texts for r in runs_of(text, 3))
    assert found == {r: every_run[r] for r in kept}


def test_runs_are_taken_from_texts_all_over_a_large_set(monkeypatch):
    monkeypatch.setattr(ngrams, "_ENOUGH", 3)
    grams = fitted([[1], [2], [3], [2], [1]], longest=1)  # the first, the middle and the last
    assert grams.runs() == [(1,)]


@pytest.mark.parametrize("texts", [[], [[]], [[1, 2]], [[], []]])
def test_nothing_to_count_adds_nothing(texts):
    grams = fitted(texts)
    assert grams.runs() == []
    told = grams(*packed([[1, 2, 3], []]))
    assert told.tolist() == [[0.0] * 4] * 2
    assert grams(*packed([])).shape == (0, 4)


def test_what_is_unknown_teaches_nothing():
    grams = fitted([[1, 2], [1, 2]])
    grams(*packed([[5], [4, 3]])).sum().backward()
    assert not grams.weight.grad.any()
    grams(*packed([[5, 1]])).sum().backward()
    assert grams.weight.grad.sum(1).tolist() == [0.0, 48.0, 0.0, 0.0]


def test_a_text_begins_at_zero_and_moves_by_its_own_runs():
    encoder, plain = encoder_of(), encoder_of(SMALL.replace(ngrams=0))
    assert plain.ngrams is None
    before = encoder(values_of(NOTES)).pooled
    torch.testing.assert_close(before, plain(values_of(NOTES)).pooled, rtol=0, atol=0)
    tokens = encoder.load(values_of(NOTES[:1]))
    place = encoder.ngrams.places(tokens.data["token"], tokens.offsets)
    with torch.no_grad():
        encoder.ngrams.weight[place[place > 0]] = 1.0  # those of "no fever"
    moved = encoder(values_of([*NOTES, "ж"])).pooled[:, 0]
    moved = moved - plain(values_of([*NOTES, "ж"])).pooled[:, 0]
    number = float((place > 0).sum())
    torch.testing.assert_close(moved[0].item(), 12 * number**0.5, rtol=1e-4, atol=1e-4)
    assert moved[3] > 0  # it has "no", too
    assert moved[4:].tolist() == [0.0, 0.0]


def test_a_text_is_counted_alike_alone_or_among_others():
    encoder = encoder_of()
    with torch.no_grad():
        encoder.ngrams.weight[1:].normal_()
    together = encoder(values_of(NOTES)).pooled
    for j, text in enumerate(NOTES):
        alone = encoder(values_of([text])).pooled[0]
        torch.testing.assert_close(alone, together[j], rtol=1e-5, atol=1e-5)


def test_weights_bring_the_runs():
    encoder = encoder_of()
    with torch.no_grad():
        encoder.ngrams.weight[1:].normal_()
    again = make_encoder(Modality("m", "text"), SMALL).eval()
    again.load_state_dict(encoder.state_dict())
    assert again.ngrams.runs() == encoder.ngrams.runs() != []
    expected = encoder(values_of(NOTES)).pooled
    assert torch.equal(again(values_of(NOTES)).pooled, expected)


def test_what_was_loaded_into_an_optimiser_stays_in_it():
    encoder = encoder_of()
    weight = encoder.ngrams.weight
    encoder.load_state_dict(encoder.state_dict())
    assert encoder.ngrams.weight is weight


@pytest.mark.parametrize("wrong", [-1, 1.5, True])
def test_the_longest_run_is_a_whole_number(wrong):
    with pytest.raises(SettingError, match="ngrams"):
        SMALL.replace(ngrams=wrong)
