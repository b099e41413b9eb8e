"""The scene of the audit proof: a catalog with approvals, children, records and large values, and its own ledger."""

import asyncio
import shutil
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final, Protocol

from magsag.adapters.proofs.bench import Ledgers
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.errors import Invalid
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.ports.ledger import RunQuery, Store, TicketQuery
from magsag.services.driving.runs import Order, Runs
from magsag.services.keeping.erasing import Erasing
from magsag.services.people.approvals import Approvals, Decision
from magsag.services.proofs.audit import Trial

REQUESTER: Final = "requester"
PROGRAM: Final = "agent:teller-mag"
_FILES: Final = {
    "agents/main/teller-mag/agent.yaml": (
        "kind: agent\nschema: 1\nslug: teller-mag\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        "uses: [skill:look, skill:pay, skill:note, agent:helper-sag]\n"
    ),
    "agents/main/teller-mag/agent.py": (
        "async def run(payload, ctx):\n"
        '    found = await ctx.skill("look", {"size": payload.get("size", 1)})\n'
        '    if payload.get("child"):\n'
        '        await ctx.delegate("helper-sag", {"about": found})\n'
        '    for key in payload.get("notes", []):\n'
        '        await ctx.skill("note", {"key": key, "value": [key, len(found)]})\n'
        '    paid = [await ctx.skill("pay", {"cents": cents}) for cents in payload.get("pay", [])]\n'
        '    return {"paid": paid}\n'
    ),
    "agents/sub/helper-sag/agent.yaml": (
        "kind: agent\nschema: 1\nslug: helper-sag\nversion: 1.0.0\nrole: sub\nentrypoint: agent.py:run\n"
        "uses: [skill:look]\n"
    ),
    "agents/sub/helper-sag/agent.py": (
        'async def run(payload, ctx):\n    await ctx.skill("look", {"size": 2})\n    return {"seen": True}\n'
    ),
    "skills/look/skill.yaml": (
        "kind: skill\nschema: 1\nslug: look\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: pure\n"
    ),
    "skills/look/skill.py": "def run(payload):\n    return {'lines': ['x' * 99] * payload['size']}\n",
    "skills/pay/skill.yaml": (
        "kind: skill\nschema: 1\nslug: pay\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: unrepeatable\n"
    ),
    "skills/pay/skill.py": "def run(payload):\n    return payload['cents']\n",
    "skills/note/skill.yaml": (
        "kind: skill\nschema: 1\nslug: note\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: transactional\n"
    ),
    "skills/note/skill.py": (
        'def run(payload, ctx):\n    ctx.put_record(payload["key"], payload["value"])\n    return payload["key"]\n'
    ),
    "policies/pay.yaml": (
        "kind: policy\nschema: 1\nrules:\n"
        "  - {id: two-look, on: ['skill:pay'], verdict: ask, approval: {quorum: 2, roles: [approver]}}\n"
        "  - {id: notes, on: ['skill:note'], verdict: allow}\n"
    ),
    "people.yaml": "kind: people\nschema: 1\npeople:\n"
    + "".join(f"  - {{id: {name}, roles: [approver], proof: os_user}}\n" for name in ("ann", "ben", "cleo")),
}
_LARGE: Final = 900
"""lines of 99 characters: more than stands inline"""


class ClosableDesk(Protocol):
    """An app on the ledger of the proof."""

    @property
    def runs(self) -> Runs: ...
    @property
    def approvals(self) -> Approvals: ...
    @property
    def store(self) -> Store: ...
    @property
    def erasing(self) -> Erasing: ...
    def close(self) -> None: ...


class WitnessScene:
    """A scene (`services.proofs.audit`). Use it with `with`; all of it is gone afterwards."""

    def __init__(
        self, build: Callable[[Path, Store], ClosableDesk], ledgers: Ledgers, trial: Callable[[Store], Trial]
    ) -> None:
        self._build = build
        self._ledgers = ledgers
        self._trial = trial

    def __enter__(self) -> "WitnessScene":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        for path, text in _FILES.items():
            file = self._folder / "catalog" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        place = self._folder / "audit"
        place.mkdir()
        self._ledger = self._ledgers.make(place)
        self._desk = self._build(self._folder, self._ledgers.open(self._ledger, place))
        return self

    def __exit__(self, *_: object) -> None:
        self._desk.close()
        self._ledgers.drop(self._ledger)
        shutil.rmtree(self._folder, ignore_errors=True)

    def trial(self) -> Trial:
        """The ledger as it stands."""
        return self._trial(self._desk.store)

    def stages(self) -> Iterator[str]:
        """Write, then erase, then vacuum: the anchors' last line tells that something may be gone."""
        self._run("old", {"child": True, "notes": ["old", "both"]})
        self._run("plain", {"notes": ["both", "mine", "mine"]})
        self._run("family", {"child": True, "size": _LARGE})
        self._run("asked", {"pay": [5, 70]}, Answer.APPROVE, Answer.APPROVE)
        self._run("denied", {"pay": [9]}, Answer.DENY)
        self._run("erased", {"child": True, "size": _LARGE, "pay": [1], "notes": ["gone"]}, Answer.APPROVE)
        self._run("waiting", {"pay": [8], "notes": ["yours"]})
        yield "as it was written"
        self._desk.erasing.erase(RunId("erased"), REQUESTER)
        yield "after a run was erased"
        began = next(row.created for row in self._desk.store.rows(RunQuery(limit=None)) if row.run == "plain")
        if self._desk.store.vacuum(began, dry_run=False).runs != 2:
            raise Invalid("the scene of the proof was not set: the vacuum did not remove the oldest run tree")
        yield "after a vacuum"

    def _run(self, id: str, payload: dict[str, Any], *answers: Answer) -> None:
        """Drive a run to its end, or until nobody is left to answer."""
        status = asyncio.run(self._desk.runs.run(Order(PROGRAM, payload, run_id=RunId(id)))).status
        for answer in answers:
            (waiting,) = self._desk.approvals.list(TicketQuery(root=RunId(id), waiting=True))
            for name in ("ann", "ben") if answer is Answer.APPROVE else ("cleo",):
                self._desk.approvals.decide(waiting.id, Decision(Acting(name, Proof.OS_USER), answer))
            status = asyncio.run(self._desk.runs.resume(RunId(id))).status
        is_open = len(payload.get("pay", [])) > len(answers)
        if (status is RunStatus.PARKED) is not is_open:
            raise Invalid(f"the scene of the proof was not set: run {id} is {status}")
