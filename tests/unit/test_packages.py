"""The packages that catalog code imports: found, recorded, and compared with those of today."""

import logging
from importlib.metadata import version
from pathlib import Path

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.adapters.store.memory import MemoryStore
from magsag.catalog.bundle import Bundle
from magsag.catalog.frozen import freeze, thaw
from magsag.catalog.packages import RECORD, Drift, drifts, packages_of, read_record, record_of
from magsag.domain.errors import Broken, Invalid
from magsag.domain.ids import RunId
from magsag.services.steps.bundles import Bundles
from magsag.testing import FrozenClock
from tests.unit.catalogs import loaded

RUN = RunId("run-1")
CLICK, YAML = version("click"), version("PyYAML")
BUMPED = ".".join([CLICK.partition(".")[0], "999", "0"])


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("import click\n", {"click"}),
        ("import os, click.testing as t\n", {"click"}),
        ("from click import echo\n", {"click"}),
        ("def run(payload):\n    import yaml; import click\n", {"PyYAML", "click"}),
        ("try:\n    from yaml import load\nexcept ImportError: import click\n", {"PyYAML", "click"}),
        ("import os\nfrom pathlib import Path\nfrom magsag import Context\nimport json.decoder\n", set()),
        ("from . import click\nfrom .click import yaml\n", set()),
        ('"""You may import click here."""\n', set()),
        ("import nothing_that_is_installed\n", set()),
        ("import click\ndef broken(:\n", set()),
    ],
)
def test_what_the_code_imports_is_found(source: str, found: set[str]) -> None:
    assert set(packages_of({"skills/a/skill.py": source.encode(), "a.md": b"import click"})) == found


def test_versions_are_those_that_are_installed() -> None:
    assert packages_of({"a.py": b"import yaml, click"}) == {"PyYAML": YAML, "click": CLICK}


def test_the_first_number_decides_whether_another_version_is_compatible() -> None:
    assert drifts({"click": CLICK, "PyYAML": YAML}) == []
    assert drifts({"click": BUMPED, "gone": "1.0"}) == [Drift("click", BUMPED, CLICK), Drift("gone", "1.0", None)]
    pairs = [("1.2", "1.9", True), ("1.2", "2.0", False), ("1!1.0", "1.0", False), ("3", "3.1", True)]
    assert [Drift("a", was, now).is_compatible for was, now, _ in pairs] == [fits for *_, fits in pairs]
    assert not Drift("a", "1.0", None).is_compatible


def test_a_record_that_nobody_wrote_is_refused() -> None:
    assert read_record(record_of({"b": "2", "a": "1"})) == {"a": "1", "b": "2"}
    for data in (b"[]", b"{", b"3"):
        with pytest.raises(Broken, match="packages"):
            read_record(data)


def bundle(folder: Path, code: str) -> Bundle:
    skill = "kind: skill\nschema: 1\nslug: say\nversion: 1.0.0\nentrypoint: skill.py:run\neffect: pure\n"
    return loaded(folder, {"skills/say/skill.yaml": skill, "skills/say/skill.py": code}).bundle


def thawed(data: bytes) -> Bundle:
    return Bundle.from_bytes(data, CelConditions())


def test_a_bundle_keeps_its_packages_and_its_hash(tmp_path: Path) -> None:
    today = bundle(tmp_path, "import click\ndef run(payload):\n    return payload\n")
    again = thawed(today.to_bytes())
    assert (again.hash, again.packages, again.files) == (today.hash, {"click": CLICK}, today.files)
    assert (today.recorded, again.recorded) == (None, {"click": CLICK})


def test_a_bundle_that_imports_nothing_foreign_is_what_it_always_was(tmp_path: Path) -> None:
    today = bundle(tmp_path, "def run(payload):\n    return payload\n")
    assert thaw(today.to_bytes()) == today.files
    old = thawed(freeze(today.files))
    assert (old.hash, old.packages) == (today.hash, {})


def resumed(folder: Path, recorded: dict[str, str], packages: str) -> None:
    """Go on with a run whose bundle was frozen elsewhere."""
    files = dict(bundle(folder, "import click\ndef run(payload):\n    return payload\n").files)
    frozen = thawed(freeze({**files, RECORD: record_of(recorded)}))
    store = MemoryStore()
    store.put_bundle(frozen.hash, frozen.to_bytes())
    bundles = Bundles(lambda: bundle(folder, ""), store, thawed, FrozenClock(), packages)
    assert bundles.find(frozen.hash).packages == recorded
    assert bundles.find_fit(frozen.hash, RUN).hash == frozen.hash


@pytest.mark.parametrize("packages", ["exact", "compatible", "ignore"])
def test_the_same_packages_are_always_fit(tmp_path: Path, packages: str, caplog: pytest.LogCaptureFixture) -> None:
    resumed(tmp_path, {"click": CLICK}, packages)
    assert caplog.text == ""


def test_another_version_of_the_same_major_warns_and_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING):
        resumed(tmp_path, {"click": BUMPED}, "compatible")
    assert f"click {BUMPED}, here {CLICK}" in caplog.text


def test_another_major_version_is_refused_with_the_next_move(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match=r"run-1.*pip install 'click==0\.1'.*packages = \"ignore\""):
        resumed(tmp_path, {"click": "0.1"}, "compatible")
    with pytest.raises(Invalid, match=r"gone 1\.0, not installed here"):
        resumed(tmp_path, {"gone": "1.0"}, "compatible")
    with pytest.raises(Invalid, match='packages = "compatible"'):
        resumed(tmp_path, {"click": BUMPED}, "exact")


def test_whoever_ignores_packages_goes_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    resumed(tmp_path, {"click": "0.1", "gone": "1.0"}, "ignore")
    assert caplog.text == ""
