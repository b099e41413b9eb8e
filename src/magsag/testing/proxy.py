"""A network between a client and a server of this machine, which fails when it is told to."""

import socket
import threading
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

_CHUNK: Final = 1 << 16


class Network:
    """Forwards a TCP port of the loopback to a unix socket, until told otherwise."""

    def __init__(self, target: Path) -> None:
        self._target = str(target)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._open = threading.Event()
        self._open.set()
        self._deaf = threading.Event()
        self._fatal: bytes | None = None
        self._ends: list[socket.socket] = []
        threading.Thread(target=self._accept, daemon=True).start()

    def __enter__(self) -> "Network":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._listener.close()
        self.cut()

    def lose_answers(self) -> None:
        """What the client says arrives; what the server says does not, and then the connection is cut."""
        self._deaf.set()

    def cut_at(self, words: bytes) -> None:
        """A connection is cut when its client says this; the server does not hear it."""
        self._fatal = words

    def stop_forwarding(self) -> None:
        """Nothing arrives any more, in either direction, and nobody is told."""
        self._open.clear()

    def heal(self) -> None:
        """As before, for connections made from now on."""
        self.cut()
        self._fatal = None
        self._deaf.clear()
        self._open.set()

    def cut(self) -> None:
        """End every connection."""
        ends, self._ends = self._ends, []
        self._open.set()
        for end in ends:
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
            end.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._target)
            self._ends += [client, server]
            threading.Thread(target=self._forward, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._forward, args=(server, client, True), daemon=True).start()

    def _forward(self, source: socket.socket, target: socket.socket, is_answer: bool) -> None:
        with suppress(OSError):
            while data := source.recv(_CHUNK):
                self._open.wait()
                if self._deaf.is_set() if is_answer else self._fatal is not None and self._fatal in data:
                    break
                target.sendall(data)
        for end in (source, target):
            with suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)
