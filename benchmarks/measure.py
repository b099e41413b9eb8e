"""How things are timed here: rounds of floor and product in turn, medians with their spread, one process."""

import statistics
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass


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


def clock(work: Callable[[], object]) -> float:
    """Seconds that `work` takes."""
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def interleaved(rounds: int, works: list[Callable[[], float]]) -> list[list[float]]:
    """Each work once per round, in turn, so that a disturbance meets all of them alike."""
    results: list[list[float]] = [[] for _ in works]
    for _ in range(rounds):
        for index, work in enumerate(works):
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
) -> Row:
    """Judge the median of `values` (or its ratio to the floor's median) against the goal."""
    median = statistics.median(values)
    base = statistics.median(floor) if floor else None
    ratio = median / base if base else None
    judged = ratio if ratio_goal and ratio is not None else median
    met = judged >= goal if at_least else judged <= goal
    sign = ">=" if at_least else "<="
    said = f"{sign} {goal:g} {'x floor' if ratio_goal else unit}"
    return Row(case, what, unit, median, min(values), max(values), base, ratio, said, met)


def table(rows: list[Row]) -> str:
    """The rows as people read them."""
    lines = [f"{'case':<5}{'what':<52}{'median':>10}{'spread':>21}{'floor':>10}{'ratio':>7}  goal"]
    for item in rows:
        spread = f"{item.low:.4g}-{item.high:.4g}"
        floor = f"{item.floor:.4g}" if item.floor is not None else ""
        ratio = f"{item.ratio:.2f}" if item.ratio is not None else ""
        mark = "met" if item.met else "MISSED"
        lines.append(
            f"{item.case:<5}{item.what:<52}{item.median:>10.4g}{spread:>21}{floor:>10}{ratio:>7}"
            f"  {item.goal} {item.unit if 'floor' in item.goal else ''} {mark}"
        )
    return "\n".join(lines)


def document(rows: list[Row]) -> list[dict[str, object]]:
    """The rows as JSON."""
    return [asdict(item) for item in rows]
