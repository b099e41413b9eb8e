"""A project to be proved: a skill of each effect kind, a Python agent, flows; and a proof on a store that forgets.

Run as a script: `proof_project.py FOLDER PROGRAM` proves the program of that project on ledgers that drop every intent.
"""

import json
import sys
from pathlib import Path
from typing import Final

from magsag.adapters.store.sqlite import SqliteStore
from magsag.services.proofs.crash import Asked
from magsag.testing import build_app, forgetful

_PLAIN: Final = "def run(payload, ctx):\n    return {'did': SLUG, 'n': payload['n']}\n"
_NEVER: Final = "def run(payload, ctx):\n    raise AssertionError('this really acted')\n\nfind = run\n"
_FLAKY: Final = """
from magsag import Retryable

tried = set()

def run(payload, ctx):
    if ctx.idempotency_key not in tried:
        tried.add(ctx.idempotency_key)
        raise Retryable("unavailable", "the first call of every process fails")
    return {"did": "flaky", "n": payload["n"]}
"""
_BOOK: Final = """
def run(payload, ctx):
    booked = [*ctx.get_record("booked", []), payload["n"]]
    ctx.put_record("booked", booked)
    return {"did": "book", "n": len(booked)}
"""
_SKILLS: Final = {
    "work-out": ("pure", _PLAIN),
    "look": ("read", _PLAIN),
    "flaky": ("read", _FLAKY),
    "put": ("idempotent", _NEVER),
    "book": ("transactional", _BOOK),
    "pay": ("reconcilable", _NEVER),
    "mail": ("unrepeatable", _NEVER),
}
_MORE: Final = {
    "pay": "lookup: skill.py:find\ntimeout: 20s\n",
    "flaky": "retry: {attempts: 5, backoff: 10ms}\n",
}
_BOSS: Final = """
async def run(payload, ctx):
    first = await ctx.skill("work-out", {"n": payload["n"]})
    both = await ctx.gather(ctx.skill("put", {"n": 1}), ctx.skill("mail", {"n": 2}), ctx.skill("flaky", {"n": 3}))
    booked = await ctx.map(lambda n: ctx.skill("book", {"n": n}), [4, 5], concurrency=1)
    paid = await ctx.skill("pay", {"n": 6})
    below = await ctx.gather(*(ctx.delegate("helper", {"n": n}) for n in (7, 8)))
    apart = await ctx.delegate("helper", {"n": 9}, detached=True)
    return [first, both, booked, paid, below, apart, str(ctx.uuid()), ctx.now().isoformat()]
"""
_HELPER: Final = """
async def run(payload, ctx):
    looked = await ctx.skill("look", payload)
    return [looked, await ctx.skill("mail", payload)]
"""
_WAITER: Final = """
async def run(payload, ctx):
    await ctx.sleep(3600)
    said = await ctx.wait_for("approved")
    sent = await ctx.skill("mail", {"n": said["n"]})
    both = await ctx.gather(ctx.sleep(0.02), ctx.wait_for("approved"), ctx.skill("pay", {"n": 1}))
    return [said, sent, both[1:], ctx.now().isoformat()]
"""
_CLOCK: Final = """
import time

async def run(payload, ctx):
    return await ctx.call(time.time)
"""
_KINDS: Final = """
kind: flow
schema: 1
slug: kinds
version: 1.0.0
steps:
  - {id: first, uses: "skill:work-out", with: {n: =input.n}}
  - {id: look, uses: "skill:look", with: {n: =steps.first.n}}
  - {id: each, uses: "skill:put", for_each: "[1, 2]", with: {n: =item}, needs: [look]}
  - {id: book, uses: "skill:book", with: {n: 5}, needs: [each]}
  - {id: pay, uses: "skill:pay", with: {n: 6}, needs: [book]}
  - {id: mail, uses: "skill:mail", with: {n: 7}, needs: [pay]}
  - {id: tell, run: [sh, -c, "exit 1"], effect: unrepeatable, needs: [mail]}
  - {id: below, uses: "agent:helper", with: {n: =steps.mail.n}, needs: [tell]}
"""
_PROOF: Final = """
kind: proof
schema: 1
stand_ins:
  - {for: "skill:put", output: {did: put, n: =input.n}}
  - {for: "skill:pay", output: {did: pay, n: =input.n, receipt: =key}}
  - {for: "skill:mail", output: {did: mail, n: =input.n}}
  - {for: "shell:tell"}
signals:
  - {event: approved, payload: {n: 1}}
  - {event: approved, payload: {n: 2}}
"""
_AGENT: Final = "kind: agent\nschema: 1\nslug: {}\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\nuses: [{}]\n"


def files() -> dict[str, str]:
    """The catalog, by path below `catalog/`."""
    found = {"flows/kinds.yaml": _KINDS, "proof.yaml": _PROOF}
    for slug, (effect, code) in _SKILLS.items():
        head = f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\n"
        found[f"skills/{slug}/skill.yaml"] = f"{head}effect: {effect}\n{_MORE.get(slug, '')}"
        found[f"skills/{slug}/skill.py"] = f"SLUG = {slug!r}\n{code}"
    uses = ", ".join(f"skill:{slug}" for slug in _SKILLS)
    for slug, code in (("boss", _BOSS), ("helper", _HELPER), ("clock", _CLOCK), ("waiter", _WAITER)):
        found[f"agents/main/{slug}/agent.yaml"] = _AGENT.format(
            slug, f"{uses}, agent:helper" * (slug != "helper") or uses
        )
        found[f"agents/main/{slug}/agent.py"] = code
    rules = "".join(f'  - {{id: may-{slug}, on: ["skill:{slug}"], verdict: allow}}\n' for slug in _SKILLS)
    tell = '  - {id: may-tell, on: ["shell:tell"], verdict: allow}\n'
    found["policies/all.yaml"] = f"kind: policy\nschema: 1\nrules:\n{rules}{tell}"
    return found


def main() -> None:
    folder, program = sys.argv[1:]
    app = build_app(Path(folder), files())
    with app.crash_proof(open_ledger=lambda ledger, _: forgetful(SqliteStore(Path(ledger)))) as proof:
        tally = proof.prove(Asked(program, {"n": 0}, points=12), lambda *_: None)
    said = [line for story in tally.failures for line in story["differences"]]
    print(json.dumps({"holds": tally.holds, "identical": tally.identical, "said": said}))


if __name__ == "__main__":
    main()
