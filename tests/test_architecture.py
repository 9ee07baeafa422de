"""Imports point down only. The rule is a dict: package -> what of ours it may import."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[1] / "src" / "amodal"
BASE = {"types", "errors", "values", "vocabulary"}
DATA = BASE | {"checks", "data"}
METHODS = BASE | {"batch", "nn", "encoders", "methods", "space"}
MODEL = (
    METHODS
    | DATA
    | {
        "metrics",
        "training",
        "stored",
        "posthoc",
        "shifts",
        "settings",
        "member",
        "ensemble",
        "model",
    }
)
ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "types": {"errors", "vocabulary"},
    "values": set(),
    "vocabulary": {"errors"},
    "space": {"errors"},
    "checks": BASE,
    "stored": {"errors"},
    "media": BASE,
    "batch": BASE,
    "metrics": {"errors", "vocabulary"},
    "nn": BASE | {"batch"},
    "data": DATA | {"batch", "media"},  # batch: in tensors.py alone
    "shifts": DATA | {"media", "settings"},  # settings: how a shift is written in one word
    "clinical": DATA | {"disclosure"},
    "collections": DATA | {"media", "metrics"},  # metrics: how answers are normalised
    "embed": DATA | {"media"},
    "encoders": BASE | {"batch", "nn", "embed", "media"},  # embed: names of codes, checkpoints
    "methods": METHODS | {"data", "metrics"},  # data and metrics: in the classic methods alone
    "training": BASE | {"batch", "methods", "metrics", "encoders", "media", "stored"},
    "posthoc": BASE | {"batch", "metrics"},
    "settings": {"errors", "encoders", "methods", "training"},  # methods: settings of decoders
    "ensemble": BASE | {"batch", "nn"},
    "member": MODEL - {"model"},
    "held_out": MODEL - {"model"},
    "model_files": {"errors", "member", "stored"},
    "model": MODEL | {"held_out", "model_files"},
    "disclosure": set(),
    "evaluation": MODEL,
    "prediction_table": MODEL,
    "testing": MODEL,
    "study": MODEL | {"disclosure"},
    "tuning": MODEL | {"study"},
    "analysis": {"study", "metrics", "errors", "types", "disclosure"},
    # data: the public images of digits, in images.py alone
    "report": {"analysis", "study", "metrics", "errors", "types", "settings", "disclosure", "data"},
    "cli": MODEL
    | {
        "disclosure",
        "evaluation",
        "prediction_table",
        "study",
        "tuning",
        "report",
        "clinical",
        "collections",
        "embed",
    },
    "__main__": {"cli"},
}


def imports(path: Path) -> list[tuple[int, str]]:
    """(line, package of ours) of every import that runs, those inside functions too."""
    found = []
    tree = ast.parse(path.read_text())
    typing = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and getattr(node.test, "id", "") == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in typing:
            continue
        if isinstance(node, ast.Import):
            names = [a.name for a in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
            if node.module == "amodal":
                names = [f"amodal.{a.name}" for a in node.names]
        else:
            continue
        found += [(node.lineno, n.split(".")[1]) for n in names if n.startswith("amodal.")]
    return found


def room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def modules() -> list[Path]:
    return [p for p in sorted(SOURCE.rglob("*.py")) if p != SOURCE / "__init__.py"]


@pytest.mark.parametrize("path", modules(), ids=lambda p: str(p.relative_to(SOURCE)))
def test_imports_point_down(path: Path) -> None:
    here = room(path)
    assert here in ALLOWED, f"{here} has no rule: add it to ALLOWED"
    for line, package in imports(path):
        if package in ("__version__", here) or package in _FRONT:
            continue
        assert package in ALLOWED[here], f"{path}:{line}: {here} must not import {package}"


_FRONT = {"Dataset", "Model", "Modality", "Task", "load", "Batch", "Prediction", "Encoded"}


def test_torch_stays_in_one_file_of_data() -> None:
    for path in (SOURCE / "data").rglob("*.py"):
        if path.name != "tensors.py":
            assert "batch" not in {p for _, p in imports(path)}, path
            assert "import torch" not in path.read_text(), path


@pytest.mark.parametrize(
    "module",
    [
        "amodal",
        "amodal.data",
        "amodal.media",
        "amodal.report",
        "amodal.clinical",
        "amodal.collections",
        "amodal.shifts",
        "amodal.metrics",
        "amodal.study",
        "amodal.analysis",
        "amodal.tuning",
        "amodal.cli",
    ],
)
def test_light_packages_do_not_import_torch(module: str) -> None:
    code = f"import sys, {module}; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


def test_nothing_imports_what_needs_a_gpu_build() -> None:
    for path in modules():
        text = path.read_text()
        for forbidden in ("torchvision", "torchaudio", "pickle"):
            assert f"import {forbidden}" not in text, f"{path} imports {forbidden}"
