"""Full-text search. The index is brought up to date by each search, run by run, so that no write pays."""

from typing import Final

from pydantic_core import to_json

from magsag.adapters.store.postgres.part import Part
from magsag.adapters.store.words import text_of, tokens
from magsag.domain.sealed import Sealed
from magsag.ports.ledger import Hit

_AT_ONCE: Final = 500
_WORD: Final = 200
"""what is longer is cut, in texts and in questions alike: the index takes no more than 2,700 bytes of a word"""
_SHOWN: Final = 16
"""words around the first one found"""


class SearchingPart(Part):
    """`ports.ledger.Runs.search`."""

    def search(self, words: str, limit: int) -> list[Hit]:
        wanted = _cut(words)
        if not wanted:
            return []
        self._catch_up()
        rows = self._database.all("find", (sorted(wanted), limit))
        return [Hit(run, seq, kind, _around(text_of(Sealed(kind, *fact)), wanted)) for run, seq, kind, *fact in rows]

    def _catch_up(self) -> None:
        while rows := self._database.all("unsearched_facts", (_AT_ONCE,)):
            given = [
                {"run": run, "seq": seq, "words": sorted(_cut(text_of(Sealed(kind, *fact))))}
                for run, seq, kind, *fact in rows
            ]
            self._database.change("index_facts", (to_json(given),))
            if len(rows) < _AT_ONCE:
                return


def _cut(text: str) -> set[str]:
    return {word[:_WORD] for word in tokens(text) if "\0" not in word}


def _around(text: str, wanted: set[str]) -> str:
    words = text.split()
    first = next((n for n, word in enumerate(words) if not wanted.isdisjoint(_cut(word))), 0)
    start = max(0, first - _SHOWN // 2)
    shown = " ".join(words[start : start + _SHOWN])
    return f"{'...' if start else ''}{shown}{'...' if start + _SHOWN < len(words) else ''}"
