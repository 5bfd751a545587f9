"""One-place changes of a module's source: what a slip of the pen, or of the mind, would make of it.

Comparisons and their borders, signs and operators, dropped terms and factors, constants, min and max, ceil
and floor, and, or and not, conditions that are always or never met, dropped statements, list items, filters
and slices. Messages of errors, annotations, docstrings and decorators are left alone.
"""

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_COMPARED: dict[type, tuple[type, ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
_OPERATED: dict[type, type] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.FloorDiv,
    ast.Pow: ast.Mult,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
_NAMED = {
    "min": "max",
    "max": "min",
    "minimum": "maximum",
    "maximum": "minimum",
    "fmin": "fmax",
    "fmax": "fmin",
    "argmin": "argmax",
    "argmax": "argmin",
    "ceil": "floor",
    "floor": "ceil",
    "any": "all",
    "all": "any",
    "any_of": "all_of",
    "all_of": "any_of",
    "at_least": "at_most",
    "at_most": "at_least",
    "logical_and": "logical_or",
    "logical_or": "logical_and",
}
_WHOLE = {"min", "max", "minimum", "maximum", "fmin", "fmax", "where", "any_of", "all_of"}
"""Calls that may also be replaced by one of their arguments, or lose one of many."""

_GONE = "(gone)"
_FOR_READERS = ("strict", "compare", "repr")
"""Keywords that guard or print: `zip(..., strict=True)` of lists that are as long by construction."""
_EXAMPLES = ("KEEPS", "BREAKS", "__all__")


@dataclass
class Change:
    """One change of one module."""

    file: str
    """Relative to the package."""
    where: str
    """Class and function, '' for the module's own lines."""
    line: int
    old: str
    new: str
    nth: int = 1
    """Which of the like expressions of the function it is."""
    _tree: ast.AST | None = None
    _edit: Any = None

    @property
    def key(self) -> str:
        """Names the change without line numbers, so that it is found again after other edits."""
        nth = f" #{self.nth}" if self.nth > 1 else ""
        return f"{self.file} {self.where or '(module)'}: {self.old} -> {self.new}{nth}"

    def source(self) -> str:
        """The whole module with the change."""
        holder, name, index, new = self._edit
        held = getattr(holder, name) if index is None else getattr(holder, name)[index]
        _put(holder, name, index, new)
        try:
            return ast.unparse(ast.fix_missing_locations(self._tree))  # type: ignore[arg-type]
        finally:
            _put(holder, name, index, held)


def changes(file: str, source: str) -> list[Change]:
    """All changes of one module, in the order of its lines."""
    tree = ast.parse(source)
    found: list[Change] = []
    seen: dict[tuple[str, str, str], int] = {}
    for holder, name, index, node, where in _walk(tree, "", False):
        for old, shown, new in _alternatives(node):
            texts = _text(old), shown or _text(new)
            if texts[0] == texts[1]:
                continue
            key = (where, *texts)
            seen[key] = seen.get(key, 0) + 1
            line = getattr(node, "lineno", getattr(holder, "lineno", 0))
            found.append(Change(file, where, line, *texts, seen[key], tree, (holder, name, index, new)))
    return found


def _put(holder: Any, name: str, index: int | None, node: Any) -> None:
    if index is None:
        setattr(holder, name, node)
    else:
        getattr(holder, name)[index] = node


def _text(node: Any) -> str:
    if isinstance(node, ast.comprehension):
        return ast.unparse(ast.ListComp(ast.Constant(0), [node]))[3:-1]
    if isinstance(node, ast.If | ast.While):
        return f"{type(node).__name__.lower()} {ast.unparse(node.test)}"
    return " ".join(ast.unparse(node).split())


def _walk(node: ast.AST, where: str, inside: bool) -> Iterator[tuple[ast.AST, str, int | None, Any, str]]:
    """Every node with its place; a function inside another counts as the outer one."""
    for name, value in ast.iter_fields(node):
        if name in ("annotation", "returns", "decorator_list", "type_params"):
            continue
        for index, child in enumerate(value) if isinstance(value, list) else [(None, value)]:
            if not isinstance(child, ast.AST) or isinstance(child, ast.Raise | ast.JoinedStr | ast.Assert):
                continue
            if isinstance(child, ast.keyword) and child.arg in _FOR_READERS:
                continue
            if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
                continue
            if isinstance(child, ast.Assign) and ast.unparse(child.targets[0]) in _EXAMPLES:
                continue
            named = isinstance(child, ast.FunctionDef | ast.ClassDef) and not inside
            inner = f"{where}.{child.name}".lstrip(".") if named else where
            yield node, name, index, child, where
            yield from _walk(child, inner, inside or isinstance(child, ast.FunctionDef))


def _alternatives(node: Any) -> Iterator[tuple[Any, str, Any]]:
    """(what is shown as old, and as new if not the new node, what takes the node's place) of each change."""
    made = getattr(_Made, type(node).__name__, None)
    for new in made(node) if made is not None else ():
        yield (*new,) if isinstance(new, tuple) else (node, "", new)


def _with(node: Any, **fields: Any) -> Any:
    new = copy.copy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def _without(items: list[Any], i: int) -> list[Any]:
    return items[:i] + items[i + 1 :]


class _Made:
    """What may stand in a node's place, by the kind of node; where one of many is dropped, that is shown."""

    @staticmethod
    def Compare(n: ast.Compare) -> Iterator[Any]:
        for i, op in enumerate(n.ops):
            for other in _COMPARED[type(op)]:
                yield _with(n, ops=[*n.ops[:i], other(), *n.ops[i + 1 :]])

    @staticmethod
    def BinOp(n: ast.BinOp) -> Iterator[Any]:
        if type(n.op) in _OPERATED:
            yield _with(n, op=_OPERATED[type(n.op)]())
        yield n.left
        if isinstance(n.op, ast.Add | ast.Mult | ast.BitAnd | ast.BitOr):
            yield n.right

    @staticmethod
    def UnaryOp(n: ast.UnaryOp) -> Iterator[Any]:
        if not isinstance(n.op, ast.UAdd):
            yield n.operand

    @staticmethod
    def BoolOp(n: ast.BoolOp) -> Iterator[Any]:
        yield _with(n, op=ast.Or() if isinstance(n.op, ast.And) else ast.And())
        for i in range(len(n.values)):
            rest = _without(n.values, i)
            yield rest[0] if len(rest) == 1 else _with(n, values=rest)

    @staticmethod
    def Constant(n: ast.Constant) -> Iterator[Any]:
        if isinstance(n.value, bool):
            yield ast.Constant(not n.value)
        elif isinstance(n.value, int):
            yield ast.Constant(n.value + 1)
        elif isinstance(n.value, float):
            yield from (ast.Constant(n.value * by) for by in (2.0, 0.5)) if n.value else [ast.Constant(1.0)]

    @staticmethod
    def Call(n: ast.Call) -> Iterator[Any]:
        own = n.func
        name = own.attr if isinstance(own, ast.Attribute) else getattr(own, "id", "")
        if name in _NAMED:
            field = {"attr": _NAMED[name]} if isinstance(own, ast.Attribute) else {"id": _NAMED[name]}
            yield _with(n, func=_with(own, **field))
        args = [a for a in n.args if not isinstance(a, ast.Starred)]
        if name in _WHOLE and len(args) == len(n.args) > 1:
            yield from args[1:] if name == "where" else args if len(args) == 2 else ()
            if len(args) > 2 and name != "where":
                yield from ((a, _GONE, _with(n, args=_without(args, i))) for i, a in enumerate(args))
        if name in ("replace", "model_copy"):
            words = n.keywords
            yield from ((w, _GONE, _with(n, keywords=_without(words, i))) for i, w in enumerate(words))
        if name == "abs":
            yield n.args[0]
        for i, word in enumerate(n.keywords):
            if word.arg == "side":
                other = {"left": "right", "right": "left"}[word.value.value]  # type: ignore[attr-defined]
                words = [*n.keywords[:i], ast.keyword("side", ast.Constant(other)), *n.keywords[i + 1 :]]
                yield _with(n, keywords=words)

    @staticmethod
    def IfExp(n: ast.IfExp) -> Iterator[Any]:
        yield from (n.body, n.orelse)

    @staticmethod
    def If(n: ast.If) -> Iterator[Any]:
        yield from (_with(n, test=ast.Constant(value)) for value in (True, False))

    @staticmethod
    def comprehension(n: ast.comprehension) -> Iterator[Any]:
        yield from (_with(n, ifs=_without(n.ifs, i)) for i in range(len(n.ifs)))

    @staticmethod
    def List(n: ast.List) -> Iterator[Any]:
        if len(n.elts) > 1:
            yield from ((item, _GONE, _with(n, elts=_without(n.elts, i))) for i, item in enumerate(n.elts))

    @staticmethod
    def Slice(n: ast.Slice) -> Iterator[Any]:
        if n.lower is not None:
            yield _with(n, lower=None)
        if n.upper is not None:
            yield _with(n, upper=None)

    @staticmethod
    def Expr(n: ast.Expr) -> Iterator[Any]:
        if isinstance(n.value, ast.Call):
            yield ast.Pass()

    @staticmethod
    def AugAssign(n: ast.AugAssign) -> Iterator[Any]:
        yield ast.Pass()
        if type(n.op) in _OPERATED:
            yield _with(n, op=_OPERATED[type(n.op)]())

    @staticmethod
    def Continue(n: ast.Continue) -> Iterator[Any]:
        yield ast.Pass()

    @staticmethod
    def Break(n: ast.Break) -> Iterator[Any]:
        yield ast.Pass()
