"""What every store must do with throttles: compare and set, by name; a part of `magsag.testing.store_suite`."""

import threading
from collections.abc import Callable, Sequence
from itertools import count

from magsag.domain.manifests.throttling import BreakerRule, RateRule
from magsag.policy.throttle import Admitted, Limits, Throttle, admit, settle
from magsag.ports.ledger import Store
from magsag.ports.throttles import ThrottleRow
from magsag.services.steps.throttles import change

_TURNS = 10
_ROUNDS = count()
"""numbers that no two rounds of callers share"""
_HOUR = 3_600_000_000
_BREAKER = BreakerRule.model_validate({"failures": 1, "open": "1ms"})
_LONG_AGO = 1_700_000_000_000_000


class ThrottlesSuite:
    """Each version of a throttle follows the one before, and everybody sees it."""

    def test_a_throttle_is_read_back_as_it_was_put(self, open_store: Callable[[], Store], store: Store) -> None:
        assert store.throttle("skill:a")[1] is None
        assert store.put_throttle(ThrottleRow("skill:a", 1, b'{"n":1}'))
        assert open_store().throttle("skill:a")[1] == ThrottleRow("skill:a", 1, b'{"n":1}')
        assert store.put_throttle(ThrottleRow("skill:a", 2, b"{}"))
        assert open_store().throttle("skill:a")[1] == ThrottleRow("skill:a", 2, b"{}")

    def test_a_throttle_that_somebody_changed_is_not_put(self, store: Store) -> None:
        assert store.put_throttle(ThrottleRow("skill:a", 1, b"1"))
        assert store.put_throttle(ThrottleRow("skill:a", 2, b"2"))
        for version in (1, 2, 4):
            assert not store.put_throttle(ThrottleRow("skill:a", version, b"late"))
        assert store.throttle("skill:a")[1] == ThrottleRow("skill:a", 2, b"2")

    def test_throttles_are_listed_by_name(self, store: Store) -> None:
        rows = [ThrottleRow(name, 1, b"{}") for name in ("skill:b", "agent:a", "provider:c")]
        for row in rows:
            assert store.put_throttle(row)
        assert store.throttles() == sorted(rows, key=lambda row: row.name)

    def test_the_time_is_that_of_the_store(self, store: Store) -> None:
        first, second = store.throttle("skill:a")[0], store.throttle("skill:a")[0]
        assert _LONG_AGO < first <= second

    def test_of_many_who_put_the_same_version_one_succeeds(self, open_store: Callable[[], Store]) -> None:
        stores = [open_store() for _ in range(4)]
        won: list[tuple[int, int]] = []
        together = threading.Barrier(len(stores))

        def put(number: int) -> None:
            for version in range(1, _TURNS + 1):
                together.wait()
                if stores[number].put_throttle(ThrottleRow("skill:a", version, b"%d" % number)):
                    won.append((version, number))
                together.wait()

        threads = [threading.Thread(target=put, args=(number,)) for number in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert [version for version, _ in sorted(won)] == list(range(1, _TURNS + 1))
        assert stores[0].throttle("skill:a")[1] == ThrottleRow("skill:a", _TURNS, b"%d" % sorted(won)[-1][1])

    def test_half_open_lets_one_of_many_through_until_that_one_has_ended(self, open_store: Callable[[], Store]) -> None:
        stores, limits = [open_store() for _ in range(4)], Limits(_BREAKER)
        for turn in range(5):
            self._open(stores[0], limits, f"failing {turn}")
            probes = self._at_once(stores, limits, 2)
            assert len(probes) == 1
            self._end(stores[0], limits, probes[0], failed=True)
        probes = self._at_once(stores, limits, 1)
        assert len(probes) == 1
        self._end(stores[0], limits, probes[0], failed=False)
        assert len(self._at_once(stores, limits, 2)) == 8

    def test_a_bucket_is_shared_to_the_last_call(self, open_store: Callable[[], Store]) -> None:
        stores = [open_store() for _ in range(4)]
        assert len(self._at_once(stores, Limits(rate=RateRule.model_validate({"calls": 7, "per": "1h"})), 5)) == 7

    def test_so_many_calls_are_under_way_in_all_together(self, open_store: Callable[[], Store]) -> None:
        stores, limits = [open_store() for _ in range(4)], Limits(concurrency=3)
        first = self._at_once(stores, limits, 3)
        assert len(first) == 3
        self._end(stores[1], limits, first[0], failed=None)
        assert len(self._at_once(stores, limits, 3)) == 1

    def _open(self, store: Store, limits: Limits, caller: str) -> None:
        """Open a closed breaker, and let its time pass; one that is open stays as it is."""

        def failed(throttle: Throttle, now: int) -> Throttle:
            return settle(throttle, limits, caller, throttle.breaker.epoch, True, now - _HOUR)

        change(store, "skill:a", failed)

    def _at_once(self, stores: Sequence[Store], limits: Limits, each: int) -> list[str]:
        """Who is let through when everybody asks `each` times at once."""
        passed: list[str] = []
        together, named = threading.Barrier(len(stores)), next(_ROUNDS)

        def ask(number: int) -> None:
            together.wait()
            for turn in range(each):
                caller = f"{number}.{turn}.{named}"
                if taken(stores[number], limits, caller):
                    passed.append(caller)

        threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(stores))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return passed

    def _end(self, store: Store, limits: Limits, caller: str, failed: bool | None) -> None:
        def ended(throttle: Throttle, now: int) -> Throttle:
            return settle(throttle, limits, caller, throttle.breaker.epoch, failed, now - _HOUR)

        change(store, "skill:a", ended)


def taken(store: Store, limits: Limits, caller: str) -> bool:
    """Ask as the gate does; whether the call may go."""
    answers: list[object] = []

    def asked(throttle: Throttle, now: int) -> Throttle:
        answer = admit(throttle, limits, caller, now, now + _HOUR)
        answers.append(answer)
        return answer.throttle if isinstance(answer, Admitted) else throttle

    change(store, "skill:a", asked)
    return isinstance(answers[-1], Admitted)
