"""Hands an attempt the secrets that its skill declares: read when the attempt starts, so that a rotation counts.
They are read before that too, so that nothing takes one along: what the skills of a bundle declare before the input of
a run is recorded and when a leg of it begins, what a skill declares before its step's input is admitted.

What goes on record is which reference was used and its version, a salted mark that tells one value from another;
never a value. From the first reading on a value is masked wherever this process would show it
(`services.recording.masking`).
"""

import asyncio
from collections.abc import Callable, Collection, Mapping

from magsag.catalog.bundle import Bundle
from magsag.domain import facts
from magsag.domain.effects import EFFECTFUL
from magsag.domain.errors import Broken, ErrorType, Invalid, StepFailed
from magsag.domain.manifests import Skill
from magsag.domain.secret import NoAnswer, SecretReference, reference_of
from magsag.ports.clock import Clock
from magsag.ports.secrets import Secrets
from magsag.services.gate.secret_reads import Answer, Had, SecretReads
from magsag.services.recording.large import require_no_secret
from magsag.services.recording.masking import RESOLVED
from magsag.services.recording.recorder import Recorder
from magsag.services.steps.attempt import Attempt
from magsag.services.steps.seat import Seat

Declared = tuple[str, str]
"""the name of a secret, and its reference as it is written"""


class SecretDesk:
    """Reads and records for all runs of this process."""

    def __init__(self, source: Secrets, recorder: Recorder, clock: Clock, are_needed: bool) -> None:
        """Where they are not needed, since others act in the skills' place, one that is missing fails nothing."""
        self._reads = SecretReads(source)
        self._recorder = recorder
        self._clock = clock
        self._are_needed = are_needed
        self._declared: dict[str, Collection[Declared]] = {}
        """by the hash of a bundle"""

    async def hand(self, attempt: Attempt, cancelled: Callable[[Attempt], None]) -> StepFailed | None:
        """Read all that the skill declares, anew; the error of the one that cannot be had.

        Raises CancelledError; of a step that was given up on purpose and has not started, `cancelled` records that.
        """
        if not attempt.target.secrets:
            return None
        answers, found, is_news = await self._read(attempt, cancelled), dict[str, str](), False
        for name, text in attempt.target.secrets.items():
            answer, reference = answers[text], reference_of(text)
            if isinstance(answer, Invalid):
                if reference.is_optional or not self._are_needed:
                    continue
                return _missing(attempt, name, answer)
            found[name] = answer.value
            is_news |= RESOLVED.add(name, answer.value)
            self._note(attempt, name, str(reference), answer.version)
        attempt.secrets = found
        return _told_too_early(attempt) if is_news else None

    async def foresee(self, attempt: Attempt) -> None:
        """Know what the skill of a new step declares before its input is looked at; what is missing fails later.

        What may take long is read here only when this process has not read it yet.
        """
        declared = attempt.target.secrets.items()
        await self._learn([(name, text) for name, text in declared if not self._is_settled(text)])

    async def learn_declared(self, bundle: Bundle) -> None:
        """Have all that the bundle's skills declare masked from here on, as far as no keyring has to be asked.

        Raises Broken while a disk gives no answer: what it keeps could be recorded.
        """
        if declared := self._declared_in(bundle):
            _require_answers(await self._learn(declared))

    async def remember(self, seat: Seat) -> None:
        """Know again what earlier legs of a run have read, and what its bundle declares, as they are now.

        Raises Broken while a disk gives no answer.
        """
        used = [(uses[-1].name, text) for text, uses in seat.run.secrets.items()]
        declared = self._declared_in(seat.targets.bundle) if seat.above is None else ()
        if used or declared:
            _require_answers(await self._learn([*used, *declared]))

    async def _learn(self, declared: Collection[Declared]) -> Mapping[str, Answer]:
        answers = await self._reads.read({text for _, text in declared})
        for name, text in declared:
            if isinstance(answer := answers[text], Had):
                RESOLVED.add(name, answer.value)
        return answers

    def _is_settled(self, text: str) -> bool:
        return self._reads.may_wait([text]) and self._reads.is_read(text)

    def _declared_in(self, bundle: Bundle) -> Collection[Declared]:
        known = self._declared.get(bundle.hash)
        if known is None:
            known = self._declared[bundle.hash] = _declared(bundle)
        return known

    async def _read(self, attempt: Attempt, cancelled: Callable[[Attempt], None]) -> Mapping[str, Answer]:
        """An act that may be under way is not left behind without its secrets; anything else may be given up."""
        texts = attempt.target.secrets.values()
        if not self._reads.may_wait(texts):
            return await self._reads.read(texts)
        reading = asyncio.ensure_future(self._reads.read(texts))
        while True:
            try:
                return await asyncio.shield(reading)
            except asyncio.CancelledError:
                if not attempt.given_up:
                    raise
                if not (attempt.started and attempt.target.proposal.effect in EFFECTFUL):
                    cancelled(attempt)
                    raise
                attempt.cancelled = True

    def _note(self, attempt: Attempt, name: str, text: str, version: str) -> None:
        """The first use in a run, and the first after a rotation, go on record, with the intent where there is one."""
        run = attempt.seat.run
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


def learn(source: Secrets, name: str, reference: SecretReference) -> str | None:
    """Have the value masked from here on; None when it cannot be had."""
    try:
        value = source.read(reference)
    except Invalid:
        return None
    RESOLVED.add(name, value)
    return value


def learn_at_once(source: Secrets, bundle: Bundle) -> None:
    """Have all that the bundle's skills declare masked from here on, as far as no keyring has to be asked.

    For a process that does one thing for somebody: it waits for files, for all of them at once.
    """
    from concurrent.futures import ThreadPoolExecutor

    declared = [(name, reference_of(text)) for name, text in _declared(bundle)]
    slow = [one for one in declared if source.may_wait(one[1])]
    for name, reference in declared:
        if not source.may_wait(reference):
            learn(source, name, reference)
    if slow:
        with ThreadPoolExecutor(len(slow)) as pool:
            list(pool.map(lambda one: learn(source, *one), slow))


def _declared(bundle: Bundle) -> Collection[Declared]:
    """What its skills declare, and no keyring: that would ask somebody for a password before it is needed."""
    skills = [entry.manifest for entry in bundle.entries() if isinstance(entry.manifest, Skill)]
    found = dict.fromkeys(one for skill in skills for one in skill.secrets.items())
    return tuple((name, text) for name, text in found if reference_of(text).source != "keyring")


def _require_answers(answers: Mapping[str, Answer]) -> None:
    """Raises Broken for a file of which nobody knows what it holds: nothing can be looked into for it.

    A keyring is waited for by the steps that want it, and known from then on.
    """
    for text, answer in answers.items():
        if isinstance(answer, NoAnswer) and reference_of(text).source != "keyring":
            raise Broken(f"secret {answer}; until it is known nothing is recorded that could hold it, try again then")


def _told_too_early(attempt: Attempt) -> StepFailed | None:
    """The error of an input that holds what was read just now; it goes no further, where it is not on record yet."""
    if attempt.known:
        return None
    try:
        require_no_secret(attempt.value, f"input of step {attempt.id}")
    except StepFailed as error:
        attempt.data = b"null"
        return error
    return None


def _missing(attempt: Attempt, name: str, error: Invalid) -> StepFailed:
    said = f"secret {name} of {attempt.target.proposal.target} cannot be had: {error}"
    if attempt.started and attempt.target.proposal.effect in EFFECTFUL:
        said += "; an attempt before this one may have acted"
    return StepFailed(ErrorType.UNAVAILABLE, said, {"secret": name})
