"""An agent as `agent show` tells it: what it is, what it may call, and how what is limited of that stands."""

from collections.abc import Callable, Iterator, Mapping

from magsag.catalog.bundle import Bundle, Entry
from magsag.catalog.reach import reached, references
from magsag.domain.frozen import frozen
from magsag.domain.manifests import Agent
from magsag.policy.throttle import Declared, Limits, Throttle, calls_left
from magsag.ports.throttles import Throttles
from magsag.services.steps.limits import limits_of
from magsag.services.steps.throttles import ThrottleStates, ThrottleView


@frozen
class LimitedView:
    """One thing that is limited, and how that stands; no state for one that was never called."""

    name: str
    limits: Limits
    state: ThrottleView | None
    calls_left: int | None
    """how many calls may go at once now; None without a rate"""


@frozen
class AgentView:
    """What an agent is."""

    ref: str
    role: str
    about: str
    path: str
    uses: tuple[str, ...]
    """exact references where they resolve"""
    limited: tuple[LimitedView, ...]
    """itself and all that it can reach, as far as that has a breaker, a rate or a concurrency"""


class Agents:
    """Tells of agents."""

    def __init__(
        self, bundle: Callable[[], Bundle], throttles: Throttles, models: Mapping[str, Declared | None]
    ) -> None:
        """`models` has what is limited of the provider behind each alias."""
        self._bundle = bundle
        self._throttles = throttles
        self._models = models

    def view(self, ref: str) -> AgentView:
        """One agent. Raises Invalid, with the nearest name."""
        bundle = self._bundle()
        entry: Entry[Agent] = bundle.find(ref, "agent")
        manifest = entry.manifest
        uses = manifest.uses if manifest.flow is None else (manifest.flow,)
        limited = tuple(self._limited(bundle, entry.ref))
        return AgentView(entry.ref, manifest.role, manifest.description, entry.path, uses, limited)

    def _limited(self, bundle: Bundle, ref: str) -> Iterator[LimitedView]:
        states = {view.name: view for view in ThrottleStates(self._throttles).all()}
        entries = [bundle.find(name) for name in sorted(reached(bundle, ref)) if "@" in name]
        aliases = [name for entry in entries for name in references(entry.manifest) if name.startswith("model:")]
        models = [self._models.get(alias.removeprefix("model:")) for alias in sorted(aliases)]
        for known in dict.fromkeys([*(limits_of(entry.manifest) for entry in entries), *models]):
            if known is not None:
                state, rate = states.get(known.name), known.limits.rate
                left = None if rate is None else rate.calls
                if rate is not None and state is not None:
                    now, _ = self._throttles.throttle(known.name)
                    left = calls_left(Throttle(full_at=state.full_at), rate, now)
                yield LimitedView(known.name, known.limits, state, left)
