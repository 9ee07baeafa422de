"""What there is, read from the sources: facts of classes without importing torch."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

__all__ = ["ClassFacts", "class_facts", "names_in_dict", "setting_docs"]

_PACKAGE = "amodal"


@dataclass(frozen=True)
class ClassFacts:
    """What a class says of itself, with what it inherits from this package's other classes.

    Args:
        doc: its own docstring.
        attributes: constants of its body, name -> value; None where there is an annotation only.
        fields: of a dataclass, name -> default.
        settings: keyword-only arguments of its constructor and those of its bases, with defaults.
        docs: setting -> meaning, from the "Args" of its docstring and those of its bases.
    """

    doc: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    fields: Mapping[str, Any] = field(default_factory=dict)
    settings: Mapping[str, Any] = field(default_factory=dict)
    docs: Mapping[str, str] = field(default_factory=dict)


@cache
def class_facts(module: str, name: str) -> ClassFacts:
    """The facts of class `name` in `module`; none for a class of another package.

    >>> class_facts("amodal.methods.aum", "AUM").attributes["year"]
    2026
    >>> class_facts("torch.nn", "Module").attributes
    {}
    """
    found = _find(module, name)
    if found is None:
        return ClassFacts()
    tree, node = found
    facts = ClassFacts()
    for base in reversed(node.bases):
        other = _resolve(tree, module, base)
        facts = _merge(facts, class_facts(*other)) if other else facts
    return _merge(facts, _own(node))


def names_in_dict(module: str, name: str) -> dict[str, tuple[str, str]]:
    """Key -> (module, class) of a dict of classes that is written out in `module`.

    >>> names_in_dict("amodal.encoders", "ENCODERS")["table"]
    ('amodal.encoders.table', 'TableEncoder')
    """
    tree = _tree(module)
    for node in tree.body if tree else ():
        target = node.target if isinstance(node, ast.AnnAssign) else None
        if isinstance(target, ast.Name) and target.id == name and isinstance(node.value, ast.Dict):
            pairs = zip(node.value.keys, node.value.values, strict=True)
            return {ast.literal_eval(k): _resolve(tree, module, v) for k, v in pairs}
    raise LookupError(f"{module} writes out no dict {name}")


def setting_docs(doc: str) -> dict[str, str]:
    """Argument -> its text in the "Args" section of a docstring.

    >>> setting_docs('''Title.
    ...
    ...     Args:
    ...         a, b: two
    ...             lines.
    ...         c: one.
    ...
    ...     Raises:
    ...         E: never.
    ... ''')
    {'a': 'two lines.', 'b': 'two lines.', 'c': 'one.'}
    """
    match = re.search(r"^( *)Args:\n((?:\1 +.*\n|\n(?=\1 ))*)", doc + "\n", re.MULTILINE)
    if not match:
        return {}
    found: dict[str, str] = {}
    entry = rf"^{match[1]}    (\w+(?:, \w+)*): ((?:.*\n)(?:{match[1]}     +.*\n)*)"
    for names, text in re.findall(entry, match[2], re.MULTILINE):
        found |= dict.fromkeys(names.split(", "), " ".join(text.split()))
    return found


# -- the sources ----------------------------------------------------------------------------------


@cache
def _tree(module: str) -> ast.Module | None:
    """The syntax tree of a module of this package, found by path: importing it would load torch."""
    top, *parts = module.split(".")
    if top != _PACKAGE:
        return None
    place = files(_PACKAGE).joinpath(*parts)
    source = place.joinpath("__init__.py") if place.is_dir() else None
    if source is None:
        source = files(_PACKAGE).joinpath(*parts[:-1], f"{parts[-1]}.py")
    return ast.parse(source.read_text(encoding="utf-8")) if source.is_file() else None


def _find(module: str, name: str) -> tuple[ast.Module, ast.ClassDef] | None:
    tree = _tree(module)
    for node in tree.body if tree else ():
        if isinstance(node, ast.ClassDef) and node.name == name:
            return tree, node
    return None


def _resolve(tree: ast.Module, module: str, node: ast.expr) -> tuple[str, str] | None:
    """(module, class) that a bare name in `tree` stands for."""
    if not isinstance(node, ast.Name):
        return None
    for statement in tree.body:
        if isinstance(statement, ast.ImportFrom) and statement.module:
            for alias in statement.names:
                if (alias.asname or alias.name) == node.id:
                    return statement.module, alias.name
    return module, node.id


def _merge(base: ClassFacts, own: ClassFacts) -> ClassFacts:
    both = {
        k: {**getattr(base, k), **getattr(own, k)}
        for k in ("attributes", "fields", "settings", "docs")
    }
    return ClassFacts(own.doc, **both)


def _own(node: ast.ClassDef) -> ClassFacts:
    doc = ast.get_docstring(node) or ""
    attributes, fields, settings = {}, {}, {}
    for statement in node.body:
        attributes |= dict(_constants(statement))
        if isinstance(statement, ast.AnnAssign) and _is_field(statement):
            fields[statement.target.id] = _value(statement.value)
        if isinstance(statement, ast.FunctionDef) and statement.name == "__init__":
            pairs = zip(statement.args.kwonlyargs, statement.args.kw_defaults, strict=True)
            settings = {a.arg: _value(default) for a, default in pairs}
    return ClassFacts(doc, attributes, fields, settings, setting_docs(doc))


def _constants(node: ast.stmt) -> Iterator[tuple[str, Any]]:
    if isinstance(node, ast.Assign):
        targets = node.targets
    elif isinstance(node, ast.AnnAssign):
        targets = [node.target]
    else:
        return
    for target in targets:
        if isinstance(target, ast.Name):
            yield target.id, _value(node.value)


def _is_field(node: ast.AnnAssign) -> bool:
    return isinstance(node.target, ast.Name) and "ClassVar" not in ast.unparse(node.annotation)


def _value(node: ast.expr | None) -> Any:
    """The constant that an expression writes out, else None."""
    try:
        return None if node is None else ast.literal_eval(node)
    except ValueError:
        return None
