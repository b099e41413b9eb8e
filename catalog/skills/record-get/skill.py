"""Reads what `record-put` keeps."""

NOTHING = {"found": False, "value": None}


def run(payload, ctx):
    """A key that holds nothing is no error: `found` says so."""
    held = ctx.get_record(payload["key"], NOTHING)
    return NOTHING if held is NOTHING else {"found": True, "value": held}
