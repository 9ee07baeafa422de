"""Handwritten digits in four quadrants: fit AUM, lose half of the quadrants, look at a row.

Run it with `python examples/quickstart.py`; it needs no download and takes some seconds.
"""

from __future__ import annotations

from amodal import Dataset, Model
from amodal.data.splits import folds
from amodal.shifts import make_shift

SMALL = {"epochs": 20, "batch_size": 64, "width": 32, "depth": 1, "lr": 0.01}


def main() -> None:
    data = Dataset.load("builtin:digits")[:800]
    train, test = (data[rows] for rows in folds(data, 4)[0])
    model = Model("aum", **SMALL).fit(train)

    half = make_shift("mcar", 0.5, seed=1)(test)
    for what, rows in (("all quadrants", test), ("half of them lost", half)):
        sure = model.predict(rows).mean.max(1).values.mean()
        print(f"{what}: accuracy {model.score(rows):.3f}, mean confidence {sure:.3f}")

    # One row with two quadrants left: what it has, and how far the prediction rests on it.
    row = half[half.present.sum(1) == 2][:1]
    found = model.predict(row)
    print(f"\nprobability {float(found.mean.max()):.2f} of digit {int(found.mean.argmax())}")
    for k, name in enumerate(data.names):
        state = "present" if row.present[0, k] else "lost"
        reliance, reliability = float(found.reliance[0, k]), float(found.reliability[0, k])
        print(f"  {name:13} {state:8} reliance {reliance:.2f}  reliability {reliability:.2f}")


if __name__ == "__main__":
    main()
