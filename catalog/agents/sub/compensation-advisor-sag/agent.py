"""What a candidate is offered: where in the band the salary lies, and how much is paid on signing."""

import re

SLUG = "compensation-advisor-sag"

# The first level that is named in the role or the level wins, as in salary-band-lookup.
SIGN_ON_BONUS = {"senior": 20_000, "staff": 30_000, "principal": 50_000}
STANDARD_BONUS = 10_000


async def run(payload, ctx):
    """Look the band up and make the offer from it."""
    profile = payload["candidate_profile"]
    wanted = {key: profile[key] for key in ("role", "level", "location") if key in profile}
    band = await ctx.skill("salary-band-lookup", wanted)
    salary = _base_salary(band, profile.get("experience_years", 0))
    return {
        "offer": {
            "role": profile["role"],
            "base_salary": {"currency": band["currency"], "amount": salary},
            "band": {key: band[key] for key in ("currency", "min", "max", "source")},
            "sign_on_bonus": {"currency": band["currency"], "amount": _sign_on_bonus(profile)},
            "notes": f"Worked out by {SLUG} from the band '{band['recommended_band']}' of {band['source']}.",
        }
    }


def _base_salary(band, experience_years):
    """A fifth of the way up the band, a tenth more per year of experience, at most its top."""
    tenths = 2 + min(experience_years, 8)
    return int(band["min"] + (band["max"] - band["min"]) * tenths / 10)


def _sign_on_bonus(profile):
    text = f"{profile['role']} {profile.get('level', '')}"
    named = (bonus for level, bonus in SIGN_ON_BONUS.items() if re.search(rf"\b{level}\b", text, re.IGNORECASE))
    return next(named, STANDARD_BONUS)
