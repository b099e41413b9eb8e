"""Sends requests to the address that was judged, in the name of the host that was asked for."""

from collections.abc import Awaitable, Callable

import httpx2

Judged = Callable[[str, str, int | None], Awaitable[str]]
"""host, scheme, port -> the address to connect to"""


class GuardedTransport(httpx2.AsyncBaseTransport):
    """Stands before another transport."""

    def __init__(self, inner: httpx2.AsyncBaseTransport, judged: Judged) -> None:
        self._inner = inner
        self._judged = judged

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        """Judge, then send. The certificate is still asked for the host's own name."""
        host = request.url.host
        address = await self._judged(host, request.url.scheme, request.url.port)
        if address != host:
            request.extensions = {**request.extensions, "sni_hostname": request.url.raw_host.decode("ascii")}
            asked = request.url
            request.url = asked.copy_with(host=address)
            try:
                return await self._inner.handle_async_request(request)
            finally:
                request.url = asked
        return await self._inner.handle_async_request(request)

    async def aclose(self) -> None:
        """Close the one behind."""
        await self._inner.aclose()
