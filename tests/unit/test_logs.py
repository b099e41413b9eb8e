"""Log lines: text and JSON, with run and step, and nothing below the level that was asked for."""

import io
import json
import logging
from collections.abc import Iterator

import pytest

from magsag.adapters.logs import level_of, set_up
from magsag.domain.errors import Invalid
from magsag.services.steps.whereabouts import WHEREABOUTS

log = logging.getLogger("tests.logs")


@pytest.fixture(autouse=True)
def own_loggers() -> Iterator[None]:
    """Leave the logging of this process as it was."""
    root = logging.getLogger()
    handlers, level, raising = list(root.handlers), root.level, logging.raiseExceptions
    yield
    root.handlers[:], logging.raiseExceptions = handlers, raising
    root.setLevel(level)
    log.setLevel(logging.NOTSET)


def lines(form: str, level: int = logging.INFO) -> io.StringIO:
    stream = io.StringIO()
    set_up(level, form, stream)
    return stream


def test_a_line_says_whose_code_is_running() -> None:
    stream = lines("text")
    token = WHEREABOUTS.set(("r1", "pay#1"))
    log.warning("careful")
    WHEREABOUTS.reset(token)
    log.warning("alone", extra={"fields": {"tool": "x" * 300}})
    first, second = stream.getvalue().splitlines()
    assert first == "warning tests.logs: careful  run r1 step pay#1"
    assert second == f"warning tests.logs: alone  tool={'x' * 197}..."


def test_what_a_record_says_itself_goes_before() -> None:
    stream = lines("json")
    log.info("at work", extra={"run": "r2", "step": "s", "fields": {"n": 1}})
    line = json.loads(stream.getvalue())
    assert (line["run"], line["step"], line["fields"], line["level"]) == ("r2", "s", {"n": 1}, "info")


def test_exceptions_stay_whole_in_both_forms() -> None:
    for form in ("text", "json"):
        stream = lines(form)
        try:
            raise ValueError("no luck")
        except ValueError:
            log.exception("it broke")
        assert "ValueError: no luck" in stream.getvalue()


def test_levels_follow_the_flags_and_a_muted_logger_is_silent() -> None:
    assert [level_of(*flags) for flags in ((0, False), (1, False), (2, False), (2, True))] == [30, 20, 10, 40]
    stream = lines("text", logging.WARNING)
    log.info("too quiet")
    set_up(logging.INFO, "text", stream, muted=("tests.logs",))
    log.warning("muted")
    assert stream.getvalue() == ""


def test_setting_up_twice_writes_each_line_once() -> None:
    lines("text")
    stream = lines("text")
    log.warning("once")
    assert stream.getvalue().count("once") == 1


def test_a_format_that_is_not_known_is_refused() -> None:
    with pytest.raises(Invalid, match="write text or json"):
        lines("xml")
