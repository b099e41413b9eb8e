"""The security lint: each fault is found at its place, and what is shipped has none."""

from pathlib import Path
from typing import Final

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.catalog.load import load
from magsag.catalog.security.code import reaches
from magsag.catalog.security.lint import lint_security
from magsag.catalog.source import read_folder
from tests.unit.catalogs import SEND, SKILL, VALID, swapped, write

ROOT: Final = Path(__file__).parents[2]
POLICY: Final = "kind: policy\nschema: 1\nrules:\n  - {{id: a, on: [{on}], verdict: {verdict}}}\n"
FLOW: Final = (
    "kind: flow\nschema: 1\nslug: shells\nversion: 1.0.0\nsteps:\n"
    "  - id: over\n    loop: {{max_rounds: 2, until: 'true'}}\n    steps:\n"
    "      - {{id: one, run: [{run}], effect: read}}\n"
)
CODE: Final = "skills/send/skill.py"
SHELLS: Final = "flows/shells.yaml"
WRITES: Final = "open('x', 'w')\ndef run(p): ...\n"
DESTROYS: Final = "import os, socket\ndef run(p):\n    os.remove(p)\n    os.execv('x', [])\n"
OPEN: Final = swapped(SKILL, ("contracts: {input: question, output: answer}\n", ""))
PEOPLE: Final = "kind: people\nschema: 1\npeople: [{id: ann, proof: %s}]\nmay_set_caps: {people: [ann]}\n"
LOOK: Final = "postgres://me:hunter22@host/db"


def lint(folder: Path) -> list[str]:
    bundle = load(folder, CelConditions(), "", shipped=ROOT / "catalog").bundle
    return [str(finding) for finding in lint_security(read_folder(folder).files, bundle, "")]


def told(folder: Path, changes: dict[str, str]) -> list[str]:
    write(folder, VALID)
    return lint(write(folder, changes))


@pytest.mark.parametrize("folder", ["catalog", "catalog/_project_template/catalog"])
def test_what_is_shipped_has_no_finding(folder: str) -> None:
    assert lint(ROOT / folder) == []


def test_a_sound_catalog_has_no_finding(tmp_path: Path) -> None:
    assert told(tmp_path, {}) == []


@pytest.mark.parametrize(
    ("changes", "place", "words"),
    [
        ({CODE: "import socket\n\ndef run(p): ...\n"}, f"{CODE}:1", "reaches for the network (import socket)"),
        ({CODE: "from urllib import request\ndef run(p): ...\n"}, f"{CODE}:1", "the network"),
        ({CODE: "import os\ndef run(p):\n    os.system('x')\n"}, f"{CODE}:3", "the shell (os.system(...))"),
        ({CODE: "def run(p):\n    return open('x').read()\n"}, f"{CODE}:2", "the filesystem (open(...))"),
        ({"skills/send/more.py": "import httpx\n"}, "skills/send/more.py:1", "the network"),
        (
            {SEND: swapped(SKILL, ("idempotent", "read\ncapabilities: [filesystem]")), CODE: WRITES},
            f"{CODE}:1",
            "said to be read, and open(...) changes something",
        ),
        (
            {SEND: swapped(SKILL, ("idempotent", "pure\ncapabilities: [network]"))},
            f"{SEND}:6",
            "said to be pure, and declares network",
        ),
        ({SEND: OPEN}, f"{SEND}:6", "takes any input"),
        (
            {SHELLS: FLOW.format(run="date").replace("effect: read", "effect: read, isolation: process")},
            f"{SHELLS}:9",
            "step one starts a program outside a sandbox",
        ),
        ({"agents/main/boss-mag/agent.yaml": VALID["agents/main/boss-mag/agent.yaml"].replace("input: question, ", "")},
         "agents/main/boss-mag/agent.yaml:3", "a main agent takes any input"),
        ({"policies/p.yaml": POLICY.format(on="'*'", verdict="allow")}, "policies/p.yaml:4", "nobody has looked at"),
        ({"policies/p.yaml": POLICY.format(on="'tool:*'", verdict="allow")}, "policies/p.yaml:4", "by wildcard"),
        ({"policies/p.yaml": POLICY.format(on="'skill:s*'", verdict="allow")}, "policies/p.yaml:4", "skill:send"),
        ({"people.yaml": PEOPLE % "os_user" + "exclude_requester: false\n"},
         "people.yaml:5", "may approve what it asks for"),
        ({"people.yaml": "kind: people\nschema: 1\npeople: [{id: ann, proof: os_user}]\n"},
         "people.yaml:3", "may set the caps"),
        ({"people.yaml": PEOPLE % "claim"}, "people.yaml:3", "without a proof"),
        ({SHELLS: FLOW.format(run="npx, -y, some-package")}, f"{SHELLS}:9", "version of some-package"),
        ({SHELLS: FLOW.format(run="/usr/bin/docker, run, image:latest")}, f"{SHELLS}:9", "image:latest"),
        ({SEND: SKILL + "description: uses sk-abcdefghijklmnop1234\n"}, f"{SEND}:8", "looks like a secret (sk-a...)"),
        ({CODE: "import os\ndef run(p):\n    return os.environ['MAIL_TOKEN']\n"}, f"{CODE}:3", "MAIL_TOKEN past its"),
        ({CODE: "from os import getenv\ndef run(p):\n    return getenv('X_API_KEY')\n"}, f"{CODE}:3", "X_API_KEY past"),
        ({CODE: "import os\ndef run(p):\n    return dict(os.environ)\n"}, f"{CODE}:3", "secrets among them"),
        ({CODE: "from os import environ\ndef run(p):\n    return environ.get(p)\n"}, f"{CODE}:3", "does not name"),
        ({SEND: SKILL + "isolation: process\nenvironment: [LOCALE, MAIL_TOKEN]\n"}, f"{SEND}:9", "handed MAIL_TOKEN"),
        ({SEND: SKILL + "secrets: {PIN: 'env:PIN'}\n", CODE: "import os\ndef run(p):\n    os.getenv('PIN')\n"},
         f"{CODE}:3", "reads PIN past its `secrets`"),
        ({SEND: SKILL + f"description: {LOOK}\n"}, f"{SEND}:8", "looks like a secret"),
    ],
)  # fmt: skip
def test_each_fault_is_found_at_its_place(tmp_path: Path, changes: dict[str, str], place: str, words: str) -> None:
    found = told(tmp_path, changes)
    assert len(found) == 1, found
    assert found[0].startswith(f"{place}:")
    assert words in found[0]


def test_a_secret_under_its_key_is_found_and_a_reference_is_none(tmp_path: Path) -> None:
    text = "kind: flow\nschema: 1\nslug: calls\nversion: 1.0.0\nsteps:\n  - {id: a, uses: skill:send, with: {%s}}\n"
    for given, count in (
        ("api_key: hunter22", 1),
        ("api_key: =input.key", 0),
        ("token: 'env:T'", 0),
        ("tokens: many-of", 0),
    ):
        assert len(told(tmp_path / str(count), {"flows/calls.yaml": text % given})) == count


@pytest.mark.parametrize(
    "changes",
    [
        {"policies/p.yaml": POLICY.format(on="'skill:s*'", verdict="ask")},
        {"policies/p.yaml": POLICY.format(on="'skill:x*', skill:send, 'agent:*'", verdict="allow")},
        {"policies/p.yaml": POLICY.format(on="'skll:x*'", verdict="allow")},
        {SHELLS: FLOW.format(run="npx, some-package@1.2.3")},
        {SHELLS: FLOW.format(run="date, -u")},
        {SHELLS: FLOW.format(run="uvx")},
        {SEND: SKILL + "capabilities: [filesystem, network, shell]\n", CODE: DESTROYS},
        {"skills/send/tests/test_it.py": "import socket\n"},
        {CODE: "this is no Python"},
        {CODE: "import os\ndef run(p):\n    os.environ['TZ'] = 'UTC'\n    return 'A' in os.environ, os.getenv('TZ')\n"},
        {SEND: SKILL + "secrets: {PIN: 'env:PIN'}\n", CODE: "def run(p, ctx):\n    return ctx.secret('PIN')\n"},
        {CODE: "def run(p):\n    p.remove(1)\n    return p['a'].replace('a', 'b')\n"},
    ],
)  # fmt: skip
def test_what_is_declared_or_harmless_is_no_finding(tmp_path: Path, changes: dict[str, str]) -> None:
    assert told(tmp_path, changes) == []


@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("open(p, mode)", [("filesystem", True)]),
        ("open(p, mode='rb')", [("filesystem", False)]),
        ("p.open('a')", [("filesystem", True)]),
        ("p.read_text()", [("filesystem", False)]),
        ("p.write_text('x')", [("filesystem", True)]),
        ("os.replace(a, b)", [("filesystem", True)]),
        ("requests.post(u)", [("network", True)]),
        ("asyncio.create_subprocess_exec('x')", [("shell", False)]),
        ("import subprocess as s", [("shell", False)]),
        ("box.open()", [("filesystem", False)]),
        ("f()(1)", []),
    ],
)
def test_what_code_reaches_for(code: str, expected: list[tuple[str, bool]]) -> None:
    assert [(reach.capability, reach.changes) for reach in reaches(code)] == expected
