"""MIMIC-IV: hospital stays, from the official folders (hosp, icu; core in 1.0; notes apart).

| file | what it does |
|---|---|
| `layout` | finds the tables, tells the edition, lists the columns that are read |
| `cohort` | which stays are rows: rules of both protocols |
| `labels` | what is predicted: rules of both protocols |
| `codes` | diagnoses, procedures, prescriptions |
| `measurements` | laboratory values, vital signs |
| `patient_facts` | demographics, notes |
| `features` | these as modalities |
| `prepare` | all of it |

`cohort`, `labels`, `codes`, `measurements` and `patient_facts` are functions of Ibis tables, and
run on whatever engine the tables live in.

Source: Johnson et al., "MIMIC-IV, a freely accessible electronic health record dataset",
Scientific Data 10:1, 2023.
"""

from __future__ import annotations

from amodal.clinical.mimic4.prepare import mimic4_choices, prepare_mimic4

__all__ = ["mimic4_choices", "prepare_mimic4"]
