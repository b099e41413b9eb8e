"""A small HTTP server on the loopback interface that counts effects by their key: what really happened outside.

In tests `with Sink() as sink`; as a process of its own: `magsag.testing.mailbox`, and `SinkProcess` for proofs.
"""

import asyncio
import http.client
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, HTTPServer, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Final, Self

Heard = Callable[[str, str, bytes], None]
"""told the name, the key and the body of every call"""
_ANSWER_SECONDS: Final = 30


class Sink:
    """`POST url/NAME` with the header `Idempotency-Key` is one call; `GET url/KEY` gives its body, 404 without one.

    `GET url/NAME/KEY` asks for a call of that name, `GET url/NAME?count` how many calls each key has made.
    Use it with `with`. Safe to ask from any thread and by any process.
    """

    def __init__(self, port: int = 0, heard: Heard | None = None, is_serial: bool = False) -> None:
        """Port 0 is any that is free. A serial one takes one call after the other, in the order in which they came."""
        self._lock = threading.Lock()
        self.calls: list[tuple[str, str]] = []
        """(name, key) of every call, in the order in which they came"""
        self.bodies: dict[str, bytes] = {}
        """what the first call of each key brought"""
        self.named: dict[tuple[str, str], bytes] = {}
        """the same by name and key"""
        self.heard = heard
        kind = HTTPServer if is_serial else ThreadingHTTPServer
        self._server = kind(("127.0.0.1", port), self._handler())
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
            self.named.setdefault((name, key), body)
        if self.heard is not None:
            self.heard(name, key, body)

    def answer(self, path: str, count: bool) -> bytes | None:
        """What a GET of this path gives; None for nothing."""
        if count:
            return json.dumps(self.count(path)).encode()
        name, slash, key = path.rpartition("/")
        return self.named.get((name, key)) if slash else self.bodies.get(path)

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
            timeout = _ANSWER_SECONDS

            def do_POST(self) -> None:
                length = int(self.headers.get("Content-Length", 0))
                body = self.rfile.read(length)
                if len(body) < length:
                    return  # who called died in the middle of it: nothing has happened
                sink.take(self.path.strip("/"), self.headers.get("Idempotency-Key", ""), body)
                self._answer(200, b"")

            do_PUT = do_PATCH = do_DELETE = do_POST

            def do_GET(self) -> None:
                path, _, asked = self.path.partition("?")
                body = sink.answer(path.strip("/"), asked == "count")
                self._answer(404 if body is None else 200, body or b"")

            def _answer(self, status: int, body: bytes) -> None:
                with suppress(ConnectionError):  # who called may be dead by now
                    self.send_response(status)
                    self.send_header("Content-Length", str(len(body)))
                    self.end_headers()
                    self.wfile.write(body)
                    self.wfile.flush()

            def log_message(self, *_: Any) -> None:
                """Say nothing on stderr."""

        return Handler


class SinkCalls:
    """Calls a sink, and asks it."""

    def __init__(self, port: int) -> None:
        self._port = port

    def count(self, trial: str) -> Mapping[str, int]:
        """How many calls each idempotency key has made."""
        found: dict[str, int] = json.loads(self._ask("GET", f"/{trial}?count") or b"{}")
        return found

    def find(self, trial: str, key: str) -> dict[str, Any] | None:
        """What the act under this key gave, as `{output}`; None when it was not called."""
        body = self._ask("GET", f"/{trial}/{key}")
        return None if body is None else json.loads(body)

    async def find_async(self, trial: str, key: str) -> dict[str, Any] | None:
        """The same, without holding the loop up."""
        return await asyncio.to_thread(self.find, trial, key)

    async def call(self, trial: str, key: str, output: object) -> None:
        """Act: from here on it has happened."""
        body = json.dumps({"output": output}).encode()
        await asyncio.to_thread(self._ask, "POST", f"/{trial}", key, body)

    def _ask(self, method: str, path: str, key: str = "", body: bytes = b"") -> bytes | None:
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=_ANSWER_SECONDS)
        try:
            connection.request(method, path, body, {"Idempotency-Key": key})
            answer = connection.getresponse()
            data = answer.read()
            return data if answer.status == 200 else None
        finally:
            connection.close()


class SinkProcess:
    """A sink in a process of its own, so that who starts it stays without threads. It ends with its last user."""

    def __init__(self) -> None:
        told, tell = os.pipe()
        alive, self._held = os.pipe()
        self._process = os.fork()
        if self._process == 0:
            os.close(self._held)
            _serve(tell, alive)
        os.close(tell)
        os.close(alive)
        with os.fdopen(told, "rb") as answer:
            self.calls = SinkCalls(int(answer.read()))

    def close(self) -> None:
        """Let it go, and wait until it has."""
        os.close(self._held)
        os.waitpid(self._process, 0)


def _serve(tell: int, alive: int) -> None:
    """Until nobody holds the other end of the pipe any more.

    It is serial, so that whoever asks after a process has died hears of all that this process had sent.
    """
    try:
        os.setpgid(0, 0)
        with Sink(is_serial=True) as sink:
            os.write(tell, sink.url.rpartition(":")[2].encode())
            os.close(tell)
            os.read(alive, 1)
    finally:
        os._exit(0)
