"""Whether a run that is to leave its ledger holds the value of a secret that it used.

Nothing that MAGSAG records holds one that it knew by then. Somebody may have told it before: in the run's input, a
signal, a reason. Old values are known to nobody any more and cannot be looked for; nor can what is not there now.
"""

import logging
from collections.abc import Iterator
from typing import Any, Final

from pydantic_core import from_json

from magsag.domain.errors import Refused
from magsag.domain.facts import SecretUsed
from magsag.domain.ids import RunId
from magsag.domain.sealed import Stored
from magsag.domain.secret import reference_of
from magsag.ports.secrets import Secrets
from magsag.services.gate.secrets import learn
from magsag.services.recording.masking import RESOLVED
from magsag.services.recording.parcel import Parcel

_MOVE: Final = "change the secret where it is kept, erase the run (`magsag run erase`), and export it then"
_log = logging.getLogger("magsag.secrets")


def require_no_secret(parcel: Parcel, source: Secrets) -> None:
    """Raises Refused, naming the secret, its run, step and field, never the value."""
    if not _learned(parcel, source):
        return
    for run, recorded in parcel.runs.items():
        for stored in recorded:
            for what, value in _parts(stored):
                if (leak := RESOLVED.find(value)) is not None:
                    raise Refused(_refusal(run, stored, what, leak.name, leak.pointer))
    for data in parcel.blobs.values():
        if (leak := RESOLVED.find(from_json(data))) is not None:
            at = RESOLVED.clean(leak.pointer) or "/"
            raise Refused(f"run {parcel.root}: {at} of a large value holds the secret {leak.name}; {_MOVE}")


def _learned(parcel: Parcel, source: Secrets) -> bool:
    """Know what the runs used, as far as it can be had here; whether they used any."""
    used = {use["reference"]: use["name"] for recorded in parcel.runs.values() for use in _uses(recorded)}
    for text, name in used.items():
        if learn(source, name, reference_of(text)) is None:
            _log.warning(
                "secret %s (%s) cannot be read here: whether the export holds it was not looked at", name, text
            )
    return bool(used)


def _uses(recorded: list[Stored]) -> Iterator[dict[str, Any]]:
    return (from_json(stored.body) for stored in recorded if stored.kind == SecretUsed.__name__)


def _parts(stored: Stored) -> Iterator[tuple[str, Any]]:
    yield "record", from_json(stored.body)
    if stored.input is not None:
        yield "input", from_json(stored.input)
    if stored.output is not None:
        yield "output", from_json(stored.output)


def _refusal(run: RunId, stored: Stored, what: str, name: str, pointer: str) -> str:
    step = from_json(stored.body).get("step")
    where = f"run {run}" + (f", step {RESOLVED.clean(step)}" if step else "") + f", fact {stored.seq} ({stored.kind})"
    return f"{where}: {RESOLVED.clean(pointer) or '/'} of its {what} holds the secret {name}; {_MOVE}"
