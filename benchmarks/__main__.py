"""`python benchmarks [CASE ...] [--rounds N] [--no-peers]`: the product, the machine's floor and its peers.

Prints a table and writes JSON; `check.py` and `readme.py` read that.
"""

import argparse
import json
import logging
import os
import platform
import shutil
import sqlite3
import sys
from pathlib import Path

from approvals import approvals
from cases import CASES as ON_SQLITE
from governed import governed
from measure import Row, document, table
from on_postgres import on_postgres
from peer_programs import NAMES, Peers, Unavailable

HERE = Path(__file__).parent
CASES = {**ON_SQLITE, "B9": on_postgres, "B10": governed, "B11": approvals}
RESULTS = HERE / "results.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; all when left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--no-peers", action="store_true", help="only the product and its floor")
    parser.add_argument("--output", type=Path, default=RESULTS)
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"{unknown[0]} is no case; there are {', '.join(CASES)}")
    logging.disable(logging.WARNING)
    ledgers = HERE / "ledgers"
    ledgers.mkdir(exist_ok=True)
    peers = Peers(() if options.no_peers else NAMES, ledgers)
    rows: list[Row] = []
    try:
        for name in options.cases or CASES:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += CASES[name](options.rounds, peers)
    except Unavailable as why:
        print(f"a peer broke down, so nothing is written: {why}; try again, or with --no-peers", file=sys.stderr)
        return 4
    finally:
        peers.close()
        shutil.rmtree(ledgers, ignore_errors=True)
    machine = {
        "python": platform.python_version(),
        "sqlite": sqlite3.sqlite_version,
        "system": f"{platform.system()} {platform.machine()}",
        "cores": os.cpu_count(),
    }
    results = {**machine, "peers": peers.described(), "rows": document(rows)}
    options.output.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    print(table(results))
    return 0


if __name__ == "__main__":
    sys.exit(main())
