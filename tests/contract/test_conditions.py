"""CEL keeps what every implementation of conditions must, and some promises of its own."""

import subprocess
import sys
from collections.abc import Callable

import pytest

from magsag.adapters.conditions import CelConditions
from magsag.domain.condition import ConditionFailed, Conditions
from magsag.testing.conditions_suite import ConditionsSuite
from magsag.testing.sample_conditions import ARGS, TYPES


class TestCel(ConditionsSuite):
    @pytest.fixture
    def conditions(self) -> Conditions:
        return CelConditions()


def test_importing_and_bare_paths_do_not_load_the_library() -> None:
    program = (
        "import sys; from magsag.adapters.conditions import CelConditions; "
        "CelConditions().compile('input.a.b', {'input': None}); "
        "assert 'cel_expr_python' not in sys.modules; "
        "CelConditions().compile('1 == 1', {}); assert 'cel_expr_python' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)


def test_only_what_is_read_is_handed_over() -> None:
    condition = CelConditions().compile("x.small == 1 && has(x.bad)", {"x": None})
    assert condition.holds({"x": {"small": 1, "bad": object(), "rows": [object()]}})
    with pytest.raises(ConditionFailed):
        CelConditions().compile("x.bad == 1", {"x": None}).holds({"x": {"bad": object()}})


def test_a_condition_costs_what_it_reads_whatever_lies_beside_it() -> None:
    condition = CelConditions().compile("args.count == 2 && args.name == 'Ada'", TYPES)
    narrow = {"args": ARGS}
    condition.holds(narrow)
    wide = {"args": {**ARGS, "rows": [{"i": i} for i in range(5000)]}}
    few, many = _calls(lambda: condition.holds(narrow)), _calls(lambda: condition.holds(wide))
    assert many == few


def _calls(work: Callable[[], object]) -> int:
    """Function calls that some work takes: the same on every machine, unlike seconds."""
    calls = 0

    def count_calls(frame: object, event: str, argument: object) -> None:
        nonlocal calls
        calls += event in ("call", "c_call")

    sys.setprofile(count_calls)
    try:
        work()
    finally:
        sys.setprofile(None)
    return calls
