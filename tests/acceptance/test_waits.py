"""Part 2 B2: sleeps, signals and deadlines with the real command, killed and stopped, and what they cost."""

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from textwrap import dedent
from typing import Final

import pytest

from magsag import Project
from tests.acceptance.workshop import Done, command, environment, is_sound, magsag

HERE: Final = Path(__file__).parent
AGENT: Final = "kind: agent\nschema: 1\nslug: {}\nversion: 0.1.0\nrole: main\nentrypoint: agent.py:run\n{}\n"
BODIES: Final = {
    "nap-mag": "await ctx.sleep(payload)\nreturn payload",
    "late-mag": 'await ctx.sleep(1.4)\nreturn await ctx.gather(ctx.wait_for("paid"), ctx.wait_for("paid"))',
    "pair-mag": 'return await ctx.gather(ctx.wait_for("paid"), ctx.wait_for("shipped", timeout=3600))',
    "short-mag": 'return await ctx.wait_for("paid")',
    "calm-mag": 'return await ctx.wait_for("paid")',
    "parent-mag": "return await ctx.delegate(payload)",
}
MORE: Final = {"short-mag": "timeout: 2s", "parent-mag": "uses: [agent:short-mag, agent:calm-mag]"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    (tmp_path / "magsag.toml").touch()
    for slug, body in BODIES.items():
        folder = tmp_path / "catalog/agents/main" / slug
        folder.mkdir(parents=True)
        (folder / "agent.yaml").write_text(AGENT.format(slug, MORE.get(slug, "uses: []")))
        text = "".join(f"    {line}\n" for line in dedent(body).splitlines())
        (folder / "agent.py").write_text(f"async def run(payload, ctx):\n{text}")
    return tmp_path


def run(folder: Path, slug: str, payload: object = None, *more: str) -> Done:
    return magsag("agent", "run", slug, "--run-id", "r", *more, cwd=folder, stdin=json.dumps(payload))


def resume(folder: Path, *more: str) -> Done:
    return magsag("agent", "run", "--resume", "r", *more, cwd=folder)


def tell(folder: Path, event: str, *more: str, of: str = "r") -> Done:
    return magsag("run", "signal", of, event, *more, cwd=folder)


@pytest.fixture
def started(project: Path) -> Iterator[list["subprocess.Popen[bytes]"]]:
    """Processes that a test started; none of them stays."""
    processes: list[subprocess.Popen[bytes]] = []
    yield processes
    for process in processes:
        process.kill()
        process.communicate()


def staying(
    folder: Path, started: list["subprocess.Popen[bytes]"], slug: str, payload: object
) -> "subprocess.Popen[bytes]":
    """A process that stays with its run, which is parked."""
    (folder / "input.json").write_text(json.dumps(payload))
    words = command("agent", "run", slug, "--run-id", "r", "--wait", "--input", "input.json", "--json")
    pipe = subprocess.PIPE
    process = subprocess.Popen(words, cwd=folder, env=environment(), stdout=pipe, stderr=pipe)
    started.append(process)
    assert process.stderr is not None
    assert b"run r is parked" in process.stderr.readline()
    return process


def test_a_sleep_outlives_its_process(project: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    staying(project, started, "nap-mag", 5).kill()
    early = resume(project)
    assert (early.code, "waits for time" in early.err) == (3, True)
    assert "`magsag agent run --resume r --wait` stays until then" in early.err
    done = resume(project, "--wait", "--quiet")
    assert (done.code, done.value) == (0, 5)
    assert magsag("run", "replay", "r", cwd=project).code == 0
    assert is_sound(project)


def test_signals_that_come_early_are_kept_in_their_order(project: Path) -> None:
    assert run(project, "late-mag").code == 3
    assert tell(project, "paid", '{"n": 1}', "--detach").code == 0
    (project / "two.json").write_text('{"n": 2}')
    done = tell(project, "paid", "--input", "two.json", "--wait", "--quiet")
    assert (done.code, done.value) == (0, [{"n": 1}, {"n": 2}])
    assert magsag("run", "replay", "r", cwd=project).code == 0


def test_who_stays_hears_what_another_process_tells(project: Path, started: list["subprocess.Popen[bytes]"]) -> None:
    process = staying(project, started, "pair-mag", None)
    assert tell(project, "paid", "1", "--detach").code == 0
    assert tell(project, "shipped", "2", "--detach").code == 0
    out, _ = process.communicate(timeout=30)
    assert (process.returncode, json.loads(out)) == (0, [1, 2])


def test_a_parked_run_says_what_it_waits_for_and_what_wakes_it(project: Path) -> None:
    done = run(project, "pair-mag", None, "--json")
    assert done.code == 3
    reasons = done.error["reasons"]
    assert [(one["on"], one["event"]) for one in reasons] == [("event", "paid"), ("event", "shipped")]
    assert "`magsag run signal r paid JSON` goes on" in reasons[0]["wake"]
    assert reasons[0]["due"] is None
    assert reasons[1]["due"] > magsag("run", "show", "r", "--json", cwd=project).value["created"]
    assert "event" in magsag("run", "list", "--parked-on", "event", cwd=project).out


def test_a_wrong_signal_is_refused(project: Path) -> None:
    assert run(project, "pair-mag").code == 3
    for of, event, more, said in (
        ("x", "paid", (), "is not in the ledger"),
        ("r", "a b", (), "use letters"),
        ("r", "paid", ("{",), "no JSON"),
        ("r", "paid", ("1", "--input", "magsag.toml"), "once"),
        ("r", "paid", ("1", "--detach", "--wait"), "leave out --wait"),
    ):
        done = tell(project, event, *more, of=of)
        assert (done.code, said in done.err) == (2, True), done.err


def test_a_deadline_holds_while_nobody_drives(project: Path) -> None:
    assert run(project, "parent-mag", "short-mag").code == 3
    done = resume(project, "--wait", "--json")
    assert (done.code, done.error["type"], done.error["step"]) == (1, "timeout", "short-mag#1")
    assert magsag("run", "replay", "r", cwd=project).code == 0
    ended = tell(project, "paid")
    assert (ended.code, "has ended already: failed" in ended.err) == (2, True)


def test_a_signal_of_a_child_run_ends_its_wait(project: Path) -> None:
    parked = run(project, "parent-mag", "calm-mag")
    assert (parked.code, "`magsag run signal r.calm-mag#1 paid JSON`" in parked.err) == (3, True)
    done = tell(project, "paid", "5", "--quiet", of="r.calm-mag#1")
    assert (done.code, done.value) == (0, 5)


def test_who_stays_can_be_stopped_and_the_run_stays_parked(
    project: Path, started: list["subprocess.Popen[bytes]"]
) -> None:
    process = staying(project, started, "pair-mag", None)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)
    assert process.returncode == 130
    assert magsag("run", "show", "r", "--json", cwd=project).value["status"] == "parked"
    assert is_sound(project)


def test_a_waiting_run_goes_on_in_another_ledger(project: Path) -> None:
    assert run(project, "late-mag").code == 3
    assert tell(project, "paid", "1", "--detach").code == 0
    assert magsag("run", "export", "r", "--output", "r.json", cwd=project).code == 0
    away = ("--ledger", str(project / "away.db"))
    assert magsag("run", "import", "r.json", *away, cwd=project).code == 0
    done = magsag("run", "signal", "r", "paid", "2", "--wait", "--quiet", *away, cwd=project)
    assert (done.code, done.value) == (0, [1, 2])


def test_python_tells_a_run_too(project: Path) -> None:
    with Project.open(project) as opened:
        parked = opened.run_sync("pair-mag", run_id="r")
        assert parked.status == "parked"
        opened.signal_sync("r", "paid", {"amount": 3})
        assert opened.signal_sync("r", "shipped").output == [{"amount": 3}, None]


@pytest.mark.parametrize(
    ("count", "megabytes"), [(300, 12), pytest.param(10_000, 20, marks=[pytest.mark.prove, pytest.mark.timeout(600)])]
)
def test_parked_runs_cost_a_process_next_to_nothing(tmp_path: Path, count: int, megabytes: int) -> None:
    words = [sys.executable, str(HERE / "parked_project.py"), str(tmp_path), str(count)]
    cost = json.loads(subprocess.run(words, capture_output=True, check=True, env=environment()).stdout)
    assert cost["threads"] <= 1, "the one that writes slow commits, however many runs there are"
    assert cost["tasks"] == 0
    assert cost["bytes"] < megabytes * 1_000_000, cost
