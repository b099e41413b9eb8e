"""How __slug__ splits its work, and what it makes of the results.

Each call on `ctx` is judged, recorded and answered from the record when the run is resumed:

    found = await ctx.skill("my-skill", {"text": "..."})
    answer = await ctx.delegate("my-sag", {"text": "..."})
    several = await ctx.gather(ctx.delegate("a-sag", {}), ctx.delegate("b-sag", {}), on_error="collect")

Clock and chance come from `ctx.now()`, `ctx.uuid()` and `ctx.random()`; files and the network belong into skills.
"""


async def run(payload, ctx):
    """Give the output that the contract __slug__-output describes."""
    ctx.log("received", goal=payload["goal"])
    return {"result": f"nothing done yet for: {payload['goal']}"}
