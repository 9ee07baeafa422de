"""What finished studies say: statistics, comparisons, and tables, read from files without torch.

`pooling` puts predictions together and scores them with intervals; `compare`, `ranks` and
`robustness` compare methods; `summaries`, `calibrations`, `usefulness`, `sites`, `tipping` and
`worth` each make tables of one kind; `tables`, `appraisal` and `latex` write them.
"""

from __future__ import annotations

from amodal.analysis.pooling import Pool
from amodal.analysis.tables import write_tables

__all__ = ["Pool", "write_tables"]
