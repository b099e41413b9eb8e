"""A process in which so many runs park: `parked_project.py FOLDER COUNT` prints what they cost it, as JSON."""

import asyncio
import gc
import json
import sys
import threading
from pathlib import Path

from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import App
from magsag.services.driving.runs import Order
from magsag.testing import build_app

WARM: int = 100
"""runs before anything is measured: code, caches and pages that any number of runs needs"""
AGENT = "kind: agent\nschema: 1\nslug: main\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\nuses: []\n"
CODE = """
async def run(payload, ctx):
    return await ctx.gather(ctx.wait_for("paid"), ctx.sleep(86400 * 30))
"""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096


async def park(app: App, first: int, count: int) -> int:
    """So many runs, 50 side by side; how many tasks are left."""
    numbers = iter(range(first, first + count))

    async def some() -> None:
        for number in numbers:
            result = await app.runs.run(Order("agent:main", number))
            assert result.status == "parked", result

    await asyncio.gather(*(some() for _ in range(50)))
    return len(asyncio.all_tasks()) - 1


async def measured(app: App, count: int) -> dict[str, int]:
    await park(app, 0, WARM)
    gc.collect()
    before, threads = resident(), threading.active_count()
    tasks = await park(app, WARM, count)
    gc.collect()
    return {"bytes": resident() - before, "threads": threading.active_count() - threads, "tasks": tasks}


def main() -> None:
    folder, count = Path(sys.argv[1]), int(sys.argv[2])
    files = {"agents/main/main/agent.yaml": AGENT, "agents/main/main/agent.py": CODE}
    app = build_app(folder, files, store=SqliteStore(folder / ".magsag" / "ledger.db"))
    print(json.dumps(asyncio.run(measured(app, count))))
    app.close()


if __name__ == "__main__":
    main()
