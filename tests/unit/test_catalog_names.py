"""What manifests name: references with ranges, contracts, deprecated ones; and what a run reaches."""

from pathlib import Path

import pytest

from magsag.catalog.load import reached
from tests.unit.catalogs import AGENT, ASYNC_RUN, BOSS, FLOW, HELPER, REVIEW, RUN, SEND, SKILL, loaded, swapped, told

USES = "[agent:helper-sag@^0.1, skill:send]"


@pytest.mark.parametrize(
    ("uses", "column", "words"),
    [
        ("[skill:sent]", 8, 'skill "sent" is not in the catalog; did you mean "send"?'),
        ("[skill:send, agent:helper-sag@^1]", 20, "has no version that fits ^1; there is 0.1.3"),
        ("[skill:send@latest]", 8, "the version range of 'skill:send@latest' cannot be read"),
        ("[send]", 8, "'send' is no reference; write skill:send"),
        ("[helper-sag]", 8, "'helper-sag' is no reference; write agent:helper-sag"),
        ("[eval:sent]", 8, "'eval:sent' cannot stand here; write agent:... or flow:... or skill:... or model:..."),
        ("[tool:files/read]", 8, "not enforced by this version"),
        ("['skill:*']", 8, "has a wildcard"),
        ("[skill:send, skill:send@^0.2]", 20, "skill:send stands twice in `uses`"),
        ("[magsag://main.helper-sag]", 8, 'agent "helper-sag" has the role sub, not main'),
    ],
)
def test_a_use_that_resolves_to_nothing_is_told(uses: str, column: int, words: str, tmp_path: Path) -> None:
    (line,) = told(tmp_path, {BOSS: swapped(AGENT, (USES, uses))})
    assert line.startswith(f"{BOSS}:8:{column}: ")
    assert words in line


@pytest.mark.parametrize(
    "uses",
    [
        "[skill:send@>=0.1]",
        "[magsag://sub.helper-sag@0.1]",
        "['skill:send@^1 || ~0.2']",
        "[model:smart]",
        "[flow:review@^1]",
        "[]",
    ],
)
def test_ranges_and_the_long_form_are_honoured(uses: str, tmp_path: Path) -> None:
    assert told(tmp_path, {BOSS: swapped(AGENT, (USES, uses))}) == []


@pytest.mark.parametrize(
    ("uses", "words"),
    [
        ("skill:sned", 'did you mean "send"?'),
        ("eval:send", "cannot stand here; write skill:... or agent:... or flow:..."),
        ("flow:nothing", 'flow "nothing" is not in the catalog'),
    ],
)
def test_a_step_that_uses_nothing_is_told_once(uses: str, words: str, tmp_path: Path) -> None:
    text = swapped(FLOW, ('"skill:send", with: {text: =input.text, level: =input.level}', f'"{uses}"'), (WHEN, ""))
    (line,) = told(tmp_path, {REVIEW: text})
    assert line.startswith(f"{REVIEW}:7:21: ")
    assert words in line


WHEN = '\n    when: input.level == "high" && steps.ask.score > 3'


def test_the_same_unknown_contract_is_told_at_each_place(tmp_path: Path) -> None:
    text = swapped(SKILL, ("input: question, output: answer", "input: qestion, output: qestion"))
    lines = told(tmp_path, {SEND: text})
    assert [line.partition(": ")[0] for line in lines] == [f"{SEND}:7:20", f"{SEND}:7:37"]
    assert all(line.endswith('did you mean "question"?') for line in lines)


def test_what_is_deprecated_is_warned_of_where_it_is_used(tmp_path: Path) -> None:
    found = loaded(tmp_path, {SEND: SKILL + "deprecated: use mail instead\n"}).findings
    assert [(note.path, note.line, note.severity) for note in found] == [
        (BOSS, 8, "warning"),
        (REVIEW, 7, "warning"),
        (REVIEW, 9, "warning"),
    ]
    assert found[0].next == "use mail instead"


LONE = "agents/sub/lone-sag/agent.yaml"


def test_a_run_reaches_what_its_manifests_name_and_no_more(tmp_path: Path) -> None:
    changes = {
        LONE: swapped(HELPER, ("helper", "lone")) + "uses: [skill:gone, model:smart]\n",
        "contracts/answer.schema.json": '{"properties": {"a": {"$ref": "part"}}}',
        "contracts/part.schema.json": "{}",
    }
    bundle = loaded(tmp_path, changes).bundle
    both = {"contract:question", "contract:answer", "contract:part", "skill:send@0.2.0"}
    assert reached(bundle, "agent:boss-mag") == both | {"agent:boss-mag@0.1.0", "agent:helper-sag@0.1.3"}
    assert reached(bundle, "flow:review") == both | {"flow:review@1.0.0"}
    assert reached(bundle, "agent:lone-sag") == {"agent:lone-sag@0.1.3", "skill:gone"}


def test_findings_elsewhere_do_not_concern_a_run(tmp_path: Path) -> None:
    changes = {LONE: swapped(HELPER, ("helper", "lone")), "agents/sub/lone-sag/agent.py": "def run(a): ...\n"}
    found = loaded(tmp_path, changes)
    assert len(found.findings) == 1
    assert found.concerning("agent:boss-mag") == []
    assert found.concerning("agent:lone-sag") == found.findings


@pytest.mark.parametrize(
    "changes",
    [
        {SEND: swapped(SKILL, ("effect: idempotent\n", ""))},
        {SEND: SKILL + "\t- x"},
        {"skills/send/skill.py": "def run(:\n"},
        {"contracts/answer.schema.json": "{"},
    ],
    ids=["shape", "syntax", "code", "contract"],
)
def test_findings_in_what_a_run_reaches_concern_it_also_where_it_cannot_be_read(
    changes: dict[str, str | bytes | None], tmp_path: Path
) -> None:
    found = loaded(tmp_path, changes)
    assert len(found.findings) == 1
    assert found.concerning("agent:boss-mag") == found.findings
    assert found.concerning("agent:helper-sag") == []


def test_a_new_version_that_cannot_be_read_concerns_those_who_name_its_slug(tmp_path: Path) -> None:
    newer = {"skills/send-3/skill.yaml": swapped(SKILL, ("0.2.0", "0.3.0"), ("effect", "efect"))}
    found = loaded(tmp_path, {**newer, "skills/send-3/skill.py": RUN})
    assert found.concerning("agent:boss-mag") == found.findings
    assert len(found.findings) == 1


def test_a_warning_does_not_keep_a_run_from_starting(tmp_path: Path) -> None:
    code = "import time\n" + ASYNC_RUN.replace("return", "time.time()\n    return")
    found = loaded(tmp_path, {BOSS.replace("yaml", "py"): code})
    assert [note.severity for note in found.findings] == ["warning"]
    assert found.concerning("agent:boss-mag") == []


def test_before_a_run_only_what_it_reaches_is_looked_into(tmp_path: Path) -> None:
    from magsag.adapters.conditions import CelConditions
    from magsag.catalog.load import load

    changes = {
        "agents/sub/lone-sag/agent.py": ASYNC_RUN,
        "skills/send/skill.py": "def run(:\n",
        LONE: swapped(HELPER, ("helper", "lone"), ("role: sub", "role: x")),
    }
    assert len(told(tmp_path, changes)) == 2
    found = load(tmp_path, CelConditions(), reach="agent:helper-sag").findings
    assert [note.path for note in found] == [LONE]


def test_places_begin_as_the_folder_was_typed(tmp_path: Path) -> None:
    from magsag.adapters.conditions import CelConditions
    from magsag.catalog.load import load

    loaded(tmp_path, {SEND: ""})
    assert load(tmp_path, CelConditions(), shown="my/catalog/").findings[0].place == f"my/catalog/{SEND}:1:1"
    assert load(tmp_path, CelConditions()).findings[0].place == f"{tmp_path}/{SEND}:1:1"
