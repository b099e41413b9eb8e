"""A flow as a whole: its order, its expressions against the contracts, steps that never run."""

from magsag.catalog.bundle import Compiled, Entry
from magsag.catalog.check.index import Index
from magsag.catalog.check.steps import check_cycles_of_steps
from magsag.catalog.check.unreachable import check_conditions
from magsag.catalog.survey import Candidate
from magsag.domain.manifests import Flow


def check_flow(candidate: Candidate, flow: Flow, index: Index) -> None:
    """All findings of one flow."""
    has_cycle = check_cycles_of_steps(candidate, flow)
    compiled = index.bundle.compiled(Entry(str(candidate.subject), flow, candidate.path, candidate.document))
    _tell_faults(candidate, compiled, has_cycle)
    check_conditions(candidate, flow, index, compiled)


def _tell_faults(candidate: Candidate, compiled: Compiled, has_cycle: bool) -> None:
    """What does not compile, fit the contracts or name a step.

    The compiler sees cycles of steps too; they are left out where they were told already.
    """
    for fault in compiled.faults:
        is_about_a_step = isinstance(fault.pointer[-1], int) and fault.pointer[-2] == "steps"
        if is_about_a_step and has_cycle:
            continue
        what, _, guess = fault.message.partition(" Did you mean")
        fix = f"did you mean{guess}" if guess else "correct it"
        candidate.notes.add_in_text(fault.pointer, fault.column - 1, what.rstrip("."), fix)
