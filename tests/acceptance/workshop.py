"""A project of agents that behave and misbehave on demand, and the real command to run them with."""

import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent
from typing import Any, Final

AGENT: Final = """\
    kind: agent
    schema: 1
    slug: {slug}
    version: 0.1.0
    role: {role}
    entrypoint: agent.py:run
    uses: [{uses}]
    contracts: {{{contracts}}}
    """
SKILL: Final = """\
    kind: skill
    schema: 1
    slug: {slug}
    version: 0.1.0
    entrypoint: skill.py:run
    effect: {effect}
    """
PROFILE: Final = {
    "type": "object",
    "required": ["role"],
    "additionalProperties": False,
    "properties": {"role": {"type": "string"}, "level": {"type": "string"}, "text": {"type": "string"}},
}
ANSWER: Final = {"type": "object", "required": ["answer"], "properties": {"answer": {"type": "integer"}}}
BEHAVIOUR: Final = """\
    import asyncio
    import logging
    import os
    import time

    async def run(payload, ctx):
        do = payload["do"]
        if do == "raise":
            raise ValueError("no luck\\nat all")
        if do == "nothing":
            return None
        if do == "text":
            return {"answer": "lots"}
        if do == "hang":
            await ctx.call(wait, 3600)
        if do == "block":
            time.sleep(3600)
        if do == "delete":
            os.remove(payload["path"])
            await ctx.skill("echo", {})
        if do == "spawn":
            await ctx.gather(*(ctx.delegate("echo-sag", {"role": str(n)}) for n in range(payload["count"])))
        if do == "steps":
            for _ in range(payload["count"]):
                await ctx.skill("nap", {"seconds": payload["seconds"]})
        if do == "send":
            await ctx.skill("send", {})
        if do == "print":
            print("a word on the side")
            logging.getLogger("mine").warning("heed this")
            await ctx.skill("talk", {})
        if do == "debug":
            secret = 41 + 1
            breakpoint()
        if do == "model":
            return {"answer": len((await ctx.model("smart", payload["prompt"]))["text"])}
        return {"answer": 42}

    def wait(seconds):
        time.sleep(seconds)
    """
ECHO: Final = "async def run(payload, ctx):\n    return payload\n"
SKILLS: Final = {
    "echo": ("pure", "def run(payload):\n    return payload\n"),
    "nap": ("read", "import time\ndef run(payload):\n    time.sleep(payload['seconds'])\n    return {}\n"),
    "send": ("unrepeatable", "def run(payload):\n    return {}\n"),
    "talk": (
        "pure",
        "import logging\ndef run(payload):\n    logging.warning('said')\n    return {}\n",
    ),
}


@dataclass(frozen=True, slots=True)
class Done:
    """How a command ended."""

    code: int
    out: str
    err: str

    @property
    def value(self) -> Any:
        return json.loads(self.out)

    @property
    def error(self) -> Any:
        """Of a command with --json."""
        return json.loads(self.err.splitlines()[-1])["error"]


def build(folder: Path) -> Path:
    """Write the project into a new folder."""
    catalog = folder / "catalog"
    uses = ", ".join(["agent:echo-sag", "model:smart", *(f"skill:{name}" for name in SKILLS)])
    _put(catalog / "agents/main/echo-mag/agent.yaml", _agent("echo-mag", "main", "", "input: profile, output: profile"))
    _put(catalog / "agents/main/echo-mag/agent.py", ECHO)
    _put(catalog / "agents/sub/echo-sag/agent.yaml", _agent("echo-sag", "sub", "", ""))
    _put(catalog / "agents/sub/echo-sag/agent.py", ECHO)
    _put(catalog / "agents/main/behave-mag/agent.yaml", _agent("behave-mag", "main", uses, "output: answer"))
    _put(catalog / "agents/main/behave-mag/agent.py", dedent(BEHAVIOUR))
    for name, (effect, code) in SKILLS.items():
        _put(catalog / f"skills/{name}/skill.yaml", dedent(SKILL).format(slug=name, effect=effect))
        _put(catalog / f"skills/{name}/skill.py", code)
    _put(catalog / "contracts/profile.schema.json", json.dumps(PROFILE))
    _put(catalog / "contracts/answer.schema.json", json.dumps(ANSWER))
    _put(folder / "magsag.toml", '[models]\nsmart = "scripted:replies.yaml"\n')
    _put(folder / "replies.yaml", "replies:\n  - {match: hello, text: '12345'}\n")
    return folder


def command(*arguments: str) -> list[str]:
    """The real command, in this environment."""
    return [sys.executable, "-m", "magsag", *arguments]


def environment(**more: str) -> dict[str, str]:
    """This process's variables without those of MAGSAG."""
    own = {name: value for name, value in os.environ.items() if not name.startswith(("MAGSAG_", "AGDD_"))}
    return {**own, **more}


def magsag(*arguments: str, cwd: Path, stdin: str | bytes = b"", wrap: tuple[str, ...] = (), **more: str) -> Done:
    """Run the command to its end; `more` are variables."""
    data = stdin.encode() if isinstance(stdin, str) else stdin
    words = [*wrap, *command(*arguments)]
    done = subprocess.run(
        words, cwd=cwd, input=data, capture_output=True, env=environment(**more), timeout=100, check=False
    )
    return Done(done.returncode, done.stdout.decode(), done.stderr.decode())


def behave(do: str, cwd: Path, *arguments: str, wrap: tuple[str, ...] = (), **payload: Any) -> Done:
    """Run the agent that behaves as it is told."""
    return magsag("agent", "run", "behave-mag", *arguments, cwd=cwd, stdin=json.dumps({"do": do, **payload}), wrap=wrap)


def is_sound(folder: Path) -> bool:
    """Whether `data check` finds no fault, or there is nothing to check: what only looks makes no ledger."""
    done = magsag("data", "check", cwd=folder)
    return done.code == 0 or (done.code == 2 and "there is no ledger yet" in done.err)


def _agent(slug: str, role: str, uses: str, contracts: str) -> str:
    return dedent(AGENT).format(slug=slug, role=role, uses=uses, contracts=contracts)


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
