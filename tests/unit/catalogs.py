"""Small catalogs for tests: a valid one to begin with, and what the loader says of a changed one."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Final

from magsag.adapters.conditions import CelConditions
from magsag.catalog.findings import Finding
from magsag.catalog.load import Loaded, load

AGENT: Final = """\
kind: agent
schema: 1
slug: boss-mag
version: 0.1.0
role: main
entrypoint: agent.py:run
contracts: {input: question, output: answer}
uses: [agent:helper-sag@^0.1, skill:send]
"""
HELPER: Final = """\
kind: agent
schema: 1
slug: helper-sag
version: 0.1.3
role: sub
entrypoint: agent.py:run
"""
SKILL: Final = """\
kind: skill
schema: 1
slug: send
version: 0.2.0
entrypoint: skill.py:run
effect: idempotent
contracts: {input: question, output: answer}
"""
FLOW: Final = """\
kind: flow
schema: 1
slug: review
version: 1.0.0
contracts: {input: question}
steps:
  - {id: ask, uses: "skill:send", with: {text: =input.text, level: =input.level}}
  - id: tell
    uses: skill:send
    when: input.level == "high" && steps.ask.score > 3
    with: {text: =steps.ask.text, level: low}
"""
QUESTION: Final = """\
{
  "type": "object",
  "required": ["text", "level"],
  "properties": {"text": {"type": "string"}, "level": {"enum": ["low", "high"]}},
  "additionalProperties": false
}
"""
ANSWER: Final = """\
{"type": "object", "required": ["text", "score"],
 "properties": {"text": {"type": "string"}, "score": {"type": "integer", "minimum": 0, "maximum": 10}}}
"""
ASYNC_RUN: Final = "async def run(payload, ctx):\n    return payload\n"
RUN: Final = "def run(payload):\n    return payload\n"

VALID: Final[Mapping[str, str]] = {
    "agents/main/boss-mag/agent.yaml": AGENT,
    "agents/main/boss-mag/agent.py": ASYNC_RUN,
    "agents/sub/helper-sag/agent.yaml": HELPER,
    "agents/sub/helper-sag/agent.py": ASYNC_RUN,
    "skills/send/skill.yaml": SKILL,
    "skills/send/skill.py": RUN,
    "flows/review.yaml": FLOW,
    "contracts/question.schema.json": QUESTION,
    "contracts/answer.schema.json": ANSWER,
}
BOSS: Final = "agents/main/boss-mag/agent.yaml"
SEND: Final = "skills/send/skill.yaml"
REVIEW: Final = "flows/review.yaml"


def write(root: Path, files: Mapping[str, str | bytes | None]) -> Path:
    """Write files below a folder; None removes one. Texts may be indented."""
    for path, content in files.items():
        file = root / path
        file.parent.mkdir(parents=True, exist_ok=True)
        if content is None:
            file.unlink()
        else:
            file.write_bytes(content if isinstance(content, bytes) else dedent(content).encode())
    return root


def loaded(root: Path, changes: Mapping[str, str | bytes | None] | None = None) -> Loaded:
    """The valid catalog with changes, loaded."""
    write(root, VALID)
    write(root, changes or {})
    return load(root, CelConditions(), shown="")


def findings(root: Path, changes: Mapping[str, str | bytes | None]) -> list[Finding]:
    return loaded(root, changes).findings


def told(root: Path, changes: Mapping[str, str | bytes | None]) -> list[str]:
    """`path:line:column: what; next` of each finding."""
    return [str(finding) for finding in findings(root, changes)]


def swapped(text: str, *pairs: tuple[str, str]) -> str:
    """The text with each old part replaced by a new one; every old part must be there."""
    for old, new in pairs:
        assert old in text, old
        text = text.replace(old, new)
    return text
