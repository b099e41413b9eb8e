"""Shows the product at work: the main job live, its tree, then a run that is killed and resumed.

usage: python ops/tools/demo.py PATH_TO_MAGSAG

Types the commands that a person would, and shows what they answer. The main job uses ./.magsag, so that its runs can
be looked at afterwards; the killed run lives in a project of its own in a temporary folder. Exit 1 when anything is
not as it tells.
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Final

_PROJECT: Final = Path(__file__).parents[1] / "demo"
_MAIN_JOB: Final = "offer-orchestrator-mag"
_PROFILE: Final = '{"role":"Engineer","level":"Mid"}'
_PARCELS: Final = 6
_KILL_AFTER: Final = 3
_PATIENCE_SECONDS: Final = 20.0


class NotAsTold(Exception):
    """The demonstration saw something else than it promises."""


def main(arguments: list[str]) -> int:
    magsag = str(Path(arguments[0]).absolute()) if arguments else shutil.which("magsag")
    if magsag is None:
        print("demo: no magsag command; run `make demo`", file=sys.stderr)
        return 2
    try:
        show_the_main_job(magsag)
        with tempfile.TemporaryDirectory(prefix="magsag-demo-") as folder:
            show_a_kill(magsag, Path(folder) / "project")
    except NotAsTold as error:
        print(f"demo: {error}", file=sys.stderr)
        return 1
    return 0


def show_the_main_job(magsag: str) -> None:
    run = f"demo-{time.time_ns() // 1_000_000}"
    tell("A main agent delegates to a sub-agent under contracts. First the tree, live, then the packet.")
    call(magsag, ["agent", "run", _MAIN_JOB, "--run-id", run, "--watch"], Path.cwd(), typed=_PROFILE)
    tell("Every fact is on disk: the same tree, from the ledger.")
    call(magsag, ["run", "tree", run], Path.cwd())


def show_a_kill(magsag: str, project: Path) -> None:
    shutil.copytree(_PROJECT, project)
    log = project / "stamps.log"
    start = ["agent", "run", "relay-mag", "--run-id", "relay", "--input", "parcels.json"]
    (project / "parcels.json").write_text(json.dumps({"log": str(log)}), encoding="utf-8")
    tell(f"Now a run of {_PARCELS} steps with an effect outside, killed in the middle (SIGKILL, no goodbye).")
    say(f"{shlex.join(['magsag', *start])}   # kill -9 during step {_KILL_AFTER + 1}")
    kill_in_the_middle([magsag, *start], project, log)
    print(f"    killed; {len(stamps(log))} stamps in the outside log, the last one without an outcome on record")
    tell("The next process takes the run over at once and goes on where the record ends.")
    answer = call(magsag, ["agent", "run", "--resume", "relay"], project)
    call(magsag, ["run", "tree", "relay"], project)
    if json.loads(answer) != {"stamped": list(range(1, _PARCELS + 1))}:
        raise NotAsTold(f"the resumed run answered {answer}")
    judge_the_log(log)


def kill_in_the_middle(command: list[str], project: Path, log: Path) -> None:
    process = subprocess.Popen(
        command, cwd=project, env=_quiet(), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    give_up = time.monotonic() + _PATIENCE_SECONDS
    while len(stamps(log)) <= _KILL_AFTER:
        if process.poll() is not None or time.monotonic() > give_up:
            process.kill()
            _, errors = process.communicate()
            raise NotAsTold(f"the run ended before it could be killed: {errors.decode()}")
        time.sleep(0.02)
    process.kill()
    process.communicate()


def judge_the_log(log: Path) -> None:
    """Each stamp once, but the one that was killed: twice under one key, which is what `idempotent` declares."""
    expected = {str(parcel): 2 if parcel == _KILL_AFTER + 1 else 1 for parcel in range(1, _PARCELS + 1)}
    counts = Counter(line.split()[0] for line in stamps(log))
    keys = {line.split()[0]: line.split()[1] for line in stamps(log)}
    if counts != expected or len(set(stamps(log))) != _PARCELS or len(set(keys.values())) != _PARCELS:
        raise NotAsTold(f"the stamps are {stamps(log)}")
    tell(
        f"Counted outside: steps 1 to {_KILL_AFTER} once, as recorded; step {_KILL_AFTER + 1}, whose outcome was lost, "
        "again under the same key, as its kind `idempotent` says; the rest once."
    )


def stamps(log: Path) -> list[str]:
    return log.read_text(encoding="utf-8").splitlines() if log.exists() else []


def call(magsag: str, arguments: list[str], folder: Path, typed: str | None = None) -> str:
    """Run a command as a person would, show what it says, return its standard output."""
    say((f"echo '{typed}' | " if typed else "") + shlex.join(["magsag", *arguments]))
    sys.stdout.flush()
    done = subprocess.run(
        [magsag, *arguments],
        cwd=folder,
        input=typed or "",
        stdout=subprocess.PIPE,
        text=True,
        check=False,
        env=_quiet(),
    )
    print(done.stdout, end="", flush=True)
    if done.returncode != 0:
        raise NotAsTold(f"`magsag {shlex.join(arguments)}` ended with {done.returncode}")
    return done.stdout


def _quiet() -> dict[str, str]:
    """The environment without settings of MAGSAG: the demonstration shows the defaults."""
    return {name: value for name, value in os.environ.items() if not name.startswith(("MAGSAG_", "AGDD_"))}


def tell(text: str) -> None:
    print(f"\n# {text}", flush=True)


def say(command: str) -> None:
    print(f"$ {command}", flush=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
