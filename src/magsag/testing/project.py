"""An app on a catalog that a test writes down: wired by `app.build`, as the command and `Project` are."""

from collections.abc import Mapping
from pathlib import Path
from textwrap import dedent
from typing import Any

from magsag.app import App, build
from magsag.domain.settings import Settings
from magsag.ports.clock import Clock
from magsag.ports.ledger import Store
from magsag.ports.sandbox import Sandbox


def build_app(
    folder: Path,
    catalog_files: Mapping[str, str],
    *,
    store: Store | None = None,
    clock: Clock | None = None,
    sandbox: Sandbox | None = None,
    sound: bool = True,
    **settings: Any,
) -> App:
    """Write the files (path below `catalog/` -> text, may be indented) and build the app of that folder.

    `settings` are fields of `Settings`. A second app on the same folder stands for another process.
    Raises AssertionError when the catalog is to be `sound` and has a finding that is an error.
    """
    catalog = folder / "catalog"
    for path, text in catalog_files.items():
        file = catalog / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(dedent(text), encoding="utf-8")
    place = {"project": str(folder), "catalog": str(catalog), "ledger": str(folder / ".magsag" / "ledger.db")}
    app = build(Settings(**{**place, "actor": "tester", **settings}), store, clock, sandbox)
    if sound:
        faults = [str(finding) for finding in app.catalog.findings if finding.severity == "error"]
        assert not faults, "\n".join(faults)
    return app
