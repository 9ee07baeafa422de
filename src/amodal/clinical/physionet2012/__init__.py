"""The PhysioNet/CinC Challenge 2012: the first 48 hours of 12,000 intensive care stays.

| file | what it does |
|---|---|
| `layout` | finds the sets and the outcomes below what the user names |
| `members` | reads the text files of a folder, a tar.gz or a zip, never unpacking to disk |
| `parse` | text -> tables, all files at once |
| `rules` | the table of units, ranges, corrections and groups, and nothing else |
| `clean` | applies that table and counts what it did |
| `outcomes` | what is predicted |
| `prepare` | tables -> `Dataset` |

Source: Silva, Moody, Scott, Celi, Mark, "Predicting in-hospital mortality of ICU patients: the
PhysioNet/Computing in Cardiology Challenge 2012", Computing in Cardiology 39:245-248, 2012.
"""

from __future__ import annotations

from amodal.clinical.physionet2012.outcomes import OUTCOMES
from amodal.clinical.physionet2012.parse import Tables
from amodal.clinical.physionet2012.prepare import prepare_physionet2012, read_physionet2012
from amodal.clinical.physionet2012.rules import GROUPS, RESCALED, VARIABLES

__all__ = [
    "GROUPS",
    "OUTCOMES",
    "RESCALED",
    "VARIABLES",
    "Tables",
    "prepare_physionet2012",
    "read_physionet2012",
]
