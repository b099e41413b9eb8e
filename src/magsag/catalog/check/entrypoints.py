"""Whether the code that a manifest names is there and takes the right parameters; read, never run."""

import ast
from collections.abc import Iterator
from posixpath import dirname, join
from typing import Final, NamedTuple

from magsag.catalog.code import split_entrypoint
from magsag.catalog.document import Pointer
from magsag.catalog.findings import Notes
from magsag.catalog.python_text import parsed
from magsag.catalog.references import did_you_mean
from magsag.catalog.survey import Candidate
from magsag.domain.effects import Effect
from magsag.domain.manifests import Agent, Eval, Skill

Function = ast.FunctionDef | ast.AsyncFunctionDef
_WHERE: Final[Pointer] = ("entrypoint",)


class Takes(NamedTuple):
    """How many arguments a function is called with, and how that is written."""

    counts: tuple[int, ...]
    written: str


_AGENT: Final = Takes((2,), "(payload, ctx)")
_SKILL: Final = Takes((1, 2), "(payload) or (payload, ctx)")
_METRIC: Final = Takes((1,), "(payload)")


class Sources:
    """The Python files of a catalog, parsed once each."""

    def __init__(self, files: dict[str, bytes], notes: Notes) -> None:
        self.files = files
        self._notes = notes
        self._trees: dict[str, ast.Module | None] = {}

    def tree(self, path: str, subject: str | None) -> ast.Module | None:
        """The parsed file; None, with a finding at its line, when its syntax is broken."""
        if path not in self._trees:
            self._trees[path] = self._parsed(path, subject)
        return self._trees[path]

    def _parsed(self, path: str, subject: str | None) -> ast.Module | None:
        try:
            return parsed(self.files[path], path)
        except SyntaxError as error:
            at = (error.lineno or 1, error.offset or 1)
            self._notes.add(path, at, f"the Python is broken: {error.msg}", "mend the syntax", subject=subject)
        except (ValueError, RecursionError, MemoryError) as error:
            what = f"the Python cannot be read: {error}"
            self._notes.add(path, (1, 1), what, "save it as plain UTF-8 text", subject=subject)
        return None


def check_entrypoint(candidate: Candidate, sources: Sources) -> None:
    """Add findings for a missing file, a missing function or parameters that do not fit."""
    manifest = candidate.checked
    if isinstance(manifest, Agent) and manifest.entrypoint is not None:
        _check_function(candidate, _WHERE, manifest.entrypoint, _AGENT, sources)
    elif isinstance(manifest, Skill):
        _check_function(candidate, _WHERE, manifest.entrypoint, _SKILL, sources)
        _check_lookup(candidate, manifest, sources)
    elif isinstance(manifest, Eval):
        _check_metrics(candidate, manifest, sources)


def agent_module(candidate: Candidate, sources: Sources) -> tuple[str, ast.Module] | None:
    """Path and tree of an agent's code, when its entrypoint is async."""
    manifest = candidate.checked
    if not isinstance(manifest, Agent) or manifest.entrypoint is None:
        return None
    path, name = split_entrypoint(candidate.path, manifest.entrypoint)
    tree = sources.tree(path, candidate.subject) if path in sources.files else None
    is_async = tree is not None and isinstance(_definitions(tree).get(name), ast.AsyncFunctionDef)
    return (path, tree) if tree is not None and is_async else None


def _check_lookup(candidate: Candidate, manifest: Skill, sources: Sources) -> None:
    """A reconcilable skill must say how it is asked, and no other may: nobody would ask it."""
    effect, where = manifest.effect, ("lookup",)
    if effect is not Effect.RECONCILABLE and manifest.lookup is not None:
        fix = f"remove it, or declare `effect: {Effect.RECONCILABLE}`"
        candidate.notes.add(where, f"nobody looks up whether a skill with effect {effect} has acted", fix)
    elif manifest.lookup is not None:
        _check_function(candidate, where, manifest.lookup, _SKILL, sources)
    elif effect is Effect.RECONCILABLE:
        fix = "add `lookup: skill.py:find`; a skill that cannot be asked is unrepeatable"
        candidate.notes.add(("effect",), "a reconcilable skill must say how it is asked whether it has acted", fix)


def _check_function(candidate: Candidate, where: Pointer, entrypoint: str, takes: Takes, sources: Sources) -> None:
    path, name = split_entrypoint(candidate.path, entrypoint)
    if not name.isidentifier() or not path.endswith(".py"):
        what = f"{entrypoint!r} names no function"
        candidate.notes.add(where, what, "write the file beside the manifest and the function: agent.py:run")
        return
    tree = _file(candidate, where, path, sources)
    if tree is not None:
        _check_parameters(candidate, where, tree, (path, name), takes, sources)


def _check_metrics(candidate: Candidate, manifest: Eval, sources: Sources) -> None:
    path, name = split_entrypoint(candidate.path, manifest.entrypoint)
    if name or not path.endswith(".py"):
        what = f"{manifest.entrypoint!r} must be a Python file; each metric names its function"
        candidate.notes.add(_WHERE, what, "write the file beside the manifest: metrics.py")
        return
    tree = _file(candidate, _WHERE, path, sources)
    before: set[str] = set()
    for place, metric in enumerate(manifest.metrics):
        if metric.id in before:
            what = f"the metric {metric.id} stands twice"
            candidate.notes.add(("metrics", place, "id"), what, "give each metric an id of its own")
        elif tree is not None:
            _check_parameters(candidate, ("metrics", place, "id"), tree, (path, metric.id), _METRIC, sources)
        before.add(metric.id)


def _file(candidate: Candidate, where: Pointer, path: str, sources: Sources) -> ast.Module | None:
    if path not in sources.files:
        folder = dirname(candidate.path)
        beside = [one for one in sources.files if dirname(one) == folder and one.endswith(".py")]
        names = [one.rpartition("/")[2] for one in beside]
        fix = did_you_mean(path.rpartition("/")[2], names) or f"add the file {path}, or correct the name"
        candidate.notes.add(where, f"there is no file {path} in the catalog", fix)
        return None
    return sources.tree(path, candidate.subject)


def _check_parameters(
    candidate: Candidate, where: Pointer, tree: ast.Module, named: tuple[str, str], takes: Takes, sources: Sources
) -> None:
    path, name = named
    found = _definitions(tree)
    if name not in found:
        if not _has_star_import(tree):
            fix = did_you_mean(name, list(found)) or f"add `def {name}{takes.written.partition(' or ')[0]}`"
            candidate.notes.add(where, f"{path} has no function {name!r}", fix)
        return
    definition = _followed(found[name], path, sources)
    fault = _fault(definition, takes) if definition is not None else None
    if fault is not None:
        candidate.notes.add(where, f"{name!r} in {path}:{found[name].lineno} {fault}", f"write {name}{takes.written}")


def _definitions(tree: ast.Module) -> dict[str, ast.stmt]:
    """The names that a module defines at its top level, the last definition of each."""
    return {name: statement for statement in _top_level(tree.body) for name in _names(statement)}


def _top_level(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    for statement in body:
        yield statement
        if isinstance(statement, ast.If | ast.Try | ast.With):
            yield from _top_level(statement.body)
            yield from _top_level(getattr(statement, "orelse", []))
            for handler in getattr(statement, "handlers", []):
                yield from _top_level(handler.body)


def _names(statement: ast.stmt) -> Iterator[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        yield statement.name
    elif isinstance(statement, ast.Import | ast.ImportFrom):
        yield from (alias.asname or alias.name.partition(".")[0] for alias in statement.names)
    elif isinstance(statement, ast.Assign | ast.AnnAssign):
        targets = statement.targets if isinstance(statement, ast.Assign) else [statement.target]
        yield from (node.id for target in targets for node in ast.walk(target) if isinstance(node, ast.Name))


def _has_star_import(tree: ast.Module) -> bool:
    statements = _top_level(tree.body)
    return any(isinstance(one, ast.ImportFrom) and one.names[0].name == "*" for one in statements)


def _followed(statement: ast.stmt, path: str, sources: Sources) -> ast.stmt | None:
    """What defines the name: the statement, or what it imports from the file beside it; None where unknown."""
    if not isinstance(statement, ast.ImportFrom):
        return statement if not isinstance(statement, ast.Assign | ast.AnnAssign | ast.Import) else None
    if statement.level != 1 or not statement.module or len(statement.names) != 1:
        return None
    beside = join(dirname(path), statement.module.replace(".", "/") + ".py")
    tree = sources.tree(beside, None) if beside in sources.files else None
    found = _definitions(tree).get(statement.names[0].name) if tree is not None else None
    return found if isinstance(found, Function) else None


def _fault(definition: ast.stmt, takes: Takes) -> str | None:
    if not isinstance(definition, Function):
        return "is a class, not a function" if isinstance(definition, ast.ClassDef) else None
    arguments = definition.args
    positional = [*arguments.posonlyargs, *arguments.args]
    least, most = len(positional) - len(arguments.defaults), len(positional)
    fits = any(least <= count and (count <= most or arguments.vararg) for count in takes.counts)
    forced = [one.arg for one, default in zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True) if not default]
    if not fits or forced:
        shown = ast.unparse(arguments)
        return f"takes ({shown})"
    if any(isinstance(node, ast.Yield | ast.YieldFrom) for node in _own_nodes(definition)):
        return "yields instead of returning"
    if takes is _METRIC and isinstance(definition, ast.AsyncFunctionDef):
        return "is async, and a metric is a plain function"
    return None


def _own_nodes(definition: Function) -> Iterator[ast.AST]:
    """What stands in the function itself, not in functions inside it."""
    waiting: list[ast.AST] = list(definition.body)
    while waiting:
        node = waiting.pop()
        yield node
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda | ast.ClassDef):
            waiting.extend(ast.iter_child_nodes(node))
