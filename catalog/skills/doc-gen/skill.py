"""How an offer reads as a document. It adds no figure that is not in the offer."""


def run(payload):
    """Give the parts of the document, and all of them as Markdown."""
    offer, profile = payload["offer"], payload.get("candidate_profile", {})
    document = {
        "title": f"Offer: {offer['role']}",
        "summary": _summary(offer, profile),
        "talking_points": _talking_points(offer),
        "warnings": _warnings(offer),
    }
    return {**document, "markdown": _markdown(document)}


def _summary(offer, profile):
    place = f" in {profile['location']}" if profile.get("location") else ""
    return f"We offer {_money(offer['base_salary'])} a year for the position of {offer['role']}{place}."


def _talking_points(offer):
    band = offer["band"]
    points = [f"The band for this position goes from {band['min']:,} to {band['max']:,} {band['currency']}."]
    if "sign_on_bonus" in offer:
        points.append(f"A sign-on bonus of {_money(offer['sign_on_bonus'])} is paid once.")
    if "equity" in offer:
        years = offer["equity"].get("vesting_years")
        vesting = f", vesting over {years} years" if years is not None else ""
        points.append(f"Equity: {offer['equity']['type']} worth {offer['equity']['amount']:,}{vesting}.")
    return points


def _warnings(offer):
    band, base = offer["band"], offer["base_salary"]
    warnings = []
    if band.get("source", "").startswith("builtin:"):
        warnings.append(f"The band is example data ({band['source']}), not a survey of the market.")
    if base["currency"] != band["currency"]:
        warnings.append(f"The salary is in {base['currency']}, the band in {band['currency']}.")
    elif not band["min"] <= base["amount"] <= band["max"]:
        warnings.append("The salary lies outside the band.")
    return warnings


def _markdown(document):
    lines = [f"# {document['title']}", "", document["summary"], "", *_bullets(document["talking_points"])]
    if document["warnings"]:
        lines += ["", "## Before you send it", "", *_bullets(document["warnings"])]
    return "\n".join(lines) + "\n"


def _bullets(sentences):
    return [f"- {sentence}" for sentence in sentences]


def _money(money):
    return f"{money['amount']:,} {money['currency']}"
