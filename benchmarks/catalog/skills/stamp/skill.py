import time
from pathlib import Path


def run(payload):
    began = time.time()
    waiting = Path(payload["folder"]) / "waiting"
    if payload["n"] == 5 and not waiting.exists():
        waiting.touch()
        time.sleep(60)
    with (Path(payload["folder"]) / "stamps").open("a", encoding="utf-8") as file:
        file.write(f"{payload['n']} {began}\n")
    return payload["n"]
