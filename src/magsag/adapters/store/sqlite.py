"""The SQLite store: one file, its anchors and its locks beside it. Put together here from parts."""

from collections.abc import Callable
from pathlib import Path

from magsag.adapters.store.anchors import Anchors
from magsag.adapters.store.capping import CappingPart
from magsag.adapters.store.database import Database
from magsag.adapters.store.erasing import ErasingPart
from magsag.adapters.store.leasing import LeasingPart
from magsag.adapters.store.measuring import MeasuresInSqlite
from magsag.adapters.store.moving import MovingPart
from magsag.adapters.store.processlock import ProcessLock
from magsag.adapters.store.reading import ReadingPart
from magsag.adapters.store.searching import SearchingPart
from magsag.adapters.store.standing_approvals import StandingPart
from magsag.adapters.store.throttling import ThrottlingPart
from magsag.adapters.store.upkeep import UpkeepPart
from magsag.adapters.store.waking import WakingPart
from magsag.adapters.store.writing import WritingPart


def installed_version() -> str:
    """The version that `pip` knows."""
    from importlib.metadata import PackageNotFoundError, version  # reading it costs more than opening a ledger

    try:
        return version("magsag")
    except PackageNotFoundError:
        return "of a source tree"


class SqliteStore(
    WritingPart,
    ReadingPart,
    StandingPart,
    SearchingPart,
    LeasingPart,
    WakingPart,
    UpkeepPart,
    ErasingPart,
    MovingPart,
    ThrottlingPart,
    MeasuresInSqlite,
    CappingPart,
):
    """All of `ports.ledger.Store` in one SQLite file, for any number of threads and processes of one machine."""

    def __init__(
        self,
        path: Path,
        anchors: Path | None = None,
        version: Callable[[], str] = installed_version,
        patience_seconds: float = 10.0,
    ) -> None:
        """Open or create the ledger; `anchors` is `anchors.log` beside it by default. Raises StoreBroken.

        `patience_seconds` is how long a transaction, and the file of anchors, wait for those of other processes.
        """
        path = path.absolute()
        super().__init__(
            Database(path, version, patience_seconds),
            Anchors(anchors.absolute() if anchors else path.with_name("anchors.log"), patience_seconds),
            ProcessLock(path.with_name(path.name + ".locks")),
        )
