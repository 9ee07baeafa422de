"""`amodal train`: the split, the folder, resuming after a kill, and what is refused."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from amodal.cli.run_folder import HEAD, model_fingerprint, read_head
from amodal.cli.train import make, split_rows
from amodal.data.dataset import Dataset
from amodal.data.splits import assign_splits
from amodal.errors import SettingError, UnknownNameError
from amodal.model import load

FAST = ["--set", "epochs=3", "--set", "width=8"]
OWN = {"seed": 0, "ensemble": 1, "cross": False, "calibrate": "temperature"}


def weights(folder: Path, member: int = 0) -> bytes:
    return (folder / f"member-{member}" / "weights.safetensors").read_bytes()


# -- what comes out -------------------------------------------------------------------------------


def test_rows_are_the_split_and_kept_in_the_run(aum, data):
    found = Dataset.load(data)
    parts = assign_splits(found, seed=0)
    stored = json.loads((aum / "rows.json").read_text())
    assert set(stored) == {"train", "valid", "calibration", "test"}
    for name, rows in parts.items():
        assert sorted(stored[name]) == sorted(found.row_id[rows].tolist())
    assert sorted(x for ids in stored.values() for x in ids) == sorted(found.row_id.tolist())


def test_head_names_data_and_settings(aum, data):
    head = read_head(aum)
    assert head["data"]["fingerprint"] == Dataset.load(data).fingerprint()
    assert head["key"]["settings"] == {"epochs": 3, "width": 8}
    assert head["finished"] >= head["started"]
    assert load(aum).get_params()["epochs"] == 3


def test_log_and_progress_name_the_terms(call, aum, data, tmp_path):
    lines = [json.loads(x) for x in (aum / "member-0" / "log.jsonl").read_text().splitlines()]
    assert [x["epoch"] for x in lines] == [0, 1, 2]
    result = call("train", data, "--method", "aum", "--out", tmp_path / "r", *FAST)
    told = result.err.splitlines()
    heads = [x.split("  ")[0] for x in told]
    assert heads[:3] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    last = [x["epoch"] + 1 for x in lines if x["best"]][-1]
    assert heads[3:] == [f"final fit: {k + 1}/{last}" for k in range(last)]
    for name in lines[0]["terms"]:
        assert f"{name} " in told[0]
    # The same call is the same model.
    assert model_fingerprint(tmp_path / "r") == model_fingerprint(aum)
    assert f"Next: amodal evaluate {tmp_path / 'r'} {data}" in result.out


def test_without_calibration_its_rows_are_trained_on(call, data, tmp_path):
    found = Dataset.load(data)
    development, test = split_rows(found, 3, calibrate="none")
    assert set(development.split.tolist()) == {"train", "valid"}
    assert len(development) + len(test) == len(found)
    published = found.replace(split=np.where(np.arange(len(found)) < 20, "calibration", ""))
    development, _ = split_rows(published, 3, calibrate="none")
    assert set(development.split.tolist()) == {"train", "valid"}
    words = ["--method", "logistic", "--calibrate", "none", "--out", tmp_path / "r"]
    assert call("train", data, *words).code == 0
    assert load(tmp_path / "r").temperature_ is None


def test_ensemble_and_settings_in_the_name(call, data, tmp_path):
    spec = "mean:ensemble=2:epochs=2"
    result = call("train", data, "--method", spec, "--out", tmp_path / "r", "--set", "width=8")
    assert (result.code, result.bug) == (0, None)
    model = load(tmp_path / "r")
    assert (len(model.members_), model.method, model.settings["epochs"]) == (2, "mean", 2)
    assert "member 2/2  epoch 2/2" in result.err
    assert "1  " in result.out
    assert " of 2" in result.out


def test_make_reads_types_and_refuses_names():
    model = make("aum", ["vib=off", "beta=0.5"], precision="bf16", own=OWN)
    assert model.settings == {"vib": False, "beta": 0.5, "precision": "bf16"}
    inline = make("aum:seed=7:vib=on", ["vib=off"], precision="32", own=OWN)
    assert (inline.seed, inline.settings) == (7, {"vib": True})
    with pytest.raises(UnknownNameError, match="did you mean 'epochs'"):
        make("aum", ["epoch=3"], precision="32", own=OWN)
    with pytest.raises(SettingError, match="option of its own"):
        make("aum", ["seed=3"], precision="32", own=OWN)
    with pytest.raises(SettingError, match="precision must be one of"):
        make("aum", [], precision="8", own=OWN)
    with pytest.raises(SettingError, match="seed is a whole number from 0"):
        make("aum:seed=-1", [], precision="32", own=OWN)
    with pytest.raises(SettingError, match="at least 1 member"):
        make("aum", [], precision="32", own={**OWN, "ensemble": 0})
    with pytest.raises(SettingError, match="cross=on has at least 2 members; got 1"):
        make("aum:cross=on", [], precision="32", own=OWN)
    with pytest.raises(UnknownNameError, match="unknown calibration"):
        make("aum", [], precision="32", own={**OWN, "calibrate": "isotonic"})


# -- a kill and its resumption --------------------------------------------------------------------


class Kill(BaseException):
    """Stands for what ends a process."""


def test_a_killed_run_goes_on_and_ends_the_same(call, aum, data, tmp_path, monkeypatch):
    from amodal.cli.progress import TrainProgress

    words = ["train", data, "--method", "aum", "--out", tmp_path / "r", *FAST]
    whole = TrainProgress.epoch

    def killed(self, member, epoch, epochs):
        whole(self, member, epoch, epochs)
        if epoch.epoch == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr("amodal.training.loop._CHECKPOINT_SECONDS", -1.0)
    monkeypatch.setattr(TrainProgress, "epoch", killed)
    result = call(*words)
    assert result.code == 130
    assert not (tmp_path / "r" / "model.json").exists()
    assert (tmp_path / "r" / HEAD).exists()
    message = call("predict", tmp_path / "r", data, "--out", tmp_path / "p.csv")
    assert message.code == 2

    # Another configuration does not go on in it.
    other = call(*words[:-1], "width=16")
    assert other.code == 2
    assert "(settings differ)" in other.err
    assert "(seed: 0, now 1)" in call(*words, "--seed", "1").err

    monkeypatch.setattr(TrainProgress, "epoch", whole)
    result = call(*words)
    assert result.code == 0
    assert "Going on with the unfinished run of aum." in result.err
    assert "epoch 1/3" not in result.err
    assert weights(tmp_path / "r") == weights(aum)
    log = (tmp_path / "r" / "member-0" / "log.jsonl").read_text().splitlines()
    assert [json.loads(x)["epoch"] for x in log] == [0, 1, 2]


def test_an_interrupted_ensemble_keeps_its_finished_members(call, data, tmp_path, monkeypatch):
    from amodal.cli.progress import TrainProgress

    words = ["train", data, "--method", "mean", "--ensemble", "2", "--out", tmp_path / "r", *FAST]
    whole = TrainProgress.epoch

    def killed(self, member, epoch, epochs):
        if member == 1:
            raise KeyboardInterrupt

    monkeypatch.setattr(TrainProgress, "epoch", killed)
    assert call(*words).code == 130
    first = weights(tmp_path / "r")
    monkeypatch.setattr(TrainProgress, "epoch", whole)
    result = call(*words)
    assert "member 1/2" not in result.err
    assert "member 2/2" in result.err
    assert weights(tmp_path / "r") == first


def test_interrupted_before_anything_could_be_resumed(call, data, tmp_path, monkeypatch):
    from amodal.cli.progress import TrainProgress

    def killed(self, member, epoch, epochs):
        raise KeyboardInterrupt

    monkeypatch.setattr(TrainProgress, "epoch", killed)
    words = ["train", data, "--method", "mean", "--out", tmp_path / "r", *FAST]
    assert call(*words).code == 130
    assert os.listdir(tmp_path) == []


# -- what is refused ------------------------------------------------------------------------------


def test_a_finished_run_is_not_overwritten_unless_asked(call, refused, copy, logistic, data):
    run = copy(logistic)
    before = (run / "model.json").read_bytes()
    message = refused("train", data, "--method", "pattern", "--out", run)
    assert "holds a finished one" in message
    assert "--overwrite" in message
    assert (run / "model.json").read_bytes() == before
    # Nothing is removed before all names are checked.
    refused("train", data, "--method", "patern", "--out", run, "--overwrite")
    refused("train", data, "--method", "mean", "--set", "epoch=3", "--out", run, "--overwrite")
    refused("train", data, "--method", "mean", "--set", "monitor=x", "--out", run, "--overwrite")
    assert (run / "model.json").read_bytes() == before
    assert call("train", data, "--method", "pattern", "--out", run, "--overwrite").code == 0
    assert load(run).method == "pattern"
    assert read_head(run)["key"]["method"] == "pattern"


def test_other_files_are_never_removed(refused, data, tmp_path):
    (tmp_path / "thesis.txt").write_text("precious")
    for words in ([], ["--overwrite"]):
        message = refused("train", data, "--method", "logistic", "--out", tmp_path, *words)
        assert "holds other files" in message
    assert os.listdir(tmp_path) == ["thesis.txt"]
    file = tmp_path / "thesis.txt"
    assert "is a file" in refused("train", data, "--method", "logistic", "--out", file)
    assert "holds other files" in refused("train", data, "--method", "logistic", "--out", data)


def test_wrong_options(refused, data, tmp_path):
    out = ["--out", tmp_path / "r"]
    assert refused("train", data, "--method", "bosting", *out) == (
        "unknown method 'bosting': did you mean 'boosting'?"
    )
    assert "did you mean 'epochs'?" in refused("train", data, "--set", "epoch=3", *out)
    assert "written key=value" in refused("train", data, "--set", "epochs", *out)
    assert "whole number" in refused("train", data, "--set", "epochs=few", *out)
    assert "unknown metric 'aurok'" in refused("train", data, "--set", "monitor=aurok", *out)
    assert "unknown device 'gpu'" in refused("train", data, "--device", "gpu", *out)
    assert refused("train", "builtin:digit", *out) == (
        "unknown built-in data set 'digit': did you mean 'digits'?"
    )
    assert "did you mean 'builtin:digits'?" in refused("train", "digits", *out)
    assert os.listdir(tmp_path) == []


def test_a_device_that_is_not_there(refused, data, tmp_path):
    import torch

    if torch.cuda.is_available():
        pytest.skip("this machine has a CUDA device")
    message = refused("train", data, "--device", "cuda", "--out", tmp_path / "r")
    assert message.startswith("device cuda must be there")


@pytest.mark.parametrize("step", ["first", "last"])
def test_a_full_disk_leaves_no_half_a_model(call, data, tmp_path, monkeypatch, step):
    calls = []
    real = os.fsync

    def full(file):
        calls.append(file)
        if step == "first" or len(calls) > 6:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(file)

    monkeypatch.setattr("os.fsync", full)
    words = ["train", data, "--method", "mean", "--out", tmp_path / "r", *FAST]
    result = call(*words)
    assert (result.code, result.bug) == (2, None)
    last = result.err.splitlines()[-1]
    assert last.startswith("amodal: ")
    assert "No space left on device" in last
    assert "Traceback" not in result.err
    assert not (tmp_path / "r" / "model.json").exists()
    assert list(tmp_path.rglob(".*")) == []
    if step == "first":
        assert os.listdir(tmp_path) == []
    monkeypatch.setattr("os.fsync", real)
    assert call(*words).code == 0
    assert load(tmp_path / "r").method == "mean"


@pytest.mark.processes
def test_a_process_that_is_killed_goes_on(call, data, tmp_path):
    code = (
        "import sys\n"
        "import amodal.training.loop as loop\n"
        "loop._CHECKPOINT_SECONDS = -1.0\n"
        "from amodal.cli import main\n"
        "main(sys.argv[1:])\n"
    )
    words = ["train", str(data), "--method", "aum", "--set", "epochs=12", "--set", "width=8"]
    run, whole = str(tmp_path / "run"), str(tmp_path / "whole")
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    killed = subprocess.Popen([sys.executable, "-c", code, *words, "--out", run], **quiet)
    checkpoint = tmp_path / "run" / "member-0" / "checkpoint" / "checkpoint.json"
    while not checkpoint.exists() and killed.poll() is None:
        time.sleep(0.01)
    killed.kill()
    assert killed.wait() == -signal.SIGKILL
    assert not (tmp_path / "run" / "model.json").exists()
    assert "Going on" in call(*words, "--out", run).err
    assert "Going on" not in call(*words, "--out", whole).err
    assert model_fingerprint(tmp_path / "run") == model_fingerprint(tmp_path / "whole")
