"""Drives one run from the command line: starts or resumes it, listens for signals, says how it ended."""

import asyncio
import os
import sys
from contextlib import AbstractContextManager, nullcontext, redirect_stdout
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, assert_never

from magsag.domain.errors import Invalid
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.frozen import frozen
from magsag.domain.ids import RunId
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import INTERRUPTED, NO, PARKED, WRONG, YES
from magsag.surfaces.cli.parked import wake_of
from magsag.surfaces.cli.signals import Signals
from magsag.surfaces.cli.writing import complain, counted, json_text, note, write_file

if TYPE_CHECKING:
    from magsag.services.driving.results import RunResult
    from magsag.services.driving.runs import Order
    from magsag.services.insight.tree import TreeNode


@frozen
class Asked:
    """What the command line wants done with a run besides driving it."""

    noun: str
    """`agent` or `flow`: the command that resumes it"""
    watch: bool = False
    output: str | None = None
    debug: bool = False
    detach: bool = False
    """leave it to whoever drives next"""
    wait: bool = False
    """stay while it is parked on time, events or child runs"""


def refuse_findings(call: Call, ref: str, is_proof: bool = False) -> int | None:
    """Exit code when the catalog forbids this run; a warning line when only other parts have findings.

    What stands in for acts counts for a proof alone.
    """
    shelf = call.app.shelf
    found = [*shelf.in_the_way(ref), *(shelf.in_the_way_of_proofs() if is_proof else ())]
    if (broken := shelf.policies_broken()) is not None and not call.is_quiet:
        note(f"warning: every act is denied: {broken}")
    if not found:
        if (elsewhere := shelf.elsewhere(ref)) and not call.is_quiet:
            noun = "finding" if elsewhere == 1 else "findings"
            note(f"warning: {elsewhere} {noun} elsewhere in the catalog; magsag catalog validate shows more")
        return None
    if call.wants_json:
        from magsag.surfaces.cli.catalog import finding_document

        listed = [finding_document(finding) for finding in found]
        complain(f"{ref} is not run: its catalog has findings", as_json=True, type="findings", findings=listed)
    else:
        for finding in found:
            note(str(finding))
        where = "in what it reaches" + " or in what stands in for it" * is_proof
        note(f"magsag: {ref} is not run: {counted(len(found), 'finding')} {where}")
    return WRONG


def check_output(path: str | None) -> None:
    """Before anything acts: whether the result can be written there. Raises Invalid."""
    if path is None or path == "-":
        return
    file = Path(path).absolute()
    is_device = file.exists() and not file.is_file()
    if file.is_dir() or not file.parent.is_dir() or not os.access(file if is_device else file.parent, os.W_OK):
        raise Invalid(f"--output {path}: this file cannot be written; choose another one")


def drive(call: Call, what: "Order | RunId", asked: Asked) -> int:
    """Start an order, or go on with a run; its exit code."""
    app = call.app
    if asked.detach:
        return _detach(call, what, asked)
    known: list[RunId] = [] if not isinstance(what, str) else [RunId(what)]

    def hint() -> str:
        return _resumable(call, asked, known[-1]) if known else "no run was on record yet"

    async def driven() -> "RunResult":
        signals.loop = asyncio.get_running_loop()
        run = RunId(what) if isinstance(what, str) else await app.runs.start(what)
        known.append(run)
        if asked.wait:
            return await app.staying.until_ended(run, lambda: signals.asked, partial(_say_waiting, call))
        return await app.runs.resume(run)

    with Signals(app.runner.interrupt, hint, INTERRUPTED) as signals, _prints_aside(asked), _shown(call, asked):
        result = asyncio.run(driven())
    code = _put(call, result, asked)
    return INTERRUPTED if asked.wait and signals.asked and code == PARKED else code


def _say_waiting(call: Call, result: "RunResult") -> None:
    if not call.is_quiet:
        waits = "; ".join(f"step {one.step}: {one.reason}" for one in result.reasons)
        note(f"run {result.run} is parked; {waits}")


def _detach(call: Call, what: "Order | RunId", asked: Asked) -> int:
    """Put the run on record for a worker; the exit code says that it is there, not how it ends.

    A start that objectives refuse has ended by then: that is said, with exit code 1.
    """
    if isinstance(what, str) or asked.watch or asked.wait or asked.output or asked.debug:
        raise Invalid("--detach drives nothing: leave out --resume, --watch, --wait, --output and --debug")
    run = asyncio.run(call.app.runs.submit(what))
    if call.app.runs.status(run) is RunStatus.DENIED:
        return _put(call, call.app.runs.result(run), asked)
    write_file("-", json_text({"run": run}, indent=not call.wants_json))
    return YES


def _shown(call: Call, asked: Asked) -> AbstractContextManager[None]:
    """What is seen of a run while it is driven: with --watch its tree, with --verbose a log line for each change."""
    if asked.watch:
        from magsag.surfaces.cli.live import live

        return live(call.app.watch())
    if call.flags.get("verbose"):
        call.app.watch().told = _log
    return nullcontext()


def _log(node: "TreeNode", depth: int) -> None:
    import logging

    fields = {"kind": node.kind} if node.ms is None else {"kind": node.kind, "ms": round(node.ms, 1)}
    about = {"run": node.run, "step": node.step or "", "fields": fields}
    logging.getLogger("magsag.run").info("%s %s", node.name, node.status, extra=about)


def _prints_aside(asked: Asked) -> AbstractContextManager[object]:
    """What catalog code prints is no result: it goes to stderr. A debugger keeps the terminal as it is."""
    return nullcontext() if asked.debug else redirect_stdout(sys.stderr)


def _put(call: Call, result: "RunResult", asked: Asked) -> int:
    """Say how the run stands."""
    match result.status:
        case RunStatus.SUCCEEDED | RunStatus.PARTIAL:
            write_file(asked.output or "-", json_text(result.output, indent=not call.wants_json))
            return _put_end(call, result)
        case RunStatus.FAILED | RunStatus.DENIED | RunStatus.CANCELLED:
            return _put_failure(call, result)
        case RunStatus.PARKED:
            return _put_parked(call, result)
        case RunStatus.RUNNING:
            text = f"interrupted; {_resumable(call, asked, result.run)}"
            complain(text, as_json=call.wants_json, type="interrupted", run=result.run, exit_code=INTERRUPTED)
            return INTERRUPTED
        case _:
            assert_never(result.status)


def _put_end(call: Call, result: "RunResult") -> int:
    if result.status is RunStatus.SUCCEEDED:
        if not call.is_quiet and not call.wants_json:
            note(f"run {result.run} succeeded")
        return YES
    text = f"run {result.run} is partial: a step failed and the run went on; magsag run show {result.run}"
    complain(text, as_json=call.wants_json, type="partial", run=result.run, status=result.status, exit_code=NO)
    return NO


def _put_failure(call: Call, result: "RunResult") -> int:
    """One line: what, where, and how to see more."""
    error = result.error
    if error is None:
        text = f"run {result.run} {result.status}"
        complain(text, as_json=call.wants_json, type=result.status, run=result.run, exit_code=NO)
        return NO
    where = f" at step {error.step}" if error.step else ""
    said = " ".join(error.message.split())
    kind = "" if result.status is RunStatus.CANCELLED else f"{error.type}: "
    longer = "give its agent a longer `timeout`, which counts waits too; " if "deadline" in error.details else ""
    more = f"{longer}magsag run show {result.run}" + (" --traceback" if "traceback" in error.details else "")
    if call.wants_json:
        about = {"type": error.type, "step": error.step, "details": error.details, "status": result.status}
        complain(error.message, as_json=True, run=result.run, **about, exit_code=NO)
    else:
        complain(f"run {result.run} {result.status}{where}: {kind}{said}; {more}", as_json=False)
    return NO


def _put_parked(call: Call, result: "RunResult") -> int:
    """On what it waits, and what would wake it."""
    from magsag.services.insight.documents import reason_document

    wakes = [wake_of(one, result.run) for one in result.reasons]
    said = "; ".join(f"step {one.step} waits for {one.on}: {one.reason}" for one in result.reasons)
    text = f"run {result.run} is parked: {said}" if said else f"run {result.run} is parked"
    if call.wants_json:
        pairs = zip(result.reasons, wakes, strict=True)
        waits = [{**reason_document(one), "wake": wake} for one, wake in pairs]
        complain(text, as_json=True, type="parked", run=result.run, reasons=waits, exit_code=PARKED)
        return PARKED
    complain(text, as_json=False)
    tickets = [one.ticket for one in result.reasons if one.ticket is not None and "approval:question" in one.reason]
    for ticket in tickets:
        note(f"  asks: {call.app.approvals.show(ticket).question}")
    for one in result.reasons:
        if one.on is ParkedOn.DOUBT and (said := call.app.doubts.find(result.run, one.step).said):
            note(f"  it said: {said}")
    for wake in dict.fromkeys(wakes):
        note(f"  {wake}")
    return PARKED


def _resumable(call: Call, asked: Asked, run: RunId) -> str:
    if not call.app.settings.features.durable:
        return f"run {run} lived in memory and is gone"
    return f"run {run} can be resumed: magsag {asked.noun} run --resume {run}"
