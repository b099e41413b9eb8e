"""Hands an attempt the secrets that its skill declares: read when the attempt starts, so that a rotation counts.
They are read before that too, so that no input takes one along: what a skill declares before its step's input is
admitted, what the skills of a bundle declare before the input of a run is recorded.

What goes on record is which reference was used and its version, a salted mark that tells one value from another;
never a value. From the first reading on a value is masked wherever this process would show it
(`services.recording.masking`).
"""

from collections.abc import Mapping

from magsag.catalog.bundle import Bundle
from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.manifests import Skill
from magsag.domain.secret import SecretReference, reference_of
from magsag.engine.run import Run
from magsag.ports.clock import Clock
from magsag.ports.secrets import Secrets
from magsag.services.recording.masking import RESOLVED
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Attempt


class SecretDesk:
    """Reads and records for all runs of this process."""

    def __init__(self, source: Secrets, recorder: Recorder, clock: Clock, are_needed: bool) -> None:
        """Where they are not needed, since others act in the skills' place, one that is missing fails nothing."""
        self._source = source
        self._recorder = recorder
        self._clock = clock
        self._are_needed = are_needed

    def hand(self, attempt: Attempt) -> StepFailed | None:
        """Read all that the skill declares, anew; the error of the one that cannot be had."""
        if not attempt.target.secrets:
            return None
        found: dict[str, str] = {}
        for name, text in attempt.target.secrets.items():
            reference = reference_of(text)
            try:
                found[name] = self._source.read(reference)
                version = self._source.version(found[name])
            except Invalid as error:
                if reference.is_optional or not self._are_needed:
                    continue
                return _missing(attempt, name, error)
            RESOLVED.add(name, found[name])
            self._note(attempt, name, reference, version)
        attempt.secrets = found
        return None

    def foresee(self, attempt: Attempt) -> None:
        """Know what the skill of a new step declares before its input is looked at; what is missing fails later."""
        for name, text in attempt.target.secrets.items():
            learn(self._source, name, reference_of(text))

    def remember(self, run: Run) -> None:
        """Know again what earlier legs have read, as far as it is still the same, so that it is masked here too."""
        for text, uses in run.secrets.items():
            learn(self._source, uses[-1].name, reference_of(text))

    def _note(self, attempt: Attempt, name: str, reference: SecretReference, version: str) -> None:
        """The first use in a run, and the first after a rotation, go on record, with the intent where there is one."""
        run, text = attempt.seat.run, str(reference)
        known = [use.version for use in run.secrets.get(text, ())]
        if known and known[-1] == version:
            return
        fact = facts.SecretUsed(
            at=self._clock.now(),
            step=attempt.id,
            name=name,
            reference=text,
            version=version,
            before=known[-1] if known else None,
        )
        self._recorder.keep(attempt.seat.leg.tree, run, fact)


def learn_declared(source: Secrets, bundle: Bundle) -> None:
    """Have all that the bundle's skills declare masked from here on, as far as it can be had without asking a keyring.

    An input is held against it before anything is recorded, also by a process that has acted nothing yet.
    """
    for entry in bundle.entries():
        if isinstance(entry.manifest, Skill):
            for name, text in entry.manifest.secrets.items():
                if (reference := reference_of(text)).source != "keyring":
                    learn(source, name, reference)


def learn(source: Secrets, name: str, reference: SecretReference) -> str | None:
    """Have the value masked from here on; None when it cannot be had."""
    try:
        value = source.read(reference)
    except Invalid:
        return None
    RESOLVED.add(name, value)
    return value


def handed(attempt: Attempt, name: str) -> str | None:
    """What `ctx.secret` gives: None for an optional one that is missing. Raises StepFailed for any other name."""
    declared = attempt.target.secrets
    if name not in declared:
        said = f"{attempt.target.proposal.target} does not declare the secret {name}"
        raise StepFailed(ErrorType.DENIED, f"{said}: add `secrets: {{{name}: env:{name}}}` to its manifest")
    value = (attempt.secrets or {}).get(name)
    if value is None and not reference_of(declared[name]).is_optional:
        raise StepFailed(ErrorType.UNAVAILABLE, f"secret {name} ({reference_of(declared[name])}) was not there")
    return value


def given(attempt: Attempt) -> Mapping[str, str | None]:
    """What an act in a process of its own is given: what its own skill declares, None for one that is missing."""
    return {name: (attempt.secrets or {}).get(name) for name in attempt.target.secrets}


def _missing(attempt: Attempt, name: str, error: Invalid) -> StepFailed:
    said = f"secret {name} of {attempt.target.proposal.target} cannot be had: {error}"
    if attempt.started and attempt.target.proposal.effect in EFFECTFUL:
        said += "; an attempt before this one may have acted"
    return StepFailed(ErrorType.UNAVAILABLE, said, {"secret": name})
