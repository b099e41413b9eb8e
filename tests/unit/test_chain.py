"""Sealing, unsealing and verifying facts."""

from dataclasses import replace

import pytest
from pydantic_core import from_json

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType
from magsag.domain.facts import (
    CancelRequested,
    Decision,
    Fact,
    ParkedOn,
    ParkReason,
    PayloadErased,
    Proposal,
    RunEnded,
    RunParked,
    RunScored,
    RunStarted,
    RunStatus,
    Score,
    StepDone,
    StepFailed,
    StepHeld,
    StepStarted,
    StepSucceeded,
    Verdict,
)
from magsag.domain.ids import RunId, StepId
from magsag.domain.sealed import Stored
from magsag.engine.chain import INPUT, OUTPUT, blob_id, commitment, is_blob, link, seal, unseal, verify

SALT = bytes(range(16))
RUN, STEP = RunId("run"), StepId("pay#1")
PROPOSAL = Proposal("skill", "skill:pay@1.0.0", Effect.RECONCILABLE)
VERDICT = Verdict(Decision.ALLOW, "may-pay", "offers.yaml:3", "", "f" * 64)

FACTS: list[Fact] = [
    RunStarted(
        at=1, program="agent:a@1.0.0", bundle="b", actor="ann", requester="ben", environment="development",
        mode="implement", seed="00", trace_id="t", span_id="s", input=b"{}",
    ),
    StepHeld(at=2, step=STEP, proposal=PROPOSAL, verdict=VERDICT, attempt=1, input=b'{"cents":5}'),
    StepStarted(at=3, step=STEP, proposal=PROPOSAL, verdict=VERDICT, attempt=1, key="k", act_by=9, input=b"{}"),
    StepSucceeded(at=4, step=STEP, took=7, spent={"usd": 3}, output=b'"paid"'),
    StepDone(at=5, step=STEP, proposal=PROPOSAL, verdict=VERDICT, attempt=1, took=7, input=b"1", output=b"2"),
    StepFailed(at=6, step=STEP, type=ErrorType.DENIED, attempt=1, output=b"{}"),
    RunScored(at=7, evaluation="eval:e@1", on="output", scores=(Score("m", 0.5, 0.4, 1.0, True),), output=b'{"m":[1]}'),
    RunParked(at=8, on=ParkedOn.DOUBT, due=99, reasons=(ParkReason(ParkedOn.DOUBT, STEP, "unknown"),)),
    CancelRequested(at=9, by="ann"),
    RunEnded(at=10, status=RunStatus.CANCELLED),
]  # fmt: skip


def chained(*facts: Fact) -> list[Stored]:
    """The facts as a store would hand them out."""
    head, stored = b"", []
    for seq, fact in enumerate(facts, 1):
        sealed = seal(fact, SALT)
        head = link(head, sealed.digest)
        stored.append(
            Stored(sealed.kind, sealed.body, sealed.digest, sealed.salt, sealed.input, sealed.output, seq, head)
        )
    return stored


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_sealed_fact_reads_back_as_it_was(fact: Fact) -> None:
    assert unseal(seal(fact, SALT)) == fact


def test_a_body_commits_to_its_payloads_under_the_salt() -> None:
    body = from_json(seal(FACTS[4], SALT).body)
    assert body["input_hash"] == commitment(SALT, INPUT, b"1")
    assert body["output_hash"] == commitment(SALT, OUTPUT, b"2")


def test_the_same_payload_is_committed_differently_under_another_salt() -> None:
    assert seal(FACTS[4], SALT).digest != seal(FACTS[4], SALT[::-1]).digest


def test_a_fact_without_payloads_keeps_no_salt() -> None:
    assert seal(CancelRequested(at=1, by="ann"), SALT).salt is None


def test_an_untouched_run_has_no_faults() -> None:
    assert verify(RUN, chained(*FACTS)) == []


def test_a_changed_body_is_found() -> None:
    stored = chained(*FACTS)
    stored[2].body = stored[2].body.replace(b'"attempt":1', b'"attempt":2')
    assert _whats(stored) == ["the body does not match its digest: it was changed"]


@pytest.mark.parametrize("name", ["input", "output"])
def test_a_changed_payload_is_found(name: str) -> None:
    stored = chained(*FACTS)
    setattr(stored[4], name, b"3")
    assert _whats(stored) == [f"the {name} does not match its commitment: it was changed"]


def test_a_payload_that_was_slipped_in_is_found() -> None:
    stored = chained(*FACTS)
    stored[8].output = b"1"
    assert _whats(stored) == ["there is an output that the body does not know: it was added"]


def test_a_payload_that_vanished_is_found() -> None:
    stored = chained(*FACTS)
    stored[4].input = stored[4].output = stored[4].salt = None
    assert _whats(stored) == ["a payload is gone and no PayloadErased says so"]


def test_a_payload_erased_on_record_is_no_fault() -> None:
    stored = chained(*FACTS[:5], PayloadErased(at=9, seq=5, by="ann"))
    stored[4].input = stored[4].output = stored[4].salt = None
    assert verify(RUN, stored) == []


def test_a_deleted_fact_is_found() -> None:
    stored = chained(*FACTS)
    del stored[3]
    assert "fact 4 should stand here: facts are missing or were moved" in _whats(stored)


def test_swapped_facts_are_found() -> None:
    stored = chained(*FACTS)
    stored[2], stored[3] = replace(stored[3], seq=3), replace(stored[2], seq=4)
    assert _whats(stored).count("the chain is broken: this fact or one before it was changed or moved") == 3


def test_a_body_with_a_digest_to_match_breaks_the_chain() -> None:
    stored = chained(*FACTS)
    forged = seal(replace(FACTS[8], at=77), SALT)
    stored[8].body, stored[8].digest = forged.body, forged.digest
    assert _whats(stored) == ["the chain is broken: this fact or one before it was changed or moved"]


def test_another_kind_than_the_body_says_is_found() -> None:
    stored = chained(*FACTS)
    stored[8].kind = "RunEnded"
    assert _whats(stored) == ["the body is of kind 'CancelRequested', the row says 'RunEnded'"]


def test_a_body_that_is_no_json_is_found_not_raised() -> None:
    stored = chained(*FACTS)
    stored[8].body = b"{"
    assert "the body does not match its digest: it was changed" in _whats(stored)


def test_an_erasure_that_names_no_seq_erases_nothing() -> None:
    stored = chained(*FACTS, PayloadErased(at=11, seq=1, by="ann"))
    stored[0].input = stored[0].salt = None
    assert _whats(stored) == []
    stored[-1].body = stored[-1].body.replace(b'"seq":1', b'"seq":[1]')
    assert "a payload is gone and no PayloadErased says so" in _whats(stored)


def test_the_name_of_a_large_value_commits_to_it() -> None:
    name = blob_id(SALT, b"large")
    assert is_blob(name, b"large")
    assert not is_blob(name, b"other")
    assert not is_blob("no-name", b"large")


def _whats(stored: list[Stored]) -> list[str]:
    return [fault.what for fault in verify(RUN, stored)]
