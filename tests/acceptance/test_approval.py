"""Stories 8 and 9, by the real command: an offer above the band waits for two people; time is up; what was altered."""

import json
import os
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import closing
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from magsag.adapters.settings import os_user
from magsag.testing import Sink

SHIPPED: Final = Path(__file__).parents[2] / "catalog"
KEY: Final = "the key of chen"
PEOPLE: Final = f"""\
kind: people
schema: 1
people:
  - {{id: maria, roles: [hr], proof: claim}}
  - {{id: chen, roles: [finance], proof: api_key, key_sha256: {sha256(KEY.encode()).hexdigest()}}}
  - {{id: bo, roles: [legal], proof: claim}}
  - {{id: "{os_user()}", roles: [hr], proof: os_user}}
"""
POLICY: Final = """\
kind: policy
schema: 1
rules:
  - id: offer-above-band
    on: [skill:send-offer]
    when: has(args.salary) && args.salary > args.band.max
    verdict: ask
    reason: It is above what is usual.
    approval: {quorum: 2, roles: [hr, finance], ttl: 24h, on_expire: deny}
  - id: offers-within-the-band
    on: [skill:send-offer]
    verdict: allow
"""
AGENT: Final = 'async def run(payload, ctx):\n    return await ctx.skill("send-offer", payload)\n'
MANIFEST: Final = """\
kind: agent
schema: 1
slug: offer-mag
version: 1.0.0
role: main
entrypoint: agent.py:run
uses: [skill:send-offer]
"""


class Desk:
    """A project that sends offers with the shipped skill, and its mail sink."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.folder, self.sink = folder, sink
        catalog = folder / "catalog"
        shutil.copytree(SHIPPED / "skills" / "send-offer", catalog / "skills" / "send-offer")
        for name in ("offer_letter", "receipt"):
            (catalog / "contracts").mkdir(exist_ok=True)
            shutil.copy(SHIPPED / "contracts" / f"{name}.schema.json", catalog / "contracts")
        self.write("magsag.toml", "")
        self.write("catalog/agents/main/offer-mag/agent.yaml", MANIFEST)
        self.write("catalog/agents/main/offer-mag/agent.py", AGENT)
        self.write("catalog/policies/offers.yaml", POLICY)
        self.write("catalog/people.yaml", PEOPLE)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def magsag(self, *arguments: str, input: object = None, **environment: str) -> subprocess.CompletedProcess[str]:
        given = {**os.environ, "MAIL_SINK": self.sink.url, **environment}
        text = "" if input is None else json.dumps(input)
        command = [sys.executable, "-m", "magsag", *arguments]
        return subprocess.run(
            command, check=False, cwd=self.folder, env=given, input=text, capture_output=True, text=True
        )

    def offer(self, salary: int, run: str = "r", *more: str) -> subprocess.CompletedProcess[str]:
        letter = {"to": "ann@example.com", "subject": "Offer", "text": "Dear Ann", "salary": salary}
        letter["band"] = {"min": 50, "max": 100}
        return self.magsag("agent", "run", "offer-mag", "--run-id", run, *more, input=letter)

    def approve(self, *arguments: str, verb: str = "approve", **environment: str) -> subprocess.CompletedProcess[str]:
        return self.magsag("approval", verb, self.ticket()["id"], *arguments, **environment)

    def ticket(self) -> dict[str, Any]:
        (found,) = self.listed("--all")
        return found

    def listed(self, *arguments: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = json.loads(self.magsag("approval", "list", "--json", *arguments).stdout)
        return found

    def change(self, statement: str) -> int:
        with closing(sqlite3.connect(self.folder / ".magsag" / "ledger.db", isolation_level=None)) as connection:
            return connection.execute(statement).rowcount


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Sink() as sink:
        yield Desk(tmp_path, sink)


@pytest.mark.timeout(300)
def test_an_offer_above_the_band_waits_for_two_people(desk: Desk) -> None:
    assert desk.offer(90, "below").returncode == 0
    assert (desk.listed("--all"), len(desk.sink.calls)) == ([], 1)

    parked = desk.offer(120)
    ticket = desk.ticket()
    assert parked.returncode == 3
    assert f"approve: magsag approval approve {ticket['id']}" in parked.stderr
    assert (ticket["rule"], ticket["quorum"], ticket["requesters"]) == ("offer-above-band", 2, [os_user()])

    for refused, why in (
        (desk.approve(), "somebody else has to decide"),
        (desk.approve("--as", "bo"), "it takes the role finance or the role hr"),
        (desk.approve("--as", "maria", "--env", "production"), "a claim counts in development only"),
        (desk.approve(MAGSAG_API_KEY="wrong"), "is nobody's"),
    ):
        assert (refused.returncode, why in refused.stderr) == (1, True), refused.stderr
    first = desk.approve("--as", "maria", "--reason", "she is worth it")
    assert (first.returncode, desk.ticket()["approvers"]) == (3, ["maria"])
    assert len(desk.sink.calls) == 1

    second = desk.approve(MAGSAG_API_KEY=KEY)
    assert second.returncode == 0, second.stderr
    assert json.loads(second.stdout)["to"] == "ann@example.com"
    assert len(desk.sink.calls) == 2
    assert (desk.ticket()["state"], desk.listed()) == ("spent", [])
    assert desk.approve(MAGSAG_API_KEY=KEY).returncode == 1
    assert len(desk.sink.calls) == 2
    assert desk.magsag("data", "check").returncode == 0
    assert "approved by maria, " in desk.magsag("run", "show", "r").stdout
    assert KEY not in desk.magsag("run", "facts", "r", "--json").stdout


def test_a_deny_ends_the_run_with_its_reason(desk: Desk) -> None:
    desk.offer(120)
    denied = desk.approve("--as", "maria", "--reason", "too much", verb="deny")
    assert denied.returncode == 1
    assert "was denied by maria: too much" in denied.stderr
    assert (desk.ticket()["state"], desk.sink.calls) == ("denied", [])
    assert "; denied by maria" in desk.magsag("run", "show", "r").stdout


def test_what_nobody_decides_in_time_is_denied_and_a_late_yes_is_refused(desk: Desk) -> None:
    desk.write("catalog/policies/offers.yaml", POLICY.replace("24h", "2s"))
    assert desk.offer(120).returncode == 3
    time.sleep(2)
    late = desk.approve("--as", "maria")
    assert (late.returncode, "has expired" in late.stderr) == (1, True)
    resumed = desk.magsag("agent", "run", "--resume", "r")
    assert (resumed.returncode, "was not approved in time (0 of 2)" in resumed.stderr) == (1, True)
    assert (desk.ticket()["state"], desk.sink.calls) == ("expired", [])


def test_an_approver_may_change_the_arguments_and_others_must_agree(desk: Desk) -> None:
    desk.offer(120)
    letter = desk.magsag("approval", "show", desk.ticket()["id"], "--json").stdout
    less = {**json.loads(letter)["arguments"], "salary": 110}
    desk.approve("--as", "maria")
    assert desk.approve("--with", json.dumps(less), MAGSAG_API_KEY=KEY).returncode == 3
    assert desk.ticket()["approvers"] == ["chen"]
    assert desk.approve("--as", "maria").returncode == 0
    ((_, key),) = desk.sink.calls
    assert json.loads(desk.sink.bodies[key])["salary"] == 110


@pytest.mark.parametrize(
    "statement",
    [
        "update facts set input = cast(replace(cast(input as text), '120', '125') as blob) where kind = 'StepHeld'",
        "update facts set input = cast(replace(cast(input as text), '120', '125') as blob) where input is not null",
        "update approvals set salt = zeroblob(16)",
    ],
)
def test_an_argument_that_was_altered_in_the_store_is_not_acted_on(desk: Desk, statement: str) -> None:
    desk.offer(120)
    desk.approve("--as", "maria")
    desk.approve("--detach", MAGSAG_API_KEY=KEY)
    assert desk.change(statement) > 0
    assert desk.magsag("agent", "run", "--resume", "r").returncode in (1, 3)
    assert desk.sink.calls == []


def test_a_ticket_that_was_altered_in_the_store_gives_no_right(desk: Desk) -> None:
    desk.offer(120)
    assert desk.magsag("data", "check").returncode == 0
    assert desk.change("update approvals set state = 'approved', version = 3") == 1
    assert "it is approved, its facts say open" in desk.magsag("data", "check").stdout
    assert desk.magsag("agent", "run", "--resume", "r").returncode == 3
    assert desk.sink.calls == []


def test_an_answer_with_detach_leaves_the_run_to_others_who_find_it_due(desk: Desk) -> None:
    desk.offer(120)
    desk.approve("--as", "maria", "--detach")
    assert desk.approve("--detach", MAGSAG_API_KEY=KEY).returncode == 0
    assert desk.sink.calls == []
    assert (
        desk.change(
            "update runs set updated = updated where status = 'parked' and due <= (strftime('%s') + 1) * 1000000"
        )
        == 1
    )
    watched = desk.magsag("approval", "watch", "--seconds", "0", "--json")
    assert (watched.returncode, watched.stdout) == (0, "")
    assert desk.magsag("agent", "run", "--resume", "r").returncode == 0


def test_the_login_name_of_the_environment_makes_nobody_somebody_else(desk: Desk) -> None:
    desk.write("catalog/people.yaml", PEOPLE.replace("proof: claim", "proof: os_user"))
    desk.offer(120)
    refused = desk.approve(LOGNAME="maria", USER="maria")
    assert (refused.returncode, "somebody else has to decide" in refused.stderr) == (1, True)
