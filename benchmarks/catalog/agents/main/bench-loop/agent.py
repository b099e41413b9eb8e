async def run(payload, ctx):
    if "carry" in payload:
        value = {"n": 0, "text": payload["carry"]}
        for _ in range(payload["steps"]):
            value = {"n": await ctx.skill("carry", value), "text": payload["carry"]}
        return value["n"]
    value = {"n": 0}
    for _ in range(payload["steps"]):
        value = await ctx.skill("inc", value)
    if payload.get("ask"):
        await ctx.skill("send", value)
    return value
