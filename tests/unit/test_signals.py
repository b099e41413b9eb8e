"""A process that is told to stop before it listens."""

import signal
from collections.abc import Iterator
from contextlib import suppress

import pytest

from magsag.surfaces.cli.signals import Signals, listen_for_termination, raise_interrupt


@pytest.fixture(autouse=True)
def _as_before() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    yield
    listen_for_termination()
    signal.signal(signal.SIGTERM, before)


def dropped() -> None:
    """SIGTERM, while code runs that drops what its callbacks raise."""
    with suppress(KeyboardInterrupt):
        signal.raise_signal(signal.SIGTERM)


def listening() -> Signals:
    return Signals(lambda: None, lambda: "", 130)


def test_a_termination_that_was_dropped_is_obeyed_before_anything_is_driven() -> None:
    listen_for_termination()
    dropped()
    with pytest.raises(KeyboardInterrupt), listening():
        pytest.fail("it drives")
    assert signal.getsignal(signal.SIGTERM) is raise_interrupt


def test_one_command_is_not_stopped_for_another() -> None:
    listen_for_termination()
    dropped()
    listen_for_termination()
    with listening() as signals:
        assert not signals.asked
