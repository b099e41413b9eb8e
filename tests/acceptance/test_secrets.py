"""Secrets and the real command: a hundred of them are nowhere in what it wrote and said, and a rotation counts."""

import json
import subprocess
import time
from contextlib import closing
from hashlib import sha256
from pathlib import Path

import psycopg
import pytest

from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.ids import RunId
from magsag.testing.postgres import private_cluster
from tests.acceptance.secret_project import build, hits, planted
from tests.acceptance.workshop import Done, command, environment, magsag

APPROVERS_KEY = "the-key-of-an-approver"
DOORS = [("leak", do) for do in ("return", "raise", "fail", "retry", "log", "late")]
DOORS += [("apart", do) for do in ("return", "raise", "fail", "log", "print")] + [("store", "record")]


def typed(folder: Path, variables: dict[str, str], *words: str, stdin: str = "") -> Done:
    """A command in an environment with these variables."""
    return magsag(*words, cwd=folder, stdin=stdin, wrap=("env", *(f"{name}={variables[name]}" for name in variables)))


def said(*found: Done) -> str:
    return "\n".join(one.out + one.err for one in found)


def ran(folder: Path, variables: dict[str, str], run: str, *do: tuple[str, str]) -> Done:
    order = json.dumps({"do": do, "names": list(planted())})
    words = ("agent", "run", "leaky-mag", "--run-id", run, "--verbose", "--verbose", "--json")
    return typed(folder, variables, *words, stdin=order)


def test_a_hundred_planted_secrets_are_nowhere(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    variables = build(folder)
    found = [ran(folder, variables, "doors", *DOORS)]
    assert found[0].code == 0, found[0].err
    assert found[0].out.count("[secret S0") > 300
    found += [ran(folder, variables, "doubt", ("leak", "return"), ("send", "doubt"))]
    found += [ran(folder, variables, "asks", ("leak", "fail"), ("ask", "return"))]
    assert [one.code for one in found] == [0, 3, 3]
    doubted = typed(folder, variables, "run", "resolve", "doubt", "send#1")
    assert doubted.code == 2
    assert "\n  it said          [secret S" in doubted.err
    asked = [
        ("run", "show", "doors", "--json"), ("run", "show", "doubt"), ("run", "facts", "doors", "--json"),
        ("run", "tree", "doubt"), ("approval", "list", "--json"), ("audit", "log", "--limit", "0", "--json"),
        ("run", "export", "doors"), ("audit", "export", "exported"), ("data", "archive", "archived"),
        ("data", "backup", "saved.db"),
        ("flow", "summarize"), ("run", "replay", "doors"), ("data", "check"), ("config", "show", "--json"),
    ]  # fmt: skip
    found += [typed(folder, variables, *words) for words in asked]
    assert [one.code for one in found[3:]] == [0] * len(asked), [one.err for one in found if one.code]
    refused = typed(folder, {**variables, "MAGSAG_API_KEY": APPROVERS_KEY}, "approval", "approve", "0", "--json")
    assert refused.code == 1, refused.err
    assert hits(folder, said(*found, doubted, refused)) == []
    assert not [path for path in folder.rglob("*") if path.is_file() and APPROVERS_KEY.encode() in path.read_bytes()]
    assert APPROVERS_KEY not in said(refused)


@pytest.mark.needs("postgres")
def test_none_is_in_a_ledger_of_postgres_nor_in_the_log_of_its_server(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    with private_cluster() as cluster:
        variables = {**build(folder), "MAGSAG_LEDGER": cluster.dsn("one")}
        doors = [("leak", "return"), ("leak", "raise"), ("leak", "retry"), ("send", "doubt")]
        found = [ran(folder, variables, "doors", *doors), typed(folder, variables, "run", "show", "doors", "--json")]
        assert [one.code for one in found] == [3, 0], found[0].err
        with psycopg.connect(cluster.plain_dsn()) as server:
            tables = server.execute("select tablename from pg_tables where schemaname = 'one'").fetchall()
            for (table,) in tables:
                with server.cursor().copy(f'copy one."{table}" to stdout (format binary)') as rows:
                    (folder / f"{table}.rows").write_bytes(b"".join(rows))
        (folder / "server.log").write_bytes((cluster.folder / "server.log").read_bytes())
    assert (folder / "facts.rows").read_bytes().count(b"[secret S0") > 100
    assert hits(folder, said(*found)) == []


def test_a_skill_that_writes_them_past_the_product_is_found_by_the_same_search(tmp_path: Path) -> None:
    folder = tmp_path / "project"
    folder.mkdir()
    done = ran(folder, build(folder), "one", ("leak", "file"))
    assert done.code == 0, done.err
    assert {hit.split()[0] for hit in hits(folder, said(done))} == set(planted())


CALLER = {
    "skills/call/skill.yaml": "kind: skill\nschema: 1\nslug: call\nversion: 0.1.0\nentrypoint: skill.py:run\n"
    "effect: read\nsecrets: {KEY: '%s:KEY'}\n",
    "skills/call/skill.py": "import hashlib\ndef run(payload, ctx):\n"
    "    return hashlib.sha256(ctx.secret('KEY').encode()).hexdigest()[:8]\n",
    "agents/main/caller-mag/agent.yaml": "kind: agent\nschema: 1\nslug: caller-mag\nversion: 0.1.0\nrole: main\n"
    "entrypoint: agent.py:run\nuses: [skill:call]\n",
    "agents/main/caller-mag/agent.py": "async def run(payload, ctx):\n    first = await ctx.skill('call')\n"
    "    await ctx.wait_for('go')\n    return [first, await ctx.skill('call')]\n",
}
OLD, NEW = "the-old-key-1", "the-new-key-2"


def caller(folder: Path, kept: str) -> None:
    for path, text in CALLER.items():
        (folder / "catalog" / path).parent.mkdir(parents=True, exist_ok=True)
        (folder / "catalog" / path).write_text(text.replace("%s", kept), encoding="utf-8")
    (folder / "magsag.toml").touch()


def key(folder: Path, value: str) -> dict[str, str]:
    """Keep this one from now on."""
    (folder / "KEY").write_text(value, encoding="utf-8")
    (folder / "KEY").chmod(0o600)
    return {"KEY": value}


def require_the_change_on_record(folder: Path, kept: str) -> None:
    shown = magsag("run", "show", "one", "--json", cwd=folder).value
    first, second = shown["output"]
    assert [first, second] == [sha256(one.encode()).hexdigest()[:8] for one in (OLD, NEW)]
    assert [(use["step"], use["before"] is None) for use in shown["secrets"]] == [("call#1", True), ("call#2", False)]
    log = magsag("audit", "log", "--tool", f"{kept}:KEY", "--json", cwd=folder).value
    versions = [use["version"] for use in shown["secrets"]]
    assert [one["said"] for one in log] == [versions[0], f"{versions[1]} changed since {versions[0]}"]
    written = b"".join(path.read_bytes() for path in (folder / ".magsag").iterdir() if path.is_file())
    assert not [value for value in (OLD, NEW) if value.encode() in written]


def test_a_variable_that_changes_while_a_run_waits_is_used_and_the_change_is_audited(tmp_path: Path) -> None:
    caller(tmp_path, "env")
    run = ("agent", "run", "caller-mag", "--run-id", "one")
    assert typed(tmp_path, {"KEY": OLD}, *run, stdin="null").code == 3
    assert typed(tmp_path, {"KEY": NEW}, "run", "signal", "one", "go", "--json").code == 0
    require_the_change_on_record(tmp_path, "env")


def test_a_worker_uses_a_changed_file_without_a_restart_and_the_change_is_audited(tmp_path: Path) -> None:
    caller(tmp_path, "file")
    key(tmp_path, OLD)
    assert magsag("data", "init", cwd=tmp_path).code == 0
    serve = command("serve", "--worker", "--quiet")
    with subprocess.Popen(serve, cwd=tmp_path, env=environment(), stdout=subprocess.DEVNULL) as worker:
        try:
            run = ("agent", "run", "caller-mag", "--run-id", "one", "--detach")
            assert magsag(*run, cwd=tmp_path, stdin="null").code == 0
            wait_until_it_is(tmp_path, "parked")
            key(tmp_path, NEW)
            magsag("run", "signal", "one", "go", "--detach", cwd=tmp_path)
            wait_until_it_is(tmp_path, "succeeded")
        finally:
            worker.terminate()
    require_the_change_on_record(tmp_path, "file")


def wait_until_it_is(folder: Path, status: str) -> None:
    with closing(SqliteStore(folder / ".magsag" / "ledger.db")) as store:
        for _ in range(2000):
            row = store.row(RunId("one"))
            if row is not None and row.status == status:
                return
            time.sleep(0.02)
    raise AssertionError(f"it never was {status}")


def test_a_fresh_process_takes_no_secret_into_the_record(tmp_path: Path) -> None:
    caller(tmp_path, "env")
    done = typed(tmp_path, {"KEY": OLD}, "agent", "run", "caller-mag", "--run-id", "told", stdin=json.dumps({"a": OLD}))
    assert done.code == 2
    assert "holds the secret KEY at /a" in done.err
    assert OLD not in done.err
    assert not [one for one in tmp_path.rglob("*") if one.is_file() and OLD.encode() in one.read_bytes()]
    assert typed(tmp_path, {"KEY": OLD}, "run", "show", "told").code == 2
    assert typed(tmp_path, {"KEY": OLD}, "agent", "run", "caller-mag", "--run-id", "one", stdin="null").code == 3
    signal = ("run", "signal", "one", "go", "--input", "-")
    handed = typed(tmp_path, {"KEY": OLD}, *signal, stdin=json.dumps([OLD]))
    assert (handed.code, "payload of the signal go holds the secret KEY at /0" in handed.err) == (2, True), handed.err


def test_doctor_names_a_secret_that_cannot_be_read_and_no_value(tmp_path: Path) -> None:
    caller(tmp_path, "file")
    assert "file:KEY: there is no such file" in magsag("doctor", cwd=tmp_path).out
    key(tmp_path, OLD)
    assert "warn  secret" not in magsag("doctor", cwd=tmp_path).out
    (tmp_path / "KEY").chmod(0o644)
    looked = magsag("doctor", cwd=tmp_path)
    assert "warn  secret" in looked.out
    assert "skill:call@0.1.0" in looked.out
    assert OLD not in looked.out
