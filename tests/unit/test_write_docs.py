"""The generated pages say what the code says, and a drift is seen."""

import shutil
from pathlib import Path

from ops.tools.write_docs import PAGES, ROOT, drift


def copied(folder: Path) -> Path:
    for name in PAGES:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / name, folder / name)
    return folder


def test_the_generated_pages_are_in_step_with_the_code() -> None:
    assert list(drift(ROOT)) == []


def test_a_drift_is_seen(tmp_path: Path) -> None:
    for name in PAGES:
        path = copied(tmp_path) / name
        path.write_text(
            path.read_text(encoding="utf-8").replace("started --> waiting", "").replace("`", ""), encoding="utf-8"
        )
        assert name in drift(tmp_path)


def test_the_picture_is_drawn_from_the_table(tmp_path: Path) -> None:
    page = tmp_path / "docs/architecture.md"
    copied(tmp_path)
    page.write_text(page.read_text(encoding="utf-8").replace("in_doubt --> failed: Resolved", ""), encoding="utf-8")
    assert "    in_doubt --> failed: Resolved\n" in drift(tmp_path)["docs/architecture.md"]


def test_the_rooms_are_drawn_from_what_imports_are_checked_by(tmp_path: Path) -> None:
    page = tmp_path / "docs/architecture.md"
    copied(tmp_path)
    page.write_text(page.read_text(encoding="utf-8").replace("people --> gate", "gate --> people"), encoding="utf-8")
    assert "        people --> gate\n" in drift(tmp_path)["docs/architecture.md"]
