"""Synthetic raw folders in the official layouts of MIMIC-IV and eICU-CRD.

Nobody in them exists: everything is drawn from a seed. What is planted is told by `planted`, so
that it can be known whether a model finds it.

| file | what it does |
|---|---|
| `planted` | risk, noise and informative absence: what is drawn for every row |
| `writer` | csv.gz tables, byte by byte the same for the same seed |
| `mimic4` | MIMIC-IV with its notes |
| `eicu` | eICU-CRD |
"""

from __future__ import annotations

from amodal.clinical.simulate.eicu import simulate_eicu
from amodal.clinical.simulate.mimic4 import simulate_mimic4

__all__ = ["simulate_eicu", "simulate_mimic4"]
