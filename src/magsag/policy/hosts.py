"""Which hosts an act may reach: what `[http] allow` grants, and the judgement of one address of one host. Pure.

Judged is the address that is going to be connected to, not the name: a name may lead anywhere. Addresses of this
machine, of its wire, and where clouds hand out credentials are reached only by an entry that says them as addresses.
"""

from collections.abc import Sequence
from difflib import get_close_matches
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Final

from magsag.domain.frozen import frozen

PUBLIC: Final = "public"
"""the entry for every address of the internet"""
PORTS: Final = {"http": 80, "https": 443}
"""of URLs that name none"""
_METADATA: Final = frozenset(
    map(
        ip_address,
        ("169.254.169.254", "169.254.170.2", "100.100.100.200", "192.0.0.192", "168.63.129.16", "fd00:ec2::254"),
    )
)
"""where clouds hand out credentials; not all of them look like it"""
_TRANSLATED: Final = ip_network("64:ff9b::/96"), ip_network("64:ff9b:1::/48")

Address = IPv4Address | IPv6Address


@frozen
class Entry:
    """One grant: a name or a network, on one port or on all."""

    text: str
    name: str = ""
    network: IPv4Network | IPv6Network | None = None
    port: int | None = None


@frozen
class Hosts:
    """All that is granted."""

    entries: Sequence[Entry]
    public: bool = False

    def refusal(self, host: str, port: int, address: Address) -> str | None:
        """Why this address of this host may not be reached; None when it may."""
        here = _Reached(address)
        for entry in self.entries:
            if entry.port not in (None, port):
                continue
            if entry.network is not None and here.is_of(entry.network):
                return None
            if (
                entry.name
                and _fits(entry.name, host)
                and (not here.is_close or (entry.name == "localhost" and here.is_own))
            ):
                return None
        if self.public and here.is_public:
            return None
        return f"{host} is {address}, {here.what}, and `[http] allow` does not grant it"


def granting(host: str, port: int, address: Address) -> str:
    """The entry of `[http] allow` that grants this address of this host on this port: by name where a name may."""
    name, here = host.lower().rstrip("."), _Reached(address)
    if _is_name(name) and (not here.is_close or (name == "localhost" and here.is_own)):
        return f"{name}:{port}"
    return f"[{address}]:{port}" if isinstance(address, IPv6Address) else f"{address}:{port}"


def parse_hosts(texts: Sequence[str]) -> Hosts:
    """Raises ValueError for an entry that is none, worded to follow its name."""
    entries = [_entry(text) for text in texts if text != PUBLIC]
    return Hosts(tuple(entries), PUBLIC in texts)


def _entry(text: str) -> Entry:
    host, colon, port = text.rpartition(":")
    if colon and _is_close_ipv6(host) and port.isdecimal():
        raise ValueError(
            f'{text!r} has no brackets; did you mean "[{host}]:{port}"? For that very address write [{text}]'
        )
    try:
        return Entry(text, network=ip_network(text.strip("[]"), strict=False))
    except ValueError:
        pass
    if not colon:
        host, port = text, ""
    number = int(port) if port.isdecimal() and 0 < int(port) < 65536 else None
    if colon and number is None:
        raise ValueError(f"{text!r} has no port behind its colon; write HOST, HOST:PORT, ADDRESS or NETWORK/BITS")
    try:
        return Entry(text, network=ip_network(host.strip("[]"), strict=False), port=number)
    except ValueError:
        pass
    name = host.lower().rstrip(".")
    if close := name not in _WORDS and get_close_matches(name, _WORDS, n=1, cutoff=0.75):
        meant = close[0] if close[0] == PUBLIC else f"{close[0]}{colon}{port if colon else ''}"
        raise ValueError(
            f'{text!r} is no host of the internet; write "{meant}" if that is meant, else the host with its domain'
        )
    if not _is_name(name.removeprefix("*.")):
        raise ValueError(
            f"{text!r} is no host; write `public`, HOST, *.DOMAIN, ADDRESS or NETWORK/BITS, with :PORT or without"
        )
    return Entry(text, name=name, port=number)


def _is_close_ipv6(text: str) -> bool:
    try:
        return _Reached(IPv6Address(text)).is_close
    except ValueError:
        return False


def _is_name(text: str) -> bool:
    """Not a number either, which a resolver would read as an address."""
    parts = text.split(".")
    return all(part and set(part) <= _LETTERS for part in parts) and not text.replace(".", "").isdecimal()


_WORDS: Final = PUBLIC, "localhost"
_LETTERS: Final = frozenset("abcdefghijklmnopqrstuvwxyz0123456789-_")


def _fits(name: str, host: str) -> bool:
    host = host.lower().rstrip(".")
    return host.endswith(name[1:]) if name.startswith("*.") else host == name


class _Reached:
    """What an address leads to, through all that is wrapped in it."""

    def __init__(self, address: Address) -> None:
        self.all = (address, *_wrapped(address))

    def is_of(self, network: IPv4Network | IPv6Network) -> bool:
        """Whether it, or what lies innermost, is of the network, and nothing else that is wrapped in it is close."""
        fitting = [one for one in (self.all[0], self.all[-1]) if one in network]
        return bool(fitting) and not any(_is_close(one) for one in self.all[1:] if one not in fitting)

    @property
    def is_own(self) -> bool:
        """This machine."""
        return any(one.is_loopback for one in self.all)

    @property
    def is_close(self) -> bool:
        """This machine, its wire, a cloud's own services, or nobody in particular: a name does not grant these."""
        return any(_is_close(one) for one in self.all)

    @property
    def is_public(self) -> bool:
        return not self.is_close and all(one.is_global for one in self.all)

    @property
    def what(self) -> str:
        if self.is_own:
            return "this machine"
        if any(one in _METADATA for one in self.all):
            return "where a cloud hands out credentials"
        if any(one.is_link_local for one in self.all):
            return "an address of the local wire"
        return "no address of the internet" if not self.is_public else "a host that is not listed"


_BROADCAST: Final = frozenset({IPv4Address("255.255.255.255")})


def _is_close(one: Address) -> bool:
    return (
        one.is_loopback
        or one.is_link_local
        or one.is_multicast
        or one.is_unspecified
        or one.is_reserved
        or one in _METADATA
        or one in _BROADCAST
    )


def _wrapped(address: Address) -> list[Address]:
    """IPv4 addresses inside an IPv6 one, the innermost last: a gateway, or this system, takes them out again."""
    if isinstance(address, IPv4Address):
        return []
    found = [address.ipv4_mapped, address.sixtofour, *(address.teredo or ())]
    low = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in _TRANSLATED) or int(address) >> 32 == 0:
        found.append(low)
    return [one for one in found if one is not None]
