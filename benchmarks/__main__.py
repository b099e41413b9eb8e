"""`python benchmarks [CASE ...] [--rounds N]`: goals of the product beside the machine's floor, as a table and JSON."""

import argparse
import json
import logging
import platform
import shutil
import sqlite3
import sys
from pathlib import Path

from cases import CASES
from measure import Row, document, table

HERE = Path(__file__).parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("cases", nargs="*", help=f"some of {', '.join(CASES)}; all when left out")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--output", type=Path, default=HERE / "results.json")
    options = parser.parse_args()
    if unknown := [name for name in options.cases if name not in CASES]:
        parser.error(f"{unknown[0]} is no case; there are {', '.join(CASES)}")
    logging.disable(logging.WARNING)
    (HERE / "ledgers").mkdir(exist_ok=True)
    rows: list[Row] = []
    try:
        for name in options.cases or CASES:
            print(f"{name} ...", file=sys.stderr, flush=True)
            rows += CASES[name](options.rounds)
    finally:
        shutil.rmtree(HERE / "ledgers", ignore_errors=True)
    machine = {"python": platform.python_version(), "sqlite": sqlite3.sqlite_version, "machine": platform.machine()}
    options.output.write_text(json.dumps({**machine, "rows": document(rows)}, indent=1) + "\n", encoding="utf-8")
    print(table(rows))
    return 0


if __name__ == "__main__":
    sys.exit(main())
