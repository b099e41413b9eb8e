"""Settings: which source wins, where each value came from, and what is refused with its place."""

from pathlib import Path

import pytest

from magsag.adapters.settings import Found, packaged_catalog, read_settings
from magsag.app import build
from magsag.domain.errors import Invalid


def settings_of(folder: Path, text: str | None = None, **environ: str) -> Found:
    if text is not None:
        (folder / "magsag.toml").write_text(text, encoding="utf-8")
    return read_settings({}, environ, folder)


def refusal(folder: Path, text: str | None = None, **environ: str) -> str:
    with pytest.raises(Invalid) as caught:
        settings_of(folder, text, **environ)
    return str(caught.value)


def test_without_a_project_the_packaged_catalog_and_a_ledger_here_are_used(tmp_path: Path) -> None:
    found = settings_of(tmp_path).settings
    assert found.catalog == str(packaged_catalog())
    assert (packaged_catalog() / "agents" / "main" / "offer-orchestrator-mag" / "agent.yaml").is_file()
    assert found.ledger == str(tmp_path / ".magsag" / "ledger.db")
    assert (found.environment, found.mode) == ("development", "implement")
    assert set(found.sources.values()) >= {"default", "comes with MAGSAG", "working directory"}


@pytest.mark.parametrize("place", ["postgre://me:secret@host/db", "mysql://host/db", "sqlite:///ledger.db"])
def test_a_place_that_is_neither_file_nor_postgres_is_refused(tmp_path: Path, place: str) -> None:
    said = refusal(tmp_path, MAGSAG_LEDGER=place)
    assert "names no ledger; write a path, or postgresql://" in said
    assert "secret" not in said


def test_a_scheme_is_read_in_any_case(tmp_path: Path) -> None:
    assert settings_of(tmp_path, MAGSAG_LEDGER="PostgreSQL://h/Db").settings.ledger == "postgresql://h/Db"


def test_flag_beats_variable_beats_file_beats_default(tmp_path: Path) -> None:
    (tmp_path / "magsag.toml").write_text('environment = "file"\n', encoding="utf-8")
    seen = [
        read_settings(flags, environ, tmp_path).settings
        for flags, environ in (
            ({"environment": "flag"}, {"MAGSAG_ENVIRONMENT": "variable"}),
            ({}, {"MAGSAG_ENV": "variable"}),
            ({"environment": None}, {}),
        )
    ]
    assert [(one.environment, one.sources["environment"]) for one in seen] == [
        ("flag", "--env"),
        ("variable", "MAGSAG_ENV"),
        ("file", "magsag.toml:1"),
    ]


def test_the_file_is_found_upwards_and_paths_in_it_start_at_the_project(tmp_path: Path) -> None:
    (tmp_path / "catalog").mkdir()
    below = tmp_path / "a" / "b"
    below.mkdir(parents=True)
    (tmp_path / "magsag.toml").write_text('ledger = "data/l.db"\n', encoding="utf-8")
    found = settings_of(below).settings
    assert found.project == str(tmp_path)
    assert found.ledger == str(tmp_path / "data" / "l.db")
    assert found.catalog == str(tmp_path / "catalog")
    assert found.sources["ledger"] == "../../magsag.toml:1"


def test_a_path_on_the_command_line_starts_at_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    (tmp_path / "magsag.toml").write_text("", encoding="utf-8")
    found = read_settings({"ledger": "l.db"}, {"MAGSAG_CATALOG": "c"}, tmp_path / "here").settings
    assert found.ledger == str(tmp_path / "here" / "l.db")
    assert found.catalog == str(tmp_path / "here" / "c")


def test_a_named_project_that_is_no_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such project folder; `magsag init nowhere` makes one"):
        read_settings({"project": "nowhere"}, {}, tmp_path)


def test_sections_are_read_and_typed(tmp_path: Path) -> None:
    text = '[features]\napprovals = false\n[limits]\ndepth = 3\nstep_seconds = 2\n[models]\nsmart = "scripted:r.yaml"\n'
    found = settings_of(tmp_path, text, MAGSAG_FEATURES_DURABLE="off", MAGSAG_LIMITS_CHILDREN="7").settings
    assert (found.features.approvals, found.features.durable) == (False, False)
    assert (found.limits.depth, found.limits.children, found.limits.step_seconds) == (3, 7, 2.0)
    assert found.models == {"smart": "scripted:r.yaml"}
    assert found.sources["models.smart"] == "magsag.toml:7"


def test_an_unknown_key_is_refused_with_its_line_and_a_guess(tmp_path: Path) -> None:
    text = "# first\n\n[limits]\ndepht = 3\n"
    assert refusal(tmp_path, text) == "magsag.toml:4: limits.depht is no setting; did you mean limits.depth?"


def test_all_faults_are_reported_at_once(tmp_path: Path) -> None:
    text = 'enviroment = "x"\nmode = "dry"\n[features]\napprovals = "no"\nmemory = false\n[limits]\ndepth = true\n'
    lines = refusal(tmp_path, text, MAGSAG_LEASE_SECONDS="soon").splitlines()
    assert [line.split(": ")[0] for line in lines] == [
        "MAGSAG_LEASE_SECONDS",
        *(f"magsag.toml:{number}" for number in (1, 2, 4, 5, 7)),
    ]


def test_a_switch_of_a_part_that_does_not_exist_is_refused(tmp_path: Path) -> None:
    assert "the part behind it is not in this version" in refusal(tmp_path, "[features]\nmcp = true\n")
    assert refusal(tmp_path, "", MAGSAG_FEATURES_MEMORY="off").startswith("MAGSAG_FEATURES_MEMORY: the part behind it")


@pytest.mark.parametrize("mode", ["analysis_only", "safe_mode", "dry_run"])
def test_every_mode_is_a_setting(tmp_path: Path, mode: str) -> None:
    assert settings_of(tmp_path, MAGSAG_MODE=mode).settings.mode == mode
    assert "the modes are implement, safe_mode, dry_run, analysis_only" in refusal(tmp_path, MAGSAG_MODE="dry")
    assert settings_of(tmp_path, MAGSAG_MODE="implement").settings.mode == "implement"


def test_what_is_no_toml_is_refused_with_its_place(tmp_path: Path) -> None:
    assert refusal(tmp_path, "environment = \n").startswith("magsag.toml:1:15: no TOML: ")
    (tmp_path / "magsag.toml").write_bytes(b"\n# \xff\n")
    assert refusal(tmp_path) == "magsag.toml:2: the file is not UTF-8; save it as UTF-8"


def test_an_old_variable_is_read_with_a_note(tmp_path: Path) -> None:
    found = settings_of(tmp_path, AGDD_ENVIRONMENT="staging")
    assert found.settings.environment == "staging"
    assert found.notes == ("AGDD_ENVIRONMENT is read, but its name is MAGSAG_ENVIRONMENT now; rename it",)
    both = settings_of(tmp_path, AGDD_ENVIRONMENT="staging", MAGSAG_ENVIRONMENT="production")
    assert both.settings.environment == "production"


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    assert settings_of(tmp_path, MAGSAG_LEGDER="x").notes == (
        "MAGSAG_LEGDER is no setting; did you mean ledger?; it is ignored",
    )
    assert settings_of(tmp_path, MAGSAG_DEBUG="1", MAGSAG_LOG_FORMAT="json", PATH="x").notes == ()


@pytest.mark.parametrize("name", ["MAGSAG_QUIET", "MAGSAG_VERBOSE", "MAGSAG_JSON", "AGDD_DEBUG"])
def test_a_variable_that_nothing_reads_is_said_to_be_ignored(name: str, tmp_path: Path) -> None:
    (note,) = settings_of(tmp_path, **{name: "1"}).notes
    assert note.startswith(f"{name} is no setting")


@pytest.mark.parametrize("name", ["MAGSAG_PROJECT", "AGDD_PROJECT"])
def test_the_variable_that_names_the_project_is_its_source(name: str, tmp_path: Path) -> None:
    found = settings_of(tmp_path, **{name: str(tmp_path)})
    assert (found.settings.sources["project"], found.notes) == (name, ())


def test_an_inline_table_has_the_line_of_its_name(tmp_path: Path) -> None:
    assert refusal(tmp_path, "\nlimits = {depth = 0}\n").startswith("magsag.toml:2: limits.depth is 0;")


def test_every_setting_says_where_it_came_from(tmp_path: Path) -> None:
    found = settings_of(tmp_path).settings
    fields = {"project", "catalog", "ledger", "environment", "mode", "durability", "actor", "lease_seconds"}
    assert fields <= set(found.sources)
    assert found.actor


def test_limits_of_a_provider_are_read_and_what_could_not_work_is_refused(tmp_path: Path) -> None:
    text = '[models]\nsmart = "scripted:r.yaml"\n[providers]\nscripted = {rate = {calls = 60, per = "1m"}}\n'
    found = settings_of(tmp_path, text).settings
    rate = found.providers["scripted"].rate
    assert rate is not None
    assert (rate.calls, rate.per) == (60, 60.0)
    assert found.sources["providers.scripted"] == "magsag.toml:4"
    table = "[providers.scripted]\nbreaker = {failures = 3, of = 2}\n"
    assert "providers.scripted.breaker: `failures: 3` of the last 2 calls" in refusal(tmp_path, table)
    assert "providers.scripted.rates is no key of this place; the keys here are breaker, rate" in refusal(
        tmp_path, "[providers.scripted]\nrates = 1\n"
    )


def test_anchors_kept_elsewhere_are_found_from_the_project_and_lie_in_no_workspace(tmp_path: Path) -> None:
    text = 'workspace = "work"\n[audit]\nanchors = "work/anchors.log"\n'
    found = settings_of(tmp_path, text).settings
    assert found.audit.anchors == str(tmp_path / "work" / "anchors.log")
    with pytest.raises(Invalid, match=r"holds .*anchors\.log"):
        build(found)._places.opened()
