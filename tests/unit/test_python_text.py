"""Python of catalogs is read whatever other threads do."""

import pytest

from magsag.catalog.python_text import parsed, undisturbed


def test_a_confused_interpreter_is_asked_again_but_not_for_ever() -> None:
    def build() -> str:
        if answers and answers.pop(0):
            raise SystemError("AST constructor recursion depth mismatch")
        return "a tree"

    answers = [True, True, True]
    assert undisturbed(build) == "a tree"
    answers = [True] * 99
    with pytest.raises(SystemError):
        undisturbed(build)


def test_python_is_read_and_broken_python_is_not() -> None:
    assert len(parsed("x = 1\ny = 2", "a.py").body) == 2
    with pytest.raises(SyntaxError):
        parsed("def", "a.py")
