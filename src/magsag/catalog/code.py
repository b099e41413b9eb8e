"""Runs a bundle's Python: from its own frozen files, never from the disk, in modules of its own.

Two bundles of one agent live side by side, because the modules of each stand under a name of their own. A
folder is a package, so `from .bands import lookup` reaches the file beside it. Code objects carry the real
path, for tracebacks and debuggers.
"""

import itertools
import sys
import weakref
from collections.abc import Mapping, Sequence
from importlib import import_module
from importlib.abc import InspectLoader, MetaPathFinder
from importlib.machinery import ModuleSpec
from posixpath import dirname, join, normpath
from threading import Lock
from traceback import extract_tb
from types import CodeType, ModuleType
from typing import Any, Final

from magsag.domain.errors import Invalid
from magsag.domain.frozen import frozen

_serial: Final = itertools.count(1)
_installing: Final = Lock()


@frozen(eq=False)
class FrozenCode:
    """A function of a bundle that is still to be loaded, as its own frozen files have it."""

    files: Mapping[str, bytes]
    """the Python of the bundle, by path"""
    root: str
    """what tracebacks put before the paths"""
    hash: str
    path: str
    function: str


class Modules:
    """The modules of one bundle, made when they are first needed."""

    def __init__(self, files: Mapping[str, bytes], root: str, hash: str) -> None:
        self._files = files
        self._root = root
        self._package = f"magsag_catalog_{hash[:12]}_{next(_serial)}"
        _finder.add(self._package, self)
        weakref.finalize(self, _forget, self._package)

    def module(self, path: str) -> ModuleType:
        """The module of a Python file, executed once. Raises Invalid naming the user's own line."""
        if path not in self._files:
            raise Invalid(f"{self.shown(path)}: there is no such file in the catalog")
        try:
            return import_module(self._name(path))
        except (Exception, SystemExit) as error:
            raise Invalid(self._fault(path, error)) from error

    def shown(self, path: str) -> str:
        """The path as tracebacks show it."""
        return f"{self._root}/{path}" if self._root else path

    def spec(self, name: str) -> ModuleSpec | None:
        """What the import system needs for a module or a folder; None when there is neither."""
        inside = name.removeprefix(self._package).lstrip(".").replace(".", "/")
        path = f"{inside}.py"
        folder = f"{inside}/" if inside else ""
        if inside and path in self._files:
            return ModuleSpec(name, _Loader(self, path), origin=self.shown(path))
        if not any(known.startswith(folder) for known in self._files):
            return None
        spec = ModuleSpec(name, _Loader(self, f"{folder}__init__.py"), is_package=True)
        spec.submodule_search_locations = []
        return spec

    def source(self, path: str) -> bytes:
        return self._files.get(path, b"")

    def _name(self, path: str) -> str:
        return f"{self._package}.{path.removesuffix('.py').replace('/', '.')}"

    def _fault(self, path: str, error: BaseException) -> str:
        if isinstance(error, SyntaxError) and error.filename:
            return f"{error.filename}:{error.lineno}: {error.msg}"
        own = {self.shown(known) for known in self._files}
        lines = [
            f"{frame.filename}:{frame.lineno}" for frame in extract_tb(error.__traceback__) if frame.filename in own
        ]
        said = f"{type(error).__name__}: {error}".rstrip(": ")
        hint = ""
        if isinstance(error, ModuleNotFoundError) and join(dirname(path), f"{error.name}.py") in self._files:
            hint = f"; for the file beside it write `from . import {error.name}`"
        return f"{lines[-1] if lines else self.shown(path)}: {said}{hint}"


class _Loader(InspectLoader):
    """Executes one file of a bundle."""

    def __init__(self, modules: Modules, path: str) -> None:
        self._modules = weakref.proxy(modules)
        self._path = path

    def get_source(self, fullname: str) -> str:
        try:
            source: bytes = self._modules.source(self._path)
        except ReferenceError as error:
            raise ImportError("the bundle of this code is gone") from error
        return source.decode("utf-8", "replace")

    def get_code(self, fullname: str) -> CodeType:
        code: CodeType = compile(
            self._modules.source(self._path), self._modules.shown(self._path), "exec", dont_inherit=True
        )
        return code

    def exec_module(self, module: ModuleType) -> None:
        if not self._path.endswith("__init__.py") or self._modules.source(self._path):
            module.__file__ = self._modules.shown(self._path)
        exec(self.get_code(module.__name__), module.__dict__)


class _Finder(MetaPathFinder):
    """Answers the import system for names that belong to a bundle."""

    def __init__(self) -> None:
        self._known: dict[str, weakref.ref[Modules]] = {}

    def add(self, package: str, modules: Modules) -> None:
        with _installing:
            self._known[package] = weakref.ref(modules)
            if self not in sys.meta_path:
                sys.meta_path.append(self)

    def drop(self, package: str) -> None:
        self._known.pop(package, None)

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        found = self._known.get(fullname.partition(".")[0])
        modules = found() if found else None
        return modules.spec(fullname) if modules else None


_finder: Final = _Finder()


def _forget(package: str) -> None:
    """The bundle is gone: its modules leave with it."""
    _finder.drop(package)
    for name in [name for name in sys.modules if name == package or name.startswith(f"{package}.")]:
        sys.modules.pop(name, None)


def split_entrypoint(manifest_path: str, entrypoint: str) -> tuple[str, str]:
    """`agent.py:run` beside a manifest -> the file's path in the catalog, and the function's name."""
    file, _, function = entrypoint.partition(":")
    return normpath(join(dirname(manifest_path), file)), function


def callable_of(module: ModuleType, function: str, shown: str) -> Any:
    """The function. Raises Invalid when it is missing or cannot be called."""
    found = getattr(module, function, None)
    if not callable(found):
        what = f"there is no function {function!r}" if found is None else f"{function!r} cannot be called"
        raise Invalid(f"{shown}: {what}; the manifest's entrypoint names it")
    return found
