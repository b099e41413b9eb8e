"""The one thing that __slug__ does for the agents that delegate to it."""


async def run(payload, ctx):
    """Give the output that the contract __slug__-output describes.

    What it needs from outside it asks of a skill: `await ctx.skill("my-skill", {"text": "..."})`.
    """
    ctx.log("received", task=payload["task"])
    return {"answer": f"nothing done yet for: {payload['task']}"}
