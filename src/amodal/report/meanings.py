"""What each metric means, in a sentence for readers who do not meet it daily."""

from __future__ import annotations

from amodal.metrics import METRICS

__all__ = ["ALARMS", "DIAGNOSTICS", "HIDDEN", "alarms", "diagnostic", "meaning"]

HIDDEN = ("ece_of_perfect",)
"""Metrics without a part of their own in the page: drawn beside the one that they explain."""

DIAGNOSTICS = {
    "variance_collapse": "Variances at their limit",
    "attention_entropy": "Evenness of reliance",
    "kl_nats": "KL to the prior (nats)",
    "log_variance_q05": "Log variance, 5%",
    "log_variance_q50": "Log variance, median",
    "log_variance_q95": "Log variance, 95%",
    "prototype_collapse": "Embeddings in one prototype",
    "prototypes_idle": "Prototypes not in use",
    "reliance": "Mean reliance",
    "information": "Information at least (nats)",
    "gradient_variance_query": "Variance of query gradients",
    "gradient_bound_query": "Its bound",
    "gradient_ratio_query": "Query gradients over bound",
    "bound_held_query": "Bound held (queries)",
    "gradient_variance_output": "Variance of output gradients",
    "gradient_bound_output": "Its bound",
    "gradient_ratio_output": "Output gradients over bound",
    "bound_held_output": "Bound held (outputs)",
}
"""What methods say of themselves, as it stands above a column; see `diagnostic`."""

ALARMS = {
    "variance_collapse": 0.1,
    "attention_entropy": 0.995,
    "prototype_collapse": 0.5,
    "prototypes_idle": 0.9,
    "gradient_ratio_query": 1.0,
    "gradient_ratio_output": 1.0,
}
"""Above these a diagnostic is marked: variances that hit their limit say nothing of a modality,
reliance that is even everywhere weighs nothing, entropies near 0 leave reliability to the information
alone, and gradients that vary more than the bound contradict it."""


def diagnostic(name: str) -> str:
    """The title of a diagnostic; of one about a modality, ``what:modality``, with its name.

    >>> diagnostic("kl_nats"), diagnostic("reliance:labs")
    ('KL to the prior (nats)', 'Mean reliance: labs')
    """
    what, _, modality = name.partition(":")
    title = DIAGNOSTICS.get(what, what)
    return f"{title}: {modality}" if modality else title


def alarms() -> str:
    """What is marked, in a sentence.

    >>> alarms()[:76]
    'Marked: variances at their limit above 0.1; evenness of reliance above 0.995'
    """
    told = (f"{DIAGNOSTICS[name].lower()} above {most:g}" for name, most in ALARMS.items())
    return f"Marked: {'; '.join(told)}."


_MEANINGS = {
    "auroc": "the chance that of two rows, one with the outcome and one without, the former gets "
    "the higher prediction",
    "auprc": "the mean share of true alarms among alarms, over all thresholds",
    "accuracy": "the share of rows whose most probable class is the true one",
    "macro_f1": "the balance of missed and false alarms, averaged over classes so that rare ones "
    "count as much",
    "log_loss": "the mean surprise at what happened; certain and wrong costs most",
    "brier": "the mean squared distance of predicted probabilities from what happened",
    "ece": "how far predicted probabilities are from observed frequencies, on average over bins; "
    "chance alone makes it positive, so read it beside the line of a perfect model",
    "calibration_intercept": "whether risks are too low (above 0) or too high (below 0) as a whole",
    "calibration_slope": "whether predictions are too extreme (below 1) or too timid (above 1)",
    "observed_expected": "outcomes that happened over outcomes that were predicted",
    "aurc": "the mean error when the least certain rows are left to people, over all shares left",
    "rmse": "the typical distance of predictions from the target, large ones weighing more",
    "mae": "the mean distance of predictions from the target",
    "r2": "the share of the target's variance that predictions explain",
    "gaussian_nll": "the mean surprise at the target under the predicted mean and spread",
    "coverage_90": "the share of targets inside the predicted 90% intervals",
    "bleu_1": "the share of words that a reference has, shorter texts punished",
    "bleu_2": "the same, as the geometric mean with runs of two words",
    "bleu_3": "the same with runs of up to three words",
    "bleu_4": "the same with runs of up to four words",
    "rouge_l": "the F score of the longest common subsequence of words with the nearest reference",
    "cider": "ten times the cosine of runs of words that are rare, averaged over references",
    "exact_match": "the share of texts that are one of their references, word for word",
    "token_log_loss": "the mean surprise at a token of the references",
    "perplexity": "among how many equally likely tokens the next one would be as open",
}


def meaning(metric: str) -> str:
    """The meaning and the range of a metric.

    >>> meaning("mae")
    'MAE: the mean distance of predictions from the target (0 upwards, units of the target).'
    """
    known = METRICS[metric]
    told = _MEANINGS.get(metric)
    return f"{known.title}: {f'{told} ({known.range})' if told else known.range}."
