"""Two methods on the same test rows while modalities get lost: metrics with intervals, compared.

Run it with `python examples/shifts_and_metrics.py`. A study (`amodal study`) does this at length.
"""

from __future__ import annotations

from amodal import Dataset, Model
from amodal.data.splits import folds
from amodal.metrics import Bootstrap, compare, score
from amodal.shifts import make_shift

METRICS = ["auroc", "brier"]


def main() -> None:
    data = Dataset.load("builtin:wdbc")
    train, test = (data[rows] for rows in folds(data, 3)[0])
    small = {"epochs": 20, "width": 16, "lr": 0.01}
    models = {"aum": Model("aum", **small).fit(train), "mean": Model("mean", **small).fit(train)}

    resamples = Bootstrap(len(test), replicates=200)
    for rate in (0.0, 0.3, 0.6):
        # Drawn once, applied for both: a pattern can be saved, loaded and replayed.
        pattern = make_shift("mcar", rate, seed=0).draw(test)
        rates, shifted = pattern.rates, pattern.apply(test)
        print(f"\nasked to lose {rate:.0%}, lost {rates.achieved:.1%}; "
              f"{rates.empty_rows:.1%} of the rows have nothing left")
        outputs = {name: model.predict(shifted).outputs() for name, model in models.items()}
        for name, found in outputs.items():
            values = score("binary", test.target, found, metrics=METRICS, replicates=200)
            told = [f"{k} {v.value:.3f} ({v.low:.3f} to {v.high:.3f})" for k, v in values.items()]
            print(f"  {name:5}", "  ".join(told))
        gap = compare(
            "binary", test.target, outputs["aum"], outputs["mean"], resamples=resamples, metrics=METRICS
        )["auroc"]
        print(f"  AUROC of aum minus mean: {gap.value:+.3f} ({gap.low:+.3f} to {gap.high:+.3f})")


if __name__ == "__main__":
    main()
