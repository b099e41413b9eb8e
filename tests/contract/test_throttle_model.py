"""Throttles of two processes on one ledger, beside the pure machine that they are."""

import tempfile
from pathlib import Path

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from magsag.adapters.store.memory import MemoryStore
from magsag.adapters.store.sqlite import SqliteStore
from magsag.domain.manifests.throttling import BreakerRule, RateRule
from magsag.policy.throttle import Admitted, Limits, Throttle, admit, settle, withdraw
from magsag.ports.ledger import Store
from magsag.services.steps.throttles import change, throttle_of

SECOND = 1_000_000
LIMITS = Limits(
    BreakerRule.model_validate({"failures": 2, "of": 3, "open": "5s"}),
    RateRule.model_validate({"calls": 5, "per": "10s"}),
    2,
)


class SharedThrottle(RuleBasedStateMachine):
    """Whatever is done through either store has been done to one throttle, byte for byte."""

    @initialize(is_file=st.booleans())
    def begin(self, is_file: bool) -> None:
        self.folder = tempfile.TemporaryDirectory()
        path = Path(self.folder.name) / "ledger.db"
        one: Store = SqliteStore(path) if is_file else MemoryStore()
        self.stores = [one, SqliteStore(path) if is_file else one]
        self.pure, self.now, self.count = Throttle(), SECOND, 0
        self.under_way: list[tuple[str, int]] = []

    @rule(by=st.integers(0, 6 * SECOND))
    def pass_time(self, by: int) -> None:
        self.now += by

    @rule(which=st.integers(0, 1), lasts=st.integers(1, 9 * SECOND))
    def call(self, which: int, lasts: int) -> None:
        self.count += 1
        caller, now = f"c{self.count}", self.now
        answer = admit(self.pure, LIMITS, caller, now, now + lasts)
        if isinstance(answer, Admitted):
            self.under_way.append((caller, answer.epoch))
            self.pure = answer.throttle

        def asked(throttle: Throttle, _: int) -> Throttle:
            told = admit(throttle, LIMITS, caller, now, now + lasts)
            assert isinstance(told, type(answer))
            return told.throttle if isinstance(told, Admitted) else throttle

        change(self.stores[which], "skill:a", asked)

    @rule(which=st.integers(0, 1), number=st.integers(0, 9), failed=st.sampled_from([True, False, None, "withdrawn"]))
    def end(self, which: int, number: int, failed: bool | str | None) -> None:
        if not self.under_way:
            return
        caller, epoch = self.under_way.pop(number % len(self.under_way))
        now = self.now

        def ended(throttle: Throttle) -> Throttle:
            if isinstance(failed, str):
                return withdraw(throttle, LIMITS, caller, epoch, now)
            return settle(throttle, LIMITS, caller, epoch, failed, now)

        self.pure = ended(self.pure)
        change(self.stores[which], "skill:a", lambda throttle, _: ended(throttle))

    @invariant()
    def both_hold_the_same(self) -> None:
        for store in self.stores:
            _, row = store.throttle("skill:a")
            assert (Throttle() if row is None else throttle_of(row)) == self.pure

    def teardown(self) -> None:
        for store in getattr(self, "stores", ()):
            store.close()
        if hasattr(self, "folder"):
            self.folder.cleanup()


TestSharedThrottle = SharedThrottle.TestCase
TestSharedThrottle.settings = settings(max_examples=25, stateful_step_count=30, deadline=None)
