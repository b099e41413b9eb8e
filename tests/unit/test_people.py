"""Who somebody is: by the user of the process, by a key, by a claim where claims count; and people.yaml's findings."""

import os
import pwd
from hashlib import sha256
from pathlib import Path

import pytest

from magsag.__main__ import open_app
from magsag.adapters.settings import os_user
from magsag.domain.approval import Acting, Proof
from magsag.domain.errors import Invalid, Refused
from magsag.policy.people import People, Shown
from magsag.services.people.people import Identity
from tests.unit.catalogs import loaded, swapped, told, write

KEY = "chen's key"
PEOPLE = f"""\
kind: people
schema: 1
people:
  - {{id: maria, roles: [hr], proof: os_user}}
  - {{id: chen, roles: [finance], proof: api_key, key_sha256: {sha256(KEY.encode()).hexdigest()}}}
  - {{id: dev, roles: [hr], proof: claim}}
"""


@pytest.fixture
def people(tmp_path: Path) -> People:
    found = loaded(tmp_path, {"people.yaml": PEOPLE})
    assert found.findings == []
    return found.people


def acting(people: People, key: str | None = None, claim: str | None = None, env: str = "development") -> Acting:
    return Identity(lambda: people, Shown("maria", key), env).acting(claim)


def test_people_are_read_and_are_no_part_of_the_bundle(tmp_path: Path, people: People) -> None:
    assert (people.broken, people.exclude_requester, list(people.by_id)) == (None, True, ["maria", "chen", "dev"])
    lenient = loaded(tmp_path, {"people.yaml": PEOPLE + "exclude_requester: false\n"})
    assert lenient.people.exclude_requester is False
    assert lenient.people.hash != people.hash
    assert lenient.bundle.hash == loaded(tmp_path, {"people.yaml": None}).bundle.hash


def test_somebody_is_the_os_user_the_owner_of_a_key_or_who_they_claim_to_be(people: People) -> None:
    assert acting(people) == Acting("maria", Proof.OS_USER)
    assert acting(people, key=KEY) == Acting("chen", Proof.API_KEY)
    assert acting(people, claim="dev") == Acting("dev", Proof.CLAIM)


def test_a_key_and_a_claim_at_once_are_a_wrong_question(people: People) -> None:
    with pytest.raises(Invalid, match="--as dev and an API key at once: show one of the two"):
        acting(people, key=KEY, claim="dev")


def test_what_does_not_count_is_refused(people: People) -> None:
    with pytest.raises(Refused, match="the key in MAGSAG_API_KEY is nobody's"):
        acting(people, key=KEY + " ")
    with pytest.raises(Refused, match="a claim counts in development only, and this is production"):
        acting(people, claim="dev", env="production")
    for name in ("maria", "chen", "nobody"):
        with pytest.raises(Refused, match=f"no entry {name} with `proof: claim`"):
            acting(people, claim=name)


def test_a_claim_says_when_there_are_no_people_or_none_that_can_be_used(tmp_path: Path) -> None:
    with pytest.raises(Refused, match=r"^--as dev: .* the catalog has no people.yaml; write one"):
        acting(loaded(tmp_path).people, claim="dev")
    broken = loaded(tmp_path, {"people.yaml": swapped(PEOPLE, ("roles: [hr], proof: claim", "proof: clam"))}).people
    with pytest.raises(Refused, match=r"^--as dev: .* cannot be used: people.yaml:6:.*; see all with magsag catalog v"):
        acting(broken, claim="dev")


def test_a_key_is_nobodys_where_people_cannot_be_used(tmp_path: Path) -> None:
    broken = loaded(tmp_path, {"people.yaml": swapped(PEOPLE, ("roles: [hr], proof: claim", "proof: clam"))}).people
    with pytest.raises(Refused, match=r"^nobody can be known by a key: .* cannot be used: people.yaml:6:"):
        acting(broken, key=KEY)


def test_somebody_unknown_hears_how_to_show_who_they_are(people: People) -> None:
    with pytest.raises(Refused, match=r"nobody is not in people.yaml.* MAGSAG_API_KEY, or in development by --as NAME"):
        people.person(Acting("nobody", Proof.OS_USER))


def test_a_person_must_show_the_proof_that_their_entry_names(people: People) -> None:
    assert people.person(Acting("maria", Proof.OS_USER)).roles == ("hr",)
    with pytest.raises(Refused, match="chen must prove it by api_key, not by os_user"):
        people.person(Acting("chen", Proof.OS_USER))


def test_the_os_user_is_that_of_the_process_whatever_the_environment_says(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        monkeypatch.setenv(name, "maria")
    assert os_user() == pwd.getpwuid(os.getuid()).pw_name


def test_the_key_is_taken_out_of_the_environment_before_anything_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, {"magsag.toml": "", "catalog/people.yaml": PEOPLE})
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MAGSAG_API_KEY", KEY)
    app = open_app({"quiet": True, "catalog": "catalog"})
    assert "MAGSAG_API_KEY" not in os.environ
    assert app.identity.acting() == Acting("chen", Proof.API_KEY)


def test_without_people_nobody_decides(tmp_path: Path) -> None:
    nobody = loaded(tmp_path).people
    assert nobody.broken is not None
    assert "write one" in nobody.broken
    with pytest.raises(Refused, match="nobody can decide"):
        nobody.person(Acting("maria", Proof.OS_USER))


@pytest.mark.parametrize(
    ("old", "new", "place", "words"),
    [
        ("proof: claim", "proof: oidc", "6:35", "oidc needs the HTTP API"),
        ("proof: claim", "proof: password", "6:35", 'cannot be "password"'),
        ("id: dev", "id: maria", "6:10", "maria stands twice"),
        (", proof: claim", "", "6:5", "`proof` is missing"),
        (f", key_sha256: {sha256(KEY.encode()).hexdigest()}", "", "5:41", "there is no `key_sha256`"),
        ("proof: claim", f"proof: claim, key_sha256: {'a' * 64}", "6:42", "not read with `proof: claim`"),
        (
            "proof: claim",
            f"proof: api_key, key_sha256: {sha256(KEY.encode()).hexdigest()}",
            "6:56",
            "somebody else has the same key",
        ),
        ("roles: [hr], proof: claim", "roles: [HR], proof: claim", "6:23", "HR"),
        ("people:\n", "persons:\n", "3:1", "`persons` is no key of this place"),
    ],
)
def test_a_fault_has_its_place_and_leaves_nobody(tmp_path: Path, old: str, new: str, place: str, words: str) -> None:
    found = loaded(tmp_path, {"people.yaml": swapped(PEOPLE, (old, new))})
    said = [str(finding) for finding in found.findings]
    assert any(one.startswith(f"people.yaml:{place}: ") and words in one for one in said), said
    assert found.people.broken is not None
    assert not found.people.by_id
    assert found.policies.broken is None


@pytest.mark.parametrize(
    ("setters", "severity", "words"),
    [
        ("{roles: [fiance]}", "warning", 'nobody here has the role fiance; did you mean "finance"?'),
        ("{people: [bo]}", "warning", "nobody here is bo"),
        ("{}", "error", "nobody may set caps; name `roles` or `people`, or take the key out for everybody"),
    ],
)
def test_who_may_set_caps_is_somebody(tmp_path: Path, setters: str, severity: str, words: str) -> None:
    found = loaded(tmp_path, {"people.yaml": f"{PEOPLE}may_set_caps: {setters}\n"})
    (finding,) = found.findings
    assert (finding.severity, words in str(finding)) == (severity, True), finding


def test_people_stand_in_one_file(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"people.yaml": PEOPLE, "staff/more.yaml": PEOPLE})
    assert [str(one) for one in found.findings] == [
        "staff/more.yaml:1:7: there are people at people.yaml:1:7 already; keep everybody in one file"
    ]
    assert found.people.broken is not None


RULE = """\
kind: policy
schema: 1
rules:
  - id: two-look
    on: [skill:send]
    verdict: ask
    approval: {quorum: 2, roles: [hr, finance], ttl: 24h, on_expire: deny}
"""


def test_a_rule_says_who_must_approve(tmp_path: Path) -> None:
    found = loaded(tmp_path, {"policies/send.yaml": RULE})
    assert found.findings == []
    (rule,) = found.policies.rules
    assert rule.approval is not None
    assert (rule.approval.quorum, rule.approval.roles, rule.approval.ttl_seconds) == (2, ("hr", "finance"), 86_400)


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("verdict: ask", "verdict: allow", "`approval` is read with the verdict ask only"),
        ("on_expire: deny", "on_expire: escalate", "does not say to whom"),
        ("on_expire: deny", "escalate_to: [board]", "read with `on_expire: escalate` only"),
        ("roles: [hr, finance]", "people: [maria]", "2 people are to approve, and 1 may"),
        ("ttl: 24h", "ttl: 5ms", "nobody can decide within less than a second"),
        ("quorum: 2", "quorum: 0", "quorum"),
        ("on_expire: deny", "on_expire: allow", 'cannot be "allow"'),
    ],
)
def test_an_approval_that_nobody_could_give_is_a_finding(tmp_path: Path, old: str, new: str, words: str) -> None:
    said = told(tmp_path, {"policies/send.yaml": swapped(RULE, (old, new))})
    assert len(said) == 1, said
    assert said[0].startswith("policies/send.yaml:"), said
    assert words in said[0], said


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("[hr, finance]", "[hr, finans]", 'nobody in people.yaml has the role finans; did you mean "finance"?'),
        (
            "roles: [hr, finance]",
            "roles: [hr], people: [marja]",
            'nobody in people.yaml is marja; did you mean "maria"?',
        ),
        ("quorum: 2", "quorum: 4", "4 people are to approve, and 3 of people.yaml may"),
    ],
)
def test_an_approval_that_nobody_there_could_give_is_warned_of(tmp_path: Path, old: str, new: str, words: str) -> None:
    files = {"people.yaml": PEOPLE, "policies/send.yaml": swapped(RULE, (old, new))}
    found = loaded(tmp_path, files)
    assert [(one.severity, words in str(one)) for one in found.findings] == [("warning", True)], found.findings
    assert found.policies.broken is None
