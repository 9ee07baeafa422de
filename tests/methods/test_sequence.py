"""Methods that write texts: what they learn, what they say of rows, and their losses."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from amodal import Dataset, Model, Task, load
from amodal.data.scaling import Scaler
from amodal.data.tensors import to_batch
from amodal.encoders import EncoderSettings
from amodal.errors import DataError, SettingError, UnknownNameError
from amodal.evaluation import evaluate
from amodal.methods import METHODS, get_method
from amodal.methods.base_rates import base_params
from amodal.methods.concat import Concat
from amodal.methods.imro import IMRO
from amodal.methods.sequence import DecoderSettings
from amodal.model import make_model
from amodal.nn.text_decoder import unpack_memory
from amodal.testing import made_up
from amodal.vocabulary import PAD, Vocabulary

COLOURS, NUMBERS = ("red", "green", "blue"), ("one", "two", "three", "four")
OF_COLOURS = [0.6, 0.25, 0.15]
QUICK = {
    "width": 32,
    "dropout": 0.0,
    "lr": 0.005,
    "weight_decay": 0.01,
    "batch_size": 32,
    "epochs": 14,
    "refit": False,
    "target_length": 6,
}


def balls(n: int, *, seed: int = 0) -> tuple[Dataset, np.ndarray, np.ndarray]:
    """Rows of a colour and a number, each told by one modality alone, and what they say together.

    Most are red, and most are one: so the likeliest text of what is known is known.
    """
    rng = np.random.default_rng(seed)
    colour, number = rng.choice(3, n, p=OF_COLOURS), rng.choice(4, n, p=[0.55, 0.25, 0.12, 0.08])
    first = 2 * np.eye(3)[colour] + 0.2 * rng.normal(size=(n, 3))
    second = 2 * np.eye(4)[number] + 0.2 * rng.normal(size=(n, 4))
    texts = [said(c, k) for c, k in zip(colour, number, strict=True)]
    data = Dataset.from_arrays(
        {"colour": first, "number": second}, texts, task=Task("sequence", name="caption")
    )
    return data, colour, number


def said(colour: int, number: int) -> str:
    return f"{NUMBERS[number]} {COLOURS[colour]} ball{'s' if number else ''}"


@cache
def learned(method: str) -> Model:
    return Model(method, **QUICK).fit(balls(500)[0])


def without(data: Dataset, *names: str) -> Dataset:
    lost = np.zeros(data.shape, dtype=bool)
    lost[:, [data.names.index(n) for n in names]] = True
    return data.lose(lost)


@pytest.mark.slow
@pytest.mark.parametrize("beam", [1, 4])
@pytest.mark.parametrize("method", ["imro", "concat", "attention"])
def test_texts_are_learned(method: str, beam: int) -> None:
    """All that modalities say where they are there; the likeliest of the rest where they are not."""
    data, colour, number = balls(300, seed=1)
    model = learned(method)
    head = model.members_[0].method.text_head
    head.settings = replace(head.settings, beam=beam)
    match = [t == s for t, s in zip(model.predict(data).texts, texts_of(data), strict=True)]
    assert np.mean(match) > 0.95
    assert model.score(data) == np.mean(match)
    no_colour = model.predict(without(data, "colour")).texts
    assert np.mean([t == said(0, k) for t, k in zip(no_colour, number, strict=True)]) > 0.95
    no_number = model.predict(without(data, "number")).texts
    assert np.mean([t == said(c, 0) for t, c in zip(no_number, colour, strict=True)]) > 0.95
    nothing = model.predict(without(data, "colour", "number"))
    assert set(nothing.texts) == {said(0, 0)}
    assert float(nothing.written.log_prob[0].exp()) == pytest.approx(0.6 * 0.55, abs=0.08)


def texts_of(data: Dataset) -> list[str]:
    return [texts[0] for texts in data.references]


@pytest.mark.slow
def test_chances_of_what_is_not_known_are_those_of_training() -> None:
    """P(text | number) for all colours, and the perplexity that follows from it."""
    data, _, number = balls(300, seed=1)
    model = learned("imro")
    found = model.predict(without(data, "colour"))
    texts = [[said(c, k) for c in range(3)] for k in number]
    chance = found.dist.log_prob(found.text_head.tokens(texts)).exp()
    np.testing.assert_allclose(chance.mean(0), OF_COLOURS, atol=0.07)
    whole = evaluate(model, data, rows="all", replicates=0).metrics
    less = evaluate(model, without(data, "colour"), rows="all", replicates=0).metrics
    entropy = -(np.array(OF_COLOURS) * np.log(OF_COLOURS)).sum() / 4  # one of four tokens is open
    assert whole["token_log_loss"].value < 0.05
    assert less["token_log_loss"].value == pytest.approx(entropy, abs=0.05)
    assert less["perplexity"].value == pytest.approx(np.exp(less["token_log_loss"].value))
    assert whole["exact_match"].value > 0.95
    assert less["exact_match"].value == pytest.approx(0.6, abs=0.1)


@pytest.mark.slow
def test_reliability_is_known_before_a_word_is_written() -> None:
    """A modality of noise tells nothing of the words; one that decides them, much."""
    data, *_ = balls(400)
    rng = np.random.default_rng(5)
    noise = Dataset.from_arrays(
        {
            "number": data.values["number"].data["numeric"],
            "noise": rng.normal(size=(400, 4)),
        },
        texts_of(data),
        task=Task("sequence"),
    )
    model = Model("imro", **{**QUICK, "epochs": 8}).fit(noise)
    found = model.predict(noise)
    told = found.extra["information"].mean(0)
    assert told[0] > 5 * told[1]
    assert float((found.reliance[:, 0] > 0.8).float().mean()) > 0.95
    assert found.reliability[:, 0].mean() > found.reliability[:, 1].mean()
    assert {"information:number", "reliance:noise"} <= set(model.diagnostics(found))


@pytest.mark.slow
def test_files_keep_what_is_written(tmp_path) -> None:
    data, *_ = balls(40, seed=2)
    for method, more in (("imro", {}), ("concat", {"target_tokens": "pairs", "target_size": 260})):
        model = Model(method, **{**QUICK, "epochs": 1, **more}).fit(balls(90)[0])
        model.save(tmp_path / method)
        again = load(tmp_path / method)
        first, second = model.predict(data), again.predict(data)
        assert first.texts == second.texts
        assert torch.equal(first.params, second.params)
        assert again.task_ == model.task_
        assert not list((tmp_path / method).rglob("*.pkl"))


# -- the parts ------------------------------------------------------------------------------------


def built(kind: type = IMRO, decoder: DecoderSettings | None = None, **settings):
    data = made_up("sequence", n=40)
    scaler = Scaler.fit(data)
    batch = to_batch(scaler.apply(data))
    torch.manual_seed(0)
    small = EncoderSettings(width=8, depth=1, heads=2, dropout=0.0)
    method = kind(scaler.modalities, scaler.task, encoder=small, decoder=decoder, **settings)
    method.prepare(batch)
    return method, batch, data


def test_targets_are_tokens_of_all_references() -> None:
    method, batch, data = built()
    vocabulary = method.task.vocabulary
    assert vocabulary.tokens[4:] == ("high", "is", "it", "low", "middle")
    assert batch.target.shape == (40, 2, 4)
    assert method.text_head.answers(batch.target).tolist() == data.references.tolist()
    tokens = method.text_head.tokens(data.references)
    assert torch.equal(tokens, batch.target.long())


def test_base_is_the_frequency_of_tokens() -> None:
    method, batch, data = built()
    words = [w for texts in data.references for t in texts for w in [*t.split(), "<end>"]]
    counts = [max(words.count(token), 0.5) for token in method.task.vocabulary.tokens]
    expected = torch.tensor(counts) / sum(counts)
    torch.testing.assert_close(method.base.exp(), expected)
    torch.testing.assert_close(method.text_head.decoder.bias.detach(), method.base)
    weight = torch.arange(40.0)
    heavy = base_params(method.task, batch.target, weight)
    parts = [base_params(method.task, batch.target[[i]]) for i in (38, 39)]
    both = base_params(method.task, batch.target[38:], torch.tensor([0.0, 1.0]))
    torch.testing.assert_close(both, parts[1])
    assert not torch.allclose(heavy, method.base)


def test_loss_is_the_mean_over_tokens_of_all_references() -> None:
    method, batch, _ = built(corrupt=0.0)
    method.eval()
    found = method(batch)
    loss = method.loss(batch)["task"].item()
    log_prob = found.dist.log_prob(batch.target)
    tokens = (batch.target != PAD).sum()
    assert loss == pytest.approx(float(-log_prob.sum() / tokens), rel=1e-5)
    outputs = found.outputs(batch.target)
    total = outputs["reference_log_prob"].sum() / outputs["reference_tokens"].sum()
    assert -total == pytest.approx(loss, rel=1e-5)


def test_loss_with_weights_and_rows_without_label() -> None:
    method, batch, _ = built(Concat)
    method.eval()
    target, weight = batch.target.clone(), torch.rand(40) + 0.1
    target[::3] = torch.nan
    some = replace(batch, target=target, weight=weight)
    found = method(some)
    use = some.labelled
    log_prob = found.dist.log_prob(batch.target).sum(1)
    tokens = (batch.target != PAD).sum((1, 2))
    expected = -(weight * log_prob)[use].sum() / (weight * tokens)[use].sum()
    assert method.loss(some)["task"].item() == pytest.approx(expected.item(), rel=1e-5)
    none = replace(batch, target=torch.full_like(target, torch.nan))
    assert method.loss(none)["task"].item() == 0


def test_smoothing_is_its_formula() -> None:
    method, batch, _ = built(
        Concat, DecoderSettings(smoothing=0.2, references="all", unconditional=0.0)
    )
    method.train()
    head, params = method.text_head, method.predict_params(batch)[0]
    ids = batch.target.long().flatten(0, 1)
    memory = params.repeat_interleave(2, 0)
    real = ids[:, 0] != PAD
    tokens, there = unpack_memory(memory[real], 8)
    log_p = head.decoder(ids[real], tokens, there)
    cost, count = 0.0, 0
    for text, places in zip(ids[real].tolist(), log_p, strict=True):
        for place, token in enumerate(text):
            if token == PAD:
                continue
            allowed = places[place][places[place] > -1e30]
            cost += 0.8 * -places[place][token].item() + 0.2 * -allowed.mean().item()
            count += 1
    assert method.loss(batch)["task"].item() == pytest.approx(cost / count, rel=1e-4)


def test_one_reference_is_drawn_anew() -> None:
    method, batch, _ = built(Concat)
    head = method.text_head.train()
    torch.manual_seed(0)
    drawn = [head._references(batch.target.long())[0] for _ in range(30)]
    torch.manual_seed(0)
    again = head._references(batch.target.long())[0]
    assert torch.equal(drawn[0], again)
    several = batch.target[:, 1, 0] != PAD
    first = torch.stack([(d == batch.target[:, 0, : d.shape[1]]).all(1) for d in drawn]).float()
    assert bool((first[:, ~several] == 1).all())
    share = first[:, several].mean().item()
    assert share == pytest.approx(0.5, abs=4 * (0.25 / first[:, several].numel()) ** 0.5)


def test_information_of_words_is_its_formula() -> None:
    method, batch, data = built(corrupt=0.0, information=0.7)
    with torch.no_grad():
        method.heads.last.weight.normal_(0, 0.1)
    method.eval()
    with torch.no_grad():
        seen, terms = method.look(batch), method.loss(batch)
    told = 0.0
    for k in range(4):
        own = batch.present[:, k].nonzero()[:, 0].tolist()
        q, p = seen.params[:, k].log_softmax(-1), method.prior[k].log_softmax(-1)
        kl = F.kl_div(p.expand_as(q), q, reduction="none", log_target=True).sum(1)
        torch.testing.assert_close(
            seen.information[own, k], kl[own].clamp_min(0), rtol=1e-4, atol=1e-6
        )
        rows = []
        for i in own:
            words = [t for x in data.references[i] for t in method.task.vocabulary.encode(x)]
            rows.append(np.mean([float(q[i, w] - p[w]) for w in words]))
        told += np.mean(rows)
    assert terms["information"].item() == pytest.approx(-0.7 * told, rel=1e-4)
    assert set(terms) == {"task", "entropy", "information", "prototypes"}
    alone = base_params(method.task, batch.target[batch.present[:, 2]])
    torch.testing.assert_close(method.prior[2], alone)


def test_rows_with_nothing_are_all_the_same_and_need_no_evidence() -> None:
    for kind in (IMRO, Concat):
        method, batch, _ = built(kind)
        method.eval()
        empty = method(batch.drop(torch.ones_like(batch.present)))
        assert not empty.params.any()
        said = empty.dist.log_prob(batch.target[1:2, 0].expand(40, -1))
        torch.testing.assert_close(said, said[:1].expand(40))


# -- predictions ----------------------------------------------------------------------------------


def test_uncertainty_is_the_mean_entropy_of_what_is_written() -> None:
    method, batch, _ = built()
    found = method.eval()(batch).cpu()
    log_prob, entropy = found.dist.measure(found.written.ids)
    assert torch.equal(found.uncertainty(), entropy)
    assert torch.equal(found.written.log_prob, log_prob)
    with pytest.raises(SettingError, match="texts have no mean"):
        _ = found.mean
    with pytest.raises(KeyError):
        found.outputs()["reference_tokens"]
    binary = Model("mean", epochs=1, refit=False).fit(made_up("binary"))
    with pytest.raises(SettingError, match="texts are predicted for sequence tasks"):
        _ = binary.predict(made_up("binary")).texts


def test_predictions_are_cut_and_joined() -> None:
    method, batch, _ = built(Concat)
    method.eval()
    whole = method(batch)
    parts = [method(batch.rows(x)) for x in torch.arange(40).split(7)]
    joined = type(whole).concat(parts)
    assert joined.texts == whole.texts
    assert joined.rows(torch.tensor([3, 1])).texts == [whole.texts[3], whole.texts[1]]
    torch.testing.assert_close(
        joined.dist.log_prob(batch.target), whole.dist.log_prob(batch.target), rtol=1e-4, atol=1e-5
    )


def test_a_vocabulary_of_ones_own_is_kept() -> None:
    own = Vocabulary("words", (*Vocabulary.fit(["it is high low middle"]).tokens, "zzz"), 5)
    data = made_up("sequence").replace(task=Task("sequence", vocabulary=own))
    model = Model("concat", **{**QUICK, "epochs": 1, "width": 8, "heads": 2}).fit(data)
    assert model.predict(data[:3]).task.vocabulary == own


# -- what is refused ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", [name for name in METHODS if "sequence" not in get_method(name).tasks]
)
def test_methods_that_write_no_texts_say_so(name: str) -> None:
    data = made_up("sequence", n=40)
    with pytest.raises(SettingError, match=f"{name} is for .* tasks; this one is sequence; choose"):
        Model(name).fit(data)
    with pytest.raises(UnknownNameError, match="unknown setting"):
        make_model(f"{name}:beam=2")


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({"beam": 0}, "beam must be a whole number from 1; got 0; raise it"),
        ({"target_length": 0}, "target_length must be a whole number from 1; got 0; raise it"),
        ({"target_size": 0}, "target_size must be a whole number from 1"),
        ({"smoothing": 1.0}, "smoothing must lie between 0 and 0.999; got 1.0; change it"),
        ({"length_penalty": -1.0}, "length_penalty must lie between 0 and 10"),
        ({"references": "both"}, "references.*both"),
        ({"target_tokens": "letters"}, "target_tokens.*letters"),
        ({"ensemble": 2}, "this task is a sequence; got ensemble 2; use 1"),
        ({"mc_dropout": 3}, "this task is a sequence; leave it out"),
    ],
)
def test_bad_settings_are_refused(settings: dict, text: str) -> None:
    with pytest.raises((SettingError, UnknownNameError), match=text):
        Model("imro", **settings).fit(made_up("sequence", n=40))


def test_bad_targets_are_refused() -> None:
    x, task = {"a": [[1.0], [2.0]]}, Task("sequence")
    for target in (["a", ""], ["a", "  "], [["a"], ["b", " "]]):
        with pytest.raises(DataError, match="must have words; got an empty one"):
            Dataset.from_arrays(x, target, task=task)
    with pytest.raises(DataError, match="holds texts, lists of them, or None"):
        Dataset.from_arrays(x, [1.0, 2.0], task=task)
    with pytest.raises(DataError, match="has a text per row; got str"):
        Dataset.from_arrays(x, "ab", task=task)
    with pytest.raises(DataError, match="must have one entry per row"):
        Dataset.from_arrays(x, ["a"], task=task)
    known = Dataset.from_arrays(x, ["a", "b"], task=task)
    with pytest.raises(DataError, match="one of them lacks"):
        known.replace(references=None)
    with pytest.raises(DataError, match="they disagree"):
        known.replace(target=np.array([1.0, 2.0]))
    with pytest.raises(DataError, match="need labels; none of 2 rows"):
        Model("concat").fit(Dataset.from_arrays(x, [None, None], task=task))


def test_what_there_is_not_is_said() -> None:
    data = made_up("sequence", n=40)
    small = {**QUICK, "epochs": 1, "width": 8, "heads": 2, "refit": True}
    model = Model("imro", **small).fit(data)
    assert len(model.predict(data).texts) == 40
    with pytest.raises(SettingError, match="this model predicts texts"):
        model.predict_proba(data)
    assert model.rows_["calibration"].tolist() == []
    assert model.temperature_ is None
    assert not hasattr(model, "classes_")
