"""`python benchmarks/readme.py [RESULTS] [README]`: puts the table of the last `make bench` between its markers."""

import json
import re
import sys
from pathlib import Path
from typing import Any

from measure import table

HERE = Path(__file__).parent
_BETWEEN = re.compile(r"(<!-- measured[^\n]*-->\n).*?(<!-- end of measured -->)", re.DOTALL)


def main() -> int:
    results = Path(sys.argv[1]) if sys.argv[1:] else HERE / "results.json"
    readme = Path(sys.argv[2]) if sys.argv[2:] else HERE.parent / "README.md"
    try:
        text = measured(json.loads(results.read_text(encoding="utf-8")))
    except FileNotFoundError:
        print("nothing was measured yet: run `make bench` first", file=sys.stderr)
        return 2
    page, count = _BETWEEN.subn(lambda found: found[1] + text + found[2], readme.read_text(encoding="utf-8"))
    if count != 1:
        print(f"{readme.name}: there must be one place between <!-- measured --> and <!-- end of measured -->")
        return 2
    readme.write_text(page, encoding="utf-8")
    return 0


def measured(results: dict[str, Any]) -> str:
    """The block as it stands in the page."""
    machine = f"{results['cores']} cores, {results['system']}"
    head = f"On {machine}, Python {results['python']}, SQLite {results['sqlite']}. A missed goal stays in the table."
    return f"{head}\n\n```text\n{table(results)}\n```\n"


if __name__ == "__main__":
    sys.exit(main())
