"""Reasons and conditions that people type: one that holds a declared secret is refused, and nothing is recorded."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from typing import Final

import pytest

from magsag.domain.approval import Acting, Answer, Proof, Reach, TicketState
from magsag.domain.breaking import BreakerState
from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.ports.ledger import TicketQuery
from magsag.services.driving.runs import Order
from magsag.services.people.approvals import Decision
from magsag.services.people.standing_approvals import Beforehand
from magsag.services.steps.throttles import ThrottleStates
from tests.unit.test_approvals import PEOPLE
from tests.unit.world import WORLD, Bench, agent, skill

MARIA: Final = Acting("maria", Proof.OS_USER)
ASK = """
kind: policy
schema: 1
rules:
  - {id: a-look, on: ["skill:plain"], verdict: ask, approval: {quorum: 1, ttl: 1h}}
"""
BARE = {
    **skill("plain", "read"),
    **agent("main", "return await ctx.skill('plain', 1)", "skill:plain"),
    **agent("bad", 'raise ValueError("boom")', breaker="{failures: 1, open: 1h}"),
    "people.yaml": PEOPLE,
    "policies/ask.yaml": ASK,
}
FILES = {**BARE, **skill("look", "read", secrets="{TOKEN: env:UNIT_TEST_TOKEN}")}
_PASTED = count(1)
Refusing = Callable[[str, Callable[[str], object]], None]


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    """Its catalog declares a secret."""
    return Bench(tmp_path, FILES, actor="tester")


@pytest.fixture
def refused(monkeypatch: pytest.MonkeyPatch) -> Refusing:
    """Hands in a text with the declared secret, which this process has not read yet."""

    def tried(what: str, hand_in: Callable[[str], object]) -> None:
        monkeypatch.setenv("UNIT_TEST_TOKEN", secret := f"pasted-by-somebody-{next(_PASTED)}")
        with pytest.raises(Invalid, match=f"{what} holds the secret TOKEN") as caught:
            hand_in(f"it is '{secret}' now")
        assert secret not in str(caught.value)

    return tried


def ticket(bench: Bench) -> str:
    assert bench.run().status is RunStatus.PARKED
    return bench.app.approvals.list(TicketQuery(waiting=True))[0].id


def yes(bench: Bench, id: str, when: str = "") -> None:
    ahead = Beforehand(Reach.AGENT, 60.0, when)
    bench.app.approvals.decide(id, Decision(MARIA, Answer.APPROVE, standing=ahead))


def test_the_condition_of_a_standing_approval(bench: Bench, refused: Refusing) -> None:
    id = ticket(bench)
    refused("--when", lambda text: yes(bench, id, f'input == "{text}"'))
    assert bench.app.approvals.show(id).state is TicketState.OPEN
    assert bench.app.standing_approvals.list() == []


def test_the_reason_why_one_is_revoked(bench: Bench, refused: Refusing) -> None:
    yes(bench, ticket(bench))
    (made,) = bench.app.standing_approvals.list()
    refused("the reason", lambda text: bench.app.standing_approvals.revoke(made.id, MARIA, text))
    assert not bench.app.standing_approvals.list()[0].is_revoked


def test_the_reason_why_a_breaker_is_closed(bench: Bench, refused: Refusing) -> None:
    bench.time.run(bench.app.runs.run(Order("agent:bad", None, run_id="b")))
    refused("the reason", lambda text: bench.app.breakers.close("agent:bad", MARIA, text))
    assert state(bench) is BreakerState.OPEN


def test_a_secret_that_only_the_run_declared_whose_call_had_opened_it(
    bench: Bench, tmp_path: Path, refused: Refusing
) -> None:
    bench.time.run(bench.app.runs.run(Order("agent:bad", None, run_id="b")))
    today = Bench(tmp_path / "today", BARE, bench.store)
    refused("the reason", lambda text: today.app.breakers.close("agent:bad", MARIA, text))
    assert state(bench) is BreakerState.OPEN


def test_the_reason_of_a_cap(bench: Bench, refused: Refusing) -> None:
    refused("the reason", lambda text: bench.app.caps.set("day", "usd", "5", MARIA, text))
    assert bench.app.caps.history() == []


def state(bench: Bench) -> BreakerState:
    found = ThrottleStates(bench.store).view("agent:bad")
    assert found is not None
    return found.state
