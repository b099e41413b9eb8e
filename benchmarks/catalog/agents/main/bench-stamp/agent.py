async def run(payload, ctx):
    return [await ctx.skill("stamp", {"folder": payload["folder"], "n": n}) for n in range(8)]
