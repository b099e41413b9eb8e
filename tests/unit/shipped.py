"""The shipped catalog in tests: its manifests, contracts and functions, and a `ctx` that runs them in memory.

`Company` keeps to what a manifest declares, as the gate does: nothing outside `uses`, contracts at every border.
"""

import asyncio
import importlib
import inspect
import sys
from collections.abc import Callable, Coroutine, Mapping
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from types import MappingProxyType, ModuleType
from typing import Any, Final

from magsag.catalog.contracts import Contract
from magsag.catalog.reading import read
from magsag.domain.context import Collected
from magsag.domain.errors import StepFailed
from magsag.domain.manifests import KINDS, Agent, Manifest, Skill

ROOT: Final = Path(__file__).parents[2] / "catalog"
NOW: Final = datetime(2031, 4, 1, 9, 30, tzinfo=UTC)
NONE: Final[Mapping[str, object]] = MappingProxyType({})


def values(path: Path) -> Any:
    """The values of a YAML or JSON file."""
    document = read(path.name, path.read_bytes())
    assert not document.faults, f"{path}: {document.faults}"
    return document.value


@cache
def manifest(path: Path) -> Manifest:
    found = values(path)
    return KINDS[found["kind"]].model_validate(found)


@cache
def contract(name: str, root: Path = ROOT) -> Contract:
    def lookup(wanted: str) -> object:
        path = root / "contracts" / f"{wanted}.schema.json"
        return values(path) if path.exists() else None

    assert lookup(name) is not None, f"there is no contract {name}"
    return Contract.load(name, lookup)


def problems(name: str, value: object) -> str:
    """What breaks the contract, in one text; empty when nothing does."""
    return "; ".join(f"{pointer} {message}" for pointer, message in contract(name).problems(value))


@cache
def module(path: Path) -> ModuleType:
    """A catalog file as a module; relative imports find the files beside it."""
    package = "shipped_" + path.parent.as_posix().replace("/", "_").replace("-", "_").replace(".", "_")
    if package not in sys.modules:
        sys.modules[package] = ModuleType(package)
        sys.modules[package].__path__ = [str(path.parent)]
    return importlib.import_module(f"{package}.{path.stem}")


def function(folder: Path, entrypoint: str) -> Callable[..., Any]:
    file, _, name = entrypoint.partition(":")
    found: Callable[..., Any] = getattr(module(folder / file), name)
    return found


def skill(slug: str) -> Callable[..., Any]:
    return function(ROOT / "skills" / slug, "skill.py:run")


class Company:
    """A `ctx`, with all agents and skills of one catalog behind it."""

    def __init__(
        self, root: Path = ROOT, failing: frozenset[str] = frozenset(), answers: Mapping[str, object] = NONE
    ) -> None:
        self.root = root
        self.failing = failing
        """slugs that raise instead of running"""
        self.answers = answers
        """slug -> what it gives instead of running"""
        self.calls: list[str] = []
        self.run_id = "run-1"
        self.idempotency_key = "key-1"
        self._uses: list[tuple[str, ...]] = []

    def run(self, slug: str, payload: object) -> Any:
        """Run an agent from outside."""
        return asyncio.run(self._agent(slug, payload))

    async def skill(self, ref: str, payload: object) -> Any:
        self._allowed("skill", ref)
        folder = self.root / "skills" / ref
        found = manifest(folder / "skill.yaml")
        assert isinstance(found, Skill)
        return await self._run(found, folder, payload)

    async def delegate(self, ref: str, payload: object) -> Any:
        self._allowed("agent", ref)
        return await self._agent(ref, payload)

    async def call(self, work: Callable[..., Any], *args: Any) -> Any:
        return work(*args)

    async def gather(self, *calls: Coroutine[Any, Any, Any], on_error: str = "fail") -> Any:
        ends = await asyncio.gather(*calls, return_exceptions=on_error == "collect")
        if on_error == "fail":
            return list(ends)
        errors = [
            {"index": index, "type": "raised", "message": str(end), "details": {}}
            for index, end in enumerate(ends)
            if isinstance(end, Exception)
        ]
        return Collected([end for end in ends if not isinstance(end, BaseException)], errors)

    async def map(self, work: Callable[[Any], Coroutine[Any, Any, Any]], items: list[Any], *, concurrency: int) -> Any:
        assert concurrency > 0
        return await self.gather(*(work(item) for item in items))

    def now(self) -> datetime:
        return NOW

    def log(self, message: str, **fields: object) -> None:
        assert message

    async def _agent(self, slug: str, payload: object) -> Any:
        (folder,) = (self.root / "agents").glob(f"*/{slug}")
        found = manifest(folder / "agent.yaml")
        assert isinstance(found, Agent)
        company = Company(self.root, self.failing, self.answers)
        company.calls = self.calls
        company._uses = [*self._uses, found.uses]
        return await company._run(found, folder, payload)

    async def _run(self, found: Agent | Skill, folder: Path, payload: object) -> Any:
        slug, entrypoint = found.slug, found.entrypoint
        assert entrypoint
        self.calls.append(slug)
        self._meets("input_contract", found.contracts.input, payload)
        if slug in self.failing:
            raise RuntimeError(f"{slug} is out of order")
        output = self.answers[slug] if slug in self.answers else await self._perform(folder, entrypoint, payload)
        self._meets("output_contract", found.contracts.output, output)
        return output

    async def _perform(self, folder: Path, entrypoint: str, payload: object) -> Any:
        work = function(folder, entrypoint)
        result = work(payload, self) if len(inspect.signature(work).parameters) == 2 else work(payload)
        return await result if inspect.isawaitable(result) else result

    def _meets(self, type: str, name: str | None, value: object) -> None:
        assert name, "every border of the shipped catalog has a contract"
        if broken := contract(name, self.root).problems(value):
            raise StepFailed(type, f"{name}: {broken[0].pointer} {broken[0].message}")

    def _allowed(self, kind: str, slug: str) -> None:
        allowed = {reference.partition("@")[0] for reference in self._uses[-1]}
        assert f"{kind}:{slug}" in allowed, f"{kind}:{slug} is called, but `uses` does not name it"
