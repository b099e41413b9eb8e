"""B10: what governing costs: verdicts, the gate, budgets, taking over from a dead process."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from measure import Row, clock, interleaved, row
from peer_programs import Peers
from product import CATALOG, App, Loop, app, folder, once

from magsag.adapters.conditions import CelConditions
from magsag.catalog.load import load
from magsag.domain.effects import Effect
from magsag.policy.judge import applicable, judge
from magsag.policy.record import Record
from magsag.policy.rules import Policies
from magsag.services.steps.moment import moment

Rule = tuple[str, str, str]
"""what it is about, when it holds, what it says"""
ALLOW_ALL: Final[list[Rule]] = [("*", "", "allow")]
THREE_OF_100: Final[list[Rule]] = [
    *((f"tool:server/t{number}", f"args.n > {number}", "ask") for number in range(97)),
    *(("skill:inc", f"args.n > {1_000_000 + number}", "deny") for number in range(3)),
]
TWO_BUDGETS: Final = "budget: {calls: 1000000, per_day: {calls: 1000000000}}\n"
_VERDICTS: Final = 2000
_FILE: Final = 4000
"""rules in one file, which may hold 50,000 values"""


def governed(rounds: int, peers: Peers) -> list[Row]:
    """What governing costs. No peer has the like: the floor is the same run under a policy that allows all."""
    few, tools, stars = _verdicts(rounds)
    added = [more - less for less, more in zip(few, stars, strict=True)]
    return [
        row("B10", "verdict: 100 rules, 3 of them about the target", "us", few, 12),
        row("B10", "verdict: 10,000 rules about 2,000 targets in turn", "us", tools, 15),
        row("B10", "20 more rules about `*`: what they add", "us", added, 30),
        _in_memory(rounds),
        *_durable(rounds),
        _at_once(rounds),
        row("B10", "a worker takes over from a killed process", "s", [_taken_over() for _ in range(max(rounds, 3))], 1),
    ]


def _verdicts(rounds: int) -> list[list[float]]:
    """Microseconds for a verdict: few rules; many rules, and as many targets; twenty rules about everything besides."""
    stars = [("*", f"args.n > {2_000_000 + number}", "deny") for number in range(20)]
    many = [(f"tool:server/t{n % 2000}", f"args.n > {1_000_000 + n}", "ask") for n in range(10_000)]
    tools = [f"tool:server/t{number}" for number in range(2000)]
    works = [
        _judging(THREE_OF_100, ["skill:inc"]),
        _judging(many, tools),
        _judging([*THREE_OF_100, *stars], ["skill:inc"]),
    ]
    return interleaved(max(rounds, 5), [partial(_each, work) for work in works])


def _each(work: Callable[[], None]) -> float:
    return clock(work) / _VERDICTS * 1e6


def _judging(rules: Sequence[Rule], targets: Sequence[str]) -> Callable[[], None]:
    """A work of `_VERDICTS` verdicts, on one target after the other; which rules are about each is known before."""
    policies = _policies(rules)
    found = [applicable(policies, target, Effect.PURE, "agent:bench-loop@0.1.0") for target in targets]
    about = {"id": "r", "program": "agent:bench-loop@0.1.0", "parent": "", "requester": "bench", "actor": "bench"}
    records = [
        Record(
            "agent:bench-loop@0.1.0",
            target,
            Effect.PURE,
            {"n": 1},
            {**about, "count": {}, "after": {}},
            "development",
            "implement",
            moment(time.time_ns() // 1000),
        )
        for target in targets
    ]

    def work() -> None:
        for number in range(_VERDICTS):
            at = number % len(targets)
            judge(records[at], found[at], policies.hash)

    return work


def _policies(rules: Sequence[Rule]) -> Policies:
    policies = load(Path(_catalog(rules)), CelConditions()).policies
    if policies.broken is not None:
        raise SystemExit(policies.broken)
    return policies


def _catalog(rules: Sequence[Rule], budget: str = "") -> str:
    """The catalog of the benchmarks with these rules, and with a budget for its loop."""
    place = Path(folder())
    catalog = place / "catalog"
    shutil.copytree(CATALOG, catalog)
    (catalog / "policies").mkdir()
    for begin in range(0, len(rules), _FILE):
        lines = ["kind: policy", "schema: 1", "rules:"]
        for number, (on, when, verdict) in enumerate(rules[begin : begin + _FILE], begin):
            condition = f"when: '{when}', " if when else ""
            lines.append(f"  - {{id: r{number}, on: ['{on}'], {condition}verdict: {verdict}}}")
        (catalog / "policies" / f"bench-{begin}.yaml").write_text("\n".join(lines) + "\n", encoding="utf-8")
    with (catalog / "agents/main/bench-loop/agent.yaml").open("a", encoding="utf-8") as manifest:
        manifest.write(budget)
    return str(catalog)


def _steps(loop: Loop, running: App, count: int) -> float:
    """Microseconds for each step of one run."""
    return clock(lambda: loop.run(once(running, "agent:bench-loop", {"steps": count}))) / count * 1e6


def _in_memory(rounds: int) -> Row:
    loop, judged, free = Loop(), app(None, catalog=_catalog(THREE_OF_100)), app(None, catalog=_catalog(ALLOW_ALL))
    for running in (judged, free):
        _steps(loop, running, 1000)
    ours, floor = interleaved(rounds, [lambda: _steps(loop, judged, 1000), lambda: _steps(loop, free, 1000)])
    return row("B10", "governed step of a Python agent, in memory", "us", ours, 40, floor=floor)


def _durable(rounds: int) -> list[Row]:
    """100-step runs with every outcome synced: judged by 100 rules, and under two budgets besides."""
    loop = Loop()
    apps = [
        app(folder(), "every_step", catalog=_catalog(*kind))
        for kind in ((THREE_OF_100,), (THREE_OF_100, TWO_BUDGETS), (ALLOW_ALL,))
    ]
    for running in apps * 3:
        _steps(loop, running, 100)
    works = [partial(_steps, loop, running, 100) for running in apps]
    judged, paid, floor = interleaved(rounds, works)
    for running in apps:
        running.close()
    return [
        row("B10", "durable step, governed (floor: allow-all)", "us", judged, 1.3, floor=floor, ratio_goal=True),
        row("B10", "the same with two budgets (floor: allow-all)", "us", paid, 1.6, floor=floor, ratio_goal=True),
    ]


def _at_once(rounds: int) -> Row:
    loop, running = Loop(), app(folder(), catalog=_catalog(THREE_OF_100, TWO_BUDGETS))

    async def all_runs() -> None:
        await asyncio.gather(*(once(running, "agent:bench-loop", {"steps": 8}) for _ in range(200)))

    def work() -> float:
        return 200 / clock(lambda: loop.run(all_runs()))

    work()
    (ours,) = interleaved(rounds, [work])
    running.close()
    return row("B10", "200 governed 8-step runs at once, two budgets", "runs/s", ours, 1500, at_least=True)


def _taken_over() -> float:
    """Seconds from the kill of a process to the next step of its run, by a worker that was waiting."""
    place = Path(folder())
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    command = [sys.executable, "-m", "magsag", "--catalog", str(CATALOG)]
    (place / "job.json").write_text(json.dumps({"folder": str(place)}), encoding="utf-8")
    how: dict[str, Any] = {"cwd": place, "env": environment, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    driving = subprocess.Popen([*command, "agent", "run", "bench-stamp", "--input", "job.json"], **how)
    _wait_for(place / "waiting")
    worker = subprocess.Popen([*command, "serve", "--worker"], **how)
    try:
        time.sleep(3)
        before = (place / "stamps").read_text(encoding="utf-8").count("\n")
        driving.kill()
        killed_at = time.time()
        driving.wait()
        began = time.monotonic()
        while len(stamps := (place / "stamps").read_text(encoding="utf-8").splitlines()) == before:
            if time.monotonic() - began > 60:
                raise SystemExit("no worker took over")
            time.sleep(0.01)
        return float(stamps[before].split()[1]) - killed_at
    finally:
        worker.terminate()
        worker.wait()


def _wait_for(path: Path) -> None:
    began = time.monotonic()
    while not path.exists():
        if time.monotonic() - began > 60:
            raise SystemExit(f"{path.name} did not appear")
        time.sleep(0.01)
