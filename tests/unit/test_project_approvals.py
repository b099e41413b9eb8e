"""Approvals from Python: `Project` shows tickets and puts answers on record, under the rules of all surfaces."""

from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest

from magsag import Invalid, Project, Refused
from magsag.domain.ids import RunId
from tests.unit.world import KINDS, WORLD, Bench, agent

PEOPLE = f"""\
kind: people
schema: 1
people:
  - {{id: maria, roles: [hr], proof: claim}}
  - {{id: chen, roles: [finance], proof: api_key, key_sha256: {sha256(b"chen's key").hexdigest()}}}
"""
POLICY = """\
kind: policy
schema: 1
rules:
  - {id: two-look, on: ["skill:once"], verdict: ask, approval: {quorum: 2, roles: [hr, finance]}}
"""
Make = Callable[..., Bench]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    WORLD.reset()
    files = {**KINDS, **agent("main", 'return await ctx.skill("once", payload)', "skill:once"), "people.yaml": PEOPLE}
    return Bench(tmp_path, {**files, "policies/allow.yaml": POLICY}, actor="tester")


def test_two_people_approve_and_the_run_goes_on(bench: Bench) -> None:
    bench.run(5)
    project = Project(bench.app)
    (ticket,) = project.approvals()
    assert (ticket["target"], ticket["quorum"], ticket["approvers"]) == ("skill:once@1.0.0", 2, ())
    waits = bench.time.run(project.approve(ticket["id"], claim="maria", reason="fine"))
    assert (waits.status, "1 of 2 approved" in project.approvals("r")[0]["state"]) == ("parked", False)
    assert project.approvals("r")[0]["approvers"] == ("maria",)
    assert bench.time.run(project.approve(ticket["id"][:20], api_key="chen's key")).output == 5
    assert project.approvals() == []
    assert [one["state"] for one in project.approvals(every=True)] == ["spent"]


def test_other_arguments_are_what_is_done_and_none_is_one(bench: Bench) -> None:
    bench.run(5)
    project = Project(bench.app)
    id = project.approvals()[0]["id"]
    bench.time.run(project.approve(id, claim="maria", arguments=None))
    assert bench.time.run(project.approve(id, api_key="chen's key")).output is None


def test_a_yes_to_what_was_changed_since_is_nobodys_approval(bench: Bench) -> None:
    files = {
        **bench.files,
        "people.yaml": PEOPLE.replace("people:\n", "people:\n  - {id: bo, roles: [hr], proof: claim}\n"),
    }
    one = Bench(bench.folder, files, actor="tester")
    one.run(5)
    project = Project(one.app)
    id = project.approvals()[0]["id"]
    one.time.run(project.approve(id, claim="bo"))
    one.time.run(project.approve(id, claim="maria", arguments=4))
    assert [given["with_other_arguments"] for given in project.approvals()[0]["answers"]] == [False, True]
    assert one.time.run(project.approve(id, api_key="chen's key")).output == 4
    assert [step.approved_by for step in one.app.insight.show(RunId("r")).steps] == [("maria", "chen")]


def test_a_no_denies_the_step(bench: Bench) -> None:
    bench.run(5)
    project = Project(bench.app)
    denied = bench.time.run(project.deny(project.approvals()[0]["id"], claim="maria", reason="too much"))
    assert denied.status == "denied"
    assert "was denied by maria: too much" in str(denied.error)


def test_who_may_not_is_refused_and_only_that_is_on_record(bench: Bench) -> None:
    bench.run(5)
    project = Project(bench.app)
    id, before = project.approvals()[0]["id"], bench.kinds()
    for key, claim in ((None, None), ("another key", None), (None, "chen")):
        with pytest.raises(Refused):
            project.approve_sync(id, api_key=key, claim=claim)
    with pytest.raises(Invalid, match="not in the ledger"):
        project.deny_sync("9", claim="maria")
    assert bench.kinds() == [*before, *["DecisionRefused"] * 3]


def test_somebody_approves_beforehand(bench: Bench) -> None:
    one = Bench(bench.folder, {**bench.files, "policies/allow.yaml": POLICY.replace("quorum: 2", "quorum: 1")})
    one.run(5)
    project = Project(one.app)
    with pytest.raises(Invalid, match="write one of run, agent"):
        one.time.run(project.approve(project.approvals()[0]["id"], standing="all", claim="maria"))
    one.time.run(project.approve(project.approvals()[0]["id"], standing="agent", when="args < 9", claim="maria"))
    assert one.time.run(project.run("main", 6, run_id="s")).output == 6
    assert one.time.run(project.run("main", 9, run_id="t")).status == "parked"
