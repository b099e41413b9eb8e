async def run(payload, ctx):
    item = {"seconds": payload["seconds"]}
    if payload["children"]:
        done = await ctx.map(lambda _: ctx.delegate("bench-child", item), range(payload["items"]), concurrency=100)
    else:
        done = await ctx.map(lambda _: ctx.skill("wait", item), range(payload["items"]), concurrency=100)
    return len(done)
