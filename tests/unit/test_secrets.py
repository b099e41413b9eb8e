"""Secrets at the gate: handed by name, read when an attempt starts, recorded by version only, and never told."""

import asyncio
import base64
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from magsag import Retryable, StepFailed
from magsag.adapters.store.memory import MemoryStore
from magsag.domain import facts
from magsag.domain.approval import Acting, Answer, Proof
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import RunStatus
from magsag.domain.ids import RunId
from magsag.engine.chain import unseal
from magsag.ports.ledger import TicketQuery
from magsag.services.driving.runs import Order
from magsag.services.insight.audit import Asked
from magsag.services.people.approvals import Decision
from magsag.services.recording.masking import RESOLVED
from magsag.testing import build_app
from tests.unit.world import WORLD, Bench, Files, agent, skill

A, B = "first-value-1+/=", "second-value-2"
SECRETS = "{TOKEN: env:UNIT_TEST_TOKEN}"


def files(body: str, **skills: str) -> Files:
    """An agent with this body, and skills that declare the secret: slug -> effect."""
    found: dict[str, str] = {
        "policies/allow.yaml": "kind: policy\nschema: 1\nrules:\n  - {id: may, on: ['skill:*'], verdict: allow}\n"
    }
    for slug, effect in skills.items():
        found |= skill(slug, effect, secrets=SECRETS)
    return {**found, **agent("main", body, ", ".join(f"skill:{slug}" for slug in skills))}


@pytest.fixture(autouse=True)
def _world() -> Iterator[None]:
    WORLD.reset()
    yield
    WORLD.reset()
    os.environ.pop("UNIT_TEST_TOKEN", None)


def keep(value: str) -> None:
    os.environ["UNIT_TEST_TOKEN"] = value


def used(made: Bench) -> list[facts.SecretUsed]:
    return [fact for fact in made.facts() if isinstance(fact, facts.SecretUsed)]


def told(made: Bench) -> str:
    """Everything that the ledger holds of the run."""
    return "\n".join(
        part.decode("utf-8", "replace")
        for stored in made.store.read(RunId("r"))
        for part in (stored.body, stored.input or b"", stored.output or b"")
    )


def test_a_skill_is_handed_what_it_declares_and_the_record_has_its_version_alone(tmp_path: Path) -> None:
    keep(A)
    seen: list[object] = []
    WORLD.on_act = lambda name, payload, ctx: seen.append(ctx.secret("TOKEN"))
    made = Bench(
        tmp_path, files("await ctx.skill('look')\nreturn await ctx.skill('idem')", look="read", idem="idempotent")
    )
    assert made.run().status is RunStatus.SUCCEEDED
    assert seen == [A, A]
    (use,) = used(made)
    assert (use.step, use.name, use.reference, use.before) == ("look#1", "TOKEN", "env:UNIT_TEST_TOKEN", None)
    assert A not in told(made)


def test_a_rotation_while_the_run_waits_takes_effect_and_is_on_record(tmp_path: Path) -> None:
    keep(A)
    seen: list[object] = []
    WORLD.on_act = lambda name, payload, ctx: seen.append(ctx.secret("TOKEN"))
    body = "await ctx.skill('look')\nawait ctx.wait_for('go')\nreturn await ctx.skill('idem')"
    made = Bench(tmp_path, files(body, look="read", idem="idempotent"))
    assert made.run().status is RunStatus.PARKED
    keep(B)
    made.app.events.signal(RunId("r"), "go", None, "ann")
    assert made.resume(made.app).status is RunStatus.SUCCEEDED
    assert seen == [A, B]
    first, second = used(made)
    assert (second.step, second.before) == ("idem#1", first.version)
    assert first.version != second.version
    assert not {A, B} & set(told(made).split('"'))


def test_the_first_step_with_a_new_one_is_shown_and_audited_over_all_runs(tmp_path: Path) -> None:
    keep(A)
    made = Bench(tmp_path, files("await ctx.skill('look')\nreturn await ctx.skill('look')", look="read"))
    for run, value in (("a", A), ("b", A), ("c", B)):
        keep(value)
        made.time.run(made.app.runs.run(Order("agent:main", None, run_id=run)))
    (use,) = made.app.insight.show(RunId("c")).secrets
    assert (use.step, use.before) == ("look#1", None)
    log = [one for one in made.app.audit.log(Asked(tool="env:UNIT_TEST_TOKEN")) if one.kind == "SecretUsed"]
    assert [(one.run, one.step) for one in log] == [("a", "look#1"), ("b", "look#1"), ("c", "look#1")]
    first, again, changed = (one.said for one in log)
    assert first == again
    assert changed == f"{use.version} changed since {first}"


def test_a_retry_reads_it_anew(tmp_path: Path) -> None:
    keep(A)
    seen: list[object] = []

    def act(name: str, payload: object, ctx: Any) -> None:
        seen.append(ctx.secret("TOKEN"))
        if len(seen) == 1:
            keep(B)
            raise Retryable("rate_limit", f"{A} was refused")

    WORLD.on_act = act
    found = {**files("return await ctx.skill('idem')", idem="idempotent")}
    found |= skill("idem", "idempotent", secrets=SECRETS, retry="{attempts: 2}")
    made = Bench(tmp_path, found)
    assert made.run().status is RunStatus.SUCCEEDED
    assert seen == [A, B]
    assert A not in told(made)


def test_an_undeclared_secret_is_refused_by_name(tmp_path: Path) -> None:
    keep(A)
    WORLD.on_act = lambda name, payload, ctx: ctx.secret("OTHER")
    made = Bench(tmp_path, files("return await ctx.skill('look')", look="read"))
    result = made.run()
    assert result.error is not None
    assert result.error.message.startswith("skill:look@1.0.0 does not declare the secret OTHER: add `secrets: {OTHER")


def test_a_program_has_none(tmp_path: Path) -> None:
    made = Bench(tmp_path, files("return ctx.secret('TOKEN')", look="read"))
    result = made.run()
    assert result.error is not None
    assert "ctx.secret: TOKEN is for a skill" in result.error.message


@pytest.mark.parametrize("effect", ["read", "idempotent", "unrepeatable"])
def test_a_missing_one_fails_the_step_before_anything_starts(tmp_path: Path, effect: str) -> None:
    made = Bench(tmp_path, files("return await ctx.skill('act')", act=effect))
    result = made.run()
    assert result.error is not None
    assert (result.error.type, result.error.step) == ("unavailable", "act#1")
    assert (
        "secret TOKEN of skill:act@1.0.0 cannot be had: env:UNIT_TEST_TOKEN: the variable is not set"
        in result.error.message
    )
    assert not WORLD.calls
    assert not [fact for fact in made.facts() if isinstance(fact, facts.StepStarted)]


def test_an_optional_one_may_be_missing(tmp_path: Path) -> None:
    seen: list[object] = []
    WORLD.on_act = lambda name, payload, ctx: seen.append(ctx.secret("TOKEN"))
    found = {
        **files("return await ctx.skill('look')", look="read"),
        **skill("look", "read", secrets="{TOKEN: 'env:UNIT_TEST_TOKEN?'}"),
    }
    made = Bench(tmp_path, found)
    assert made.run().status is RunStatus.SUCCEEDED
    assert seen == [None]
    assert not used(made)


def test_an_output_that_holds_one_is_masked_for_the_program_and_the_record(tmp_path: Path) -> None:
    keep(A)
    WORLD.on_act = lambda name, payload, ctx: {
        "echo": f"Bearer {A}",
        "b64": base64.b64encode(f"u:{A}".encode()).decode(),
    }
    made = Bench(tmp_path, files("return await ctx.skill('once')", once="unrepeatable"))
    result = made.run()
    assert result.output["echo"] == "Bearer [secret TOKEN]"
    assert "[secret TOKEN]" in result.output["b64"]
    assert A not in told(made)


def test_an_outcome_without_an_end_fails_its_step_and_not_the_process(tmp_path: Path) -> None:
    keep(A)
    endless: list[object] = [A]
    endless.append(endless)
    WORLD.on_act = lambda name, payload, ctx: endless
    made = Bench(tmp_path, files("return await ctx.skill('once')", once="unrepeatable"))
    result = made.run()
    assert result.error is not None
    assert (result.error.type, result.error.step) == ("invalid_value", "once#1")


def test_an_input_that_holds_one_is_refused_with_its_place_and_a_resume_agrees(tmp_path: Path) -> None:
    keep(A)
    body = """
        await ctx.skill('look')
        try:
            await ctx.skill('idem', {'header': [payload[::-1]]})
        except Exception as error:
            said = str(error)
        await ctx.wait_for('go')
        return said
    """
    made = Bench(tmp_path, files(body, look="read", idem="idempotent"))
    assert made.run(quote(A, safe="")[::-1]).status is RunStatus.PARKED
    assert [name for name, _ in WORLD.calls] == ["look"]
    keep(B)
    made.app.events.signal(RunId("r"), "go", None, "ann")
    result = made.resume(made.app)
    assert result.output == (
        "step idem#1: invalid_value: input of step idem#1 holds the secret TOKEN at /header/0: name it under `secrets` "
        "in the manifest of the skill that needs it, and read it there with ctx.secret"
    )


def test_a_steps_input_is_held_against_its_own_secret_before_anybody_has_read_it(tmp_path: Path) -> None:
    keep(secret := "never-read-before-1")
    made = Bench(tmp_path, files("return await ctx.skill('look', {'a': payload[::-1]})", look="read"))
    assert "input of step look#1 holds the secret TOKEN at /a" in str(made.run(secret[::-1]).error)
    assert secret not in told(made)


def test_a_runs_input_that_holds_one_is_refused_before_anything_is_on_record(tmp_path: Path) -> None:
    keep(secret := "never-read-before-2")
    made = Bench(tmp_path, files("return 1", look="read"))
    with pytest.raises(Invalid, match=r"^input of agent:main@1\.0\.0 holds the secret TOKEN at /a/0: "):
        made.run({"a": [quote(secret)]})
    assert made.app.store.row(RunId("r")) is None


def test_an_input_that_was_recorded_before_anybody_knew_is_no_divergence(tmp_path: Path) -> None:
    keep(A)
    found = {**files("", look="read"), **skill("plain", "read")}
    body = "await ctx.skill('plain', payload)\nawait ctx.skill('look')\nawait ctx.wait_for('go')\nreturn 1"
    found |= agent("main", body, "skill:look, skill:plain")
    made = Bench(tmp_path, found)
    assert made.run({"a": "told-before-it-was-one"}).status is RunStatus.PARKED
    keep("told-before-it-was-one")
    made.app.events.signal(RunId("r"), "go", None, "ann")
    assert made.resume().status is RunStatus.SUCCEEDED


@pytest.mark.parametrize(
    "raising",
    [
        lambda: StepFailed("raised", f"refused {A}", {"headers": {"auth": A}}),
        lambda: ValueError(f"line one\n{quote(A)} {'x' * 40_000}{A}"),
        lambda: Retryable("unavailable", A),
    ],
)
def test_errors_hold_none(tmp_path: Path, raising: Any) -> None:
    keep(A)

    def act(name: str, payload: object, ctx: Any) -> None:
        raise raising()

    WORLD.on_act = act
    made = Bench(tmp_path, files("return await ctx.skill('look')", look="read"))
    assert made.run().status is RunStatus.FAILED
    text = told(made)
    assert "[secret TOKEN]" in text
    assert A not in text
    assert quote(A) not in text


def test_a_record_that_holds_one_is_refused(tmp_path: Path) -> None:
    keep(A)
    WORLD.on_act = lambda name, payload, ctx: ctx.put_record("k", {"v": A})
    made = Bench(tmp_path, files("return await ctx.skill('trans')", trans="transactional"))
    result = made.run()
    assert result.error is not None
    assert result.error.message == "a record of the act holds the secret TOKEN: leave it out"


def test_a_lookup_is_handed_it_too_and_a_missing_one_is_a_doubt(tmp_path: Path) -> None:
    keep(A)
    seen: list[object] = []
    found = {**files("return await ctx.skill('recon')", recon="reconcilable")}
    found |= skill(
        "recon", "reconcilable", """
        from tests.unit.world import WORLD
        async def run(payload, ctx):
            return await WORLD.act('recon', payload, ctx)
        async def find(payload, ctx):
            return await WORLD.act('find', payload, ctx)
        """, lookup="skill.py:find", secrets=SECRETS,
    )  # fmt: skip

    def act(name: str, payload: object, ctx: Any) -> Any:
        seen.append((name, ctx.secret("TOKEN")))
        if name == "recon":
            raise StepFailed("timeout", "no answer")
        return {"found": True, "output": ctx.secret("TOKEN")}

    WORLD.on_act = act
    made = Bench(tmp_path, found)
    result = made.run()
    assert seen == [("recon", A), ("find", A)]
    assert result.output == "[secret TOKEN]"

    def lost(name: str, payload: object, ctx: Any) -> Any:
        os.environ.pop("UNIT_TEST_TOKEN")
        raise StepFailed("timeout", "no answer")

    WORLD.on_act = lost
    again = made.on(MemoryStore())
    assert [reason.on for reason in again.run().reasons] == [facts.ParkedOn.DOUBT]
    assert b"secret TOKEN of skill:recon@1.0.0 cannot be had" not in again.step("recon#1").output
    assert [name for name, _ in WORLD.calls] == ["recon", "find", "recon"]


def test_a_run_that_holds_one_is_not_exported_and_its_place_is_told(tmp_path: Path) -> None:
    keep(A)
    early = "pasted-into-the-input"
    made = Bench(tmp_path, files("return await ctx.skill('look')", look="read"))
    made.run({"mail": {"auth": base64.b64encode(early.encode()).decode()}})
    keep(early)
    said = r"^run r, fact 1 \(RunStarted\): /mail/auth of its input holds the secret TOKEN; change the secret"
    with pytest.raises(Refused, match=said):
        made.app.parcels.export(RunId("r"))
    keep("changed-since-then")
    assert made.run({"fine": 1}, app=(other := made.process(MemoryStore()))).status is RunStatus.SUCCEEDED
    assert "SecretUsed" in other.parcels.export(RunId("r"))


def test_what_cannot_be_read_where_it_is_exported_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    keep(A)
    made = Bench(tmp_path, files("return await ctx.skill('look')", look="read"))
    made.run()
    del os.environ["UNIT_TEST_TOKEN"]
    assert made.app.parcels.export(RunId("r"))
    assert "secret TOKEN (env:UNIT_TEST_TOKEN) cannot be read here" in caplog.text


def test_names_that_would_stand_on_record_hold_none(tmp_path: Path) -> None:
    keep(early := "a-name-that-is-secret")
    body = "await ctx.skill('look')\nreturn await ctx.skill('look', None, key=payload[::-1])"
    made = Bench(tmp_path, files(body, look="read"))
    result = made.run(early[::-1])
    assert result.error is not None
    assert "ctx.skill: its name or key holds the secret TOKEN" in result.error.message


def test_what_skills_and_programs_log_holds_none_whoever_listens(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    keep(A)
    WORLD.on_act = lambda name, payload, ctx: ctx.log(f"with {A}", header=[A])
    body = (
        "payload = payload[::-1]\nawait ctx.skill('look')\nctx.log(payload, text=payload)\nctx.progress(1, 2, payload)"
    )
    made = Bench(tmp_path, files(body, look="read"))
    with caplog.at_level("INFO"):
        made.run(f"said {A}"[::-1])
    said = [f"{record.getMessage()} {vars(record).get('fields')}" for record in caplog.records]
    assert A not in "".join(said)
    assert "".join(said).count("[secret TOKEN]") == 5


def test_a_variable_that_a_program_is_handed_by_name_is_masked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RELEASE_TOKEN", "handed-to-a-program")
    monkeypatch.setenv("PLAIN_WORD", "not-kept-from-anybody")
    flow = """\
        kind: flow
        schema: 1
        slug: say
        version: 1.0.0
        steps:
          - id: say
            run: [sh, -c, "echo $RELEASE_TOKEN $PLAIN_WORD"]
            effect: read
            isolation: process
            environment: [RELEASE_TOKEN, PLAIN_WORD]
        output: '{"out": steps.say.stdout}'
        """
    app = build_app(tmp_path, {"flows/say.yaml": flow}, store=MemoryStore())
    result = asyncio.run(app.runs.run(Order("flow:say", {})))
    assert result.output == {"out": "[secret RELEASE_TOKEN] not-kept-from-anybody\n"}


def test_every_fact_that_is_written_reads_back(tmp_path: Path) -> None:
    keep(A)
    made = Bench(tmp_path, files("return await ctx.skill('look')", look="read"))
    made.run()
    assert [type(unseal(one)).__name__ for one in made.store.read(RunId("r"))].count("SecretUsed") == 1


def test_a_large_value_that_is_passed_on_is_looked_into_again_once_a_secret_is_learned(tmp_path: Path) -> None:
    text = "this-was-a-word-then"
    rows = [{"id": number, "name": "a name of some length"} for number in range(3_000)]
    WORLD.on_act = lambda name, payload, ctx: [*rows, text] if payload == "rows" else RESOLVED.add("LATER", text)
    body = """
        rows = await ctx.skill('plain', 'rows')
        await ctx.skill('plain', rows)
        await ctx.skill('plain', rows)
        """
    made = Bench(tmp_path, {**skill("plain", "read"), **agent("main", body, "skill:plain")})
    RESOLVED.add("SOME", "that-some-secret-is-known")
    result = made.run()
    assert result.error is not None
    assert "input of step plain#3 holds the secret LATER at /3000" in result.error.message


def test_what_people_hand_in_for_a_run_that_waits_holds_none(tmp_path: Path) -> None:
    body = "await ctx.skill('plain')\nawait ctx.wait_for('go')\nreturn await ctx.approve('Go on?')"
    found = {**skill("plain", "read"), **skill("look", "read", secrets=SECRETS)}
    people = "kind: people\nschema: 1\nexclude_requester: false\npeople: [{id: ann, proof: os_user}]\n"
    made = Bench(tmp_path, {**found, **agent("main", body, "skill:plain, skill:look"), "people.yaml": people})
    assert made.run().status is RunStatus.PARKED
    keep(secret := "handed-in-by-somebody")
    with pytest.raises(Invalid, match="payload of the signal go holds the secret TOKEN at /a") as caught:
        made.app.events.signal(RunId("r"), "go", {"a": quote(secret)}, "ann")
    assert secret not in str(caught.value)
    with pytest.raises(Invalid, match="--set holds the secret TOKEN"):
        made.app.forks.fork(RunId("r"), "event:go", [f"plain={secret}"])
    made.app.events.signal(RunId("r"), "go", None, "ann")
    assert made.resume().status is RunStatus.PARKED
    (ticket,) = made.app.approvals.list(TicketQuery(waiting=True))
    said = Decision(Acting("ann", Proof.OS_USER), Answer.APPROVE, reason=f"it is {secret}")
    with pytest.raises(Invalid, match="the reason holds the secret TOKEN at /: write it without the secret"):
        made.app.approvals.decide(ticket.id, said)
    assert secret not in told(made)
