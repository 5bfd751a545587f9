"""The tool that counts the changes of the source which no test sees: what it changes, and what it leaves."""

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT / "benchmarks" / "mutants"))

import yaml  # noqa: E402
from changes import changes  # noqa: E402

SOURCE = '''
"""A docstring of 3 < 4."""
LIMIT: int | None = 2
KEEPS = {"value": 7}

class Kept:
    def most(self, items: list[int], low: float) -> float:
        """Not 5 + 6."""
        if low < 0:
            raise ValueError(f"{low - 1} is below {2 * 3}")
        def inner(x: int) -> int:
            return -x
        items.sort()
        found = [inner(n) for n in items if n and low]
        return max(found[1:], key=abs) + 1.5 * low
'''


def test_changes_of_a_module() -> None:
    found = [change.key.removeprefix("kept.py ") for change in changes("kept.py", SOURCE)]
    assert sorted(found) == sorted(
        {
            "(module): 2 -> 3",
            "Kept.most: if low < 0 -> if True",
            "Kept.most: if low < 0 -> if False",
            "Kept.most: low < 0 -> low <= 0",
            "Kept.most: low < 0 -> low >= 0",
            "Kept.most: 0 -> 1",
            "Kept.most: -x -> x",
            "Kept.most: items.sort() -> pass",
            "Kept.most: for n in items if n and low -> for n in items",
            "Kept.most: n and low -> n or low",
            "Kept.most: n and low -> n",
            "Kept.most: n and low -> low",
            "Kept.most: max(found[1:], key=abs) -> min(found[1:], key=abs)",
            "Kept.most: max(found[1:], key=abs) + 1.5 * low -> max(found[1:], key=abs) - 1.5 * low",
            "Kept.most: max(found[1:], key=abs) + 1.5 * low -> max(found[1:], key=abs)",
            "Kept.most: max(found[1:], key=abs) + 1.5 * low -> 1.5 * low",
            "Kept.most: 1: -> :",
            "Kept.most: 1 -> 2",
            "Kept.most: 1.5 * low -> 1.5 / low",
            "Kept.most: 1.5 * low -> 1.5",
            "Kept.most: 1.5 * low -> low",
            "Kept.most: 1.5 -> 3.0",
            "Kept.most: 1.5 -> 0.75",
        }
    )


def test_each_change_is_one_place_of_a_module_that_compiles() -> None:
    plain = ast.unparse(ast.parse(SOURCE))
    for change in changes("kept.py", SOURCE):
        lines = zip(plain.splitlines(), change.source().splitlines(), strict=True)
        assert sum(a != b for a, b in lines) == 1
        compile(change.source(), "kept.py", "exec")
    assert ast.unparse(ast.parse(SOURCE)) == plain


def test_known_equivalents_name_changes_that_exist() -> None:
    """An entry whose source was rewritten would hide nothing and read as if it did."""
    listed = yaml.safe_load((ROOT / "benchmarks" / "mutants" / "equivalent.yaml").read_text())
    for entry in listed:
        assert entry["why"]
        for key in entry["changes"]:
            file = key.split(" ")[0]
            known = [c.key for c in changes(file, (ROOT / "optimizer" / file).read_text())]
            assert any(k == key or (key.endswith("*") and k.startswith(key[:-1])) for k in known), key
