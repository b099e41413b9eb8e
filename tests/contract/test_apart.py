"""Runs whose skills and programs act in processes of their own: every effect kind, lookups, timeouts, crashes."""

import asyncio
import json
from pathlib import Path
from textwrap import dedent, indent
from typing import Any

import pytest

from magsag.adapters.sandbox.process import ProcessSandbox
from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.catalog.code import FrozenCode
from magsag.domain.errors import ErrorType, Invalid, StepFailed
from magsag.domain.facts import ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.ledger import Store
from magsag.ports.sandbox import Confines, NoAnswer
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import build_app
from magsag.testing.sandbox_suite import act
from tests.unit.world import ALLOW, agent, skill

ACTS = """
import json, os, time
from magsag import Retryable, StepFailed

def note(payload, ctx):
    with open(payload["log"], "a") as log:
        log.write(json.dumps([ctx.idempotency_key, os.getpid()]) + "\\n")

def run(payload, ctx):
    note(payload, ctx)
    tries = len(open(payload["log"]).readlines())
    if payload.get("do") == "hang" and tries == 1:
        time.sleep(60)
    if payload.get("do") == "busy" and tries == 1:
        raise Retryable("unavailable", "not now")
    if payload.get("do") == "fail":
        raise ValueError("no luck")
    return {"tries": tries}

def find(payload, ctx):
    with open(payload["log"] + ".asked", "a") as log:
        log.write(str(os.getpid()) + "\\n")
    if payload.get("did"):
        return {"found": True, "output": {"tries": 0}}
    return {"found": False}
"""
KINDS = ("pure", "read", "idempotent", "reconcilable", "unrepeatable")


class Shop:
    """A project whose skill `act` acts apart."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.log = folder / "workspace" / "log"
        self.log.parent.mkdir()

    def app(self, effect: str, store: Store, code: str = ACTS, **manifest: object) -> App:
        lookup = {"lookup": "skill.py:find"} if effect == "reconcilable" else {}
        files = {
            **skill("act", effect, code, **lookup, **manifest),
            **agent("main", 'return await ctx.skill("act", payload)', "skill:act"),
            "policies/allow.yaml": ALLOW["policies/allow.yaml"].replace("skill:idem", "skill:act"),
        }
        return build_app(self.folder, files, store=store)

    def run(self, effect: str, payload: dict[str, Any], code: str = ACTS, **manifest: object) -> RunResult:
        app = self.app(effect, MemoryStore(), code, **{"isolation": "process", **manifest})
        return asyncio.run(app.runs.run(Order("agent:main", {"log": str(self.log), **payload}, run_id="r")))

    @property
    def acted(self) -> list[Any]:
        return [json.loads(line) for line in self.log.read_text().splitlines()]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


@pytest.mark.parametrize("isolation", ["process", "sandbox"])
@pytest.mark.parametrize("effect", KINDS)
def test_every_kind_acts_apart_once(shop: Shop, effect: str, isolation: str) -> None:
    result = shop.run(effect, {}, isolation=isolation)
    assert result.output == {"tries": 1}, result.error
    ((key, _),) = shop.acted
    assert len(key) == 32


@pytest.mark.parametrize("effect", KINDS)
def test_what_it_raises_fails_the_step(shop: Shop, effect: str) -> None:
    result = shop.run(effect, {"do": "fail"})
    assert result.error is not None
    assert (result.error.type, "ValueError: no luck" in result.error.message) == (ErrorType.RAISED, True)


@pytest.mark.parametrize("effect", ["read", "idempotent"])
def test_an_attempt_that_overstays_is_killed_and_tried_again_under_the_same_key(shop: Shop, effect: str) -> None:
    result = shop.run(effect, {"do": "hang"}, timeout="1500ms", retry="{attempts: 2, backoff: 1ms}")
    assert result.output == {"tries": 2}
    (one, pid), (other, _) = shop.acted
    assert one == other
    assert not Path(f"/proc/{pid}").exists()


def test_a_reconcilable_attempt_that_overstays_is_looked_up_apart_and_is_no_doubt(shop: Shop) -> None:
    """Its process was killed, so nothing of it still acts: what the lookup does not find did not happen."""
    result = shop.run("reconcilable", {"do": "hang"}, timeout="1500ms", retry="{attempts: 2, backoff: 1ms}")
    assert result.output == {"tries": 2}
    asked = Path(f"{shop.log}.asked").read_text().split()
    assert len(asked) == 1
    assert asked[0] not in {str(pid) for _, pid in shop.acted}


def test_what_a_lookup_apart_finds_is_adopted(shop: Shop) -> None:
    result = shop.run("reconcilable", {"do": "hang", "did": True}, timeout="1500ms")
    assert result.output == {"tries": 0}


def test_an_unrepeatable_attempt_that_overstays_is_in_doubt(shop: Shop) -> None:
    result = shop.run("unrepeatable", {"do": "hang"}, timeout="1500ms")
    assert (result.status, result.reasons[0].on) == (RunStatus.PARKED, ParkedOn.DOUBT)


def test_a_retryable_error_is_tried_again(shop: Shop) -> None:
    result = shop.run("idempotent", {"do": "busy"}, retry="{attempts: 2, backoff: 1ms, on: [unavailable]}")
    assert result.output == {"tries": 2}


def test_its_code_is_not_loaded_where_the_run_is_driven(shop: Shop) -> None:
    here = shop.folder / "loaded"
    code = f"import os\nopen({str(here)!r}, 'a').write(str(os.getpid()))\n" + ACTS
    files = {
        **skill("act", "read", code, isolation="process"),
        **agent("main", 'return await ctx.skill("act", payload)', "skill:act"),
    }
    app = build_app(shop.folder, files, store=MemoryStore())
    assert asyncio.run(app.runs.run(Order("agent:main", {"log": str(shop.log)}))).output == {"tries": 1}
    assert here.read_text() == str(shop.acted[0][1])


FLOW = """
kind: flow
schema: 1
slug: only
version: 1.0.0
steps:
"""
PROGRAM = '- {id: say, run: [sh, -c, "pwd; echo kept > file"], effect: idempotent'
MAY = "kind: policy\nschema: 1\nrules: [{id: may, on: ['shell:*'], verdict: allow}]\n"


def flow(folder: Path, steps: str, sandbox: Any = None) -> RunResult:
    files = {"flows/only.yaml": FLOW + indent(dedent(steps), "  ") + "\n", "policies/may.yaml": MAY}
    app = build_app(folder, files, store=MemoryStore(), sandbox=sandbox)
    return asyncio.run(app.runs.run(Order("flow:only", None, run_id="r")))


def test_a_program_of_a_flow_is_in_a_sandbox_unless_it_says_otherwise(tmp_path: Path) -> None:
    outside = f'- {{id: out, run: [sh, -c, "echo x > {tmp_path}/outside"], effect: idempotent'
    assert flow(tmp_path, PROGRAM + "}").output["say"]["stdout"] == f"{tmp_path}/workspace\n"
    assert (tmp_path / "workspace/file").read_text() == "kept\n"
    failed = flow(tmp_path, outside + "}")
    assert failed.error is not None
    assert not (tmp_path / "outside").exists()
    assert flow(tmp_path, outside + ", isolation: process}").error is None
    assert (tmp_path / "outside").exists()


def test_a_program_that_cannot_be_started_says_so(tmp_path: Path) -> None:
    failed = flow(tmp_path, "- {id: bad, run: [no-such-program], effect: pure}")
    assert failed.error is not None
    assert failed.error.message == "cannot start 'no-such-program': No such file or directory"


def test_what_ended_a_program_is_told_in_words(tmp_path: Path) -> None:
    failed = flow(tmp_path, '- {id: bad, run: [sh, -c, "kill -9 $$"], effect: pure}')
    assert failed.error is not None
    assert failed.error.message == "sh was killed, as the system does when memory is short"


@pytest.mark.parametrize(
    ("memory", "said"),
    [("100MB", "MemoryError: it needs more memory than it may have"), ("1MB", "cannot be started: it")],
)
def test_an_act_without_enough_memory_names_the_limit(shop: Shop, memory: str, said: str) -> None:
    greedy = "def run(payload):\n    return len(bytearray(10**9))\n"
    files = {
        **skill("act", "read", greedy, isolation="process", resources=f"{{memory: {memory}}}"),
        **agent("main", 'return await ctx.skill("act", payload)', "skill:act"),
    }
    failed = asyncio.run(build_app(shop.folder, files, store=MemoryStore()).runs.run(Order("agent:main", {}))).error
    assert failed is not None
    assert said in failed.message
    assert "(`resources: {memory: ...}`)" in failed.message


def test_what_the_machine_cannot_enforce_is_refused_before_the_run_starts(shop: Shop) -> None:
    store = MemoryStore()
    files = {
        **skill("act", "read", ACTS, isolation="sandbox"),
        **agent("main", 'return await ctx.delegate("below", payload)', "agent:below"),
        **agent("below", 'return await ctx.skill("act", payload)', "skill:act"),
    }
    app = build_app(shop.folder, files, store=store, sandbox=ProcessSandbox())
    with pytest.raises(Invalid, match=r"skill:act@1.0.0 declares `isolation: sandbox`, and nothing here keeps it off"):
        asyncio.run(app.runs.run(Order("agent:main", {}, run_id="r")))
    assert store.row(RunId("r")) is None
    with pytest.raises(Invalid, match=r"step say of flow:only@1.0.0 declares `isolation: sandbox`"):
        flow(shop.folder, PROGRAM + "}", ProcessSandbox())


def test_a_run_does_not_go_on_where_its_confines_cannot_be_enforced(shop: Shop) -> None:
    store = MemoryStore()
    files = {
        **skill("act", "read", ACTS, isolation="sandbox"),
        **agent("main", 'await ctx.wait_for("go")\nreturn await ctx.skill("act", payload)', "skill:act"),
    }
    app = build_app(shop.folder, files, store=store)
    assert asyncio.run(app.runs.run(Order("agent:main", {}, run_id="r"))).status is RunStatus.PARKED
    other = build_app(shop.folder, files, store=store, sandbox=ProcessSandbox())
    with pytest.raises(Invalid, match=r"skill:act@1.0.0 declares `isolation: sandbox`"):
        asyncio.run(other.runs.resume(RunId("r")))
    assert store.row(RunId("r")) is not None


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        ({"effect": "transactional", "isolation": "process"}, "write `isolation: in_process`"),
        ({"effect": "read", "resources": "{cpu: 3s}"}, "`resources` is for a process of its own"),
        ({"effect": "read", "environment": "[HOME]"}, "`environment` is for a process of its own"),
        ({"effect": "read", "isolation": "sandbox", "environment": "[MAGSAG_LEDGER]"}, "no variable for acts"),
        ({"effect": "read", "isolation": "sandbox", "resources": "{memory: 100}"}, "a size needs its unit"),
        ({"effect": "read", "isolation": "jail"}, "write in_process, process or sandbox"),
    ],
)
def test_a_manifest_says_only_what_can_be_enforced(tmp_path: Path, manifest: dict[str, str], said: str) -> None:
    files = skill("act", manifest.pop("effect"), "def run(payload):\n    return payload\n", **manifest)
    app = build_app(tmp_path, files, sound=False)
    assert said in "\n".join(map(str, app.catalog.findings))


ENDINGS = {
    "exits": "os._exit(7)",
    "is killed": "os.kill(os.getpid(), 9)",
    "is left by an exception that is none": "raise KeyboardInterrupt",
    "kills its watcher": "import time; os.kill(os.getppid(), 9); time.sleep(30)",
    "answers too deep": "tells(b'{\"gave\": ' + b'[' * 90000 + b']' * 90000 + b'}')",
    "says too deep how it ended": "tells(b'{\"ended\": ' + b'[' * 90000)",
    "spends beyond all numbers": 'tells(b\'{"spent": ["1e999999999", null]}\'); os._exit(0)',
    "fails in a way that is none": 'tells(b\'{"failed": [3, "why", {}]}\')',
}
PAYS = """
import os

def tells(line):
    for number in range(3, 20):
        try:
            os.write(number, line + b"\\n")
        except OSError:
            pass
    os._exit(0)

def run(payload):
    open(payload["log"], "a").write("[1, 1]\\n")
    {how}

def find(payload):
    return {{"found": True, "output": {{"tries": 0}}}}
"""


@pytest.mark.parametrize("way", ENDINGS)
def test_an_act_that_ends_without_an_answer_may_have_acted(shop: Shop, way: str) -> None:
    code = PAYS.format(how=ENDINGS[way])
    result = shop.run("unrepeatable", {}, code)
    assert shop.acted == [[1, 1]]
    assert (result.status, [one.on for one in result.reasons]) == (RunStatus.PARKED, [ParkedOn.DOUBT]), result.error


def test_an_act_that_was_killed_is_looked_up_at_once(shop: Shop) -> None:
    code = PAYS.format(how=ENDINGS["is killed"])
    assert shop.run("reconcilable", {}, code, timeout="20s").output == {"tries": 0}


def test_what_outlives_its_watcher_may_still_act_whatever_a_lookup_says(shop: Shop) -> None:
    code = PAYS.format(how=ENDINGS["kills its watcher"]).replace(
        '"found": True, "output": {"tries": 0}', '"found": False'
    )
    result = shop.run("reconcilable", {}, code, timeout="1500ms")
    assert (result.status, [one.on for one in result.reasons]) == (RunStatus.PARKED, [ParkedOn.DOUBT])


def test_an_act_that_stops_its_watcher_ends_with_all_that_it_started(shop: Shop) -> None:
    away = "subprocess.Popen(['sh', '-c', 'echo $$ > '+payload['log']+'.pid; exec sleep 97'], start_new_session=True)"
    code = PAYS.format(how=f"import subprocess, time; {away}; os.kill(os.getppid(), 19); time.sleep(60)")
    result = shop.run("unrepeatable", {}, code, timeout="1500ms")
    assert (result.status, [one.on for one in result.reasons]) == (RunStatus.PARKED, [ParkedOn.DOUBT])
    assert not is_there(int(Path(f"{shop.log}.pid").read_text()))


def test_a_fault_of_whoever_listens_ends_all_that_was_started(tmp_path: Path) -> None:
    away = f"subprocess.Popen(['sh', '-c', 'echo $$ > {tmp_path}/pid; exec sleep 97'], start_new_session=True)"
    code = f"import subprocess, time\ndef run(payload, ctx):\n    {away}\n    time.sleep(0.5)\n    ctx.log('there')"
    frozen = FrozenCode({"skill.py": code.encode()}, "root", "0" * 64, "skill.py", "run")
    given = json.dumps({"key": "k", "secrets": {}, "input": None}).encode()

    def heard(line: bytes) -> None:
        raise KeyError(line)

    with pytest.raises(NoAnswer):
        asyncio.run(ProcessSandbox().code(frozen, given, Confines(Isolation.PROCESS), heard))
    assert not is_there(int((tmp_path / "pid").read_text()))


def is_there(pid: int) -> bool:
    """Whether a process has not ended yet."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def test_a_program_that_a_signal_ended_may_have_acted(tmp_path: Path) -> None:
    for isolation in ("process", "sandbox", "in_process"):
        folder = tmp_path / isolation
        folder.mkdir()
        step = f'- {{id: pay, run: [sh, -c, "kill -9 $$"], effect: unrepeatable, isolation: {isolation}}}'
        result = flow(folder, step)
        assert [one.on for one in result.reasons] == [ParkedOn.DOUBT], isolation


@pytest.mark.parametrize(
    ("code", "said"),
    [
        ("import os\ndef run(payload):\n    os._exit(7)", "ended with code 7, and gave no answer"),
        ("import os\ndef run(payload):\n    os.kill(os.getpid(), 9)", "was killed"),
        ("def run(payload):\n    return {1, 2}", "holds a set"),
        ("def run(payload):\n    return (1, 2)", "holds a tuple"),
        ("def run(payload):\n    return float('nan')", "the number nan"),
        ("import nothing_like_that", "No module named 'nothing_like_that'"),
        ("def other(): pass", "there is no function 'run'"),
        ("def run(payload, ctx):\n    ctx.put_record('a', 1)", "isolation: in_process"),
        ("def run(payload, ctx):\n    raise SystemExit(3)", "SystemExit: 3"),
    ],
)
def test_an_answer_that_is_none_fails_the_step(code: str, said: str) -> None:
    with pytest.raises(StepFailed) as failed:
        act(ProcessSandbox(), Confines(Isolation.PROCESS), code)
    assert said in failed.value.message
