async def run(payload, ctx):
    return await ctx.skill("wait", payload)
