"""The pages are typed as a reader would: every console block, in order, in a folder of the page's own."""

import os
import pwd
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.unit.pages import ROOT, Block, blocks, differences, pages, typed

_WHO = re.compile(rf"(?:(?<=by )|(?<=  )){re.escape(pwd.getpwuid(os.getuid()).pw_name)}\b")
"""where a command names its actor, the user of this system: pages call them you"""
TYPED = [path for path in pages() if any(block.language == "console" for block in blocks(path))]


@pytest.mark.timeout(300)
@pytest.mark.parametrize("path", TYPED, ids=lambda path: path.relative_to(ROOT).as_posix())
def test_a_page_tells_what_happens(path: Path, tmp_path: Path) -> None:
    assert follow(blocks(path), tmp_path) == []


def test_another_output_and_another_exit_code_are_seen(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text("```console\n$ echo one\ntwo\n$ false\n$ echo three\n...\n```\n", encoding="utf-8")
    assert [said.partition(": ")[0] for said in follow(blocks(page, tmp_path), tmp_path)] == ["page.md:2", "page.md:4"]


def test_files_and_folders_last_from_block_to_block(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "```yaml\n# a/b.yaml\nx: 1\n```\n```console\n$ cd a\n```\n```console\n$ cat b.yaml\n# a/b.yaml\nx: 1\n```\n",
        encoding="utf-8",
    )
    assert follow(blocks(page, tmp_path), tmp_path) == []


def follow(found: list[Block], folder: Path) -> list[str]:
    """Do what the page says; where it is not as told."""
    said: list[str] = []
    here = folder
    for block in found:
        if block.file is not None:
            target = here / block.file
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(block.text, encoding="utf-8")
        elif block.language == "console":
            for one in typed(block):
                code, output, here = enter(one.command, here, folder)
                place = f"{block.page}:{one.line}"
                if code != one.code:
                    said.append(f"{place}: `{one.command}` ended with {code}, not {one.code}:\n{output}")
                elif one.output and (differ := differences(one.output, output, str(folder))):
                    said.append(f"{place}: `{one.command}` printed something else:\n" + "\n".join(differ))
    return said


def enter(command: str, here: Path, folder: Path) -> tuple[int, str, Path]:
    """Type one command; its exit code, what the terminal shows, and the folder in which the next one is typed."""
    place = folder / ".typed-in"
    script = f"{_known(command)}\ncode=$?\npwd > {place}\nexit $code"
    done = subprocess.run(
        ["bash", "-c", script],
        cwd=here,
        env=_environment(folder),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=120,
    )
    shown = _WHO.sub("you", done.stdout)
    return done.returncode, shown, Path(place.read_text(encoding="utf-8").strip())


def _known(command: str) -> str:
    """`make demo` needs a clone of its own; what it starts does not."""
    return f'python {ROOT}/ops/tools/demo.py "$(command -v magsag)"' if command.strip() == "make demo" else command


def _environment(folder: Path) -> dict[str, str]:
    ours = ("MAGSAG_", "AGDD_", "PYTEST_", "COV_", "COVERAGE_", "VIRTUAL_ENV", "PYTHONPATH")
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ours)}
    path = os.pathsep.join([str(Path(sys.executable).parent), kept["PATH"]])
    ours_now = {"HOME": str(folder), "LOGNAME": "you", "USER": "you", "LC_ALL": "C.UTF-8", "COLUMNS": "120"}
    return {**kept, **ours_now, "PATH": path, "PYTHONUNBUFFERED": "1"}
