"""The import graph: arrows point down, without circles."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

import sargan_core

ROOT = Path(sargan_core.__file__).parents[1]
# What a package may never import, at the top of a module or inside a function.
FORBIDDEN = {
    "sargan_core": ["sargan_cli"],
    "sargan_core.photo": [
        f"sargan_core.{name}"
        for name in ("faces", "weights", "models", "editor", "data", "training", "batch", "evaluation")
    ],
    "sargan_core.faces": [
        f"sargan_core.{name}"
        for name in ("models", "weights", "editor", "data", "training", "batch", "evaluation")
    ],
    "sargan_core.models": [f"sargan_core.{name}" for name in ("editor", "batch", "evaluation")],
    "sargan_core.training": [f"sargan_core.{name}" for name in ("models", "editor", "batch", "evaluation")],
    "sargan_core.data": [f"sargan_core.{name}" for name in ("training", "editor", "batch", "evaluation")],
    "sargan_core.editor": [f"sargan_core.{name}" for name in ("batch", "evaluation", "training", "data")],
    "sargan_core.batch": ["sargan_core.evaluation", "sargan_core.training", "sargan_core.data"],
}


def modules() -> dict[str, Path]:
    """Return every module of the two packages by its dotted name."""
    found = {}
    for top in ("sargan_core", "sargan_cli"):
        for file in (ROOT / top).rglob("*.py"):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = file
    return found


def is_type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


def imported(node: ast.AST, *, inside_functions: bool) -> Iterator[str]:
    """Yield the dotted names that a module imports when it runs, with those of ``from package import module``."""
    for child in ast.iter_child_nodes(node):
        if is_type_checking(child):
            continue
        if isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef) and not inside_functions:
            continue
        if isinstance(child, ast.ImportFrom) and child.module and not child.level:
            yield from (f"{child.module}.{alias.name}" for alias in child.names)
        elif isinstance(child, ast.Import):
            yield from (alias.name for alias in child.names)
        else:
            yield from imported(child, inside_functions=inside_functions)


def graph(*, inside_functions: bool) -> dict[str, set[str]]:
    """Return which modules each module imports."""
    known = modules()
    edges: dict[str, set[str]] = {}
    for name, file in known.items():
        targets = set()
        for dotted in imported(ast.parse(file.read_text("utf-8")), inside_functions=inside_functions):
            while dotted and dotted not in known:
                dotted = dotted.rpartition(".")[0]
            if dotted and dotted != name:
                targets.add(dotted)
        edges[name] = targets
    return edges


def test_imports_have_no_circle():
    try:
        TopologicalSorter(graph(inside_functions=False)).prepare()
    except CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))


@pytest.mark.parametrize("package", FORBIDDEN)
def test_arrows_point_down(package: str):
    def within(name: str, prefix: str) -> bool:
        return name == prefix or name.startswith(prefix + ".")

    wrong = [
        f"{name} imports {target}"
        for name, targets in graph(inside_functions=True).items()
        if within(name, package)
        for target in targets
        if any(within(target, prefix) for prefix in FORBIDDEN[package])
    ]
    assert wrong == []
