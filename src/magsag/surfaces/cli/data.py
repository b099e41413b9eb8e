"""`magsag data`: the ledger as a thing to look after."""

from dataclasses import asdict
from datetime import UTC, datetime

import click

from magsag.domain.errors import Invalid
from magsag.domain.location import is_postgres, shown
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.writing import counted, note, put_json, put_pairs, put_table, say

BACKENDS = ("sqlite", "postgres")


@click.group("data", cls=Noun)
def command() -> None:
    """Keep the ledger in order."""


@command.command("init")
@click.option("--backend", metavar="NAME", help="Where facts live: sqlite or postgres; by default as configured.")
@click.option("--db-path", metavar="FILE", help="The ledger's file; the same as --ledger.")
@click.option(
    "--dsn", metavar="DSN", help="The ledger's database, postgresql://USER@HOST/DATABASE; the same as --ledger."
)
@click.pass_obj
def init(call: Call, backend: str | None, db_path: str | None, dsn: str | None) -> None:
    """Make the ledger, or bring an older one up to date, and describe it."""
    if backend is not None and backend not in BACKENDS:
        raise Invalid(f"backend {backend} is not in this version; it has {', '.join(BACKENDS)}")
    if None not in (db_path, dsn) or (dsn is not None and not is_postgres(dsn)):
        raise Invalid("name one ledger: --db-path FILE, or --dsn postgresql://USER@HOST/DATABASE")
    if (place := dsn or db_path) is not None:
        call.flags["ledger"] = place
    if backend is not None and is_postgres(call.app.settings.ledger) is not (backend == "postgres"):
        wanted = "--dsn postgresql://USER@HOST/DATABASE" if backend == "postgres" else "--db-path FILE"
        raise Invalid(f"the ledger in force is {shown(call.app.settings.ledger)}; name another with {wanted}")
    about = call.app.upkeep.open()
    if call.wants_json:
        put_json(about)
    else:
        say(f"ledger ready: {about.get('location', 'in memory')}")
        put_pairs({name: value for name, value in about.items() if name != "location"})


@command.command("vacuum")
@click.option("--hot-days", type=int, default=7, show_default=True, help="Keep what ended in the last so many days.")
@click.option("--max-disk", type=click.IntRange(min=0), metavar="MB", help="Then the oldest, until it fits into this.")
@click.option("--dry-run", is_flag=True, help="Say what would go, change nothing.")
@click.pass_obj
def vacuum(call: Call, hot_days: int, max_disk: int | None, dry_run: bool) -> int:
    """Remove runs that ended long ago, and the bundles that no run needs any more.

    Running and parked runs stay, with all that they continue. Exit 1 when --max-disk cannot be met.
    """
    shrunk = call.app.upkeep.vacuum(hot_days, dry_run, max_disk)
    gone, size = shrunk.removed, f"{shrunk.bytes / 1e6:,.1f} MB"
    cutoff = datetime.fromtimestamp(gone.cutoff / 1e6, UTC).isoformat()
    if call.wants_json:
        counts = {"runs": gone.runs, "facts": gone.facts, "bundles": gone.bundles}
        put_json({"dry_run": gone.dry_run, **counts, "cutoff": cutoff, "bytes": shrunk.bytes, "fits": shrunk.fits})
        return YES if shrunk.fits else NO
    verb = "would remove" if gone.dry_run else "removed"
    left = f"{counted(gone.runs, 'run')}, {counted(gone.facts, 'fact')} and {counted(gone.bundles, 'bundle')}"
    say(f"{verb} {left} last touched before {cutoff}")
    if max_disk is not None:
        say(f"the ledger {'would take about' if gone.dry_run else 'takes'} {size}")
    if not shrunk.fits and not call.is_quiet:
        why = "what is left runs, is parked, is needed by such a run or is fresh"
        note(f"that is more than {max_disk} MB: {why}; or the server keeps the space for new rows")
    return YES if shrunk.fits else NO


@command.command("check")
@click.pass_obj
def check(call: Call) -> int:
    """Verify digests, chains, statuses and anchors. Exit 1 with the faults."""
    faults = call.app.upkeep.check(_quietly if call.is_quiet else note)
    if call.wants_json:
        put_json([{"where": fault.where, "what": fault.what, "run": fault.run} for fault in faults])
    else:
        for fault in faults:
            say(f"{fault.where}: {fault.what}")
        say(f"{len(faults)} faults" if faults else "no faults")
    return NO if faults else YES


@command.command("accept")
@click.pass_obj
def accept(call: Call) -> None:
    """Let runs go on from what the ledger holds, though the anchors hold more of them, or are lost.

    For an old copy that was put back on purpose, and for a file of anchors that is gone for good. Look at `magsag data
    check` first, and outside: what the runs did since the copy will happen again. Who accepts it stands among the
    anchors.
    """
    found = call.app.upkeep.accept(call.app.settings.actor)
    if call.wants_json:
        put_json([{"run": run, "up_to": seq} for run, seq in found.items()])
        return
    for run, seq in found.items():
        say(f"run {run}: the anchors held up to fact {seq}" if seq else f"run {run}: nothing of it was vouched for")
    say(f"{len(found)} accepted" if found else "the anchors hold: there is nothing to accept")


@command.command("backup")
@click.argument("destination", metavar="DEST")
@click.pass_obj
def backup(call: Call, destination: str) -> None:
    """Write a consistent copy of the ledger while others go on, and its anchors to DEST.anchors.log.

    A ledger in Postgres is copied by pg_dump, which must be on PATH.
    """
    restore = call.app.upkeep.backup(destination)
    if call.wants_json:
        put_json({"backup": destination, "restore": restore})
    else:
        say(f"the ledger is copied to {destination}")
        if not call.is_quiet:
            note(f"to put it back: {restore}")


@command.command("archive")
@click.argument("destination", metavar="DEST")
@click.option(
    "--since",
    type=click.IntRange(min=0),
    metavar="DAYS",
    default=7,
    show_default=True,
    help="What ended in the last so many days.",
)
@click.option(
    "--format", "form", type=click.Choice(["ndjson"]), default="ndjson", show_default=True, help="Of the files."
)
@click.pass_obj
def archive(call: Call, destination: str, since: int, form: str) -> None:
    """Write ended runs into a new folder: facts, payloads and bundles, with a manifest of counts and hashes.

    They stay in the ledger. `magsag run import DEST --run RUN` reads one back. Refused when a field that a contract
    marks x-redact holds a value.
    """
    archived = call.app.archives.write(destination, since, _quietly if call.is_quiet else note)
    if call.wants_json:
        put_json(asdict(archived))
        return
    counts = f"{counted(archived.trees, 'run tree')}, {counted(archived.runs, 'run')}"
    say(f"archived to {archived.folder}: {counts}, {counted(archived.facts, 'fact')}")


@command.command("migrate")
@click.option("--to", metavar="FILE|DSN", help="Where the ledger goes: an empty place.")
@click.option("--cancel", is_flag=True, help="Stay here after a move that was interrupted.")
@click.pass_obj
def migrate(call: Call, to: str | None, cancel: bool) -> None:
    """Move the whole ledger, parked runs too, into another store.

    Nobody may drive a run meanwhile. Both ledgers are counted and compared; the old one is then closed for good: it can
    still be read, nothing runs in it any more.
    """
    if (to is None) is not cancel:
        raise Invalid("say where the ledger goes, with --to, or --cancel a move that was interrupted")
    if to is None:
        was = call.app.moving.cancel()
        if call.wants_json:
            put_json({"cancelled": was.elsewhere})
        else:
            say(f"the move to {was.elsewhere} is cancelled: runs go on here")
        return
    moved = call.app.moving.migrate(to, _quietly if call.is_quiet else note)
    tallies = {name: {"count": tally.count, "hash": tally.hash} for name, tally in moved.tallies.items()}
    if call.wants_json:
        put_json({"from": moved.source, "to": moved.target, "equal": True, **tallies})
        return
    say(f"moved to {moved.target}; both ledgers hold the same:")
    put_table(["", "count", "sha256"], [[name, str(one.count), one.hash] for name, one in moved.tallies.items()])
    if call.app.settings.audit.anchors:
        note("[audit] anchors still names the old ledger's file: put the new one's there, or remove the setting")
    say(f"nothing runs in {moved.source} any more; set `ledger` in magsag.toml, or use --ledger")


def _quietly(_: str) -> None:
    """Nobody wants to hear it."""
