"""How facts are written down and read back."""

from dataclasses import replace
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic_core import from_json, to_json

from magsag.domain.effects import Effect
from magsag.domain.errors import ErrorType, StoreBroken
from magsag.domain.facts import Decision, Fact, ParkedOn, RunParked, RunScored, StepDone, StepFailed
from magsag.domain.wire import KINDS, SCHEMA, body_of, fact_of, payloads_of
from tests.unit.examples import CHILD_STARTED, DONE, FACTS, RUN_STARTED


def written(fact: Fact) -> bytes:
    return to_json(body_of(fact))


def test_the_examples_hold_every_fact() -> None:
    assert {type(fact) for fact in FACTS} == set(get_args(Fact)) == set(KINDS.values())


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_fact_reads_back_as_it_was_written(fact: Fact) -> None:
    assert fact_of(written(fact), *payloads_of(fact)) == fact


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: type(fact).__name__)
def test_a_body_names_its_kind_and_schema_and_holds_no_payload(fact: Fact) -> None:
    body = from_json(written(fact))
    assert (body["kind"], body["schema"]) == (type(fact).__name__, SCHEMA)
    assert not {"input", "output"} & body.keys()


def test_what_is_absent_is_left_out_of_the_body() -> None:
    assert "parent" not in body_of(RUN_STARTED)
    assert "parent_span_id" in body_of(CHILD_STARTED)


def test_words_come_back_as_members_of_their_lists() -> None:
    done = fact_of(written(DONE), b"1", b"2")
    assert isinstance(done, StepDone)
    assert (done.proposal.effect, done.verdict.decision) == (Effect.READ, Decision.ALLOW)
    assert isinstance(done.proposal.effect, Effect)
    failed = next(fact for fact in FACTS if isinstance(fact, StepFailed))
    again = fact_of(written(failed), None, b"{}")
    assert isinstance(again, StepFailed)
    assert isinstance(again.type, ErrorType)


def test_what_a_score_looks_at_is_no_park_reason() -> None:
    scored = next(fact for fact in FACTS if isinstance(fact, RunScored))
    parked = next(fact for fact in FACTS if isinstance(fact, RunParked))
    again, park = fact_of(written(scored), None, b"{}"), fact_of(written(parked), None, None)
    assert isinstance(again, RunScored)
    assert isinstance(park, RunParked)
    assert (again.on, park.on) == ("output", ParkedOn.DOUBT)


def test_the_commitments_in_a_body_are_no_fields() -> None:
    body = {**body_of(DONE), "input_hash": "aa", "output_hash": "bb"}
    assert fact_of(to_json(body), b"1", b"2") == DONE


@pytest.mark.parametrize(
    "body", [b'{"kind":"StepDreamt","schema":1}', b'{"schema":1}', b'{"kind":"StepSkipped","schema":2}', b"{}"]
)
def test_a_fact_of_a_newer_version_is_refused_with_the_way_out(body: bytes) -> None:
    with pytest.raises(StoreBroken, match="install that version"):
        fact_of(body, None, None)


@pytest.mark.parametrize(
    "body",
    [b"", b"3", b"[]", b'{"kind":[],"schema":1}', b'{"kind":"RunEnded","schema":0}', b'{"kind":"RunEnded","schema":1}'],
)
def test_a_damaged_fact_is_named_as_such(body: bytes) -> None:
    with pytest.raises(StoreBroken, match="data check"):
        fact_of(body, None, None)


TEXT = st.text(st.characters(exclude_categories=["Cs"]))


@given(st.none() | st.lists(TEXT), TEXT)
def test_any_text_survives(select: list[str] | None, requester: str) -> None:
    fact = replace(RUN_STARTED, requester=requester, select=None if select is None else tuple(select), input=b"{}")
    assert fact_of(written(fact), b"{}", None) == fact
