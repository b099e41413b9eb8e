"""Part A: every effect kind, killed inside its act by a real SIGKILL; effects are counted where they happen."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from magsag.testing import Sink

ACT = """\
import os, signal, urllib.error, urllib.request

def die(when):
    if os.path.exists(when):
        os.remove(when)
        os.kill(os.getpid(), signal.SIGKILL)

def run(payload, ctx):
    die("before")
    headers = {"Idempotency-Key": ctx.idempotency_key}
    urllib.request.urlopen(urllib.request.Request("SINK/pay", b"{}", headers)).close()
    die("after")
    return {"paid": payload["amount"]}

def find(payload, ctx):
    if os.path.exists("unreachable"):
        raise OSError("nobody answers")
    try:
        urllib.request.urlopen("SINK/" + ctx.idempotency_key).close()
    except urllib.error.HTTPError as error:
        error.close()
        return {"found": False}
    return {"found": True, "output": {"paid": payload["amount"]}}
"""
AGENT = """\
async def run(payload, ctx):
    receipt = await ctx.skill("pay", payload)
    return {"receipt": receipt, "thanks": await ctx.skill("thank", receipt)}
"""
PARENT = """\
async def run(payload, ctx):
    return await ctx.delegate("payer-sag", payload)
"""
ALLOW = """\
kind: policy
schema: 1
rules: [{id: may, on: ["skill:pay", "skill:record-put", "skill:http-request", "skill:send-offer"], verdict: allow}]
"""
COUNT = """\
import os, signal

def die(when):
    if os.path.exists(when):
        os.remove(when)
        os.kill(os.getpid(), signal.SIGKILL)

def run(payload, ctx):
    die("before")
    ctx.put_record("payments", ctx.get_record("payments", 0) + 1)
    die("after")
    return {"paid": payload["amount"]}
"""
SHIPPED = Path(__file__).parents[2] / "catalog"
DIES = """\
def _ask(request):
    import signal
    for when in ("before", "after"):
        if when == "after":
            answer = _really_ask(request)
        if os.path.exists(when):
            os.remove(when)
            os.kill(os.getpid(), signal.SIGKILL)
    return answer


def _really_ask(request):"""
KEEPER = """\
async def run(payload, ctx):
    before = await ctx.skill("record-get", {"key": "total"})
    total = payload["amount"] + (before["value"] if before["found"] else 0)
    await ctx.skill("record-put", {"key": "total", "value": total})
    return await ctx.skill("record-get", {"key": "total"})
"""
OFFER = """\
async def run(payload, ctx):
    letter = {"to": "ann@example.com", "subject": "Offer", "text": "Dear Ann"}
    return await ctx.skill("send-offer", letter)
"""
DYING = """\
import asyncio, os, sys
from pathlib import Path
from magsag.adapters.store.sqlite import SqliteStore
from magsag.app import build
from magsag.domain.settings import Settings
from magsag.services.driving.runs import Order
from magsag.testing import When, dying, forgetful

store = SqliteStore(Path(".magsag/ledger.db"))
store = forgetful(store) if sys.argv[1] == "forgetful" else dying(store, int(sys.argv[1]), When(sys.argv[2]))
app = build(Settings(project=".", catalog="catalog", ledger=".magsag/ledger.db", actor="tester"), store)
asyncio.run(app.runs.run(Order("agent:payer-sag", {"amount": 7}, run_id="r")))
"""
CLEAN = {"receipt": {"paid": 7}, "thanks": "for 7"}


class Shop:
    """A project whose agent pays once, at the sink."""

    def __init__(self, folder: Path, sink: Sink) -> None:
        self.folder = folder
        self.sink = sink
        self.environment = {**os.environ, "MAGSAG_HTTP_ALLOW": "127.0.0.1"}
        self.write("magsag.toml", "")
        self.write("catalog/policies/allow.yaml", ALLOW)
        self.agent("payer-sag", "sub", AGENT, "skill:pay, skill:thank")
        self.agent("parent-mag", "main", PARENT, "agent:payer-sag")
        self.skill("thank", "pure", "def run(payload):\n    return f\"for {payload['paid']}\"\n")
        reads = 'async def run(payload, ctx):\n    return await ctx.skill("record-get", payload)\n'
        self.agent("reader-sag", "sub", reads, "skill:record-get")
        receipt = {"type": "object", "required": ["paid"], "properties": {"paid": {"type": "integer"}}}
        self.write("catalog/contracts/receipt.schema.json", json.dumps(receipt))

    def pays(self, effect: str, *lines: str) -> None:
        """The skill that acts is of this kind."""
        more = ("timeout: 1s", "contracts: {output: receipt}", *lines)
        self.skill("pay", effect, ACT.replace("SINK", self.sink.url), *more)

    def skill(self, slug: str, effect: str, code: str, *lines: str) -> None:
        head = ("kind: skill", "schema: 1", f"slug: {slug}", "version: 1.0.0", "entrypoint: skill.py:run")
        self.write(f"catalog/skills/{slug}/skill.yaml", "\n".join((*head, f"effect: {effect}", *lines)) + "\n")
        self.write(f"catalog/skills/{slug}/skill.py", code)

    def agent(self, slug: str, role: str, code: str, uses: str) -> None:
        head = f"kind: agent\nschema: 1\nslug: {slug}\nversion: 1.0.0\nrole: {role}\nentrypoint: agent.py:run\n"
        self.write(f"catalog/agents/{role}/{slug}/agent.yaml", f"{head}uses: [{uses}]\n")
        self.write(f"catalog/agents/{role}/{slug}/agent.py", code)

    def write(self, path: str, text: str) -> None:
        file = self.folder / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    def command(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "magsag", *arguments]
        pipes: dict[str, Any] = {"input": '{"amount": 7}', "capture_output": True, "text": True}
        return subprocess.run(command, cwd=self.folder, env=self.environment, timeout=60, check=False, **pipes)

    def killed(self, when: str, agent: str = "payer-sag") -> None:
        """Start the run `r`; the process dies at this moment of its act."""
        self.write(when, "")
        assert self.command("agent", "run", agent, "--run-id", "r").returncode == -9

    def dies(self, *how: str) -> bool:
        """Run `r` in a process that kills itself beside its write of a number; False when there is none.

        `forgetful`: its store drops intents.
        """
        (self.folder / ".magsag").mkdir(exist_ok=True)
        command = [sys.executable, "-c", DYING, *how]
        return subprocess.run(command, cwd=self.folder, timeout=60, check=False).returncode == -9

    def record(self, key: str) -> Any:
        """What the store holds under a key, by a run of its own."""
        self.write("key.json", json.dumps({"key": key}))
        done = self.command("agent", "run", "reader-sag", "--input", "key.json")
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    def newest(self) -> str:
        """The run that was started last."""
        return str(json.loads(self.command("run", "list", "--limit", "1", "--json").stdout)[0]["run"])

    def resume(self) -> subprocess.CompletedProcess[str]:
        return self.command("agent", "run", "--resume", "r")

    def resolve(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return self.command("run", "resolve", "r", *arguments)

    def ends_as_the_clean_run(self, done: subprocess.CompletedProcess[str], effects: int = 1) -> None:
        """Same output, this many effects, one idempotency key, a sound ledger."""
        assert (done.returncode, done.stderr) == (0, "run r succeeded\n"), done.stderr
        assert json.loads(done.stdout) == CLEAN
        assert list(self.sink.count().values()) == [effects]
        assert self.command("data", "check").returncode == 0


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    with Sink() as sink:
        yield Shop(tmp_path, sink)


@pytest.mark.parametrize("effect", ["idempotent", "unrepeatable"])
def test_a_run_that_nobody_kills_acts_once(shop: Shop, effect: str) -> None:
    shop.pays(effect)
    shop.ends_as_the_clean_run(shop.command("agent", "run", "payer-sag", "--run-id", "r"))


@pytest.mark.parametrize(("when", "effects"), [("before", 1), ("after", 2)])
def test_an_idempotent_act_runs_again_with_the_same_key(shop: Shop, when: str, effects: int) -> None:
    shop.pays("idempotent")
    shop.killed(when)
    shop.ends_as_the_clean_run(shop.resume(), effects)


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_reconcilable_act_is_looked_up_and_happens_once(shop: Shop, when: str) -> None:
    shop.pays("reconcilable", "lookup: skill.py:find")
    shop.killed(when)
    shop.ends_as_the_clean_run(shop.resume())
    facts = json.loads(shop.command("run", "facts", "r", "--json").stdout)
    (intent, *again) = [fact["body"] for fact in facts if fact["kind"] == "StepStarted"]
    (paid,) = [fact for fact in facts if fact["kind"] == "StepSucceeded"]
    assert (paid["body"].get("adopted"), len(again)) == ((None, 1) if when == "before" else (True, 0))
    assert paid["body"]["at"] >= intent["act_by"]
    assert {one["key"] for one in again} <= {intent["key"]}


def offers(shop: Shop) -> None:
    """A project with a copy of the shipped skill, which dies where a file says so."""
    skill = shutil.copytree(SHIPPED / "skills" / "send-offer", shop.folder / "catalog" / "skills" / "send-offer")
    for name in ("offer_letter", "receipt"):
        shutil.copy(SHIPPED / "contracts" / f"{name}.schema.json", shop.folder / "catalog" / "contracts")
    code = (skill / "skill.py").read_text()
    (skill / "skill.py").write_text(code.replace("def _ask(request):", DIES, 1))
    (skill / "skill.yaml").write_text((skill / "skill.yaml").read_text().replace("timeout: 20s", "timeout: 1s"))
    shop.agent("payer-sag", "sub", OFFER, "skill:send-offer")


@pytest.mark.parametrize("when", ["before", "after"])
def test_the_shipped_offer_is_sent_once_wherever_it_is_killed(shop: Shop, when: str) -> None:
    offers(shop)
    shop.environment["MAIL_SINK"] = shop.sink.url
    shop.killed(when)
    done = shop.resume()
    assert done.returncode == 0, done.stderr
    ((name, key),) = shop.sink.calls
    assert json.loads(done.stdout) == {"message_id": key, "to": "ann@example.com", "sink": shop.sink.url}
    assert json.loads(shop.sink.bodies[key])["text"] == "Dear Ann"
    assert name == "mail"


def test_the_sink_can_be_a_process_of_its_own(shop: Shop) -> None:
    offers(shop)
    command = [sys.executable, "-m", "magsag.testing.mailbox", "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as mailbox:
        assert mailbox.stdout is not None
        shop.environment["MAIL_SINK"] = json.loads(mailbox.stdout.readline())["listening"]
        receipt = json.loads(shop.command("agent", "run", "payer-sag").stdout)
        letter = json.loads(mailbox.stdout.readline())
        mailbox.terminate()
    assert (letter["name"], letter["key"]) == ("mail", receipt["message_id"])


def test_an_offer_to_a_sink_that_is_gone_fails_and_sends_nothing(shop: Shop) -> None:
    offers(shop)
    shop.environment["MAIL_SINK"] = "http://127.0.0.1:9"
    done = shop.command("agent", "run", "payer-sag")
    assert done.returncode == 1
    assert "nobody listens at http://127.0.0.1:9" in done.stderr


def test_a_reconcilable_act_whose_lookup_cannot_tell_is_in_doubt(shop: Shop) -> None:
    shop.pays("reconcilable", "lookup: skill.py:find")
    shop.write("unreachable", "")
    shop.killed("after")
    parked = shop.resume()
    assert parked.returncode == 3
    assert "its lookup could not tell" in parked.stderr
    assert "it said: OSError: nobody answers" in parked.stderr
    shop.ends_as_the_clean_run(shop.resolve("pay#1", "--succeeded", '{"paid": 7}'))


def counts(shop: Shop) -> None:
    """The skill that acts counts payments in the store, and nothing else."""
    shop.skill("pay", "transactional", COUNT, "contracts: {output: receipt}")


@pytest.mark.parametrize("when", ["before", "after"])
def test_what_a_transactional_act_puts_is_there_once_wherever_it_is_killed(shop: Shop, when: str) -> None:
    counts(shop)
    shop.killed(when)
    assert shop.record("payments") == {"found": False, "value": None}
    assert json.loads(shop.resume().stdout) == CLEAN
    assert shop.record("payments") == {"found": True, "value": 1}


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_record_and_its_outcome_are_one_commit(shop: Shop, when: str) -> None:
    counts(shop)
    number = 0
    while shop.dies(str(number := number + 1), when):
        assert shop.command("agent", "run", "payer-sag", "--run-id", "r").returncode == 0
        facts = json.loads(shop.command("run", "facts", "r", "--json").stdout)
        assert [fact["kind"] for fact in facts].count("StepSucceeded") == 1
        assert shop.record("payments")["value"] == 1
        shutil.rmtree(shop.folder / ".magsag")
    assert number > 3


def test_the_built_in_skills_keep_values_over_runs(shop: Shop) -> None:
    shop.agent("keeper-sag", "sub", KEEPER, "skill:record-put, skill:record-get")
    assert json.loads(shop.command("agent", "run", "keeper-sag").stdout) == {"found": True, "value": 7}
    assert json.loads(shop.command("agent", "run", "keeper-sag").stdout) == {"found": True, "value": 14}
    assert "transactional" in shop.command("run", "show", shop.newest()).stdout


def test_only_a_transactional_skill_may_put(shop: Shop) -> None:
    shop.skill("pay", "idempotent", COUNT)
    done = shop.command("agent", "run", "payer-sag")
    assert done.returncode == 1
    assert "ctx.put_record is for skills with effect: transactional; this one is idempotent" in done.stderr
    assert shop.record("payments")["found"] is False


def asks(shop: Shop, method: str, *lines: str) -> None:
    """A flow of one request to the sink."""
    step = (f"method: {method}, url: '{shop.sink.url}/pay'", ", body: {n: 1}" if method != "GET" else "")
    head = "kind: flow\nschema: 1\nslug: ask\nversion: 1.0.0\noutput: steps.ask.status\nsteps:\n"
    more = "".join(f"    {line}\n" for line in lines)
    shop.write(
        "catalog/flows/ask.yaml",
        f"{head}  - id: ask\n    uses: skill:http-request\n{more}    with: {{{''.join(step)}}}\n",
    )


def killed_by_its_server(shop: Shop) -> None:
    """The process dies while the sink handles its first request: it has acted, and has no answer."""
    command = [sys.executable, "-m", "magsag", "flow", "run", "ask", "--run-id", "r", "--input", "-"]
    with subprocess.Popen(command, cwd=shop.folder, env=shop.environment, stdin=subprocess.PIPE) as process:
        shop.sink.heard = lambda *_: process.kill()
        process.communicate(b"{}", timeout=60)
    shop.sink.heard = None
    assert process.returncode == -9


@pytest.mark.parametrize(
    ("method", "lines"),
    [("PUT", ()), ("DELETE", ()), ("POST", ("effect: idempotent",)), ("PATCH", ("effect: idempotent",))],
)
def test_a_request_that_may_be_repeated_is_sent_again_with_its_key(
    shop: Shop, method: str, lines: tuple[str, ...]
) -> None:
    asks(shop, method, *lines)
    killed_by_its_server(shop)
    done = shop.command("flow", "run", "--resume", "r")
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    ((key, count),) = shop.sink.count("pay").items()
    assert (len(key), count) == (32, 2)


@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_a_request_that_may_not_be_repeated_is_in_doubt(shop: Shop, method: str) -> None:
    asks(shop, method)
    killed_by_its_server(shop)
    assert shop.command("flow", "run", "--resume", "r").returncode == 3
    done = shop.resolve("ask", "--succeeded", '{"status": 200, "headers": {}, "body": null}')
    assert (done.returncode, done.stdout) == (0, "200\n"), done.stderr
    assert len(shop.sink.calls) == 1


def test_a_request_that_only_reads_needs_no_rule(shop: Shop) -> None:
    shop.write("catalog/policies/allow.yaml", "kind: policy\nschema: 1\nrules: []\n")
    asks(shop, "GET")
    done = shop.command("flow", "run", "ask")
    assert (done.returncode, "answered 404" in done.stderr) == (1, True), done.stderr
    shop.sink.take("known", "pay", b"{}")
    assert shop.command("flow", "run", "ask").stdout == "200\n"
    asks(shop, "POST")
    assert shop.command("flow", "run", "ask").returncode == 3
    assert shop.sink.calls == [("known", "pay")]


def test_a_request_reaches_only_hosts_that_are_granted(shop: Shop) -> None:
    del shop.environment["MAGSAG_HTTP_ALLOW"]
    asks(shop, "GET")
    done = shop.command("flow", "run", "ask")
    assert (done.returncode, shop.sink.calls) == (1, [])
    place = shop.sink.url.removeprefix("http://")
    assert "is 127.0.0.1, this machine, and `[http] allow` does not grant it" in done.stderr
    assert f'add "{place}"' in done.stderr
    shop.write("magsag.toml", f'[http]\nallow = ["{place}"]\n')
    shop.sink.take("known", "pay", b"{}")
    assert shop.command("flow", "run", "ask").stdout == "200\n"


def test_only_a_request_may_declare_its_effect_in_the_step(shop: Shop) -> None:
    asks(shop, "POST", "effect: reconcilable")
    assert "a step cannot be reconcilable" in shop.command("catalog", "validate").stdout
    flow = shop.folder / "catalog/flows/ask.yaml"
    flow.write_text(flow.read_text().replace("reconcilable", "idempotent").replace("http-request", "thank"))
    assert "a skill declares its own" in shop.command("catalog", "validate").stdout


def test_an_unrepeatable_act_is_in_doubt_until_a_person_says_that_it_happened(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.killed("after")
    parked = shop.resume()
    assert parked.returncode == 3
    assert "magsag run resolve r pay#1 --succeeded JSON" in parked.stderr
    assert "parked on doubt" in shop.command("run", "list", "--parked-on", "doubt").stdout
    shop.ends_as_the_clean_run(shop.resolve("pay#1", "--succeeded", '{"paid": 7}'))
    assert shop.command("run", "list", "--parked-on", "doubt").stdout == "no runs\n"
    (said,) = [fact for fact in json.loads(shop.command("run", "facts", "r", "--json").stdout) if "by" in fact["body"]]
    assert (said["kind"], said["body"]["how"], said["output"]) == ("StepResolved", "succeeded", {"paid": 7})


def test_an_unrepeatable_act_that_did_not_happen_is_tried_again_when_a_person_says_so(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.killed("before")
    assert shop.resume().returncode == 3
    assert shop.sink.calls == []
    shop.ends_as_the_clean_run(shop.resolve("pay#1", "--retry"))


def test_a_store_that_forgets_intents_would_be_noticed(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.write("after", "")
    assert shop.dies("forgetful")
    assert shop.resume().returncode == 0
    assert list(shop.sink.count().values()) == [2]


def test_a_doubt_that_ends_as_failed_fails_the_run(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.killed("before")
    shop.resume()
    done = shop.resolve("pay#1", "--failed")
    assert done.returncode == 1
    assert "at step pay#1: raised: it did not happen, says " in done.stderr
    assert shop.sink.calls == []


def test_a_doubt_in_a_child_run_is_resolved_by_its_path(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.killed("after", "parent-mag")
    assert "run resolve r payer-sag#1/pay#1" in shop.resume().stderr
    shop.ends_as_the_clean_run(shop.resolve("payer-sag#1/pay#1", "--succeeded", '{"paid": 7}'))


def test_resolving_refuses_what_is_no_doubt_and_what_the_contract_does_not_take(shop: Shop) -> None:
    shop.pays("unrepeatable")
    shop.killed("after")
    shop.resume()
    refused = {
        ("thank#1", "--failed"): "has no step 'thank#1'; in doubt: pay#1",
        ("pay#1", "--failed", "--retry"): "a doubt ends in one way",
        ("pay#1", "--succeeded", "{}"): '"paid" is a required property',
        ("pay#1", "--succeeded", "{"): "--succeeded is no JSON",
        ("pay#1",): "look outside whether it happened",
    }
    for arguments, words in refused.items():
        done = shop.resolve(*arguments)
        assert (done.returncode, words in done.stderr) == (2, True), done.stderr
    assert "idempotency key  " + next(iter(shop.sink.count())) in shop.resolve("pay#1").stderr
    shop.ends_as_the_clean_run(shop.resolve("pay#1", "--succeeded", '{"paid": 7}'))
    assert "has ended already" in shop.resolve("pay#1", "--retry").stderr
