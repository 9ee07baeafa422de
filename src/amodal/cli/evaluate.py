"""``amodal evaluate``: how good a run is on a data set, as it is or with modalities lost."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from amodal.cli.options import Data, Device, Json, Metrics, Run, check_device, many
from amodal.cli.show import as_json, heading, prose, shown, table
from amodal.errors import SettingError

if TYPE_CHECKING:
    from amodal.evaluation import Evaluation
    from amodal.shifts import Shift

__all__ = ["evaluate", "guarded"]


def evaluate(
    run: Run,
    data: Data,
    rows: Annotated[
        str | None,
        typer.Option(help="test or all; test is the default on the data trained on, else all."),
    ] = None,
    absent: Annotated[
        str | None,
        typer.Option(help="The rate at which modalities are lost, 0 to 1; or labs=0.7/notes=0.1."),
    ] = None,
    mechanism: Annotated[
        str | None,
        typer.Option(
            help="mcar, mnar, ..., as in mnar:odds_ratio=5 or mcar+noise:severity=2.  [mcar]"
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the loss.")] = 0,
    metrics: Metrics = "",
    replicates: Annotated[int, typer.Option(min=0, help="Of the bootstrap.")] = 1000,
    device: Device = "cpu",
    json: Json = False,
) -> None:
    """Evaluate a run on DATA, with 95% intervals, as the data are or with modalities lost.

    `amodal list shifts` lists the mechanisms. The same seed loses the same modalities of the same
    rows, whatever the method.
    """
    from amodal.cli.run_folder import model_fingerprint, read_head
    from amodal.data.source import open_dataset
    from amodal.evaluation import evaluate as evaluate_model
    from amodal.model import load

    shift = _shift(absent, mechanism, seed)
    model = load(run)
    model.device = check_device(device)
    trained_on = read_head(run).get("data", {})
    found = evaluate_model(
        model,
        open_dataset(data),
        rows=rows,
        shift=shift,
        metrics=many(metrics) or None,
        replicates=replicates,
        trained_on=trained_on,
    )
    if not json:
        _show(found, f"{model.method} on {data}")
        if not metrics:
            _show_left_out(model.task_.kind)
        return
    record = {"run": str(run), "method": model.method, "data": data, **guarded(found)}
    record["fingerprints"] |= {
        "model": model_fingerprint(run),
        "trained_on": trained_on.get("fingerprint"),
    }
    as_json(record)


def guarded(found: Evaluation) -> dict[str, Any]:
    """The evaluation as JSON, counts below ten and shares from which one follows as null."""
    from amodal.disclosure import is_small, safe_share

    record = found.to_json()
    for name in ("n", "groups"):
        record[name] = None if is_small(record[name] or 0) else record[name]
    rates = (record["shift"] or {}).get("rates")
    if not rates:
        return record
    pairs = found.n * found.modalities
    sizes = dict.fromkeys(("achieved", "achieved_present", "natural_absence"), pairs)
    sizes |= dict.fromkeys(("neutral", "empty_before", "empty_rows", "kept_rows"), found.n)
    rates |= {k: safe_share(rates[k], size) for k, size in sizes.items()}
    rates["per_modality"] = {
        name: {k: v if k == "expected" else safe_share(v, found.n) for k, v in own.items()}
        for name, own in rates["per_modality"].items()
    }
    return record


def _shift(absent: str | None, mechanism: str | None, seed: int) -> Shift | None:
    from amodal.cli.options import rates_of_loss
    from amodal.shifts import make_shift, parse_shift

    found = rates_of_loss(absent) if absent else []
    if len(found) > 1:
        raise SettingError(
            f"an evaluation has one rate of loss; got {absent!r}; name one, or use `amodal study`"
        )
    if found and isinstance(found[0], str):
        return parse_shift(f"{mechanism or 'mcar'}:rates={found[0]}", 0.0, seed)
    rate = found[0] if found else None
    if mechanism is None and not rate:
        return None if rate is None else make_shift("none", rate, seed)
    return parse_shift(mechanism or "mcar", rate, seed)


def _show(found: Evaluation, what: str) -> None:
    from amodal.disclosure import shown_count
    from amodal.metrics import METRICS

    kind = "test rows" if found.rows == "test" else "rows"
    groups = "" if found.groups in (None, found.n) else f" of {shown_count(found.groups)} groups"
    heading(f"{what}: {shown_count(found.n)} {kind}{groups}")
    for line in (_same(found), _fitted(found), found.describe, _rates(found)):
        if line:
            prose(line)
    rows = []
    for name, interval in found.metrics.items():
        ends = ""
        if interval.low == interval.low:
            ends = f"{shown(interval.low)} to {shown(interval.high)}"
        rows.append([METRICS[name].title, shown(interval.value), ends, METRICS[name].range])
    table(("metric", "value", "95% interval", "scale"), rows, right=("value",))


def _show_left_out(kind: str) -> None:
    from amodal.metrics import METRICS, left_out

    for extra, names in left_out(kind).items():
        titles = ", ".join(METRICS[name].title for name in names)
        prose(f"Left out: {titles}. They need pip install 'amodal[{extra}]'.")


def _same(found: Evaluation) -> str:
    if found.same != "row ids" or found.rows != "test":
        return ""
    return (
        "The data differ from those trained on, but their row ids are the same, so the test rows "
        "are used (--rows all for all)."
    )


def _fitted(found: Evaluation) -> str:
    from amodal.disclosure import shown_count

    if not found.fitted:
        return ""
    return (
        f"Too good: the row ids of {shown_count(found.fitted)} of them are among those that the "
        "model was fitted or chosen on."
    )


def _rates(found: Evaluation) -> str:
    from amodal.disclosure import shown_share

    if found.rates is None:
        return ""
    rates: Any = found.rates
    pairs = found.n * found.modalities
    return (
        f"Asked to lose {rates.requested:.1%} of the pairs of row and modality; lost "
        f"{shown_share(rates.achieved, pairs)} of all pairs and "
        f"{shown_share(rates.achieved_present, pairs)} of those present; "
        f"{shown_share(rates.natural_absence, pairs)} had not been measured; "
        f"{shown_share(rates.empty_rows, found.n)} of the rows are left with nothing."
    )
