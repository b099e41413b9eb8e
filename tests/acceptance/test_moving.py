"""Part 2 E1: a ledger moves to another store as a whole, and only one of the two ever acts."""

import json
import shutil
import signal
import subprocess
from pathlib import Path
from textwrap import dedent

import pytest

from tests.acceptance.workshop import command, environment, is_sound, magsag

HEAD = "kind: {}\nschema: 1\nslug: {}\nversion: 1.0.0\nentrypoint: {}.py:run\n"
AGENT = """\
    async def run(payload, ctx):
        put = await ctx.skill("record-put", {"key": f"n-{payload['n']}", "value": payload["n"]})
        return {"big": "x" * 70_000, **await ctx.skill("post", {"n": payload["n"]})}
    """
POST = """\
    from pathlib import Path

    def run(payload):
        with Path("sent").open("a") as file:
            file.write(f"{payload['n']}\\n")
        return payload
    """
ALLOW = """\
    kind: policy
    schema: 1
    rules:
      - {id: may-put, on: ["skill:record-put"], verdict: allow}
    """
PEOPLE = "kind: people\nschema: 1\npeople:\n  - {id: maria, roles: [hr], proof: claim}\n"
WAITING = ["run-0", "run-1", "run-2"]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(dedent(text), encoding="utf-8")


@pytest.fixture
def project(tmp_path: Path, lived_in: Path) -> Path:
    """A copy of it, for one test."""
    return shutil.copytree(lived_in, tmp_path / "project")


@pytest.fixture(scope="module")
def lived_in(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project whose ledger holds one ended run and three that are parked on an approval."""
    tmp_path = tmp_path_factory.mktemp("lived-in")
    catalog = tmp_path / "catalog"
    uses = "role: main\nuses: ['skill:post', 'skill:record-put']\n"
    put(catalog / "agents/main/post-mag/agent.yaml", HEAD.format("agent", "post-mag", "agent") + uses)
    put(catalog / "agents/main/post-mag/agent.py", AGENT)
    skill = HEAD.format("skill", "post", "skill") + "effect: unrepeatable\n"
    put(catalog / "skills/post/skill.yaml", skill)
    put(catalog / "skills/post/skill.py", POST)
    put(catalog / "policies/allow.yaml", ALLOW)
    put(catalog / "people.yaml", PEOPLE)
    put(tmp_path / "magsag.toml", "")
    assert [started(tmp_path, run, n) for n, run in enumerate([*WAITING, "control"])] == [3, 3, 3, 3]
    (ticket,) = tickets(tmp_path, "--run", "control")
    assert magsag("approval", "approve", ticket, "--as", "maria", cwd=tmp_path).code == 0
    return tmp_path


def tickets(folder: Path, *arguments: str) -> list[str]:
    """What waits for a decision, the oldest first."""
    return [row["id"] for row in magsag("approval", "list", "--json", *arguments, cwd=folder).value]


def started(folder: Path, run: str, n: int) -> int:
    return magsag("agent", "run", "post-mag", "--run-id", run, cwd=folder, stdin=json.dumps({"n": n})).code


@pytest.mark.parametrize("backend", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def test_parked_runs_finish_where_the_ledger_went_and_only_there(
    project: Path, backend: str, request: pytest.FixtureRequest
) -> None:
    place = "new/ledger.db" if backend == "sqlite" else request.getfixturevalue("dsn")
    done = magsag("data", "migrate", "--to", place, "--json", cwd=project)
    assert done.code == 0, done.err
    told = done.value
    counts = [told[sort]["count"] for sort in ("runs", "records", "tickets", "large values")]
    assert (told["equal"], counts) == (True, [4, 4, 4, 1])
    assert "copied 4 runs" in done.err
    for n, ticket in enumerate(tickets(project, "--ledger", place)):
        here = magsag("approval", "approve", ticket, "--as", "maria", cwd=project)
        assert (here.code, "was moved to" in here.err, told["to"] in here.err) == (2, True, True)
        there = magsag("approval", "approve", ticket, "--as", "maria", "--ledger", place, cwd=project)
        assert (there.code, there.value["n"]) == (0, n), there.err
    assert {row["status"] for row in magsag("run", "list", "--json", cwd=project).value} == {"succeeded", "parked"}
    assert sorted((project / "sent").read_text().split()) == ["0", "1", "2", "3"]
    assert magsag("data", "check", "--ledger", place, cwd=project).code == 0
    assert magsag("run", "replay", "run-1", "--ledger", place, cwd=project).code == 0
    assert is_sound(project)


def test_a_ledger_that_was_moved_starts_nothing_and_moves_no_more(project: Path) -> None:
    assert magsag("data", "migrate", "--to", "new/ledger.db", "--quiet", cwd=project).err == ""
    asked = (
        "serve --worker",
        "agent run post-mag",
        "run cancel run-0",
        "data vacuum",
        "data migrate --to other/ledger.db",
        "data migrate --to new/ledger.db",
        "data migrate --cancel",
    )
    for words in asked:
        done = magsag(*words.split(), cwd=project, stdin='{"n": 5}')
        assert (done.code, "was moved to" in done.err) == (2, True), done.err
    assert "that move is done already" in magsag("data", "migrate", "--to", "new/ledger.db", cwd=project).err
    listed = magsag("run", "list", cwd=project)
    assert (listed.code, "parked on" in listed.out, "was moved to" in listed.err) == (0, True, True)
    assert magsag("run", "list", "--ledger", "new/ledger.db", cwd=project).err == ""
    assert "was moved to" in magsag("doctor", cwd=project).out
    assert "5" not in (project / "sent").read_text().split()


def test_an_archived_run_comes_back(project: Path) -> None:
    done = magsag("data", "archive", "old", "--json", cwd=project)
    assert (done.code, done.value["trees"]) == (0, 1), done.err
    assert {file.stat().st_mode & 0o777 for file in (project / "old").iterdir()} == {0o600}
    assert (project / "old").stat().st_mode & 0o777 == 0o700
    assert magsag("data", "archive", "old", cwd=project).code == 2
    assert magsag("run", "import", "old", "--run", "control", "--ledger", "away/ledger.db", cwd=project).code == 0
    show = ("run", "show", "control", "--json")
    shown = [magsag(*show, *more, cwd=project).value for more in ((), ("--ledger", "away/ledger.db"))]
    assert shown[0] == shown[1]


def test_a_dry_vacuum_changes_no_byte(project: Path) -> None:
    ledger = project / ".magsag/ledger.db"
    before = ledger.read_bytes()
    assert magsag("data", "vacuum", "--dry-run", cwd=project).code == 0
    done = magsag("data", "vacuum", "--dry-run", "--hot-days", "0", "--max-disk", "0", "--json", cwd=project)
    assert (done.code, done.value["runs"], done.value["fits"]) == (1, 0, False)
    assert ledger.read_bytes() == before


def test_an_interrupt_leaves_one_ledger_that_drives(project: Path) -> None:
    process = subprocess.Popen(
        command("data", "migrate", "--to", "new/ledger.db"),
        cwd=project, env=environment(), stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stderr is not None
    process.stderr.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=60)
    here = magsag("run", "cancel", "run-0", cwd=project).code
    there = magsag("run", "cancel", "run-0", "--ledger", "new/ledger.db", cwd=project).code
    assert (here, there) == ((0, 2) if process.returncode == 130 else (2, 0))
