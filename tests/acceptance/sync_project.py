"""`sync_project.py FOLDER EFFECT RUNS`: so many runs of eight steps of this effect kind, for counting syncs."""

import asyncio
import sys
from pathlib import Path

from magsag.domain.facts import RunStatus
from magsag.services.driving.runs import Order
from magsag.testing import build_app


def main() -> None:
    folder, effect, runs = sys.argv[1:]
    head = "kind: {}\nschema: 1\nslug: {}\nversion: 1.0.0\nentrypoint: {}.py:run\n"
    files = {
        "skills/act/skill.yaml": head.format("skill", "act", "skill") + f"effect: {effect}\n",
        "skills/act/skill.py": "async def run(payload):\n    return payload\n",
        "agents/main/eight/agent.yaml": head.format("agent", "eight", "agent") + "role: main\nuses: [skill:act]\n",
        "agents/main/eight/agent.py": (
            "async def run(payload, ctx):\n    for n in range(8):\n        await ctx.skill('act', n)\n"
        ),
        "policies/may.yaml": "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:act'], verdict: allow}\n",
    }
    app = build_app(Path(folder), files)

    async def drive() -> None:
        for _ in range(int(runs)):
            result = await app.runs.run(Order("agent:eight", None))
            assert result.status is RunStatus.SUCCEEDED, result

    asyncio.run(drive())
    app.close()


if __name__ == "__main__":
    main()
