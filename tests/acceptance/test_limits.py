"""Story 14, with the real command: what fails is spared by all processes until one of them finds that it works."""

import json
import subprocess
import threading
import time
from collections import Counter
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from textwrap import dedent

import pytest

from tests.acceptance.workshop import Done, command, environment, magsag

TOOL = """\
    kind: skill
    schema: 1
    slug: {slug}
    version: 0.1.0
    entrypoint: skill.py:run
    effect: read
    timeout: 120s
    breaker: {{failures: 5, of: 10, open: {open}}}
    """
CODE = """\
    from urllib.request import urlopen

    def run(payload):
        with urlopen(payload["url"] + "/{slug}", timeout=120) as answer:
            return answer.read().decode()
    """
AGENT = """\
    kind: agent
    schema: 1
    slug: caller
    version: 0.1.0
    role: main
    entrypoint: agent.py:run
    uses: [skill:lasting, skill:passing]
    """
CALLER = """\
    async def run(payload, ctx):
        told = []
        for _ in range(payload["calls"]):
            try:
                told.append(await ctx.skill(payload["tool"], {"url": payload["url"]}))
            except Exception as error:
                told.append(error.type)
        return told
    """
PROCESSES = 4


class Outside:
    """What the tool asks: it counts contacts, fails until it is mended, and can be told to keep somebody waiting."""

    def __init__(self) -> None:
        self.contacts: Counter[str] = Counter()
        self.works = False
        self.answers = threading.Event()
        self.answers.set()
        outside = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                outside.contacts[self.path.strip("/")] += 1
                outside.answers.wait(120)
                self.send_response(200 if outside.works else 500)
                self.end_headers()
                self.wfile.write(b"fine" if outside.works else b"")

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever)
        self._thread.start()

    def close(self) -> None:
        self.answers.set()
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def outside() -> Iterator[Outside]:
    made = Outside()
    yield made
    made.close()


def project(folder: Path) -> Path:
    for slug, open in (("lasting", "1h"), ("passing", "1s")):
        skill = folder / "catalog" / "skills" / slug
        skill.mkdir(parents=True)
        (skill / "skill.yaml").write_text(dedent(TOOL).format(slug=slug, open=open), encoding="utf-8")
        (skill / "skill.py").write_text(dedent(CODE).format(slug=slug), encoding="utf-8")
    agent = folder / "catalog" / "agents" / "main" / "caller"
    agent.mkdir(parents=True)
    (agent / "agent.yaml").write_text(dedent(AGENT), encoding="utf-8")
    (agent / "agent.py").write_text(dedent(CALLER), encoding="utf-8")
    (folder / "magsag.toml").touch()
    people = "kind: people\nschema: 1\npeople:\n  - {id: maria, proof: claim}\n"
    (folder / "catalog" / "people.yaml").write_text(people, encoding="utf-8")
    return folder


@pytest.mark.timeout(300)
@pytest.mark.parametrize("store", ["sqlite", pytest.param("postgres", marks=pytest.mark.needs("postgres"))])
def test_a_tool_that_fails_is_spared_until_one_call_finds_that_it_works(
    tmp_path: Path, outside: Outside, store: str, request: pytest.FixtureRequest
) -> None:
    folder = project(tmp_path)
    place = {"MAGSAG_LEDGER": request.getfixturevalue("dsn")} if store == "postgres" else {}

    def asked(tool: str, calls: int) -> str:
        return json.dumps({"tool": tool, "calls": calls, "url": outside.url})

    def call(tool: str, calls: int, run: str) -> Done:
        return magsag("agent", "run", "caller", "--run-id", run, cwd=folder, stdin=asked(tool, calls), **place)

    def look(*words: str) -> str:
        return magsag(*words, cwd=folder, **place).out

    assert call("lasting", 6, "first").value == ["raised"] * 5 + ["unavailable"]
    assert outside.contacts["lasting"] == 5
    assert "BreakerMoved      lasting#5  skill:lasting  open" in look("run", "facts", "first")
    assert "unavailable: skill:lasting is not tried: its breaker is open since 20" in look("run", "show", "first")
    assert "breaker open" in look("audit", "log", "--tool", "lasting")

    outside.works = True
    assert call("lasting", 1, "restarted").value == ["unavailable"]
    assert outside.contacts["lasting"] == 5
    assert "skill:lasting  open until 20" in look("agent", "show", "caller")
    assert "skill:lasting is open; it failed at 20" in look("doctor")
    assert magsag("agent", "close-breaker", "skill:lasting", cwd=folder, **place).code == 1
    close = ("agent", "close-breaker", "skill:lasting", "--as", "maria", "--reason", "they are back")
    assert look(*close) == "the breaker of skill:lasting is closed; run first says by whom\n"
    assert "maria" in look("audit", "log", "--person", "maria")
    assert call("lasting", 1, "closed").value == ["fine"]

    outside.works = False
    assert call("passing", 5, "passing").value == ["raised"] * 5
    outside.works = True
    outside.answers.clear()
    time.sleep(1.1)
    words = [command("agent", "run", "caller", "--run-id", f"at-once-{n}") for n in range(PROCESSES)]
    racing = [start(one, folder, asked("passing", 1), **place) for one in words]
    told = ended(racing, PROCESSES - 1)
    assert told == [["unavailable"]] * (PROCESSES - 1)
    assert outside.contacts["passing"] == 6
    outside.answers.set()
    assert ended(racing, 1) == [["fine"]]
    assert call("passing", 3, "mended").value == ["fine"] * 3
    assert outside.contacts["passing"] == 9
    assert look("data", "check") == "no faults\n"


def start(words: list[str], folder: Path, given: str, **place: str) -> "subprocess.Popen[str]":
    process = subprocess.Popen(
        words,
        cwd=folder,
        env=environment(**place),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdin is not None
    process.stdin.write(given)
    process.stdin.close()
    process.stdin = None
    return process


def ended(processes: "list[subprocess.Popen[str]]", count: int) -> list[object]:
    """What the next so many of them print; they are taken out of the list."""
    told: list[object] = []
    deadline = time.monotonic() + 100
    while len(told) < count:
        assert time.monotonic() < deadline
        time.sleep(0.05)
        for process in [one for one in processes if one.poll() is not None]:
            processes.remove(process)
            told.append(json.loads(process.communicate()[0]))
    return told
