"""`magsag audit verify`: whether the record is still what was written, and how far anybody can tell."""

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.writing import counted, note, put_json, say

if TYPE_CHECKING:
    from magsag.ports.auditing import Vouching
    from magsag.services.keeping.verification import BadRun, Report

_SHOWN = 5
"""so many runs are named that go beyond the anchors"""


@click.command("verify", cls=Leaf)
@click.option("--run", metavar="RUN", help="Tell of this run alone; the whole ledger is judged all the same.")
@click.option("--anchors", "copy", metavar="FILE", help="A copy of the anchors that was kept where nobody here writes.")
@click.pass_obj
def verify(call: Call, run: str | None, copy: str | None) -> int:
    """Judge whether every fact is as it was written, and say how far the anchors vouch for that.

    Names the first bad fact of each bad run. With --anchors the ledger's own anchors must go on where the copy ends,
    and the copy is believed. Vacuumed and erased runs are no fault. Exit 0 when all is sound, 1 when something was
    changed, 4 when the ledger cannot be read.
    """
    told = call.app.verification.verify(run, copy, _quietly if call.is_quiet else note)
    if call.wants_json:
        put_json(_document(told))
    else:
        _tell(told)
    if told.anchors is not None and told.anchors.is_writable and not call.is_quiet:
        note(_warning(told.anchors.file, copy is not None))
    return YES if told.is_sound else NO


def _tell(told: "Report") -> None:
    for one in told.bad:
        say(f"{_place(one)}: {one.what}")
    for fault in told.beside:
        say(f"{fault.where}: {fault.what}")
    of = f" of {told.runs}" if len(told.bad) <= told.runs else ""  # those that are gone are none of them
    wrong = f"{len(told.bad)}{of} runs are not as they were written" if told.bad else ""
    if told.is_sound:
        are = "is as it was written" if told.runs == 1 else "are as they were written"
        say(f"{counted(told.runs, 'run')} with {counted(told.facts, 'fact')} {are}")
    elif wrong:
        say(wrong)
    if told.anchors is not None:
        _tell_reach(told, told.anchors)


def _tell_reach(told: "Report", anchors: "Vouching") -> None:
    from magsag.services.insight.documents import iso

    if anchors.exists:
        last = f", the last one of {iso(anchors.at)}, hash {anchors.head[:16]}" if anchors.lines else ""
        own = 0 if anchors.copied is None else anchors.lines - anchors.copied
        beyond = f" and {counted(own, 'line')} that the ledger's own have more" if own else ""
        say(f"anchors: {_shown(anchors.file)}, {counted(anchors.lines - own, 'line')}{beyond}{last}")
    say(f"vouched for: {told.vouched} of {told.facts} facts")
    names = ", ".join(f"{reach.run} from fact {reach.anchored + 1}" for reach in told.after[:_SHOWN])
    more = f" and {len(told.after) - _SHOWN} more runs" if len(told.after) > _SHOWN else ""
    say(f"facts after the last anchor: {told.facts - told.vouched}" + (f" ({names}{more})" if names else ""))
    if anchors.vacuumed:
        say(f"let go: {counted(anchors.vacuumed, 'run')}, vacuumed")
    if anchors.excused:
        gone = counted(anchors.excused, "run")
        say(f"let go elsewhere: {gone}, by the word of the ledger alone; --anchors does not take it")
    for by, count in anchors.accepted:
        say(f"accepted: {by} let {counted(count, 'run')} go on from less than was anchored")
    if anchors.noted:
        came = counted(anchors.noted, "run")
        say(f"imported: {came}, by the word of the ledger alone; --anchors does not take it")
    if anchors.unanchored:
        say(f"not anchored in this file: the end of {counted(anchors.unanchored, 'run')}")


def _place(one: "BadRun") -> str:
    if one.seq is None:
        return f"run {one.run}"
    return f"run {one.run}, fact {one.seq}" + (f" ({one.kind})" if one.kind is not None else "")


def _warning(file: str, is_copy: bool) -> str:
    what = "the copy too" if is_copy else "the anchors too, and who changes both leaves no trace"
    return (
        f"warning: you can write {_shown(file)}: whoever has this account can change {what}. Keep a copy where this "
        "account cannot write (or set [audit] anchors to such a place) and verify with --anchors COPY"
    )


def _shown(file: str) -> str:
    """As somebody here would type it."""
    return file.removeprefix(f"{Path.cwd()}/")


def _document(told: "Report") -> dict[str, object]:
    anchors = asdict(told.anchors) if told.anchors is not None else None
    if anchors is not None:
        from magsag.services.insight.documents import iso

        anchors["at"] = iso(anchors["at"]) if anchors["at"] else None
        anchors["accepted"] = [{"by": by, "runs": count} for by, count in anchors["accepted"]]
    return {
        "sound": told.is_sound,
        "runs": told.runs,
        "facts": told.facts,
        "bad_runs": [asdict(one) for one in told.bad],
        "beside": [{"where": fault.where, "what": fault.what} for fault in told.beside],
        "vouched": told.vouched,
        "after_last_anchor": told.facts - told.vouched,
        "beyond": [asdict(reach) for reach in told.after],
        "anchors": anchors,
    }


def _quietly(_: str) -> None:
    """Nobody wants to hear it."""
