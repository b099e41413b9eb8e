"""Secrets that take their time: nobody waits for them but the step that wants one, and no older one follows a newer."""

import asyncio
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Barrier, Event
from typing import Any

import pytest

from magsag.adapters.secrets import SecretSources
from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.errors import Broken, Invalid, StepFailed
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.large import LARGE_BYTES
from magsag.domain.secret import NoAnswer, SecretReference
from magsag.engine.run import Run
from magsag.ports.ledger import Lease, RunQuery
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.services.gate.secret_reads import Had, SecretReads
from magsag.services.gate.secrets import learn_at_once
from magsag.services.recording.driven import Tree
from magsag.services.recording.masking import RESOLVED
from magsag.services.steps import cleaning
from magsag.testing import History, build_app
from tests.unit.test_secrets import files, keep, told, used
from tests.unit.world import WORLD, Bench, Files, agent, skill

KEPT = {"secrets": "{TOKEN: 'keyring:mail/token'}"}


class Fake:
    """Secrets that may wait."""

    def read(self, reference: SecretReference) -> str:
        raise NoAnswer(f"{reference}: the disk gives no answer; look at it")

    def may_wait(self, reference: SecretReference) -> bool:
        return True

    def version(self, value: str) -> str:
        return "one"


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()
    os.environ.pop("UNIT_TEST_TOKEN", None)


def asking(folder: Path, found: Files, ask: Callable[[str, str], str | None]) -> App:
    """An app whose keyring answers so."""
    app = build_app(folder, found, store=MemoryStore())
    app.__dict__["secrets"] = SecretSources(folder, None, {}, ask)
    return app


async def ran(app: App, program: str, run: str) -> RunResult:
    return await app.runs.run(Order(program, None, run_id=run))


def test_a_keyring_that_lets_us_wait_holds_up_its_own_run_alone(tmp_path: Path) -> None:
    asked, unlocked = Event(), Event()

    def ask(service: str, name: str) -> str:
        asked.set()
        assert unlocked.wait(60)
        return "out-of-the-keyring"

    found = {**skill("look", "read", **KEPT), **agent("main", "return await ctx.skill('look')", "skill:look")}
    app = asking(tmp_path, {**found, **skill("plain", "read"), **agent("other", "return 2")}, ask)

    async def both() -> tuple[RunResult, RunResult]:
        waiting = asyncio.ensure_future(ran(app, "agent:main", "r"))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        other = await ran(app, "agent:other", "o")
        assert not waiting.done()
        unlocked.set()
        return other, await waiting

    assert [one.status for one in asyncio.run(both())] == [RunStatus.SUCCEEDED] * 2


@pytest.mark.parametrize("known", [False, True])
def test_a_step_that_is_given_up_meanwhile_does_not_act(tmp_path: Path, known: bool) -> None:
    unlocked, before = Event(), iter(range(2 * known))

    def ask(service: str, name: str) -> str:
        if next(before, None) is None:
            assert unlocked.wait(60)
        return "out-of-the-keyring"

    body = "await ctx.skill('look')\n" if known else ""
    body += "try:\n    await ctx.timeout(0.05, ctx.skill('idem'))\nexcept StepFailed as error:\n    return error.type"
    found: Files = {**skill("look", "read", **KEPT), **skill("idem", "idempotent", **KEPT)}
    allow = "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:*'], verdict: allow}\n"
    found = {
        **found,
        **agent("main", body, "skill:look, skill:idem", "from magsag import StepFailed"),
        "policies/allow.yaml": allow,
    }
    app = asking(tmp_path, found, ask)
    try:
        assert asyncio.run(ran(app, "agent:main", "r")).output == "timeout"
    finally:
        unlocked.set()
    assert [name for name, _ in WORLD.calls] == ["look"] * known


def test_of_readings_that_overlap_a_change_the_one_that_began_last_counts() -> None:
    class Slow:
        """The first reading ends last, with what was there when it began."""

        def __init__(self) -> None:
            self.read_once, self.go_on, self.count = Event(), Event(), 0

        def read(self, reference: SecretReference) -> str:
            self.count += 1
            if self.count > 1:
                return "the-new-value"
            self.read_once.set()
            assert self.go_on.wait(60)
            return "the-old-value"

        def may_wait(self, reference: SecretReference) -> bool:
            return True

        def version(self, value: str) -> str:
            return value[4:7]

    async def both() -> list[Any]:
        reads = SecretReads(source := Slow())
        first = asyncio.ensure_future(reads.read(["file:token"]))
        while not source.read_once.is_set():
            await asyncio.sleep(0.001)
        second = await reads.read(["file:token?"])
        source.go_on.set()
        return [second["file:token?"], (await first)["file:token"]]

    assert asyncio.run(both()) == [Had("the-new-value", "new")] * 2


@pytest.mark.parametrize("lucky", [1, 2])
def test_of_readings_that_overlap_one_without_a_value_counts_for_nothing(lucky: int) -> None:
    class Torn(Fake):
        """The first reading ends last; the lucky one has the value."""

        def __init__(self) -> None:
            self.read_once, self.go_on, self.count = Event(), Event(), 0

        def read(self, reference: SecretReference) -> str:
            self.count = number = self.count + 1
            if number == 1:
                self.read_once.set()
                assert self.go_on.wait(60)
            if number == lucky:
                return "the-new-value"
            raise Invalid("it is empty")

    async def both() -> Any:
        reads = SecretReads(source := Torn())
        first = asyncio.ensure_future(reads.read(["file:token"]))
        while not source.read_once.is_set():
            await asyncio.sleep(0.001)
        await reads.read(["file:token"])
        source.go_on.set()
        return (await first)["file:token"], (await reads.read(["file:token"]))["file:token"]

    had, after = asyncio.run(both())
    assert had == Had("the-new-value", "one")
    assert isinstance(after, Invalid), "what began later had nothing"


def test_what_has_no_answer_is_waited_for_side_by_side(tmp_path: Path) -> None:
    class Together(Fake):
        """Gives no answer before all are asked."""

        def __init__(self) -> None:
            self.all = Barrier(3)

        def read(self, reference: SecretReference) -> str:
            self.all.wait(60)
            return super().read(reference)

    source = Together()
    answers = asyncio.run(SecretReads(source).read(["file:a", "file:b", "keyring:c/d"]))
    assert all(isinstance(one, NoAnswer) for one in answers.values())
    found = {**skill("look", "read", secrets="{A: 'file:a', B: 'file:b', C: 'file:c'}"), **agent("main", "return 1")}
    app = build_app(tmp_path, found, store=MemoryStore())
    learn_at_once(source, app.bundles.current())


def test_steps_side_by_side_share_a_slow_reading(tmp_path: Path) -> None:
    body = "return len(await ctx.gather(*(ctx.skill('look', {'n': n}) for n in range(6))))"
    found = {**skill("look", "read", secrets="{TOKEN: 'file:token'}"), **agent("main", body, "skill:look")}
    (tmp_path / "token").write_text("a-token-in-a-file")
    (tmp_path / "token").chmod(0o600)
    app = build_app(tmp_path, found, store=MemoryStore())
    assert asyncio.run(ran(app, "agent:main", "r")).output == 6


def test_nothing_is_recorded_or_driven_while_a_disk_gives_no_answer(tmp_path: Path) -> None:
    class Disk(Fake):
        answers = False

        def read(self, reference: SecretReference) -> str:
            return "what-the-disk-holds" if self.answers else super().read(reference)

    body = "await ctx.wait_for('go')\nreturn 1"
    made = Bench(
        tmp_path, {**skill("look", "read", secrets="{TOKEN: 'file:token?'}"), **agent("main", body, "skill:look")}
    )
    made.app.__dict__["secrets"] = disk = Disk()
    with pytest.raises(Broken, match=r"secret file:token: the disk gives no answer; .* nothing is recorded"):
        made.run({"a": "what-the-disk-holds"})
    assert made.app.store.rows(RunQuery()) == []
    disk.answers = True
    with pytest.raises(Invalid, match="holds the secret TOKEN at /a"):
        made.run({"a": "what-the-disk-holds"})
    assert made.run().status is RunStatus.PARKED
    disk.answers = False
    made.app.events.signal(RunId("r"), "go", None, "ann")
    with pytest.raises(Broken, match="no answer"):
        made.resume(made.app)
    disk.answers = True
    assert made.resume(made.app).output == 1


def test_a_secret_that_is_learnt_while_a_value_is_looked_into_is_looked_for_too() -> None:
    class Late(dict[str, int]):
        """Another run learns a secret just when the copy without the one that was known comes by."""

        def items(self) -> Any:
            RESOLVED.add("LATE", "learnt-meanwhile")
            return super().items()

    RESOLVED.add("EARLY", "learnt-before-all")
    value = ["learnt-meanwhile", Late(), *("x" for _ in range(2_000)), "learnt-before-all"]
    found = asyncio.run(cleaning.cleaned(value))
    assert (found[0], found[-1]) == ("[secret LATE]", "[secret EARLY]")


def test_a_large_value_is_not_taken_for_one_that_was_looked_into(tmp_path: Path) -> None:
    RESOLVED.add("EARLY", "learnt-before-all")
    values, id = build_app(tmp_path, agent("main", "return 1"), store=MemoryStore()).values, RunId("r")
    tree, run = Tree(id, Lease(id, "me", 1)), Run(id)
    _, kept = values.encode(tree, run, ["learnt-before-all", "x" * LARGE_BYTES], "output")
    with pytest.raises(StepFailed, match="holds the secret EARLY at /0/0"):
        values.encode(tree, run, [kept], "input", may_not_leak=True)


def test_what_changed_while_a_run_waited_is_known_before_its_program_tells_it(tmp_path: Path) -> None:
    keep("what-it-was-before")
    body = "import os\nawait ctx.wait_for('go')\nreturn {'told': os.environ['UNIT_TEST_TOKEN']}"
    made = Bench(tmp_path, files(body, look="read"))
    assert made.run().status is RunStatus.PARKED
    keep("what-it-became-since")
    made.app.events.signal(RunId("r"), "go", None, "ann")
    assert made.resume().output == {"told": "[secret TOKEN]"}
    assert "what-it-became-since" not in told(made)
    assert used(made) == []


def test_an_input_that_holds_what_was_read_for_its_act_goes_no_further(tmp_path: Path) -> None:
    values = iter(["the-first-of-both", "another-in-between", "the-second-of-both"])
    body = "await ctx.skill('look')\nreturn await ctx.skill('look', {'a': "
    body += "'dnoces-eht'[::-1] + '-of-both'})"
    found = {**skill("look", "read", **KEPT), **agent("main", body, "skill:look")}
    app = asking(tmp_path, found, lambda service, name: next(values))
    result = asyncio.run(ran(app, "agent:main", "r"))
    assert result.error is not None
    assert "input of step look#2 holds the secret TOKEN at /a" in result.error.message
    assert [name for name, _ in WORLD.calls] == ["look"]
    kept = b"".join((one.input or b"") + (one.output or b"") + one.body for one in app.store.read(RunId("r")))
    assert b"the-second-of-both" not in kept


ALLOW = "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:*'], verdict: allow}\n"


def begun(folder: Path, body: str) -> Bench:
    """A run whose process died right after the intent of `idem`."""
    found = {**skill("idem", "idempotent", **KEPT), "policies/allow.yaml": ALLOW}
    made = Bench(folder, {**found, **agent("main", body, "skill:idem", "from magsag import StepFailed")})
    made.app.__dict__["secrets"] = SecretSources(folder, None, {}, lambda service, name: "as-it-was-before")
    history = History(made.app)
    made.run()
    WORLD.calls.clear()
    at = [type(fact).__name__ for _, fact in history.facts].index("StepStarted")
    return made.on(history.cut(at + 1))


def test_an_act_that_is_begun_again_is_handed_what_its_secret_is_by_then(tmp_path: Path) -> None:
    values, seen = iter(["as-it-was-before", "as-it-is-by-now"]), list[str]()
    made = begun(tmp_path, "return await ctx.skill('idem')")
    made.app.__dict__["secrets"] = SecretSources(tmp_path, None, {}, lambda service, name: next(values))
    WORLD.on_act = lambda name, payload, ctx: seen.append(ctx.secret("TOKEN"))
    assert made.resume(made.app).status is RunStatus.SUCCEEDED
    assert seen == ["as-it-is-by-now"]
    assert len(used(made)) == 2


def test_an_act_that_is_begun_again_without_its_secret_is_a_doubt(tmp_path: Path) -> None:
    made = begun(tmp_path, "return await ctx.skill('idem')")
    made.app.__dict__["secrets"] = SecretSources(tmp_path, None, {}, lambda service, name: None)
    (reason,) = made.resume(made.app).reasons
    assert reason.on is ParkedOn.DOUBT
    assert reason.reason.endswith("; an attempt before this one may have acted")
    assert WORLD.calls == []


def test_an_act_that_may_be_under_way_is_given_up_only_once_it_has_its_secret(tmp_path: Path) -> None:
    unlocked, before = Event(), iter(range(3))

    def ask(service: str, name: str) -> str:
        if next(before, None) is None:
            assert unlocked.wait(60)
        return "out-of-the-keyring"

    body = "try:\n    await ctx.timeout(1, ctx.skill('idem'))\nexcept StepFailed as error:\n    return error.type"
    found = {**skill("idem", "idempotent", **KEPT), "policies/allow.yaml": ALLOW}
    found = {**found, **agent("main", body, "skill:idem", "from magsag import StepFailed")}
    first = asking(tmp_path, found, ask)
    history = History(first)
    asyncio.run(ran(first, "agent:main", "r"))
    at = [type(fact).__name__ for _, fact in history.facts].index("StepStarted")
    app = build_app(tmp_path, found, store=history.cut(at + 1))
    app.__dict__["secrets"] = SecretSources(tmp_path, None, {}, ask)

    async def resumed() -> RunResult:
        asyncio.get_running_loop().call_later(1.2, unlocked.set)
        return await app.runs.resume(RunId("r"))

    assert asyncio.run(resumed()).output == "timeout"
    assert [name for name, _ in WORLD.calls] == ["idem", "idem"]
    assert len({key for _, key in WORLD.calls}) == 1


def test_a_leg_that_stops_waits_for_no_keyring(tmp_path: Path) -> None:
    asked, unlocked, before = Event(), Event(), iter([1])

    def ask(service: str, name: str) -> str:
        if next(before, None) is None:
            asked.set()
            assert unlocked.wait(60)
        return "out-of-the-keyring"

    app = asking(
        tmp_path, {**skill("look", "read", **KEPT), **agent("main", "await ctx.skill('look')", "skill:look")}, ask
    )

    async def stopped() -> None:
        stop = asyncio.Event()
        await app.runs.start(Order("agent:main", None, run_id="r"))
        driving = asyncio.ensure_future(app.drive.drive(RunId("r"), stop))
        while not asked.is_set():
            await asyncio.sleep(0.001)
        stop.set()
        await driving
        assert WORLD.calls == []
        unlocked.set()

    asyncio.run(stopped())
    assert asyncio.run(app.runs.resume(RunId("r"))).status is RunStatus.SUCCEEDED


def test_an_input_that_holds_nothing_of_what_was_read_for_its_act_goes_on(tmp_path: Path) -> None:
    values = iter(["the-first-of-two", "the-first-of-two", "the-second-of-two"])
    found = {
        **skill("look", "read", **KEPT),
        **agent("main", "await ctx.skill('look')\nawait ctx.skill('look', 1)\nreturn 2", "skill:look"),
    }
    app = asking(tmp_path, found, lambda service, name: next(values))
    assert asyncio.run(ran(app, "agent:main", "r")).output == 2
