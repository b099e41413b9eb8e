"""Which steps of a flow a command line asks for, and where the outputs of the others come from."""

import sys
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.reading import parse, read_input, stdin_bytes
from magsag.surfaces.cli.writing import counted, note, put_json, say

if TYPE_CHECKING:
    from magsag.catalog.bundle import Entry
    from magsag.domain.ids import RunId
    from magsag.domain.manifests import Flow
    from magsag.services.driving.runs import Order

LOOKED_AT: Final = 50
"""so many earlier runs"""
Steps = Mapping[str, frozenset[str]]
"""in an order in which they could run, each with those that it waits for"""


def flow_order(
    call: Call, ref: str, source: str | None, run_id: str | None, only: tuple[str, ...], continue_from: str | None
) -> "Order":
    """The order for a flow. Raises Invalid for an unknown step, or when an output that is needed is not there."""
    from magsag.services.driving.runs import Order

    entry = call.app.shelf.flow(ref)
    steps = call.app.shelf.steps(entry)
    select = selected(entry.ref, steps, only, continue_from)
    payload = flow_input(entry, source)
    if select is None:
        return Order(entry.ref, payload, run_id)
    return Order(entry.ref, payload, run_id, select=select, continues=_earlier(call, entry, steps, select))


def put_plan(call: Call, ref: str, only: tuple[str, ...], continue_from: str | None) -> None:
    """What would run, step by step; nothing is recorded."""
    entry = call.app.shelf.flow(ref)
    steps = call.app.shelf.steps(entry)
    select = selected(entry.ref, steps, only, continue_from)
    by_id = {step.id: step for step in entry.manifest.steps}
    listed = [
        {
            "id": id,
            "does": _does(by_id[id]),
            "after": sorted(after),
            "when": by_id[id].when,
            "for_each": by_id[id].for_each,
            "runs": select is None or id in select,
        }
        for id, after in steps.items()
    ]
    if call.wants_json:
        put_json({"flow": entry.ref, "dry_run": True, "steps": listed})
        return
    say(f"{entry.ref}: {counted(len(listed), 'step')}; this is a dry run, nothing was started")
    for number, step in enumerate(listed, 1):
        say(f"{number:>3}  {step['id']}: {step['does']}{_notes(step)}")


def selected(ref: str, steps: Steps, only: tuple[str, ...], continue_from: str | None) -> tuple[str, ...] | None:
    """The steps to run; None for all. Raises Invalid for an unknown one."""
    for name in (*only, *([continue_from] if continue_from else ())):
        if name not in steps:
            from difflib import get_close_matches

            close = get_close_matches(name, list(steps), n=1, cutoff=0.6)
            fix = f'did you mean "{close[0]}"?' if close else f"its steps are {', '.join(steps)}"
            raise Invalid(f'{ref} has no step "{name}"; {fix}')
    if only:
        return tuple(id for id in steps if id in only)
    if continue_from:
        order = list(steps)
        return tuple(order[order.index(continue_from) :])
    return None


def _earlier(call: Call, entry: "Entry[Flow]", steps: Steps, select: tuple[str, ...]) -> "RunId | None":
    """The newest earlier run of the flow that has the outputs which the selected steps read."""
    from magsag.ports.ledger import RunQuery
    from magsag.services.programs.earlier import earlier_outputs

    insight, graph = call.app.insight, call.app.shelf.graph(entry)
    needed = {before for id in select for before in steps[id] - graph.nodes[id].guarded} - set(select)
    program = entry.ref.partition("@")[0]
    rows = insight.list(RunQuery(program=program, limit=LOOKED_AT))
    for row in rows:
        known = earlier_outputs(insight.fold(row.run), graph, insight.fold, lambda _, data: {})
        if needed <= known.keys():
            if not call.is_quiet and known.keys() - set(select):
                note(f"run {row.run} gives what the steps that are left out gave")
            return row.run
    if not needed:
        return None
    lacking = f"the output of {', '.join(sorted(needed))} is read here"
    if rows:
        raise Invalid(f"{lacking}, and none of the newest runs of {program} has it; run the flow in full first")
    raise Invalid(f"{lacking}, and there is no earlier run of {program}; run the flow in full first")


def flow_input(entry: "Entry[Flow]", source: str | None) -> object:
    """As for an agent; but a flow that expects nothing need not be given anything."""
    if entry.manifest.contracts.input is not None or source not in (None, "-"):
        return read_input(source)
    if sys.stdin is None or sys.stdin.isatty():
        return {}
    data = stdin_bytes()
    return parse(data, "input") if data.strip() else {}


def _does(step: object) -> str:
    uses, run, loop = getattr(step, "uses", None), getattr(step, "run", None), getattr(step, "loop", None)
    if run:
        return f"run {' '.join(run)}  [{getattr(step, 'effect', '')}]"
    return str(uses) if uses else f"loop, at most {getattr(loop, 'max_rounds', 1)} rounds"


def _notes(step: Mapping[str, object]) -> str:
    after = step["after"]
    notes = [f"after {', '.join(after)}"] if isinstance(after, list) and after else []
    notes += [f"for each of {step['for_each']}"] if step["for_each"] else []
    notes += [f"when {step['when']}"] if step["when"] else []
    notes += [] if step["runs"] else ["not selected"]
    return f"   ({'; '.join(notes)})" if notes else ""
