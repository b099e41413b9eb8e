"""Where a proof keeps its ledgers."""

from magsag.domain.errors import Invalid
from magsag.domain.location import is_postgres
from magsag.surfaces.cli.call import Call


def database(call: Call, store: str, dsn: str | None) -> str | None:
    """Where the schemas of a proof are made; None for files. Raises Invalid."""
    if store == "sqlite":
        if dsn is not None:
            raise Invalid("--dsn goes with --store postgres")
        return None
    place = dsn or call.app.settings.ledger
    if not is_postgres(place):
        raise Invalid("--store postgres needs a database: --dsn postgresql://USER@HOST/DATABASE")
    return place
