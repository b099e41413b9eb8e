"""B11: decisions of people, given by four processes at once, each on tickets of its own; each is synced."""

import multiprocessing
from collections.abc import Sequence
from multiprocessing.synchronize import Barrier
from pathlib import Path
from time import perf_counter
from typing import Final

import floors
from measure import Row, row
from peer_programs import Peers
from product import Loop, folder, once

from magsag.app import App, build
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.facts import RunStatus
from magsag.domain.settings import Settings
from magsag.ports.ledger import TicketQuery
from magsag.services.people.approvals import Decision

PROCESSES: Final = 4
TICKETS: Final = 100
"""for each of them"""
_FILES: Final = {
    "agents/main/asker-mag/agent.yaml": (
        "kind: agent\nschema: 1\nslug: asker-mag\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        "uses: [skill:act]\n"
    ),
    "agents/main/asker-mag/agent.py": 'async def run(payload, ctx):\n    return await ctx.skill("act", payload)\n',
    "skills/act/skill.yaml": (
        "kind: skill\nschema: 1\nslug: act\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: unrepeatable\n"
    ),
    "skills/act/skill.py": "def run(payload, ctx):\n    return payload\n",
    "people.yaml": "kind: people\nschema: 1\npeople:\n  - {id: maria, proof: os_user}\n",
}


def approvals(rounds: int, _: Peers) -> list[Row]:
    """Decisions per second; the floor are commits of one process, one after the other."""
    found = [_decided() for _ in range(rounds)]
    bare = floors.BareCommits(folder())
    floor = [1 / bare.seconds_each(200) for _ in range(rounds)]
    what = f"approvals decided by {PROCESSES} processes (floor: bare commits of one)"
    return [row("B11", what, "per s", found, 1000, floor=floor, at_least=True)]


def _decided() -> float:
    place = Path(folder())
    for path, text in _FILES.items():
        file = place / "catalog" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    tickets = _opened(place)
    forked = multiprocessing.get_context("fork")
    barrier = forked.Barrier(PROCESSES + 1)
    shares = [tickets[start::PROCESSES] for start in range(PROCESSES)]
    workers = [forked.Process(target=_decide, args=(place, share, barrier)) for share in shares]
    for worker in workers:
        worker.start()
    barrier.wait()
    began = perf_counter()
    barrier.wait()
    took = perf_counter() - began
    for worker in workers:
        worker.join()
        if worker.exitcode:
            raise SystemExit(f"a process that decides ended with {worker.exitcode}")
    return len(tickets) / took


def _opened(place: Path) -> list[str]:
    """One ticket for each of so many runs."""
    loop, running = Loop(), _app(place)
    for number in range(PROCESSES * TICKETS):
        loop.run(once(running, "agent:asker-mag", {"amount": number}, RunStatus.PARKED))
    found = [ticket.id for ticket in running.store.tickets(TicketQuery(waiting=True, limit=None))]
    running.close()
    return found


def _decide(place: Path, tickets: Sequence[str], barrier: Barrier) -> None:
    deciding = _app(place)
    approving, maria = deciding.approvals, Acting("maria", Proof.OS_USER)
    barrier.wait()
    for ticket in tickets:
        approving.decide(ticket, Decision(maria, Answer.APPROVE))
    barrier.wait()
    deciding.close()


def _app(place: Path) -> App:
    settings = Settings(str(place), str(place / "catalog"), str(place / "ledger.db"), actor="bench")
    return build(settings)
