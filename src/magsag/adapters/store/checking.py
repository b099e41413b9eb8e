"""`data check`: everything the ledger claims, verified against itself and against its anchors. Reads only."""

import sqlite3
from collections.abc import Iterator, Mapping

from magsag.adapters.store.anchors import Anchors, Claims
from magsag.adapters.store.reading import run_row
from magsag.domain.errors import Broken
from magsag.domain.facts import ENDS, ParkedOn, RunStatus
from magsag.domain.ids import RunId
from magsag.domain.sealed import Fault, Stored
from magsag.engine.chain import is_blob, unseal, verify
from magsag.engine.run import Run, evolve
from magsag.ports.ledger import RunRow


def check(connection: sqlite3.Connection, sql: Mapping[str, str], anchors: Anchors) -> list[Fault]:
    """All faults. The caller holds a transaction, so that all of it is one moment."""
    faults = [Fault("the file", str(what)) for (what,) in connection.execute("pragma integrity_check") if what != "ok"]
    # Read after the transaction began, the file can only be ahead of the ledger by what is being committed now.
    claims = anchors.claims()
    faults.extend(claims.faults)
    faults.extend(_foreign(connection, sql))
    rows: dict[RunId, RunRow] = {}
    for row in connection.execute(sql["every_run"]).fetchall():
        fault = _wrong_row(row)
        if fault is not None:
            faults.append(fault)
            continue
        run = run_row(row)
        rows[run.run] = run
        facts = [Stored(*fact) for fact in connection.execute(sql["facts_after"], (run.run, 0))]
        faults.extend(verify(run.run, facts))
        faults.extend(_against_row(run, facts))
        faults.extend(_against_anchors(run, facts, claims))
    faults.extend(_beyond_ledger(rows, claims))
    return faults
