"""A project whose acts count at a sink, and the process that is killed in it.

Run as a script: `crash_project.py FOLDER PROGRAM SINK NUMBER WHEN` drives the run `r` and kills itself at its write of
that number, before or after the commit; number 0: it lives. `DIE_IN=slug:before` or `slug:after` kills it in an act.
`LEDGER_DSN` is where the ledger is, if not in the folder.
"""

import asyncio
import json
import os
import sys
from pathlib import Path
from typing import Final

from magsag.adapters.store.postgres.store import PostgresStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.ids import RunId
from magsag.ports.ledger import Store
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import When, build_app, dying

_ACT: Final = """
import os, signal, urllib.request

def _die(slug, when):
    if os.environ.get("DIE_IN") == f"{slug}:{when}":
        os.kill(os.getpid(), signal.SIGKILL)

def run(payload, ctx):
    _die(SLUG, "before")
    headers = {"Idempotency-Key": ctx.idempotency_key}
    request = urllib.request.Request(f"{payload['sink']}/{SLUG}", b"", headers, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    _die(SLUG, "after")
    return {"done": SLUG, "n": payload["n"]}
"""
_LOOKUP: Final = """
from urllib.error import HTTPError

def find(payload, ctx):
    try:
        urllib.request.urlopen(f"{payload['sink']}/{ctx.idempotency_key}", timeout=10).close()
    except HTTPError:
        return {"found": False}
    return {"found": True, "output": {"done": SLUG, "n": payload["n"]}}
"""
_KINDS: Final = {
    "work-out": "pure",
    "look": "read",
    "put": "idempotent",
    "book": "transactional",
    "pay": "reconcilable",
    "mail": "unrepeatable",
}
_AGENT: Final = """
async def run(payload, ctx):
    def to(n):
        return {"sink": payload["sink"], "n": n}
    first = await ctx.skill("work-out", to(1))
    both = await ctx.gather(ctx.skill("look", to(2)), ctx.skill("put", to(3)), ctx.skill("mail", to(4)))
    booked = await ctx.skill("book", to(5))
    paid = await ctx.skill("pay", to(6))
    _, won = await ctx.race(ctx.skill("put", to(7)))
    below = await ctx.delegate("helper", payload)
    return [first, both, booked, paid, won, below, str(ctx.uuid())]
"""
_HELPER: Final = """
async def run(payload, ctx):
    return [await ctx.skill(slug, {"sink": payload["sink"], "n": 10}) for slug in ("look", "put", "mail")]
"""
_FLOW: Final = """
kind: flow
schema: 1
slug: everything
version: 1.0.0
steps:
  - {id: first, uses: "skill:work-out", with: {sink: =input.sink, n: 1}}
  - {id: look, uses: "skill:look", with: {sink: =input.sink, n: =steps.first.n}}
  - {id: each, uses: "skill:put", for_each: "[1, 2, 3]", with: {sink: =input.sink, n: =item}}
  - {id: book, uses: "skill:book", with: {sink: =input.sink, n: 5}, needs: [each]}
  - {id: pay, uses: "skill:pay", with: {sink: =input.sink, n: 6}, needs: [book]}
  - {id: mail, uses: "skill:mail", with: {sink: =input.sink, n: 7}, needs: [look]}
  - {id: below, uses: "agent:helper", with: {sink: =input.sink}, needs: [pay]}
  - {id: stamp, run: [echo, done], effect: pure, needs: [below]}
"""


def files() -> dict[str, str]:
    """The catalog: a skill of each kind, an agent with a child run, a flow with the same."""
    found = {"flows/everything.yaml": _FLOW}
    for slug, effect in _KINDS.items():
        lookup = "lookup: skill.py:find\ntimeout: 1s\n" if effect == "reconcilable" else ""
        head = f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\n"
        found[f"skills/{slug}/skill.yaml"] = f"{head}effect: {effect}\n{lookup}"
        found[f"skills/{slug}/skill.py"] = f"SLUG = {slug!r}\n{_ACT}{_LOOKUP if lookup else ''}"
    uses = ", ".join(f"skill:{slug}" for slug in _KINDS)
    for slug, code, more in (("boss", _AGENT, ", agent:helper"), ("helper", _HELPER, "")):
        found[f"agents/main/{slug}/agent.yaml"] = (
            f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
            f"uses: [{uses}{more}]\n"
        )
        found[f"agents/main/{slug}/agent.py"] = code
    allowed = "".join(f'  - {{id: may-{slug}, on: ["skill:{slug}"], verdict: allow}}\n' for slug in _KINDS)
    found["policies/all.yaml"] = f"kind: policy\nschema: 1\nrules:\n{allowed}"
    return found


def ledger(folder: Path, dsn: str) -> Store:
    """That of the folder, or the one at the DSN."""
    kept = folder / ".magsag"
    return PostgresStore(dsn, kept) if dsn else SqliteStore(kept / "ledger.db")


async def _drive(folder: Path, program: str, sink: str, number: int, when: When) -> RunResult:
    store = ledger(folder, os.environ.get("LEDGER_DSN", ""))
    app = build_app(folder, files(), store=dying(store, number, when))
    try:
        if store.row(RunId("r")) is None:
            return await app.runs.run(Order(program, {"sink": sink}, run_id="r"))
        return await app.runs.resume(RunId("r"))
    finally:
        app.close()


def main() -> None:
    folder, program, sink, number, when = sys.argv[1:]
    result = asyncio.run(_drive(Path(folder), program, sink, int(number), When(when)))
    reasons = [[reason.on.value, reason.step] for reason in result.reasons]
    said = {"status": result.status.value, "output": result.output, "error": str(result.error), "reasons": reasons}
    print(json.dumps(said))


if __name__ == "__main__":
    main()
