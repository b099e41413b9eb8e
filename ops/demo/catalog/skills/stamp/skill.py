"""Stamps a parcel: an effect that can be counted from outside."""

import time
from pathlib import Path


def run(payload, ctx):
    with Path(payload["log"]).open("a", encoding="utf-8") as log:
        log.write(f"{payload['parcel']} {ctx.idempotency_key}\n")
    time.sleep(0.5)
    return {"parcel": payload["parcel"]}
