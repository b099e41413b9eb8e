import asyncio


async def run(payload):
    if payload["seconds"]:
        await asyncio.sleep(payload["seconds"])
