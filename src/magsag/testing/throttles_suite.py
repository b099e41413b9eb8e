"""What every store must do with throttles: compare and set, by name; a part of `magsag.testing.store_suite`."""

import threading
from collections.abc import Callable

from magsag.ports.ledger import Store
from magsag.ports.throttles import ThrottleRow

_TURNS = 10
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
