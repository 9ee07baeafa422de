"""``amodal train``: a data set -> a fitted model in a folder."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import numpy as np
import typer

from amodal.cli.options import Data, Device, Settings, check_device
from amodal.cli.show import next_step, prose, shown, table
from amodal.errors import SettingError, unknown_name

if TYPE_CHECKING:
    import numpy as np

    from amodal.data.dataset import Dataset
    from amodal.model import Model

__all__ = ["make", "split_rows", "train"]

_OPTIONS = ("seed", "ensemble", "cross", "calibrate", "device", "precision")
_OWN = ("seed", "ensemble", "cross", "calibrate")


def train(
    data: Data,
    out: Annotated[Path, typer.Option(help="The folder of the run.")],
    method: Annotated[str, typer.Option(help="A name, or name:key=value:key=value.")] = "aum",
    seed: Annotated[int, typer.Option(help="Of the split and of the model.")] = 0,
    settings: Settings = [],  # noqa: B006 - typer hands in a list of its own
    ensemble: Annotated[int, typer.Option(help="Members, whose predictions are averaged.")] = 1,
    cross: Annotated[
        bool, typer.Option("--cross", help="Members validate each other's rows; for small sets.")
    ] = False,
    calibrate: Annotated[str, typer.Option(help="temperature or none.")] = "temperature",
    device: Device = "cpu",
    precision: Annotated[str, typer.Option(help="32, bf16 or 64; of neural methods.")] = "32",
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Remove a run that is in the folder.")
    ] = False,
) -> None:
    """Train a method on DATA, test rows set aside, and store it in a folder.

    Repeated after a kill, the same call goes on where it stopped. `amodal list methods NAME` tells
    what --set can change.
    """
    from amodal.checks import check_trainable
    from amodal.cli.progress import TrainProgress
    from amodal.cli.run_folder import RunFolder
    from amodal.data.source import open_dataset

    own = {"seed": seed, "ensemble": ensemble, "cross": cross, "calibrate": calibrate}
    model = make(method, settings, precision=precision, own=own)
    model.device = check_device(device)
    found = open_dataset(data)
    check_trainable(found)
    _check_monitor(model, found)
    development, test = split_rows(found, model.seed, calibrate=model.calibrate)
    key, about = _head(model, found, data)
    run = RunFolder.begin(out, key, overwrite=overwrite, about=about)
    started = time.perf_counter()
    with run.tidy(), TrainProgress(model.method, model.ensemble, resumed=run.resumed) as progress:
        model.fit(development, folder=out, progress=progress.epoch)
        model.rows_["test"] = test
        model.device = "cpu"  # where the model is loaded there may be no other
        run.finish(model, {"seconds": time.perf_counter() - started})
    _show(model, development, out=out, data=data)


# -- what is trained on what ----------------------------------------------------------------------


def make(method: str, pairs: Sequence[str], *, precision: str, own: Mapping[str, Any]) -> Model:
    """The model that the options describe, with every name and value checked.

    Args:
        method: a name, or ``name:key=value:...``, whose settings win over the options.
        pairs: ``key=value`` for the method, its encoders and its training.
        precision: "32", or another one of `TrainSettings`.
        own: ``seed``, ``ensemble``, ``cross`` and ``calibrate``.

    Raises:
        UnknownNameError: an unknown method or setting.
        SettingError: a value of the wrong type or out of range.
    """
    from amodal.methods import get_method
    from amodal.model import CALIBRATE, Model, parse_method
    from amodal.settings import coerce, parse_pairs

    given = parse_pairs(pairs)
    for key in given:
        if key in _OPTIONS:
            raise SettingError(f"{key} has an option of its own; got it in --set; write --{key}")
    if precision != "32":
        given["precision"] = precision
    name, inline = parse_method(method)
    chosen = {k: coerce(k, inline.pop(k, v), v) for k, v in own.items()}
    if chosen["seed"] < 0:
        raise SettingError(f"a seed is a whole number from 0; got {chosen['seed']}; change it")
    least = 2 if chosen["cross"] else 1
    if chosen["ensemble"] < least:
        raise SettingError(
            f"an ensemble{' with cross=on' * chosen['cross']} has at least {least} "
            f"member{'s' * (least > 1)}; got {chosen['ensemble']}; change it"
        )
    if chosen["calibrate"] not in CALIBRATE:
        raise unknown_name("calibration", chosen["calibrate"], CALIBRATE)
    return Model(name, **chosen, **_typed(get_method(name), {**given, **inline}))


def _typed(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    """The settings that were given, in their types."""
    from amodal.settings import resolve_settings

    resolved = resolve_settings(kind, given)
    found = dict(resolved.method)
    for part in (resolved.encoder, resolved.train, resolved.decoder):
        found |= {k: getattr(part, k) for k in given if hasattr(part, k)}
    return {k: found[k] for k in given}


def _check_monitor(model: Model, data: Dataset) -> None:
    from amodal.metrics import select

    if model.settings.get("monitor"):
        select(data.task.kind, [model.settings["monitor"]])


def split_rows(data: Dataset, seed: int, *, calibrate: str) -> tuple[Dataset, np.ndarray]:
    """Development rows, marked as train, valid and calibration, and the ids of the test rows.

    The rows are those of `assign_splits`; without calibration its share goes to train.
    """
    import numpy as np

    from amodal.data.splits import assign_splits

    if data.task is not None and data.task.kind == "sequence":
        calibrate = "none"
    share = {"calibration": 0.0} if calibrate == "none" else {}
    parts = assign_splits(data, seed=seed, **share)
    test = data.row_id[parts.pop("test")]
    label = np.full(len(data), "", dtype="<U12")
    for name, rows in parts.items():
        label[rows] = "train" if calibrate == "none" and name == "calibration" else name
    kept = np.flatnonzero(label != "")
    return data.take(kept).replace(split=label[kept]), test


def _head(model: Model, data: Dataset, ref: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """All that determines the model, and what else the run's head tells."""
    import amodal
    from amodal.evaluation import digest_ids
    from amodal.settings import keyed

    fingerprint = data.fingerprint()
    params = model.get_params()
    own = {k: params[k] for k in ("method", *_OWN)}
    key = {**own, "settings": keyed(model.settings), "data": fingerprint}
    key["version"] = amodal.__version__
    about = {"name": ref, "fingerprint": fingerprint, "row_ids": digest_ids(data.row_id)}
    return key, {"data": about, "device": model.device}


# -- what came out --------------------------------------------------------------------------------


def _show(model: Model, development: Dataset, *, out: Path, data: str) -> None:
    from amodal.disclosure import shown_count

    count = {k: shown_count(len(v)) for k, v in model.rows_.items()}
    parts = [f"{count['train']} rows"]
    if model.cross:
        parts.append("each validated by the member that did not train on it")
    else:
        parts.append(f"{count['valid']} for validation")
    if len(model.rows_["calibration"]):
        parts.append(f"{count['calibration']} for calibration")
    parts.append(f"{count['test']} set aside as test rows")
    prose(f"Trained {model.method} on {', '.join(parts)}.")
    if model.ensemble > 1 and model.members_[0].history:
        _show_members(model)
    else:
        _show_held_out(model, development)
    if model.temperature_ is not None:
        how = "the same rows, each by that member" if model.cross else "the rows set aside for it"
        typer.echo(f"Calibrated on {how}.")
    typer.echo(f"Stored in {out}.")
    next_step("amodal", "evaluate", out, data)


def _show_members(model: Model) -> None:
    """The best epoch of each member; as a whole they have no validation rows in common."""
    rows = []
    for number, member in enumerate(model.members_, 1):
        best = [e for e in member.history if e["best"]][-1]
        name, value = best["monitor"], shown(best["valid"], 4)
        rows.append([f"{number}", name, value, f"{best['epoch'] + 1} of {len(member.history)}"])
    prose("The validation rows of each member, which also chose its epoch:")
    table(("member", "metric", "value", "best epoch"), rows, right=("member", "value"))


def _show_held_out(model: Model, development: Dataset) -> None:
    """Metrics on the calibration rows, without intervals: they are no test.

    Validation rows would flatter: the last fit has seen them.
    """
    from amodal.evaluation import evaluate
    from amodal.metrics import METRICS

    best = [e for m in model.members_ for e in m.history if e["best"]][-1:]
    for e in best:
        title = METRICS[e["monitor"]].title
        value = "" if e["valid"] != e["valid"] else f": {title} {shown(e['valid'], 4)}"
        prose(f"Epoch {e['epoch'] + 1} was the best on validation rows{value}.")
    held = development[np.isin(development.row_id, model.rows_["calibration"])]
    if not held.labelled.any():
        return
    found = evaluate(model, held, rows="all", replicates=0)
    rows = [[METRICS[k].title, shown(v.value)] for k, v in found.metrics.items()]
    prose("On the calibration rows, which no weight has seen:")
    table(("metric", "value"), rows, right=("value",))
