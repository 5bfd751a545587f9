"""What the source looks like: sizes, names that exist once, copies that are validated, modules with tests.

Guards that each file can be read alone, and that one idea has one place.
"""

import ast
from collections import defaultdict
from pathlib import Path

import pytest

import optimizer

ROOT = Path(optimizer.__file__).parent
TREES = {
    str(path.relative_to(ROOT)): ast.parse(path.read_text(encoding="utf-8")) for path in ROOT.rglob("*.py")
}
MOST_LINES = {"class": 150, "function": 50, "file": 300}


def sizes() -> dict[str, int]:
    """Lines of every file, class and function."""
    found = {}
    for file, tree in TREES.items():
        found[f"file {file}"] = len((ROOT / file).read_text(encoding="utf-8").splitlines())
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
                kind = "class" if isinstance(node, ast.ClassDef) else "function"
                lines = (node.end_lineno or node.lineno) - node.lineno + 1
                key = f"{kind} {file} {node.name}"
                found[key] = max(lines, found.get(key, 0))
    return found


def test_nothing_is_too_long_to_read() -> None:
    """No class over 150 lines, no function over 50, no file over 300: split it where two ideas meet."""
    found = sizes()
    assert len(found) > 2000
    long = {key: n for key, n in found.items() if n > MOST_LINES[key.split()[0]]}
    assert not long


@pytest.mark.parametrize("name", ["Answer", "Plan", "Pool", "Proof", "Split", "Formats", "Frame"])
def test_one_class_of_each_idea(name: str) -> None:
    """What a file or an answer says has one class, in `spec` or `cost`: add to that one."""
    places = defaultdict(list)
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.ClassDef):
                places[node.name].append(file)
    assert len(places[name]) == 1, places[name]
    assert places[name][0].startswith(("spec/", "cost/"))


def test_copies_are_validated() -> None:
    """`model_copy(update=...)` looks at nothing: say `changed`, or `supposed` where a what-if is meant."""
    found = set()
    for file, tree in TREES.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and getattr(node.func, "attr", "") == "model_copy":
                found.add(file)
    assert found == {"spec/base.py"}
