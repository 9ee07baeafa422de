"""A DataFrame of made-up patients: columns grouped into modalities, one patient predicted."""

from __future__ import annotations

import numpy as np
import pandas as pd

from amodal import Dataset, Model


def made_up_patients(n: int = 400) -> pd.DataFrame:
    """Nobody in here is real: a hidden severity shows in every column and in the outcome."""
    rng = np.random.default_rng(0)
    severity, noise = rng.normal(size=n), rng.normal(size=(4, n))
    frame = pd.DataFrame({"age": 60 + 8 * severity + 10 * noise[0]})
    frame["sex"] = rng.choice(["f", "m"], size=n)
    frame["crp_mg_per_l"] = np.exp(2 + 0.8 * severity + 0.4 * noise[1])
    frame["lactate_mmol_per_l"] = np.exp(0.3 + 0.4 * severity + 0.2 * noise[2])
    unmeasured = rng.random(n) < 0.4 - 0.1 * severity  # the well are measured less often
    frame.loc[unmeasured, "lactate_mmol_per_l"] = np.nan
    frame["died"] = np.where(severity + 0.5 * noise[3] > 0.8, "yes", "no")
    return frame


def main() -> None:
    groups = {"history": ["age", "sex"], "crp": ["crp_mg_per_l"], "gas": ["lactate_mmol_per_l"]}
    data = Dataset.from_frame(made_up_patients(), groups, target="died")
    print(data, f"{data.present.mean():.0%} of the modalities are there", sep="\n")
    model = Model("aum", epochs=20, width=16, lr=0.01).fit(data)

    found = model.predict({"age": 81, "sex": "f", "crp_mg_per_l": 60.0})  # the rest is lost
    print(f"probability of {data.task.classes[1]!r}: {float(found.mean[0]):.2f}")
    for k, name in enumerate(data.names):
        print(f"  {name:8} reliance {found.reliance[0, k]:.2f}", end="  ")
        print(f"reliability {found.reliability[0, k]:.2f}")


if __name__ == "__main__":
    main()
