"""Entrypoints are there and take the right parameters, read without running; and what a resume would not repeat."""

from pathlib import Path

import pytest

from tests.unit.catalogs import AGENT, ASYNC_RUN, BOSS, SEND, SKILL, findings, swapped, told

BOSS_CODE = "agents/main/boss-mag/agent.py"
SEND_CODE = "skills/send/skill.py"


@pytest.mark.parametrize(
    ("entrypoint", "words"),
    [
        ("agnt.py:run", 'there is no file agents/main/boss-mag/agnt.py in the catalog; did you mean "agent.py"?'),
        ("agent.py", "'agent.py' names no function; write the file beside the manifest and the function"),
        ("'agent.py:'", "names no function"),
        ("agent:run", "names no function"),
        ("agent.py:rnu", "has no function 'rnu'; did you mean \"run\"?"),
        ("../../../../../etc/x.py:run", "there is no file"),
    ],
)
def test_an_entrypoint_that_leads_nowhere_is_told(entrypoint: str, words: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, {BOSS: swapped(AGENT, ("agent.py:run", entrypoint))})
    assert line.startswith(f"{BOSS}:6:13: ")
    assert words in line


@pytest.mark.parametrize(
    "code",
    [
        ASYNC_RUN,
        "def run(payload, ctx): ...",
        "async def run(payload, ctx, extra=None): ...",
        "async def run(*both): ...",
        "async def run(payload, /, ctx, *, extra=1): ...",
        "try:\n    import x\nexcept ImportError:\n    def run(a, b): ...\n",
        "from .impl import run\n",
        "from .impl import work as run\n",
        "from elsewhere import run\n",
        "from elsewhere import *\n",
        "run = object()\n",
        "def old(a): ...\ndef run(a): ...\nasync def run(a, b): ...\n",
    ],
)
def test_code_that_can_be_called_with_two_arguments_is_fine_for_an_agent(code: str, tmp_path: Path) -> None:
    impl = "async def run(a, b): ...\ndef work(a, b): ...\n"
    assert told(tmp_path, {BOSS_CODE: code, "agents/main/boss-mag/impl.py": impl}) == []


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("async def run(payload): ...", "takes (payload); write run(payload, ctx)"),
        ("async def run(a, b, c): ...", "takes (a, b, c)"),
        ("async def run(a, b, *, c): ...", "takes (a, b, *, c)"),
        ("async def run(): ...", "takes ()"),
        ("class run:\n    pass", "is a class, not a function"),
        ("async def run(a, b):\n    yield 1", "yields instead of returning"),
        ("from .impl import work as run\n", "takes (a)"),
    ],
)
def test_code_that_cannot_is_told_with_its_line(code: str, words: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, {BOSS_CODE: code, "agents/main/boss-mag/impl.py": "def work(a): ...\n"})
    assert line.startswith(f"{BOSS}:6:13: 'run' in {BOSS_CODE}:1 ")
    assert words in line


def test_a_function_inside_may_yield(tmp_path: Path) -> None:
    code = "async def run(a, b):\n    def parts():\n        yield 1\n    return list(parts())\n"
    assert told(tmp_path, {BOSS_CODE: code}) == []


@pytest.mark.parametrize("code", ["def run(payload): ...", "async def run(payload, ctx): ..."])
def test_a_skill_takes_one_or_two_arguments(code: str, tmp_path: Path) -> None:
    assert told(tmp_path, {SEND_CODE: code}) == []


@pytest.mark.parametrize("code", ["def run(): ...", "def run(a, b, c): ..."])
def test_a_skill_takes_no_other_number(code: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, {SEND_CODE: code})
    assert "write run(payload) or (payload, ctx)" in line


def test_broken_python_is_told_at_its_line_once(tmp_path: Path) -> None:
    twin = swapped(SKILL, ("slug: send", "slug: other"))
    changes = {SEND_CODE: "a = 1\ndef run(:\n", "skills/send/other.yaml": twin}
    (line,) = told(tmp_path, changes)
    assert line.startswith(f"{SEND_CODE}:2:9: the Python is broken")


def test_nothing_is_run_to_find_out(tmp_path: Path) -> None:
    assert told(tmp_path, {SEND_CODE: "raise SystemExit\ndef run(a): ...\n"}) == []


EVAL = """\
kind: eval
schema: 1
slug: quality
version: 0.1.0
on: [output]
entrypoint: metrics.py
metrics:
  - {id: tone, threshold: 0.5}
  - {id: length, threshold: 1}
"""
METRICS = "def tone(payload): ...\ndef length(payload): ...\n"


@pytest.mark.parametrize(
    ("manifest", "code", "place", "words"),
    [
        (EVAL, "def tone(p): ...\ndef lenght(p): ...\n", "9:10", 'did you mean "lenght"?'),
        (EVAL, METRICS.replace("length(payload)", "length(a, b)"), "9:10", "write length(payload)"),
        (EVAL, "async " + METRICS, "8:10", "is async, and a metric is a plain function"),
        (EVAL.replace("metrics.py", "metrics.py:tone"), METRICS, "6:13", "must be a Python file"),
        (EVAL.replace("id: length", "id: tone"), METRICS, "9:10", "the metric tone stands twice"),
    ],
)
def test_each_metric_has_a_plain_function(manifest: str, code: str, place: str, words: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, {"evals/quality/eval.yaml": manifest, "evals/quality/metrics.py": code})
    assert line.startswith(f"evals/quality/eval.yaml:{place}: ")
    assert words in line


def test_a_whole_evaluation_has_no_findings(tmp_path: Path) -> None:
    assert told(tmp_path, {"evals/quality/eval.yaml": EVAL, "evals/quality/metrics.py": METRICS}) == []


def agent(body: str, head: str = "") -> str:
    lines = "".join(f"    {line}\n" for line in body.split("\n"))
    return f"{head}\nasync def run(payload, ctx):\n{lines}    return payload\n"


@pytest.mark.parametrize(
    ("head", "body", "words"),
    [
        ("import asyncio", "await asyncio.gather(a(), b())", "`asyncio.gather` is not recorded|ctx.gather"),
        ("from asyncio import gather as g", "await g(a())", "`asyncio.gather`|ctx.gather"),
        ("import asyncio as aio", "async with aio.TaskGroup() as group: pass", "`asyncio.TaskGroup`|ctx.gather"),
        ("import asyncio", "await asyncio.sleep(1)", "`asyncio.sleep`|use `ctx.sleep`"),
        ("import asyncio", "await asyncio.wait_for(a(), 1)", "`asyncio.wait_for`|ctx.timeout"),
        ("import time", "now = time.time()", "`time.time`|ctx.now()"),
        ("from datetime import datetime", "now = datetime.now()", "`datetime.datetime.now`|ctx.now()"),
        ("import datetime as dt", "now = dt.datetime.now(dt.UTC)", "`datetime.datetime.now`|ctx.now()"),
        ("import random", "x = random.choice([1])", "`random.choice`|ctx.random()"),
        ("from uuid import uuid4", "x = uuid4()", "`uuid.uuid4`|ctx.uuid()"),
        ("import os", "x = os.environ['A']", "`os.environ`|payload"),
        ("import os", "x = os.environ.get('A')", "`os.environ.get`|payload"),
        ("import os", "x = os.getenv('A')", "`os.getenv`|payload"),
        ("", "x = open('a').read()", "`open`|ctx.call"),
        ("import threading", "threading.Thread(target=a).start()", "`threading.Thread`|ctx.call"),
        ("", "for x in {1, 2}: await ctx.skill('a', x)", "a set has no order|sorted"),
        ("", "for x in set(payload): await ctx.skill('a', x)", "a set has no order|sorted"),
        ("", "await ctx.map(one, set(payload))", "a set has no order|sorted"),
        ("", "await ctx.gather(*(ctx.skill(x) for x in {1, 2}))", "a set has no order|sorted"),
    ],
)
def test_a_call_that_a_resume_would_not_repeat_is_warned_of(head: str, body: str, words: str, tmp_path: Path) -> None:
    (found,) = findings(tmp_path, {BOSS_CODE: agent(body, head)})
    what, fix = words.split("|")
    assert (found.path, found.line, found.severity) == (BOSS_CODE, 3, "warning")
    assert what in found.what
    assert fix in found.next
    assert found.subject == "agent:boss-mag@0.1.0"


@pytest.mark.parametrize(
    ("head", "body"),
    [
        ("import time", "x = await ctx.call(time.time)"),
        ("import time", "x = await ctx.call(lambda: time.time())"),
        ("import random\ndef roll(n):\n    return random.randint(1, n)", "x = await ctx.call(roll, 6)"),
        ("import asyncio", "await ctx.gather(a(), b())"),
        ("from datetime import datetime", "x = datetime.fromisoformat(payload)"),
        ("", "x = sorted({1, 2})\nfor y in sorted(set(payload)): await ctx.skill('a', y)"),
        ("", "for x in {1, 2}: print(x)"),
        ("", "payload.open('x')\nself.random.choice()"),
        ("import os", "x = os.path.join('a', 'b')"),
    ],
)
def test_what_is_recorded_or_always_the_same_is_not(head: str, body: str, tmp_path: Path) -> None:
    assert findings(tmp_path, {BOSS_CODE: agent(body, head)}) == []


def test_sync_agents_and_skills_may_do_as_they_like(tmp_path: Path) -> None:
    code = "import time\ndef run(payload, ctx):\n    return time.time()\n"
    assert told(tmp_path, {BOSS_CODE: code, SEND_CODE: code, SEND: SKILL}) == []
