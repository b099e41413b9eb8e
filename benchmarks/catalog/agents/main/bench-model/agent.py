async def run(payload, ctx):
    for _ in range(payload["steps"]):
        await ctx.model("fast", "next")
