"""What the machine itself costs: bare commits, bare fan-outs. No engine can be faster."""

import asyncio
import sqlite3
import time
from pathlib import Path

BODY = b"x" * 600
"""about what one fact takes, payload included"""


class BareCommits:
    """Inserts, each committed under synchronous=FULL, in a WAL that has grown like the product's."""

    def __init__(self, folder: str) -> None:
        self._db = sqlite3.connect(Path(folder) / "floor.db", isolation_level=None)
        self._db.execute("pragma journal_mode=wal")
        self._db.execute("pragma synchronous=full")
        self._db.execute("create table facts(run text, seq integer, body blob, primary key(run, seq)) without rowid")
        self._seq = 0
        self._db.execute("create table big(body blob)")
        self._db.execute("insert into big values (zeroblob(4194304))")
        self._db.execute("delete from big")
        self._db.execute("pragma wal_checkpoint(restart)")

    def seconds_each(self, count: int) -> float:
        """Mean of `count` commits."""
        began = time.perf_counter()
        for _ in range(count):
            self._seq += 1
            self._db.execute("begin immediate")
            self._db.execute("insert into facts values ('run', ?, ?)", (self._seq, BODY))
            self._db.execute("commit")
        return (time.perf_counter() - began) / count


async def fan_out(items: int, seconds: float, bound: int) -> None:
    """gather under a semaphore: what one would write without an engine."""
    limit = asyncio.Semaphore(bound)

    async def one() -> None:
        async with limit:
            await asyncio.sleep(seconds)

    await asyncio.gather(*(one() for _ in range(items)))


async def awaits(count: int) -> float:
    """Seconds per bare `await` of a coroutine function."""

    async def nothing() -> None:
        return None

    began = time.perf_counter()
    for _ in range(count):
        await nothing()
    return (time.perf_counter() - began) / count
