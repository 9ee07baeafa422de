"""Handwritten digits in four quadrants: fit AUM, lose half of the quadrants, look at reliability.

Run it with `python examples/quickstart.py`; it needs no download and takes some seconds.
"""

from __future__ import annotations

from amodal import Dataset, Model
from amodal.data.splits import folds
from amodal.shifts import make_shift


def main() -> None:
    data = Dataset.load("builtin:digits")[:900]
    train, test = (data[rows] for rows in folds(data, 4)[0])
    model = Model("aum:aggregation=posterior", epochs=25, width=32, lr=0.01).fit(train)

    half = make_shift("mcar", 0.5, seed=1)(test)
    print(f"accuracy on all quadrants: {model.score(test):.3f}")
    print(f"accuracy with half of them lost: {model.score(half):.3f}")

    # Reliability is told per row and modality, and falls where a modality gets noisy.
    noisy = make_shift("noise", severity=2.0, modalities=("top_left",))(test)
    clean_says, noisy_says = (model.predict(rows).reliability.mean(0) for rows in (test, noisy))
    print("\nmean reliability   clean  with noise on top_left")
    for name, before, after in zip(data.names, clean_says, noisy_says, strict=True):
        print(f"{name:17}  {before:.3f}  {after:.3f}")

    # One row: what it has, how far the prediction rests on it, and how sure the prediction is.
    row = model.predict(half[:1])
    print("\nreliance in the first row:", dict(zip(data.names, row.reliance[0].tolist(), strict=True)))
    print(f"most probable digit {int(row.mean.argmax())}, probability {float(row.mean.max()):.2f}")


if __name__ == "__main__":
    main()
