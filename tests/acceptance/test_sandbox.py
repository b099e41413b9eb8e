"""The real command where nothing can be held: bubblewrap is not on its PATH, and the kernel has no Landlock."""

import os
import platform
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Final

import pytest

from tests.acceptance.workshop import magsag

WITHOUT: Final = """
import ctypes, os, struct, sys
lines = [(0x20, 0, 0, 0), (0x35, 0, 2, 444), (0x35, 1, 0, 447), (0x06, 0, 0, 0x00050000 | 38), (0x06, 0, 0, 0x7FFF0000)]
text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
held = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(text)))
libc = ctypes.CDLL(None)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, ctypes.c_ulong(2), ctypes.c_ulong(ctypes.addressof(held)), 0, 0) == 0
os.environ["PATH"] = "/nonexistent"
os.execv(sys.argv[1], sys.argv[1:])
"""
"""a filter that answers the three calls of Landlock as a kernel would that has none"""
SKILL: Final = """\
    kind: skill
    schema: 1
    slug: look
    version: 0.1.0
    entrypoint: skill.py:run
    effect: read
    isolation: sandbox
    """
FLOW: Final = """\
    kind: flow
    schema: 1
    slug: {slug}
    version: 0.1.0
    steps:
      - {step}
    """


@pytest.fixture
def desk(tmp_path: Path) -> Path:
    flows = {
        "held": "{id: look, uses: skill:look, with: {}}",
        "program": f'{{id: look, run: ["{os.path.realpath("/bin/true")}"], effect: pure}}',
        "free": f'{{id: look, run: ["{os.path.realpath("/bin/true")}"], effect: pure, isolation: process}}',
    }
    files = {f"flows/{slug}.yaml": FLOW.format(slug=slug, step=step) for slug, step in flows.items()}
    files |= {"skills/look/skill.yaml": SKILL, "skills/look/skill.py": "def run(payload):\n    return 1\n"}
    for path, text in files.items():
        file = tmp_path / "catalog" / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text))
    (tmp_path / "magsag.toml").touch()
    return tmp_path


def without(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", WITHOUT, sys.executable, "-m", "magsag", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=100, check=False)


def test_what_cannot_be_enforced_is_refused_before_the_run_starts(desk: Path) -> None:
    assert platform.system() == "Linux"
    for flow, named in (("held", "skill:look@0.1.0"), ("program", "step look of flow:program@0.1.0")):
        assert magsag("flow", "run", flow, cwd=desk).code == 0
        refused = without(desk, "flow", "run", flow, "--run-id", "refused")
        assert (refused.returncode, refused.stdout) == (2, ""), refused.stderr
        assert f"{named} declares `isolation: sandbox`, and nothing here keeps it off files" in refused.stderr
        assert "install bubblewrap" in refused.stderr
        assert "refused" not in magsag("run", "list", cwd=desk).out
    assert without(desk, "flow", "run", "free").returncode == 0


def test_doctor_says_what_can_be_enforced(desk: Path) -> None:
    lines = {line.split()[1]: line.split()[0] for line in without(desk, "doctor").stdout.splitlines() if line}
    assert (lines["process"], lines["sandbox"]) == ("ok", "warn")
    lines = {line.split()[1]: line.split()[0] for line in magsag("doctor", cwd=desk).out.splitlines() if line}
    assert (lines["process"], lines["sandbox"]) == ("ok", "ok")
