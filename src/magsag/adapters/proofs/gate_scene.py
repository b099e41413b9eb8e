"""The scene of the gate proof: a project in a temporary folder, a ledger for each way, and the product's own command.

The command line is used by its command, the Python surface by a program that imports `magsag`; workers are
`magsag serve --worker`. Nothing is wired otherwise than it is for people.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Final

from magsag.ports.ledger import Store
from magsag.services.proofs.gate import Line, Way, decisions
from magsag.services.proofs.gate_cases import POLICY, Batch, files

_LIMIT_SECONDS: Final = 300
_PARKED: Final = 3
_FINE: Final = (0, 1, _PARKED)
PYTHON: Final = """\
import json, sys
from magsag import Project

verb, source, ledger = sys.argv[1:]
for group in json.load(open(source)):
    with Project.open(".", ledger=ledger, environment=group["environment"], mode=group["mode"]) as project:
        for run, agent, payload in group["runs"]:
            if verb == "resume":
                project.resume_sync(run)
            else:
                (project.start_sync if verb == "start" else project.run_sync)(agent, payload, run_id=run)
"""
"""a program that uses the product as a library"""


class ProcessScene:
    """A scene (`services.proofs.gate`). Use it with `with`; all of it is gone afterwards."""

    def __init__(self, open_ledger: Callable[[str, Path], Store], programs: Mapping[str, str]) -> None:
        """`programs`: more surfaces by name, Python programs that are called as `PYTHON` is; for tests of the proof."""
        self._open = open_ledger
        self._programs = {"python": PYTHON, **programs}
        self.more = [Way("local", name) for name in programs]
        self._ran: dict[Way, list[str]] = {}
        self._spoilt = 0

    def __enter__(self) -> "ProcessScene":
        self._folder = Path(tempfile.mkdtemp(prefix="magsag-proof-"))
        self._put({**files(), "policies/all.yaml": POLICY})
        (self._folder / "magsag.toml").write_text("", encoding="utf-8")
        return self

    def __exit__(self, *_: object) -> None:
        shutil.rmtree(self._folder, ignore_errors=True)

    def drive(self, way: Way, asked: Sequence[Batch]) -> str:
        """Local runs are run, those of workers are left to them."""
        self._ran[way] = [batch.run for batch in asked]
        if way.runner == "local":
            return self._by(way, "run", asked)
        return self._by(way, "start", asked) or self._serve(way)

    def drive_lawless(self, way: Way, asked: Sequence[Batch], how: str) -> str:
        """The policies are there again afterwards."""
        self._spoilt += 1
        named = [_renamed(batch, f"spoilt-{self._spoilt}") for batch in asked]
        self._ran[way] = [batch.run for batch in named]
        if fault := self._by(way, "start", named):
            return fault
        self._spoil(how)
        try:
            return self._by(way, "resume", named) if way.runner == "local" else self._serve(way)
        finally:
            (self._policy).unlink()
            self._put({"policies/all.yaml": POLICY})

    def log(self, way: Way) -> list[Line]:
        """Read from the ledger, when nobody drives it any more."""
        ledger = self._ledger(way)
        with closing(self._open(str(ledger), ledger.parent)) as store:
            return decisions(store, self._ran[way])

    def _by(self, way: Way, verb: str, asked: Sequence[Batch]) -> str:
        if way.surface != "cli":
            return self._by_program(way, verb, asked)
        for batch in asked:
            about = ["--env", batch.environment, "--mode", batch.mode, "--quiet"]
            named = ["--resume", batch.run] if verb == "resume" else [batch.agent, "--run-id", batch.run]
            detach = ["--detach"] if verb == "start" else []
            said = None if verb == "resume" else json.dumps(batch.payload)
            if fault := self._command(way, ["agent", "run", *named, *detach, *about], said):
                return fault
        return ""

    def _by_program(self, way: Way, verb: str, asked: Sequence[Batch]) -> str:
        """One project for each environment and mode."""
        groups: dict[tuple[str, str], list[object]] = {}
        for batch in asked:
            groups.setdefault((batch.environment, batch.mode), []).append((batch.run, batch.agent, batch.payload))
        told = [{"environment": env, "mode": mode, "runs": runs} for (env, mode), runs in groups.items()]
        source = self._folder / "groups.json"
        source.write_text(json.dumps(told), encoding="utf-8")
        program = self._programs[way.surface]
        return self._process([sys.executable, "-c", program, verb, str(source), str(self._ledger(way))])

    def _serve(self, way: Way) -> str:
        return self._command(way, ["serve", "--worker", "--once", "--quiet"])

    def _command(self, way: Way, arguments: Sequence[str], said: str | None = None) -> str:
        return self._process([sys.executable, "-m", "magsag", *arguments, "--ledger", str(self._ledger(way))], said)

    def _process(self, command: Sequence[str], said: str | None = None) -> str:
        environ = {name: value for name, value in os.environ.items() if not name.startswith(("MAGSAG_", "AGDD_"))}
        done = subprocess.run(
            command,
            check=False,
            cwd=self._folder,
            env=environ,
            input=said or "",
            capture_output=True,
            text=True,
            timeout=_LIMIT_SECONDS,
        )
        return "" if done.returncode in _FINE else f"exit code {done.returncode}: {done.stderr.strip()[-500:]}"

    def _ledger(self, way: Way) -> Path:
        folder = self._folder / f"{way.runner}-{way.surface}"
        folder.mkdir(exist_ok=True)
        return folder / "ledger.db"

    @property
    def _policy(self) -> Path:
        return self._folder / "catalog" / "policies" / "all.yaml"

    def _spoil(self, how: str) -> None:
        if how == "gone":
            self._policy.unlink()
            self._policy.symlink_to("nowhere.yaml")
        else:
            self._policy.write_text("kind: policy\nrules: [", encoding="utf-8")

    def _put(self, texts: Mapping[str, str]) -> None:
        for path, text in texts.items():
            file = self._folder / "catalog" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")


def _renamed(batch: Batch, run: str) -> Batch:
    return Batch(run, batch.agent, batch.environment, batch.mode, batch.payload)
