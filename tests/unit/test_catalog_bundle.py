"""A bundle: found by reference, frozen by its hash, its code its own."""

import gc
import linecache
import sys
import traceback
import zlib
from pathlib import Path

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.catalog.bundle import Bundle
from magsag.catalog.load import load
from magsag.domain.errors import Broken, Invalid
from tests.unit.catalogs import BOSS, FLOW, HELPER, REVIEW, RUN, SEND, SKILL, loaded, swapped, write

SEND_CODE = "skills/send/skill.py"


def bundle(root: Path, changes: dict[str, str | bytes | None] | None = None) -> Bundle:
    return loaded(root, changes).bundle


def frozen(found: Bundle) -> Bundle:
    return Bundle.from_bytes(found.to_bytes(), CelConditions())


VERSIONS: dict[str, str | bytes | None] = {
    f"skills/send-{version}/{file}": text
    for version in ("0.3.0", "1.0.0-rc.1", "0.10.0")
    for file, text in {"skill.yaml": swapped(SKILL, ("0.2.0", version)), "skill.py": RUN}.items()
}


@pytest.mark.parametrize(
    ("ref", "kind", "found"),
    [
        ("send", "skill", "skill:send@0.10.0"),
        ("skill:send", None, "skill:send@0.10.0"),
        ("skill:send", "skill", "skill:send@0.10.0"),
        ("send@~0.3", "skill", "skill:send@0.3.0"),
        ("skill:send@0.2.0 || 0.3.0", None, "skill:send@0.3.0"),
        ("skill:send@1.0.0-rc.1", None, "skill:send@1.0.0-rc.1"),
        ("magsag://skill.send@<0.3", None, "skill:send@0.2.0"),
        ("magsag://main.boss-mag@>=0.1.0", "agent", "agent:boss-mag@0.1.0"),
        ("review", "flow", "flow:review@1.0.0"),
    ],
)
def test_the_newest_version_that_fits_is_found(ref: str, kind: str | None, found: str, tmp_path: Path) -> None:
    assert bundle(tmp_path, VERSIONS).find(ref, kind).ref == found


@pytest.mark.parametrize(
    ("ref", "kind", "words"),
    [
        ("sent", "skill", 'skill "sent" is not in the catalog; did you mean "send"'),
        ("skill:nothing-like-it", None, "`magsag catalog list` shows"),
        ("skill:send@^7", None, "has no version that fits ^7; there is 1.0.0-rc.1, 0.10.0, 0.3.0, 0.2.0"),
        ("skill:send", "agent", "'skill:send' names a skill, and an agent is wanted here"),
        ("model:smart", None, "the catalog holds agent, skill, flow, eval"),
        ("send", None, "no reference"),
        ("magsag://sub.boss-mag", None, "has the role main, not sub"),
    ],
)
def test_what_is_not_there_is_said_with_what_is(ref: str, kind: str | None, words: str, tmp_path: Path) -> None:
    with pytest.raises(Invalid) as told:
        bundle(tmp_path, VERSIONS).find(ref, kind)
    assert words in str(told.value)


def test_entries_know_their_places(tmp_path: Path) -> None:
    entry = bundle(tmp_path).find("skill:send")
    assert (entry.slug, entry.version, entry.path) == ("send", "0.2.0", SEND)
    assert entry.place() == f"{SEND}:1:1"
    assert entry.place(("effect",)) == f"{SEND}:6:9"
    assert [entry.ref for entry in bundle(tmp_path).entries()] == [
        "agent:boss-mag@0.1.0",
        "agent:helper-sag@0.1.3",
        "skill:send@0.2.0",
        "flow:review@1.0.0",
    ]


def test_an_unknown_contract_is_said_with_a_guess(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match='did you mean "question"'):
        bundle(tmp_path).contract("qestion")


def test_a_catalog_with_findings_still_gives_what_could_be_read(tmp_path: Path) -> None:
    found = bundle(tmp_path, {SEND: "broken: ["})
    assert [entry.slug for entry in found.entries()] == ["boss-mag", "helper-sag", "review"]
    assert SEND in found.files


@pytest.mark.parametrize(
    ("path", "counts"),
    [
        (SEND, True),
        (SEND_CODE, True),
        ("contracts/question.schema.json", True),
        ("skills/send/SKILL.md", True),
        ("skills/send/more.py", True),
        ("policies/a.yaml", False),
        ("skills/send/tests/test_it.py", False),
        ("skills/_template/skill.yaml", False),
        ("skills/send/notes.txt", False),
    ],
)
def test_the_hash_covers_manifests_contracts_prompts_and_python(path: str, counts: bool, tmp_path: Path) -> None:
    before = bundle(tmp_path).hash
    after = bundle(tmp_path, {path: "kind: policy\nschema: 1\nrules: []\n"}).hash
    assert (after != before) is counts


def test_the_hash_does_not_depend_on_where_the_catalog_lies(tmp_path: Path) -> None:
    assert bundle(tmp_path / "a").hash == bundle(tmp_path / "b").hash
    assert bundle(tmp_path / "a", {REVIEW: None}).hash != bundle(tmp_path / "b").hash


def test_moving_a_byte_from_one_file_to_the_next_changes_the_hash(tmp_path: Path) -> None:
    one = bundle(tmp_path / "a", {"a.md": "ab", "b.md": "c"})
    other = bundle(tmp_path / "b", {"a.md": "a", "b.md": "bc"})
    assert one.hash != other.hash


def test_a_frozen_bundle_is_the_same_again(tmp_path: Path) -> None:
    first = bundle(tmp_path, {"policies/a.yaml": "kind: policy\nschema: 1\n"})
    again = frozen(first)
    assert (again.hash, again.root, again.files) == (first.hash, "", first.files)
    assert [entry.ref for entry in again.entries()] == [entry.ref for entry in first.entries()]
    assert again.contract("question").schema == first.contract("question").schema
    assert again.function(again.find("skill:send"))({"a": 1}) == {"a": 1}
    assert list(again.graph(again.find("flow:review")).nodes) == ["ask", "tell"]
    assert frozen(again).to_bytes() == first.to_bytes()


@pytest.mark.parametrize("data", [b"", b"x", zlib.compress(b'{"form": 2, "files": {}}')])
def test_a_damaged_or_newer_frozen_bundle_is_refused(data: bytes) -> None:
    with pytest.raises(Broken, match="bundle"):
        Bundle.from_bytes(data, CelConditions())


def test_a_graph_is_compiled_once_and_one_that_cannot_be_is_refused(tmp_path: Path) -> None:
    found = bundle(tmp_path)
    entry = found.find("flow:review")
    assert found.graph(entry) is found.graph(entry)
    broken = bundle(tmp_path, {REVIEW: swapped(FLOW, ("input.level ==", "input.levl =="))})
    with pytest.raises(Invalid, match=f"{REVIEW}:10:11: "):
        broken.graph(broken.find("flow:review"))


def call(found: Bundle, payload: object = None) -> object:
    return found.function(found.find("skill:send"))(payload)


def test_code_runs_from_the_frozen_files_not_from_the_disk(tmp_path: Path) -> None:
    found = bundle(tmp_path, {SEND_CODE: "def run(payload):\n    return 'then'\n"})
    write(tmp_path, {SEND_CODE: "def run(payload):\n    return 'now'\n"})
    assert call(found) == "then"


def test_two_bundles_of_one_skill_live_side_by_side(tmp_path: Path) -> None:
    code = "count = [0]\ndef run(payload):\n    count[0] += 1\n    return count[0]\n"
    one, two = bundle(tmp_path, {SEND_CODE: code}), bundle(tmp_path, {SEND_CODE: code})
    assert [call(one), call(one), call(two), call(frozen(one))] == [1, 2, 1, 1]


def test_files_of_one_folder_import_one_another(tmp_path: Path) -> None:
    files: dict[str, str | bytes | None] = {
        SEND_CODE: "from . import bands\nfrom .deep.er import word\ndef run(payload):\n    return [bands.TOP, word]\n",
        "skills/send/bands.py": "from .deep import er\nTOP = er.word + '!'\n",
        "skills/send/deep/er.py": "word = 'hi'\n",
    }
    assert call(bundle(tmp_path, files)) == ["hi!", "hi"]


def test_code_may_define_dataclasses_with_annotations_as_text(tmp_path: Path) -> None:
    code = """\
        from __future__ import annotations
        from dataclasses import dataclass
        from typing import get_type_hints

        @dataclass
        class Band:
            low: int

        def run(payload):
            return [Band(1).low, get_type_hints(Band)["low"] is int]
        """
    assert call(bundle(tmp_path, {SEND_CODE: code})) == [1, True]


def test_a_traceback_shows_the_real_path_and_line(tmp_path: Path) -> None:
    found = bundle(tmp_path, {SEND_CODE: "def run(payload):\n    return 1 / 0\n"})
    with pytest.raises(ZeroDivisionError) as told:
        call(found)
    frame = traceback.extract_tb(told.tb)[-1]
    assert (frame.filename, frame.lineno, frame.line) == (f"{tmp_path}/{SEND_CODE}", 2, "return 1 / 0")


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("x = 1\nraise ValueError('no')\n", f"{SEND_CODE}:2: ValueError: no"),
        ("def run(:\n", f"{SEND_CODE}:1: "),
        ("import sys\nsys.exit(3)\n", f"{SEND_CODE}:2: SystemExit: 3"),
        ("import nowhere\n", f"{SEND_CODE}:1: ModuleNotFoundError"),
        ("import bands\n", "for the file beside it write `from . import bands`"),
        ("from .bands import x\n", "/skills/send/bands.py:2: ZeroDivisionError"),
        ("from .nowhere import x\n", f"{SEND_CODE}:1: ModuleNotFoundError"),
        ("run = 3\n", "'run' cannot be called"),
        ("def other(a): ...\n", "there is no function 'run'"),
    ],
)
def test_code_that_cannot_be_loaded_names_the_users_own_line(code: str, words: str, tmp_path: Path) -> None:
    found = bundle(tmp_path, {SEND_CODE: code, "skills/send/bands.py": "\n1 / 0\n"})
    with pytest.raises(Invalid) as told:
        found.function(found.find("skill:send"))
    assert words in str(told.value)


def test_an_interrupt_while_loading_is_not_swallowed(tmp_path: Path) -> None:
    found = bundle(tmp_path, {SEND_CODE: "raise KeyboardInterrupt\n"})
    with pytest.raises(KeyboardInterrupt):
        found.function(found.find("skill:send"))


def test_the_functions_of_an_evaluation_are_asked_for_by_metric(tmp_path: Path) -> None:
    manifest = "kind: eval\nschema: 1\nslug: quality\nversion: 0.1.0\non: [input]\nentrypoint: m.py\n"
    manifest += "metrics: [{id: tone, threshold: 0}]\n"
    files = {"evals/q/eval.yaml": manifest, "evals/q/m.py": "def tone(payload):\n    return {'score': 1}\n"}
    found = bundle(tmp_path, dict(files))
    assert found.function(found.find("eval:quality"), "tone")({}) == {"score": 1}


def test_an_agent_whose_program_is_a_flow_has_no_function(tmp_path: Path) -> None:
    text = swapped(HELPER, ("entrypoint: agent.py:run", "flow: flow:review"))
    found = bundle(tmp_path, {"agents/sub/helper-sag/agent.yaml": text})
    with pytest.raises(Invalid, match="its program is a flow"):
        found.function(found.find("agent:helper-sag"))


def test_loading_a_catalog_runs_none_of_its_code(tmp_path: Path) -> None:
    bundle(
        tmp_path, {SEND_CODE: "raise SystemExit\ndef run(a): ...\n", BOSS.replace("yaml", "py"): "raise SystemExit\n"}
    )
    assert not [name for name in sys.modules if "boss-mag" in name]


def test_the_modules_of_a_bundle_leave_with_it(tmp_path: Path) -> None:
    found = bundle(tmp_path)
    call(found)
    package = found.function(found.find("skill:send")).__module__.partition(".")[0]
    assert package in sys.modules
    del found
    gc.collect()
    assert not [name for name in sys.modules if name.startswith(package)]


def test_a_traceback_can_be_shown_with_its_source_and_after_its_bundle_is_gone(tmp_path: Path) -> None:
    found = frozen(bundle(tmp_path, {SEND_CODE: "def run(payload):\n    return 1 / 0\n"}))
    with pytest.raises(ZeroDivisionError) as told:
        call(found)
    assert "return 1 / 0" in "".join(traceback.format_exception(told.value))
    linecache.clearcache()
    del found
    gc.collect()
    assert SEND_CODE in "".join(traceback.format_exception(told.value))


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="there is no catalog folder"):
        load(tmp_path / "nowhere", CelConditions())
