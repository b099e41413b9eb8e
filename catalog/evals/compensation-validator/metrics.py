"""How good an offer is, from 0 to 1: one pure function per metric.

A payload without an offer, such as the advisor's input, holds nothing to find fault with: it scores 1, and says why.
"""

PLAUSIBLE_YEARLY = {
    "USD": (30_000, 500_000),
    "EUR": (25_000, 400_000),
    "GBP": (20_000, 350_000),
    "JPY": (3_000_000, 50_000_000),
}
ANY_OTHER = (0, 1_000_000)

REQUIRED = ("role", "base_salary", "band")
OPTIONAL = ("sign_on_bonus", "equity", "notes")


def salary_range(payload):
    """Whether the base salary is plausible in its currency; outside, the score falls with the relative distance."""
    salary = payload.get("offer", {}).get("base_salary")
    if salary is None:
        return _nothing_to_score("base salary")
    amount, (low, high) = salary["amount"], PLAUSIBLE_YEARLY.get(salary["currency"], ANY_OTHER)
    distance = max((low - amount) / low if low else 0, (amount - high) / high, 0)
    return {
        "score": round(max(1 - distance, 0), 4),
        "details": f"{amount:,} {salary['currency']}; plausible is {low:,} to {high:,}",
    }


def consistency(payload):
    """Whether the parts of the offer go together; each fault costs its share."""
    offer = payload.get("offer")
    if offer is None:
        return _nothing_to_score("offer")
    faults = list(_faults(offer))
    score = round(max(1 - sum(cost for cost, _ in faults), 0), 4)
    return {"score": score, "details": "; ".join(fault for _, fault in faults) or "the parts go together"}


def completeness(payload):
    """How much of the offer is there: required parts count for 0.8, optional ones for 0.2."""
    offer = payload.get("offer")
    if offer is None:
        return _nothing_to_score("offer")
    missing = [part for part in REQUIRED + OPTIONAL if part not in offer]
    required = sum(part in offer for part in REQUIRED) / len(REQUIRED)
    optional = sum(part in offer for part in OPTIONAL) / len(OPTIONAL)
    details = f"missing: {', '.join(missing)}" if missing else "all parts are there"
    return {"score": round(0.8 * required + 0.2 * optional, 4), "details": details}


def _faults(offer):
    base = offer.get("base_salary", {}).get("amount", 0)
    bonus = offer.get("sign_on_bonus", {}).get("amount", 0)
    equity = offer.get("equity", {}).get("amount", 0)
    priced = (offer.get(part, {}) for part in ("base_salary", "band", "sign_on_bonus"))
    if len({part["currency"] for part in priced if "currency" in part}) > 1:
        yield 0.2, "more than one currency"
    if base + bonus + equity < base:
        yield 0.3, "the total is below the base salary"
    if equity > 2 * base:
        yield 0.2, "equity is more than twice the base salary"
    if bonus > base:
        yield 0.2, "the sign-on bonus is above the base salary"
    if min(base, bonus, equity) < 0:
        yield 0.5, "an amount is negative"


def _nothing_to_score(what):
    return {"score": 1.0, "details": f"no {what} in this payload, nothing to find fault with"}
