"""B9: the durable cases on a private Postgres server, beside a bare commit on it and beside peers on it."""

import sys
from tempfile import mkdtemp

import psycopg
from cases import at_once, long_resumes
from floors import BODY
from measure import Row, clock, interleaved, row
from peer_programs import Peers
from product import Loop, app, once

from magsag.testing.postgres import private_cluster, programs


def on_postgres(rounds: int, peers: Peers) -> list[Row]:
    """100-step runs with every outcome synced, and 200 runs at once. Nothing where no Postgres is installed."""
    if programs() is None:
        print("left out: B9 needs a Postgres server (Debian: apt-get install postgresql)", file=sys.stderr)
        return []
    with private_cluster(in_memory=False) as cluster:
        bare = BareCommits(cluster.plain_dsn())
        bare.make_database("peers")
        theirs = peers.on(cluster.plain_dsn().replace("/postgres?", "/peers?"))
        try:
            lone = _lone(rounds, cluster.dsn("lone"), bare, theirs)
            governed = app(mkdtemp(dir=theirs.folder), ledger=cluster.dsn("governed"))
            synced = app(mkdtemp(dir=theirs.folder), "every_step", ledger=cluster.dsn("synced"))
            return [
                lone,
                at_once(rounds, governed, "B9", "default, Postgres", 1500, {}),
                at_once(rounds, synced, "B9", "every_step, Postgres", 1000, theirs.works("many")),
                row("B9", "resume of 10,000 facts, Postgres", "s", long_resumes(rounds, cluster.dsn("long")), 0.3),
            ]
        finally:
            theirs.close()
            bare.close()


def _lone(rounds: int, dsn: str, bare: "BareCommits", peers: Peers) -> Row:
    loop, running = Loop(), app(mkdtemp(dir=peers.folder), "every_step", ledger=dsn)

    async def agent() -> None:
        await once(running, "agent:bench-loop", {"steps": 100})

    for _ in range(3):
        loop.run(agent())
    theirs = peers.works("durable_step")
    ours, floor, *of_peers = interleaved(
        rounds,
        [
            lambda: clock(lambda: loop.run(agent())) / 100 * 1e6,
            lambda: bare.seconds_each(100) * 1e6,
            *theirs.values(),
        ],
    )
    running.close()
    named = dict(zip(theirs, of_peers, strict=True))
    what = "durable step, every_step, 100-step run, Postgres"
    return row("B9", what, "us", ours, 1.8, floor=floor, ratio_goal=True, peers=named)


class BareCommits:
    """Inserts of one row, each committed by itself over one connection."""

    def __init__(self, dsn: str) -> None:
        self._connection = psycopg.connect(dsn, autocommit=True)
        self._connection.execute("create table floor(run text, seq integer, body bytea, primary key(run, seq))")
        self._seq = 0

    def make_database(self, name: str) -> None:
        """A database of that name on the same server."""
        self._connection.execute(f"create database {name}")

    def seconds_each(self, count: int) -> float:
        """Mean of `count` commits."""

        def commits() -> None:
            for _ in range(count):
                self._seq += 1
                self._connection.execute("insert into floor values ('run', %s, %s)", (self._seq, BODY))

        return clock(commits) / count

    def close(self) -> None:
        """Let go of the connection."""
        self._connection.close()
