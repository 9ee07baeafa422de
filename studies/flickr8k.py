"""IMRO writes captions of Flickr8k: how good, what the image tells of a word, and a page to look at.

`python studies/flickr8k.py FLICKR8K OUT [SEED]` trains on the folder that `amodal prepare flickr8k`
wrote, prints Markdown, and writes `OUT/index.html` with photographs of test rows, which holds data
and stays where the data may lie. The model is stored in `OUT/model` and read again by the next call.
Baselines see pixels alone: the first caption of the training photograph that is nearest in 8 x 8
fields of colour, the caption on which those of the 20 nearest agree most (Devlin et al., 2015), and
the one on which all of the training rows agree.
"""

from __future__ import annotations

import base64
import html
import io
import sys
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from scipy.stats import spearmanr
from to_markdown import estimate, number, table

from amodal import Dataset, Model, load
from amodal.batch import Prediction
from amodal.data.features import tabulate
from amodal.data.splits import assign_splits
from amodal.media.source import Source
from amodal.metrics import score
from amodal.metrics.text import cider_rows, tokenize
from amodal.model import make_model
from amodal.shifts import make_shift
from amodal.study.files import put_file

SETTINGS = (
    "references=all:unconditional=0.05:target_size=600:target_length=20:image_size=32:patch=8"
    ":width=64:dropout=0.2:lr=0.004:epochs=45:batch_size=32:refit=false"
)
METRICS = ("bleu_1", "bleu_2", "bleu_3", "bleu_4", "rouge_l", "cider")
TITLES = ["BLEU-1", "BLEU-2", "BLEU-3", "BLEU-4", "ROUGE-L", "CIDEr"]
SHOWN = 24
AGREE = 20
MOST = 2000


# -- baselines ------------------------------------------------------------------------------------


def agreed(captions: Sequence[str]) -> str:
    """The caption whose words have most in common with those of all others, on average."""
    words = [set(tokenize(c).split()) for c in captions]
    common = [np.mean([len(a & b) / max(1, len(a | b)) for b in words]) for a in words]
    return captions[int(np.argmax(common))]


def by_pixels(train: Dataset, test: Dataset) -> dict[str, list[str]]:
    """What the nearest photographs and all photographs are called."""
    both = [tabulate(rows.replace(target=None, task=None)).x[:, :192] for rows in (train, test)]
    mean, std = both[0].mean(0), both[0].std(0)
    near, far = ((x - mean) / std for x in both)
    order = ((far[:, None] - near[None]) ** 2).sum(2).argsort(1)
    told = train.references

    def every(rows: np.ndarray) -> list[str]:
        return [caption for row in rows for caption in told[row]]

    draw = np.random.default_rng(0).permutation(every(np.arange(len(train))))[:MOST]
    return {
        "nearest photograph": [told[rows[0]][0] for rows in order],
        f"{AGREE} nearest, agreed": [agreed(every(rows[:AGREE])) for rows in order],
        "one caption for all": [agreed(draw.tolist())] * len(test),
    }


# -- numbers --------------------------------------------------------------------------------------


def values(test: Dataset, texts: Sequence[str]) -> list[str]:
    """Metrics of captions with 95% intervals over photographs."""
    found = score("sequence", test.references, {"text": list(texts)}, metrics=METRICS)
    return [estimate(x) for x in found.values()]


def token_loss(test: Dataset, told: Prediction) -> str:
    outputs = told.outputs(told.text_head.tokens(test.references))
    found = score("sequence", test.references, outputs, metrics="token_log_loss")["token_log_loss"]
    return estimate(found)


def per_word(told: Prediction, nothing: Prediction) -> np.ndarray:
    """``Float[n]`` (log P(text | image) - log P(text)) / tokens of what was written, in nats."""
    ids = told.written.ids
    gain = told.dist.log_prob(ids) - nothing.dist.log_prob(ids)
    return (gain / (ids != 0).sum(1)).numpy()


def spoilt(test: Dataset, train: Dataset) -> dict[str, Dataset]:
    """Test rows with their image changed, more and more."""
    shifts = {
        "Gaussian noise": make_shift("image-noise", seed=1, severity=2.0),
        "even noise": make_shift("pure-noise", 1.0, seed=1, modalities=("image",)),
        "another photograph": make_shift("swap", 1.0, seed=1, modalities=("image",)),
    }
    return {name: shift(test, reference=train) for name, shift in shifts.items()}


def lost(rows: Dataset) -> Dataset:
    return rows.lose(np.ones(rows.shape, dtype=bool))


# -- the page -------------------------------------------------------------------------------------


def thumbnail(source: str) -> str:
    with Image.open(Source.parse(source).path) as image:
        image = image.convert("RGB")
    image.thumbnail((160, 160))
    kept = io.BytesIO()
    image.save(kept, "JPEG", quality=80)
    return "data:image/jpeg;base64," + base64.b64encode(kept.getvalue()).decode()


def card(source: str, lines: Sequence[tuple[str, str]]) -> str:
    told = "".join(f"<p><b>{html.escape(k)}</b> {html.escape(v)}</p>" for k, v in lines)
    return f'<article><img src="{thumbnail(source)}" alt=""><div>{told}</div></article>'


STYLE = """
body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;color:#222;padding:0 1rem}
main{display:grid;grid-template-columns:repeat(auto-fill,minmax(31rem,1fr));gap:1rem}
article{display:flex;gap:1rem;border:1px solid #ddd;border-radius:6px;padding:.8rem}
img{width:160px;height:160px;object-fit:contain;background:#f3f3f3;flex:none}
p{margin:.2rem 0}b{color:#666;font-weight:600;font-size:85%}
"""


def page(rows: Dataset, told: Prediction, gain: np.ndarray, notes: Sequence[str]) -> str:
    images = rows.values["image"]
    sources = images.data["source"][images.index]
    cards = [
        card(
            sources[i],
            [
                ("written", told.texts[i]),
                ("a person", rows.references[i][0]),
                ("reliability of the image", number(float(told.reliability[i, 0]))),
                ("reliance on it", number(float(told.reliance[i, 0]))),
                ("it tells of a written word", f"{number(float(gain[i]))} nats"),
            ],
        )
        for i in range(len(rows))
    ]
    words = "".join(f"<p>{html.escape(x)}</p>" for x in notes)
    return (
        '<!doctype html><html lang="en"><meta charset="utf-8"><title>Captions of Flickr8k</title>'
        f"<style>{STYLE}</style><h1>Captions of Flickr8k</h1>{words}<main>{''.join(cards)}</main>"
    )


NOTES = (
    "Test photographs drawn at random, what the model wrote, and one of five captions by people.",
    "Reliability is I / (I + H + eps): what the image alone tells of the words over that and the "
    "entropy of its embedding. Reliance is 1 wherever the image is the only modality.",
    "What the image tells of a written word is the mean over the words of the text of log P(word | "
    "words before, image) - log P(word | words before).",
)


# -- all of it ------------------------------------------------------------------------------------


def fitted(development: Dataset, out: Path, seed: int) -> Model:
    if (out / "model").exists():
        return load(out / "model")
    started = time.perf_counter(), time.process_time()
    model = make_model(f"imro:{SETTINGS}", seed=seed).fit(development)
    wall, cpu = time.perf_counter() - started[0], time.process_time() - started[1]
    model.save(out / "model")
    print(f"Trained in {wall / 60:.1f} minutes ({cpu / 60:.1f} of one processor).\n")
    return model


def written(model: Model, test: Dataset, train: Dataset) -> str:
    told, nothing = model.predict(test), model.predict(lost(test))
    lines = [
        ["`imro`, with the image", *values(test, told.texts), token_loss(test, told)],
        ["`imro`, image lost", *values(test, nothing.texts), token_loss(test, nothing)],
    ]
    for name, texts in by_pixels(train, test).items():
        lines.append([name, *values(test, texts), ""])
    lines.append(["a person", *person(test), ""])
    return table(["", *TITLES, "token log loss"], lines)


def person(test: Dataset) -> list[str]:
    """The first caption against the others."""
    found = score(
        "sequence",
        [several[1:] for several in test.references],
        {"text": [several[0] for several in test.references]},
        metrics=METRICS,
    )
    return [estimate(x) for x in found.values()]


def reliable(model: Model, test: Dataset, train: Dataset) -> str:
    nothing, lines = model.predict(lost(test)), []
    for name, rows in {"as it is": test, **spoilt(test, train)}.items():
        told = model.predict(rows)
        gain, sure = per_word(told, nothing), told.reliability[:, 0].numpy()
        own = cider_rows(told.texts, test.references)
        cells = [sure.mean(), gain.mean(), own.mean(), len(set(told.texts))]
        pairs = [spearmanr(sure, x).statistic for x in (gain, own)]
        shown = [f"{cells[3]}", *(number(float(x)) for x in (*cells[:3], *pairs))]
        lines.append([name, *shown])
    head = ["distinct captions", "reliability", "nats a word", "CIDEr"]
    return table(["image", *head, "reliability ~ nats", "reliability ~ CIDEr"], lines)


def main(folder: str, out: str, seed: int = 0) -> None:
    data, place = Dataset.load(folder), Path(out)
    test_rows = assign_splits(data, seed=seed)["test"]
    inside = np.isin(np.arange(len(data)), test_rows)
    development, test = data[~inside], data[inside]
    place.mkdir(parents=True, exist_ok=True)
    model = fitted(development, place, seed)
    print(written(model, test, development), flush=True)
    print(reliable(model, test, development), flush=True)
    drawn = np.sort(np.random.default_rng(seed).choice(len(test), min(SHOWN, len(test)), False))
    rows = test.take(drawn)
    told = model.predict(rows)
    made = page(rows, told, per_word(told, model.predict(lost(rows))), NOTES)
    put_file(place / "index.html", lambda part: part.write_text(made, encoding="utf-8"))
    print(f"{place / 'index.html'} has {len(rows)} photographs.")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
