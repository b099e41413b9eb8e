"""A flow as a whole: its order, its expressions against the contracts, steps that never run."""

from magsag.catalog.bundle import Entry
from magsag.catalog.check.domains import Schemas
from magsag.catalog.check.index import Index
from magsag.catalog.check.steps import check_conditions, check_cycles_of_steps
from magsag.catalog.document import Pointer
from magsag.catalog.survey import Candidate
from magsag.domain.manifests import Flow


def check_flow(candidate: Candidate, flow: Flow, index: Index) -> None:
    """All findings of one flow."""
    has_cycle = check_cycles_of_steps(candidate, flow)
    faulty = _check_expressions(candidate, flow, index, has_cycle)
    roots: dict[tuple[str, ...], Schemas] = {}
    name = flow.contracts.input
    if name is not None and (schema := index.bundle.schema(name)) is not None:
        roots["input",] = [(schema, schema)]
    check_conditions(candidate, flow, roots, index, faulty)


def _check_expressions(candidate: Candidate, flow: Flow, index: Index, has_cycle: bool) -> set[Pointer]:
    """Findings of what does not compile, fit the contracts or name a step; their places.

    The compiler sees cycles of steps too; they are left out where they were told already.
    """
    entry = Entry(str(candidate.subject), flow, candidate.path, candidate.document)
    faulty: set[Pointer] = set()
    for fault in index.bundle.compiled(entry).faults:
        is_about_a_step = isinstance(fault.pointer[-1], int) and fault.pointer[-2] == "steps"
        if is_about_a_step and has_cycle:
            continue
        what, _, guess = fault.message.partition(" Did you mean")
        fix = f"did you mean{guess}" if guess else "correct it"
        candidate.notes.add_in_text(fault.pointer, fault.column - 1, what.rstrip("."), fix)
        faulty.add(fault.pointer)
    return faulty
