"""MAGSAG from Python: `Project` runs what the command runs, on the same ledger, and says what came of it."""

import asyncio
import json
import os
import subprocess
import sys
from pathlib import Path
from textwrap import dedent
from typing import Any

import pytest

from magsag import Broken, Invalid, Project, Result, StepFailed
from magsag.surfaces import python

ROLE = {"role": "Engineer", "level": "Mid"}
FILES = {
    "agents/main/failing-mag/agent.yaml": """\
        kind: agent
        schema: 1
        slug: failing-mag
        version: 0.1.0
        role: main
        description: Fails in the ways that its input names.
        entrypoint: agent.py:run
        uses: [skill:send, skill:echo]
        """,
    "agents/main/failing-mag/agent.py": """\
        async def run(payload, ctx):
            if payload["do"] == "raise":
                raise ValueError("<b>no luck</b>")
            if payload["do"] == "send":
                return await ctx.skill("send", payload)
            return await ctx.skill("echo", payload)
        """,
    "skills/send/skill.yaml": """\
        kind: skill
        schema: 1
        slug: send
        version: 0.1.0
        effect: unrepeatable
        entrypoint: skill.py:run
        """,
    "skills/send/skill.py": "def run(payload):\n    return payload\n",
    "skills/echo/skill.yaml": """\
        kind: skill
        schema: 1
        slug: echo
        version: 0.1.0
        effect: pure
        entrypoint: skill.py:run
        """,
    "skills/echo/skill.py": "def run(payload):\n    return payload\n",
}


@pytest.fixture(autouse=True)
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty folder to work in, and no settings from outside."""
    for name in [name for name in os.environ if name.startswith(("MAGSAG_", "AGDD_"))]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def project(elsewhere: Path) -> Path:
    """A project whose agent does what it is told."""
    return write(elsewhere / "mine", FILES)


def write(folder: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = folder / "catalog" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(dedent(text), encoding="utf-8")
    folder.mkdir(exist_ok=True)
    (folder / "magsag.toml").write_text("", encoding="utf-8")
    return folder


def python_run(script: str, *arguments: str) -> str:
    """What a fresh Python prints, with every warning an error."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", dedent(script), *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_the_main_job_runs_from_python_and_has_output_tree_and_facts() -> None:
    with Project.open() as project:
        result = project.run_sync("offer-orchestrator-mag", ROLE)
        tree, facts = result.tree, result.facts
    assert result.status == "succeeded"
    assert result.output["offer"]["base_salary"] == {"currency": "USD", "amount": 116000}
    assert result.output["offer"]["band"]["source"] == "builtin:example-bands"
    assert [step["name"] for step in tree["children"]] == [
        "task-decomposition", "compensation-advisor-sag", "result-aggregation",
    ]  # fmt: skip
    assert tree["children"][1]["children"][0]["name"] == "salary-band-lookup"
    assert (facts[0]["kind"], facts[0]["input"], facts[-1]["kind"]) == ("RunStarted", ROLE, "RunEnded")
    assert facts[-1]["output"] == result.output == result.unwrap()


def test_runs_can_be_awaited_side_by_side() -> None:
    async def both(project: Project) -> tuple[Result, Result]:
        return await asyncio.gather(project.run("offer-orchestrator-mag", ROLE), project.run("flow:hello"))

    with Project.open() as project:
        first, second = asyncio.run(both(project))
    assert (first.status, second.output["hello"]["stdout"]) == ("succeeded", "hi\n")


def test_one_project_serves_one_event_loop_after_the_other() -> None:
    with Project.open() as project:
        results = [project.run_sync("offer-orchestrator-mag", ROLE) for _ in range(3)]
        results.append(asyncio.run(project.run("offer-orchestrator-mag", ROLE)))
    assert [result.status for result in results] == ["succeeded"] * 4
    assert len({result.run_id for result in results}) == 4


def test_inside_a_running_loop_the_sync_call_says_what_to_write_instead() -> None:
    async def inside(project: Project) -> None:
        project.run_sync("offer-orchestrator-mag", ROLE)

    with Project.open() as project, pytest.raises(Invalid, match=r"write `await project\.run\(\.\.\.\)`"):
        asyncio.run(inside(project))


@pytest.mark.parametrize(
    ("slug", "payload", "said"),
    [
        ("offer-orchestrator-mga", ROLE, 'did you mean "offer-orchestrator-mag"'),
        ("flow:nothing-like-it", None, "is not in the catalog"),
        ("offer-orchestrator-mag", {}, r"candidate_profile: /: .*role"),
        ("offer-orchestrator-mag", {"role": float("nan")}, "nan"),
        ("offer-orchestrator-mag", {"role": ("a", "b")}, "tuple"),
        ("skill:salary-band-lookup", {}, "skill"),
    ],
)
def test_a_wrong_question_is_refused_and_leaves_no_run(slug: str, payload: Any, said: str) -> None:
    with Project.open() as project, pytest.raises(Invalid, match=said):
        project.run_sync(slug, payload, run_id="r1")
    with Project.open() as project, pytest.raises(Invalid, match="not in the ledger"):
        project.result("r1")


def test_findings_in_what_would_run_refuse_it_with_their_places(project: Path) -> None:
    manifest = project / "catalog/skills/echo/skill.yaml"
    manifest.write_text(manifest.read_text(encoding="utf-8").replace("effect: pure\n", ""), encoding="utf-8")
    with Project.open(project) as opened, pytest.raises(Invalid, match=r"skills/echo/skill\.yaml:\d+:\d+: .*effect"):
        opened.run_sync("failing-mag", {"do": "echo"})


def test_a_run_that_fails_is_a_result_with_an_error(project: Path) -> None:
    with Project.open(project) as opened:
        result = opened.run_sync("failing-mag", {"do": "raise"})
        assert (result.status, result.output) == ("failed", None)
        assert "raised: ValueError: <b>no luck</b>" in repr(result)
        assert "✗ failed" in str(result)
    with pytest.raises(StepFailed, match="no luck") as caught:
        result.unwrap()
    assert caught.value.type == "raised"
    assert "agent.py" in caught.value.message


def test_a_run_that_parks_says_what_it_waits_for_and_can_be_looked_at_again(project: Path) -> None:
    with Project.open(project) as opened:
        result = opened.run_sync("failing-mag", {"do": "send"})
    assert (result.status, result.output, result.error) == ("parked", None, None)
    assert result.waits_for[0].startswith("approval: step send#1: skill:send@0.1.0 asks")
    with pytest.raises(Invalid, match=f"run {result.run_id} is parked and has no output yet; it waits for approval"):
        result.unwrap()
    with Project.open(project) as again:
        assert again.result(result.run_id) == result
        assert again.resume_sync(result.run_id).status == "parked"


def test_the_same_run_id_with_the_same_input_is_the_same_run(project: Path) -> None:
    with Project.open(project) as opened:
        first = opened.run_sync("failing-mag", {"do": "echo"}, run_id="mine")
        count = len(first.facts)
        assert opened.run_sync("failing-mag", {"do": "echo"}, run_id="mine") == first
        assert len(opened.result("mine").facts) == count
        with pytest.raises(Invalid, match="another"):
            opened.run_sync("failing-mag", {"do": "raise"}, run_id="mine")


def test_a_notebook_shows_the_tree_and_the_output_and_nothing_that_acts(project: Path) -> None:
    with Project.open(project) as opened:
        shown = opened.run_sync("failing-mag", {"do": "<script>alert(1)</script>"})._repr_html_()
        failed = opened.run_sync("failing-mag", {"do": "raise"})._repr_html_()
        large = opened.run_sync("failing-mag", {"do": "x" * 50_000})._repr_html_()
    assert "&lt;script&gt;" in shown
    assert "<script" not in shown + failed
    assert "<b>" not in failed
    assert "echo  pure" in shown
    assert "characters more" in large
    assert len(large) < 25_000


def test_after_the_project_is_closed_a_result_still_says_how_it_ended(project: Path) -> None:
    with Project.open(project) as opened:
        result = opened.run_sync("failing-mag", {"do": "echo"})
    assert result.unwrap() == {"do": "echo"}
    assert result.run_id in repr(result)
    assert result.run_id in str(result)


def test_the_project_and_the_command_share_one_ledger(project: Path) -> None:
    command = [sys.executable, "-m", "magsag", "agent", "run", "failing-mag", "--run-id", "by-hand"]
    done = subprocess.run(
        command, input='{"do": "echo"}', cwd=project, capture_output=True, text=True, check=True, timeout=60
    )
    with Project.open(project) as opened:
        assert opened.result("by-hand").output == json.loads(done.stdout) == {"do": "echo"}


def test_a_project_is_found_from_a_folder_inside_it(project: Path) -> None:
    inside = project / "deep" / "down"
    inside.mkdir(parents=True)
    with Project.open(inside) as opened:
        opened.run_sync("failing-mag", {"do": "echo"})
    assert (project / ".magsag" / "ledger.db").is_file()


def test_a_path_that_was_given_stands_above_the_environment(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    other = write(project.parent / "other", {})
    monkeypatch.setenv("MAGSAG_PROJECT", str(other))
    with Project.open(project) as opened:
        assert opened.run_sync("failing-mag", {"do": "echo"}).status == "succeeded"
    with Project.open() as opened, pytest.raises(Invalid):
        opened.run_sync("failing-mag", {"do": "echo"})


def test_what_is_given_to_open_stands_above_the_settings_file(project: Path) -> None:
    with Project.open(project, environment="production", ledger="here.db") as opened:
        facts = opened.run_sync("failing-mag", {"do": "echo"}).facts
    assert facts[0]["body"]["environment"] == "production"
    assert (project.parent / "here.db").is_file()


@pytest.mark.parametrize(
    ("given", "said"), [({"path": "nowhere"}, "no such project folder"), ({"mode": "fast"}, "--mode: mode is")]
)
def test_settings_that_cannot_stand_are_refused(given: dict[str, Any], said: str) -> None:
    with pytest.raises(Invalid, match=said):
        Project.open(**given)


def test_a_project_without_the_package_around_it_says_how_to_import_it() -> None:
    class Unwired(Project):
        _open_app = None

    with pytest.raises(Broken, match="from magsag import Project"):
        Unwired.open()


def test_a_project_that_nobody_closes_leaves_no_warning() -> None:
    script = """
        from magsag import Project
        print(Project.open().run_sync("offer-orchestrator-mag", {"role": "Engineer"}).status)
        """
    assert python_run(script) == "succeeded\n"


def test_importing_magsag_loads_nothing_heavy_and_gives_every_public_name() -> None:
    script = """
        import sys
        import magsag
        print(*sys.modules)
        print([name for name in magsag.__all__ if not hasattr(magsag, name)], set(magsag.__all__) - set(dir(magsag)))
        """
    loaded, missing = python_run(script).splitlines()
    assert not {"asyncio", "pydantic", "click", "rich", "yaml", "sqlite3", "magsag.app"} & set(loaded.split())
    assert missing == "[] set()"


def test_a_name_that_is_not_public_is_no_attribute() -> None:
    import magsag

    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        _ = magsag.Nothing


def test_the_example_in_the_documentation_runs(capsys: pytest.CaptureFixture[str]) -> None:
    assert python.__doc__ is not None
    example = "".join(line for line in python.__doc__.splitlines(keepends=True) if line.startswith("    "))
    exec(compile(dedent(example), "example", "exec"), {})
    assert "116000" in capsys.readouterr().out
