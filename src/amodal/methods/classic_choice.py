"""`fit_head` chooses the settings of an estimator on held-out rows, then fits it on all of them."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from amodal.methods.classic_design import Design, impute_means
from amodal.methods.classic_head import Head, Held
from amodal.methods.classic_rows import Examples, Sample, selection_pairs

__all__ = ["Recipe", "fit_head"]

_STD_ROWS = 30
_LEAST_STD = 1e-3


@dataclass(frozen=True)
class Recipe:
    """How a method makes one estimator.

    Args:
        train: (settings, rows, held) -> (estimator, settings); `held` are rows to stop on, or None:
            then settings hold all that is needed. Settings that it changes (the number of trees)
            are averaged over folds for the final fit.
        grid: settings to try; the first is taken where nothing can be tried.
        refine: (best settings so far) -> more settings to try.
        settle: (best settings) -> those of the final fit but for what `train` finds.
        classes: number of classes; 0 for regression.
        values: whether the estimator reads numbers, or codes of absence alone.
        seed: of folds, losses and the estimator.
        folds: their number, where validation rows are few.
        stops: whether `train` changes settings, so that even one candidate has to be tried.
        pooled: choose by folds over all rows, however many validation rows there are.
    """

    train: Callable[..., tuple[Any, dict[str, Any]]]
    grid: Sequence[dict[str, Any]]
    refine: Callable[[dict[str, Any]], list[dict[str, Any]]]
    settle: Callable[[dict[str, Any]], dict[str, Any]]
    classes: int
    values: bool
    seed: int
    folds: int = 5
    stops: bool = False
    pooled: bool = False


def fit_head(rows: Examples, recipe: Recipe, *, losses: bool) -> Head:
    """Chooses settings on held-out rows, then fits on all of them.

    Args:
        rows: labelled rows with something present, at least one.
        recipe: how estimators are made and what is tried.
        losses: learn from, and choose on, copies with random losses as well.
    """
    best, held = _select(rows, recipe, losses=losses)
    return _final(rows.with_losses(recipe.seed) if losses else rows, recipe, best, held)


def _select(rows: Examples, recipe: Recipe, *, losses: bool) -> tuple[dict[str, Any], Held | None]:
    """The settings for the final fit, and how they did where that was tried."""
    first = dict(recipe.grid[0])
    choice = len(recipe.grid) > 1 or bool(recipe.refine(first))
    if losses and not choice and not recipe.stops and recipe.classes:
        return first, None  # known in full, and only regression needs the errors of this head
    best, held = first, None
    parts = _cut(rows, recipe, alone=choice or not recipe.stops, losses=losses)
    if choice and parts:
        best, held = _choose(_attempt(parts, recipe.grid, recipe))
        best, held = _choose([(best, held), *_attempt(parts, recipe.refine(best), recipe)])
        if not recipe.stops or len(parts) > 1:
            return best, held
        parts = _cut(rows, recipe, alone=False, losses=losses)
    # Where to stop varies much with the rows: all of them are asked, in turn.
    return _attempt(parts, [recipe.settle(best)], recipe)[0] if parts else (best, None)


def _cut(rows: Examples, recipe: Recipe, *, alone: bool, losses: bool) -> list[_Part]:
    """Pairs of rows to fit and to score; `alone`: validation rows may be all that is scored."""
    pairs = selection_pairs(
        rows
        if alone and not recipe.pooled
        else replace(rows, held=np.zeros(len(rows), dtype=bool)),
        classes=recipe.classes > 0,
        folds=recipe.folds,
        seed=recipe.seed,
    )
    return [_Part.cut(rows, fit, score, recipe, losses=losses) for fit, score in pairs]


def _attempt(
    parts: list[_Part], candidates: Sequence[dict[str, Any]], recipe: Recipe
) -> list[tuple[dict[str, Any], Held]]:
    """(settings, how they did) for each candidate, over all parts."""
    found = []
    for settings in candidates:
        results = [part.attempt(settings, recipe) for part in parts]
        found.append((_merge([s for s, _ in results]), _concat([h for _, h in results])))
    return found


def _choose(tried: Sequence[tuple[dict[str, Any], Held]]) -> tuple[dict[str, Any], Held]:
    """The settings with the least loss, if they beat the first ones by a standard error.

    The error is that of the mean paired difference. Out of many settings one looks best on a few
    hundred rows by chance; the first ones are known to do well.
    """
    first, best = tried[0], min(tried, key=lambda t: t[1].mean)
    gain, weight = first[1].loss - best[1].loss, first[1].weight
    mean = np.average(gain, weights=weight)
    error = np.sqrt(np.sum((weight * (gain - mean)) ** 2)) / weight.sum()
    return best if mean > error else first


def _final(rows: Examples, recipe: Recipe, settings: dict[str, Any], held: Held | None) -> Head:
    head = _fit(rows, recipe, settings, None)
    if recipe.classes:
        return Head(head.design, head.estimator, head.prior, head.rows, head.chosen, held=held)
    spread = np.sqrt(np.average((rows.target - head.prior) ** 2, weights=rows.weight))
    std = _spread(held, rows.absence.shape[1], float(spread))
    return Head(head.design, head.estimator, head.prior, head.rows, head.chosen, std, held)


@dataclass(frozen=True, eq=False)
class _Part:
    """One pair of rows to fit and rows to score, as matrices: made once for all settings."""

    fit: Examples
    score: Examples
    design: Design
    x: np.ndarray
    score_x: np.ndarray

    @classmethod
    def cut(
        cls, rows: Examples, fit: np.ndarray, score: np.ndarray, recipe: Recipe, *, losses: bool
    ) -> _Part:
        a, b = rows.take(fit), rows.take(score)
        if losses:
            a, b = a.with_losses(recipe.seed), b.with_losses(recipe.seed + 1)
        design = Design.fit(a, values=recipe.values, presence=not recipe.values)
        x, score_x = design.apply(a.x, a.absence), design.apply(b.x, b.absence)
        return cls(a, b, design, x, score_x)

    def attempt(self, settings: dict[str, Any], recipe: Recipe) -> tuple[dict[str, Any], Held]:
        """The settings as training left them, and how they did."""
        head = _fit(self.fit, recipe, settings, self)
        score = self.score
        if recipe.classes:
            found = head.log_proba(score.x, score.absence)
            loss = -found[np.arange(len(score)), score.target.astype(np.int64)]
        else:
            loss = (head.mean(score.x, score.absence) - score.target) ** 2
        count = score.present.sum(axis=1)
        return head.chosen, Held(loss, score.target, score.weight, count)


def _fit(rows: Examples, recipe: Recipe, settings: dict[str, Any], part: _Part | None) -> Head:
    """The head for given settings; with `part`, its score rows are those to stop on."""
    design = (
        Design.fit(rows, values=recipe.values, presence=not recipe.values)
        if part is None
        else part.design
    )
    x = design.apply(rows.x, rows.absence) if part is None else part.x
    y = rows.target.astype(np.int64) if recipe.classes else rows.target
    prior = _prior(y, rows.weight, recipe.classes)
    known = np.unique(y)
    if design.width == 0 or len(known) < 2:
        return Head(design, None, prior, len(rows), dict(settings))
    fill = impute_means if settings["impute"] else np.asarray
    held = None
    if part is not None:
        use = np.isin(part.score.target, known) if recipe.classes else slice(None)
        held = Sample(fill(part.score_x[use]), part.score.target[use], part.score.weight[use])
        held = held if len(held.y) else None
    sample = Sample(fill(x), y, rows.weight)
    if all(len(np.unique(s.weight)) == 1 for s in (sample, held) if s is not None):
        sample, held = (s and replace(s, weight=None) for s in (sample, held))
    estimator, chosen = recipe.train(settings, sample, held)
    return Head(design, estimator, prior, len(rows), chosen)


def _prior(y: np.ndarray, weight: np.ndarray, classes: int) -> np.ndarray:
    """Weighted shares of the classes, those that never occur at half a row; or the mean."""
    if not classes:
        return np.array([np.average(y, weights=weight)])
    counts = np.maximum(np.bincount(y, weight, minlength=classes), 0.5)
    return counts / counts.sum()


def _merge(found: list[dict[str, Any]]) -> dict[str, Any]:
    """One set of settings out of those of the folds: numbers that differ are averaged."""
    merged = dict(found[0])
    for key in merged:
        values = [f[key] for f in found]
        if len(set(values)) > 1:
            mean = float(np.mean(values))
            merged[key] = max(1, round(mean)) if isinstance(values[0], int) else mean
    return merged


def _concat(parts: list[Held]) -> Held:
    names = ("loss", "target", "weight", "count")
    return Held(*(np.concatenate([getattr(p, k) for p in parts]) for k in names))


def _spread(held: Held | None, modalities: int, fallback: float) -> np.ndarray:
    """``Float64[m + 1]``: residual deviation by number of present modalities.

    A number with fewer than 30 held-out rows takes the deviation of all of them.
    """
    if held is None or len(held.loss) < 2:
        return np.full(modalities + 1, max(fallback, _LEAST_STD))
    std = np.full(modalities + 1, max(np.sqrt(held.mean), _LEAST_STD))
    for k in range(modalities + 1):
        rows = held.count == k
        if rows.sum() >= _STD_ROWS:
            mean = np.average(held.loss[rows], weights=held.weight[rows])
            std[k] = max(np.sqrt(mean), _LEAST_STD)
    return std
