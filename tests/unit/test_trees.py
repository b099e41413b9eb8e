"""How run trees look: as text, and live while a run is driven."""

import io
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StoreBroken
from magsag.domain.facts import (
    Decision,
    Fact,
    ParkedOn,
    ParkReason,
    Proposal,
    RunParked,
    RunStatus,
    StepHeld,
    StepInDoubt,
    StepSkipped,
    Verdict,
)
from magsag.domain.ids import RunId, StepId
from magsag.engine.chain import unseal
from magsag.engine.run import Run
from magsag.ports.ledger import Store
from magsag.services.insight.insight import Insight
from magsag.services.insight.tree import TreeNode
from magsag.services.insight.watch import Watch
from magsag.surfaces.cli.live import live
from magsag.surfaces.cli.trees import ASCII, SIBLINGS, UNICODE, Pen, draw, lines_of, pen_for
from tests.unit.ledgers import BEGIN, MS, answer, began, done, ended, error, failed, offer, put, started, succeeded

CHILD = RunId("offer.g1.0/advisor-sag#1")
ASKS = Verdict(Decision.ASK, "offer-above-band", "policies/offers.yaml:5", "too much", "f" * 64)
HELD = StepHeld(
    at=BEGIN + 9 * MS, step=StepId("send#1"), proposal=Proposal("skill", "skill:send@1.0.0", Effect.RECONCILABLE),
    verdict=ASKS, attempt=1, input=b"{}",
)  # fmt: skip
PARKED = RunParked(
    at=BEGIN + 10 * MS, on=ParkedOn.APPROVAL, due=BEGIN,
    reasons=(ParkReason(ParkedOn.APPROVAL, StepId("send#1"), "skill:send asks"),),
)  # fmt: skip


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    encoding = "utf-8"

    def isatty(self) -> bool:
        return True


class Pipe(io.StringIO):
    """A stream to a log."""

    encoding = "utf-8"


class Ticks:
    """A clock that stands where it is put."""

    at = BEGIN

    def now(self) -> int:
        return self.at

    def chance(self, count: int) -> bytes:
        return bytes(count)


class Failing(Insight):
    """Over a ledger that cannot be read."""

    def fold(self, run: RunId) -> Run | None:
        raise StoreBroken("the disk is gone")


def tree(*facts: Fact) -> TreeNode:
    store = MemoryStore()
    put(store, "r", *facts)
    return Insight(store).tree(RunId("r"))


def drawn(*facts: Fact) -> list[str]:
    return lines_of(tree(*facts), UNICODE)


def told_of(store: Store, *ids: str) -> list[tuple[RunId, Fact]]:
    """The facts of these runs in the order of time, as a driver tells them."""
    found = [(RunId(id), unseal(stored)) for id in ids for stored in store.read(RunId(id))]
    return sorted(found, key=lambda item: item[1].at)


def test_a_tree_is_drawn_with_a_line_for_each_step() -> None:
    assert lines_of(Insight(offer()).tree(RunId("offer")), UNICODE) == [
        "offer-mag 0.1.0   run offer   ✓ succeeded   800 ms   1,204 tokens",
        "├─ ✓ task-split      pure              10 ms",
        "├─ ✓ advisor-sag     agent            610 ms   1,204 tokens",
        "│  ├─ ✓ band-lookup  read              40 ms",
        "│  └─ ✓ model smart  read             560 ms   1,204 tokens",
        "└─ ✓ merge           pure              10 ms",
    ]


def test_a_tree_can_be_drawn_in_plain_letters() -> None:
    lines = lines_of(Insight(offer()).tree(RunId("offer")), ASCII)
    assert lines[1] == "|- [ok] task-split      pure              10 ms"
    assert lines[5] == "`- [ok] merge           pure              10 ms"
    assert "".join(lines).isascii()


@pytest.mark.parametrize(
    ("encoding", "pen"), [("utf-8", UNICODE), ("ascii", ASCII), ("latin-1", ASCII), (None, ASCII), ("no-such", ASCII)]
)
def test_plain_letters_are_for_streams_that_can_write_no_others(encoding: str | None, pen: object) -> None:
    stream: io.StringIO = type("Stream", (io.StringIO,), {"encoding": encoding})()
    assert pen_for(stream) is pen


def test_a_held_step_names_the_rule_and_a_parked_run_what_would_wake_it() -> None:
    lines = drawn(began(), HELD, PARKED)
    assert lines[0] == "a 1.0.0   run r   ⏸ parked   10 ms"
    assert lines[1].endswith("   held   ask  offer-above-band (offers.yaml:5)")
    assert lines[1].startswith("└─ ⏸ send  reconcilable")
    assert lines[2] == "   waits for approval: step send#1: skill:send asks"
    assert "magsag run cancel r" in lines[3]


def test_a_failure_says_its_type_and_the_first_line_of_its_message() -> None:
    bad = failed("pay#1", ErrorType.DENIED, target="skill:pay@1.0.0", message="denied by rule x\nand more")
    lines = drawn(began(), bad, ended(RunStatus.DENIED, error("denied", "denied by rule x")))
    assert lines[0].endswith("✗ denied   1.0 s   denied: denied by rule x")
    assert lines[1] == "└─ ✗ pay  pure              10 ms   failed   denied: denied by rule x"


@pytest.mark.parametrize(
    ("facts", "mark", "word"),
    [
        ((StepSkipped(at=BEGIN, step=StepId("a"), why="no"),), "⊘", "skipped"),
        ((started("a#1", "skill:a@1.0.0", Effect.UNREPEATABLE),), "⏵", ""),
        (
            (
                started("a#1", "skill:a@1.0.0", Effect.UNREPEATABLE),
                StepInDoubt(at=BEGIN, step=StepId("a#1"), reason="crash"),
            ),
            "?",
            "in doubt",
        ),
    ],
)
def test_each_status_has_a_mark_and_a_word_unless_the_mark_says_it(
    facts: tuple[Fact, ...], mark: str, word: str
) -> None:
    line = drawn(began(), *facts)[1]
    assert f"└─ {mark} a" in line
    assert line.endswith(word)


@pytest.mark.parametrize("pen", [UNICODE, ASCII])
def test_a_delegation_whose_run_is_partial_says_so(pen: Pen) -> None:
    store = MemoryStore()
    put(store, "r", began(), started("b#1", "agent:b@1.0.0"), succeeded("b#1"), ended(RunStatus.PARTIAL))
    put(store, "r.b#1", began(parent="r.b#1"), ended(RunStatus.PARTIAL), root="r")
    lines = lines_of(Insight(store).tree(RunId("r")), pen)
    assert [line.endswith("partial") for line in lines] == [False, True]


@pytest.mark.parametrize(
    ("took", "said"), [(0, "0.0 ms"), (9, "9.0 ms"), (12, "12 ms"), (1_500, "1.5 s"), (90_000, "1.5 min")]
)
def test_times_are_written_in_a_unit_that_fits(took: int, said: str) -> None:
    assert drawn(began(), done("a#1", "skill:a@1.0.0", at=100_000, took=took), ended(at=100_000))[1].endswith(said)


def test_of_very_many_steps_the_first_and_all_that_went_wrong_are_drawn() -> None:
    many = [done(f"m1.{index}/a#1", "skill:a@1.0.0") for index in range(1_000)]
    bad = failed("m1.1000/a#1", target="skill:a@1.0.0")
    lines = drawn(began(), *many, bad, ended(RunStatus.PARTIAL, at=300))
    assert len(lines) == 1 + SIBLINGS + 1
    assert lines[1].startswith("├─ ✓ a [0] ")
    assert lines[-2].startswith("├─ ✗ a [1000]")
    assert lines[-1] == "└─ and 961 more that succeeded"


def test_colours_are_for_terminals_that_want_them(monkeypatch: pytest.MonkeyPatch) -> None:
    node = Insight(offer()).tree(RunId("offer"))
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert "\x1b[32m✓\x1b[0m" in draw(node, Terminal())
    assert "\x1b[" not in draw(node, Pipe())
    monkeypatch.setenv("NO_COLOR", "1")
    assert "\x1b[" not in draw(node, Terminal())


def test_a_watch_shows_what_the_ledger_shows_afterwards() -> None:
    store = offer()
    watch = Watch(Insight(MemoryStore()), Ticks())
    for id, fact in told_of(store, "offer", CHILD):
        watch.hear(id, fact)
    assert watch.tree() == Insight(store).tree(RunId("offer"))


def test_a_watch_that_heard_nothing_has_nothing_to_show() -> None:
    assert Watch(Insight(MemoryStore()), Ticks()).tree() is None


def test_a_watch_counts_the_time_of_what_is_under_way() -> None:
    clock = Ticks()
    watch = Watch(Insight(MemoryStore()), clock)
    for fact in (began(), started("b#1", "agent:b@1.0.0", at=50)):
        watch.hear(RunId("r"), fact)
    clock.at = BEGIN + 90 * MS
    found = watch.tree()
    assert found is not None
    assert (found.ms, found.children[0].ms) == (90, 40)


def test_a_watch_of_a_resumed_run_shows_what_came_before() -> None:
    store = MemoryStore()
    begun = (began(), done("a#1", "skill:a@1.0.0"), started("b#1", "agent:b@1.0.0"), started("c#1", "agent:c@1.0.0"))
    put(store, "r", *begun)
    put(store, "r.b#1", began(parent="r.b#1"), done("x#1", "skill:x@1.0.0"), ended(), root="r")
    put(store, "r.c#1", began(parent="r.c#1"), done("y#1", "skill:y@1.0.0"), root="r")
    watch = Watch(Insight(store), Ticks())
    watch.hear(RunId("r"), succeeded("b#1"))
    watch.hear(RunId("r.c#1"), done("z#1", "skill:z@1.0.0"))
    found = watch.tree()
    assert found is not None
    assert [(node.name, [below.name for below in node.children]) for node in found.children] == [
        ("a", []), ("b", ["x"]), ("c", ["y", "z"]),
    ]  # fmt: skip


def test_a_run_does_not_fail_for_being_watched() -> None:
    watch = Watch(Failing(MemoryStore()), Ticks())
    watch.hear(RunId("r"), succeeded("b#1"))
    watch.hear(RunId("s"), began())
    watch.hear(RunId("s"), succeeded("b#1"))
    found = watch.tree()
    assert found is not None
    assert (found.run, found.children[0].status) == ("s", "new")


def test_on_a_pipe_each_step_has_a_line_when_it_starts_and_when_it_ends() -> None:
    stream, watch = Pipe(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        for id, fact in told_of(offer(), "offer", CHILD):
            watch.hear(id, fact)
    assert stream.getvalue().splitlines() == [
        "offer-mag 0.1.0   run offer   ⏵ running",
        "  ✓ task-split  pure              10 ms",
        "  ⏵ advisor-sag  agent",
        "    ✓ band-lookup  read              40 ms",
        "  ✓ advisor-sag  agent            610 ms",
        "    ✓ model smart  read             560 ms   1,204 tokens",
        "  ✓ merge  pure              10 ms",
        "offer-mag 0.1.0   run offer   ✓ succeeded   800 ms",
    ]


def test_on_a_pipe_a_run_that_parks_says_what_it_waits_for() -> None:
    stream, watch = Pipe(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        for fact in (began(), HELD, PARKED):
            watch.hear(RunId("r"), fact)
    assert "waits for approval: step send#1: skill:send asks" in stream.getvalue()


def test_after_the_body_nothing_is_told_any_more() -> None:
    stream, watch = Pipe(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        watch.hear(RunId("r"), began())
    watch.hear(RunId("r"), ended())
    assert len(stream.getvalue().splitlines()) == 1


def test_a_reader_that_went_away_does_not_stop_a_run() -> None:
    stream, watch = Pipe(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        stream.close()
        watch.hear(RunId("r"), began())
    assert watch.tree() is not None


def test_on_a_terminal_the_last_picture_is_the_whole_tree(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.setenv("COLUMNS", "120")
    stream, watch = Terminal(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        for id, fact in told_of(offer(), "offer", CHILD):
            watch.hear(id, fact)
    shown = stream.getvalue()
    assert "\x1b[?25l" in shown
    assert [line in shown for line in ("offer-mag 0.1.0", "band-lookup", "merge", "1,204 tokens")] == [True] * 4


def test_a_terminal_that_cannot_redraw_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    stream, watch = Terminal(), Watch(Insight(MemoryStore()), Ticks())
    with live(watch, stream):
        watch.hear(RunId("r"), began())
    assert "\x1b[?25l" not in stream.getvalue()
    assert "running" in stream.getvalue()


def test_a_ledger_that_fails_costs_a_picture_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream, watch = Terminal(), Watch(Failing(MemoryStore()), Ticks())
    with live(watch, stream):
        watch.hear(RunId("r"), began())
        watch.hear(RunId("r"), started("b#1", "agent:b@1.0.0"))
    assert "disk is gone" not in stream.getvalue()


def test_tokens_of_a_live_answer_are_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    watch = Watch(Insight(MemoryStore()), Ticks())
    heard: list[Any] = []
    watch.told = lambda node, depth: heard.append((node.name, node.tokens, depth))
    watch.hear(RunId("r"), began())
    watch.hear(RunId("r"), done("smart#1", "model:smart", Effect.READ, output=answer()))
    assert heard == [("a 1.0.0", 0, 0), ("model smart", 120, 1)]
