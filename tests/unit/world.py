"""Small projects in which everything can be driven from a test: agents and skills as lines of Python.

What acts do outside the product is noted in `WORLD`, which catalog code imports as well.
"""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from copy import copy
from pathlib import Path
from textwrap import dedent, indent
from typing import Any, Final

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App, build
from magsag.domain.facts import Fact, ParkedOn, RunStatus
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import unseal
from magsag.engine.run import Run
from magsag.ports.ledger import Store
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.steps.beginnings import read_run
from magsag.testing import VirtualTime, build_app

Files = Mapping[str, str]
ALLOW: Final = {
    "policies/allow.yaml": """\
kind: policy
schema: 1
rules:
  - {id: tests-may, on: ["skill:idem", "skill:trans", "skill:recon", "skill:once"], verdict: allow}
"""
}


class World:
    """What is outside: effects that happened, and how long acts take."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.on_act: Callable[[str, Any, Any], Any] | None = None
        self.ask: Callable[[Any], Any] = _nothing
        """what a program that depends on the world asks of its `ctx`"""

    def reset(self) -> None:
        """A new world."""
        self.calls.clear()
        self.on_act = None

    def count(self, name: str | None = None) -> Counter[str]:
        """How often each key was used."""
        return Counter(key for called, key in self.calls if name in (None, called))

    async def act(self, name: str, payload: Any, ctx: Any) -> Any:
        """What every skill of these projects does."""
        self.calls.append((name, ctx.idempotency_key))
        if self.on_act is not None:
            result = self.on_act(name, payload, ctx)
            return await result if asyncio.iscoroutine(result) else result
        return payload

    def find(self, name: str, payload: Any, ctx: Any) -> dict[str, Any]:
        """What the lookup of a reconcilable skill answers: whether its key was used."""
        return {"found": True, "output": payload} if self.count(name)[ctx.idempotency_key] else {"found": False}


def _nothing(ctx: Any) -> Any:
    raise AssertionError("the test has not said what to ask")


WORLD: Final = World()


def skill(slug: str, effect: str, code: str | None = None, **manifest: object) -> dict[str, str]:
    """A skill; without code it acts in the `WORLD`. `manifest` adds keys in YAML."""
    acts = (
        "from tests.unit.world import WORLD\n"
        f"async def run(payload, ctx):\n    return await WORLD.act({slug!r}, payload, ctx)\n"
    )
    if effect == "reconcilable":
        manifest = {"lookup": "skill.py:find", **manifest}
        acts += f"async def find(payload, ctx):\n    return WORLD.find({slug!r}, payload, ctx)\n"
    keys = "".join(f"{key}: {value}\n" for key, value in manifest.items())
    return {
        f"skills/{slug}/skill.yaml": (
            f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: {effect}\n{keys}"
        ),
        f"skills/{slug}/skill.py": dedent(code) if code else acts,
    }


def agent(slug: str, body: str, uses: str = "", imports: str = "", **manifest: object) -> dict[str, str]:
    """An agent whose `run(payload, ctx)` has this body."""
    keys = "".join(f"{key}: {value}\n" for key, value in manifest.items())
    return {
        f"agents/main/{slug}/agent.yaml": (
            f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
            f"uses: [{uses}]\n{keys}"
        ),
        f"agents/main/{slug}/agent.py": (
            f"{imports}\nasync def run(payload, ctx):\n{indent(dedent(body).strip(), '    ')}\n"
        ),
    }


def contract(name: str, schema: str) -> dict[str, str]:
    """A contract from its JSON."""
    return {f"contracts/{name}.schema.json": schema}


KINDS: Final[Files] = {
    **skill("pure", "pure"),
    **skill("look", "read"),
    **skill("idem", "idempotent"),
    **skill("trans", "transactional"),
    **skill("recon", "reconcilable"),
    **skill("once", "unrepeatable"),
    **ALLOW,
}
"""one skill of each effect kind, all allowed"""
USES: Final = "skill:pure, skill:look, skill:idem, skill:trans, skill:recon, skill:once"


class Bench:
    """One project, its store, and runs of the agent `main` in virtual time."""

    def __init__(self, folder: Path, files: Files, store: Store | None = None, **settings: Any) -> None:
        self.time = VirtualTime()
        self.apps: list[App] = []
        self.folder, self.files, self.settings = folder, files, settings
        self.store: Store = store or MemoryStore()
        self.app = self.process()

    def process(self, store: Store | None = None) -> App:
        """Another process on the same store, or on the one given."""
        clock = self.time.clock
        app = build_app(self.folder, self.files, store=store or self.store, clock=clock, **self.settings)
        self.apps.append(app)
        return app

    def run(self, payload: object = None, program: str = "agent:main", app: App | None = None) -> RunResult:
        """A run called `r`."""
        return self.time.run((app or self.app).runs.run(Order(program, payload, run_id="r")))

    def resume(self, app: App | None = None) -> RunResult:
        """Drive the run again, in another process when none is given."""
        return self.time.run((app or self.process()).runs.resume(RunId("r")))

    def through(self, payload: object = None) -> RunResult:
        """The run `r` to its end, or until it waits for more than time: another process takes it up when it is due."""
        return self.onward(self.run(payload))

    def onward(self, result: RunResult) -> RunResult:
        """The same of a run that has parked."""
        while result.status is RunStatus.PARKED and all(one.on is ParkedOn.TIME for one in result.reasons):
            due = min(one.due for one in result.reasons if one.due is not None)
            self.time.passed += max(0, due - self.time.clock.now()) / 1e6
            result = self.resume()
        return result

    def on(self, store: Store) -> "Bench":
        """The same project, read already, on another store and in a time of its own."""
        other = copy(self)
        other.time, other.store, other.apps = VirtualTime(), store, []
        other.time.passed = self.time.passed + 1
        other.app = build(self.app.settings, store, other.time.clock)
        other.app.__dict__["catalog"] = self.app.catalog
        other.apps.append(other.app)
        return other

    def close(self) -> None:
        """Let go of all processes."""
        for app in self.apps:
            app.close()

    def state(self, run: str = "r", store: Store | None = None) -> Run:
        """The run as the ledger has it."""
        found = read_run(store or self.store, RunId(run))
        assert found is not None
        return found

    def step(self, id: str, run: str = "r") -> Any:
        """One step as the ledger has it."""
        return self.state(run).steps[StepId(id)]

    def facts(self, run: str = "r", store: Store | None = None) -> list[Fact]:
        """All facts of a run."""
        return [unseal(stored) for stored in (store or self.store).read(RunId(run))]

    def kinds(self, run: str = "r") -> list[str]:
        """The kinds of all facts of a run."""
        return [type(fact).__name__ for fact in self.facts(run)]
