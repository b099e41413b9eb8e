"""How the results of several tasks become one: merged key by key, the later task wins."""


def run(payload):
    """Merge the outputs of the tasks that succeeded; nothing of a failed task gets in."""
    results = payload["results"]
    succeeded = [result for result in results if result["status"] == "succeeded"]
    aggregated = {}
    for result in succeeded:
        aggregated |= result["output"]
    return {
        "aggregated": aggregated,
        "metadata": {
            "total_results": len(results),
            "successful_results": len(succeeded),
            "failed_results": len(results) - len(succeeded),
        },
    }
