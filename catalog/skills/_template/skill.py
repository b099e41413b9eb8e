"""What __slug__ does.

A skill that changes something takes `(payload, ctx)` and hands `ctx.idempotency_key` to the other side.
"""


def run(payload):
    """Give the output that the contract __slug__-output describes."""
    return {"text": payload["text"].strip()}
