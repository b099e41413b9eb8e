"""Sends requests to the address that was judged, in the name of the host that was asked for."""

from collections.abc import Awaitable, Callable, Sequence

import httpx2

from magsag.domain.errors import ErrorType, StepFailed
from magsag.policy.hosts import PORTS

Judged = Callable[[str, str, int | None], Awaitable[Sequence[str]]]
"""host, scheme, port -> the addresses to connect to, one after the other; at least one"""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Stands before others, one for each host: they know connections by address, and would share them."""

    def __init__(self, inner: Callable[[], httpx2.AsyncBaseTransport], judged: Judged) -> None:
        """`inner` makes such another."""
        self._make = inner
        self._judged = judged
        self._inner: dict[str, httpx2.AsyncBaseTransport] = {}

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Judge, then send. The certificate is still asked for the host's own name."""
        host, asked = request.url.raw_host.decode("ascii"), request.url
        _require_honest(request)
        *others, last = await self._judged(host, asked.scheme, asked.port)
        if host not in self._inner:
            self._inner[host] = self._make()
        inner = self._inner[host]
        if last != host:
            request.extensions = {**request.extensions, "sni_hostname": host}
        try:
            for address in others:
                request.url = asked.copy_with(host=address)
                try:
                    return await inner.handle_async_request(request)
                except (httpx2.ConnectError, httpx2.ConnectTimeout):
                    continue  # nothing was sent
            request.url = asked.copy_with(host=last)
            return await inner.handle_async_request(request)
        finally:
            request.url = asked

    async def aclose(self) -> None:
        """Close all of them."""
        for inner in self._inner.values():
            await inner.aclose()


def _require_honest(request: httpx2.Request) -> None:
    """Headers that name another host than the one that is judged, or that end the request in two places, so that what
    follows could be taken for another one. Raises StepFailed."""
    url, headers = request.url, request.headers
    host = url.raw_host.decode("ascii").lower()
    own = {url.netloc.decode("ascii").lower(), host, f"{host}:{url.port or PORTS.get(url.scheme)}"}
    for named in headers.get_list("host"):
        if named.lower() not in own:
            said = f"the header Host names {named!r}, and {host} is asked: ask the other itself, so that it is judged"
            raise StepFailed(ErrorType.DENIED, said, {"host": named})
    if "transfer-encoding" in headers and "content-length" in headers:
        said = f"a request to {url.host} has both Transfer-Encoding and Content-Length: leave both headers out"
        raise StepFailed(ErrorType.INVALID_VALUE, said)
