"""Runs that travel: they arrive as they left, or not at all."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.store.memory import MemoryStore
from magsag.app import App
from magsag.domain.effects import Level
from magsag.domain.errors import Invalid, Refused
from magsag.domain.facts import RunStarted, RunStatus, StepDone
from magsag.domain.ids import RunId
from magsag.domain.sealed import Stored
from magsag.engine.chain import link, seal, unseal
from magsag.ports.ledger import Change, RunQuery, Store, Write
from magsag.services.keeping.audit_export import lines_of
from magsag.services.proofs.audit import alone_on
from magsag.services.recording.parcel import Parcel, pack, unpack
from magsag.services.steps.beginnings import new_run
from tests.unit.world import KINDS, USES, WORLD, Bench, agent, contract, skill

R = RunId("r")
SECRET = '{"type": "object", "properties": {"pin": {"type": "string", "x-redact": true}, "n": {"type": "integer"}}}'
SUB = "agents/sub/sub-sag/agent"
FILES = {
    **KINDS,
    **contract("secret", SECRET),
    **skill("asks", "unrepeatable"),
    **skill("quiet", "read", "def run(payload):\n    return {'n': 1}\n", contracts="{input: secret, output: secret}"),
    f"{SUB}.yaml": (
        "kind: agent\nschema: 1\nslug: sub-sag\nversion: 1.0.0\nrole: sub\nentrypoint: agent.py:run\n"
        "uses: [skill:pure]\n"
    ),
    f"{SUB}.py": "async def run(payload, ctx):\n    return await ctx.skill('pure', {'rows': ['x' * 60] * 2000})\n",
}
WHOLE = """
    await ctx.skill('quiet', {'pin': '1234', 'n': 1})
    rows = await ctx.delegate('sub-sag', 1)
    await ctx.skill('once', 2)
    return {'rows': rows}
    """


def bench(folder: Path, body: str = WHOLE) -> Bench:
    WORLD.reset()
    made = Bench(folder, {**FILES, **agent("main", body, f"{USES}, skill:quiet, skill:asks, agent:sub-sag")})
    made.run({"x": 1})
    return made


def elsewhere(bench: Bench) -> tuple[Store, App]:
    """Another ledger, and an app on it."""
    store = MemoryStore()
    return store, bench.process(store)


def rows(store: Store) -> dict[str, Any]:
    found = store.rows(RunQuery(root=R, roots_only=False, limit=None))
    return {row.run: (row.seq, row.head, row.status, row.parked_on, row.due, row.parent) for row in found}


def test_a_run_arrives_as_it_left(tmp_path: Path) -> None:
    made = bench(tmp_path)
    store, app = elsewhere(made)
    text = made.app.parcels.export(R)
    assert "1234" not in text
    assert app.parcels.take_in(text.encode(), "file") == R
    assert rows(store) == rows(made.store)
    assert app.runs.result(R) == made.app.runs.result(R)
    assert store.check() == []
    assert app.parcels.export(R) == text
    assert made.time.run(app.replay.replay(R)).difference is None


def test_a_parked_run_goes_on_where_it_arrives(tmp_path: Path) -> None:
    made = bench(tmp_path, "await ctx.skill('pure', 1)\nreturn await ctx.skill('asks', 2)")
    store, app = elsewhere(made)
    app.parcels.take_in(made.app.parcels.export(R).encode(), "file")
    assert rows(store) == rows(made.store)
    (here,), (there,) = made.app.runs.result(R).reasons, made.resume(app).reasons
    assert replace(there, ticket=here.ticket) == here
    assert there.ticket != here.ticket, "whoever may decide there decides there"
    assert [name for name, _ in WORLD.calls] == ["pure"]


def test_a_known_run_is_not_imported_again(tmp_path: Path) -> None:
    made = bench(tmp_path)
    before = rows(made.store)
    with pytest.raises(Invalid, match="in this ledger already: nothing was imported"):
        made.app.parcels.take_in(made.app.parcels.export(R).encode(), "file")
    assert rows(made.store) == before


def _first(document: Any, kind: str) -> Any:
    return next(fact for run in document["runs"] for fact in run["facts"] if fact["kind"] == kind)


def _set(kind: str, name: str, value: Any) -> Callable[[Any], None]:
    return lambda document: _first(document, kind).update({name: value})


def _replaced(kind: str, name: str, old: str, new: str) -> Callable[[Any], None]:
    def change(document: Any) -> None:
        fact = _first(document, kind)
        assert old in fact[name]
        fact[name] = fact[name].replace(old, new)

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_replaced("RunStarted", "body", "tester", "nobody"), "the body does not match its digest"),
        (_set("RunEnded", "output", '{"rows": 1}'), "the output does not match its commitment"),
        (_set("StepDone", "salt", "00" * 16), "does not match its commitment"),
        (_set("StepDone", "digest", "00" * 32), "does not match its digest"),
        (_set("StepDone", "head", "00" * 32), "the chain is broken"),
        (_set("StepDone", "output", None), "a payload is gone"),
        (lambda document: document["runs"][0]["facts"].pop(1), "facts are missing or were moved"),
        (lambda document: document["runs"].pop(0), "does not hold the run"),
        (lambda document: document.update(root="r.sub-sag#1"), "does not hold the run"),
        (lambda document: document["blobs"].clear(), "it is not in the file"),
        (lambda document: document["blobs"].update(dict.fromkeys(document["blobs"], "[]")), "not match its name"),
        (lambda document: document["bundle"].update(body=""), "cannot be read"),
        (lambda document: document["bundle"].update(hash="00"), "is pinned to bundle"),
        (lambda document: document.update(form=2), "which a newer magsag reads"),
        (lambda document: document.pop("runs"), "is no exported run"),
    ],
)
def test_a_changed_file_is_refused(tmp_path: Path, change: Callable[[Any], None], said: str) -> None:
    made = bench(tmp_path)
    document = json.loads(made.app.parcels.export(R))
    change(document)
    store, app = elsewhere(made)
    with pytest.raises(Invalid, match=said):
        app.parcels.take_in(json.dumps(document).encode(), "file")
    assert rows(store) == {}


def test_another_bundle_under_the_right_name_is_refused(tmp_path: Path) -> None:
    made = bench(tmp_path)
    parcel = unpack(made.app.parcels.export(R).encode(), "file")
    other = bench(tmp_path / "other", "return 1").app.catalog.bundle.to_bytes()
    with pytest.raises(Invalid, match="does not match its hash"):
        elsewhere(made)[1].parcels.take_in(pack(replace(parcel, bundle=other)).encode(), "file")


@pytest.mark.parametrize("data", [b"", b"[]", b"{}", b"\xff", b'{"form": 1}', b"null"])
def test_what_is_no_parcel_is_refused(tmp_path: Path, data: bytes) -> None:
    with pytest.raises(Invalid, match="is no exported run"):
        bench(tmp_path, "return 1").app.parcels.take_in(data, "file")


def _with_secret(parcel: Parcel) -> Parcel:
    """A consistent file in which a marked field holds a value."""
    head, facts = b"", []
    for stored in parcel.runs[R]:
        fact = unseal(stored)
        if isinstance(fact, StepDone) and fact.step == "quiet#1":
            fact = replace(fact, input=b'{"pin":"1234","n":1}')
        sealed = seal(fact, b"s" * 16)
        head = link(head, sealed.digest)
        kept = (sealed.kind, sealed.body, sealed.digest, sealed.salt, sealed.input, sealed.output)
        facts.append(Stored(*kept, stored.seq, head))
    return replace(parcel, runs={**parcel.runs, R: facts})


def test_a_secret_is_refused_on_the_way_in_and_out_with_field_and_step(tmp_path: Path) -> None:
    made = bench(tmp_path)
    parcel = _with_secret(unpack(made.app.parcels.export(R).encode(), "file"))
    store, app = elsewhere(made)
    said = "run r, step quiet#1: /pin of its input is marked x-redact in contract secret"
    with pytest.raises(Refused, match=said):
        app.parcels.take_in(pack(parcel).encode(), "file")
    assert rows(store) == {}
    with_open_secret(made)
    with pytest.raises(Refused, match=said):
        made.process().parcels.export(R)


def with_open_secret(made: Bench) -> None:
    """The run is in the ledger once more, and a marked field holds a value."""
    parcel = _with_secret(unpack(made.app.parcels.export(R).encode(), "file"))
    started = unseal(parcel.runs[R][0])
    assert isinstance(started, RunStarted)
    made.store.vacuum(2**60, dry_run=False)
    made.store.put_bundle(parcel.bundle_hash, parcel.bundle)
    row, change = new_run(started, R), Change(RunStatus.SUCCEEDED, updated=made.time.clock.now())
    made.store.write([Write(R, R, parcel.runs[R], create=row, change=change, blobs=parcel.blobs)], Level.SYNCED)


def test_only_whole_trees_that_rest_are_exported(tmp_path: Path) -> None:
    made = bench(tmp_path)
    with pytest.raises(Invalid, match="export r, which takes it along"):
        made.app.parcels.export(RunId("r.sub-sag#1"))
    with pytest.raises(Invalid, match="is not in the ledger"):
        made.app.parcels.export(RunId("nobody"))


def test_what_stayed_in_the_other_ledger_is_no_fault_where_a_run_arrives(tmp_path: Path) -> None:
    """Records that its acts put, and its detached child runs."""
    body = "await ctx.skill('trans', 1)\nreturn await ctx.delegate('sub-sag', 1, detached=True)"
    WORLD.reset()
    WORLD.on_act = lambda name, payload, ctx: name == "trans" and ctx.put_record("a", payload)
    made = Bench(tmp_path, {**FILES, **agent("main", body, f"{USES}, agent:sub-sag")})
    assert made.run(1).status is RunStatus.SUCCEEDED
    assert made.store.record("local", "a") == b"1"
    store, app = elsewhere(made)
    app.parcels.take_in(made.app.parcels.export(R).encode(), "file")
    assert [made.store.check(), store.check(), store.record("local", "a")] == [[], [], None]
    assert {line["run"] for line in lines_of(store.evidence()) if "imported" in line} == set(
        made.app.parcels.parcel(R).runs
    )
    told = [what for _, _, what in alone_on(list(store.evidence()))]
    assert told == ["the anchors are missing, though runs have ended"]
    store.vacuum(1 << 60, dry_run=False)
    assert list(store.pieces()) == [], "its notes go with it"
