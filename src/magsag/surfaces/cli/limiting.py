"""How breakers, rates and concurrency are told: as rows for people, and as documents."""

from typing import TYPE_CHECKING, Any

from magsag.domain.breaking import BreakerState
from magsag.services.steps.moment import spoken

if TYPE_CHECKING:
    from magsag.domain.manifests.throttling import BreakerRule
    from magsag.services.desk.agents import AgentView, LimitedView
    from magsag.services.steps.throttles import ThrottleView


def agent_document(view: "AgentView") -> dict[str, Any]:
    """An agent as JSON."""
    about = {"ref": view.ref, "role": view.role, "about": view.about, "path": view.path, "uses": list(view.uses)}
    return {**about, "limited": [_document(one) for one in view.limited]}


def _document(one: "LimitedView") -> dict[str, Any]:
    rules, state = one.limits, one.state
    return {
        "name": one.name,
        "breaker": _breaker_document(rules.breaker, state) if rules.breaker is not None else None,
        "rate": {"calls": rules.rate.calls, "per": rules.rate.per, "left": one.calls_left} if rules.rate else None,
        "concurrency": {"most": rules.concurrency, "under_way": state.busy if state else 0}
        if rules.concurrency is not None
        else None,
    }


def _breaker_document(rule: "BreakerRule", state: "ThrottleView | None") -> dict[str, Any]:
    from magsag.services.insight.documents import iso

    return {
        "state": state.state if state is not None else BreakerState.CLOSED,
        "failures": state.failures if state is not None else 0,
        "since": iso(state.since) if state is not None else None,
        "half_open": iso(state.half_open) if state is not None else None,
        "closed_by": state.closed_by if state is not None else None,
        "closed_at": iso(state.closed_at) if state is not None else None,
        "rule": rule.model_dump(mode="json", exclude_none=True),
    }


def limited_row(one: "LimitedView") -> tuple[str, str, str, str]:
    """Name, breaker, rate, concurrency."""
    rules, state = one.limits, one.state
    rate = f"{one.calls_left} of {rules.rate.calls} left" if rules.rate is not None else "-"
    busy = state.busy if state is not None else 0
    concurrency = f"{busy} of {rules.concurrency} under way" if rules.concurrency is not None else "-"
    return one.name, _breaker(one), rate, concurrency


def _breaker(one: "LimitedView") -> str:
    rule, state = one.limits.breaker, one.state
    if rule is None:
        return "-"
    if state is None or state.since is None:
        said = f"closed, {state.failures if state else 0} of {rule.failures} failures"
        if state is not None and state.closed_by is not None and state.closed_at is not None:
            said += f"; by {state.closed_by} at {spoken(state.closed_at)}"
        return said
    opened = f"opened {spoken(state.since)}"
    if state.state is BreakerState.OPEN:
        return f"open until {spoken(state.half_open or 0)}, {opened}"
    return f"half-open, one call may try; {opened}"
