async def run(payload):
    raise AssertionError("no rule allows it, so it is never called")
