"""`magsag serve`: a process that drives the runs of a store, until it is told to stop."""

import asyncio
import logging
import os
import platform
import sys
from contextlib import redirect_stdout, suppress
from typing import TYPE_CHECKING, Any, Final, TextIO, assert_never

import click

from magsag.domain.errors import Invalid
from magsag.domain.ids import RunId
from magsag.ports.runner import Busy, Finished, Parked, Told, Yielded
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import INTERRUPTED, NO, YES
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.signals import Signals
from magsag.surfaces.cli.writing import json_text

if TYPE_CHECKING:
    from magsag.ports.runner import Server

_log = logging.getLogger("magsag.worker")
_STOPPED: Final = "its runs go on where another worker takes them, or with --resume"


@click.command("serve", cls=Leaf)
@click.option("--worker", is_flag=True, help="Drive runs; the only thing that this version serves.")
@click.option("--concurrency", type=click.IntRange(min=1), default=16, show_default=True, help="Runs side by side.")
@click.option("--name", metavar="NAME", help="What its lines call it; host and process number by default.")
@click.option("--once", is_flag=True, help="Drive what is due, then end: 0, or 1 when a run could not be driven.")
@click.pass_obj
def command(call: Call, worker: bool, concurrency: int, name: str | None, once: bool) -> int:
    """Drive every run of this ledger that is due and that nobody drives; any number of workers share one ledger.

    It tells of each run on stderr, with --json as one line each on stdout. SIGTERM or Ctrl-C: acts under way end,
    runs are given back, exit 0; a second one stops at once, exit 130.
    """
    if not worker:
        raise Invalid("say what to serve: `magsag serve --worker` drives runs")
    if not call.is_quiet:
        verbose = call.flags.get("verbose")
        call.flags["verbose"] = max(1, verbose if isinstance(verbose, int) else 0)
    app = call.app
    if not app.settings.features.durable:
        raise Invalid("a worker needs a ledger; switch [features] durable on")
    name = name or f"{platform.node() or 'here'}-{os.getpid()}"
    teller = _Teller(name, sys.stdout if call.wants_json else None)
    return _serve(app.worker(name, concurrency, teller), teller, name, once)


def _serve(server: "Server", teller: "_Teller", name: str, once: bool) -> int:
    async def served() -> None:
        signals.loop = asyncio.get_running_loop()
        _log.info("worker %s is ready", name)
        await server.serve(once)

    with Signals(server.interrupt, lambda: _STOPPED, INTERRUPTED) as signals, redirect_stdout(sys.stderr):
        asyncio.run(served())
    _log.info("worker %s has ended", name, extra={"fields": {"legs": teller.legs}})
    return NO if once and teller.failed else YES


class _Teller:
    """Says how each leg ended."""

    def __init__(self, name: str, out: TextIO | None) -> None:
        self._name = name
        self._out = out
        self.legs = 0
        self.failed = False

    def __call__(self, run: RunId, told: Told | Exception) -> None:
        if isinstance(told, Busy):
            return
        said = _said(told)
        self.legs += 1
        self.failed = self.failed or isinstance(told, Exception)
        if not isinstance(told, Exception):
            text = " ".join(str(said[key]) for key in ("told", "status", "reason") if key in said)
            _log.info("%s", text, extra={"run": run, "fields": {"worker": self._name}})
        if self._out is not None:
            with suppress(OSError, ValueError):  # a reader that went away is no reason to stop
                self._out.write(json_text({"run": run, **said, "worker": self._name}, indent=False) + "\n")
                self._out.flush()


def _said(told: Finished | Parked | Yielded | Exception) -> dict[str, Any]:
    from magsag.services.insight.documents import iso

    match told:
        case Finished(status):
            return {"told": "finished", "status": status}
        case Parked():
            return {"told": "parked", "due": iso(told.due), "reason": told.reason}
        case Yielded():
            return {"told": "yielded"}
        case Exception():
            return {"told": "failed", "error": str(told)}
        case _:
            assert_never(told)
