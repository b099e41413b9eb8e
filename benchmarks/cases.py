"""The cases B1 to B8: what is measured, how, and the goal."""

import asyncio
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from types import MappingProxyType

import floors
from measure import Row, clock, interleaved, row
from peer_programs import Peers, killed_and_resumed_ms
from product import CATALOG, App, Loop, app, folder, once

from magsag.domain.facts import RunStatus


def in_memory(rounds: int, peers: Peers) -> list[Row]:
    """B1: a governed step in memory: contracts, salted commitments, chain; set-up of the run included."""
    loop, running = Loop(), app(None)

    async def agent() -> None:
        await once(running, "agent:bench-loop", {"steps": 1000})

    async def flow() -> None:
        for _ in range(100):
            await once(running, "flow:bench-eight", {"n": 0})

    loop.run(agent())
    loop.run(flow())
    theirs = peers.works("memory_step")
    of_agent, of_flow, floor, *of_peers = interleaved(
        rounds,
        [
            lambda: clock(lambda: loop.run(agent())) / 1000 * 1e6,
            lambda: clock(lambda: loop.run(flow())) / 800 * 1e6,
            lambda: loop.run(floors.awaits(10_000)) * 1e6,
            *theirs.values(),
        ],
    )
    named = dict(zip(theirs, of_peers, strict=True))
    return [
        row("B1", "step of a Python agent, in memory", "us", of_agent, 30, floor=floor),
        row("B1", "step of an 8-step flow, in memory, with its run", "us", of_flow, 30, floor=floor, peers=named),
    ]


def durable(rounds: int, peers: Peers) -> list[Row]:
    """B2: 100-step runs, beside a bare commit in the same WAL state (grown by use).

    `every_step` syncs each outcome; the outcome of a paid step (a model's answer) is written and not synced.
    """
    place = folder()
    loop, running, paying = Loop(), app(place, "every_step"), app(folder(), model="done")
    bare = floors.BareCommits(place)

    async def agent() -> None:
        await once(running, "agent:bench-loop", {"steps": 100})

    async def asking() -> None:
        await once(paying, "agent:bench-model", {"steps": 100})

    for _ in range(3):
        loop.run(agent())
        loop.run(asking())
    theirs = peers.works("durable_step")
    synced, written, floor, *of_peers = interleaved(
        rounds,
        [
            lambda: clock(lambda: loop.run(agent())) / 100 * 1e6,
            lambda: clock(lambda: loop.run(asking())) / 100 * 1e6,
            lambda: bare.seconds_each(100) * 1e6,
            *theirs.values(),
        ],
    )
    running.close()
    paying.close()
    named = dict(zip(theirs, of_peers, strict=True))
    return [
        row(
            "B2", "durable step, every_step, 100-step run", "us", synced, 1.8, floor=floor, ratio_goal=True, peers=named
        ),
        row("B2", "step whose outcome is written, 100-step run", "us", written, 0.6, floor=floor, ratio_goal=True),
    ]


def wide(rounds: int, peers: Peers) -> list[Row]:
    """B3: `ctx.map`, bound 100; beside peers with every outcome synced, as they do it."""
    return [
        _fan(rounds, "steps", 1000, 0.01, "memory", 0.13),
        _fan(rounds, "steps", 1000, 0.01, "disk", 0.15),
        _fan(rounds, "steps", 1000, 0.01, "every_step", 0.15, peers.works("map")),
        _fan(rounds, "steps", 10_000, 0.0, "memory", 0.3),
        _fan(rounds, "child runs", 1000, 0.01, "memory", 0.25),
        _fan(min(rounds, 3), "child runs", 1000, 0.01, "every_step", 0.4, peers.works("children")),
        _fan(rounds, "child runs", 10_000, 0.0, "memory", 1.1),
    ]


def _fan(
    rounds: int,
    kind: str,
    items: int,
    seconds: float,
    where: str,
    goal: float,
    theirs: Mapping[str, Callable[[], float]] = MappingProxyType({}),
) -> Row:
    loop = Loop()
    running = app(None if where == "memory" else folder(), "every_step" if where == "every_step" else "governed")
    payload = {"items": items, "seconds": seconds, "children": kind == "child runs"}

    async def fan() -> None:
        await once(running, "agent:bench-wide", payload)

    loop.run(fan())
    ours, floor, *of_peers = interleaved(
        rounds,
        [
            lambda: clock(lambda: loop.run(fan())),
            lambda: clock(lambda: loop.run(floors.fan_out(items, seconds, 100))),
            *theirs.values(),
        ],
    )
    running.close()
    what = f"map of {items:,} {kind} x {seconds * 1000:g} ms, {where}"
    return row("B3", what, "s", ours, goal, floor=floor, peers=dict(zip(theirs, of_peers, strict=True)))


def many(rounds: int, peers: Peers) -> list[Row]:
    """B4: 200 durable 8-step runs at once."""
    return [
        at_once(rounds, app(folder()), "B4", "default", 2500, {}),
        at_once(rounds, app(folder(), "every_step"), "B4", "every_step", 1500, peers.works("many")),
    ]


def at_once(
    rounds: int, running: App, case: str, said: str, goal: int, theirs: Mapping[str, Callable[[], float]]
) -> Row:
    """200 runs of the 8-step flow at once, in runs per second; the app is closed at the end."""
    loop = Loop()

    async def all_runs() -> None:
        await asyncio.gather(*(once(running, "flow:bench-eight", {"n": 0}) for _ in range(200)))

    def work() -> float:
        return 200 / clock(lambda: loop.run(all_runs()))

    work()
    ours, *of_peers = interleaved(rounds, [work, *theirs.values()])
    running.close()
    named = dict(zip(theirs, of_peers, strict=True))
    return row(case, f"200 durable 8-step runs at once, {said}", "runs/s", ours, goal, at_least=True, peers=named)


def cold(rounds: int, _: Peers) -> list[Row]:
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


def resume(rounds: int, peers: Peers) -> list[Row]:
    """B6: after a kill in the sixth of eight steps; and a run with a long record, which parks at its end again."""
    theirs = peers.works("resume")
    ours, *of_peers = interleaved(max(rounds, 3), [_resumed_after_ms, *theirs.values()])
    named = dict(zip(theirs, of_peers, strict=True))
    return [
        row("B6", "exec of --resume to its first new step", "ms", ours, 150, peers=named),
        row("B6", "resume of 10,000 facts", "s", long_resumes(rounds), 0.3),
    ]


def _resumed_after_ms() -> float:
    place = folder()
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "magsag", "--catalog", str(CATALOG), "agent", "run"]
    job = Path(place) / "job.json"
    job.write_text(json.dumps({"folder": place}), encoding="utf-8")
    start = [*command, "bench-stamp", "--run-id", "bench", "--input", str(job)]
    how = {"cwd": place, "env": environment}
    return killed_and_resumed_ms(Path(place), start, [*command, "--resume", "bench"], how)


def long_resumes(rounds: int, ledger: str | None = None) -> list[float]:
    """Resuming a run with a long record, in seconds; the ledger is a file unless it is named."""
    loop, place = Loop(), folder()
    first = app(place, ledger=ledger)
    run = loop.run(once(first, "agent:bench-loop", {"steps": 10_000, "ask": True}, RunStatus.PARKED)).run
    first.close()

    def again() -> float:
        running = app(place, ledger=ledger)
        running.catalog  # noqa: B018 - today's catalog is read anyway; here the record counts
        try:
            return clock(lambda: loop.run(running.runs.resume(run)))
        finally:
            running.close()

    return interleaved(rounds, [again])[0]


def growth(rounds: int, _: Peers) -> list[Row]:
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


def memory(rounds: int, _: Peers) -> list[Row]:
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
        _after_many_runs(),
    ]


def _after_many_runs() -> Row:
    """What a process holds after 20,000 durable runs, beside what it held after 2,000."""
    script = (
        "import asyncio, sys; sys.path.insert(0, 'benchmarks'); from product import *\n"
        "loop, running = Loop(), app(sys.argv[1])\n"
        "async def runs(): await asyncio.gather(*(once(running, 'flow:bench-eight', {'n': 0}) for _ in range(200)))\n"
        "def held(): return int(open('/proc/self/statm').read().split()[1]) * 4096 / 1e6\n"
        "for number in range(1, 101):\n"
        "    loop.run(runs())\n"
        "    if number in (10, 100): print(held())\n"
    )
    command = [sys.executable, "-c", script, folder()]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    few, more = (float(line) for line in done.stdout.split())
    return row("B8", "after 20,000 runs (floor: after 2,000)", "MB", [more], 1.05, floor=[few], ratio_goal=True)


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


CASES: dict[str, Callable[[int, Peers], list[Row]]] = {
    "B1": in_memory,
    "B2": durable,
    "B3": wide,
    "B4": many,
    "B5": cold,
    "B6": resume,
    "B7": growth,
    "B8": memory,
}
