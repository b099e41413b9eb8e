"""The live view of `--watch`, on stderr.

On a terminal the tree is drawn again in place, by a thread of its own, so that clocks run on while an agent
thinks. Anywhere else each step gets a line when it starts and one when it ends.
"""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import IO, TYPE_CHECKING, Any, Final

from magsag.domain.errors import Broken
from magsag.domain.facts import RunStatus, StepStatus
from magsag.services.insight.tree import TreeNode
from magsag.surfaces.cli.trees import is_coloured, is_terminal, line_of, lines_of, pen_for

if TYPE_CHECKING:
    from magsag.services.insight.watch import Watch

_REDRAWS_PER_SECOND: Final = 8
_UNDER_WAY: Final = (StepStatus.STARTED, RunStatus.RUNNING)


@contextmanager
def live(watch: "Watch", stream: IO[str] | None = None) -> Iterator[None]:
    """Show what `watch` hears, on stderr, while the body runs."""
    stream = sys.stderr if stream is None else stream
    if not is_terminal(stream) or os.environ.get("TERM") == "dumb":
        watch.told = _Teller(stream)
        try:
            yield
        finally:
            watch.told = None
        return
    with _redrawn(watch, stream):
        yield


@contextmanager
def _redrawn(watch: "Watch", stream: IO[str]) -> Iterator[None]:
    """Redraw in place; when the body has ended the last picture stays."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    pen = pen_for(stream)

    def picture() -> Text:
        try:
            tree = watch.tree()
        except Broken:  # whoever drives the run says so; a picture may be missing
            tree = None
        text = "\n".join(lines_of(tree, pen, is_coloured(stream))) if tree else ""
        return Text.from_ansi(text, no_wrap=True, overflow="ellipsis")

    console = Console(file=stream, highlight=False)
    with Live(
        console=console,
        get_renderable=picture,
        refresh_per_second=_REDRAWS_PER_SECOND,
        redirect_stdout=False,
        redirect_stderr=False,
        vertical_overflow="ellipsis",
    ):
        yield


class _Teller:
    """One line for each change, for a pipe or a log."""

    def __init__(self, stream: IO[str]) -> None:
        self._stream = stream
        self._pen = pen_for(stream)
        self._last: tuple[Any, ...] = ()

    def __call__(self, node: TreeNode, depth: int) -> None:
        about = (node.run, node.step, node.status, node.attempts)
        if about == self._last:
            return
        self._last = about
        node = replace(node, ms=None) if node.status in _UNDER_WAY else node
        self._write(line_of(node, self._pen, depth))

    def _write(self, lines: Sequence[str]) -> None:
        """A reader that went away is no reason to stop a run."""
        with suppress(OSError, ValueError):
            self._stream.write("".join(f"{line}\n" for line in lines))
            self._stream.flush()
