"""How an offer is made: split the work, delegate it, merge what came back, say how far to trust it."""

SLUG = "offer-orchestrator-mag"
VERSION = "0.1.0"


async def run(profile, ctx):
    """Give an offer packet, also when some of the delegated tasks failed."""
    tasks = await ctx.skill("task-decomposition", {"candidate_profile": profile})
    delegated = await ctx.gather(*(ctx.delegate(task["agent"], task["input"]) for task in tasks), on_error="collect")
    if not delegated.results:
        raise RuntimeError(_all_failed(tasks, delegated.errors))
    merged = await ctx.skill("result-aggregation", {"results": _outcomes(tasks, delegated)})
    offer, counts = merged["aggregated"]["offer"], merged["metadata"]
    return {
        "offer": offer,
        "metadata": {
            "generated_by": SLUG,
            "run_id": ctx.run_id,
            "timestamp": ctx.now().isoformat(),
            "version": VERSION,
            "task_count": counts["total_results"],
            "successful_tasks": counts["successful_results"],
            "degraded": counts["failed_results"] > 0 or _is_example_data(offer["band"]),
        },
    }


def _outcomes(tasks, delegated):
    """One outcome per task: `results` holds only the successes, in the order of the tasks."""
    failed = {error["index"]: error["message"] for error in delegated.errors}
    outputs = iter(delegated.results)
    outcomes = []
    for index, task in enumerate(tasks):
        if index in failed:
            outcomes.append({"task_id": task["task_id"], "status": "failed", "error": failed[index]})
        else:
            outcomes.append({"task_id": task["task_id"], "status": "succeeded", "output": next(outputs)})
    return outcomes


def _all_failed(tasks, errors):
    reasons = "; ".join(f"{tasks[error['index']]['agent']}: {error['type']}: {error['message']}" for error in errors)
    return f"no offer: all {len(tasks)} delegated tasks failed ({reasons})"


def _is_example_data(band):
    return band.get("source", "").startswith("builtin:")
