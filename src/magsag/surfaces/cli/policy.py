"""`magsag policy`: are policies sound, what would they say, is it what they should, what would others have said."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, PARKED, YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.writing import counted, put_json, put_pairs, put_table, say

if TYPE_CHECKING:
    from magsag.catalog.findings import Finding
    from magsag.services.desk.flips import Tried
    from magsag.services.desk.rulebook import Answer, CaseResult, Question


@click.group("policy", cls=Noun)
def command() -> None:
    """Check policies, ask them, test them, try others on the past."""


@command.command("check")
@click.pass_obj
def check(call: Call) -> int:
    """Report every finding in the policies in force and in their tests, and what is in force. Exit 1 with errors."""
    from magsag.services.desk.shelf import placed
    from magsag.surfaces.cli.catalog import finding_document

    findings, about = placed(call.app.rulebook.findings()), call.app.rulebook.describe()
    is_sound = about["broken"] is None and not any(one.severity == "error" for one in findings)
    if call.wants_json:
        put_json({**about, "findings": [finding_document(one) for one in findings]})
        return YES if is_sound else NO
    for one in findings:
        say(str(one) if one.severity == "error" else f"{one} (warning)")
    put_pairs({"rules": about["rules"], "windows": ", ".join(about["windows"]) or "none", "hash": about["hash"]})
    if about["broken"] is not None:
        say("everything is denied until this is mended")
    return YES if is_sound else NO


@command.command("explain")
@click.option("--agent", required=True, metavar="REF", help="Who wants it: agent:SLUG or flow:SLUG.")
@click.option("--on", "target", required=True, metavar="REF", help="What is wanted, e.g. skill:send-offer.")
@click.option("--args", "arguments", metavar="JSON", help="The input; null without it.")
@click.option("--effect", metavar="KIND", help="The effect kind of a tool or of a program in a flow.")
@click.option("--at", metavar="TIME", help="The moment, ISO 8601; now without it.")
@click.option("--count", "counts", multiple=True, metavar="REF=N", help="What run.count(REF) gives; 0 for the others.")
@click.option("--after", multiple=True, metavar="REF", help="What run.after(REF) is true of.")
@click.option("--below", multiple=True, metavar="REF", help="Who delegates to the agent; the outermost first.")
@click.pass_obj
def explain(
    call: Call,
    agent: str,
    target: str,
    arguments: str | None,
    effect: str | None,
    at: str | None,
    counts: tuple[str, ...],
    after: tuple[str, ...],
    below: tuple[str, ...],
) -> int:
    """Say what the policies would say of an act, and what each rule about it says. Nothing happens.

    Exit 0 for allow, 1 for deny, 3 for ask. --env and --mode say where and how.
    """
    answer = call.app.rulebook.answer(_question(agent, target, arguments, effect, at, counts, after, below))
    if call.wants_json:
        put_json(_answer_document(answer))
    else:
        _put_answer(answer)
    return {"allow": YES, "deny": NO, "ask": PARKED}[answer.verdict.decision.value]


@command.command("test")
@click.pass_obj
def test(call: Call) -> int:
    """Ask every case of the tables of kind policy_test; exit 1 when an answer is not the expected one.

    A table with a fault, or policies that cannot be used, are exit 1 as well; no case at all is exit 2.
    """
    from magsag.services.desk.shelf import placed

    results, faults = call.app.rulebook.test(), placed(call.app.rulebook.faults())
    if not results and not faults:
        raise Invalid("there are no cases; write a file of `kind: policy_test` beside the policies, see docs/policy.md")
    failed = [one for one in results if not one.passed]
    if call.wants_json:
        put_json([*map(_fault_document, faults), *map(_case_document, results)])
        return NO if failed or faults else YES
    for fault in faults:
        say(str(fault))
    for one in failed:
        say(f"{one.place}: {one.case}: {_told(one)}")
    found = f", {counted(len(faults), 'finding')}" if faults else ""
    say(f"{counted(len(results), 'case')}, {len(failed)} failed{found}")
    return NO if failed or faults else YES


@command.command("replay")
@click.option(
    "--with", "drafts", multiple=True, required=True, metavar="PATH", help="A policy file, or a folder of them."
)
@click.option("--since", metavar="TIME", help="Only the last 30d, 12h, 5m.")
@click.pass_obj
def replay(call: Call, drafts: tuple[str, ...], since: str | None) -> int:
    """Try other policies on the recorded decisions: which would flip, by which rule. Exit 1 when any would.

    The policies of PATH are tried instead of all those in force. What was erased since is not decidable.
    """
    from magsag.surfaces.cli.audit import seconds_of

    asked = call.app.policy_replay
    last = seconds_of(since) if since is not None else None
    tried = asked.replay(asked.policies([Path(one) for one in drafts]), last)
    if call.wants_json:
        put_json(_tried_document(tried))
    else:
        _put_tried(tried)
    return NO if tried.flips else YES


def _question(
    agent: str,
    target: str,
    arguments: str | None,
    effect: str | None,
    at: str | None,
    counts: tuple[str, ...],
    after: tuple[str, ...],
    below: tuple[str, ...],
) -> "Question":
    from magsag.domain.effects import DECLARABLE, Effect
    from magsag.services.desk.rulebook import Question, moment_of
    from magsag.surfaces.cli.reading import parse

    if effect is not None and effect not in tuple(DECLARABLE):
        raise Invalid(f"--effect {effect}: the kinds are {', '.join(DECLARABLE)}")
    args = parse(arguments.encode("utf-8", "surrogatepass"), "--args") if arguments is not None else None
    return Question(
        agent,
        target,
        args,
        Effect(effect) if effect is not None else None,
        at=moment_of(at) if at is not None else None,
        count=dict(_counted(one) for one in counts),
        after=frozenset(after),
        below=below,
    )


def _counted(text: str) -> tuple[str, int]:
    ref, _, number = text.rpartition("=")
    if not ref or not number.isdigit():
        raise Invalid(f"--count {text}: write REF=NUMBER, e.g. skill:send-offer=1")
    return ref, int(number)


def _put_answer(answer: "Answer") -> None:
    record, verdict = answer.record, answer.verdict
    say(f"{record.agent} wants {record.target} ({record.effect}); environment {record.env}, mode {record.mode}")
    say(f"at {record.time['iso']}, {record.time['weekday']}")
    words = {True: "applies", False: "does not", None: "cannot be evaluated"}
    rows = [
        (words[rule.applies], rule.decision.value, rule.id, rule.place, rule.why or rule.when or "")
        for rule in answer.rules
    ]
    if rows:
        put_table(("", "verdict", "rule", "place", "condition"), rows)
    else:
        say("no rule is about it")
    because = f": {verdict.reason}" if verdict.reason else ""
    say(f"{verdict.decision} by {verdict.rule} ({verdict.place}){because}")


def _answer_document(answer: "Answer") -> dict[str, Any]:
    record = answer.record
    asked = {name: getattr(record, name) for name in ("agent", "target", "env", "mode", "args", "time")}
    return {
        "record": {**asked, "effect": record.effect.value},
        "rules": [
            {
                "id": rule.id,
                "place": rule.place,
                "verdict": rule.decision.value,
                "applies": rule.applies,
                "when": rule.when,
                "why": rule.why or None,
            }
            for rule in answer.rules
        ],
        "verdict": _verdict_document(answer.verdict),
    }


def _verdict_document(verdict: Any) -> dict[str, Any]:
    return {name: str(getattr(verdict, name)) for name in ("decision", "rule", "place", "reason", "policy")}


def _told(one: "CaseResult") -> str:
    if one.verdict is None:
        return one.fault
    expected = f"{one.expected}" + (f" by {one.expected_rule}" if one.expected_rule else "")
    return f"expected {expected}, got {one.verdict.decision} by {one.verdict.rule} ({one.verdict.place})"


def _case_document(one: "CaseResult") -> dict[str, Any]:
    return {
        "place": one.place,
        "case": one.case,
        "passed": one.passed,
        "expected": one.expected.value,
        "expected_rule": one.expected_rule,
        "verdict": None if one.verdict is None else _verdict_document(one.verdict),
        "fault": one.fault or None,
    }


def _fault_document(fault: "Finding") -> dict[str, Any]:
    """A finding among the cases: nothing there could be asked."""
    nothing = dict.fromkeys(("expected", "expected_rule", "verdict"))
    return {"place": fault.place, "case": None, "passed": False, **nothing, "fault": f"{fault.what}; {fault.next}"}


def _put_tried(tried: "Tried") -> None:
    same = f"{tried.equal} the same byte for byte, {tried.alike} the same decision"
    other = f"{len(tried.flips)} flipped, {len(tried.not_decidable)} not decidable"
    say(f"{counted(tried.decisions, 'decision')} in {counted(tried.runs, 'run')}: {same}, {other}")
    rows = [
        (str(len(flips)), f"{was} by {rule}", f"{would} by {other}", f"{flips[0].run} {flips[0].step}")
        for (was, rule, would, other), flips in tried.by_rule().items()
    ]
    if rows:
        put_table(("flips", "was", "would be", "for instance"), rows)
    for one in tried.not_decidable:
        say(f"not decidable: run {one.run} step {one.step} ({one.target}): {one.why}")


def _tried_document(tried: "Tried") -> dict[str, Any]:
    return {
        "runs": tried.runs,
        "decisions": tried.decisions,
        "equal": tried.equal,
        "alike": tried.alike,
        "flips": [
            {
                "run": one.run,
                "step": one.step,
                "target": one.target,
                "was": _verdict_document(one.was),
                "would_be": _verdict_document(one.would_be),
            }
            for one in tried.flips
        ],
        "not_decidable": [
            {"run": one.run, "step": one.step, "target": one.target, "why": one.why} for one in tried.not_decidable
        ],
    }
