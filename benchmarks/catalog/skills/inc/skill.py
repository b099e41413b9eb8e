async def run(payload):
    return {"n": payload["n"] + 1}
