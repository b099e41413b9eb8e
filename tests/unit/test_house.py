"""The rules of the house hold, and each of them can fail."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

from ops.tools import size

ROOT = Path(__file__).parents[2]
TARGETS = "help setup demo check test test-slow prove bench docs-check size schemas docs lock clean build"
LEFT_FOR_LATER = (
    r"TODO|FIXME|NotImplementedError|mark\.skip|mark\.xfail|pytest\.skip\(|unittest\.mock|monkeypatch\.setattr"
)
FROZEN_BY_HAND = re.compile(r"^\s*@(?:\w+\.)?dataclass\((?=[^)]*\bfrozen=True)[^)]*\bslots=True", re.MULTILINE)
VIOLATIONS = {
    "engine/violation.py": "import time",
    "policy/violation.py": "import magsag.ports",
    "catalog/violation.py": "import magsag.engine",
    "adapters/store/violation.py": "import magsag.adapters.conditions",
    "surfaces/cli/violation.py": "import magsag.adapters",
    "services/recording/violation.py": "import magsag.services.steps.seat",
    "services/driving/violation.py": (
        "import magsag.app, magsag.testing, magsag.services.gate.acts, magsag.services.gate.performing"
    ),
    "unlisted/__init__.py": "",
}


def lock_faults(lock: str) -> Iterator[str]:
    """What is wrong with a lock: a package without a hash, a host, a path of a machine."""
    for package in re.split(r"\n(?=\S)", lock.strip()):
        if not re.match(r"[\w.-]+==\S+.*\n    --hash=sha256:", package):
            yield f"not pinned with a hash: {package.splitlines()[0]}"
    yield from (
        f"names a place: {line}" for line in lock.splitlines() if re.search(r"https?://|(^|\s)/\w|--find|--index", line)
    )


def text_faults(name: str, text: str) -> Iterator[str]:
    """What no file of the product or its tests may hold."""
    if re.fullmatch(r"(utils?|helpers?|managers?)\.py", name.rsplit("/", 1)[-1]):
        yield f"{name}: the name says nothing"
    yield from (f"{name}: {found}" for found in re.findall(LEFT_FOR_LATER, text))


def locked_names(name: str) -> set[str]:
    return {package for package, _ in size.locked((ROOT / "requirements" / name).read_text(encoding="utf-8"))}


@pytest.mark.parametrize("name", ["core.txt", "dev.txt"])
def test_locks_have_hashes_and_no_places(name: str) -> None:
    assert list(lock_faults((ROOT / "requirements" / name).read_text(encoding="utf-8"))) == []


@pytest.mark.parametrize(
    "lock",
    [
        "click==8.1",
        "click>=8.1 \\\n    --hash=sha256:00",
        "--index-url https://example.org\nclick==8.1 \\\n    --hash=sha256:00",
        "click==8.1 \\\n    --hash=sha256:00\n    # from /srv/wheels",
    ],
)
def test_a_lock_with_a_fault_is_seen(lock: str) -> None:
    assert list(lock_faults(lock))


def test_the_locks_hold_what_the_project_asks_for() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    asked = {re.split(r"[<>=\[ ]", item)[0].lower() for item in project["project"]["dependencies"]}
    asked_by_developers = {re.split(r"[<>=\[ ]", item)[0].lower() for item in project["dependency-groups"]["dev"]}
    assert asked <= locked_names("core.txt")
    assert asked_by_developers | locked_names("core.txt") <= locked_names("dev.txt")


def test_make_has_its_targets() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    documented = re.findall(r"^([a-z-]+):.*## ", makefile, re.MULTILINE)
    assert set(TARGETS.split()) - set(documented) == set()


def test_nothing_is_left_for_later() -> None:
    files = [path for folder in ("src", "tests", "catalog", "ops") for path in (ROOT / folder).rglob("*.py")]
    suites = ROOT / "src/magsag/testing"  # what each adapter fills in
    others = [path for path in files if path != Path(__file__) and suites not in path.parents]
    named = ((path.relative_to(ROOT).as_posix(), path.read_text(encoding="utf-8")) for path in others)
    assert [fault for name, text in named for fault in text_faults(name, text)] == []


@pytest.mark.parametrize(("name", "text"), [("a/utils.py", ""), ("a.py", "# TODO: more"), ("a.py", "pytest.skip()")])
def test_what_is_left_for_later_is_seen(name: str, text: str) -> None:
    assert list(text_faults(name, text))


def test_values_are_made_in_one_way() -> None:
    texts = {path: path.read_text(encoding="utf-8") for path in (ROOT / "src/magsag").rglob("*.py")}
    assert [path.relative_to(ROOT).as_posix() for path, text in texts.items() if FROZEN_BY_HAND.search(text)] == []


@pytest.mark.parametrize(
    "text",
    [
        "@dataclass(frozen=True, slots=True)\nclass A:\n",
        "import dataclasses\n\n\n@dataclasses.dataclass(\n    slots=True,\n    frozen=True,\n)\nclass A:\n",
    ],
)
def test_a_value_made_in_another_way_is_seen(text: str) -> None:
    assert FROZEN_BY_HAND.search(text)


def test_each_import_rule_can_fail(tmp_path: Path) -> None:
    shutil.copytree(ROOT / "src", tmp_path / "src", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    for name, text in VIOLATIONS.items():
        path = tmp_path / "src/magsag" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text + "\n", encoding="utf-8")
    seen = lint_imports(tmp_path)
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["importlinter"][
        "contracts"
    ]
    assert [name for name in (contract["name"] for contract in contracts) if f"{name} BROKEN" not in seen] == []


@pytest.mark.parametrize(
    "code", ["datetime.datetime.now(datetime.UTC)", "uuid.uuid4()", "time.time()", "random.random()", "os.urandom(8)"]
)
def test_clock_and_chance_are_banned_outside_the_adapters(code: str) -> None:
    text = f"import {code.split('.', maxsplit=1)[0]}\n\n{code}\n"
    assert "TID251" in ruff(text, "src/magsag/engine/some.py")
    assert "TID251" not in ruff(text, "src/magsag/adapters/some.py")


def test_an_import_opens_nothing(tmp_path: Path) -> None:
    assert effects_of_import("magsag", tmp_path) == ""


def test_an_import_with_effects_is_seen(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(
        "import socket\nopen('trace', 'w').close()\nsocket.socket().close()\n", encoding="utf-8"
    )
    assert effects_of_import("loud", tmp_path).split() == ["open", "socket.__new__"]


def test_the_core_weighs_what_it_may(capsys: pytest.CaptureFixture[str]) -> None:
    assert size.main([]) == 0
    assert "cel-expr-python" in capsys.readouterr().out


def test_a_heavy_core_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert size.main(["--limit", "1"]) == 1
    assert "too heavy" in capsys.readouterr().err


def lint_imports(folder: Path) -> str:
    lint = "from importlinter.cli import lint_imports_command as lint; lint()"
    environment = {**os.environ, "PYTHONPATH": str(folder / "src"), "COLUMNS": "200"}
    command = [sys.executable, "-c", lint, "--no-cache"]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False).stdout


def ruff(text: str, name: str) -> str:
    command = [
        sys.executable,
        "-m",
        "ruff",
        "check",
        "--quiet",
        "--output-format=concise",
        "--stdin-filename",
        name,
        "-",
    ]
    return subprocess.run(command, cwd=ROOT, input=text, capture_output=True, text=True, check=False).stdout


def effects_of_import(module: str, folder: Path) -> str:
    """The audit events of a fresh interpreter that would touch the world when it imports the module."""
    watch = """
import sys
def hook(event, args):
    if event == "open":
        if isinstance(args[2], int) and args[2] & 3 or isinstance(args[1], str) and set(args[1]) & set("wax+"):
            print(event)
    elif event.startswith(("socket.", "subprocess.", "os.mkdir", "os.rename", "os.remove", "os.putenv", "sqlite3.")):
        print(event)
sys.addaudithook(hook)
"""
    command = [sys.executable, "-B", "-c", f"{watch}\nimport {module}"]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=True)
    return done.stdout
