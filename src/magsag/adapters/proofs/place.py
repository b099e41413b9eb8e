"""Where acts of a proof are performed: those that change something outside are calls of the sink, the others happen.

Every act and every lookup has a boundary on each side.
"""

from collections.abc import Awaitable, Callable
from typing import Final

from magsag.adapters.proofs.boundaries import Boundaries
from magsag.adapters.proofs.sink import SinkCalls
from magsag.catalog.stand_ins import Stand, StandIns
from magsag.domain.effects import Effect
from magsag.domain.errors import Invalid
from magsag.ports.place import ActCall
from magsag.services.proofs.points import Boundary, Side, What

_AS_THEY_ARE: Final = frozenset({Effect.PURE, Effect.TRANSACTIONAL})


class StandInPlace:
    """A place (`ports.place`) of one process of a proof."""

    def __init__(
        self,
        boundaries: Boundaries,
        stand_ins: StandIns,
        calls: SinkCalls,
        trial: str,
        really: bool,
        give_up: Callable[[Invalid], object],
    ) -> None:
        """`really`: acts without a stand-in act for real.

        `give_up` ends the process, which cannot prove anything then.
        """
        self._boundaries = boundaries
        self._stand_ins = stand_ins
        self._calls = calls
        self._trial = trial
        self._really = really
        self._give_up = give_up

    async def act(self, call: ActCall, here: Callable[[], Awaitable[object]]) -> object:
        """Perform it, or what stands in for it."""
        what = What.LOOKUP if call.is_lookup else What.ACT
        stand = self._stand(call)
        name = f"{call.run} {call.step}" + (f" attempt {call.attempt}" if call.attempt > 1 else "")
        effect, target = call.proposal.effect.value, call.proposal.target
        is_real = stand is None
        names = self._boundaries.count(what, [name])
        self._boundaries.cross(Boundary(what, Side.BEFORE, names, effect, target, is_real))
        try:
            output = await (here() if stand is None else self._stood_in(call, stand))
        except BaseException:
            self._boundaries.cross(Boundary(what, Side.AFTER, names, effect, target))
            raise
        noted = output if is_real and call.proposal.effect is Effect.UNREPEATABLE else None
        self._boundaries.cross(Boundary(what, Side.AFTER, names, effect, target, is_real, noted))
        return output

    def _stand(self, call: ActCall) -> Stand | None:
        """What stands in for it; None when it acts as it is."""
        effect, target = call.proposal.effect, call.proposal.target
        if effect in _AS_THEY_ARE:
            return None
        stand = self._stand_ins.find(target)
        if stand is None and effect is not Effect.READ and not self._really:
            name = target.partition("@")[0]
            self._give_up(
                Invalid(
                    f"{name} at step {call.step} is {effect} and has no stand-in: add `- for: {name}` under "
                    f"`stand_ins:` of catalog/proof.yaml (`kind: proof`), or let it really act with --really"
                )
            )
        return stand

    async def _stood_in(self, call: ActCall, stand: Stand) -> object:
        if call.is_lookup:
            found = await self._calls.find_async(self._trial, call.key)
            return {"found": False} if found is None else {"found": True, **found}
        names = {"input": call.input, "key": call.key, "run": {"id": call.run}}
        try:
            output = self._stand_ins.output(stand, call.proposal.target, names)
        except Invalid as error:
            self._give_up(error)
            raise
        if call.proposal.effect is not Effect.READ:
            await self._calls.call(self._trial, call.key, output)
        return output
