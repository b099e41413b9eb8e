"""What every sandbox must do: hold an act within its confines, hear its answer, and let nothing of it live on.

An adapter's tests subclass `SandboxSuite`, or `SandboxedSuite` where it can hold `sandbox`, and give the fixtures
`workspace`, `box` and `starter`.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from textwrap import dedent
from types import MappingProxyType
from typing import Any, Final

import pytest

from magsag.catalog.code import FrozenCode
from magsag.domain.errors import Retryable, StepFailed
from magsag.domain.manifests.isolation import Isolation, Resources
from magsag.ports.sandbox import Confines, Ended, Sandbox
from magsag.services.steps.apart import act_apart

_KEEP: Final = 100_000
_PATIENCE_SECONDS: Final = 10.0


class Speaker:
    """A `ctx` that remembers what it was told."""

    idempotency_key = "key-of-the-step"
    secrets: Mapping[str, str | None] = MappingProxyType({"TOKEN": "hidden-word", "OTHER": None})

    def __init__(self) -> None:
        self.said: list[tuple[object, ...]] = []

    def log(self, message: str, **fields: object) -> None:
        """Remember it."""
        self.said.append((message, fields))

    def spent(self, usd: float | str | None = None, tokens: int | None = None) -> None:
        """Remember it; more than a million tokens is too much."""
        if (tokens or 0) > 1_000_000:
            raise StepFailed("raised", "that is more than it declares")
        self.said.append((usd, tokens))

    def progress(self, done: float, total: float | None = None, message: str = "") -> None:
        """Remember it."""
        self.said.append((done, total, message))


def run(box: Sandbox, confines: Confines, *argv: str) -> Ended:
    """A program to its end."""
    return asyncio.run(box.program(argv, confines, _KEEP))


def python(box: Sandbox, confines: Confines, code: str) -> Ended:
    """A Python program to its end."""
    return run(box, confines, sys.executable, "-I", "-S", "-c", dedent(code))


def act(box: Sandbox, confines: Confines, code: str, payload: object = None, ctx: Speaker | None = None) -> Any:
    """What the function `run` of this code gives. Raises StepFailed, Retryable."""
    frozen = FrozenCode({"skills/it/skill.py": dedent(code).encode()}, "root", "0" * 64, "skills/it/skill.py", "run")
    return asyncio.run(act_apart(box, "skill:it@1.0.0", frozen, confines, payload, ctx or Speaker()))


def limited(confines: Confines, **resources: object) -> Confines:
    """The confines with other limits."""
    return Confines(confines.isolation, confines.network, Resources.model_validate(resources), confines.environment)


class SandboxSuite:
    """For `isolation: process` and for `sandbox`: the fixture `confines` says which."""

    @pytest.fixture
    def confines(self) -> Confines:
        """What the acts of this suite are held by."""
        return Confines(Isolation.PROCESS)

    @pytest.fixture
    def beat(self, workspace: Path) -> Path:
        """A file that acts of this suite may write."""
        return workspace / "beat"

    def test_a_program_gives_code_and_output(self, box: Sandbox, confines: Confines) -> None:
        ended = run(box, confines, "sh", "-c", "echo out; echo err >&2; exit 3")
        assert (ended.code, ended.stdout, ended.stderr) == (3, b"out\n", b"err\n")

    def test_what_ended_a_program_is_told(self, box: Sandbox, confines: Confines) -> None:
        assert run(box, confines, "sh", "-c", "kill -TERM $$").code == -15

    def test_a_program_that_is_not_there_cannot_be_started(self, box: Sandbox, confines: Confines) -> None:
        with pytest.raises(OSError, match="No such file"):
            run(box, confines, "no-such-program-here")

    def test_so_much_of_its_output_is_kept(self, box: Sandbox, confines: Confines) -> None:
        ended = run(box, confines, "sh", "-c", "yes | head -c 300000; echo end >&2")
        assert (len(ended.stdout), ended.stderr) == (_KEEP, b"end\n")

    def test_it_sees_only_declared_variables(
        self, box: Sandbox, confines: Confines, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for name in ("SHOP", "TOKEN", "MAGSAG_LEDGER", "PGPASSWORD"):
            monkeypatch.setenv(name, f"value of {name}")
        assert b"value of" not in run(box, confines, "env").stdout
        declared = Confines(confines.isolation, confines.network, environment=("SHOP",))
        seen = run(box, declared, "env").stdout
        assert b"SHOP=value of SHOP\n" in seen
        assert seen.count(b"value of") == 1

    @pytest.mark.parametrize(
        ("resources", "code", "signal"),
        [
            ({"cpu": "1s"}, "while True: pass", -24),
            ({"file_size": "1KB"}, "f = open('beat', 'wb', 0); f.write(bytes(5000)); f.write(b'x')", None),
            ({"memory": "100MB"}, "bytearray(400 * 1024 * 1024)", None),
            ({"files": 20}, "held = [open('/dev/null') for _ in range(100)]", None),
        ],
    )
    def test_what_goes_beyond_a_limit_fails(
        self,
        box: Sandbox,
        confines: Confines,
        beat: Path,
        resources: dict[str, object],
        code: str,
        signal: int | None,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.chdir(beat.parent)
        ended = python(box, limited(confines, **resources), code)
        assert ended.code == (1 if signal is None else signal)

    def test_the_system_counts_its_processes(self, box: Sandbox, confines: Confines) -> None:
        code = "import resource; print(resource.getrlimit(resource.RLIMIT_NPROC)[0])"
        few, more = (int(python(box, limited(confines, processes=number), code).stdout) for number in (10, 1000))
        assert 10 <= few < more

    def test_nothing_that_it_started_outlives_it(self, box: Sandbox, confines: Confines, beat: Path) -> None:
        daemon = f"setsid sh -c 'while sleep 0.05 && [ ! -e {beat.parent}/stop ]; do echo x >> {beat}; done' & "
        wait = f"while [ ! -e {beat} ]; do sleep 0.02; done"
        began = time.monotonic()
        assert run(box, confines, "sh", "-c", daemon + wait).code == 0
        assert time.monotonic() - began < _PATIENCE_SECONDS
        assert not alive(beat)

    def test_given_up_it_ends_with_all_that_it_started(self, box: Sandbox, confines: Confines, beat: Path) -> None:
        script = (
            f"(setsid sh -c 'while sleep 0.05 && [ ! -e {beat.parent}/stop ]; do echo x >> {beat}; done' &) ; sleep 60"
        )

        async def given_up() -> None:
            acting = asyncio.ensure_future(box.program(["sh", "-c", script], confines, _KEEP))
            while not beat.exists():
                await asyncio.sleep(0.02)
            acting.cancel()
            with suppress(asyncio.CancelledError):
                await acting

        asyncio.run(given_up())
        assert not alive(beat)

    def test_it_dies_with_whoever_started_it(self, starter: Sequence[str], confines: Confines, beat: Path) -> None:
        """`starter` is a command that runs a program, named behind it, in this sandbox."""
        script = (
            f"(setsid sh -c 'while sleep 0.05 && [ ! -e {beat.parent}/stop ]; do echo x >> {beat}; done' &) ; sleep 60"
        )
        with subprocess.Popen([*starter, confines.isolation, "sh", "-c", script]) as process:
            until = time.monotonic() + _PATIENCE_SECONDS
            while not beat.exists() and time.monotonic() < until:
                time.sleep(0.02)
            assert beat.exists()
            process.kill()
        time.sleep(0.5)
        assert not alive(beat)

    def test_a_function_acts_there(self, box: Sandbox, confines: Confines) -> None:
        ctx = Speaker()
        code = """
            import logging, os
            def run(payload, ctx):
                ctx.log("at work", n=payload["n"])
                ctx.progress(1, 2, "half")
                print("a word on the side")
                logging.warning("heed this")
                return {"twice": payload["n"] * 2, "key": ctx.idempotency_key, "pid": os.getpid()}
            """
        given = act(box, confines, code, {"n": 21}, ctx)
        assert given.pop("pid") != os.getpid()
        assert given == {"twice": 42, "key": "key-of-the-step"}
        assert ctx.said[:2] == [("at work", {"n": 21}), (1, 2, "half")]
        lines = "\n".join(str(line) for line, *_ in ctx.said[2:])
        assert "a word on the side" in lines
        assert "heed this" in lines

    def test_it_is_handed_the_secrets_that_it_declares(self, box: Sandbox, confines: Confines) -> None:
        code = "def run(payload, ctx):\n    return [ctx.secret(name) for name in payload]"
        assert act(box, confines, code, ["TOKEN", "OTHER"]) == ["hidden-word", None]
        with pytest.raises(StepFailed, match="does not declare the secret THIRD") as failed:
            act(box, confines, code, ["THIRD"])
        assert failed.value.type == "denied"

    def test_what_it_has_spent_is_told(self, box: Sandbox, confines: Confines) -> None:
        ctx, code = Speaker(), "def run(payload, ctx):\n    ctx.spent(usd=0.5, tokens=payload)"
        act(box, confines, code, 100, ctx)
        assert ctx.said == [(0.5, 100)]
        with pytest.raises(StepFailed, match="more than it declares"):
            act(box, confines, code, 1_000_001)

    def test_an_async_function_acts_there(self, box: Sandbox, confines: Confines) -> None:
        code = "import asyncio\nasync def run(payload):\n    await asyncio.sleep(0)\n    return payload"
        assert act(box, confines, code, "x" * 3_000_000) == "x" * 3_000_000

    def test_what_it_raises_comes_back(self, box: Sandbox, confines: Confines) -> None:
        with pytest.raises(StepFailed, match=r"ValueError: no luck \(root/skills/it/skill.py:2\)") as failed:
            act(box, confines, "def run(payload):\n    raise ValueError('no luck')")
        assert "Traceback" in str(failed.value.details["traceback"])
        code = "from magsag import Retryable\ndef run(payload):\n    raise Retryable('rate_limit', 'slowly', 2)"
        with pytest.raises(Retryable) as again:
            act(box, confines, code)
        assert (again.value.type, again.value.retry_after_seconds) == ("rate_limit", 2)
        code = "from magsag import StepFailed\ndef run(payload):\n    raise StepFailed('timeout', 'late', {'a': 1})"
        with pytest.raises(StepFailed, match="late") as told:
            act(box, confines, code)
        assert (told.value.type, told.value.details) == ("timeout", {"a": 1})

    def test_what_it_makes_up_on_the_pipe_harms_nobody(self, box: Sandbox, confines: Confines) -> None:
        code = """
            import os
            def run(payload):
                for line in (b"no json", b"[1]", b'{"say": 3}', b'{"failed": 1}', b'{"gave"', b'{"ended": 9}x'):
                    for number in range(3, 20):
                        try:
                            os.write(number, line + b"\\n")
                        except OSError:
                            pass
                return 1
            """
        assert act(box, confines, code) == 1


class SandboxedSuite(SandboxSuite):
    """For an adapter that can hold `isolation: sandbox`."""

    @pytest.fixture
    def confines(self) -> Confines:
        """A sandbox."""
        return Confines(Isolation.SANDBOX)

    def test_it_begins_in_the_workspace_and_may_write_there(
        self, box: Sandbox, confines: Confines, workspace: Path
    ) -> None:
        ended = run(box, confines, "sh", "-c", "pwd; echo it > kept; mkdir -p a/b; mv kept a/b/; cat a/b/kept")
        assert ended.stdout.decode().splitlines() == [str(workspace), "it"]
        assert (workspace / "a/b/kept").read_text() == "it\n"

    def test_it_has_a_place_for_temporary_files(self, box: Sandbox, confines: Confines) -> None:
        code = "import tempfile; f = tempfile.NamedTemporaryFile(); f.write(b'x'); f.flush(); print('ok')"
        assert python(box, confines, code).stdout == b"ok\n"

    def test_it_reaches_no_network_unless_that_is_granted(self, box: Sandbox, confines: Confines) -> None:
        import socket

        with socket.create_server(("127.0.0.1", 0)) as server:
            port = server.getsockname()[1]
            code = f"import socket; socket.create_connection(('127.0.0.1', {port}), 5); print('reached')"
            assert b"reached" not in python(box, confines, code).stdout
            granted = Confines(Isolation.SANDBOX, network=True)
            assert python(box, granted, code).stdout == b"reached\n"

    def test_who_asks_for_the_network_is_told_how_to_get_it(self, box: Sandbox, confines: Confines) -> None:
        code = """
            import urllib.request
            def run(payload):
                urllib.request.urlopen(payload) if payload else open("/etc/shadow-of-nobody/x", "w")
            """
        with pytest.raises(StepFailed, match=r"no network: a skill that declares `capabilities: \[network\]` has"):
            act(box, confines, code, "http://192.0.2.1/")
        with pytest.raises(StepFailed) as failed:
            act(box, confines, code)
        assert "network" not in failed.value.message


def alive(beat: Path) -> bool:
    """Whether somebody still writes to the file."""
    text = beat.read_text()
    time.sleep(0.3)
    return beat.read_text() != text
