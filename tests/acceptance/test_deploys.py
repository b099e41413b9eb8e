"""Part 2 C: runs go on with the catalog that they began with, whatever became of it since."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from textwrap import dedent

import pytest

from tests.acceptance.workshop import Done, command, environment, is_sound, magsag

RUNS = 20
AGENT = """\
    async def run(payload, ctx):
        plan = await ctx.skill("plan", {"n": payload["n"]})
        sent = await ctx.skill("post", plan)
        return {"sent": sent, "said": (await ctx.skill("word", {}))["word"]}
    """
FLOW = """\
    kind: flow
    schema: 1
    slug: steps
    version: 1.0.0
    steps:
      - {id: one, uses: "skill:plan", with: {n: 1}}
      - {id: slow, uses: "skill:nap", needs: [one]}
      - {id: two, uses: "skill:plan", needs: [slow], with: {n: 2}}
      - {id: three, uses: "skill:word", needs: [two], with: {}}
    output: "{'one': steps.one, 'two': steps.two, 'three': steps.three}"
    """
SKILLS = {
    "plan": ("pure", "def run(payload):\n    return {'n': payload['n'], 'by': 'old'}\n"),
    "word": ("pure", "from .words import WORD\ndef run(payload):\n    return {'word': WORD}\n"),
    "post": (
        "unrepeatable\ntimeout: 200ms",
        "import time\nfrom pathlib import Path\ndef run(payload):\n    if Path('stuck').exists():\n"
        "        time.sleep(60)\n    return payload\n",
    ),
    "nap": (
        "read",
        "import os, time\nfrom pathlib import Path\ndef run(payload):\n    Path('asleep').touch()\n"
        "    while not Path('go').exists():\n        time.sleep(0.02)\n    return {}\n",
    ),
}
HEAD = "kind: {}\nschema: 1\nslug: {}\nversion: 1.0.0\nentrypoint: {}.py:run\n"
USES = "role: main\nuses: ['skill:plan', 'skill:post', 'skill:word']\n"
ALLOW = 'kind: policy\nschema: 1\nrules:\n  - {id: may-post, on: ["skill:post"], verdict: allow}\n'
MANY = f"""
import asyncio
from magsag import Project

async def main():
    project = Project.open(".")
    await asyncio.gather(*(project.run("post-mag", {{"n": n}}, run_id=f"run-{{n}}") for n in range({RUNS})))

asyncio.run(main())
"""
"""starts all runs at once, in a process of its own"""


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path) -> Path:
    catalog = tmp_path / "catalog"
    put(catalog / "agents/main/post-mag/agent.yaml", HEAD.format("agent", "post-mag", "agent") + USES)
    put(catalog / "agents/main/post-mag/agent.py", AGENT)
    put(catalog / "flows/steps.yaml", FLOW)
    for name, (effect, code) in SKILLS.items():
        put(catalog / f"skills/{name}/skill.yaml", HEAD.format("skill", name, "skill") + f"effect: {effect}\n")
        put(catalog / f"skills/{name}/skill.py", code)
    put(catalog / "skills/word/words.py", "WORD = 'old'\n")
    put(tmp_path / "magsag.toml", "")
    return tmp_path


def change(folder: Path) -> None:
    """A deploy: steps renamed, removed and in another order, a file deleted, other words."""
    catalog = folder / "catalog"
    manifest = catalog / "agents/main/post-mag/agent.yaml"
    manifest.write_text(manifest.read_text().replace(", 'skill:post', 'skill:word'", ""))
    put(
        catalog / "agents/main/post-mag/agent.py",
        """\
        async def run(payload, ctx):
            return {"said": (await ctx.skill("plan", {"n": "new"}))["by"]}
        """,
    )
    put(catalog / "skills/plan/skill.py", "def run(payload):\n    return {'n': payload['n'], 'by': 'new'}\n")
    put(
        catalog / "flows/steps.yaml",
        """\
        kind: flow
        schema: 1
        slug: steps
        version: 1.0.0
        steps:
          - {id: last, uses: "skill:plan", with: {n: 2}}
          - {id: first, uses: "skill:plan", needs: [last], with: {n: 1}}
        output: "{'first': steps.first}"
        """,
    )
    shutil.rmtree(catalog / "skills/word")
    shutil.rmtree(catalog / "skills/nap")


def delete(folder: Path) -> None:
    """Nothing of what the runs began with is left but the rules."""
    for name in ("agents", "skills", "flows"):
        shutil.rmtree(folder / "catalog" / name)


def started(folder: Path, run: str, n: int = 1) -> Done:
    return magsag("agent", "run", "post-mag", "--run-id", run, cwd=folder, stdin=json.dumps({"n": n}))


def test_parked_runs_finish_as_the_control_does(project: Path) -> None:
    put(project / "catalog/policies/allow.yaml", ALLOW)
    assert started(project, "control", 7).value == {"sent": {"n": 7, "by": "old"}, "said": "old"}
    (project / "stuck").touch()
    subprocess.run([sys.executable, "-c", MANY], cwd=project, env=environment(), check=True, timeout=100)
    rows = magsag("run", "list", "--parked-on", "doubt", "--json", cwd=project).value
    assert len(rows) == RUNS
    for n in range(RUNS):
        if n in (0, RUNS // 2):
            (change if n == 0 else delete)(project)
        sent = {"n": n, "by": "old"}
        done = magsag("run", "resolve", f"run-{n}", "post#1", "--succeeded", json.dumps(sent), cwd=project)
        assert (done.code, done.value) == (0, {"sent": sent, "said": "old"}), done.err
    assert magsag("run", "replay", "run-3", cwd=project).code == 0
    assert is_sound(project)


def test_held_runs_stay_held_on_what_they_asked(project: Path) -> None:
    held = started(project, "held")
    assert (held.code, "skill:post@1.0.0 asks" in held.err) == (3, True)
    change(project)
    again = magsag("agent", "run", "--resume", "held", cwd=project)
    assert (again.code, "skill:post@1.0.0 asks" in again.err, "divergence" in again.err) == (3, True, False)
    assert magsag("run", "replay", "held", cwd=project).code == 0
    assert magsag("run", "replay", "held", "--catalog", ".", cwd=project).code == 1


def test_new_runs_use_the_new_catalog_and_the_list_shows_both(project: Path) -> None:
    assert started(project, "old").code == 3
    assert "bundle" not in magsag("run", "list", cwd=project).out
    change(project)
    new = started(project, "new")
    assert (new.code, new.value) == (0, {"said": "new"})
    listed = {row["run"]: row["bundle"] for row in magsag("run", "list", "--json", cwd=project).value}
    assert listed["old"] != listed["new"]
    shown = magsag("run", "list", cwd=project).out
    assert all(bundle[:8] in shown for bundle in listed.values())
    assert magsag("agent", "run", "--resume", "old", cwd=project).code == 3
    assert magsag("run", "cancel", "old", cwd=project).code == 0


@pytest.mark.parametrize("deploy", [change, delete])
def test_a_run_that_was_killed_finishes_as_the_control_does(project: Path, deploy: Callable[[Path], None]) -> None:
    arguments = ("flow", "run", "steps", "--input", "none.json", "--run-id")
    put(project / "none.json", "{}")
    process = subprocess.Popen(
        command(*arguments, "killed"), cwd=project, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 30
    while not (project / "asleep").exists() and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    (project / "go").touch()
    control = magsag(*arguments, "control", cwd=project)
    assert control.code == 0, control.err
    deploy(project)
    done = magsag("flow", "run", "--resume", "killed", cwd=project)
    assert (done.code, done.value) == (0, control.value), done.err
    assert magsag("run", "diff", "control", "killed", cwd=project).code == 0
    assert is_sound(project)


def install(folder: Path, version: str) -> None:
    """A package of that version, where PYTHONPATH finds it."""
    shutil.rmtree(folder / "site", ignore_errors=True)
    put(folder / "site/greetings/__init__.py", f"WORD = 'of {version}'\n")
    about = folder / f"site/greetings-{version}.dist-info"
    put(about / "METADATA", f"Metadata-Version: 2.1\nName: greetings\nVersion: {version}\n")
    put(about / "top_level.txt", "greetings\n")


def test_a_run_meets_other_packages_than_it_began_with(project: Path) -> None:
    put(project / "catalog/skills/word/words.py", "from greetings import WORD\n")
    put(project / "catalog/policies/allow.yaml", ALLOW)
    put(project / "stuck", "")

    def go(*arguments: str, stdin: str = "{}", **more: str) -> Done:
        more["PYTHONPATH"] = str(project / "site")
        return magsag(*arguments, cwd=project, stdin=stdin, wrap=(), **more)

    install(project, "1.2.0")
    assert go("agent", "run", "post-mag", "--run-id", "old", stdin='{"n": 1}').code == 3
    first = go("run", "list", "--json").value[0]["bundle"]
    resume = ("run", "resolve", "old", "post#1", "--succeeded", "{}")
    install(project, "2.0.0")
    refused = go("agent", "run", "--resume", "old")
    assert (refused.code, "greetings 1.2.0, here 2.0.0" in refused.err) == (2, True), refused.err
    install(project, "1.3.0")
    assert go("agent", "run", "--resume", "old", MAGSAG_PACKAGES="exact").code == 2
    gone_on = go(*resume)
    assert (gone_on.code, gone_on.value["said"]) == (0, "of 1.3.0"), gone_on.err
    assert "greetings 1.2.0, here 1.3.0" in gone_on.err
    assert go("agent", "run", "post-mag", "--run-id", "new", stdin='{"n": 2}').code == 3
    bundles = {row["run"]: row["bundle"] for row in go("run", "list", "--json").value}
    assert (bundles["old"], bundles["new"] != first) == (first, True)
    assert is_sound(project)


def test_a_program_that_parts_from_its_record_parks_and_says_where(project: Path) -> None:
    put(
        project / "catalog/agents/main/post-mag/agent.py",
        """\
        from pathlib import Path

        async def run(payload, ctx):
            return await ctx.skill("post", {"n": 2 if Path("other").exists() else 1})
        """,
    )
    assert started(project, "parts").code == 3
    put(project / "other", "")
    again = magsag("agent", "run", "--resume", "parts", cwd=project)
    said = "step post#1: skill:post@1.0.0 was called with another input before; it differs at /n"
    assert (again.code, said in again.err) == (3, True), again.err
    (row,) = magsag("run", "list", "--parked-on", "divergence", "--json", cwd=project).value
    assert row["run"] == "parts"
    (project / "other").unlink()
    back = magsag("agent", "run", "--resume", "parts", cwd=project)
    assert (back.code, "skill:post@1.0.0 asks" in back.err) == (3, True), back.err
