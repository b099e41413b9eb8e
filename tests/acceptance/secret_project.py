"""A project whose skills give their secrets away by every door that a skill has, and a hundred secrets to give away."""

import base64
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import quote, quote_plus

COUNT: Final = 100
_SHAPES: Final = (
    "tok_{n}_Zm9vYmFyYmF6",
    "p@ss/w%rd+{n}=&?#x",
    "-----BEGIN PRIVATE KEY-----\nMIIEvQ{n}IBADANBgkqh\nkiG9w0BAQ{n}EFAASC\n-----END PRIVATE KEY-----",
    "quote\"{n}\\back'slash",
    "Grüße-{n}-übers-Tal-☃",
    '{{"type": "service", "key": "k{n}-abcdef"}}',
    "postgresql://u{n}:w0rd-{n}@db.internal/x",
    "eyJhbGciOi{n}.eyJzdWIiOi{n}.c2lnbmF0dXJl{n}",
    "<tag{n}>&amp;value</tag{n}>",
    "a very long {n} " + "secret " * 30,
)
LEAK: Final = """
import base64, json, logging, time
from urllib.parse import quote
from magsag import Retryable, StepFailed

def run(payload, ctx):
    secrets = {name: ctx.secret(name) for name in payload["names"]}
    everything = json.dumps(secrets) + " " + " ".join(secrets.values())
    do = payload["do"]
    if do == "return":
        encoded = {name: [base64.b64encode(b"u:" + value.encode()).decode(), quote(value), value.encode().hex()]
                   for name, value in secrets.items()}
        return {"plain": secrets, "encoded": encoded, "keys": {value: 1 for value in secrets.values()}}
    if do == "raise":
        raise ValueError("x" * 31_900 + everything)
    if do == "fail":
        raise StepFailed("raised", everything, {"headers": secrets, "body": [everything]})
    if do == "retry":
        raise Retryable("rate_limit", everything)
    if do == "log":
        ctx.log(everything, **secrets)
        ctx.progress(1, 2, everything)
        try:
            raise RuntimeError(everything)
        except RuntimeError:
            logging.getLogger("mine").exception("%s", everything)
    if do == "late":
        time.sleep(1.2)
        return secrets
    if do == "record":
        ctx.put_record("k", secrets)
    if do == "doubt":
        raise StepFailed("timeout", everything)
    if do == "file":
        open("leak.txt", "w").write(everything)
    if do == "print":
        print(everything)
    return "done"
"""
AGENT: Final = """
from magsag import StepFailed

async def run(payload, ctx):
    said = []
    for name, do in payload["do"]:
        try:
            said.append(await ctx.skill(name, {"do": do, "names": payload["names"], "said": said[-1:]}))
        except StepFailed as error:
            said.append([str(error), error.details])
    return said
"""
SKILLS: Final = {
    "leak": "read\nretry: {attempts: 2, backoff: 1ms, on: [rate_limit]}\ntimeout: 600ms",
    "apart": "read\nisolation: process\ntimeout: 30s",
    "store": "transactional",
    "send": "unrepeatable",
    "ask": "unrepeatable",
}


def planted() -> dict[str, str]:
    """Name -> value: a hundred, of ten shapes."""
    return {f"S{n:03}": _SHAPES[n % len(_SHAPES)].format(n=1000 + n) for n in range(COUNT)}


def build(folder: Path) -> dict[str, str]:
    """Write the project; the variables that hold every other secret, the rest lies in files beside the project."""
    kept, variables, places = folder.with_name("kept"), {}, {}
    kept.mkdir()
    for n, (name, value) in enumerate(planted().items()):
        if n % 2 == 0 and "\n" not in value:
            places[name], variables[f"PLANTED_{name}"] = f"env:PLANTED_{name}", value
        else:
            file = kept / name
            file.write_text(value, encoding="utf-8")
            file.chmod(0o600)
            places[name] = f"file:../kept/{name}"
    for slug, effect in SKILLS.items():
        _put(
            folder / f"catalog/skills/{slug}/skill.yaml",
            f"kind: skill\nschema: 1\nslug: {slug}\nversion: 0.1.0\nentrypoint: skill.py:run\neffect: {effect}\n"
            f"secrets: {json.dumps(places)}\n",
        )
        _put(folder / f"catalog/skills/{slug}/skill.py", LEAK)
    _put(
        folder / "catalog/agents/main/leaky-mag/agent.yaml",
        "kind: agent\nschema: 1\nslug: leaky-mag\nversion: 0.1.0\nrole: main\nentrypoint: agent.py:run\n"
        f"uses: [{', '.join(f'skill:{slug}' for slug in SKILLS)}]\n",
    )
    _put(folder / "catalog/agents/main/leaky-mag/agent.py", AGENT)
    _put(
        folder / "catalog/policies/open.yaml",
        "kind: policy\nschema: 1\nrules:\n  - {id: go-on, on: [skill:store, skill:send], verdict: allow}\n",
    )
    _put(folder / "magsag.toml", "")
    return variables


def hits(folder: Path, said: str) -> list[str]:
    """Where a secret is found: in any file below the folder, or in what commands have said."""
    found = []
    texts = [("what was said", said.encode())]
    texts += [(str(path.relative_to(folder)), path.read_bytes()) for path in folder.rglob("*") if path.is_file()]
    for name, value in planted().items():
        for where, data in texts:
            found += [f"{name} in {where}" for form in set(_forms(value)) if form in data]
    return found


def _forms(value: str) -> Iterator[bytes]:
    """As it is, in JSON, in base64 wherever it begins, in a URL, as hex; and each long line of it."""
    data = value.encode()
    yield data
    yield json.dumps(value)[1:-1].encode()
    yield json.dumps(value, ensure_ascii=False)[1:-1].encode()
    yield quote(value, safe="").encode()
    yield quote_plus(value).encode()
    yield data.hex().encode()
    yield from (line.encode() for line in value.splitlines() if len(line) > 12 and "-----" not in line)
    for before in (b"", b"x", b"xx"):
        encoded = base64.b64encode(before + data).rstrip(b"=")
        yield encoded[(0, 2, 3)[len(before)] : -1]


def _put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
