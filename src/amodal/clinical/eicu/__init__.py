"""eICU-CRD: stays in intensive care of many hospitals, from the official folder.

| file | what it does |
|---|---|
| `layout` | finds the tables, tells the edition, lists the columns that are read |
| `cohort` | which stays are rows: rules of both protocols |
| `labels` | what is predicted: rules of both protocols |
| `events` | codes, laboratory values, vital signs, APACHE variables |
| `features` | these as modalities |
| `prepare` | all of it |

`cohort`, `labels` and `events` are functions of Ibis tables, and run on whatever engine the tables
live in.

Source: Pollard et al., "The eICU Collaborative Research Database", Scientific Data 5:180178, 2018.
"""

from __future__ import annotations

from amodal.clinical.eicu.prepare import eicu_choices, prepare_eicu

__all__ = ["eicu_choices", "prepare_eicu"]
