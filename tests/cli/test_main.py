"""The command line as a whole: quick to start, one sentence for what a user can mend."""

from __future__ import annotations

import errno
import os
import subprocess
import sys

import pytest

import amodal
from amodal.cli import main
from amodal.cli.failures import explain
from amodal.errors import DataError, UnknownNameError

HEAVY = ("torch", "sklearn", "pyarrow", "lightning_fabric", "scipy", "pandas", "matplotlib")
LIGHT = [
    ["--help"],
    ["list", "methods"],
    ["list", "methods", "aum"],
    ["list", "data"],
    ["list", "encoders"],
    ["list", "shifts"],
    ["list", "shifts", "mnar"],
    ["train", "--help"],
    ["prepare", "files", "--help"],
    ["study", "--help"],
]


def test_help_and_lists_load_nothing_heavy():
    code = (
        "import sys\n"
        "from amodal.cli import main\n"
        f"for words in {LIGHT!r}:\n"
        "    try:\n"
        "        main(words)\n"
        "    except SystemExit as end:\n"
        "        assert end.code == 0, (words, end.code)\n"
        f"    heavy = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "    assert not heavy, (words, heavy)\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert "evaluate" in found.stdout


def test_module_runs_and_help_names_every_command():
    found = subprocess.run([sys.executable, "-m", "amodal"], capture_output=True, text=True)
    assert found.returncode == 0
    for name in ("list", "prepare", "train", "predict", "evaluate", "study", "report"):
        assert f"\n  {name} " in found.stdout
    assert found.stderr == ""


def test_version(call):
    assert call("--version").out == f"amodal {amodal.__version__}\n"


def test_main_ends_the_process_with_the_exit_code(capsys):
    with pytest.raises(SystemExit) as end:
        main(["list", "shifts"])
    assert end.value.code == 0
    with pytest.raises(SystemExit) as end:
        main(["list", "shifs"])
    assert end.value.code == 2
    assert capsys.readouterr().err == "amodal: unknown inventory 'shifs': did you mean 'shifts'?\n"


def test_usage_errors_are_one_sentence(refused):
    assert refused("trian") == (
        "no such command 'trian'. Did you mean 'train'? (see `amodal --help`)"
    )
    assert refused("train", "x", "--otu", "y").startswith("no such option: --otu")
    assert refused("train", "x") == "missing option '--out' (see `amodal train --help`)"
    assert refused("predict") == "missing argument 'RUN' (see `amodal predict --help`)"
    assert "'--seed'" in refused("train", "x", "--out", "y", "--seed", "one")
    assert "'--jobs'" in refused("study", "x", "--methods", "mean", "--out", "y", "--jobs", "0")
    assert refused("prepare", "physionet").startswith("no such command 'physionet'")


@pytest.fixture
def broken(monkeypatch):
    """broken(error): makes `amodal list` raise it."""

    def function(error: BaseException) -> None:
        def inventory(what: str) -> None:
            raise error

        monkeypatch.setattr("amodal.cli.list.inventory", inventory)

    return function


@pytest.mark.parametrize(
    "error",
    [
        DataError("rows must be so;\n  found others; mend them"),
        UnknownNameError("unknown x 'y': choose from z"),
        OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "/disk/weights"),
        PermissionError(errno.EACCES, os.strerror(errno.EACCES), "/disk/run"),
        OSError(errno.EROFS, os.strerror(errno.EROFS)),
        MemoryError(),
    ],
)
def test_what_a_user_can_mend_is_one_sentence(broken, refused, error):
    broken(error)
    assert refused("list", "methods") == explain(error)


def test_a_full_disk_names_the_file_and_what_to_do():
    error = OSError(errno.ENOSPC, "No space left on device", "/disk/weights")
    assert explain(error) == (
        "the system refused '/disk/weights': No space left on device; free space, or write to "
        "another disk"
    )


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyError("a bug"), OSError("no errno")])
def test_bugs_show_themselves(broken, call, error):
    broken(error)
    result = call("list", "methods")
    assert result.bug is error
    assert result.code == 1


def test_a_bug_keeps_its_traceback_and_no_values_of_variables():
    code = (
        "import amodal.cli.list as l\n"
        "def bug(what):\n"
        "    patient = 'value of a patient'\n"
        "    raise ValueError('a bug')\n"
        "l.inventory = bug\n"
        "from amodal.cli import main\n"
        "main(['list', 'methods'])\n"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 1
    assert found.stderr.startswith("Traceback (most recent call last)")
    assert found.stderr.endswith("ValueError: a bug\n")
    assert "value of a patient" not in found.stderr


def test_interruption_ends_with_130(broken, call):
    broken(KeyboardInterrupt())
    result = call("list", "methods")
    assert (result.code, result.bug) == (130, None)
    assert result.err.startswith("amodal: interrupted; ")


@pytest.mark.parametrize("words", [["list", "methods", "aum"], ["--version"]])
def test_a_reader_that_goes_away_is_no_news(words):
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-m", "amodal", *words]
    found = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True)
    os.close(write)
    assert (found.returncode, found.stderr) == (1, "")
