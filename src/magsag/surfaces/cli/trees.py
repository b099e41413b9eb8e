"""Draws run trees as text. Decides how they look; how a live one is kept up to date: `live`."""

import os
import sys
from collections.abc import Iterator, Sequence
from typing import IO, Final

from magsag.domain.facts import RunStatus, StepStatus, Verdict
from magsag.domain.frozen import frozen
from magsag.domain.verdicts import is_not_performed
from magsag.services.insight.tree import TreeNode

SIBLINGS: Final = 40
"""of more steps side by side, those that went well are summed up"""
_NAME_WIDTH: Final = 44


@frozen
class Pen:
    """The characters of a drawing."""

    marks: dict[str, str]
    branch: str
    last: str
    bar: str
    gap: str


_PLAIN_MARKS: Final = {
    "succeeded": "ok", "partial": "ok~", "failed": "FAILED", "denied": "DENIED", "cancelled": "cancelled",
    "skipped": "skipped", "started": "...", "running": "...", "held": "asks", "parked": "parked",
    "waiting": "waits", "in_doubt": "in doubt", "new": "",
}  # fmt: skip
_MARKS: Final = {
    "succeeded": "✓", "partial": "◐", "failed": "✗", "denied": "✗", "cancelled": "⊘", "skipped": "⊘",
    "started": "⏵", "running": "⏵", "held": "⏸", "parked": "⏸", "waiting": "⏸", "in_doubt": "?", "new": "·",
}  # fmt: skip
UNICODE: Final = Pen(_MARKS, "├─ ", "└─ ", "│  ", "   ")
ASCII: Final = Pen({name: f"[{mark}]" for name, mark in _PLAIN_MARKS.items()}, "|- ", "`- ", "|  ", "   ")
_COLOURS: Final = {
    "succeeded": "32", "partial": "33", "failed": "31", "denied": "31", "cancelled": "33", "skipped": "2",
    "started": "36", "running": "36", "held": "35", "parked": "35", "waiting": "33", "in_doubt": "35",
}  # fmt: skip
_TELLING: Final = (StepStatus.SUCCEEDED, StepStatus.STARTED, RunStatus.SUCCEEDED, RunStatus.RUNNING)
"""statuses that the mark says well enough"""


def pen_for(stream: IO[str]) -> Pen:
    """Box characters where the stream can write them."""
    try:
        "".join([*_MARKS.values(), UNICODE.branch, UNICODE.last, UNICODE.bar, "…"]).encode(
            getattr(stream, "encoding", None) or "ascii"
        )
    except (UnicodeEncodeError, LookupError):
        return ASCII
    return UNICODE


def draw(tree: TreeNode, stream: IO[str] | None = None) -> str:
    """The whole tree as text for this stream (stdout when left out), without a line end behind it."""
    stream = sys.stdout if stream is None else stream
    return "\n".join(lines_of(tree, pen_for(stream), is_coloured(stream)))


def lines_of(tree: TreeNode, pen: Pen, coloured: bool = False) -> list[str]:
    """The lines of a tree: the run, its steps, and what a run that stands still waits for."""
    rows = [(pen, "", tree), *_rows(pen, "", tree.children)]
    width = min(
        _NAME_WIDTH, max((len(lead) + _name_length(pen, node) for _, lead, node in rows[1:] if node), default=0)
    )
    lines = [_head(pen, tree, coloured)]
    for _, lead, node in rows[1:]:
        lines.append(lead if node is None else _line(pen, lead, node, width, coloured))
    return [*lines, *_footer(tree)]


def line_of(node: TreeNode, pen: Pen, depth: int) -> list[str]:
    """One run or step by itself, for a log: its line, and behind a run what it waits for."""
    if node.step is None:
        return [_head(pen, node, False), *_footer(node)]
    return [_line(pen, "  " * depth, node, 0, False)]


def _rows(pen: Pen, lead: str, nodes: Sequence[TreeNode]) -> "Iterator[tuple[Pen, str, TreeNode | None]]":
    shown, left_out = _shown(nodes)
    for index, node in enumerate(shown):
        is_last = index == len(shown) - 1 and not left_out
        yield pen, lead + (pen.last if is_last else pen.branch), node
        yield from _rows(pen, lead + (pen.gap if is_last else pen.bar), node.children)
    if left_out:
        yield pen, f"{lead}{pen.last}and {left_out:,} more that succeeded", None


def _shown(nodes: Sequence[TreeNode]) -> tuple[Sequence[TreeNode], int]:
    """Of very many siblings the first ones and all that did not simply succeed."""
    if len(nodes) <= SIBLINGS:
        return nodes, 0
    room = SIBLINGS - min(SIBLINGS, sum(node.status is not StepStatus.SUCCEEDED for node in nodes))
    shown = []
    for node in nodes:
        if node.status is not StepStatus.SUCCEEDED:
            shown.append(node)
        elif room > 0:
            shown.append(node)
            room -= 1
    return shown, len(nodes) - len(shown)


def _head(pen: Pen, run: TreeNode, coloured: bool) -> str:
    status = _painted(f"{pen.marks[run.status]} {run.status}" if pen is UNICODE else str(run.status), run, coloured)
    parts = [run.name, f"run {run.run}", status, _time(run), _cost(run), _tokens(run), _error(run)]
    return "   ".join(part for part in parts if part)


def _line(pen: Pen, lead: str, node: TreeNode, width: int, coloured: bool) -> str:
    mark = pen.marks[node.status]
    name = f"{mark} {node.name}".strip().ljust(max(0, width - len(lead)))
    name = _painted(mark, node, coloured) + name[len(mark) :]
    word = "" if node.status in _TELLING or pen is ASCII else str(node.status).replace("_", " ")
    word = "partial" if node.is_partial else word
    attempts = f"attempt {node.attempts}" if node.attempts > 1 else ""
    said = [_cost(node), _tokens(node), word, attempts, _verdict(node.verdict), _error(node)]
    rest = "   ".join(part for part in said if part)
    return f"{lead}{name}  {node.kind:<14}{_time(node):>9}   {rest}".rstrip()


def _name_length(pen: Pen, node: TreeNode) -> int:
    return len(pen.marks[node.status]) + 1 + len(node.name)


def _footer(run: TreeNode) -> list[str]:
    """What a run that stands still waits for, and what can be done."""
    if not run.reasons:
        return []
    from magsag.surfaces.cli.parked import wake_of

    said = [f"   waits for {one.on}: step {one.step}: {one.reason}" for one in run.reasons]
    moves = [f"     {wake_of(one, run.run)}" for one in run.reasons]
    return list(dict.fromkeys(line for pair in zip(said, moves, strict=True) for line in pair))


def _verdict(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if is_not_performed(verdict):
        return verdict.reason
    place = verdict.place.rpartition("/")[2]
    return f"{verdict.decision}  {verdict.rule} ({place})"


def _error(node: TreeNode) -> str:
    if node.error is None:
        return ""
    first = node.error.message.splitlines()[0] if node.error.message else ""
    return f"{node.error.type}: {first[:160]}"


def _time(node: TreeNode) -> str:
    if node.ms is None:
        return ""
    if node.ms < 1_000:
        return f"{node.ms:.1f} ms" if node.ms < 10 else f"{node.ms:.0f} ms"
    return f"{node.ms / 1_000:.1f} s" if node.ms < 60_000 else f"{node.ms / 60_000:.1f} min"


def _cost(node: TreeNode) -> str:
    if not node.nano_usd:
        return ""
    from magsag.policy.budget import show

    return show("usd", node.nano_usd) + (" at most" if node.assumed else "")


def _tokens(node: TreeNode) -> str:
    return f"{node.tokens:,} tokens" if node.tokens else ""


def _painted(text: str, node: TreeNode, coloured: bool) -> str:
    colour = _COLOURS.get(node.status) if coloured and text else None
    return f"\x1b[{colour}m{text}\x1b[0m" if colour else text


def is_coloured(stream: IO[str]) -> bool:
    return is_terminal(stream) and not os.environ.get("NO_COLOR")


def is_terminal(stream: IO[str]) -> bool:
    isatty = getattr(stream, "isatty", None)
    return bool(isatty is not None and isatty())
