"""Which sub-agents work on an offer, and what each is handed."""

ADVISORS = ("compensation-advisor-sag",)


def run(payload):
    """Make one task per advisor; later tasks win where their results overlap."""
    return [
        {"task_id": f"task-{number}", "agent": agent, "input": {"candidate_profile": payload["candidate_profile"]}}
        for number, agent in enumerate(ADVISORS, start=1)
    ]
