"""Writes a text file of the workspace."""

from magsag import StepFailed

LARGEST_BYTES = 1024 * 1024


def run(payload, ctx):
    """Replace what the file held before."""
    data = payload["text"].encode()
    if len(data) > LARGEST_BYTES:
        raise StepFailed("invalid_value", f"the text for {payload['path']} is larger than {LARGEST_BYTES} bytes")
    ctx.files.write(payload["path"], data)
    return {"path": payload["path"], "bytes": len(data)}
