"""Small faults in a syntax tree: every place of a module where one can be made."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterator
from dataclasses import dataclass

COMPARED: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}
REPLACED: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.Pow: ast.Mult,
}
EXTREMES = {
    "min": "max",
    "max": "min",
    "amax": "amin",
    "argmax": "argmin",
    "floor": "ceil",
    "ceil": "floor",
}


@dataclass(frozen=True)
class Mutant:
    """The ``number``-th fault of a file: where, and what was done."""

    number: int
    line: int
    operator: str
    change: str
    source: str


def mutants(source: str) -> Iterator[Mutant]:
    """All of a module, in the order of its nodes; docstrings and annotations are left alone.

    What reads the same afterwards, such as ``return None``, is no fault.
    """
    number = 0
    plain = ast.unparse(ast.parse(source))
    nodes = list(ast.walk(ast.parse(source)))
    skipped = _skipped(nodes)
    for place, node in enumerate(nodes):
        if id(node) in skipped:
            continue
        for operator, change in changes(node):
            tree = ast.parse(source)
            own = list(ast.walk(tree))[place]
            before = ast.unparse(own)
            change(own)
            if (faulty := ast.unparse(tree)) == plain:
                continue
            told = f"{before} -> {ast.unparse(own)}"
            yield Mutant(number, getattr(node, "lineno", 0), operator, told[:160], faulty)
            number += 1


def _skipped(nodes: list[ast.AST]) -> set[int]:
    """Annotations and docstrings."""
    roots: list[ast.AST] = []
    for node in nodes:
        roots += [part for name in ("annotation", "returns") if (part := getattr(node, name, None))]
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
            roots.append(node)
    return {id(inner) for root in roots for inner in ast.walk(root)}


def changes(node: ast.AST) -> Iterator[tuple[str, Callable[..., None]]]:
    """What can be done to a node: names of operators and functions that do it to a node like it."""
    if isinstance(node, ast.Compare) and type(node.ops[0]) in COMPARED:
        yield "comparison", _compared
    elif (
        isinstance(node, ast.BinOp)
        and type(node.op) in REPLACED
        and not isinstance(node.op, ast.BitOr)
    ):
        yield "arithmetic", lambda n: setattr(n, "op", REPLACED[type(n.op)]())
    elif isinstance(node, ast.AugAssign) and type(node.op) in REPLACED:
        yield "arithmetic", lambda n: setattr(n, "op", REPLACED[type(n.op)]())
        yield "delete", _deleted
    elif isinstance(node, ast.Constant) and type(node.value) in (int, float):
        yield "constant + 1", lambda n: setattr(n, "value", n.value + 1)
        yield "constant - 1", lambda n: setattr(n, "value", n.value - 1)
    elif isinstance(node, ast.Constant) and isinstance(node.value, bool):
        yield "boolean", lambda n: setattr(n, "value", not n.value)
    elif isinstance(node, ast.BoolOp):
        yield (
            "boolean",
            lambda n: setattr(n, "op", ast.And() if isinstance(n.op, ast.Or) else ast.Or()),
        )
    elif isinstance(node, ast.If | ast.IfExp | ast.While):
        yield "not", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
    elif isinstance(node, ast.Slice) and (node.lower or node.upper):
        yield "slice bounds", lambda n: setattr(n, "lower" if n.lower else "upper", None)
    elif isinstance(node, ast.Return) and node.value is not None:
        yield "return", lambda n: setattr(n, "value", ast.Constant(None))
    elif isinstance(node, ast.Assign) and not isinstance(node.value, ast.Constant):
        yield "delete", _deleted
    elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load) and node.id in EXTREMES:
        yield "min/max", lambda n: setattr(n, "id", EXTREMES[n.id])
    elif isinstance(node, ast.Attribute) and node.attr in EXTREMES:
        yield "min/max", lambda n: setattr(n, "attr", EXTREMES[n.attr])


def _compared(node: ast.Compare) -> None:
    node.ops[0] = COMPARED[type(node.ops[0])]()


def _deleted(node: ast.AugAssign | ast.Assign) -> None:
    """The assignment does nothing: what is assigned is the name itself."""
    target = node.target if isinstance(node, ast.AugAssign) else node.targets[0]
    kept = copy.deepcopy(target)
    for inner in ast.walk(kept):
        if hasattr(inner, "ctx"):
            inner.ctx = ast.Load()
    if isinstance(node, ast.Assign):
        node.value = kept
    else:
        node.op, node.value = ast.Add(), ast.Constant(0)
