"""Ctrl-C and SIGTERM while a run is driven: the first asks it to stop where it can be resumed, the second at once.

The handler is a plain one of the process, not one of the event loop, so that it works while catalog code blocks
the loop.
"""

import os
import signal
from collections.abc import Callable
from contextlib import suppress
from types import FrameType, TracebackType
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_SIGNALS: Final = tuple(getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name))


_early: Final[list[int]] = []
"""signals of this command that came while nobody listened"""


def raise_interrupt(number: int, frame: FrameType | None) -> None:
    """What SIGTERM does while no run is driven: the same as Ctrl-C.

    Code that is not Python's may drop what a callback of it raises, so the signal is remembered as well.
    """
    _early.append(number)
    raise KeyboardInterrupt


def listen_for_termination() -> None:
    """From now on SIGTERM interrupts the command that begins here."""
    _early.clear()
    signal.signal(signal.SIGTERM, raise_interrupt)


class Signals:
    """Listens while a run is driven. Entering it raises KeyboardInterrupt when the process was told to stop before."""

    def __init__(self, interrupt: Callable[[], None], hint: Callable[[], str], exit_code: int) -> None:
        """`hint` says what becomes of the run when it is stopped at once."""
        self._interrupt = interrupt
        self._hint = hint
        self._exit_code = exit_code
        self._before: dict[int, object] = {}
        self.asked = False
        self.loop: asyncio.AbstractEventLoop | None = None

    def __enter__(self) -> "Signals":
        for number in _SIGNALS:
            if signal.getsignal(number) is not signal.SIG_IGN:  # nohup and the like are obeyed
                self._before[number] = signal.signal(number, self._handle)
        if _early:
            self.__exit__(None, None, None)
            raise KeyboardInterrupt  # once more: the first time it was dropped
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        for number, before in self._before.items():
            signal.signal(number, before)  # type: ignore[arg-type]

    def _handle(self, number: int, frame: FrameType | None) -> None:
        if self.asked:
            _print(f"magsag: stopped at once; {self._hint()}\n")
            os._exit(self._exit_code)
        self.asked = True
        _print("magsag: stopping; an act that is under way is waited for, once more stops at once\n")
        if self.loop is not None and not self.loop.is_closed():
            self.loop.call_soon_threadsafe(self._interrupt)
        else:
            self._interrupt()


def _print(text: str) -> None:
    """Straight to the descriptor: the signal may have come in the middle of a print."""
    with suppress(OSError):
        os.write(2, text.encode())
