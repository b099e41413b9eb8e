"""A small HTTP server on the loopback interface that counts effects by their key: what really happened outside."""

import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self


class Sink:
    """`POST url/NAME` with the header `Idempotency-Key` is one call; `GET url/KEY` says whether there was one.

    Use it with `with`. Safe to ask from any thread and by any process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []
        """(name, key) of every call, in the order in which they came"""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, name: str | None = None) -> Counter[str]:
        """How many calls each key has made, of one name or of all."""
        with self._lock:
            return Counter(key for called, key in self.calls if name in (None, called))

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        sink = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length", 0)))
                with sink._lock:
                    sink.calls.append((self.path.strip("/"), self.headers.get("Idempotency-Key", "")))
                self._answer(200)

            def do_GET(self) -> None:
                self._answer(200 if sink.count()[self.path.strip("/")] else 404)

            def _answer(self, status: int) -> None:
                self.send_response(status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: Any) -> None:
                """Say nothing on stderr."""

        return Handler
