"""Two methods on the same test rows while modalities get lost: metrics with intervals, compared."""

from __future__ import annotations

from amodal import Dataset, Model
from amodal.data.splits import folds
from amodal.metrics import Bootstrap, compare, score
from amodal.shifts import make_shift

SMALL = {"epochs": 15, "width": 16, "depth": 1, "lr": 0.01}


def show(name: str, interval) -> None:
    print(f"  {name:28} {interval.value:+.3f} ({interval.low:+.3f} to {interval.high:+.3f})")


def main() -> None:
    data = Dataset.load("builtin:wdbc")
    train, test = (data[rows] for rows in folds(data, 3)[0])
    models = {name: Model(name, **SMALL).fit(train) for name in ("aum", "mean")}
    resamples = Bootstrap(len(test), replicates=200)
    for rate in (0.0, 0.3, 0.6):
        pattern = make_shift("mcar", rate, seed=0).draw(test)  # the same losses for both methods
        shifted, rates = pattern.apply(test), pattern.rates
        print(f"\nasked to lose {rate:.0%}, lost {rates.achieved:.1%} of all pairs;", end=" ")
        print(f"{rates.empty_rows:.1%} of the rows have nothing left")
        outputs = {name: model.predict(shifted).outputs() for name, model in models.items()}
        for name, found in outputs.items():
            for metric, interval in score(
                "binary", test.target, found, metrics=["auroc", "brier"], replicates=200
            ).items():
                show(f"{metric} of {name}", interval)
        gap = compare("binary", test.target, outputs["aum"], outputs["mean"], resamples=resamples)
        show("auroc of aum minus mean", gap["auroc"])


if __name__ == "__main__":
    main()
