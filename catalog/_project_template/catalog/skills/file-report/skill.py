"""Where reports go: one file per idempotency key, so that the same act twice is one report."""

import hashlib
import json
import os
from pathlib import Path

OUTBOX = Path("outbox")


def run(report, ctx):
    """Write the report beside its place and move it there: nobody ever sees half a file."""
    OUTBOX.mkdir(exist_ok=True)
    name = hashlib.sha256(ctx.idempotency_key.encode()).hexdigest()[:16]
    path, draft = OUTBOX / f"{name}.json", OUTBOX / f"{name}.draft"
    draft.write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
    os.replace(draft, path)
    return {"path": path.as_posix()}
