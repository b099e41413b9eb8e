"""Which addresses `[http] allow` grants, and what is no entry of it."""

from ipaddress import ip_address

import pytest

from magsag.policy.hosts import granting, parse_hosts

PUBLIC, INNER, OWN, WIRE = "93.184.216.34", "10.1.2.3", "127.0.0.1", "169.254.1.1"


@pytest.mark.parametrize(
    ("allow", "host", "port", "address", "granted"),
    [
        (["public"], "example.com", 443, PUBLIC, True),
        (["public"], "example.com", 443, "2606:2800:220:1::1", True),
        (["public"], "inner.example", 443, INNER, False),
        (["public"], "localhost", 80, OWN, False),
        (["public"], "wire", 80, WIRE, False),
        (["public"], "many", 80, "224.0.0.1", False),
        (["public"], "all", 80, "255.255.255.255", False),
        ([], "example.com", 443, PUBLIC, False),
        (["example.com"], "example.com", 443, PUBLIC, True),
        (["example.com"], "EXAMPLE.com.", 443, PUBLIC, True),
        (["example.com"], "api.example.com", 443, PUBLIC, False),
        (["example.com"], "notexample.com", 443, PUBLIC, False),
        (["*.example.com"], "api.example.com", 443, PUBLIC, True),
        (["*.example.com"], "example.com", 443, PUBLIC, False),
        (["*.example.com"], "notexample.com", 443, PUBLIC, False),
        (["example.com:443"], "example.com", 443, PUBLIC, True),
        (["example.com:443"], "example.com", 80, PUBLIC, False),
        (["crm.internal"], "crm.internal", 80, INNER, True),
        (["crm.internal"], "crm.internal", 80, OWN, False),
        (["crm.internal"], "crm.internal", 80, WIRE, False),
        (["localhost"], "localhost", 80, OWN, True),
        (["localhost"], "localhost", 80, "::1", True),
        (["localhost"], "other", 80, OWN, False),
        (["127.0.0.1:8025"], "whatever", 8025, OWN, True),
        (["127.0.0.1:8025"], "whatever", 8026, OWN, False),
        (["10.0.0.0/8"], "whatever", 80, INNER, True),
        (["10.0.0.0/8:80"], "whatever", 80, INNER, True),
        (["10.0.0.0/8:80"], "whatever", 81, INNER, False),
        (["[::1]:80"], "whatever", 80, "::1", True),
        (["::1"], "whatever", 80, "::1", True),
        (["127.0.0.1"], "mapped", 80, "::ffff:127.0.0.1", True),
        (["169.254.0.0/16"], "wire", 80, WIRE, True),
        (["127.0.0.1"], "compatible", 80, "::127.0.0.1", True),
        (["65.54.227.120"], "tunnel", 80, "2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        (["2001::/32"], "tunnel", 80, "2001:0:4136:e378:8000:63bf:80ff:fffe", False),
        (["127.0.0.1"], "tunnel", 80, "2001:0:4136:e378:8000:63bf:80ff:fffe", True),
        (["127.0.0.1"], "tunnel", 80, "2001:0:7f00:1:8000:63bf:3fff:fdd2", False),
        (["192.0.2.45"], "tunnel", 80, "2001:0:7f00:1:8000:63bf:3fff:fdd2", False),
        (["xn--bcher-kva.example"], "xn--bcher-kva.example", 443, PUBLIC, True),
        (["fd00::/8"], "whatever", 80, "fd12::1", True),
    ],
)
def test_an_address_is_granted_or_not(allow: list[str], host: str, port: int, address: str, granted: bool) -> None:
    refusal = parse_hosts(allow).refusal(host, port, ip_address(address))
    assert (refusal is None) is granted, refusal


@pytest.mark.parametrize(
    "text", ["", "a b", "example.com:", "example.com:0", "example.com:99999", "http://example.com", "*", "*.", "1.2.3"]
)
def test_an_entry_that_is_none_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="write"):
        parse_hosts([text])


def test_a_refusal_says_what_the_address_is() -> None:
    hosts = parse_hosts(["public"])
    said = {address: hosts.refusal("h", 80, ip_address(address)) for address in (OWN, WIRE, INNER, "169.254.169.254")}
    assert "this machine" in str(said[OWN])
    assert "the local wire" in str(said[WIRE])
    assert "no address of the internet" in str(said[INNER])
    assert "where a cloud hands out credentials" in str(said["169.254.169.254"])
    assert "a host that is not listed" in str(parse_hosts([]).refusal("h", 80, ip_address(PUBLIC)))


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("publik", '"public"'),
        ("localhst:80", '"localhost:80"'),
        ("::1:9", r'"\[::1\]:9"'),
        ("fe80::1:80", r"\[fe80::1\]:80"),
    ],
)
def test_a_slip_is_told_what_may_be_meant(text: str, meant: str) -> None:
    with pytest.raises(ValueError, match=meant):
        parse_hosts([text])


@pytest.mark.parametrize(
    ("host", "address", "entry"),
    [
        ("example.com", PUBLIC, "example.com:9"),
        ("crm.internal", INNER, "crm.internal:9"),
        ("localhost", OWN, "localhost:9"),
        ("2130706433", OWN, "127.0.0.1:9"),
        ("::1", "::1", "[::1]:9"),
        ("leads.inwards", "::1", "[::1]:9"),
        ("leads.inwards", "169.254.169.254", "169.254.169.254:9"),
    ],
)
def test_the_entry_that_a_refusal_names_grants_it(host: str, address: str, entry: str) -> None:
    assert granting(host, 9, ip_address(address)) == entry
    assert parse_hosts([entry]).refusal(host, 9, ip_address(address)) is None


def test_an_address_in_brackets_and_a_word_are_entries() -> None:
    assert parse_hosts(["[::1:9]"]).refusal("h", 80, ip_address("::1:9")) is None
    assert parse_hosts(["redis:6379"]).refusal("redis", 6379, ip_address(INNER)) is None
