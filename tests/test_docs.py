"""What the pages say is so: commands, names, settings, defaults, links, and code that runs."""

from __future__ import annotations

import re
import shlex
import tomllib
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
SOURCE = ROOT / "src" / "amodal"
PAGES = [ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")]
PAGES += sorted((ROOT / "docs").rglob("*.md"))
TEXTS = [*PAGES, *sorted((ROOT / "examples").rglob("*.*"))]

page_by_page = pytest.mark.parametrize("page", PAGES, ids=lambda p: str(p.relative_to(ROOT)))


def fences(page: Path, language: str) -> list[str]:
    """The fenced blocks of a page in one language ("" for none)."""
    blocks = re.findall(r"^```(\w*)\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)
    return [text for name, text in blocks if name == language]


def inline(page: Path) -> list[str]:
    """The inline code of a page, fenced blocks left out."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    return re.findall(r"`([^`\n]+)`", text)


# -- commands -------------------------------------------------------------------------------------


def commands(page: Path) -> Iterator[str]:
    """Every `amodal ...` line of a page, in blocks and in the text."""
    for block in fences(page, ""):
        yield from (line for line in block.splitlines() if line.startswith("amodal "))
    yield from (code for code in inline(page) if code.startswith("amodal "))


def command_of(words: list[str]):
    """(the command that words name, the words after its name)."""
    from typer.main import get_command

    from amodal.cli.app import app

    found = get_command(app)
    while words and words[0] in getattr(found, "commands", {}):
        found, words = found.commands[words[0]], words[1:]
    return found, words


@page_by_page
def test_commands_parse(page: Path) -> None:
    for line in commands(page):
        command, rest = command_of(shlex.split(line)[1:])
        assert not hasattr(command, "commands") or not rest or rest[0].startswith("-"), line
        options = {o for p in command.params for o in p.opts} | {"--help", "-h"}
        for word in rest:
            assert not word.startswith("--") or word in options, f"{line}: no option {word}"


def test_commands_in_blocks_are_complete() -> None:
    lines = {
        line
        for page in PAGES
        for block in fences(page, "")
        for line in block.splitlines()
        if line.startswith("amodal ")
    }
    assert len(lines) > 15
    for line in lines:
        command, rest = command_of(shlex.split(line)[1:])
        command.make_context(command.name, rest)  # raises where a word lacks or is too many


def test_what_the_readme_studies_can_be_made() -> None:
    from amodal.model import make_model
    from amodal.settings import parse_method
    from amodal.shifts import make_shift

    made = 0
    for page in PAGES:
        for line in commands(page):
            for name, make in (("--methods", make_model), ("--method", make_model)):
                for spec in _after(line, name):
                    make(spec)
                    made += 1
            for spec in _after(line, "--mechanism"):
                name, settings = parse_method(spec)
                make_shift(name, 0.5, **settings)
    assert made > 10


def _after(line: str, option: str) -> list[str]:
    words = shlex.split(line)
    return words[words.index(option) + 1].split(",") if option in words else []


# -- names ----------------------------------------------------------------------------------------


def resolve(dotted: str) -> object:
    """The object that a dotted name stands for.

    Raises:
        AttributeError, ModuleNotFoundError: there is none.
    """
    parts = dotted.split(".")
    for size in range(len(parts), 0, -1):
        try:
            found = import_module(".".join(parts[:size]))
        except ModuleNotFoundError:
            if size == 1:
                raise
            continue
        for name in parts[size:]:
            found = getattr(found, name)
        return found
    raise AssertionError(dotted)


@page_by_page
def test_names_of_the_code_exist(page: Path) -> None:
    for code in inline(page):
        if re.fullmatch(r"amodal(\.\w+)+", code):
            resolve(code)


@page_by_page
def test_files_and_tests_that_are_named_exist(page: Path) -> None:
    for code in inline(page):
        match = re.fullmatch(r"([\w./-]+/[\w.-]*\.(?:py|md|toml|j2))(?:::(\w+))?", code)
        if match is None:
            continue
        places = [base / match[1] for base in (ROOT, SOURCE, SOURCE.parent, page.parent)]
        found = [p for p in places if p.is_file()]
        if f"\n**`{match[1]}`**\n\n```python\n" in page.read_text():
            continue  # the page gives it whole, as an example
        assert found, f"{page.name} names {match[1]}, which does not exist"
        if match[2]:
            assert f"def {match[2]}(" in found[0].read_text(), code


@page_by_page
def test_links_lead_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if target.startswith(("https://", "http://")):
            continue
        name, _, anchor = target.partition("#")
        path = (page.parent / name).resolve() if name else page
        assert path.exists(), f"{page.name} links to {target}"
        if anchor:
            heads = re.findall(r"^#+ (.+)$", path.read_text(), re.MULTILINE)
            slugs = [re.sub(r"[^\w -]", "", h.lower()).replace(" ", "-") for h in heads]
            assert anchor in slugs, f"{page.name} links to {target}"


def test_the_layout_names_every_package() -> None:
    layout = fences(ROOT / "docs" / "design.md", "")[0]
    named = set(re.findall(r"(\w+)(?:\.py|/)", layout))
    there = {p.stem for p in SOURCE.iterdir() if p.suffix == ".py" or (p / "__init__.py").exists()}
    assert {n for n in there if not n.startswith("_")} <= named
    assert named - {"METHODS"} <= there


# -- registers, settings, defaults ----------------------------------------------------------------


def first_cells(page: Path) -> set[str]:
    """What stands as code in the first cell of the rows of a page's tables."""
    cells = re.findall(r"^\| ([^|]+) \|", page.read_text(), re.MULTILINE)
    return {code for cell in cells for code in re.findall(r"`([^`]+)`", cell)}


def test_tables_name_everything_there_is() -> None:
    from amodal.data.builtin import BUILTIN
    from amodal.data.spec import _KINDS, _ROWS
    from amodal.methods import METHODS
    from amodal.metrics import METRICS
    from amodal.shifts import SHIFTS

    assert set(METHODS) <= first_cells(ROOT / "README.md")
    guide = first_cells(ROOT / "docs" / "guide.md")
    assert set(SHIFTS) <= guide
    assert set(METRICS) <= guide
    assert {f"builtin:{b}" for b in BUILTIN} <= first_cells(ROOT / "docs" / "data" / "builtin.md")
    keys = {*_ROWS, *(key for kind in _KINDS.values() for key in kind)}
    assert keys <= first_cells(ROOT / "docs" / "data" / "files.md")


@pytest.mark.parametrize(("name", "specs"), [("aum", 15), ("imro", 8)])
def test_settings_of_methods_are_listed_with_their_defaults(name: str, specs: int) -> None:
    from amodal.encoders import EncoderSettings
    from amodal.methods import get_method
    from amodal.model import make_model
    from amodal.settings import coerce
    from amodal.training import TrainSettings

    page = ROOT / "docs" / "papers" / f"{name}.md"
    rows = dict(re.findall(r"^\| `(\w+)` \| `([^`]+)` \|", page.read_text(), re.MULTILINE))
    own, train, encoder = get_method(name).settings(), TrainSettings(), EncoderSettings()
    assert set(own) <= set(rows), f"a setting of {name} is not listed"
    for setting, told in rows.items():
        default = own.get(setting, getattr(train, setting, getattr(encoder, setting, None)))
        assert coerce(setting, told, default) == default, f"{setting}: {told}, it is {default}"
    named = [code for code in inline(page) if code.startswith(f"{name}:")]
    assert len(named) >= specs
    for spec in named:
        assert make_model(spec).get_params() != make_model(name).get_params(), spec


def test_all_methods_are_on_their_page_with_what_they_handle() -> None:
    from amodal.methods import METHODS, get_method

    page = (ROOT / "docs" / "methods.md").read_text()
    rows = {
        name: rest.split("|") for name, rest in re.findall(r"^\| `(\w+)` \|(.*)\|$", page, re.M)
    }
    assert set(rows) == set(METHODS)
    for name, (_, source, tasks, reports, unlabelled) in rows.items():
        kind = get_method(name)
        handled = "all" if "regression" in kind.tasks else "classes"
        handled += ", texts" if "sequence" in kind.tasks else ""
        assert tasks.strip() == handled, name
        assert reports.strip() == ", ".join(kind.reports), name
        assert (unlabelled.strip() == "yes") == kind.uses_unlabelled, name
        assert not source.strip() or str(kind.year) in source, name
        assert (kind.__module__, kind.__name__) == tuple(METHODS[name].split(":"))


# -- words ----------------------------------------------------------------------------------------

LOUD = (
    r"state[- ]of[- ]the[- ]art|cutting[- ]edge|seamless|effortless|blazing|revolution"
    r"|game[- ]chang|powerful|unleash|world[- ]class|best[- ]in[- ]class|magic"
)
UNFINISHED = r"\b(?:TODO|FIXME|XXX|TBD|lorem ipsum|coming soon)\b"
A_PATH = r"(?<![\w.:/)$}])/(?:[A-Za-z][\w.-]*/)+[\w.-]*|\b[A-Z]:\\"


@pytest.mark.parametrize("page", TEXTS, ids=lambda p: str(p.relative_to(ROOT)))
@pytest.mark.parametrize("pattern", [LOUD, UNFINISHED, A_PATH])
def test_words_that_have_no_place_here(page: Path, pattern: str) -> None:
    if page.is_file():
        text = re.sub(r"https?://\S+", "", page.read_text())
        found = re.search(pattern, text, re.IGNORECASE if pattern == LOUD else 0)
        assert found is None, f"{page.name}: {found[0]!r}"


# -- code that runs -------------------------------------------------------------------------------


def run(page: Path, small: dict[str, str]) -> dict:
    """Runs the Python blocks of a page one after the other."""
    names: dict = {"__name__": "page"}
    for block in fences(page, "python"):
        for old, new in small.items():
            block = block.replace(old, new)
        exec(compile(block, page.name, "exec"), names)
    return names


def test_the_readme_runs(tmp_path, monkeypatch) -> None:
    from amodal.testing import made_up

    monkeypatch.chdir(tmp_path)
    made_up().save("p12")
    names = run(ROOT / "README.md", {'Model("aum")': 'Model("aum", epochs=3, width=8, heads=2)'})
    found = names["found"]
    assert found.mean.shape == (3,)
    assert bool((found.reliance.sum(1) <= 1).all())
    assert float(found.reliability[~found.present].abs().sum()) == 0


def test_the_guide_and_the_design_run(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    names = run(ROOT / "docs" / "guide.md", {})
    assert names["data"].shape == (120, 3)
    assert names["one"].present.tolist() == [[True, False, True]]
    assert abs(names["pattern"].rates.achieved - 0.5) < 0.2
    assert set(names["checked"].members_[0].method.diagnostics(names["found"])) >= {"kl_nats"}
    assert "Asked to lose 50.0%" in capsys.readouterr().out
    run(ROOT / "docs" / "design.md", {})


def test_the_example_of_own_files_gives_what_the_page_says(tmp_path) -> None:
    from amodal.data.files import read_files
    from amodal.data.spec import parse_spec

    page = ROOT / "docs" / "data" / "files.md"
    blocks = re.findall(r"^\*\*`([\w.]+)`\*\*\n\n```\w+\n(.*?)^```$", page.read_text(), re.M | re.S)
    assert len(blocks) == 4
    for name, text in blocks:
        (tmp_path / name).write_text(text)
    data = read_files(tmp_path / "my.toml")
    assert data.names == ("history", "labs", "diagnoses")
    assert data.present.astype(int).tolist() == [[1, 1, 0], [1, 0, 1], [1, 1, 1], [0, 0, 0]]
    assert data.labelled.tolist() == [True, True, True, False]
    assert data.values["labs"].lengths.tolist() == [2, 1]
    for block in fences(page, "toml"):
        parse_spec(tomllib.loads(block))
