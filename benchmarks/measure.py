"""How things are timed here: rounds of floor, product and peers in turn, medians with their spread."""

import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True)
class Row:
    """One line of the table. `ratio` is product to floor, where there is a floor in the same unit."""

    case: str
    what: str
    unit: str
    median: float
    low: float
    high: float
    floor: float | None
    ratio: float | None
    goal: str
    met: bool
    peers: dict[str, float] = field(default_factory=dict)
    """medians by peer's name, in the same unit"""


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(rounds: int, works: Iterable[Callable[[], float]]) -> list[list[float]]:
    """Each work once per round, in turn, so that a disturbance meets all of them alike."""
    chosen = list(works)
    results: list[list[float]] = [[] for _ in chosen]
    for _ in range(rounds):
        for index, work in enumerate(chosen):
            results[index].append(work())
    return results


def row(
    case: str,
    what: str,
    unit: str,
    values: list[float],
    goal: float,
    *,
    floor: list[float] | None = None,
    ratio_goal: bool = False,
    at_least: bool = False,
    peers: Mapping[str, list[float]] | None = None,
) -> Row:
    """Judge the median of `values` (or its ratio to the floor's median) against the goal."""
    median = statistics.median(values)
    base = statistics.median(floor) if floor else None
    ratio = median / base if base else None
    judged = ratio if ratio_goal and ratio is not None else median
    met = judged >= goal if at_least else judged <= goal
    sign = ">=" if at_least else "<="
    said = f"{sign} {goal:g} {'x floor' if ratio_goal else unit}"
    theirs = {name: statistics.median(theirs) for name, theirs in (peers or {}).items()}
    return Row(case, what, unit, median, min(values), max(values), base, ratio, said, met, theirs)


def document(rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as JSON."""
    return [asdict(item) for item in rows]


def times_better(item: dict[str, Any], theirs: float) -> float:
    """How many times better ours is than a peer; below 1 it is behind."""
    ours: float = item["median"]
    return ours / theirs if item["goal"].startswith(">=") else theirs / ours


def table(results: dict[str, Any]) -> str:
    """What was measured, as people read it: every row with its goal, then those that peers have too."""
    lines = [f"{'case':<5}{'what':<52}{'median':>10}{'spread':>21}{'floor':>10}{'ratio':>7}  goal"]
    for item in results["rows"]:
        spread = f"{item['low']:.4g}-{item['high']:.4g}"
        floor = f"{item['floor']:.4g}" if item["floor"] is not None else ""
        ratio = f"{item['ratio']:.2f}" if item["ratio"] is not None else ""
        unit = f" {item['unit']}" if "floor" in item["goal"] else ""
        lines.append(
            f"{item['case']:<5}{item['what']:<52}{item['median']:>10.4g}{spread:>21}{floor:>10}{ratio:>7}"
            f"  {item['goal']}{unit} {'met' if item['met'] else 'MISSED'}"
        )
    return "\n".join([*lines, *_beside_peers(results)])


def _beside_peers(results: dict[str, Any]) -> list[str]:
    """The peers' columns: their medians, and how many times better ours is."""
    compared = [item for item in results["rows"] if item["peers"]]
    if not compared:
        return []
    heads = {name: f"{name} {about['version']}" for name, about in results["peers"].items()}
    lines = ["", f"{'case':<5}{'beside peers, same run':<52}{'ours':>17}" + "".join(f"{h:>26}" for h in heads.values())]
    for item in compared:
        cells = ""
        for name in heads:
            theirs = item["peers"].get(name)
            said = "" if theirs is None else f"{theirs:.4g} ({times_better(item, theirs):.1f} x)"
            cells += f"{said:>26}"
        ours = f"{item['median']:.4g} {item['unit']}"
        lines.append(f"{item['case']:<5}{item['what']:<52}{ours:>17}{cells}")
    said = [f"{name}: {about['settings']}" for name, about in results["peers"].items()]
    return [*lines, "(n x): so many times better is ours", *said]
