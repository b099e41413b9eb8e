"""The record as a risk person reads it: every verdict, every word of a person, in the order of time.

What counts as a decision: a fact with a verdict, a fact that names who brought it about, a cap that somebody set, and
a step that the gate itself refused: an approval that came too late, a budget, a limit. Beside them stand the secrets
that runs used, and which of them had been changed, and the breakers that they moved. Reads the ledger only, so it
answers for runs whose catalog is gone.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, Final

from pydantic_core import from_json

from magsag.domain.approval import Answer, RefusedFor
from magsag.domain.breaking import BreakerMoved
from magsag.domain.errors import Damaged, ErrorType, StoreBroken
from magsag.domain.facts import (
    ENDS,
    Decision,
    DecisionRefused,
    PayloadErased,
    SecretUsed,
    StandingApproved,
    StandingRevoked,
    StepFailed,
)
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.engine.chain import body_in
from magsag.policy.refusals import SAID
from magsag.policy.slo import RULE
from magsag.ports.clock import Clock
from magsag.ports.ledger import RunQuery, RunRow, Store, Stored
from magsag.services.insight.audit_entries import Entry, entry_of_cap
from magsag.services.insight.audit_names import Names, refuse_unknown
from magsag.services.recording.known import known_row

_BESIDE: Final = frozenset({SecretUsed.__name__, BreakerMoved.__name__})
_REFUSALS: Final = frozenset({str(ErrorType.DENIED), str(ErrorType.BUDGET_EXHAUSTED), str(ErrorType.RATE_LIMIT)})
_ANSWERS: Final = {str(Answer.APPROVE): str(Decision.ALLOW), str(Answer.DENY): str(Decision.DENY)}


@frozen
class Asked:
    """Which decisions; what is None does not narrow. References without a version mean every version."""

    agent: str | None = None
    tool: str | None = None
    rule: str | None = None
    person: str | None = None
    decision: Decision | None = None
    last_seconds: float | None = None
    """only what was decided in so much time until now"""
    limit: int | None = None
    """so many of the newest"""
    run: str | None = None
    """this run, with the runs of its tree"""


class Audit:
    """Reads decisions."""

    def __init__(self, store: Store, clock: Clock, names: Callable[[], Names] = Names) -> None:
        """`names` are those of today's catalog."""
        self._store = store
        self._clock = clock
        self._names = names

    def log(self, asked: Asked) -> list[Entry]:
        """The decisions asked for, oldest first. Raises Invalid for a run, a name or a rule that nothing knows.

        Raises Damaged, with the others, where some cannot be read.
        """
        since = 0 if asked.last_seconds is None else self._clock.now() - int(asked.last_seconds * 1_000_000)
        root = None if asked.run is None else known_row(self._store, RunId(asked.run)).root
        damage: list[str] = []
        rows = self._rows(since, damage, root)
        entries = [entry for row in rows for entry in self._entries(row, damage)]
        caps = map(entry_of_cap, self._store.caps()) if root is None else ()
        found = [entry for entry in (*entries, *caps) if _is_meant(entry, asked, since)]
        if not found and not damage:
            self._refuse_unknown(asked)
        found.sort(key=lambda entry: (entry.at, entry.run, entry.seq))
        found = list(_with_rotations(found))
        found = found if asked.limit is None else found[-asked.limit :]
        if damage:
            raise Damaged("; ".join(damage), found)
        return found

    def _refuse_unknown(self, asked: Asked) -> None:
        """Nothing was found: because nothing was decided, or because what was asked about does not exist?"""
        if asked.agent is asked.tool is asked.rule is asked.person is None:
            return
        names, rows = self._names(), list(self._rows(0, []))
        entries = [entry for row in rows for entry in self._entries(row, [])]
        if asked.agent is not None:
            refuse_unknown("--agent", asked.agent, {*names.refs, *(row.program for row in rows)}, _names)
        if asked.tool is not None:
            refuse_unknown("--tool", asked.tool, {*names.refs, *(one.target for one in entries if one.target)}, _names)
        if asked.rule is not None and not asked.rule.startswith(RULE):
            refuse_unknown("--rule", asked.rule, {*names.rules, *(one.rule for one in entries if one.rule)}, str.__eq__)
        if asked.person is not None:
            said = (*entries, *map(entry_of_cap, self._store.caps()))
            started = (one for row in rows for one in (row.actor, row.requester))
            refuse_unknown(
                "--person", asked.person, {*names.people, *started, *(one.by for one in said if one.by)}, str.__eq__
            )

    def _rows(self, since: int, damage: list[str], root: RunId | None = None) -> Iterator[RunRow]:
        """Runs that were touched since then; one that began earlier can have decided something later."""
        try:
            rows: Sequence[RunRow] = self._store.rows(RunQuery(root=root, roots_only=False, limit=None))
        except Damaged as error:
            damage.append(str(error))
            rows = error.rest
        for row in rows:
            if row.updated >= since or row.status not in ENDS:
                yield row

    def _entries(self, row: RunRow, damage: list[str]) -> Iterator[Entry]:
        """Those of one run, up to the first fact that cannot be read, which is added to `damage`."""
        try:
            yield from self._read(row)
        except StoreBroken as error:
            damage.append(str(error))
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            damage.append(f"run {row.run}: a fact of it is damaged ({error}); run `magsag data check`")

    def _read(self, row: RunRow) -> Iterator[Entry]:
        targets: dict[str, str] = {}
        erased_at = 0
        for stored in self._store.read(row.run):
            body = body_in(row.run, stored)
            if "proposal" in body:
                targets[body["step"]] = body["proposal"]["target"]
            is_beside = stored.kind in _BESIDE
            entry = _entry(row, stored, body, None if is_beside else targets.get(body.get("step", "")))
            if entry.decision != Decision.DENY and (refused := _refusal(stored, body)) is not None:
                by, why = refused
                entry = replace(entry, decision=str(Decision.DENY), rule=by, place=None, reason=why, said=None)
            if stored.kind == PayloadErased.__name__:
                if entry.at == erased_at:
                    continue  # one erasure of a run, a fact for each payload
                erased_at = entry.at
            if entry.decision is not None or entry.by is not None or is_beside:
                yield entry


def _entry(row: RunRow, stored: Stored, body: dict[str, Any], target: str | None) -> Entry:
    verdict = body.get("verdict") or {}
    is_refused = stored.kind == DecisionRefused.__name__
    return Entry(
        at=body["at"],
        run=row.run,
        root=row.root,
        program=row.program,
        seq=stored.seq,
        kind=stored.kind,
        step=body.get("step"),
        target=target or body.get("reference") or body.get("name"),
        decision=str(Decision.DENY) if is_refused else verdict.get("decision") or _ANSWERS.get(body.get("answer", "")),
        rule=verdict.get("rule"),
        place=verdict.get("place"),
        reason=SAID[RefusedFor(body["refused_for"])] if is_refused else verdict.get("reason") or body.get("reason"),
        policy=verdict.get("policy"),
        by=body.get("by") or body.get("actor"),
        said=_said(body),
    )


def _refusal(stored: Stored, body: dict[str, Any]) -> tuple[str | None, str] | None:
    """By what and why the gate itself refused a step; None where it did not, and where a person or a child run did."""
    if stored.kind != StepFailed.__name__ or body.get("child_head") is not None:
        return None
    said = from_json(stored.output) if stored.output is not None else {}
    details = said.get("details") if isinstance(said, dict) else None
    told = details if isinstance(details, dict) else {}
    by = "breaker" if "breaker" in told else next((one for one in ("budget", "approval") if one in told), None)
    is_shut = by == "breaker" and "throttle" in told
    if "by" in told or (body.get("type") not in _REFUSALS and by != "approval" and not is_shut):
        return None
    return str(told["limit"]) if "throttle" in told and "limit" in told else by, str(
        said.get("message") or body["type"]
    )


def _with_rotations(entries: list[Entry]) -> Iterator[Entry]:
    """Says of a secret's version that another one was used before, in whatever run; marks of two salts say nothing."""
    last: dict[tuple[str | None, str], str] = {}
    for entry in entries:
        if entry.kind == SecretUsed.__name__ and entry.said is not None:
            version = entry.said.partition(" ")[0]
            place = (entry.target, version.partition("-")[0])
            before, last[place] = last.get(place), version
            if before not in (None, version) and " " not in entry.said:
                yield replace(entry, said=f"{version} changed since {before}")
                continue
        yield entry


def _said_of_standing(body: dict[str, Any]) -> str:
    """What was approved beforehand, what was revoked, what an ask was answered by."""
    id = body["standing"]
    if body["kind"] == StandingApproved.__name__:
        return f"approve for the {body['reach']} beforehand: {id}"
    return f"revoke {id}" if body["kind"] == StandingRevoked.__name__ else f"ask, standing approval {id}"


def _said(body: dict[str, Any]) -> str | None:
    if "version" in body:
        before = body.get("before")
        return f"{body['version']} changed since {before}" if before else str(body["version"])
    if body["kind"] == BreakerMoved.__name__:
        return f"breaker {body['state'].replace('_', '-')}"
    if body["kind"] == DecisionRefused.__name__:
        return f"{body['wanted']} refused: {body['refused_for']}"
    if "standing" in body:
        return _said_of_standing(body)
    answer: str | None = body.get("answer") or body.get("how")
    return f"{answer} with other arguments" if answer is not None and body.get("binding") else answer


def _is_meant(entry: Entry, asked: Asked, since: int) -> bool:
    return (
        entry.at >= since
        and (asked.agent is None or _names(asked.agent, entry.program))
        and (asked.tool is None or (entry.target is not None and _names(asked.tool, entry.target)))
        and asked.rule in (None, entry.rule)
        and asked.person in (None, entry.by)
        and asked.decision in (None, entry.decision)
    )


def _names(asked: str, ref: str) -> bool:
    """`slug`, `kind:slug` or either with a version, of `kind:slug@version`."""
    bare, slug = ref.partition("@")[0], ref.partition(":")[2]
    return asked in (ref, bare, slug, slug.partition("@")[0])
