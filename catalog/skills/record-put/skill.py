"""Puts a value under a key of the store: it is there if and only if this step has succeeded."""


def run(payload, ctx):
    """Replace what the key held before."""
    ctx.put_record(payload["key"], payload["value"])
    return {"key": payload["key"]}
