async def run(payload):
    return payload["n"] + 1
