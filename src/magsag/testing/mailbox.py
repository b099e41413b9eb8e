"""The sink as a process of its own, for demonstrations: `python -m magsag.testing.mailbox --port 8025`.

It keeps what it is sent in memory, and prints one JSON line for each call.
"""

import argparse
import json
import threading
from collections.abc import Sequence

from magsag.testing.sink import Sink


def main(arguments: Sequence[str] | None = None) -> int:
    """Listen until it is interrupted; one JSON line on stdout for each call."""
    parser = argparse.ArgumentParser(prog="python -m magsag.testing.mailbox", description=main.__doc__)
    parser.add_argument("--port", type=int, default=8025, help="8025 by default; 0 for any that is free")

    def heard(name: str, key: str, body: bytes) -> None:
        print(json.dumps({"name": name, "key": key, "body": body.decode("utf-8", "replace")}), flush=True)

    with Sink(parser.parse_args(arguments).port, heard) as sink:
        print(json.dumps({"listening": sink.url}), flush=True)
        try:
            threading.Event().wait()
        except KeyboardInterrupt:
            return 0
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
