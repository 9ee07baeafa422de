"""A decoder of texts and its search, against the enumeration of all texts."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from torch import Tensor

from amodal.errors import SettingError
from amodal.nn.text_decoder import TextDecoder, join_memories, pack_memory
from amodal.nn.text_distribution import TextDistribution
from amodal.nn.text_search import beam_search, length_penalty
from amodal.vocabulary import BEGIN, END, PAD, UNKNOWN

VOCABULARY, LENGTH, WIDTH = 7, 3, 8
WORDS = (4, 5, 6)


def built(*, sharp: float = 1.0, seed: int = 0, layers: int = 2, dropout: float = 0.0):
    torch.manual_seed(seed)
    decoder = TextDecoder(
        WIDTH, 2, layers=layers, vocabulary=VOCABULARY, length=LENGTH, dropout=dropout
    )
    with torch.no_grad():
        decoder.embedding *= 8 * sharp  # far from uniform
        decoder.bias.normal_(0, sharp)
    return decoder.eval().double()


def memories(n: int = 5, s: int = 4) -> tuple[Tensor, Tensor]:
    torch.manual_seed(1)
    there = torch.rand(n, s) < 0.6
    there[:1], there[1:2] = False, True
    return torch.randn(n, s, WIDTH).double(), there


def every_text(tokens: tuple[int, ...] = WORDS) -> Tensor:
    """All texts of one to `LENGTH` tokens, with their end, padded."""
    found = []
    for size in range(1, LENGTH + 1):
        for text in product(tokens, repeat=size):
            found.append([*text, END] + [PAD] * (LENGTH - size))
    return torch.tensor(found)


def chances(decoder: TextDecoder, memory: Tensor, there: Tensor, texts: Tensor) -> Tensor:
    """``[n, texts]`` log P, one text at a time, one product of chances after the other."""
    found = torch.zeros(len(memory), len(texts), dtype=torch.double)
    for j, text in enumerate(texts.tolist()):
        real = [t for t in text if t != PAD]
        log_p = decoder(torch.tensor([real]).expand(len(memory), -1), memory, there)
        found[:, j] = sum(log_p[:, place, token] for place, token in enumerate(real))
    return found


def test_the_chances_of_all_texts_add_up_to_one() -> None:
    decoder, (memory, there) = built(), memories(3)
    texts = every_text((UNKNOWN, *WORDS))
    assert len(texts) == 4 + 16 + 64
    with torch.no_grad():
        total = chances(decoder, memory, there, texts).exp().sum(1)
    np.testing.assert_allclose(total, 1.0, rtol=1e-9)


def test_log_prob_is_the_sum_over_tokens() -> None:
    decoder, (memory, there) = built(), memories()
    dist = TextDistribution(decoder, pack_memory(memory, there))
    texts = every_text()
    with torch.no_grad():
        expected = chances(decoder, memory, there, texts)
    found = dist.log_prob(texts[None].expand(5, -1, -1))
    torch.testing.assert_close(found, expected, rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(dist.log_prob(texts[:5]), expected[range(5), range(5)])
    assert dist.log_prob(torch.zeros(5, 2, 4)).abs().sum() == 0  # no text at all
    assert dist.batch_shape == (5,)
    with pytest.raises(NotImplementedError):
        dist.entropy()


def test_entropy_of_a_text_is_the_mean_over_its_places() -> None:
    decoder, (memory, there) = built(), memories()
    texts = every_text()[[0, 5, 20, 30, 38]]
    entropy = TextDistribution(decoder, pack_memory(memory, there)).measure(texts)[1]
    for i, text in enumerate(texts.tolist()):
        real = [t for t in text if t != PAD]
        p = decoder(torch.tensor([real]), memory[[i]], there[[i]])[0].exp()
        expected = -(p * p.clamp_min(1e-300).log()).sum(1).mean()
        assert entropy[i].item() == pytest.approx(expected.item(), rel=1e-9)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("alpha", [0.0, 0.6, 2.0])
def test_a_wide_beam_finds_the_best_of_all_texts(seed: int, alpha: float) -> None:
    decoder, (memory, there) = built(seed=seed), memories()
    texts = every_text()
    with torch.no_grad():
        log_p = chances(decoder, memory, there, texts)
    score = log_p / length_penalty((texts != PAD).sum(1), alpha)
    found = beam_search(decoder, memory, there, beam=len(texts), alpha=alpha)
    best = score.argmax(1)
    assert torch.equal(found.ids[:, 0], texts[best])
    torch.testing.assert_close(found.log_prob[:, 0], log_p[range(5), best])
    torch.testing.assert_close(found.score[:, 0], score.amax(1))


def test_further_texts_are_different_ones_in_order() -> None:
    decoder, (memory, there) = built(sharp=0.3), memories(2)
    texts = every_text()
    with torch.no_grad():
        log_p = chances(decoder, memory, there, texts)
    found = beam_search(decoder, memory, there, beam=len(texts), alpha=0.0)
    for i in range(2):
        done = found.log_prob[i] > -torch.inf
        assert int(done.sum()) > 1
        place = [texts.tolist().index(text) for text in found.ids[i, done].tolist()]
        assert len(set(place)) == len(place)
        torch.testing.assert_close(found.log_prob[i, done], log_p[i, place])
        assert bool((found.score[i, done].diff() <= 0).all())
        assert not found.ids[i, ~done].any()


@pytest.mark.parametrize("seed", range(4))
def test_one_beam_takes_the_likeliest_token_each_time(seed: int) -> None:
    decoder, (memory, there) = built(seed=seed), memories()
    found = beam_search(decoder, memory, there, beam=1, alpha=0.6).ids[:, 0]
    for i in range(5):
        text: list[int] = []
        while not text or text[-1] != END:
            ids = torch.tensor([[*text, PAD]])
            log_p = decoder(ids, memory[[i]], there[[i]])[0, -1]
            log_p[UNKNOWN] = -torch.inf
            text.append(int(log_p.argmax()))
        assert found[i].tolist() == text + [PAD] * (LENGTH + 1 - len(text))


@pytest.mark.parametrize("beam", [2, 3, 5])
@torch.no_grad()
def test_search_is_that_of_a_plain_program(beam: int) -> None:
    """Against lists of texts, extended one by one and without kept keys."""
    decoder, (memory, there) = built(seed=7), memories()
    found = beam_search(decoder, memory, there, beam=beam, alpha=0.6)
    for i in range(len(memory)):
        live: list[tuple[float, list[int]]] = [(0.0, [])]
        done: list[tuple[float, list[int]]] = []
        for _ in range(LENGTH + 1):
            grown = []
            for total, text in live:
                log_p = decoder(torch.tensor([[*text, PAD]]), memory[[i]], there[[i]])[0, -1]
                for token in (END, *WORDS):
                    if log_p[token] > -1e30:
                        grown.append((total + float(log_p[token]), [*text, token]))
            grown.sort(key=lambda x: -x[0])
            ended = [(x, t) for x, t in grown[:beam] if t[-1] == END]
            done += [(x / length_penalty(len(t), 0.6), t) for x, t in ended]
            done = sorted(done, key=lambda x: -x[0])[:beam]
            live = [(x, t) for x, t in grown if t[-1] != END][:beam]
            if not live or len(done) == beam:
                break
            if done and done[0][0] >= live[0][0] / length_penalty(LENGTH + 1, 0.6):
                break
        for rank, (score, text) in enumerate(done):
            assert found.score[i, rank].item() == pytest.approx(score, rel=1e-9)
            assert [t for t in found.ids[i, rank].tolist() if t != PAD] == text
        assert bool((found.score[i, len(done) :] == -torch.inf).all())


def test_kept_keys_change_nothing() -> None:
    decoder, (memory, there) = built(layers=3), memories()
    texts = every_text()[torch.tensor([12, 15, 20, 30, 38])]
    whole = decoder(texts, memory, there)
    state, token = decoder.start(memory, there), torch.full((5, 1), BEGIN)
    for place in range(LENGTH + 1):
        told, state = decoder.step(token, state, at=place)
        torch.testing.assert_close(told[:, 0], whole[:, place], rtol=1e-9, atol=1e-9)
        token = texts[:, place : place + 1]


def test_a_token_sees_none_behind_it() -> None:
    decoder, (memory, there) = built(), memories(1)
    ids = torch.tensor([[4, 5, 6, END]])
    changed = torch.tensor([[4, 5, 4, PAD]])
    first, second = decoder(ids, memory, there), decoder(changed, memory, there)
    assert torch.equal(first[:, :3], second[:, :3])
    assert not torch.equal(
        decoder(ids, memory, there)[:, 2], decoder(ids[:, [1, 0, 2, 3]], memory, there)[:, 2]
    )


def test_rows_are_written_alone_as_in_a_batch() -> None:
    decoder, (memory, there) = built(seed=3), memories(6)
    whole = beam_search(decoder, memory, there, beam=3)
    for i in range(6):
        alone = beam_search(decoder, memory[[i]], there[[i]], beam=3)
        assert torch.equal(alone.ids[0], whole.ids[i])
        torch.testing.assert_close(alone.score[0], whole.score[i])
    none = beam_search(decoder, memory[:0], there[:0], beam=3)
    assert none.ids.shape == (0, 3, LENGTH + 1)


def test_what_is_absent_is_not_read() -> None:
    decoder, (memory, there) = built(), memories()
    ids = every_text()[:5]
    plain = decoder(ids, memory, there)
    for poison in (torch.nan, 1e6):
        changed = torch.where(there[..., None], memory, poison)
        assert torch.equal(decoder(ids, changed, there), plain)
        changed.requires_grad_(True)
        decoder(ids, changed, there).nan_to_num(0.0).clamp_min(-50).sum().backward()
        assert bool(changed.grad.isfinite().all())
        assert changed.grad[~there].abs().sum() == 0
    longer = torch.nn.functional.pad(memory, (0, 0, 0, 3), value=torch.nan)
    more = decoder(ids, longer, torch.nn.functional.pad(there, (0, 3)))
    torch.testing.assert_close(more, plain, rtol=1e-9, atol=1e-9)


def test_rows_with_nothing_read_the_learned_vector_alone() -> None:
    decoder, (memory, _) = built(), memories()
    none = torch.zeros(5, 4, dtype=torch.bool)
    found = decoder(every_text()[:1].expand(5, -1), memory, none)
    torch.testing.assert_close(found, found[:1].expand_as(found))
    other = decoder(every_text()[:1], memory[:1], ~none[:1])
    assert not torch.allclose(other[0, 0, 4:], found[0, 0, 4:])


def test_finished_texts_are_frozen() -> None:
    """A row that is done early keeps its text, whatever happens to the rows beside it."""
    decoder, (memory, there) = built(seed=5), memories(2)
    with torch.no_grad():
        decoder.bias[END] = 60.0  # every text ends as soon as it may
    found = beam_search(decoder, memory, there, beam=2)
    assert bool((found.ids[:, 0, 1] == END).all())
    assert not found.ids[:, 0, 2:].any()
    assert bool((found.log_prob[:, 0] < 0).all())


def test_samples_come_as_often_as_their_chance() -> None:
    decoder, (memory, there) = built(sharp=0.5), memories(2)
    dist = TextDistribution(decoder, pack_memory(memory, there))
    texts = every_text((UNKNOWN, *WORDS))
    drawn = dist.sample((4000,))
    assert drawn.shape == (4000, 2, LENGTH + 1)
    with torch.no_grad():
        expected = chances(decoder, memory, there, texts).exp()
    for i in range(2):
        rate = (drawn[:, i, None] == texts).all(2).double().mean(0)
        assert rate.sum().item() == pytest.approx(1.0)
        assert float((rate - expected[i]).abs().max()) < 4.5 * (0.25 / 4000) ** 0.5


def test_distribution_leaves_its_decoder_as_it_was() -> None:
    decoder, (memory, there) = built(dropout=0.5), memories()
    dist = TextDistribution(decoder, pack_memory(memory, there))
    decoder.train()
    texts = every_text()[:5]
    assert torch.equal(dist.log_prob(texts), dist.log_prob(texts))
    assert decoder.training
    assert torch.equal(dist.write(beam=2, alpha=0.6).ids, dist.write(beam=2, alpha=0.6).ids)
    written = dist.write(beam=2, alpha=0.6)
    torch.testing.assert_close(
        written.log_prob, beam_search(decoder.eval(), memory, there, beam=2).log_prob[:, 0]
    )


def test_memories_of_other_sizes_are_joined() -> None:
    memory, there = memories(4)
    decoder = built()
    parts = [pack_memory(memory[:2], there[:2]), pack_memory(memory[2:, :2], there[2:, :2])]
    joined = TextDistribution(decoder, join_memories(parts, WIDTH))
    texts = every_text()[:2]
    for part, at in zip(parts, (slice(0, 2), slice(2, 4)), strict=True):
        torch.testing.assert_close(
            TextDistribution(decoder, part).log_prob(texts),
            TextDistribution(decoder, joined.params[at]).log_prob(texts),
        )


@pytest.mark.parametrize(("beam", "alpha"), [(0, 0.6), (-1, 0.6), (1, -0.1), (1, float("nan"))])
def test_bad_searches_are_refused(beam: int, alpha: float) -> None:
    with pytest.raises(SettingError, match="follows at least 1 text"):
        beam_search(built(), *memories(), beam=beam, alpha=alpha)
