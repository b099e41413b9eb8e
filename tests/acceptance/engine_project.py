"""A process that drives the run `r` of a small project until something is done to it.

`engine_project.py FOLDER BODY LEASE_SECONDS [TIMEOUT]`: the agent `main` has that body, and the skill `act` appends a
line to `FOLDER/acts` before and after it sleeps for the seconds that it is given.
"""

import asyncio
import sys
from pathlib import Path
from textwrap import indent
from typing import Any, Final

from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import App
from magsag.domain.ids import RunId
from magsag.domain.settings import Limits
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import build_app

_SKILL: Final = """
import asyncio

def _say(folder, word):
    with open(f"{folder}/acts", "a") as file:
        file.write(word + "\\n")

async def run(payload, ctx):
    _say(payload["folder"], "begin")
    await asyncio.sleep(payload["seconds"])
    _say(payload["folder"], "end")
    return payload["seconds"]
"""
_POLICY: Final = "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:act'], verdict: allow}\n"


def project(folder: Path, body: str, **settings: Any) -> App:
    """The app of that project, on its ledger on disk."""
    head = "kind: {}\nschema: 1\nslug: {}\nversion: 1.0.0\nentrypoint: {}.py:run\n"
    files = {
        "skills/act/skill.yaml": head.format("skill", "act", "skill") + "effect: unrepeatable\n",
        "skills/act/skill.py": _SKILL,
        "policies/may.yaml": _POLICY,
    }
    for slug, code, more in (("main", body, ", agent:child"), ("child", 'await ctx.skill("act", payload)', "")):
        place = f"agents/main/{slug}"
        files[f"{place}/agent.yaml"] = head.format("agent", slug, "agent") + f"role: main\nuses: [skill:act{more}]\n"
        files[f"{place}/agent.py"] = f"import time\nasync def run(payload, ctx):\n{indent(code, '    ')}\n"
    store = SqliteStore(folder / ".magsag" / "ledger.db")
    return build_app(folder, files, store=store, **settings)


async def _drive(app: App, folder: str) -> RunResult:
    if app.store.row(RunId("r")) is None:
        return await app.runs.run(Order("agent:main", {"folder": folder, "seconds": 0.0}, run_id="r"))
    return await app.runs.resume(RunId("r"))


def main() -> None:
    folder, body, lease = sys.argv[1:4]
    limits = Limits(step_seconds=float(sys.argv[4]) if len(sys.argv) > 4 else 300.0)
    app = project(Path(folder), body, lease_seconds=float(lease), limits=limits)
    result = asyncio.run(_drive(app, folder))
    print(result.status.value, result.output)
    app.close()


if __name__ == "__main__":
    main()
