"""The breaker of an agent, with the real command: runs that people start ask it too, also when processes are killed."""

import json
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent

import pytest

from tests.acceptance.test_limits import CODE, Outside, start
from tests.acceptance.workshop import Done, command, magsag

SKILL = "kind: skill\nschema: 1\nslug: look\nversion: 0.1.0\nentrypoint: skill.py:run\neffect: read\n"
AGENT = """\
kind: agent
schema: 1
slug: teller
version: 0.1.0
role: main
entrypoint: agent.py:run
uses: [skill:look]
timeout: 600s
breaker: {failures: 2, open: 1s}
"""
TELLER = """\
async def run(payload, ctx):
    return await ctx.skill("look", payload)
"""
PROCESSES = 3


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()


def the_last(racing: "list[subprocess.Popen[str]]") -> "subprocess.Popen[str]":
    """The only one that has not ended, once that is so."""
    deadline = time.monotonic() + 100
    while sum(one.poll() is None for one in racing) > 1:
        assert time.monotonic() < deadline
        time.sleep(0.05)
    return next(one for one in racing if one.returncode is None)


def project(folder: Path) -> Path:
    skill, agent = folder / "catalog/skills/look", folder / "catalog/agents/main/teller"
    for part in (skill, agent):
        part.mkdir(parents=True)
    (skill / "skill.yaml").write_text(SKILL)
    (skill / "skill.py").write_text(dedent(CODE).format(slug="look"))
    (agent / "agent.yaml").write_text(AGENT)
    (agent / "agent.py").write_text(TELLER)
    (folder / "magsag.toml").touch()
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize(
    "store", ["sqlite", pytest.param("postgres", marks=[pytest.mark.needs("postgres"), pytest.mark.prove])]
)
def test_a_killed_run_that_tried_keeps_others_out_until_it_goes_on(
    tmp_path: Path, outside: Outside, store: str, request: pytest.FixtureRequest
) -> None:
    folder = project(tmp_path)
    place = {"MAGSAG_LEDGER": request.getfixturevalue("dsn")} if store == "postgres" else {}
    asked = json.dumps({"url": outside.url})

    def run(id: str, *more: str) -> Done:
        return magsag("agent", "run", "teller", "--run-id", id, *more, cwd=folder, stdin=asked, **place)

    assert [run(id).code for id in ("one", "two")] == [1, 1]
    time.sleep(1.1)
    outside.answers.clear()
    words = [command("agent", "run", "teller", "--run-id", f"at-once-{n}") for n in range(PROCESSES)]
    racing = [start(one, folder, asked, **place) for one in words]
    tries = the_last(racing)
    assert [one.returncode for one in racing if one is not tries] == [1] * (PROCESSES - 1)
    assert outside.contacts["look"] == 3
    tries.kill()
    for process in racing:
        process.communicate()
    outside.works = True
    outside.answers.set()

    early = run("early", "--json")
    assert (early.code, early.error["details"]["breaker"]) == (1, "half_open")
    assert outside.contacts["look"] == 3
    rows = magsag("run", "list", "--json", cwd=folder, **place).value
    (killed,) = (one["run"] for one in rows if one["status"] == "running")
    assert magsag("agent", "run", "--resume", killed, cwd=folder, **place).value == "fine"
    assert run("after").value == "fine"
    moves = magsag("run", "show", killed, "--json", cwd=folder, **place).value["breakers"]
    assert [(one["name"], one["step"], one["state"]) for one in moves] == [
        ("agent:teller", "@start", state) for state in ("half_open", "closed")
    ]
    assert outside.contacts["look"] == 5
    assert magsag("run", "show", "early", "--json", cwd=folder, **place).value["status"] == "denied"
    assert magsag("data", "check", cwd=folder, **place).out == "no faults\n"
