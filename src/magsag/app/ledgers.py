"""Which store a ledger is kept in: by its place, a file or a DSN."""

from pathlib import Path

from magsag.domain.errors import Invalid
from magsag.domain.location import is_postgres, shown
from magsag.ports.ledger import Store


def ledger_at(place: str, folder: Path, anchors: str = "") -> Store:
    """The ledger at a place, made when there is none; its `anchors` are kept in a file of their own place.

    Raises Invalid, StoreBroken.
    """
    file = Path(anchors) if anchors else None
    if is_postgres(place):
        require_postgres(place)
        from magsag.adapters.store.postgres.store import PostgresStore

        return PostgresStore(place, folder, anchors=file)
    if "://" in place:
        scheme = place.partition("://")[0]
        raise Invalid(f"{scheme}:// names no ledger: name a file, or postgresql://USER@HOST/DATABASE")
    from magsag.adapters.store.sqlite import SqliteStore

    return SqliteStore(Path(place), file)


def is_there(place: str) -> bool:
    """Whether somebody has made the ledger. Raises Invalid, StoreBroken for a server that cannot be asked."""
    if is_postgres(place):
        require_postgres(place)
        from magsag.adapters.store.postgres.store import is_there

        return is_there(place)
    return Path(place).exists()


def require_postgres(place: str) -> None:
    from importlib.util import find_spec

    if find_spec("psycopg") is None or find_spec("psycopg_pool") is None:
        raise Invalid(f"{shown(place)}: Postgres needs its driver: pip install 'magsag[postgres]'")
