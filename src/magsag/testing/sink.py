"""A small HTTP server on the loopback interface that counts effects by their key: what really happened outside.

In tests `with Sink() as sink`; as a process of its own: `magsag.testing.mailbox`.
"""

import threading
from collections import Counter
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

Heard = Callable[[str, str, bytes], None]
"""told the name, the key and the body of every call"""


class Sink:
    """`POST url/NAME` with the header `Idempotency-Key` is one call; `GET url/KEY` gives its body, 404 without one.

    Use it with `with`. Safe to ask from any thread and by any process.
    """

    def __init__(self, port: int = 0, heard: Heard | None = None) -> None:
        """Port 0 is any that is free."""
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []
        """(name, key) of every call, in the order in which they came"""
        self.bodies: dict[str, bytes] = {}
        """what the first call of each key brought"""
        self.heard = heard
        self._server = ThreadingHTTPServer(("127.0.0.1", port), self._handler())
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        """Where it listens, without a slash at the end."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def count(self, name: str | None = None) -> Counter[str]:
        """How many calls each key has made, of one name or of all."""
        with self._lock:
            return Counter(key for called, key in self.calls if name in (None, called))

    def take(self, name: str, key: str, body: bytes) -> None:
        """A call has come."""
        with self._lock:
            self.calls.append((name, key))
            self.bodies.setdefault(key, body)
        if self.heard is not None:
            self.heard(name, key, body)

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
                body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
                sink.take(self.path.strip("/"), self.headers.get("Idempotency-Key", ""), body)
                self._answer(200, b"")

            do_PUT = do_PATCH = do_DELETE = do_POST

            def do_GET(self) -> None:
                body = sink.bodies.get(self.path.strip("/"))
                self._answer(404 if body is None else 200, body or b"")

            def _answer(self, status: int, body: bytes) -> None:
                self.send_response(status)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: Any) -> None:
                """Say nothing on stderr."""

        return Handler
