"""`python benchmarks/check.py [RESULTS]`: is ours ahead of every peer in the last `make bench`?

Exit 0 yes; 1 no, with a line for each case that is behind; 2 when nothing was compared.
"""

import json
import sys
from pathlib import Path

from measure import times_better

RESULTS = Path(__file__).parent / "results.json"


def main() -> int:
    path = Path(sys.argv[1]) if sys.argv[1:] else RESULTS
    try:
        rows = json.loads(path.read_text(encoding="utf-8"))["rows"]
    except FileNotFoundError:
        print("nothing was measured yet: run `make bench` first", file=sys.stderr)
        return 2
    pairs = [(item, name, theirs) for item in rows for name, theirs in item["peers"].items()]
    if not pairs:
        print("the last `make bench` had no peer beside it, so nothing can be said", file=sys.stderr)
        return 2
    behind = [(item, name, theirs) for item, name, theirs in pairs if times_better(item, theirs) <= 1]
    for item, name, theirs in behind:
        print(f"{item['case']} {item['what']}: ours {item['median']:.4g}, {name} {theirs:.4g} {item['unit']}")
    names = ", ".join(dict.fromkeys(name for _, name, _ in pairs))
    print(f"{len(pairs) - len(behind)} of {len(pairs)} comparisons ahead of {names}")
    return 1 if behind else 0


if __name__ == "__main__":
    sys.exit(main())
