"""Acts in real time: functions in threads, programs without a shell, what came late."""

import asyncio
import time
from pathlib import Path
from textwrap import indent
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.errors import ErrorType
from magsag.domain.facts import LateOutcome, RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.services.driving.results import RunResult
from magsag.services.driving.runs import Order
from magsag.testing import build_app
from tests.unit.world import ALLOW, agent, skill

SLEEPS = "import time\ndef run(payload, ctx):\n    time.sleep(payload)\n    return 'done'\n"
LOOK = 'return await ctx.skill("look", payload)'
SYNC = skill("once", "unrepeatable", SLEEPS)


class Shop:
    """A project and its last app."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.app: App | None = None

    def run(self, files: dict[str, str], program: str, payload: Any = None) -> RunResult:
        self.app = build_app(self.folder, {**ALLOW, **files}, store=MemoryStore())
        return asyncio.run(self.app.runs.run(Order(program, payload, run_id="r")))

    def flow(self, steps: str, payload: Any = None, more: dict[str, str] | None = None) -> RunResult:
        text = f"kind: flow\nschema: 1\nslug: only\nversion: 1.0.0\nsteps:\n{indent(steps, '  ')}\n"
        return self.run({"flows/only.yaml": text, **(more or {})}, "flow:only", payload)

    def late(self) -> list[LateOutcome]:
        assert self.app is not None
        facts = [unseal(stored) for stored in self.app.store.read(RunId("r"))]
        return [fact for fact in facts if isinstance(fact, LateOutcome)]


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    return Shop(tmp_path)


class TestFunctions:
    def test_a_sync_function_runs_beside_the_loop(self, shop: Shop) -> None:
        code = "import threading\nALL = threading.Barrier(5)\ndef run(payload):\n    ALL.wait(60)\n    return 'done'\n"
        body = 'return await ctx.gather(*[ctx.skill("look") for _ in range(5)])'
        files = {**skill("look", "read", code), **agent("main", body, "skill:look")}
        assert shop.run(files, "agent:main").output == ["done"] * 5

    def test_a_sync_function_that_overstays_is_abandoned_and_what_it_gave_is_on_record(self, shop: Shop) -> None:
        hasty = {path: text + ("timeout: 100ms\n" if path.endswith("yaml") else "") for path, text in SYNC.items()}
        body = 'await ctx.gather(ctx.skill("once", 0.4), ctx.skill("wait", 0.8))'
        wait = skill("wait", "read", SLEEPS)
        result = shop.run({**hasty, **wait, **agent("main", body, "skill:once, skill:wait")}, "agent:main")
        assert result.status is RunStatus.PARKED
        assert "whether it acted, nobody can tell" in result.reasons[0].reason
        assert [(fact.step, fact.output) for fact in shop.late()] == [("g1.0/once#1", b'"done"')]

    def test_a_late_error_is_on_record_too(self, shop: Shop) -> None:
        code = "import time\ndef run(payload):\n    time.sleep(0.3)\n    raise ValueError('late')\n"
        files = {**skill("look", "read", code, timeout="50ms"), **skill("wait", "read", SLEEPS)}
        both = 'ctx.gather(ctx.skill("look"), ctx.skill("wait", 0.6), on_error="collect")'
        body = f'return (await {both}).errors[0]["type"]'
        assert shop.run({**files, **agent("main", body, "skill:look, skill:wait")}, "agent:main").output == "timeout"
        assert b"ValueError: late" in shop.late()[0].output

    def test_a_late_result_that_is_no_json_says_so(self, shop: Shop) -> None:
        code = "import time\ndef run(payload):\n    time.sleep(0.2)\n    return {1, 2}\n"
        files = {**skill("look", "read", code, timeout="50ms"), **skill("wait", "read", SLEEPS)}
        body = 'await ctx.gather(ctx.skill("look"), ctx.skill("wait", 0.5), on_error="collect")'
        shop.run({**files, **agent("main", body, "skill:look, skill:wait")}, "agent:main")
        assert b"late output of step g1.0/look#1 holds a set" in shop.late()[0].output

    def test_a_late_result_of_a_step_that_is_not_on_record_is_dropped(self, shop: Shop) -> None:
        """The leg was stopped, so the step begins again in the next one."""
        app = build_app(shop.folder, {**skill("look", "read", SLEEPS), **agent("main", LOOK, "skill:look")})

        async def stopped() -> None:
            driving = asyncio.ensure_future(app.runs.run(Order("agent:main", 0.3, run_id="r")))
            await asyncio.sleep(0.1)
            driving.cancel()
            await asyncio.wait({driving})
            await asyncio.sleep(0.4)

        asyncio.run(stopped())
        assert [stored.kind for stored in app.store.read(RunId("r"))] == ["RunStarted"]
        app.close()

    @pytest.mark.parametrize("raising", ["raise StopIteration(3)", "raise SystemExit(3)", "raise KeyError('k')"])
    def test_what_a_sync_function_raises_is_a_failed_step(self, shop: Shop, raising: str) -> None:
        files = skill("look", "read", f"def run(payload):\n    {raising}\n")
        result = shop.run({**files, **agent("main", 'await ctx.skill("look")', "skill:look")}, "agent:main")
        assert result.error is not None
        assert result.error.type is ErrorType.RAISED
        assert "skills/look/skill.py:2" in result.error.message

    def test_a_sync_agent_may_log_but_takes_no_steps(self, shop: Shop) -> None:
        files = agent("main", "pass")
        path = "agents/main/main/agent.py"
        files[path] = "def run(payload, ctx):\n    ctx.log('hello')\n    return [payload, len(ctx.idempotency_key)]\n"
        assert shop.run(files, "agent:main", 1).output == [1, 32]
        files[path] = "def run(payload, ctx):\n    return ctx.skill('pure')\n"
        result = shop.run(files, "agent:main", 1)
        assert result.error is not None
        assert "ctx.skill is not there for a sync agent: write `async def`" in result.error.message

    def test_a_function_of_ones_own_is_a_recorded_read(self, shop: Shop) -> None:
        body = """
        import os
        return [await ctx.call(os.path.join, "a", "b"), await ctx.call(len, [1, 2])]
        """
        assert shop.run(agent("main", body), "agent:main").output == ["a/b", 2]


class TestPrograms:
    def test_a_program_runs_without_a_shell(self, shop: Shop) -> None:
        result = shop.flow(
            '- {id: say, run: [echo, "$HOME; ls", "=input.n"], effect: pure, isolation: in_process}', {"n": 3}
        )
        assert result.output == {"say": {"code": 0, "stdout": "$HOME; ls 3\n", "stderr": ""}}

    def test_a_program_is_not_handed_what_opens_the_ledger(self, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> None:
        secret = "postgresql://magsag:hidden-word@127.0.0.1/magsag"
        for name in ("MAGSAG_LEDGER", "AGDD_LEDGER", "AGDD_Ledger", "MAGSAG_API_KEY", "PGPASSWORD"):
            monkeypatch.setenv(name, secret)
        monkeypatch.setenv("SHOP", "open")
        stdout = shop.flow("- {id: all, run: [env], effect: read, isolation: in_process}").output["all"]["stdout"]
        assert "SHOP=open" in stdout
        assert "hidden-word" not in stdout

    def test_a_code_other_than_0_fails_the_step_with_the_last_line(self, shop: Shop) -> None:
        result = shop.flow(
            '- {id: bad, run: [sh, -c, "echo first; echo why >&2; exit 3"], effect: read, isolation: in_process}'
        )
        assert result.error is not None
        assert (result.error.step, result.error.message) == ("bad", "sh ended with code 3: why")
        assert result.error.details == {"code": 3, "stdout": "first\n", "stderr": "why\n"}

    def test_a_program_that_is_not_there_fails_the_step(self, shop: Shop) -> None:
        result = shop.flow("- {id: bad, run: [no-such-program-here], effect: pure, isolation: in_process}")
        assert result.error is not None
        assert "cannot start 'no-such-program-here'" in result.error.message

    def test_output_is_kept_up_to_64_kilobytes(self, shop: Shop) -> None:
        result = shop.flow('- {id: much, run: [sh, -c, "yes | head -c 300000"], effect: pure, isolation: in_process}')
        assert len(result.output["much"]["stdout"]) == 64 * 1024

    def test_output_that_is_no_text_is_made_one(self, shop: Shop) -> None:
        result = shop.flow("- {id: odd, run: [printf, '\\377ok'], effect: pure, isolation: in_process}")
        assert result.output["odd"]["stdout"] == "\ufffdok"

    def test_a_program_that_overstays_is_killed_with_what_it_started(self, shop: Shop, tmp_path: Path) -> None:
        alive = tmp_path / "alive"
        code = f"(sleep 1; echo still >> {alive}) & sleep 30"
        began = time.monotonic()
        result = shop.flow(
            f'- {{id: slow, run: [sh, -c, "{code}"], effect: read, isolation: in_process, timeout: 200ms}}'
        )
        assert result.error is not None
        assert result.error.type is ErrorType.TIMEOUT
        assert time.monotonic() - began < 5
        time.sleep(1.2)
        assert not alive.exists()

    def test_where_there_are_no_process_groups_the_program_itself_is_ended(
        self, shop: Shop, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.delattr("os.killpg")
        began = time.monotonic()
        result = shop.flow("- {id: slow, run: [sleep, '30'], effect: read, isolation: in_process, timeout: 100ms}")
        assert result.error is not None
        assert result.error.type is ErrorType.TIMEOUT
        assert time.monotonic() - began < 5

    def test_a_program_that_has_ended_and_left_its_output_open_is_waited_for_no_longer(self, shop: Shop) -> None:
        code = "setsid sleep 1 & exit 0"
        result = shop.flow(
            f'- {{id: left, run: [sh, -c, "{code}"], effect: read, isolation: in_process, timeout: 300ms}}'
        )
        assert result.error is not None
        assert result.error.message == "shell:left did not end within 0.3 s"


class TestModels:
    def test_an_alias_without_a_provider_is_refused_by_name(self, shop: Shop) -> None:
        result = shop.run(agent("main", 'return await ctx.model("smart", "hi")', "model:smart"), "agent:main")
        assert result.error is not None
        assert "model alias 'smart' is bound to nothing (bound: none)" in result.error.message
