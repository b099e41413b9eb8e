"""A project whose acts count at a sink and can be caught in the middle, and workers that drive its runs.

Run as a script it is a worker whose lease may be shorter than settings allow:
`worker_project.py FOLDER LEASE_SECONDS [CONCURRENCY]`.
"""

import asyncio
import json
import sys
import tomllib
from pathlib import Path
from typing import Any, Final

from magsag.app import App, build
from magsag.domain.ids import RunId
from magsag.domain.settings import Settings
from magsag.ports.runner import Told

_ACT: Final = """
import asyncio, os, urllib.request
from pathlib import Path

async def run(payload, ctx):
    begun = Path(payload["folder"]) / f"{SLUG}.{ctx.idempotency_key}"
    catch = payload.get("catch") if not begun.exists() else None
    begun.write_text(str(os.getpid()))
    if catch == f"{SLUG}:before":
        await asyncio.sleep(SECONDS)
    headers = {"Idempotency-Key": ctx.idempotency_key}
    request = urllib.request.Request(f"{payload['sink']}/{SLUG}", b"", headers, method="POST")
    urllib.request.urlopen(request, timeout=10).close()
    if catch == f"{SLUG}:after":
        await asyncio.sleep(SECONDS)
    return SLUG
"""
_LOOKUP: Final = """
from urllib.error import HTTPError

def find(payload, ctx):
    try:
        urllib.request.urlopen(f"{payload['sink']}/{ctx.idempotency_key}", timeout=10).close()
    except HTTPError:
        return {"found": False}
    return {"found": True, "output": SLUG}
"""
_KINDS: Final = {"look": "read", "put": "idempotent", "pay": "reconcilable", "mail": "unrepeatable"}
_AGENT: Final = """
async def run(payload, ctx):
    return [await ctx.skill(slug, payload) for slug in payload.get("acts", ["put", "look", "mail"])]
"""
_BOSS: Final = """
async def run(payload, ctx):
    if payload.get("fails"):
        await ctx.gather(ctx.delegate("actor", payload, detached=True), ctx.delegate("failing", {}))
    if payload.get("many"):
        each = lambda n: ctx.delegate("actor", {**payload, "n": n}, detached=True)
        return await ctx.map(each, range(payload["many"]))
    return {"below": await ctx.delegate("actor", payload, detached=True)}
"""
_FAILING: Final = """
import asyncio

async def run(payload, ctx):
    await ctx.call(asyncio.sleep, 0.5)
    raise ValueError("no luck")
"""


def write_project(folder: Path, seconds: float = 1.5) -> Path:
    """Write it; an act that is caught lasts `seconds`."""
    files = {"policies/all.yaml": "kind: policy\nschema: 1\nrules:\n"}
    for slug, effect in _KINDS.items():
        lookup = "lookup: skill.py:find\ntimeout: 2s\n" if effect == "reconcilable" else ""
        head = f"kind: skill\nschema: 1\nslug: {slug}\nversion: 1.0.0\nentrypoint: skill.py:run\n"
        files[f"skills/{slug}/skill.yaml"] = f"{head}effect: {effect}\n{lookup}"
        files[f"skills/{slug}/skill.py"] = f"SLUG, SECONDS = {slug!r}, {seconds}\n{_ACT}{_LOOKUP if lookup else ''}"
        files["policies/all.yaml"] += f'  - {{id: may-{slug}, on: ["skill:{slug}"], verdict: allow}}\n'
    uses = ", ".join(f"skill:{slug}" for slug in _KINDS)
    for slug, code, more in (
        ("actor", _AGENT, uses),
        ("boss", _BOSS, "agent:actor, agent:failing"),
        ("failing", _FAILING, ""),
    ):
        head = f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: main\nentrypoint: agent.py:run\n"
        files[f"agents/main/{slug}/agent.yaml"] = f"{head}uses: [{more}]\n"
        files[f"agents/main/{slug}/agent.py"] = code
    for name, text in files.items():
        file = folder / "catalog" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (folder / "magsag.toml").write_text("", encoding="utf-8")
    return folder


def app_of(folder: Path, lease_seconds: float = 10.0) -> App:
    """A process on that project."""
    told = tomllib.loads((folder / "magsag.toml").read_text(encoding="utf-8"))
    ledger = told.get("ledger", str(folder / ".magsag" / "ledger.db"))
    settings = Settings(str(folder), str(folder / "catalog"), ledger, actor="tester", lease_seconds=lease_seconds)
    return build(settings)


def main() -> None:
    folder, lease = Path(sys.argv[1]), float(sys.argv[2])
    app = app_of(folder, lease)

    def told(run: RunId, told: Told | Exception) -> None:
        print(json.dumps([run, type(told).__name__]), flush=True)

    server = app.worker("scripted", int(sys.argv[3]) if len(sys.argv) > 3 else 8, told)
    print(json.dumps(["", "ready"]), flush=True)
    try:
        asyncio.run(server.serve())
    finally:
        app.close()


def payload(sink: str, folder: Path, **more: Any) -> dict[str, Any]:
    """An input of the agent `actor`: which acts, and in which one it is to be caught."""
    return {"sink": sink, "folder": str(folder), **more}


if __name__ == "__main__":
    main()
