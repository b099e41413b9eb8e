"""Reads a text file of the workspace."""

from magsag import StepFailed

LARGEST_BYTES = 1024 * 1024


def run(payload, ctx):
    """UTF-8 and nothing else: bytes that are no text help nobody."""
    data = ctx.files.read(payload["path"], LARGEST_BYTES)
    try:
        text = data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise StepFailed("raised", f"{payload['path']} is no UTF-8 text: byte {error.start}") from error
    return {"path": payload["path"], "text": text, "bytes": len(data)}
