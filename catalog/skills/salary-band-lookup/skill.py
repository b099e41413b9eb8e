"""Which salary band fits a role: example bands that ship with the catalog, and say so in `source`.

Put your own bands in their place by asking your system here; keep the contract and name the true source.
"""

import re

SOURCE = "builtin:example-bands"
CURRENCY = "USD"

# The first level that is named in the role or the level wins, so a "Senior Staff Engineer" is senior.
BANDS = {
    "senior": (150_000, 220_000),
    "staff": (180_000, 280_000),
    "principal": (220_000, 350_000),
    "junior": (80_000, 120_000),
}
STANDARD = (100_000, 180_000)

# Whole percents, so that the bands stay whole dollars.
LOCATION_PERCENT = {"san francisco": 120, "sf": 120, "bay area": 120, "new york": 115, "nyc": 115}


def run(payload):
    """Find the band by words in role and level, then move it by the location."""
    name = _first_named(BANDS, f"{payload['role']} {payload.get('level', '')}")
    place = _first_named(LOCATION_PERCENT, payload.get("location", ""))
    low, high = BANDS.get(name, STANDARD)
    percent = LOCATION_PERCENT.get(place, 100)
    return {
        "recommended_band": name or "standard",
        "currency": CURRENCY,
        "min": low * percent // 100,
        "max": high * percent // 100,
        "source": SOURCE,
        "metadata": {"location_percent": percent},
    }


def _first_named(names, text):
    """Whole words only: "sf" is not named in "transfer"."""
    return next((name for name in names if re.search(rf"\b{name}\b", text, re.IGNORECASE)), None)
