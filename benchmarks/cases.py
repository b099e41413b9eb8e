"""The cases B1 to B8: what is measured, how, and the goal."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import floors
from measure import Row, clock, interleaved, row
from product import CATALOG, App, Loop, app, folder, once


def in_memory(rounds: int) -> list[Row]:
    """B1: a governed step in memory: contracts, salted commitments, chain; set-up of the run included."""
    loop, running = Loop(), app(None)

    async def agent() -> None:
        await once(running, "agent:bench-loop", {"steps": 1000})

    async def flow() -> None:
        for _ in range(100):
            await once(running, "flow:bench-eight", {"n": 0})

    loop.run(agent())
    loop.run(flow())
    of_agent, of_flow, floor = interleaved(
        rounds,
        [
            lambda: clock(lambda: loop.run(agent())) / 1000 * 1e6,
            lambda: clock(lambda: loop.run(flow())) / 800 * 1e6,
            lambda: loop.run(floors.awaits(10_000)) * 1e6,
        ],
    )
    return [
        row("B1", "step of a Python agent, in memory", "us", of_agent, 30, floor=floor),
        row("B1", "step of an 8-step flow, in memory, with its run", "us", of_flow, 30, floor=floor),
    ]


def durable(rounds: int) -> list[Row]:
    """B2: every outcome synced, 100-step runs, beside a bare commit in the same WAL state (grown by use)."""
    place = folder()
    loop, running = Loop(), app(place, "every_step")
    bare = floors.BareCommits(place)

    async def agent() -> None:
        await once(running, "agent:bench-loop", {"steps": 100})

    for _ in range(3):
        loop.run(agent())
    ours, floor = interleaved(
        rounds, [lambda: clock(lambda: loop.run(agent())) / 100 * 1e6, lambda: bare.seconds_each(100) * 1e6]
    )
    running.close()
    return [row("B2", "durable step, every_step, 100-step run", "us", ours, 2.0, floor=floor, ratio_goal=True)]


def wide(rounds: int) -> list[Row]:
    """B3: `ctx.map`, bound 100."""
    rows = []
    loop = Loop()
    for children, items, seconds, where, goal in (
        (False, 1000, 0.01, "memory", 0.13),
        (False, 1000, 0.01, "disk", 0.15),
        (False, 10_000, 0.0, "memory", 0.3),
        (True, 1000, 0.01, "memory", 0.25),
        (True, 10_000, 0.0, "memory", 1.1),
    ):
        running = app(folder() if where == "disk" else None)
        payload = {"items": items, "seconds": seconds, "children": children}

        async def fan(running: object = running, payload: object = payload) -> None:
            await once(running, "agent:bench-wide", payload)  # type: ignore[arg-type]

        loop.run(fan())
        ours, floor = interleaved(
            rounds,
            [
                lambda fan=fan: clock(lambda: loop.run(fan())),
                lambda items=items, seconds=seconds: clock(lambda: loop.run(floors.fan_out(items, seconds, 100))),
            ],
        )
        kind = "child runs" if children else "steps"
        rows.append(
            row("B3", f"map of {items:,} {kind} x {seconds * 1000:g} ms, {where}", "s", ours, goal, floor=floor)
        )
        running.close()
    return rows


def many(rounds: int) -> list[Row]:
    """B4: 200 durable 8-step runs at once."""
    rows = []
    for durability, said in (("governed", "default"), ("every_step", "every_step")):
        loop, running = Loop(), app(folder(), durability)

        def at_once(loop: Loop = loop, running: App = running) -> float:
            async def all_runs() -> None:
                await asyncio.gather(*(once(running, "flow:bench-eight", {"n": 0}) for _ in range(200)))

            return 200 / clock(lambda: loop.run(all_runs()))

        at_once()
        (ours,) = interleaved(rounds, [at_once])
        rows.append(row("B4", f"200 durable 8-step runs at once, {said}", "runs/s", ours, 1500, at_least=True))
        running.close()
    return rows


def cold(rounds: int) -> list[Row]:
    """B5: whole processes, with bytecode."""
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    place = folder()
    command = [sys.executable, "-m", "magsag"]
    job = b'{"role":"Engineer","level":"Mid"}'

    def process(arguments: list[str], stdin: bytes = b"") -> Callable[[], float]:
        def work() -> float:
            began = time.perf_counter()
            subprocess.run(arguments, input=stdin, cwd=place, env=environment, check=True, capture_output=True)
            return (time.perf_counter() - began) * 1000

        return work

    works = [
        process([sys.executable, "-c", "pass"]),
        process([sys.executable, "-c", "import magsag"]),
        process([*command, "--help"]),
        process([*command, "run", "list"]),
        process([*command, "agent", "run", "offer-orchestrator-mag"], job),
    ]
    for work in works:
        work()
    floor, imported, helped, listed, main_job = interleaved(max(rounds, 5), works)
    return [
        row("B5", "import magsag", "ms", imported, 80, floor=floor),
        row("B5", "magsag --help", "ms", helped, 100, floor=floor),
        row("B5", "magsag run list", "ms", listed, 150, floor=floor),
        row("B5", "the main job, from shell to packet", "ms", main_job, 400, floor=floor),
    ]


def resume(rounds: int) -> list[Row]:
    """B6: from `exec` of the resuming command to the first new step, after a kill in the sixth of eight steps."""
    times = [_resumed_after_ms() for _ in range(max(rounds, 3))]
    return [row("B6", "exec of --resume to its first new step", "ms", times, 200)]


def _resumed_after_ms() -> float:
    place = Path(folder())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "magsag", "--catalog", str(CATALOG), "agent", "run"]
    job = json.dumps({"folder": str(place)}).encode()
    killed = subprocess.Popen(
        [*command, "bench-stamp", "--run-id", "bench", "--input", "-"], cwd=place, env=environment,
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    assert killed.stdin is not None
    killed.stdin.write(job)
    killed.stdin.close()
    while not (place / "waiting").exists():
        time.sleep(0.01)
    time.sleep(0.2)
    killed.kill()
    killed.wait()
    before = (place / "stamps").read_text(encoding="utf-8").count("\n")
    began = time.time()
    subprocess.run([*command, "--resume", "bench"], cwd=place, env=environment, check=True, capture_output=True)
    new = (place / "stamps").read_text(encoding="utf-8").splitlines()[before]
    return (float(new.split()[1]) - began) * 1000


def growth(rounds: int) -> list[Row]:
    """B7: late steps cost what early ones do, and a large value carried along costs almost nothing."""
    loop, running = Loop(), app(None)
    large = ["x" * 100] * 10_000

    def steps(count: int) -> float:
        return clock(lambda: loop.run(once(running, "agent:bench-loop", {"steps": count})))

    def carrying(value: object) -> float:
        payload = {"steps": 500, "carry": value}
        return (clock(lambda: loop.run(once(running, "agent:bench-loop", payload))) - set_up(value)) / 500 * 1e6

    def set_up(value: object) -> float:
        return clock(lambda: loop.run(once(running, "agent:bench-loop", {"steps": 0, "carry": value})))

    steps(2000)
    late, early, heavy, light = interleaved(
        rounds,
        [
            lambda: (steps(2200) - steps(1800)) / 400 * 1e6,
            lambda: (steps(410) - steps(10)) / 400 * 1e6,
            lambda: carrying(large),
            lambda: carrying(["x" * 1000]),
        ],
    )
    return [
        row("B7", "step 2,000 beside step 10 (floor: early steps)", "us", late, 1.1, floor=early, ratio_goal=True),
        row("B7", "1 MB carried along (floor: 1 KB carried)", "us", heavy, 1.2, floor=light, ratio_goal=True),
    ]


def memory(rounds: int) -> list[Row]:
    """B8: peak memory of whole processes, in MB."""
    wide_map = (
        "import sys; sys.path.insert(0, 'benchmarks'); from product import *; "
        "Loop().run(once(app(None), 'agent:bench-wide', {'items': %d, 'seconds': 0, 'children': False}))"
    )
    job = b'{"role":"Engineer","level":"Mid"}'
    place = folder()
    base = _peak([sys.executable, "-c", wide_map % 10])
    return [
        row("B8", "import magsag", "MB", [_peak([sys.executable, "-c", "import magsag"])], 30),
        row(
            "B8",
            "the main job",
            "MB",
            [_peak([sys.executable, "-m", "magsag", "agent", "run", "offer-orchestrator-mag"], job, place)],
            90,
        ),
        row(
            "B8",
            "map of 10,000 steps above a map of 10",
            "MB",
            [_peak([sys.executable, "-c", wide_map % 10_000]) - base],
            40,
        ),
    ]


def _peak(arguments: list[str], stdin: bytes = b"", cwd: str | None = None) -> float:
    """Peak resident memory of a process in MB."""
    wrapper = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024)"
    )
    done = subprocess.run(
        [sys.executable, "-c", wrapper, *arguments], input=stdin, cwd=cwd, check=True, capture_output=True
    )
    return float(done.stdout.split()[-1])


CASES: dict[str, Callable[[int], list[Row]]] = {
    "B1": in_memory,
    "B2": durable,
    "B3": wide,
    "B4": many,
    "B5": cold,
    "B6": resume,
    "B7": growth,
    "B8": memory,
}
