#!/usr/bin/env python3
"""Verifies an export of `magsag audit export`. One file, Python 3.9 or later, nothing but its standard library.

    python verify.py EXPORT [--anchors COPY [--part]]

It comes to the judgement of `magsag audit verify` by itself: it shares no code with it, and reads nothing but the files
of the export and, with --anchors, a copy of the anchors that was kept elsewhere. What only the word of the export
excuses is counted; with --anchors runs that are not in it are faults, unless the anchors let them go or --part says
that a part was asked for. Exit 0 when everything is as it was written, 1 with what is not, 2 for a wrong call or a
copy that is none, 4 when the export cannot be read.
"""

from __future__ import annotations

import base64
import json
import os
import re
import sys
import zlib
from collections.abc import Iterable, Iterator
from hashlib import sha256
from typing import Any

Row = dict[str, Any]
Fault = tuple[Any, Any, str]
"""the run and fact that it concerns, where it concerns one, and what is wrong"""

ENDS = {"succeeded", "partial", "failed", "denied", "cancelled"}
STATUSES = ENDS | {"running", "parked"}
EFFECTFUL = {"idempotent", "transactional", "reconcilable", "unrepeatable"}
MOVES = {
    "new": {"StepHeld": "held", "StepStarted": "started", "StepDone": "succeeded", "StepFailed": "failed",
            "StepCancelled": "cancelled", "StepSkipped": "skipped"},
    "held": {"StepHeld": "held", "StepStarted": "started", "StepFailed": "failed", "StepInDoubt": "in_doubt",
             "StepCancelled": "cancelled"},
    "started": {"StepStarted": "started", "StepSucceeded": "succeeded", "StepFailed": "failed",
                "StepWillRetry": "waiting", "StepInDoubt": "in_doubt", "StepCancelled": "cancelled"},
    "waiting": {"StepHeld": "held", "StepStarted": "started", "StepDone": "succeeded", "StepFailed": "failed",
                "StepInDoubt": "in_doubt", "StepCancelled": "cancelled"},
    "in_doubt": {"StepResolved": ""},
    "succeeded": {}, "failed": {}, "cancelled": {}, "skipped": {},
}  # fmt: skip
"""status of a step -> fact -> status after it; a doubt ends as its fact says"""
MOVING = {kind for moves in MOVES.values() for kind in moves}
SAME = ("program", "bundle", "actor", "requester", "trace_id", "span_id", "parent")
TICKET, KEPT = {"ticket", "proposal", "verdict", "program"}, {"ask", "requesters", "state", "answers", "binding"}
ASIDE = {
    "part": "a part of a ledger, says the export: {elsewhere} anchored runs are not in it, and were not judged",
    "withheld": "withheld, and not judged here: the payloads of {withheld} facts and large values",
    "excused": "gone, and vacuumed by the word of the export alone: {excused} runs",
    "noted": "imported, by the word of the export alone: {noted} runs",
    "owed": "ended without a line among the anchors, owed by the word of the export alone: {owed} runs",
}
"""what only the word of the export excuses"""
HOUR = 3_600_000_000
"""microseconds: clocks of machines differ, so what another run put is later from an hour on"""
MARK = '{"\\u0000blob":'
BLOB = re.compile(r"[0-9a-f]{32}-[0-9a-f]{64}")
HASH = re.compile(r"[0-9a-f]{64}")
NUMBER = re.compile(r"[0-9]{1,18}")


class Unreadable(Exception):
    """The export is none."""


class NoCopy(Exception):
    """What is to be a copy of the anchors is none."""


NO_FORM = (KeyError, TypeError, ValueError, AttributeError, IndexError, RecursionError)
"""what rows raise that nobody wrote so"""


def judge(folder: str, copy: str | None = None, part: bool = False) -> tuple[list[Fault], dict[str, int]]:
    """All faults of an export, as (run or None, seq or None, what), and counts of what was judged and what was not."""
    rows = read_rows(os.path.join(folder, "ledger.ndjson"))
    own = read_bytes(os.path.join(folder, "anchors.log"))
    return judged(rows, own, None if copy is None else lines_of_copy(copy), part)


def judged(
    rows: Iterable[Row], own: bytes | None, theirs: bytes | None = None, part: bool = False
) -> tuple[list[Fault], dict[str, int]]:
    """The same for rows and lines that were read."""
    ledger = Ledger(rows)
    claims = held_against(theirs, own) if theirs is not None else claims_of(own)
    faults, vouched = list(claims["faults"]), 0
    for name, row in ledger.runs.items():
        try:
            found, reach = judged_run(ledger, row, ledger.facts.get(name, []), claims)
        except NO_FORM as error:
            found, reach = [(name, None, f"it cannot be judged: a value of another form ({type(error).__name__})")], 0
        faults += found
        vouched += reach
    faults += imports(ledger, claims, theirs is not None)
    faults += across(ledger, claims)
    counts = {"runs": len(ledger.runs), "facts": sum(map(len, ledger.facts.values())), "vouched": vouched}
    counts |= {"lines": (own or b"").count(b"\n"), "copied": (theirs or b"").count(b"\n")}
    found, absent = missing(ledger, claims, theirs is not None, part)
    return faults + found, {**counts, **absent, **ledger.withheld(), "noted": ledger.noted, "owed": len(ledger.late)}


def judged_run(ledger: Ledger, row: Row, facts: list[Row], claims: Row) -> tuple[list[Fault], int]:
    """What is wrong with one run, and how many of its facts are vouched for."""
    if row["status"] not in STATUSES:
        return [(row["run"], None, "its row has the unknown status {!r}".format(row["status"]))], 0
    faults = [*chain(row["run"], facts), *against_row(ledger, row, facts)]
    found, reach = against_anchors(ledger, row, facts, claims)
    return faults + found, reach


class Ledger:
    """The rows of an export by what they are."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.runs: dict[str, Row] = {}
        self.facts: dict[str, list[Row]] = {}
        self.tickets: dict[str, list[Row]] = {}
        self.standing: dict[str, list[Row]] = {}
        self.blobs: dict[str, dict[str, Row]] = {}
        self.bundles: dict[str, Row] = {}
        self.owed: set[str] = set()
        self.vacuumed: set[str] = set()
        self.ends: dict[str, set[str]] = {}
        self.children: list[tuple[str, int, set[str], str, bool]] = []
        self.records: list[Row] = []
        self.puts: dict[tuple[str, str], list[Row]] = {}
        self.silent: set[str] = set()
        self.notes: list[tuple[str, str]] = []
        self.imported: dict[str, int] = {}
        self.noted = 0
        self.marks: dict[str, set[str]] = {}
        self.late: set[str] = set()
        self.whole = True
        for row in rows:
            sort = row.get("sort")
            if sort == "about":
                self.whole = row.get("whole") is not False
            elif sort == "run":
                self.runs[row["run"]] = row
            elif sort in ("fact", "ticket", "standing"):
                kept = {"fact": self.facts, "ticket": self.tickets, "standing": self.standing}[sort]
                kept.setdefault(row["run"], []).append(row)
            elif sort == "record":
                if "imported" in row:
                    self.notes.append((row["run"], str(row["imported"])))
                else:
                    self.records.append(row)
            elif sort == "blob":
                self.blobs.setdefault(row["root"], {})[row["id"]] = row
            elif sort == "bundle":
                self.bundles[row["hash"]] = row
            elif sort == "owed":
                self.owed.add(row["run"])
            elif sort == "vacuumed":
                self.vacuumed.add(row["run"])
        for facts in self.facts.values():
            facts.sort(key=lambda fact: fact["seq"])

    def withheld(self) -> dict[str, int]:
        """How many facts and large values are here without what they hold: nobody can judge it here."""
        facts = sum(bool(fact.get("withheld")) for facts in self.facts.values() for fact in facts)
        return {"withheld": facts + sum(bool(row.get("withheld")) for of in self.blobs.values() for row in of.values())}


def chain(run: str, facts: list[Row]) -> Iterator[Fault]:
    """Digests and links of one run, and whether what is gone was erased on record."""
    head, expected = b"", 1
    emptied: list[int] = []
    whole: list[int] = []
    erased: set[int] = set()
    for fact in facts:
        seq, body = fact["seq"], raw(fact["body"])
        digest, says = from_hex(fact["digest"]), from_hex(fact["head"])
        if seq != expected:
            yield run, seq, f"fact {expected} should stand here"
        if sha256(body).digest() != digest:
            yield run, seq, "the body does not match its digest"
        head = sha256(head + digest).digest()
        if head != says:
            yield run, seq, "the chain is broken"
            head = says
        data = parsed(body)
        if data.get("kind") != fact["kind"]:
            yield run, seq, "the body is of another kind than the row"
        expected = seq + 1
        if data.get("kind") == "PayloadErased" and isinstance(data.get("seq"), int):
            erased.add(data["seq"])
        for what in payloads(fact, data, emptied, whole):
            yield run, seq, what
    for seq in emptied:
        if seq not in erased:
            yield run, seq, "a payload is gone and no fact says that it was erased"
    for seq in whole:
        if seq in erased:
            yield run, seq, "its payload was erased, and something of it is here"


def payloads(fact: Row, body: Row, emptied: list[int], whole: list[int]) -> Iterator[str]:
    """Whether the payloads of a fact are what its body commits to."""
    if fact.get("withheld"):
        if fact.get("matches") is not True:
            yield "its payload was withheld, and does not match its commitment"
        return
    salt, input, output = from_hex(fact["salt"]), raw(fact["input"]), raw(fact["output"])
    if salt is not None and input is None and output is None:
        yield "there is a salt and nothing that it is for"
    for name, part, payload in (("input", b"i", input), ("output", b"o", output)):
        claimed = body.get(f"{name}_hash")
        if payload is None:
            emptied += [] if claimed is None else [fact["seq"]]
        elif claimed is None:
            yield f"there is an {name} that the body does not know"
        elif salt is None or sha256(salt + part + payload).hexdigest() != claimed:
            yield f"the {name} does not match its commitment"
    if salt is not None or input is not None or output is not None:
        whole.append(fact["seq"])


def against_row(ledger: Ledger, row: Row, facts: list[Row]) -> Iterator[Fault]:
    """The row is what its facts say, and each fact may follow those before it."""
    run = row["run"]
    seq, head = (facts[-1]["seq"], facts[-1]["head"]) if facts else (0, "")
    if (row["seq"], row["head"]) != (seq, head):
        yield run, min(row["seq"], seq) + 1, "its row ends elsewhere than its facts: facts were cut or added"
    state: Row = {"started": None, "ended": None, "parked": None, "steps": {}, "attempts": {}, "proposals": {}}
    asks: dict[str, Row] = {}
    approved: dict[str, Row] = {}
    last: Row = {}
    inputs: Row = {}
    revoked: set[str] = set()
    for fact in facts:
        body = parsed(raw(fact["body"]))
        wrong = evolve(state, body)
        if wrong:
            yield run, fact["seq"], "it cannot stand here: " + wrong
            return
        note(ledger, row, fact, body, state)
        hear(fact, body, asks, last, inputs)
        if body.get("kind") == "StandingApproved":
            approved[body["standing"]] = body
        elif body.get("kind") == "StandingRevoked":
            revoked.add(body["standing"])
    yield from about_start(row, state["started"])
    yield from about_status(row, state)
    for ticket in ledger.tickets.get(run, []):
        wrong = wrong_ticket(ticket, asks, last, state)
        if wrong:
            yield run, asks[ticket["id"]]["seq"] if ticket["id"] in asks else None, wrong
    found = [ticket["id"] for ticket in ledger.tickets.get(run, []) if ticket["id"] in asks]
    oldest = min((asks[id]["seq"] for id in found), default=None)
    for id, ask in asks.items():
        if id not in found and oldest is not None and ask["seq"] > oldest:
            yield run, ask["seq"], "its ticket is gone"
    if any(changed_standing(one, approved, revoked) for one in ledger.standing.get(run, [])):
        yield run, None, "a standing approval is not what its facts say"


def changed_standing(row: Row, approved: dict[str, Row], revoked: set[str]) -> bool:
    """Whether a standing approval is not what its facts say; one that no fact knows gives no right to anything."""
    said = approved.get(row["id"])
    if said is None:
        return False
    told = (said["step"], said["proposal"]["target"], row["id"] in revoked, said["at"], said["until"])
    return told != (row["step"], row["target"], bool(row["revoked"]), row["made"], row["until"])


def evolve(state: Row, body: Row) -> str | None:
    """Let the fact be true of the run; says why it may not follow."""
    kind, step = body.get("kind"), body.get("step")
    if kind == "RunStarted":
        if state["started"] is not None:
            return "the run has started twice"
        state["started"] = body
    elif kind == "RunEnded":
        if state["ended"] is not None:
            return "the run has ended twice"
        state["ended"] = body
    elif kind == "RunParked":
        state["parked"] = body
    elif kind in MOVING:
        return move(state, body, kind, step)
    return None if isinstance(kind, str) and isinstance(body.get("at"), int) else "it is damaged"


def move(state: Row, body: Row, kind: str, step: Any) -> str | None:
    status, proposal = state["steps"].get(step, "new"), body.get("proposal")
    to = MOVES[status].get(kind)
    if to is None:
        return f"{kind} cannot follow {status}"
    if kind == "StepCancelled" and status == "started" and state["proposals"].get(step, {}).get("effect") in EFFECTFUL:
        return "a started step with an effect cannot be cancelled"
    if kind == "StepResolved":
        to = body.get("how")
        if to not in ("succeeded", "failed", "waiting"):
            return "a doubt cannot be resolved so"
    if isinstance(proposal, dict):
        state["proposals"][step] = proposal
    if isinstance(body.get("attempt"), int):
        state["attempts"][step] = max(body["attempt"], state["attempts"].get(step, 0))
    state["steps"][step] = to
    return None


def requesters(ledger: Ledger, run: str, ticket: Row) -> Iterator[Fault]:
    """Who may not decide is who started the tree, and on whose behalf."""
    root = ledger.runs.get(ledger.runs[run]["root"])
    about = parsed(raw(ticket["body"])).get("ticket")
    said = about.get("requesters") if isinstance(about, dict) else None
    if root is not None and said != list(dict.fromkeys((root["actor"], root["requester"]))):
        yield run, None, "the requesters of an approval are not those who started the run: they were changed"


def note(ledger: Ledger, row: Row, fact: Row, body: Row, state: Row) -> None:
    """What other runs tell about this one, and it about them."""
    run = row["run"]
    if state["ended"] is not None and row["parent"] is not None:
        ledger.ends.setdefault(run, set()).add(fact["head"])
    if body.get("kind") in ("StepSucceeded", "StepFailed") and body.get("child_head") is not None:
        base = "{}.{}".format(run, body["step"])
        attempts = range(1, max(1, state["attempts"].get(body["step"], 1)) + 1)
        names = {base if attempt == 1 else f"{base}~{attempt}" for attempt in attempts}
        detached = state["proposals"].get(body["step"], {}).get("call") == "detach"
        ledger.children.append((run, fact["seq"], names, body["child_head"], detached))
    if body.get("kind") == "StepSucceeded":
        put(ledger, row, fact, body, state)
    for payload in (fact["input"], fact["output"]):
        if isinstance(payload, str) and MARK in payload:
            ledger.marks.setdefault(row["root"], set()).update(marks(value_of(payload)))


def put(ledger: Ledger, row: Row, fact: Row, body: Row, state: Row) -> None:
    """Keep what an outcome tells of the records that its act put."""
    if state["proposals"].get(body["step"], {}).get("effect") != "transactional":
        return
    told = value_of(fact["input"]) if isinstance(fact["input"], str) else None
    if not isinstance(told, list):
        ledger.silent.add(row["run"])
        return
    for one in told:
        if isinstance(one, dict) and isinstance(one.get("key"), str):
            known = {"run": row["run"], "root": row["root"], "seq": fact["seq"], "at": body["at"], "put": one}
            ledger.puts.setdefault((str(one.get("tenant")), one["key"]), []).append(known)


def hear(fact: Row, body: Row, asks: dict[str, Row], last: Row, inputs: Row) -> None:
    """Keep what facts tell of tickets."""
    kind, step = body.get("kind"), str(body.get("step"))
    hidden = bool(fact.get("withheld"))
    if kind == "StepHeld" and body.get("ask"):
        inputs[step] = [*inputs.get(step, []), (raw(fact["input"]), hidden)]
        ask = {"seq": fact["seq"], "body": body, "answers": [], "spent": False, "inputs": list(inputs[step])}
        asks[body["ask"]["ticket"]] = ask
        last[step] = body["ask"]["ticket"]
    elif kind == "ApprovalDecided" and body.get("ticket") in asks:
        asks[body["ticket"]]["answers"].append(body)
        if body.get("binding") is not None:
            inputs[step] = [*inputs.get(step, []), (raw(fact["input"]), hidden)]
    elif kind == "StepStarted" and body.get("approval") in asks:
        asks[body["approval"]]["spent"] = True


def about_start(row: Row, started: Row | None) -> Iterator[Fault]:
    run = row["run"]
    if started is None:
        yield run, None, "its facts hold no start"
        return
    for name in SAME:
        if row[name] != started.get(name):
            yield run, None, f"its row has another {name} than it was started with"
    if row["created"] != (started.get("forked_at") or started["at"]):
        yield run, None, "its row says that it was created at another time"
    if row["tenant"] != "local":
        yield run, None, "its row has another tenant"
    if (row["root"] == run) != (row["parent"] is None or started.get("lineage") is not None):
        yield run, None, "its row stands in another tree"


def about_status(row: Row, state: Row) -> Iterator[Fault]:
    run, parked, ended = row["run"], state["parked"], state["ended"]
    if row["status"] == "parked":
        said = parked is not None and row["parked_on"] == parked.get("on") and row["due"] is not None
        if not said or row["due"] > parked["due"]:
            yield run, None, "its row is parked on something else than its facts say"
    elif row["parked_on"] is not None:
        yield run, None, "its row is not parked, and says on what"
    if (ended is None) is (row["status"] in ENDS):
        yield run, None, "its row and its facts differ about its end"
    elif ended is not None and (row["status"] != ended.get("status") or row["due"] is not None):
        yield run, None, "its row says of its end what its facts do not"


def wrong_ticket(row: Row, asks: dict[str, Row], last: Row, state: Row) -> str | None:
    """Why a ticket is not what its facts say."""
    ask = asks.get(row["id"])
    if ask is None:
        return "an approval that no fact knows: it was added"
    held, about = ask["body"], parsed(raw(row["body"]))
    said, changed = about.get("ticket"), "an approval is not what its facts say: it was changed"
    if not isinstance(said, dict):
        return changed
    opened, rule, step = held["ask"], held["ask"]["rule"], held["step"]
    answers = [answer_of(one) for one in ask["answers"]]
    binding = next((one["binding"] for one in reversed(answers) if one["binding"]), opened["binding"])
    if (said.get("ask"), said.get("answers"), said.get("binding")) != (opened, answers, binding):
        return changed
    if (about.get("proposal"), row["step"]) != (held["proposal"], step) or verdict(about) != verdict(held):
        return changed
    spans = 2 if rule["on_expire"] == "escalate" else 1
    expires = opened["opened"] + spans * int(rule["ttl_seconds"] * 1e6)
    if (row["opened"], row["expires"]) != (opened["opened"], expires):
        return changed
    if state["started"] is not None and about.get("program") != state["started"].get("program"):
        return changed
    if not is_bound(row, ask):
        return "the salt of an approval is not the one that binds it to its arguments"
    told = state_of(ask, answers, rule["quorum"])
    is_over = row["state"] == "expired" and state["steps"].get(step) == "failed"
    is_replaced = row["state"] == "replaced" and last[step] != row["id"]
    if row["state"] != told and not is_over and not is_replaced:
        return "an approval is {}, its facts say {}".format(row["state"], told)
    is_more = set(about) - TICKET or set(said) - KEPT
    return changed if is_more or said.get("state") != row["state"] else None


def answer_of(fact: Row) -> Row:
    by = {"id": fact["by"], "proof": fact["proof"]}
    about = {"answer": fact["answer"], "at": fact["at"], "reason": fact.get("reason", "")}
    return {"by": by, **about, "binding": fact.get("binding")}


def verdict(body: Row) -> Row:
    return {name: value for name, value in (body.get("verdict") or {}).items() if name != "counts" or value}


def is_bound(row: Row, ask: Row) -> bool:
    salt, target = from_hex(row["salt"]), ask["body"]["proposal"]["target"].encode()
    if any(hidden for _, hidden in ask["inputs"]):
        return True
    if any(data is None for data, _ in ask["inputs"]):
        return salt is None
    if salt is None:
        return False
    start = salt + b"%d:%s" % (len(target), target)
    return any(sha256(start + data).hexdigest() == ask["body"]["ask"]["binding"] for data, _ in ask["inputs"])


def state_of(ask: Row, answers: list[Row], quorum: int) -> str:
    if any(one["answer"] == "deny" for one in answers):
        return "denied"
    if ask["spent"]:
        return "spent"
    since = max((at for at, one in enumerate(answers) if one["binding"] is not None), default=0)
    people = {one["by"]["id"] for one in answers[since:] if one["answer"] == "approve"}
    return "approved" if len(people) >= quorum else "open"


def against_anchors(ledger: Ledger, row: Row, facts: list[Row], claims: Row) -> tuple[list[Fault], int]:
    """What was anchored is still there; what has ended was anchored. And how many facts are vouched for."""
    run, held = row["run"], 0
    faults: list[Fault] = []
    if run in claims["vacuumed"]:
        return faults, 0
    for seq, head in claims["runs"].get(run, []):
        if seq > len(facts):
            faults.append((run, len(facts) + 1, "the ledger is behind its anchors: facts were cut"))
            return faults, held
        if facts[seq - 1]["head"] != head:
            faults.append((run, held + 1, f"the chain up to fact {seq} is not the one that was anchored"))
            return faults, held
        held = max(held, seq)
    if row["status"] in ENDS and run not in ledger.owed and claims["exists"] and claims["ends"]:
        if held < end_of(facts):
            faults.append((run, None, "it has ended, and no anchor says so"))
    elif run in ledger.owed and held < end_of(facts):
        ledger.late.add(run)
    return faults, held


def end_of(facts: list[Row]) -> int:
    """The seq of the fact that ends a run; 0 without one."""
    return max((fact["seq"] for fact in facts if fact["kind"] == "RunEnded"), default=0)


def missing(ledger: Ledger, claims: Row, is_copy: bool, part: bool) -> tuple[list[Fault], dict[str, int]]:
    """Runs that were anchored and are not here, and how many of them only the word of the export excuses."""
    known = claims["runs"].items()
    gone = [run for run, rests in known if rests and run not in ledger.runs and run not in claims["vacuumed"]]
    excused = {run for run in gone if run in ledger.vacuumed}
    elsewhere = {run for run in gone if run not in excused and not ledger.whole}
    believed = set() if is_copy else excused
    believed |= elsewhere if part or not is_copy else set()
    what = "it was anchored, and the ledger does not hold it: it was deleted"
    alone = "it was anchored and is not here, and only the export says that this is right"
    faults: list[Fault] = [
        (run, None, alone if run in excused | elsewhere else what) for run in gone if run not in believed
    ]
    return faults, {"part": int(not ledger.whole), "elsewhere": len(elsewhere), "excused": len(excused)}


def imports(ledger: Ledger, claims: Row, is_copy: bool) -> Iterator[Fault]:
    """Take notes of runs that came from elsewhere, as far as they count."""
    for run, upto in ledger.notes:
        if not NUMBER.fullmatch(upto):
            yield run, None, "a note that it was imported tells no number of facts: it was changed"
            continue
        is_told = claims["imported"].get(run) == int(upto)
        if is_copy and not is_told:
            yield run, None, "only the export says that it was imported"
            continue
        ledger.imported[run] = int(upto)
        ledger.noted += not is_told


def across(ledger: Ledger, claims: Row) -> Iterator[Fault]:
    """What only shows when all runs are known."""
    runs = ledger.runs
    for run, row in runs.items():
        above = runs.get(row["parent"])
        if row["root"] != run and (above is None or above["root"] != row["root"]):
            yield run, None, "its parent is not in its tree"
    for run, seq, children, head, detached in ledger.children:
        if not any(head in ledger.ends.get(child, ()) for child in children):
            is_elsewhere = not ledger.whole or runs[run]["root"] in ledger.imported
            if detached and is_elsewhere and not children & set(runs):
                continue
            yield run, seq, "its child run is not there, or did not end with the chain that this fact tells"
    for run in runs:
        for ticket in ledger.tickets.get(run, []):
            yield from requesters(ledger, run, ticket)
    kept: dict[str, Any] = {"facts": ledger.facts, "approvals": ledger.tickets, "large values": ledger.blobs}
    for sort, rows in kept.items():
        yield from ((run, None, f"{sort} of a run that is not there") for run in rows if run not in runs)
    yield from beside(ledger)
    yield from records(ledger, claims)
    if not ledger.whole:
        return
    if not claims["exists"] and any(row["status"] in ENDS and run not in ledger.owed for run, row in runs.items()):
        yield None, None, "the anchors are missing, though runs have ended"


def records(ledger: Ledger, claims: Row) -> Iterator[Fault]:
    """What acts put is as their outcomes tell, as far as these do."""
    found = set()
    for row in ledger.records:
        if not row.get("withheld"):
            found.add((row["tenant"], row["key"]))
            yield from wrong_record(ledger, row, claims)
    for tenant, key in sorted(set(ledger.puts) - found):
        told = [one for one in ledger.puts[tenant, key] if not is_foreign(ledger, one)]
        if told and ledger.whole and not any(row.get("withheld") for row in ledger.records):
            yield told[-1]["run"], told[-1]["seq"], f"the record {key} that it put is gone"


def wrong_record(ledger: Ledger, row: Row, claims: Row) -> Iterator[Fault]:
    run, at, told = row["run"], row["updated"], ledger.puts.get((row["tenant"], row["key"]), [])
    mine = [one for one in told if one["run"] == run]
    name = "record {}".format(row["key"])
    if mine:
        if (mine[-1]["put"].get("at"), mine[-1]["put"].get("sha256")) != (at, row.get("sha256")):
            yield run, mine[-1]["seq"], f"{name} is not what its act put"
            return
    elif run in ledger.runs:
        if run not in ledger.silent:
            yield run, None, f"{name} says that this run put it, whose acts did not"
            return
    elif claims["exists"] and run not in claims["vacuumed"] | ledger.vacuumed:
        yield run, None, f"{name} says that this run put it, which is not there"
        return
    for one in told:
        is_later = one["at"] >= mine[-1]["at"] + HOUR if mine else one["put"].get("at") == at
        if one["run"] != run and is_later and not is_foreign(ledger, one):
            yield one["run"], one["seq"], f"{name} is not what this act put, but what came before"


def is_foreign(ledger: Ledger, told: Row) -> bool:
    """Whether it was put in another ledger, from which the run was imported."""
    return bool(told["seq"] <= ledger.imported.get(told["run"], 0))


def beside(ledger: Ledger) -> Iterator[Fault]:
    """Large values and bundles: those that are wanted are there, and all are what their names say."""
    note_nested(ledger)
    for root, wanted in ledger.marks.items():
        for id in sorted(wanted - set(ledger.blobs.get(root, ()))):
            yield root, None, f"large value {id[:12]} is gone"
    for root, blobs in ledger.blobs.items():
        for id, row in blobs.items():
            if BLOB.fullmatch(id) and not row.get("withheld") and not is_blob(id, raw(row["body"])):
                yield root, None, f"large value {id[:12]} does not match its name"
    for hash in {row["bundle"] for row in ledger.runs.values()} - set(ledger.bundles):
        if HASH.fullmatch(hash):
            yield None, None, f"bundle {hash[:12]} is gone"
    for hash, row in ledger.bundles.items():
        if HASH.fullmatch(hash) and not is_bundle(hash, raw(row["body"])):
            yield None, None, f"bundle {hash[:12]} does not match its hash"


def note_nested(ledger: Ledger) -> None:
    """Large values may name others."""
    for root, blobs in ledger.blobs.items():
        for id, row in blobs.items():
            if isinstance(row["body"], str) and MARK in row["body"] and is_blob(id, raw(row["body"])):
                ledger.marks.setdefault(root, set()).update(marks(value_of(row["body"])))


def claims_of(data: bytes | None) -> Row:
    """What a file of anchors claims."""
    claims: Row = {"exists": data is not None, "ends": True, "runs": {}, "vacuumed": set(), "faults": []}
    claims["imported"] = {}
    n, prev = 0, ""
    lines = (data or b"")[: (data or b"").rfind(b"\n") + 1].splitlines()
    for number, line in enumerate(lines, 1):
        said, content = line[-66:-2].decode("ascii", "replace"), content_of(line)
        if content is None:
            claims["faults"].append((None, None, f"anchors, line {number}: its hash does not match"))
            n, prev = n + 1, said
            continue
        if content["n"] != n + 1 or content["prev"] != prev:
            claims["faults"].append((None, None, f"anchors, line {number}: lines are missing, added or moved"))
        n, prev = content["n"], said
        for run, seq, head in content.get("runs", ()):
            if run in claims["vacuumed"]:
                claims["vacuumed"].discard(run)
                claims["runs"][run] = []
            claims["runs"].setdefault(run, []).append((seq, head))
        claims["imported"].update(content.get("imported", ()))
        for run in content.get("vacuumed", ()):
            claims["vacuumed"].add(run)
            claims["imported"].pop(run, None)
        for run, upto in content.get("accepted", ()):
            claims["runs"][run] = [rest for rest in claims["runs"].get(run, ()) if rest[0] <= upto]
    return claims


def held_against(copy: bytes, own: bytes | None) -> Row:
    """What is claimed when a copy was kept elsewhere: it is believed where the export's own part from it."""
    if own is not None and own.startswith(copy):
        return claims_of(own)
    claims = claims_of(copy)
    claims["ends"] = False
    claims["faults"].append((None, None, "the anchors do not begin with the copy: lines were changed or cut"))
    return claims


def content_of(line: bytes) -> Row | None:
    """The record of a line whose hash and form are right."""
    record = line[:-75] + b"}"
    if line[-75:] != b',"hash":"%s"}' % sha256(record).hexdigest().encode():
        return None
    content = parsed(record)
    forms = {"runs": [str, int, str], "accepted": [str, int], "imported": [str, int]}
    if not isinstance(content.get("n"), int) or not isinstance(content.get("prev"), str):
        return None
    for name, form in forms.items():
        rows = content.get(name, [])
        if not isinstance(rows, list) or any(not isinstance(row, list) for row in rows):
            return None
        if any([type(part) for part in row] != form for row in rows):
            return None
    if any(row[1] < 1 for row in content.get("runs", [])) or not isinstance(content.get("at", 0), int):
        return None
    vacuumed = content.get("vacuumed", [])
    return content if isinstance(vacuumed, list) and all(isinstance(run, str) for run in vacuumed) else None


def is_blob(id: str, body: bytes) -> bool:
    salt, _, claimed = id.partition("-")
    return BLOB.fullmatch(id) is not None and sha256(bytes.fromhex(salt) + b"b" + body).hexdigest() == claimed


def is_bundle(hash: str, body: bytes) -> bool:
    try:
        files = json.loads(zlib.decompress(body))["files"]
        digest = sha256()
        for path, content in sorted((path, base64.b64decode(text)) for path, text in files.items()):
            digest.update(b"%d:%s%d:" % (len(path.encode()), path.encode(), len(content)))
            digest.update(content)
    except (*NO_FORM, zlib.error):
        return False
    return digest.hexdigest() == hash


def marks(value: Any) -> set[str]:
    """The large values that a payload names."""
    found, left = set(), [value]
    while left:
        part = left.pop()
        if isinstance(part, dict):
            if list(part) == ["\0blob"] and isinstance(part["\0blob"], str):
                found.add(part["\0blob"])
            else:
                left += part.values()
        elif isinstance(part, list):
            left += part
    return found


def value_of(payload: str) -> Any:
    """What a payload says; one that was changed may be no JSON, and says nothing."""
    try:
        return json.loads(payload)
    except (ValueError, RecursionError):
        return None


def parsed(data: Any) -> Row:
    try:
        value = json.loads(data)
    except (ValueError, RecursionError):
        return {}
    return value if isinstance(value, dict) else {}


def raw(value: Any) -> Any:
    """The bytes that an export tells as text, or as base64 where they are none."""
    if value is None:
        return None
    return base64.b64decode(value["base64"]) if isinstance(value, dict) else value.encode("utf-8")


def from_hex(value: str | None) -> Any:
    return None if value is None else bytes.fromhex(value)


def read_rows(path: str) -> list[Row]:
    data = read_bytes(path)
    if data is None:
        raise Unreadable(f"{path}: there is no such file")
    try:
        return [json.loads(line) for line in data.splitlines()]
    except (ValueError, RecursionError) as error:
        raise Unreadable(f"{path}: {error}") from None


def lines_of_copy(path: str) -> bytes:
    """The whole lines of a copy of the anchors; one without any vouches for nothing."""
    try:
        data = read_bytes(path)
    except Unreadable as error:
        raise NoCopy(str(error)) from None
    if data is None:
        raise NoCopy(f"{path}: there is no such file")
    if b"\n" not in data:
        raise NoCopy(f"{path}: it holds no line, so it vouches for nothing; give the copy that was kept")
    return data[: data.rfind(b"\n") + 1]


def read_bytes(path: str) -> bytes | None:
    try:
        with open(path, "rb") as file:
            return file.read()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unreadable(f"{path}: {error.strerror}") from None


def main(arguments: list[str]) -> int:
    """Say what is wrong, and how far anybody can tell."""
    copy, part = None, False
    if len(arguments) in (3, 4) and arguments[1] == "--anchors" and arguments[3:] in ([], ["--part"]):
        arguments, copy, part = arguments[:1], arguments[2], len(arguments) == 4
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("python verify.py EXPORT [--anchors COPY [--part]]", file=sys.stderr)
        return 2
    try:
        faults, counts = judge(arguments[0], copy, part)
    except NoCopy as error:
        print(f"--anchors {error}", file=sys.stderr)
        return 2
    except Unreadable as error:
        print(f"this export cannot be read: {error}", file=sys.stderr)
        return 4
    except Exception as error:  # whatever else it is, it may not end as a judgement does
        print(f"this export cannot be read: {type(error).__name__}: {error}", file=sys.stderr)
        return 4
    for run, seq, what in faults:
        where = "the export" if run is None else f"run {run}" + ("" if seq is None else f", fact {seq}")
        print(f"{where}: {what}")
    if not faults and not counts["runs"] and not counts["lines"]:
        print("nothing to verify: this export holds no run and no anchors")
        return 1
    print(f"{len(faults)} faults" if faults else "everything is as it was written")
    print("{runs} runs, {facts} facts, the anchors vouch for {vouched} of them".format(**counts))
    if copy is not None:
        print("believed: {copied} lines of the copy; the anchors of the export have {lines}".format(**counts))
    for name, said in ASIDE.items():
        if counts[name]:
            print(said.format(**counts))
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
