"""The scene of the budget proof: acts that cost something, one ledger, processes that are killed and replaced."""

import os
import random
import shutil
import signal
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final, Protocol

from magsag.adapters.proofs import processes
from magsag.adapters.proofs.bench import Ledgers
from magsag.adapters.proofs.boundaries import kill_own_process
from magsag.domain.errors import Invalid, MagsagError
from magsag.ports.ledger import Store
from magsag.services.proofs.bench import Ended, Said
from magsag.services.proofs.budget import PRICE, Till

LIMIT_SECONDS: Final = 300
_FILES: Final = {
    "agents/main/spender-mag/agent.yaml": (
        "kind: agent\nschema: 1\nslug: spender-mag\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        "uses: [skill:buy, skill:pause]\n"
    ),
    "agents/main/spender-mag/agent.py": (
        "async def run(payload, ctx):\n"
        "    prices, many, bought = payload['prices'], payload['at_once'], 0\n"
        "    for start in range(0, len(prices), many):\n"
        "        calls = [ctx.skill('buy', {'price': price}) for price in prices[start:start + many]]\n"
        "        done = await ctx.gather(*calls, on_error='collect')\n"
        "        bought += len(done.results)\n"
        "        if done.errors and start + many < len(prices):\n"
        "            await ctx.skill('pause', {})\n"
        "    return bought\n"
    ),
    "skills/pause/skill.yaml": (
        "kind: skill\nschema: 1\nslug: pause\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: pure\n"
    ),
    "skills/pause/skill.py": (  # until others have said what their acts have really cost
        "import asyncio\n\n\nasync def run(payload):\n    await asyncio.sleep(0.05)\n"
    ),
    "skills/buy/skill.yaml": (
        "kind: skill\nschema: 1\nslug: buy\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: read\n"
        f"cost: {{usd: {PRICE / 1e9}}}\n"
    ),
    "skills/buy/skill.py": (
        "import asyncio\n\n\nasync def run(payload, ctx):\n"
        "    await asyncio.sleep((5 + payload['price'] % 30) / 1000)\n"
        "    ctx.spent(usd=f\"{payload['price'] / 1e9:.9f}\")\n"
        "    return payload['price']\n"
    ),
}


class ClosableTill(Till, Protocol):
    """A till that holds something open."""

    def close(self) -> None: ...


class ForkMarket:
    """A market (`services.proofs.budget`). Use it with `with`; all of it is gone afterwards."""

    def __init__(
        self, build: Callable[[Path, Store], ClosableTill], ledgers: Ledgers, warm: Callable[[Path], None]
    ) -> None:
        """`warm` drives a run of the catalog of a folder before anything is forked, so that no process starts cold."""
        if not hasattr(os, "fork"):
            raise Invalid("a budget proof forks processes, which this system cannot: run it on Linux or macOS")
        self._build = build
        self._ledgers = ledgers
        self._warm = warm
        self._count = 0

    def __enter__(self) -> "ForkMarket":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        for path, text in _FILES.items():
            file = self._folder / "catalog" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        self._warm(self._folder)
        self._place = self._folder / "budget"
        self._place.mkdir()
        self._ledger = self._ledgers.make(self._place)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(MagsagError):
            self._ledgers.drop(self._ledger)
        shutil.rmtree(self._folder, ignore_errors=True)

    @contextmanager
    def till(self) -> Iterator[Till]:
        """Open the ledger in this process."""
        till = self._build(self._folder, self._ledgers.open(self._ledger, self._place))
        try:
            yield till
        finally:
            till.close()

    def fuse(self, seconds: float) -> None:
        """A thread of its own, so that nothing waits for it."""
        timer = threading.Timer(seconds, kill_own_process)
        timer.daemon = True
        timer.start()

    def numbers(self, seed: int, low: int, high: int) -> Iterator[int]:
        """From one generator."""
        chance = random.Random(seed)
        while True:
            yield chance.randint(low, high)

    def each(self, works: Sequence[Callable[[], Said]]) -> list[Ended]:
        """All at once, each in a process of its own."""
        return self.relay(works, [])

    def relay(self, works: Sequence[Callable[[], Said]], spares: Sequence[Callable[[], Said]]) -> list[Ended]:
        """A spare takes the place of each that is killed."""
        running: dict[int, int] = {}
        places: dict[int, Path] = {}
        ended: dict[int, Ended] = {}
        killed: list[Ended] = []
        left = list(spares)

        def start(work: Callable[[], Said], index: int) -> None:
            process, place = self._start(work)
            running[process], places[process] = index, place

        try:
            for index, work in enumerate(works):
                start(work, index)
            while running:
                process, status = os.wait()
                if process not in running:
                    continue
                index, code = running.pop(process), os.waitstatus_to_exitcode(status)
                told = Ended(*processes.told(code, places[process]))
                if code == -signal.SIGKILL and left:
                    killed.append(told)
                    start(left.pop(0), index)
                else:
                    ended[index] = told
        finally:
            for process in running:
                with suppress(ProcessLookupError):
                    os.kill(process, signal.SIGKILL)
                with suppress(ChildProcessError):
                    os.waitpid(process, 0)
        return [*killed, *(ended[index] for index in range(len(works)))]

    def _start(self, work: Callable[[], Said]) -> tuple[int, Path]:
        self._count += 1
        place = self._folder / f"work-{self._count}"
        return processes.fork(work, place, LIMIT_SECONDS), place
