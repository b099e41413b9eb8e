"""The peers' end of the wire: says what it is, then measures one case for each line that it reads.

Each peer runs in an environment of its own, so nothing here but the standard library. A peer's program calls
`answer`; `PeerProgram` in `benchmarks/rivals.py` is the other end.
"""

import json
import os
import sys
import time
from collections.abc import Callable, Mapping
from importlib.metadata import version
from pathlib import Path


def answer(package: str, settings: str, cases: Mapping[str, Callable[[], float]]) -> None:
    """Greet, then one number per case asked for. What the peer prints goes to stderr, so that it disturbs nothing."""
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)
    sys.stdout = sys.stderr

    def say(value: object) -> None:
        out.write(json.dumps(value) + "\n")
        out.flush()

    say({"version": version(package), "settings": settings, "cases": sorted(cases)})
    for line in sys.stdin:
        say(cases[line.strip()]())


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def stamp(folder: str, number: int) -> int:
    """The step of the resume case: notes when it began; the sixth waits to be killed, once."""
    began = time.time()
    waiting = Path(folder) / "waiting"
    if number == 5 and not waiting.exists():
        waiting.touch()
        time.sleep(60)
    with (Path(folder) / "stamps").open("a", encoding="utf-8") as file:
        file.write(f"{number} {began}\n")
    return number
