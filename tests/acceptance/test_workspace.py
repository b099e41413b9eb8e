"""A workspace that would hold what governs runs is refused before one starts, and seen by the doctor."""

from pathlib import Path

import pytest

from tests.acceptance.workshop import magsag


@pytest.mark.parametrize("workspace", [".", "..", "/", "catalog"])
def test_a_workspace_that_holds_what_is_protected_starts_nothing(tmp_path: Path, workspace: str) -> None:
    folder = tmp_path / "project"
    assert magsag("init", str(folder), cwd=tmp_path).code == 0
    settings = folder / "magsag.toml"
    settings.write_text(f'workspace = "{workspace}"\n' + settings.read_text())
    done = magsag("agent", "run", "triage-mag", "--input", "examples/tickets.json", cwd=folder)
    assert done.code == 2
    assert "set `workspace` to a folder beside it" in done.err
    assert not (folder / ".magsag/ledger.db").exists() or magsag("run", "list", "--json", cwd=folder).value == []
    looked = magsag("doctor", cwd=folder)
    assert looked.code == 1
    assert "fail  workspace" in looked.out
