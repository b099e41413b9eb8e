"""`magsag budget` as people type it: caps that are none, who may set them, and what models cost."""

from pathlib import Path
from typing import Any

import pytest

from tests.acceptance.workshop import Done, build, magsag

SETTINGS = """\
[models]
smart = "scripted:replies.yaml"
own = "scripted:replies.yaml"
[prices]
smart = "openai/gpt-4o-mini"
own = {input = 1, output = 2}
"""
PEOPLE = """\
kind: people
schema: 1
people:
  - {id: chen, roles: [finance], proof: claim}
  - {id: bo, proof: claim}
may_set_caps: {roles: [finance]}
"""
HIDE = "import sys\nsys.modules[{0!r}] = None\n"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    build(tmp_path)
    (tmp_path / "magsag.toml").write_text(SETTINGS)
    (tmp_path / "catalog/people.yaml").write_text(PEOPLE)
    return tmp_path


def hiding(folder: Path, module: str, *arguments: str, **more: Any) -> Done:
    """The command where a module of the extra cannot be imported."""
    place = folder / f"without-{module}"
    place.mkdir(exist_ok=True)
    (place / "sitecustomize.py").write_text(HIDE.format(module))
    return magsag(*arguments, cwd=folder, PYTHONPATH=str(place), **more)


def test_a_cap_is_not_below_zero_and_is_set_by_who_may(project: Path) -> None:
    below = magsag("budget", "set", "day", "usd", "-3", cwd=project)
    assert (below.code, "a cap is not below zero, and -3 is" in below.err) == (2, True)
    refused = magsag("budget", "set", "day", "usd", "5", "--as", "bo", cwd=project)
    assert (refused.code, "bo may not set caps: by people.yaml it takes the role finance" in refused.err) == (1, True)
    why = ("--reason", "-3")
    flags = ("--json", "--mode", "implement")  # after the command, as after every other
    assert magsag("budget", "set", "day", "usd", "5", "--as", "chen", *why, *flags, cwd=project).value["cap"] == 5
    told = magsag("audit", "log", "--person", "chen", "--json", cwd=project).value
    assert [(one["said"], one["by"], one["reason"]) for one in told] == [("cap $5.00", "chen", "-3")]


def test_prices_say_where_they_come_from(project: Path) -> None:
    found = {one["alias"]: one for one in magsag("budget", "prices", "--json", cwd=project).value}
    assert found["smart"]["version"].startswith("genai-prices 0.2.3 openai/gpt-4o-mini ")
    assert found["own"]["version"].startswith("magsag.toml ")
    assert "price     smart: genai-prices 0.2.3" in magsag("doctor", cwd=project).out


def test_without_the_extra_nothing_starts_and_it_says_what_to_install(project: Path) -> None:
    done = hiding(project, "genai_prices", "agent", "run", "echo-mag", stdin='{"role": "x"}')
    assert (done.code, "magsag.toml:5: prices.smart: " in done.err) == (2, True), done.err
    assert "pip install 'magsag[prices]'" in done.err
    assert magsag("run", "list", "--json", cwd=project).value == []


def test_the_list_is_read_only_where_a_model_has_to_be_priced(project: Path) -> None:
    run = ("agent", "run", "echo-mag", "--quiet")
    assert hiding(project, "genai_prices.data", *run, stdin='{"role": "x"}').value == {"role": "x"}
    assert hiding(project, "genai_prices.data", "config", "show").code == 0
    asks = ("agent", "run", "behave-mag")
    assert hiding(project, "genai_prices.data", *asks, stdin='{"do": "model", "prompt": "hello"}').code == 4
