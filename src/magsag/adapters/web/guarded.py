"""An HTTP client that reaches only what is granted. Every request is judged anew, also one that follows a redirect."""

import asyncio
import socket
from collections.abc import Awaitable, Callable, Sequence
from ipaddress import ip_address
from typing import TYPE_CHECKING, Any

from magsag.domain.errors import ErrorType, Retryable, StepFailed
from magsag.policy.hosts import PORTS, Address, Hosts, granting

if TYPE_CHECKING:
    import httpx2

Resolve = Callable[[str, int], Awaitable[Sequence[str]]]
"""the addresses of a host, in the order in which the system would try them"""


async def system_addresses(host: str, port: int) -> Sequence[str]:
    """As the system resolves it. Raises OSError."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(place[0]).partition("%")[0] for *_, place in found]


class GuardedWeb:
    """A `domain.context.Web`."""

    def __init__(self, hosts: Hosts, resolve: Resolve = system_addresses) -> None:
        self._hosts = hosts
        self._resolve = resolve

    def client(self, **options: Any) -> "httpx2.AsyncClient":
        """A client with these options of `httpx2.AsyncClient`; proxies, `.netrc` and variables do not count."""
        import httpx2

        from magsag.adapters.web.transport import GuardedTransport

        held = {name: options.pop(name) for name in ("verify", "cert", "http1", "http2") if name in options}
        for name in ("transport", "mounts", "proxy", "trust_env"):
            if name in options:
                raise TypeError(f"ctx.http() takes no {name}: it would lead past what is granted")
        guard = GuardedTransport(lambda: httpx2.AsyncHTTPTransport(**held, trust_env=False), self.addresses)
        return httpx2.AsyncClient(transport=guard, trust_env=False, **options)

    async def addresses(self, host: str, scheme: str, port: int | None) -> Sequence[str]:
        """The addresses to connect to for a URL's host, one after the other. Raises StepFailed when there is none that
        may be reached."""
        where = port or PORTS.get(scheme, 0)
        try:
            found = await self._resolve(host, where)
        except (OSError, UnicodeError) as error:
            raise Retryable("unavailable", f"{host} has no address: {error}") from error
        granted, refusals = [], []
        for text in found:
            address: Address = ip_address(text)
            refusal = self._hosts.refusal(host, where, address)
            if refusal is None:
                granted.append(text)
            else:
                refusals.append(refusal)
        if granted:
            return granted
        if not refusals:
            raise Retryable("unavailable", f"{host} has no address")
        entry = granting(host, where, ip_address(found[0]))
        said = f'{refusals[0]}; to let acts reach it, add "{entry}" to it in magsag.toml'
        raise StepFailed(ErrorType.DENIED, said, {"host": host, "addresses": list(found)})
