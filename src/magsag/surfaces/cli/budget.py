"""`magsag budget`: where budgets stand, and the caps that people set."""

import re
from typing import TYPE_CHECKING, Final

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import AS, Leaf, Noun
from magsag.surfaces.cli.writing import put_json, put_table, say

if TYPE_CHECKING:
    from magsag.domain.budget import Cap
    from magsag.domain.price import Priced, Rate
    from magsag.services.people.budgets import BudgetView


_NOTHING = "no budget is over this run: its manifest has no `budget:`, nor has one above or below it"
_BELOW_ZERO: Final = re.compile(r"-\d[\d.,_]*")


class SettingCaps(Leaf):
    """A number below zero is no option: it is told what it is."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        for before, one in zip(["", *args], args, strict=False):
            if _BELOW_ZERO.fullmatch(one) and before not in ("--reason", "--as"):
                raise click.UsageError(f"a cap is not below zero, and {one} is; write 0 or more, or `none`", ctx)
        return super().parse_args(ctx, args)


@click.group("budget", cls=Noun)
def command() -> None:
    """See what may still be spent, and set caps.

    Caps of a run and of an agent's day stand in the agent's manifest; those of the organisation and of its days are
    set here, by people who stand in people.yaml.
    """


@command.command("show")
@click.argument("run", required=False)
@click.option("--all", "past", is_flag=True, help="Those of past days too, as far as no vacuum has removed them.")
@click.pass_obj
def show(call: Call, run: str | None, past: bool) -> None:
    """Show where budgets stand: those that runs share; or of one RUN all that bind it, and those of runs below it."""
    app = call.app
    found = app.allowances.of(app.insight.find(run)) if run is not None else app.budgets.show(past)
    if call.wants_json:
        put_json([_document(one) for one in found])
    elif not found:
        say(_NOTHING if run is not None else "no cap is set, and no agent's day has one")
    else:
        put_table(("budget", "cap", "reserved", "spent", "left", "state"), [_line(one) for one in found])


@command.command("set", cls=SettingCaps)
@click.argument("scope")
@click.argument("unit")
@click.argument("cap")
@click.option("--reason", default="", metavar="TEXT", help="Why; it stands in the record.")
@click.option("--as", "claim", metavar="NAME", help=AS)
@click.pass_obj
def set_cap(call: Call, scope: str, unit: str, cap: str, reason: str, claim: str | None) -> None:
    """Set the CAP of a SCOPE (organisation, day) in a UNIT (usd, tokens, calls, seconds); `none` takes it away.

    It counts from now on, for whoever runs: what was spent before is no part of it.
    """
    app = call.app
    made = app.caps.set(scope, unit, cap, app.identity.acting(claim), reason)
    if call.wants_json:
        put_json(_cap_document(made))
    else:
        say(f"{made.scope} {made.unit}: {_amount(made.unit, made.cap)}, says {made.by} ({made.proof})")


@command.command("history")
@click.pass_obj
def history(call: Call) -> None:
    """List every cap that was ever set, and who set it."""
    from magsag.services.insight.documents import iso

    found = call.app.budgets.history()
    if call.wants_json:
        put_json([_cap_document(cap) for cap in found])
    elif not found:
        say("no cap was ever set")
    else:
        rows = [
            (iso(cap.at) or "", cap.scope, cap.unit, _amount(cap.unit, cap.cap), cap.by, cap.reason) for cap in found
        ]
        put_table(("time", "scope", "unit", "cap", "by", "reason"), rows)


@command.command("prices")
@click.pass_obj
def prices(call: Call) -> None:
    """Show what the models of [models] cost, in USD for a million tokens, and who says so."""
    found = call.app.prices.listed()
    if call.wants_json:
        put_json([_price_document(one) for one in found])
    elif not found:
        say("no alias is bound in [models]")
    else:
        put_table(("alias", "model", "input", "output", "from"), [_price_line(one) for one in found])


def _price_line(one: "Priced") -> tuple[str, ...]:
    if one.price is None:
        return (one.alias, one.bound, "none", "none", one.why or "nobody: [prices] has no price of it")
    rate = one.price.brackets[0].rate
    return (one.alias, one.bound, _amount("usd", rate.input), _amount("usd", rate.output), one.price.version)


def _price_document(one: "Priced") -> dict[str, object]:
    from magsag.policy.budget import plain

    def rate(given: "Rate") -> dict[str, object]:
        return {name: plain("usd", getattr(given, name)) for name in ("input", "output", "request")}

    price = one.price
    rates = [{"above": each.above, **rate(each.rate)} for each in price.brackets] if price is not None else None
    dearest = rate(price.dearest) if price is not None and price.dearest is not None else None
    about = {"version": price.version if price is not None else None, "why": one.why or None}
    return {"alias": one.alias, "model": one.bound, "rates": rates, "dearest": dearest, **about}


def _line(one: "BudgetView") -> tuple[str, ...]:
    amounts = (_amount(one.unit, amount) for amount in (one.cap, one.reserved, one.spent, one.left))
    return (one.id, *amounts, one.state)


def _amount(unit: str, amount: int | None) -> str:
    from magsag.policy.budget import show as shown

    return "none" if amount is None else shown(unit, amount)


def _document(one: "BudgetView") -> dict[str, object]:
    from magsag.policy.budget import plain

    amounts = {"cap": one.cap, "reserved": one.reserved, "spent": one.spent, "left": one.left}
    numbers = {name: None if amount is None else plain(one.unit, amount) for name, amount in amounts.items()}
    return {"budget": one.id, "scope": one.scope, "unit": one.unit, "run": one.run, **numbers, "state": one.state}


def _cap_document(cap: "Cap") -> dict[str, object]:
    from magsag.policy.budget import plain
    from magsag.services.insight.documents import iso

    amount = None if cap.cap is None else plain(cap.unit, cap.cap)
    about = {"n": cap.n, "scope": cap.scope, "unit": cap.unit, "cap": amount, "at": iso(cap.at)}
    return {**about, "by": cap.by, "proof": cap.proof, "people": cap.people, "reason": cap.reason}
