"""Bad input, bad catalogs' code, bad disks: a clear line, the right exit code, and a ledger that is sound after it."""

import json
import os
import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.acceptance.workshop import Done, behave, build, command, environment, is_sound, magsag

WHOLE = '{"role":"Engineer","level":"Mid"}'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return build(tmp_path / "project")


def says(done: Done, code: int, *parts: str) -> None:
    """One line on stderr with all parts, that exit code, and no traceback."""
    lines = [line for line in done.err.splitlines() if line.startswith("magsag: ")]
    assert done.code == code, done.err
    assert len(lines) == 1, done.err
    assert "Traceback" not in done.err + done.out
    for part in parts:
        assert part in lines[0], done.err


@pytest.mark.parametrize(
    ("data", "part"),
    [
        (b"", "input is empty; hand it in by --input FILE or on stdin"),
        (b" \n", "input is empty"),
        (b'{"role": "Engineer",\n}', "trailing comma at line 2 column 1"),
        (b"[1, 2]", "contract profile"),
        (b'{"level": "Mid"}', 'does not meet contract profile: /: "role" is a required property'),
        (b'{"role": 7}', '/role: 7 is not of type "string"'),
        (b"[" * 100_000 + b"]" * 100_000, "nested deeper than 200 levels"),
        (b'{"role": NaN}', "NaN is no JSON number; use null at line 1 column 10"),
        (b'{"role": -Infinity}', "Infinity is no JSON number"),
        (b'{"role": "\\ud800"}', "lone surrogate"),
        (b'{"role": "\xff"}', "line 1, byte 11 is not UTF-8"),
    ],
)
def test_input_that_cannot_be_used_is_refused(folder: Path, data: bytes, part: str) -> None:
    says(magsag("agent", "run", "echo-mag", cwd=folder, stdin=data), 2, part)
    (folder / "input.json").write_bytes(data)
    assert magsag("agent", "run", "echo-mag", "--input", "input.json", cwd=folder).code == 2
    assert magsag("run", "list", cwd=folder).out == "no runs\n"
    assert is_sound(folder)


def test_input_that_is_just_right_is_taken(folder: Path) -> None:
    """Two keys alike, a byte order mark, a surrogate pair: JSON, all of it."""
    done = magsag("agent", "run", "echo-mag", cwd=folder, stdin=b'\xef\xbb\xbf{"role": "a", "role": "\\ud83d\\ude00"}')
    assert (done.code, done.value) == (0, {"role": "\N{GRINNING FACE}"})


def test_twenty_megabytes_pass_through(folder: Path) -> None:
    text = "x" * 20_000_000
    done = magsag("agent", "run", "echo-mag", cwd=folder, stdin=json.dumps({"role": "Engineer", "text": text}))
    assert done.code == 0, done.err
    assert done.value["text"] == text
    assert is_sound(folder)


def test_a_missing_input_file_is_named(folder: Path) -> None:
    says(magsag("agent", "run", "echo-mag", "--input", "none.json", cwd=folder), 2, "none.json: cannot be read")


def test_an_unknown_agent_is_refused_with_the_nearest(folder: Path) -> None:
    says(magsag("agent", "run", "ecko-mag", cwd=folder, stdin=WHOLE), 2, 'did you mean "echo-mag"?')


@pytest.mark.parametrize("content", [b"SQLite format 3\0 and then nothing", b"no database at all", b"\0" * 5000])
def test_a_file_that_is_no_ledger_is_refused_and_left_alone(folder: Path, content: bytes) -> None:
    (folder / "other.db").write_bytes(content)
    for arguments in (("agent", "run", "echo-mag"), ("run", "list"), ("data", "check"), ("data", "init")):
        says(magsag(*arguments, "--ledger", "other.db", cwd=folder, stdin=WHOLE), 4, "other.db")
    assert (folder / "other.db").read_bytes() == content


def test_a_foreign_database_is_refused_and_left_alone(folder: Path) -> None:
    import sqlite3

    with sqlite3.connect(folder / "other.db") as connection:
        connection.execute("create table mine (id integer)")
    connection.close()
    before = (folder / "other.db").read_bytes()
    says(magsag("agent", "run", "echo-mag", "--ledger", "other.db", cwd=folder, stdin=WHOLE), 4, "other.db")
    assert (folder / "other.db").read_bytes() == before


def test_a_half_written_ledger_is_said_to_be_broken(folder: Path) -> None:
    assert magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE).code == 0
    path = folder / ".magsag" / "ledger.db"
    path.write_bytes(path.read_bytes()[:5000])
    says(magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE), 4, "ledger.db")


def test_a_full_disk_is_said_and_the_ledger_stays_sound(folder: Path) -> None:
    assert magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE).code == 0
    most = max(path.stat().st_size for path in (folder / ".magsag").iterdir())
    limit = f"import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, ({most}, {most}))"
    wrap = (sys.executable, "-c", f"{limit}; os.execv(sys.argv[1], sys.argv[1:])")
    text = json.dumps({"role": "x", "text": "y" * 4 * most})
    says(magsag("agent", "run", "echo-mag", cwd=folder, stdin=text, wrap=wrap), 4, "ledger.db")
    assert is_sound(folder)
    assert magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE).code == 0


@pytest.mark.needs("strace")
@pytest.mark.parametrize(
    "fault", ["fsync,fdatasync:error=EIO", "pwrite64:error=ENOSPC:when=2+", "pwrite64:error=EIO:when=4+"]
)
def test_a_failing_disk_is_said_and_the_ledger_stays_sound(folder: Path, fault: str) -> None:
    assert magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE).code == 0
    wrap = ("strace", "-f", "-qq", "-o", os.devnull, "-e", f"inject={fault}")
    says(magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE, wrap=wrap), 4, "ledger.db")
    assert is_sound(folder)
    assert magsag("agent", "run", "echo-mag", cwd=folder, stdin=WHOLE).code == 0


@pytest.mark.needs("setpriv")
def test_a_folder_without_rights_is_said(folder: Path) -> None:
    lost = "-dac_override,-dac_read_search"
    wrap = ("setpriv", f"--inh-caps={lost}", f"--bounding-set={lost}") if os.geteuid() == 0 else ()
    (folder / "closed").mkdir(mode=0o500)
    done = magsag("agent", "run", "echo-mag", "--ledger", "closed/l.db", cwd=folder, stdin=WHOLE, wrap=wrap)
    says(done, 4, "closed")
    says(magsag("init", "closed/new", cwd=folder, wrap=wrap), 1, "closed/new")
    doctor = magsag("doctor", "--ledger", "closed/l.db", cwd=folder, wrap=wrap)
    assert doctor.code == 1
    assert "may not be written" in doctor.out


def test_an_output_file_that_cannot_be_written_is_refused_before_anything_runs(folder: Path) -> None:
    says(magsag("agent", "run", "echo-mag", "--output", "none/o.json", cwd=folder, stdin=WHOLE), 2, "none/o.json")
    assert magsag("run", "list", cwd=folder).out == "no runs\n"


def test_several_processes_share_one_ledger(folder: Path) -> None:
    with ThreadPoolExecutor(4) as pool:
        done = list(pool.map(lambda _: behave("steps", folder, count=20, seconds=0.005), range(4)))
    assert [(one.code, one.err[:5]) for one in done] == [(0, "run 0")] * 4, [one.err for one in done]
    assert len(json.loads(magsag("run", "list", "--json", cwd=folder).out)) == 4
    assert is_sound(folder)


def test_a_catalog_file_that_goes_away_meanwhile_is_not_missed(folder: Path) -> None:
    path = folder / "catalog" / "skills" / "echo" / "skill.py"
    done = behave("delete", folder, path=str(path))
    assert (done.code, done.value) == (0, {"answer": 42}), done.err
    assert not path.exists()


def test_what_an_agent_raises_is_one_line_with_the_users_own_place(folder: Path) -> None:
    done = behave("raise", folder, "--run-id", "r1")
    says(done, 1, "run r1 failed", "raised: ValueError: no luck", "behave-mag/agent.py:9", "run show r1 --traceback")
    shown = magsag("run", "show", "r1", "--traceback", cwd=folder)
    assert "Traceback (most recent call last)" in shown.out
    assert 'raise ValueError("no luck' in shown.out
    assert "Traceback" not in magsag("run", "show", "r1", cwd=folder).out


def test_an_agent_that_returns_nothing_fails_at_its_contract(folder: Path) -> None:
    says(behave("nothing", folder), 1, "output_contract", "contract answer", "null is not of type")


def test_an_agent_that_returns_the_wrong_shape_fails_at_its_contract(folder: Path) -> None:
    says(behave("text", folder), 1, "output_contract", "/answer", "is not of type")


def test_an_act_that_hangs_is_ended_by_its_timeout(folder: Path) -> None:
    done = magsag("agent", "run", "behave-mag", cwd=folder, stdin='{"do": "hang"}', MAGSAG_LIMITS_STEP_SECONDS="1")
    says(done, 1, "timeout", "did not end within 1 s", "at step wait#1")
    assert is_sound(folder)


def test_code_that_blocks_the_loop_is_named_and_ends_resumable(folder: Path) -> None:
    stdin = '{"do": "block"}'
    began = time.monotonic()
    done = magsag("agent", "run", "behave-mag", cwd=folder, stdin=stdin, MAGSAG_LIMITS_STEP_SECONDS="1")
    assert (done.code, time.monotonic() - began < 20) == (1, True)
    assert "event loop is blocked; use ctx.call" in done.err
    assert "agent.py" in done.err
    assert "can be resumed" in done.err
    assert is_sound(folder)


def test_a_thousand_sub_agents_are_too_many(folder: Path) -> None:
    says(behave("spawn", folder, count=1000), 1, "denied", "256 child runs already ([limits] children)")
    assert behave("spawn", folder, count=50).code == 0
    assert is_sound(folder)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_at_any_time_leaves_a_run_that_can_be_resumed(folder: Path, number: signal.Signals) -> None:
    for index, seconds in enumerate((0.0, 0.03, 0.1, 0.4)):
        run = f"r{index}"
        done = interrupted(folder, run, number, seconds)
        assert done.code == 130, (seconds, done.err)
        assert "Traceback" not in done.err, (seconds, done.err)
        assert f"run {run} can be resumed: magsag agent run --resume {run}" in done.err, (seconds, done.err)
        assert magsag("agent", "run", "--resume", run, cwd=folder).value == {"answer": 42}
    assert is_sound(folder)


def test_an_interrupt_before_there_is_a_run_says_so(folder: Path) -> None:
    os.mkfifo(folder / "slow")
    with subprocess.Popen(
        command("agent", "run", "echo-mag", "--input", "slow"),
        cwd=folder,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        with (folder / "slow").open("wb"):  # opens when the command does
            process.send_signal(signal.SIGTERM)
            assert process.wait(30) == 130
        assert process.stderr is not None
        assert process.stderr.read() == b"magsag: interrupted; no run was under way\n"
    assert magsag("run", "list", cwd=folder).out == "no runs\n"


def interrupted(folder: Path, run: str, number: signal.Signals, seconds: float) -> Done:
    """Start a run of some seconds, and send it a signal so long after it is heard of."""
    with subprocess.Popen(
        command("agent", "run", "behave-mag", "--run-id", run, "--watch"),
        cwd=folder,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environment(),
    ) as process:
        assert process.stdin is not None
        assert process.stderr is not None
        process.stdin.write(b'{"do": "steps", "count": 20, "seconds": 0.1}')
        process.stdin.close()
        process.stdin = None
        first = process.stderr.readline()
        time.sleep(seconds)
        process.send_signal(number)
        out, err = process.communicate(timeout=60)
    return Done(process.returncode, out.decode(), (first + err).decode())


def test_a_second_interrupt_stops_at_once(folder: Path) -> None:
    words = command("agent", "run", "behave-mag", "--run-id", "r1")
    with subprocess.Popen(
        words, cwd=folder, stdin=subprocess.PIPE, stderr=subprocess.PIPE, stdout=subprocess.DEVNULL, env=environment()
    ) as process:
        assert process.stdin is not None
        process.stdin.write(b'{"do": "block"}')
        process.stdin.close()
        assert process.stderr is not None
        while b"event loop is blocked" not in process.stderr.readline():
            pass
        process.send_signal(signal.SIGINT)
        time.sleep(0.3)
        assert process.poll() is None
        process.send_signal(signal.SIGINT)
        assert process.wait(10) == 130
        assert b"run r1 can be resumed" in process.stderr.read()
    assert is_sound(folder)
