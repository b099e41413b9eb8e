"""The gate on the way: contracts, redaction, attempts, doubts, recovery, and what code may raise or hand back."""

import asyncio
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar, Final

import pytest

from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.domain.facts import ParkedOn, RunStatus, StepStatus
from magsag.testing import History
from tests.unit.world import KINDS, USES, WORLD, Bench, Files, agent, contract, skill

Make = Callable[..., Bench]
POLICY: Final = "kind: policy\nschema: 1\nrules:\n"
NUMBER = contract("number", '{"type": "object", "required": ["n"], "properties": {"n": {"type": "integer"}}}')
SECRET = contract(
    "secret",
    """{"type": "object", "required": ["ssn"], "additionalProperties": false, "properties": {
        "n": {"type": "integer"}, "ssn": {"type": "string", "pattern": "^[0-9]{4}$", "x-redact": true}}}""",
)


@pytest.fixture
def make(tmp_path: Path) -> Make:
    WORLD.reset()

    def made(body: str, files: Files | None = None, uses: str = USES, **settings: Any) -> Bench:
        return Bench(tmp_path, {**KINDS, **agent("main", body, uses), **(files or {})}, **settings)

    return made


def failing(*errors: Exception) -> Callable[[str, Any, Any], Any]:
    """Acts that fail with these errors, one after the other, and then answer."""
    left = list(errors)

    def act(name: str, payload: Any, ctx: Any) -> Any:
        if left:
            raise left.pop(0)
        return payload

    return act


def written(bench: Bench) -> str:
    """All that the ledger holds, as text."""
    stored = [*bench.store.read(bench.state().id)]
    return " ".join(str((fact.body, fact.input, fact.output)) for fact in stored)


class TestContracts:
    def test_an_input_that_breaks_its_contract_does_not_act(self, make: Make) -> None:
        files = {**NUMBER, **skill("idem", "idempotent", contracts="{input: number}")}
        bench = make('return await ctx.skill("idem", {"n": "seven"})', files)
        result = bench.run()
        assert result.error is not None
        assert result.error.type is ErrorType.INPUT_CONTRACT
        assert result.error.details["problems"][0]["pointer"] == "/n"  # type: ignore[index]
        assert not WORLD.calls
        assert bench.kinds() == ["RunStarted", "StepFailed", "RunEnded"]

    def test_an_output_that_breaks_its_contract_fails_the_step_after_its_act(self, make: Make) -> None:
        files = {**NUMBER, **skill("once", "unrepeatable", contracts="{output: number}")}
        bench = make('return await ctx.skill("once", {"n": "seven"})', files)
        result = bench.run()
        assert result.error is not None
        assert result.error.type is ErrorType.OUTPUT_CONTRACT
        assert WORLD.count("once").total() == 1

    def test_what_fits_its_contracts_passes(self, make: Make) -> None:
        files = {**NUMBER, **skill("once", "unrepeatable", contracts="{input: number, output: number}")}
        assert make('return await ctx.skill("once", {"n": 7})', files).run().output == {"n": 7}

    @pytest.mark.parametrize("value", ["{1: 2}", "(1, 2)", "float('nan')", "'\\ud800'", "{1, 2}", "object()"])
    def test_what_json_cannot_hold_is_refused_with_the_name_of_the_step(self, make: Make, value: str) -> None:
        bench = make(f'return await ctx.skill("pure", {value})')
        result = bench.run()
        assert result.error is not None
        assert result.error.type is ErrorType.INVALID_VALUE
        assert result.error.message.startswith("input of step pure#1 ")
        assert bench.resume().error is not None
        assert not WORLD.calls

    def test_the_same_refusal_comes_again_in_a_resume(self, make: Make) -> None:
        body = """
        from magsag.domain.errors import StepFailed
        try:
            await ctx.skill("pure", (1, 2))
        except StepFailed as error:
            return error.type.value
        """
        bench = make(body)
        history = History(bench.app)
        assert bench.run().output == "invalid_value"
        assert bench.on(history.cut(2)).resume().output == "invalid_value"

    def test_a_result_that_json_cannot_hold_fails_the_step(self, make: Make) -> None:
        WORLD.on_act = lambda name, payload, ctx: {1, 2}
        result = make('return await ctx.skill("pure", 1)').run()
        assert result.error is not None
        assert (result.error.type, result.error.step) == (ErrorType.INVALID_VALUE, "pure#1")


class TestRedaction:
    FILES: ClassVar[Files] = {**SECRET, **skill("once", "unrepeatable", contracts="{input: secret, output: secret}")}
    CALL = 'return await ctx.skill("once", {"n": 1, "ssn": payload})'

    def test_judge_ledger_act_and_program_see_the_redacted_value(self, make: Make) -> None:
        acted: list[Any] = []

        def act(name: str, payload: Any, ctx: Any) -> Any:
            acted.append(payload)
            return {"n": 2, "ssn": "9876"}

        WORLD.on_act = act
        rules = (
            "kind: policy\nschema: 1\nrules:\n  - {id: seen, on: ['skill:once'], when: 'args.ssn == \"[redacted]\"', "
            "verdict: allow}\n"
        )
        bench = make(self.CALL, {**self.FILES, "policies/allow.yaml": rules})
        assert bench.run("1234").output == {"n": 2, "ssn": "[redacted]"}
        assert acted == [{"n": 1, "ssn": "[redacted]"}]
        stepwise = [fact for fact in bench.facts() if hasattr(fact, "step")]
        assert "1234" not in str(stepwise)
        assert "9876" not in written(bench)

    @pytest.mark.parametrize("wrong", ["12345", 1234])
    def test_a_redacted_value_never_stands_in_an_error(self, make: Make, wrong: Any) -> None:
        bench = make(self.CALL, self.FILES)
        result = bench.run(wrong)
        assert result.error is not None
        assert result.error.type is ErrorType.INPUT_CONTRACT
        step = [fact for fact in bench.facts() if hasattr(fact, "step")]
        assert str(wrong) not in str(step)
        assert str(wrong) not in json.dumps([result.error.message, result.error.details])

    def test_a_redacted_output_never_stands_in_an_error(self, make: Make) -> None:
        WORLD.on_act = lambda name, payload, ctx: {"ssn": "my 12345"}
        bench = make(self.CALL, self.FILES)
        result = bench.run("1234")
        assert result.error is not None
        assert result.error.type is ErrorType.OUTPUT_CONTRACT
        assert "12345" not in written(bench)

    def test_a_value_that_was_redacted_may_be_passed_on(self, make: Make) -> None:
        body = """
        first = await ctx.skill("once", {"ssn": payload})
        return await ctx.skill("once", first)
        """
        assert make(body, self.FILES).run("1234").output == {"ssn": "[redacted]"}


class TestAttempts:
    FILES: ClassVar[dict[str, Files]] = {
        slug: skill(slug, effect, retry="{attempts: 3, backoff: 10s}", timeout="5s")
        for slug, effect in (("look", "read"), ("idem", "idempotent"), ("once", "unrepeatable"))
    }

    @pytest.mark.parametrize("slug", ["look", "idem", "once"])
    def test_a_retryable_failure_is_tried_again_after_its_backoff(self, make: Make, slug: str) -> None:
        WORLD.on_act = failing(Retryable("rate_limit", "slow down"))
        bench = make(f'return await ctx.skill("{slug}", 7)', self.FILES[slug])
        assert bench.run().output == 7
        assert 5 <= bench.time.passed <= 12
        assert bench.kinds().count("StepWillRetry") == 1
        assert len(WORLD.count(slug)) == 1, "the key is the same in every attempt"

    def test_what_the_other_side_asks_for_is_waited(self, make: Make) -> None:
        WORLD.on_act = failing(Retryable("rate_limit", "slow down", retry_after_seconds=90))
        bench = make('return await ctx.skill("idem", 7)', self.FILES["idem"])
        assert bench.run().reasons[0].on is ParkedOn.TIME
        assert bench.through().output == 7
        assert bench.time.passed >= 90

    def test_attempts_end(self, make: Make) -> None:
        WORLD.on_act = failing(*[Retryable("unavailable", f"no {number}") for number in range(9)])
        bench = make('return await ctx.skill("idem", 7)', self.FILES["idem"])
        result = bench.through()
        assert result.error is not None
        assert (result.error.type, result.error.message) == (ErrorType.UNAVAILABLE, "no 2")
        assert WORLD.count().total() == 3

    def test_what_the_retry_does_not_name_is_not_tried_again(self, make: Make) -> None:
        WORLD.on_act = failing(ValueError("boom"))
        result = make('return await ctx.skill("idem", 7)', self.FILES["idem"]).run()
        assert result.error is not None
        assert result.error.message.startswith("ValueError: boom (")
        assert WORLD.count().total() == 1

    def test_each_attempt_gets_the_recorded_input(self, make: Make) -> None:
        seen: list[Any] = []

        def act(name: str, payload: Any, ctx: Any) -> Any:
            seen.append(list(payload["list"]))
            payload["list"].append("spoiled")
            if len(seen) < 3:
                raise Retryable("unavailable", "no")
            return payload

        WORLD.on_act = act
        make('return await ctx.skill("idem", {"list": [1]})', self.FILES["idem"]).through()
        assert seen == [[1], [1], [1]]

    def test_a_retry_is_judged_again(self, make: Make) -> None:
        """A minute later the rule says no; an idempotent act that may have happened is not closed by that."""
        on = '["skill:look", "skill:idem", "skill:once"]'
        rule = f"  - {{{{id: {{}}, on: {on}, when: time.unix {{}} 1900000005, verdict: {{}}}}}}\n"
        rules = POLICY + rule.format("now", "<", "allow") + rule.format("later", ">=", "deny")
        for slug, said, status in (
            ("look", "timeout", RunStatus.DENIED),
            ("idem", "timeout", RunStatus.PARKED),
            ("idem", "unavailable", RunStatus.DENIED),  # it says itself that it did not act
            ("once", "unavailable", RunStatus.DENIED),
        ):
            WORLD.on_act = failing(Retryable(said, "no"))
            files = {**self.FILES[slug], "policies/allow.yaml": rules}
            result = make(f'return await ctx.skill("{slug}", 7)', files).run()
            assert result.status is status, slug
            if status is RunStatus.PARKED:
                assert result.reasons[0].on is ParkedOn.DOUBT
                assert "rule later denies another one" in result.reasons[0].reason

    def test_a_due_retry_goes_on_in_another_process(self, make: Make) -> None:
        WORLD.on_act = failing(Retryable("unavailable", "no"))
        bench = make('return await ctx.skill("idem", 7)', self.FILES["idem"])
        history = History(bench.app)
        bench.run()
        cut = next(at for at, (_, fact) in enumerate(history.facts, 1) if type(fact).__name__ == "StepWillRetry")
        WORLD.reset()
        resumed = bench.on(history.cut(cut))
        assert resumed.resume().output == 7
        assert WORLD.count().total() == 1
        assert resumed.step("idem#1").attempt == 2

    @pytest.mark.parametrize(("slug", "status"), [("look", "failed"), ("idem", "failed"), ("once", "parked")])
    def test_a_timeout_of_what_may_not_be_repeated_is_a_doubt(self, make: Make, slug: str, status: str) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(100)

        WORLD.on_act = act
        files = {**skill(slug, {"look": "read", "idem": "idempotent", "once": "unrepeatable"}[slug], timeout="5s")}
        bench = make(f'return await ctx.skill("{slug}", 7)', files)
        result = bench.run()
        assert result.status == status
        if status == "parked":
            assert bench.step("once#1").status is StepStatus.IN_DOUBT
            assert bench.resume().reasons[0].on is ParkedOn.DOUBT
            assert WORLD.count().total() == 1
        else:
            assert result.error is not None
            assert result.error.message == f"skill:{slug}@1.0.0 did not end within 5 s"

    def test_an_act_without_a_timeout_has_the_limit_of_the_settings(self, make: Make) -> None:
        async def act(name: str, payload: Any, ctx: Any) -> Any:
            await asyncio.sleep(1000)

        WORLD.on_act = act
        result = make('return await ctx.skill("look", 7)').run()
        assert result.error is not None
        assert result.error.message == "skill:look@1.0.0 did not end within 300 s"

    @pytest.mark.parametrize("error", [SystemExit(3), KeyError("x"), TimeoutError("mine")])
    def test_whatever_an_act_raises_is_a_failed_step(self, make: Make, error: Exception) -> None:
        WORLD.on_act = failing(error)
        bench = make('return await ctx.skill("once", 7)')
        result = bench.run()
        assert result.error is not None
        assert result.error.type is ErrorType.RAISED
        assert result.error.message.startswith(type(error).__name__)


class TestRecovery:
    """An intent without an outcome, by effect kind."""

    @pytest.mark.parametrize(
        ("slug", "status", "acts"),
        [("idem", "succeeded", 1), ("trans", "succeeded", 1), ("once", "parked", 0), ("recon", "succeeded", 1)],
    )
    def test_each_kind_has_its_way(self, make: Make, slug: str, status: str, acts: int) -> None:
        bench = make(f'return await ctx.skill("{slug}", 7)')
        history = History(bench.app)
        bench.run()
        keys = set(WORLD.count(slug))
        WORLD.reset()
        resumed = bench.on(history.cut(2))
        resumed.time.passed += 1000
        result = resumed.resume()
        assert result.status == status
        assert WORLD.count(slug).total() == acts
        assert set(WORLD.count(slug)) <= keys
        if status == "parked":
            assert [reason.on for reason in result.reasons] == [ParkedOn.DOUBT]
            assert "the process ended between the intent and the outcome" in result.reasons[0].reason

    def test_what_a_lookup_finds_is_adopted(self, make: Make) -> None:
        bench = make('return await ctx.skill("recon", 7)')
        history = History(bench.app)
        bench.run()
        resumed = bench.on(history.cut(2))
        resumed.time.passed += 1000
        assert resumed.resume().output == 7
        assert WORLD.count("recon").total() == 1

    def test_a_lookup_that_cannot_tell_leaves_a_doubt(self, make: Make) -> None:
        files = skill("recon", "reconcilable")
        code = files["skills/recon/skill.py"]
        files["skills/recon/skill.py"] = code.replace("return WORLD.find", "return 1 / 0 or WORLD.find")
        bench = make('return await ctx.skill("recon", 7)', files)
        history = History(bench.app)
        bench.run()
        resumed = bench.on(history.cut(2))
        resumed.time.passed += 1000
        assert [reason.on for reason in resumed.resume().reasons] == [ParkedOn.DOUBT]

    def test_what_is_on_record_is_not_acted_again(self, make: Make) -> None:
        bench = make('return [await ctx.skill("once", 1), await ctx.skill("look", 2)]')
        history = History(bench.app)
        bench.run()
        WORLD.reset()
        assert bench.on(history.cut(len(history.facts) - 1)).resume().output == [1, 2]
        assert not WORLD.calls


class TestChildren:
    def test_the_outcome_carries_the_head_of_the_child(self, make: Make) -> None:
        bench = make('return await ctx.delegate("child", 1)', agent("child", "return payload"), "agent:child")
        assert bench.run().output == 1
        assert bench.step("child#1").child_head == bench.store.read(bench.state("r.child#1").id)[-1].head.hex()

    def test_a_childs_failure_names_the_way_to_the_step(self, make: Make) -> None:
        WORLD.on_act = failing(StepFailed("unavailable", "gone"))
        child = agent("child", 'return await ctx.skill("look", 1)', "skill:look")
        result = make('return await ctx.delegate("child", 1)', child, "agent:child").run()
        assert result.error is not None
        assert (result.error.step, result.error.message) == ("child#1/look#1", "gone")

    def test_a_childs_park_parks_the_parent_with_the_way(self, make: Make) -> None:
        files = {**agent("child", 'return await ctx.skill("once", 1)', "skill:once"),
                 "policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"}  # fmt: skip
        bench = make('return await ctx.delegate("child", 1)', files, "agent:child")
        result = bench.run()
        assert [(reason.on, reason.step) for reason in result.reasons] == [(ParkedOn.APPROVAL, "child#1/once#1")]
        assert bench.state("r.child#1").status is RunStatus.PARKED
        assert bench.resume().reasons == result.reasons

    def test_a_partial_child_makes_a_partial_parent_also_after_a_resume(self, make: Make) -> None:
        WORLD.on_act = failing(StepFailed("unavailable", "gone"))
        child = agent("child", 'await ctx.gather(ctx.skill("look", 1), on_error="collect")', "skill:look")
        bench = make('return await ctx.delegate("child", 1)', child, "agent:child")
        history = History(bench.app)
        assert bench.run().status is RunStatus.PARTIAL
        assert bench.on(history.cut(len(history.facts) - 1)).resume().status is RunStatus.PARTIAL

    def test_a_child_is_driven_with_its_tree(self, make: Make) -> None:
        files = {**agent("child", 'return await ctx.skill("once", 1)', "skill:once"),
                 "policies/allow.yaml": "kind: policy\nschema: 1\nrules: []\n"}  # fmt: skip
        bench = make('return await ctx.delegate("child", 1)', files, "agent:child")
        bench.run()
        result = bench.time.run(bench.app.runs.resume(bench.state("r.child#1").id))
        assert (result.run, result.status) == ("r.child#1", RunStatus.PARKED)
        assert bench.kinds().count("RunParked") == 2, "the root was driven"
