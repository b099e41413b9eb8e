"""What the read side says of runs, from ledgers written by hand."""

import json
import subprocess
import sys
from dataclasses import replace

import pytest
from pydantic_core import to_json

from magsag.adapters.store.memory import MemoryStore
from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, Invalid
from magsag.domain.facts import (
    CancelRequested,
    Decision,
    LateOutcome,
    ParkedOn,
    ParkReason,
    Proposal,
    RunParked,
    RunScored,
    RunStatus,
    Score,
    StepCancelled,
    StepHeld,
    StepSkipped,
    StepStatus,
    StepWillRetry,
    Verdict,
)
from magsag.domain.ids import RunId, StepId
from magsag.domain.large import MARK
from magsag.engine.chain import blob_id
from magsag.ports.ledger import RunQuery
from magsag.services.insight.documents import fact_document, hit_document, run_document, tree_document
from magsag.services.insight.insight import Insight
from magsag.services.insight.tree import TreeNode
from magsag.services.keeping.erasing import Erasing
from magsag.surfaces.cli.showing import put_run
from magsag.testing.clock import FrozenClock
from tests.unit.ledgers import BEGIN, BUILT_IN, MS, answer, began, done, ended, error, failed, offer, put, started

ASKS = Verdict(Decision.ASK, "offer-above-band", "policies/offers.yaml:5", "too much", "f" * 64)
RULED = Verdict(Decision.ALLOW, "may-look", "policies/offers.yaml:9", "", "f" * 64)


def insight(*facts: object, **more: object) -> Insight:
    """Over a store with one run `r`."""
    store = MemoryStore()
    put(store, "r", *facts, **more)  # type: ignore[arg-type]
    return Insight(store)


def named(node: TreeNode) -> list[tuple[str, str, str, float | None]]:
    """Every line of a tree: name, kind, status, milliseconds."""
    return [
        (node.name, node.kind, str(node.status), node.ms),
        *(line for below in node.children for line in named(below)),
    ]


def test_a_list_shows_root_runs_newest_first() -> None:
    store = offer()
    put(store, "later", began(at=5_000), ended())
    assert [row.run for row in Insight(store).list(RunQuery())] == ["later", "offer"]


def test_a_run_is_found_by_the_beginning_of_its_id_or_a_child_by_all_of_it() -> None:
    read = Insight(offer())
    assert read.find("off") == "offer"
    assert read.find("offer") == "offer"
    assert read.find("offer.g1.0/advisor-sag#1") == "offer.g1.0/advisor-sag#1"


def test_an_exact_id_is_meant_even_if_others_begin_with_it() -> None:
    store = MemoryStore()
    put(store, "a", began(), ended())
    put(store, "ab", began(), ended())
    assert Insight(store).find("a") == "a"
    put(store, "ac", began(), ended())
    with pytest.raises(Invalid, match="'' is not in the ledger"):
        Insight(store).find("")


@pytest.mark.parametrize(("prefix", "said"), [("x", "magsag run list"), ("", "magsag run list"), ("r", "r1, r2")])
def test_a_prefix_that_means_none_or_several_is_refused_with_the_way_on(prefix: str, said: str) -> None:
    store = MemoryStore()
    put(store, "r1", began(), ended())
    put(store, "r2", began(), ended())
    with pytest.raises(Invalid, match=said):
        Insight(store).find(prefix)


@pytest.mark.parametrize("question", ["show", "tree", "facts"])
def test_an_unknown_run_is_refused(question: str) -> None:
    with pytest.raises(Invalid, match="run nobody is not in the ledger"):
        getattr(Insight(MemoryStore()), question)(RunId("nobody"))


def test_a_run_shows_input_output_and_its_steps_in_order() -> None:
    view = Insight(offer()).show(RunId("offer"))
    assert (view.status, view.input, view.output, view.error) == (
        RunStatus.SUCCEEDED,
        {"role": "Engineer"},
        {"offer": 5},
        None,
    )
    assert [(step.name, step.effect, step.ms) for step in view.steps] == [
        ("task-split", "pure", 10),
        ("advisor-sag", "delegate", 610),
        ("merge", "pure", 10),
    ]
    assert view.steps[1].child == "offer.g1.0/advisor-sag#1"


def test_a_failed_run_shows_the_error_and_where_it_came_from() -> None:
    said = error("timeout", "too slow", "pay#1", limit=3)
    view = insight(
        began(), failed("pay#1", ErrorType.TIMEOUT, target="skill:pay@1.0.0"), ended(RunStatus.FAILED, said)
    ).show(RunId("r"))
    assert view.output is None
    assert view.error is not None
    assert (view.error.type, view.error.message, view.error.details, view.error.step) == (
        "timeout",
        "too slow",
        {"limit": 3},
        "pay#1",
    )
    assert view.steps[0].error is not None
    assert view.steps[0].error.type == "timeout"


def test_a_parked_run_shows_what_it_waits_for_and_the_rule_that_asks() -> None:
    held = StepHeld(
        at=BEGIN + 9, step=StepId("send#1"), proposal=Proposal("skill", "skill:send@1.0.0", Effect.UNREPEATABLE),
        verdict=ASKS, attempt=1, input=b"{}",
    )  # fmt: skip
    reason = ParkReason(ParkedOn.APPROVAL, StepId("send#1"), "skill:send asks")
    read = insight(began(), held, RunParked(at=BEGIN + 10, on=ParkedOn.APPROVAL, due=BEGIN + 99, reasons=(reason,)))
    view, tree = read.show(RunId("r")), read.tree(RunId("r"))
    assert (view.status, view.reasons, view.steps[0].verdict) == (RunStatus.PARKED, (reason,), ASKS)
    assert (tree.reasons, tree.children[0].verdict) == ((reason,), ASKS)
    assert tree.children[0].ms is None


def test_a_run_that_took_a_step_after_it_parked_is_under_way_again() -> None:
    parked = RunParked(at=BEGIN, on=ParkedOn.CHILD, due=BEGIN, reasons=())
    read = insight(began(), parked, done("a#1", "skill:a@1.0.0"))
    assert read.tree(RunId("r")).status is RunStatus.RUNNING
    assert insight(began(), parked, CancelRequested(at=BEGIN, by="ann")).show(RunId("r")).status is RunStatus.PARKED


def test_scores_are_listed_with_what_the_metric_said() -> None:
    scored = RunScored(
        at=BEGIN, evaluation="eval:e@1.0.0", on="output", scores=(Score("m", 0.9, 0.8, 1.0, True),), output=b'{"m":[1]}'
    )
    (score,) = insight(began(), scored, ended()).show(RunId("r")).scores
    assert (score.evaluation, score.on, score.metric, score.score, score.threshold) == (
        "eval:e@1.0.0",
        "output",
        "m",
        0.9,
        0.8,
    )
    assert (score.passed, score.details) == (True, [1])


def test_an_erasure_is_no_part_of_the_time_that_a_run_took() -> None:
    store = MemoryStore()
    put(store, "r", began(), ended())
    read = Insight(store)
    (row,) = read.list(RunQuery())
    end = read.ends([row])[row.run]
    assert end == row.updated > row.created
    Erasing(store, FrozenClock(end + 60_000_000)).erase(RunId("r"), "tester")
    (row,) = read.list(RunQuery())
    assert (row.updated, read.ends([row])[row.run]) == (end + 60_000_000, end)


def test_scores_whose_details_were_erased_are_still_listed() -> None:
    scored = RunScored(
        at=BEGIN, evaluation="eval:e@1.0.0", on="input", scores=(Score("m", 0.9, 0.8, 1.0, True),), output=b"null"
    )
    assert insight(began(), scored, ended()).show(RunId("r")).scores[0].details is None


def test_a_tree_has_the_steps_of_child_runs_below_the_step_that_started_them() -> None:
    assert named(Insight(offer()).tree(RunId("offer"))) == [
        ("offer-mag 0.1.0", "agent", "succeeded", 800),
        ("task-split", "pure", "succeeded", 10),
        ("advisor-sag", "agent", "succeeded", 610),
        ("band-lookup", "read", "succeeded", 40),
        ("model smart", "read", "succeeded", 560),
        ("merge", "pure", "succeeded", 10),
    ]


def test_the_tokens_of_model_answers_are_counted_upwards() -> None:
    tree = Insight(offer()).tree(RunId("offer"))
    advisor = tree.children[1]
    assert [tree.tokens, advisor.tokens, *(node.tokens for node in advisor.children)] == [1_204, 1_204, 0, 1_204]


def test_a_tree_names_the_rule_where_somebody_wrote_it() -> None:
    ruled, built_in = done("a#1", "skill:a@1.0.0", verdict=RULED), done("b#1", "skill:b@1.0.0", verdict=BUILT_IN)
    tree = insight(began(), ruled, built_in, ended()).tree(RunId("r"))
    assert [node.verdict for node in tree.children] == [RULED, None]


def test_the_newest_attempt_of_a_delegation_is_the_one_that_is_shown() -> None:
    store = MemoryStore()
    begun = started("b#1", "agent:b@1.0.0")
    retry = StepWillRetry(at=BEGIN, step=StepId("b#1"), type=ErrorType.TIMEOUT, due=BEGIN, output=to_json(error()))
    put(store, "r", began(), begun, retry, replace(begun, attempt=2, input=None))
    put(store, "r.b#1", began(parent="r.b#1"), done("old#1", "skill:old@1.0.0"), ended(), root="r")
    put(store, "r.b#1~2", began(parent="r.b#1"), done("new#1", "skill:new@1.0.0"), ended(), root="r")
    (node,) = Insight(store).tree(RunId("r")).children
    assert (node.attempts, node.child, [below.name for below in node.children]) == (2, "r.b#1~2", ["new"])


@pytest.mark.parametrize(
    ("step", "target", "label", "name"),
    [
        ("pay#1", "skill:pay@1.0.0", "pay", "pay"),
        ("pay#2", "skill:pay@1.0.0", "pay#2", "pay"),
        ("pay[eu/west]", "skill:pay@1.0.0", "pay[eu/west]", "pay"),
        ("g1.0/pay#1", "skill:pay@1.0.0", "pay", "pay"),
        ("m2.7/r1.0/t1/pay#1", "skill:pay@1.0.0", "pay", "pay"),
        ("r1.0/m2.7/pay#1", "skill:pay@1.0.0", "pay [7]", "pay"),
        ("smart#1", "model:smart", "model smart", "smart"),
        ("today#1", "call:today", "today", "today"),
        ("hello", "shell:hello", "hello", "hello"),
        ("advise.3", "agent:advisor-sag@1.0.0", "advise.3", "advise"),
        ("review.2/draft", "agent:writer-sag@1.0.0", "review.2/draft", "draft"),
        ("review.2/draft.1", "skill:pay@1.0.0", "review.2/draft.1", "draft"),
    ],
)
def test_a_step_is_called_by_its_flow_id_or_its_slug(step: str, target: str, label: str, name: str) -> None:
    read = insight(began(), done(step, target), ended())
    assert read.tree(RunId("r")).children[0].name == label
    assert read.show(RunId("r")).steps[0].name == name


def test_steps_that_never_started_have_no_time_and_no_target() -> None:
    skipped = StepSkipped(at=BEGIN + 5 * MS, step=StepId("send"), why="when is false")
    read = insight(began(), skipped, ended())
    assert named(read.tree(RunId("r")))[1] == ("send", "", "skipped", None)
    assert (read.show(RunId("r")).steps[0].target, read.show(RunId("r")).steps[0].attempts) == (None, 0)


def test_what_has_not_ended_is_counted_until_now() -> None:
    read = insight(began(), started("b#1", "agent:b@1.0.0", at=50))
    now = read.tree(RunId("r"), BEGIN + 250 * MS)
    assert (now.ms, now.children[0].ms) == (250, 200)
    then = read.tree(RunId("r"))
    assert (then.ms, then.children[0].ms) == (None, None)


def test_a_cancelled_step_has_no_error() -> None:
    cancelled = StepCancelled(at=BEGIN + 90 * MS, step=StepId("b#1"))
    read = insight(began(), started("b#1", "agent:b@1.0.0", at=50), cancelled, ended(RunStatus.CANCELLED, error()))
    (node,) = read.tree(RunId("r")).children
    assert (node.status, node.error, node.ms) == (StepStatus.CANCELLED, None, 40)


def test_what_came_too_late_is_shown_beside_the_error_that_counts() -> None:
    late = LateOutcome(at=BEGIN + 900 * MS, step=StepId("b#1"), output=to_json({"sent": True}))
    timeout = failed("b#1", ErrorType.TIMEOUT)
    read = insight(began(), started("b#1", "skill:b@1.0.0"), timeout, ended(RunStatus.FAILED, error()), late)
    (step,) = read.show(RunId("r")).steps
    assert (step.status, step.late, step.ms) == (StepStatus.FAILED, ({"sent": True},), 100)


def test_facts_come_in_order_with_body_and_payloads() -> None:
    facts = Insight(offer()).facts(RunId("offer"))
    assert [(fact.seq, fact.kind) for fact in facts] == [
        (1, "RunStarted"), (2, "StepDone"), (3, "StepStarted"), (4, "StepSucceeded"), (5, "StepDone"), (6, "RunEnded"),
    ]  # fmt: skip
    assert (facts[0].at, facts[0].input, facts[0].output) == (BEGIN, {"role": "Engineer"}, None)
    assert facts[3].output == {"salary": 5}
    assert facts[1].body["proposal"]["target"] == "skill:task-split@0.1.0"
    assert "output_hash" in facts[3].body


def test_large_values_are_given_in_full() -> None:
    large = to_json(["x" * 10] * 3)
    id = blob_id(bytes(16), large)
    reply = to_json({**answer(), "text": "long"})
    text = blob_id(bytes(16), reply)
    model = done("smart#1", "model:smart", Effect.READ, output={MARK: text})
    read = insight(began(), model, ended(output={MARK: id}), blobs={id: large, text: reply})
    assert read.show(RunId("r")).output == ["x" * 10] * 3
    assert read.facts(RunId("r"))[-1].output == ["x" * 10] * 3
    assert read.tree(RunId("r")).tokens == 120


def test_words_are_searched_for_in_all_facts() -> None:
    hits = Insight(offer()).search("engineer")
    assert [(hit.run, hit.seq) for hit in hits] == [("offer", 1)]
    assert Insight(offer()).search("engineer nowhere") == []


@pytest.mark.parametrize("words", ["", "  "])
def test_a_search_for_nothing_is_refused(words: str) -> None:
    with pytest.raises(Invalid, match="at least one word"):
        Insight(offer()).search(words)


def test_what_is_said_of_a_run_is_json_as_well() -> None:
    read, id = Insight(offer()), RunId("offer")
    shown, tree = run_document(read.show(id)), tree_document(read.tree(id))
    assert shown["created"] == "2023-11-14T22:13:20.000000+00:00"
    assert (shown["status"], shown["output"], shown["environment"]) == ("succeeded", {"offer": 5}, "development")
    assert shown["steps"][1]["verdict"]["decision"] == "allow"
    assert [below["name"] for below in tree["children"][1]["children"]] == ["band-lookup", "model smart"]
    everything = [shown, tree, [fact_document(fact) for fact in read.facts(id)], hit_document(read.search("offer")[0])]
    assert json.loads(to_json(everything)) == json.loads(json.dumps(everything))


def test_a_run_whose_facts_do_not_say_what_its_row_says_is_said_to_be_so(capsys: pytest.CaptureFixture[str]) -> None:
    view = Insight(offer()).show(RunId("offer"))
    put_run(view, [], False)
    assert "not as written" not in capsys.readouterr().out
    put_run(replace(view, status=RunStatus.RUNNING), [], False)
    assert "not as written: its row says succeeded" in capsys.readouterr().out


def test_a_fact_shows_a_payload_only_where_there_is_or_was_one() -> None:
    first, *_, last = (fact_document(fact) for fact in Insight(offer()).facts(RunId("offer")))
    assert ("input" in first, "output" in first) == (True, False)
    assert ("input" in last, "output" in last) == (False, True)


def test_a_parked_run_says_in_json_what_it_waits_for() -> None:
    reason = ParkReason(ParkedOn.DOUBT, StepId("a#1"), "it may have acted")
    read = insight(began(), RunParked(at=BEGIN, on=ParkedOn.DOUBT, due=BEGIN + 99, reasons=(reason,)))
    shown = run_document(read.show(RunId("r")))
    nothing = {"due": None, "event": None, "run": None, "ticket": None}
    assert shown["waits_for"] == [{"on": "doubt", "step": "a#1", "reason": "it may have acted", **nothing}]
    assert (shown["parked_on"], shown["due"]) == ("doubt", "2023-11-14T22:13:20.000099+00:00")
    assert tree_document(read.tree(RunId("r")))["waits_for"] == shown["waits_for"]


def test_reading_needs_neither_catalog_nor_conditions_nor_pydantic_models() -> None:
    code = "import sys, magsag.services.insight.insight; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = set(done.stdout.split())
    heavy = {"pydantic", "asyncio", "rich", "yaml", "jsonschema_rs", "magsag.catalog", "magsag.domain.manifests"}
    assert "magsag.services.insight.insight" in loaded
    assert loaded & heavy == set()
