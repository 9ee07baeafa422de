"""Time and memory of preparing MIMIC-IV beside the same steps in plain pandas; prints ratios.

``python benchmarks/preparation.py --rows 20000 --labs-per-row 100`` writes a synthetic raw folder
(or takes one with ``--raw``), prepares it both ways by the `muse` protocol, each in a process of
its own, checks that the results agree, and prints wall time and peak memory.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

__all__ = ["agree", "measured", "prepare_amodal"]


def prepare_amodal(raw: Path, out: Path) -> dict[str, float]:
    """Prepares `raw`, writes it into `out`; returns what is compared."""
    from amodal.clinical import mimic4_choices, prepare_mimic4

    choices = mimic4_choices(task="mortality", protocol="muse")
    data = prepare_mimic4(raw, out, choices=choices).data
    labs = data.values["labs"].data["value"]
    items = data.provenance["made"]["labs"]["items"]
    total = sum(float(np.nansum(np.abs(labs[:, k].astype(np.float64)))) for k in range(items))
    return {
        "rows": float(len(data)),
        "labelled": float(data.labelled.sum()),
        "positive": float(np.nansum(data.target)),
        "code events": float(len(data.values["codes"].data["code"])),
        "lab steps": float(len(labs)),
        "sum of |z|": total,
    }


def agree(one: dict[str, float], two: dict[str, float]) -> bool:
    """Whether both ways found the same; sums of float32 to a thousandth.

    >>> agree({"rows": 5.0}, {"rows": 5.0}), agree({"rows": 5.0}, {"rows": 6.0})
    (True, False)
    """
    return set(one) == set(two) and all(np.isclose(one[k], two[k], rtol=1e-3, atol=0) for k in one)


def measured(way: str, raw: Path, out: Path) -> dict[str, float]:
    """Runs one way in a process of its own: what it found, seconds and peak GB."""
    command = [sys.executable, __file__, "--way", way, "--raw", str(raw), "--out", str(out)]
    result = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(result.stdout.splitlines()[-1])


def _one_way(way: str, raw: Path, out: Path) -> None:
    from preparation_pandas import prepare_pandas

    begin = time.perf_counter()
    found = {"amodal": prepare_amodal, "pandas": prepare_pandas}[way](raw, out)
    seconds = time.perf_counter() - begin
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    print(json.dumps({"found": found, "seconds": seconds, "peak": peak}))


def main() -> None:
    """Runs both ways and prints a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=20_000)
    parser.add_argument("--labs-per-row", type=float, default=100.0)
    parser.add_argument("--raw", type=Path)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--way", choices=("amodal", "pandas"))
    asked = parser.parse_args()
    if asked.way:
        _one_way(asked.way, asked.raw, asked.out)
        return
    with tempfile.TemporaryDirectory() as home:
        raw = asked.raw or Path(home) / "raw"
        if asked.raw is None:
            from amodal.clinical.simulate import simulate_mimic4

            simulate_mimic4(raw, rows=asked.rows, labs_per_row=asked.labs_per_row)
        ways = {w: measured(w, raw, Path(home) / w) for w in ("amodal", "pandas")}
    _print(raw, ways)


def _print(raw: Path, ways: dict[str, dict]) -> None:
    one, two = ways["amodal"], ways["pandas"]
    if not agree(one["found"], two["found"]):
        raise SystemExit(f"the two ways differ: {one['found']} and {two['found']}")
    print("both ways found:", ", ".join(f"{k} {v:,.0f}" for k, v in one["found"].items()))
    for name, way in ways.items():
        print(f"{name:8} {way['seconds']:8.1f} s {way['peak']:6.2f} GB at most")
    print(f"times {two['seconds'] / one['seconds']:.1f} in time, ", end="")
    print(f"times {two['peak'] / one['peak']:.1f} in memory")


if __name__ == "__main__":
    main()
