"""The sandboxes under the suite that each adapter passes, and what a machine cannot enforce."""

import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

import pytest

from magsag.adapters.sandbox.bubblewrap import BubblewrapSandbox
from magsag.adapters.sandbox.landlock import LandlockSandbox
from magsag.adapters.sandbox.machine import MachineSandbox
from magsag.adapters.sandbox.places import Places
from magsag.adapters.sandbox.process import ProcessSandbox
from magsag.domain.errors import Invalid
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines, Ended, Sandbox
from magsag.testing.sandbox_suite import SandboxedSuite, SandboxSuite, run

START = """
import asyncio, sys
from magsag.adapters.sandbox.{module} import {name}
from magsag.adapters.sandbox.places import Places
from magsag.domain.manifests.isolation import Isolation
from magsag.ports.sandbox import Confines
box = {name}({given})
asyncio.run(box.program(sys.argv[2:], Confines(Isolation(sys.argv[1])), 100))
"""


@pytest.fixture
def workspace(tmp_path: Path) -> Path:
    folder = tmp_path / "workspace"
    folder.mkdir()
    return folder


@pytest.fixture
def places(workspace: Path) -> Places:
    return Places(str(workspace))


def starts(module: str, name: str, given: str = "") -> Sequence[str]:
    return [sys.executable, "-c", START.format(module=module, name=name, given=given)]


class TestProcess(SandboxSuite):
    @pytest.fixture
    def box(self) -> Sandbox:
        return ProcessSandbox()

    @pytest.fixture
    def starter(self) -> Sequence[str]:
        return starts("process", "ProcessSandbox")

    def test_it_says_what_it_cannot_enforce(self, box: Sandbox) -> None:
        confines = Confines(Isolation.SANDBOX)
        assert "files outside the workspace (filesystem) and the network (network)" in str(box.lacks(confines))
        assert "(network)" not in str(box.lacks(Confines(Isolation.SANDBOX, network=True)))
        with pytest.raises(Invalid, match="neither bubblewrap nor Landlock"):
            run(box, confines, "true")


class TestLandlock(SandboxedSuite):
    @pytest.fixture
    def box(self, places: Places) -> Sandbox:
        return LandlockSandbox(places)

    @pytest.fixture
    def starter(self, workspace: Path) -> Sequence[str]:
        return starts("landlock", "LandlockSandbox", f"Places({str(workspace)!r})")


@pytest.mark.needs("bwrap")
class TestBubblewrap(SandboxedSuite):
    @pytest.fixture
    def box(self, places: Places) -> Sandbox:
        return BubblewrapSandbox(places)

    @pytest.fixture
    def starter(self, workspace: Path) -> Sequence[str]:
        return starts("bubblewrap", "BubblewrapSandbox", f"Places({str(workspace)!r})")


def test_a_machine_has_the_first_that_works(places: Places) -> None:
    box = MachineSandbox(places)
    assert box.lacks(Confines(Isolation.SANDBOX)) is None
    assert run(box, Confines(Isolation.SANDBOX), "pwd").stdout.decode().strip() == places.workspace
    assert [(isolation, held) for isolation, _, held in box.abilities()] == [("process", True), ("sandbox", True)]


@pytest.mark.parametrize("protected", [".", "ledger.db", "catalog", "below/ledger.db"])
def test_a_workspace_that_holds_what_decides_is_refused(protected: str, workspace: Path) -> None:
    places = Places(str(workspace), protected=(str(workspace / protected),))
    with pytest.raises(Invalid, match="set `workspace` to a folder beside it"):
        places.opened()


def test_a_workspace_below_what_is_protected_is_refused(workspace: Path) -> None:
    inside = workspace / "catalog" / "skills"
    with pytest.raises(Invalid, match="set `workspace`"):
        Places(str(inside), protected=(str(workspace / "catalog"),)).opened()


class Careless(ProcessSandbox):
    """Claims to hold what it does not: no sandbox, no limits of its own, and whatever was started lives on."""

    def lacks(self, confines: Confines) -> str | None:
        return None

    async def program(self, argv: Sequence[str], confines: Confines, keep: int) -> Ended:
        with tempfile.TemporaryFile() as kept:
            process = await asyncio.create_subprocess_exec(*argv, stdout=kept)
            try:
                code = await process.wait()
            except asyncio.CancelledError:
                process.kill()
                await process.wait()
                raise
            kept.seek(0)
            return Ended(code, kept.read())


def test_a_careless_sandbox_is_noticed(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    suite, box, confines = SandboxedSuite(), Careless(), Confines(Isolation.SANDBOX)
    monkeypatch.chdir(workspace.parent)
    with pytest.raises(AssertionError):
        suite.test_it_reaches_no_network_unless_that_is_granted(box, confines)
    with pytest.raises(AssertionError):
        suite.test_it_begins_in_the_workspace_and_may_write_there(box, confines, workspace)
    with pytest.raises(AssertionError):
        suite.test_it_sees_only_declared_variables(box, confines, monkeypatch)
    with pytest.raises(AssertionError):
        suite.test_given_up_it_ends_with_all_that_it_started(box, confines, workspace / "beat")
    (workspace / "stop").touch()
