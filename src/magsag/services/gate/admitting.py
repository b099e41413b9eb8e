"""The input of an attempt on its way in: JSON, no secret in it, under its contract, redacted; a question for people
only when there are people for it.

What is judged is what is stored is what is acted on. Of a step that the ledger knows nothing is asked again but
whether it is JSON: it was admitted when it was new.
"""

from magsag.domain.errors import ErrorType
from magsag.domain.values import encode
from magsag.services.gate.asking import require_answerable
from magsag.services.gate.outcomes import breach
from magsag.services.recording.large import Values
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.target import QuestionAct


def admit(values: Values, attempt: Attempt, payload: object, is_new: bool) -> None:
    """Give the attempt its input. Raises StepFailed; what holds a secret is not put on record then."""
    seat, contract, what = attempt.seat, attempt.target.input, f"input of step {attempt.id}"
    tree, run = seat.leg.tree, seat.run
    if contract is None:
        attempt.data, attempt.value = values.encode(tree, run, payload, what, is_new)
        if is_new and isinstance(attempt.target.act, QuestionAct):
            require_answerable(attempt, attempt.target.act.rule)
        return
    if contract.redacts:
        given = encode(payload, what)[1]
        fault = breach(contract, given, ErrorType.INPUT_CONTRACT) if is_new else None
        attempt.data, attempt.value = values.encode(tree, run, contract.redact(given), what, is_new)
    else:
        attempt.data, attempt.value = values.encode(tree, run, payload, what, is_new)
        fault = breach(contract, attempt.value, ErrorType.INPUT_CONTRACT) if is_new else None
    if fault is not None:
        raise fault
