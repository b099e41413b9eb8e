"""The cases of the gate proof: random requests by a seed, and the catalog with the policies that judge them.

Every part of a record is varied: the agent, the target, its effect kind, the arguments, what the run did before, the
environment and the mode. The rules use every means that a policy has, conditions that cannot be evaluated among them.
Only the clock is left out: no rule here reads the time, since no two runs have the same.
"""

import json
from collections.abc import Iterator
from hashlib import sha256
from typing import Any, Final

from magsag.domain.frozen import frozen

AGENTS: Final = ("caller-mag", "clerk-mag")
BELOW: Final = "agent:below-sag"
EFFECTS: Final = {
    "sum-up": "pure",
    "look-up": "read",
    "set-value": "idempotent",
    "note-down": "transactional",
    "send-mail": "unrepeatable",
    "pay-out": "unrepeatable",
}
_CAPABILITIES: Final = {"look-up": "network", "send-mail": "network", "set-value": "filesystem", "pay-out": "shell"}
_ENVIRONMENTS: Final = ("development", "staging", "production")
_MODES: Final = ("implement", "implement", "safe_mode", "dry_run", "analysis_only")
_WORDS: Final = ("ann", "bo", "drop table", "", "ü", "10")
_ACTS_OF_A_RUN: Final = 20
POLICY: Final = """\
kind: policy
schema: 1
rules:
  - {id: reads-may, on: ["skill:look-*"], verdict: allow}
  - {id: small-sums-may, on: ["skill:pay-out"], when: args.amount <= 100, verdict: allow}
  - id: large-sums-ask
    on: ["skill:pay-out"]
    when: args.amount > 100
    verdict: ask
    approval: {quorum: 2, roles: [finance]}
  - id: no-huge-sums
    on: ["skill:*-value", "skill:look-*", "skill:pay-*"]
    when: has(args.amount) && args.amount > 900
    verdict: deny
    reason: too much
  - {id: one-mail, on: ["skill:send-mail"], when: run.count("skill:send-mail") < 1, verdict: allow}
  - {id: not-three, on: ["skill:send-mail"], when: run.count("skill:send-mail") >= 3, verdict: deny}
  - {id: after-a-look, on: ["skill:set-value"], when: run.after("skill:look-up"), verdict: allow}
  - {id: names-stay, on: ["skill:s*"], when: '"personal" in labels && env == "production"', verdict: ask}
  - {id: no-shell, on: ["skill:*"], when: '"shell" in target.capabilities && mode == "safe_mode"', verdict: deny}
  - {id: words, on: ["skill:note-down"], when: args.to.startsWith("drop"), verdict: deny, reason: no such words}
  - {id: notes-may, on: ["skill:note-down"], when: 'args.to != ""', verdict: allow}
  - {id: below-asks, on: ["skill:set-value"], by: ["agent:below-*"], verdict: ask}
environments:
  production: {tighten: {"skill:pay-*": ask, "skill:note-down": deny}}
agents:
  "agent:clerk-mag": {tighten: {"skill:send-mail": ask}}
"""
_INPUT: Final = {
    "type": "object",
    "properties": {"to": {"x-labels": ["personal"]}, "amount": {}, "secret": {"x-redact": True}},
}
_AGENT: Final = """\
async def run(payload, ctx):
    for ref, args in payload["before"]:
        await ctx.gather(ctx.skill(ref, args), on_error="collect")
    acts = payload["acts"]
    calls = [ctx.delegate(ref, args) if ref.startswith("agent:") else ctx.skill(ref, args) for ref, args in acts]
    done = await ctx.gather(*calls, on_error="collect")
    return {"failed": len(done.errors)}
"""
_BELOW: Final = 'async def run(payload, ctx):\n    return await ctx.skill("set-value", payload)\n'


@frozen
class Batch:
    """One run: some requests that are judged together, after some that it has made before."""

    run: str
    agent: str
    environment: str
    mode: str
    payload: dict[str, Any]


def batches(cases: int, seed: int) -> list[Batch]:
    """So many requests, put into runs."""
    chance = _Chance(seed)
    found = []
    for number in range(-(-cases // _ACTS_OF_A_RUN)):
        left = min(_ACTS_OF_A_RUN, cases - number * _ACTS_OF_A_RUN)
        before = [_request(chance, ("look-up", "sum-up")) for _ in range(chance.below(3))]
        acts = [_request(chance, (*EFFECTS, BELOW)) for _ in range(max(0, left - len(before)))]
        payload = {"before": before[:left], "acts": acts}
        agent, environment, mode = chance.of(AGENTS), chance.of(_ENVIRONMENTS), chance.of(_MODES)
        found.append(Batch(f"case-{number:04}", agent, environment, mode, payload))
    return found


def files() -> dict[str, str]:
    """The catalog, by path; `POLICY` is to be put at `policies/all.yaml`."""
    return dict(_files())


def _files() -> Iterator[tuple[str, str]]:
    yield "contracts/request.schema.json", json.dumps(_INPUT)
    for slug, effect in EFFECTS.items():
        capability = _CAPABILITIES.get(slug)
        more = f"capabilities: [{capability}]\n" if capability else ""
        more += "contracts: {input: request}\n" if slug != "sum-up" else ""
        head = f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: {effect}\n"
        yield f"skills/{slug}/skill.yaml", head + more
        yield f"skills/{slug}/skill.py", "def run(payload, ctx):\n    return payload\n"
    uses = ", ".join([BELOW, *(f"skill:{slug}" for slug in EFFECTS if slug != "note-down")])
    for slug in AGENTS:
        named = uses if slug == "clerk-mag" else f"{uses}, skill:note-down"
        yield f"agents/main/{slug}/agent.yaml", _manifest(slug, "main", named)
        yield f"agents/main/{slug}/agent.py", _AGENT
    yield "agents/sub/below-sag/agent.yaml", _manifest("below-sag", "sub", "skill:set-value")
    yield "agents/sub/below-sag/agent.py", _BELOW


def _manifest(slug: str, role: str, uses: str) -> str:
    head = f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: {role}\n"
    return f"{head}entrypoint: agent.py:run\nuses: [{uses}]\n"


def _request(chance: "_Chance", targets: tuple[str, ...]) -> tuple[str, dict[str, Any]]:
    target = chance.of(targets)
    args: dict[str, Any] = {}
    if chance.below(8):
        args["amount"] = chance.of((0, 7, 100, 101, 500, 901, 10_000, -1, "much", None, 99.5))
    if chance.below(6):
        args["to"] = chance.of((*_WORDS, 3))
    if chance.below(3) == 0:
        args["secret"] = "a secret"
    return target if target.startswith("agent:") else f"skill:{target}", args


class _Chance:
    """Numbers by a seed: the same on every machine."""

    def __init__(self, seed: int) -> None:
        self._seed = seed
        self._count = 0

    def below(self, end: int) -> int:
        """From 0."""
        self._count += 1
        return int.from_bytes(sha256(b"%d %d" % (self._seed, self._count)).digest()[:8], "big") % end

    def of(self, things: tuple[Any, ...]) -> Any:
        """One of them."""
        return things[self.below(len(things))]
