"""The cases in DBOS, as its documentation writes them: workflows of steps, on its default SQLite system database.

The file is put into WAL mode beforehand, as ours is: DBOS leaves SQLite's rollback journal on, which takes twice as
long per step. `BENCH_URL` names another system database, for instance on Postgres.

usage: dbos_peer.py FOLDER               answer on stdin and stdout (see `wire.py`)
       dbos_peer.py FOLDER start | resume   the run that is killed, and the process that goes on
"""

import asyncio
import os
import sqlite3
import sys
import time
from pathlib import Path

from dbos import DBOS, SetWorkflowID
from wire import answer, clock, stamp

FOLDER = Path(sys.argv[1])
URL = os.environ.get("BENCH_URL")


@DBOS.step()
def inc(n: int) -> int:
    return n + 1


@DBOS.workflow()
def loop(steps: int) -> int:
    n = 0
    for _ in range(steps):
        n = inc(n)
    return n


@DBOS.step()
async def wait(seconds: float) -> None:
    await asyncio.sleep(seconds)


@DBOS.workflow()
async def one_wait(seconds: float) -> None:
    await wait(seconds)


@DBOS.workflow()
async def wide(items: int, seconds: float) -> int:
    limit = asyncio.Semaphore(100)

    async def item() -> None:
        async with limit:
            await wait(seconds)

    return len(await asyncio.gather(*(item() for _ in range(items))))


@DBOS.workflow()
async def wide_children(items: int, seconds: float) -> int:
    handles = [await DBOS.start_workflow_async(one_wait, seconds) for _ in range(items)]
    return len([await handle.get_result() for handle in handles])


@DBOS.step()
def stamp_step(folder: str, number: int) -> int:
    return stamp(folder, number)


@DBOS.workflow()
def stamps(folder: str) -> list[int]:
    return [stamp_step(folder, number) for number in range(8)]


def main() -> None:
    if URL is None:
        connection = sqlite3.connect(FOLDER / "dbos.db")
        connection.execute("pragma journal_mode=wal")
        connection.close()
    url = URL.replace("postgresql://", "postgresql+psycopg://") if URL else f"sqlite:///{FOLDER / 'dbos.db'}"
    DBOS(config={"name": "bench", "system_database_url": url, "log_level": "ERROR", "application_version": "1"})
    DBOS.launch()
    try:
        if not sys.argv[2:]:
            answer("dbos", "its own recovery; " + ("Postgres" if URL else "SQLite (WAL, synchronous=FULL)"), CASES)
        elif sys.argv[2] == "start":
            with SetWorkflowID("bench"):
                stamps(str(FOLDER))
        else:
            while DBOS.get_workflow_status("bench").status != "SUCCESS":
                time.sleep(0.05)
    finally:
        DBOS.destroy()


def _many() -> float:
    def runs() -> None:
        for handle in [DBOS.start_workflow(loop, 8) for _ in range(200)]:
            handle.get_result()

    return 200 / clock(runs)


CASES = {
    "durable_step": lambda: clock(lambda: loop(100)) / 100 * 1e6,
    "many": _many,
    "map": lambda: clock(lambda: asyncio.run(wide(1000, 0.01))),
    "children": lambda: clock(lambda: asyncio.run(wide_children(1000, 0.01))),
}


if __name__ == "__main__":
    main()
