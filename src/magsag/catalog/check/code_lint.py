"""Warns of calls in an agent's code that a resume would not see the same way again.

Looks at async code of agents: clocks, chance, the environment, files, threads and asyncio's own ways of running
things side by side. What is handed to `ctx.call` is recorded and therefore free to use them.
"""

import ast
from collections.abc import Iterator
from typing import Final

from magsag.catalog.findings import Notes

_NOW: Final = "use `ctx.now()`"
_CHANCE: Final = "use `ctx.random()`"
_ID: Final = "use `ctx.uuid()`"
_CALL: Final = "hand the function that does it to `ctx.call`"
_FIXES: Final = {
    "asyncio.gather": "use `ctx.gather`",
    "asyncio.create_task": "use `ctx.gather` or `ctx.map`",
    "asyncio.ensure_future": "use `ctx.gather` or `ctx.map`",
    "asyncio.TaskGroup": "use `ctx.gather` or `ctx.map`",
    "asyncio.wait": "use `ctx.gather` or `ctx.race`",
    "asyncio.wait_for": "use `ctx.timeout`",
    "asyncio.as_completed": "use `ctx.gather` or `ctx.race`",
    "asyncio.timeout": "use `ctx.timeout`",
    "asyncio.timeout_at": "use `ctx.timeout`",
    "asyncio.sleep": "use `ctx.sleep`",
    "asyncio.to_thread": "use `ctx.call`",
    "asyncio.run": "await it",
    "time.sleep": "use `ctx.sleep`",
    **dict.fromkeys(("time.time", "time.time_ns", "time.monotonic", "time.perf_counter", "time.localtime"), _NOW),
    **dict.fromkeys(("datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today"), _NOW),
    "datetime.date.today": _NOW,
    **dict.fromkeys(("uuid.uuid1", "uuid.uuid4", "uuid.uuid7"), _ID),
    **dict.fromkeys(("os.environ", "os.getenv"), "hand settings in with the payload, or read them in `ctx.call`"),
    **dict.fromkeys(("os.urandom", "random.SystemRandom"), _CHANCE),
    "open": _CALL,
    "input": "hand it in with the payload",
}
_FAMILIES: Final = {"random": _CHANCE, "secrets": _CHANCE, "threading": "use `ctx.call`", "multiprocessing": _CALL}
"""modules of which every call counts"""
_SIDE_BY_SIDE: Final = frozenset({"map", "gather", "race"})


def lint_agent(path: str, tree: ast.Module, subject: str | None, notes: Notes) -> None:
    """Add a warning for each such call in the module."""
    known = _imported(tree)
    free = _recorded(tree)
    for node in _nodes(tree, free):
        found = _fault(node, known)
        if found is not None:
            what, fix = found
            at = (getattr(node, "lineno", 1), getattr(node, "col_offset", 0) + 1)
            notes.add(path, at, what, fix, subject=subject, severity="warning")


def _fault(node: ast.AST, known: dict[str, str]) -> tuple[str, str] | None:
    name = ""
    if isinstance(node, ast.Call):
        name = _dotted(node.func, known)
    elif isinstance(node, ast.Subscript):
        name = _dotted(node.value, known)
    if fix := _fix(name):
        return f"`{name}` is not recorded: a resume would see something else", fix
    if _walks_a_set(node):
        return "a set has no order: a resume may call in another one", "use `sorted(...)`"
    return None


def _fix(name: str) -> str | None:
    family = name.partition(".")[0] if "." in name else ""
    environ = _FIXES["os.environ"] if name.startswith("os.environ.") else None
    return _FIXES.get(name) or _FAMILIES.get(family) or environ


def _walks_a_set(node: ast.AST) -> bool:
    """Whether calls are made in the order of a set: in a loop with `await`, or in what runs side by side."""
    if isinstance(node, ast.For | ast.AsyncFor):
        return _is_set(node.iter) and any(isinstance(inner, ast.Await) for inner in ast.walk(node))
    if (
        not isinstance(node, ast.Call)
        or not isinstance(node.func, ast.Attribute)
        or node.func.attr not in _SIDE_BY_SIDE
    ):
        return False
    given = [part.value if isinstance(part, ast.Starred) else part for part in node.args]
    walked = [
        loop.iter for part in given if isinstance(part, ast.GeneratorExp | ast.ListComp) for loop in part.generators
    ]
    return any(_is_set(part) for part in [*given, *walked])


def _is_set(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in ("set", "frozenset")
    return isinstance(node, ast.Set | ast.SetComp)


def _nodes(tree: ast.Module, free: set[str]) -> Iterator[ast.AST]:
    """All nodes, without functions that are handed to `ctx.call` and what stands in such a call itself."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.name in free:
            continue
        yield node
        parts = node.args[1:] if _is_ctx_call(node) and isinstance(node, ast.Call) else ast.iter_child_nodes(node)
        waiting.extend(parts)


def _recorded(tree: ast.Module) -> set[str]:
    """The names of functions that are handed to `ctx.call`."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call) and _is_ctx_call(node) and node.args]
    return {call.args[0].id for call in calls if isinstance(call.args[0], ast.Name)}


def _is_ctx_call(node: ast.AST) -> bool:
    return isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "call"


def _imported(tree: ast.Module) -> dict[str, str]:
    """Local name -> what it stands for, e.g. `dt` -> `datetime`, `gather` -> `asyncio.gather`."""
    known: dict[str, str] = {"open": "open", "input": "input"}
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                first = alias.name.partition(".")[0]
                known[alias.asname or first] = alias.name if alias.asname else first
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            for alias in node.names:
                known[alias.asname or alias.name] = f"{node.module}.{alias.name}"
    return known


def _dotted(node: ast.AST, known: dict[str, str]) -> str:
    """`dt.datetime.now` as it is called in full; empty for anything that is no known name."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not isinstance(node, ast.Name) or node.id not in known:
        return ""
    return ".".join([known[node.id], *reversed(parts)])
