"""How a workforce report is made: three agents side by side, one of them a main agent with sub-agents of its own."""

SLUG = "workforce-report-mag"
VERSION = "0.1.0"

# part of the report, who makes it, which part of the input it is made from
PARTS = (
    ("offer", "offer-orchestrator-mag", "candidate_profile"),
    ("statistics", "data-analysis-sag", "table"),
    ("document", "document-processing-sag", "document"),
)


async def run(payload, ctx):
    """Give the report with every part that could be made, and name those that could not."""
    made = await ctx.gather(*(ctx.delegate(agent, payload[source]) for _, agent, source in PARTS), on_error="collect")
    parts = _by_part(made)
    if not parts:
        raise RuntimeError("no report: " + "; ".join(f"{gap['part']}: {gap['reason']}" for gap in _missing(made)))
    degraded = bool(made.errors) or parts["offer"]["metadata"]["degraded"]
    if "offer" in parts:
        parts["offer"] = parts["offer"]["offer"]  # out of its packet
    return {
        **parts,
        "highlights": _highlights(parts),
        "missing": _missing(made),
        "metadata": {
            "generated_by": SLUG,
            "run_id": ctx.run_id,
            "timestamp": ctx.now().isoformat(),
            "version": VERSION,
            "task_count": len(PARTS),
            "successful_tasks": len(made.results),
            "degraded": degraded,
        },
    }


def _by_part(made):
    """Name the results; they hold only the successes, in the order of PARTS."""
    failed = {error["index"] for error in made.errors}
    names = (part for index, (part, _, _) in enumerate(PARTS) if index not in failed)
    return dict(zip(names, made.results, strict=True))


def _missing(made):
    return [
        {"part": PARTS[error["index"]][0], "reason": f"{error['type']}: {error['message']}"} for error in made.errors
    ]


def _highlights(parts):
    """One line per part that was made."""
    lines = []
    if "offer" in parts:
        salary = parts["offer"]["base_salary"]
        lines.append(f"Offer for {parts['offer']['role']}: {salary['amount']:,} {salary['currency']} a year.")
    if "statistics" in parts:
        lines.append(parts["statistics"]["findings"][0])
    if parts.get("document", {}).get("summary"):
        lines.append(parts["document"]["summary"])
    return lines
