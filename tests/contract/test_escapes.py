"""Ways out of the workspace and past the allowed hosts: each works where nothing guards, none where something does."""

import asyncio
import ctypes
import json
import os
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from magsag.adapters.files import WorkspaceFiles
from magsag.adapters.sandbox.bubblewrap import BubblewrapSandbox
from magsag.adapters.sandbox.kernel import landlock_abi
from magsag.adapters.sandbox.landlock import LandlockSandbox
from magsag.adapters.sandbox.places import Places
from magsag.adapters.sandbox.process import ProcessSandbox
from magsag.adapters.web import GuardedWeb
from magsag.domain.errors import StepFailed
from magsag.domain.manifests.isolation import Isolation
from magsag.policy.hosts import parse_hosts
from magsag.ports.sandbox import Confines, Sandbox
from tests.contract.escapes import ATTEMPTS

SECRET = "the secret outside"
Found = dict[str, list[str]]
ONLY_FOR_ROOT = {"mount the outside over the workspace"}
"""what a user may not do anyway"""
CLOSED_BY_MANY = {"ask for a keyring of the kernel", "change a setting of the kernel"}
"""what containers keep everybody from"""


class Outside:
    """Everything that lies outside of a workspace, listening and waiting to be reached."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self.workspace = folder / "workspace"
        self.folder = folder / "outside"
        for made in (self.workspace, self.folder, folder / "home/.ssh", folder / "catalog", folder / "python"):
            made.mkdir(parents=True)
        for path in (
            "outside/secret",
            "outside/victim",
            "outside/prey",
            "ledger.db",
            "magsag.toml",
            "catalog/policy.yaml",
        ):
            (folder / path).write_text(SECRET)
        (folder / "home/.ssh/id_ed25519").write_text(SECRET)
        program = self.folder / "program"
        program.write_text("#!/bin/sh\necho ran\n")
        program.chmod(0o755)
        self.about: dict[str, Any] = {
            "secret": str(self.folder / "secret"),
            "victim": str(self.folder / "victim"),
            "prey": str(self.folder / "prey"),
            "folder": str(self.folder),
            "ledger": str(folder / "ledger.db"),
            "settings": str(folder / "magsag.toml"),
            "policy": str(folder / "catalog/policy.yaml"),
            "home": str(folder / "home"),
            "python": str(folder / "python"),
            "pid": os.getpid(),
            "abstract": f"magsag-{os.getpid()}-{id(self)}",
            "local": str(self.folder / "s"),
            "letterbox": str(self.folder / "d"),
        }
        self._share(stack)
        listener = partial(self._listener, stack)
        self.about["tcp"] = listener(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", 0))[1]
        self.about["tcp6"] = listener(socket.AF_INET6, socket.SOCK_STREAM, ("::1", 0))[1]
        self.about["udp"] = listener(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", 0))[1]
        listener(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + self.about["abstract"])
        before = Path.cwd()
        os.chdir(self.folder)  # the whole path may be longer than a socket's name
        try:
            listener(socket.AF_UNIX, socket.SOCK_STREAM, "s")
            listener(socket.AF_UNIX, socket.SOCK_DGRAM, "d")
        finally:
            os.chdir(before)

    def _share(self, stack: ExitStack) -> None:
        """Memory, a queue and a semaphore of this process, which whoever knows their numbers could use."""
        libc = ctypes.CDLL(None, use_errno=True)
        for kind, numbers, end in (("shm", (4096,), (0, 0)), ("msg", (), (0, 0)), ("sem", (1,), (0, 0, 0))):
            made = getattr(libc, f"{kind}get")(0, *numbers, 0o1600)
            assert made >= 0, os.strerror(ctypes.get_errno())
            stack.callback(getattr(libc, f"{kind}ctl"), made, *end)
            self.about[kind] = made

    @staticmethod
    def _listener(stack: ExitStack, family: int, kind: int, place: Any) -> Any:
        made = stack.enter_context(socket.socket(family, kind))
        made.bind(place)
        if kind == socket.SOCK_STREAM:
            made.listen(8)
        return made.getsockname()

    def tried(self, box: Sandbox, isolation: Isolation) -> Found:
        """What came of every attempt."""
        script = Path(__file__).with_name("escapes.py").read_text()
        argv = [sys.executable, "-I", "-S", "-c", f"import os\nos.chdir({str(self.workspace)!r})\n{script}"]
        ended = asyncio.run(box.program([*argv, json.dumps(self.about)], Confines(isolation), 100_000))
        assert ended.code == 0, ended.stderr.decode()
        found: Found = json.loads(ended.stdout)
        return found


@pytest.fixture(scope="module")
def tried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[str], Found]]:
    """The attempts under a sandbox, each run once."""
    known: dict[str, Found] = {}
    with ExitStack() as stack:

        def under(name: str) -> Found:
            if name not in known:
                outside = Outside(tmp_path_factory.mktemp("e"), stack)
                places = Places(str(outside.workspace), protected=(outside.about["ledger"],))
                boxes: dict[str, Sandbox] = {
                    "nothing": ProcessSandbox(),
                    "landlock": LandlockSandbox(places),
                    "bubblewrap": BubblewrapSandbox(places),
                }
                isolation = Isolation.PROCESS if name == "nothing" else Isolation.SANDBOX
                known[name] = outside.tried(boxes[name], isolation)
            return known[name]

        yield under


@pytest.mark.parametrize("name", ATTEMPTS)
def test_without_a_sandbox_each_way_leads_out(name: str, tried: Callable[[str], Found]) -> None:
    if name in CLOSED_BY_MANY or (name in ONLY_FOR_ROOT and os.geteuid() != 0):
        return
    assert tried("nothing")[name][0] == "ESCAPED", tried("nothing")[name]


@pytest.mark.parametrize("name", ATTEMPTS)
def test_landlock_holds_each(name: str, tried: Callable[[str], Found]) -> None:
    if name == "signal another process" and landlock_abi() < 6:
        return
    assert tried("landlock")[name][0] == "held", tried("landlock")[name]


@pytest.mark.needs("bwrap")
@pytest.mark.parametrize("name", ATTEMPTS)
def test_bubblewrap_holds_each(name: str, tried: Callable[[str], Found]) -> None:
    assert tried("bubblewrap")[name][0] == "held", tried("bubblewrap")[name]


class Tree:
    """A workspace with ways out of it, which somebody has planted there."""

    def __init__(self, folder: Path) -> None:
        self.root = folder / "workspace"
        self.outside = folder / "outside"
        (self.root / "sub").mkdir(parents=True)
        self.outside.mkdir()
        self.secret = self.outside / "secret"
        self.secret.write_text(SECRET)
        (self.root / "plain").write_text("inside")
        (self.root / "link").symlink_to(self.secret)
        (self.root / "relative-link").symlink_to("../outside/secret")
        (self.root / "sub/link-to-link").symlink_to("../link")
        (self.root / "folder-link").symlink_to(self.outside)
        (self.root / "sub/up").symlink_to("../../outside")
        (self.root / "proc-root").symlink_to("/proc/self/root")
        (self.root / "proc-cwd").symlink_to("/proc/self/cwd")
        (self.root / "dangling").symlink_to(self.outside / "made-by-link")
        (self.root / "zero").symlink_to("/dev/zero")
        (self.root / "second-name").hardlink_to(self.secret)
        os.mkfifo(self.root / "pipe")

    @property
    def files(self) -> WorkspaceFiles:
        return WorkspaceFiles(lambda: str(self.root))

    @property
    def out(self) -> set[str]:
        """What stands outside, with its content."""
        return {f"{path.name}: {path.read_text()}" for path in self.outside.iterdir()}


@pytest.fixture
def tree(tmp_path: Path) -> Tree:
    return Tree(tmp_path)


READS = {
    "going up": "../outside/secret",
    "going down and up": "sub/../../outside/secret",
    "going up behind dots": "./../outside/secret",
    "the whole path": "{outside}/secret",
    "a link": "link",
    "a relative link": "relative-link",
    "a link to a link": "sub/link-to-link",
    "a link of a folder": "folder-link/secret",
    "a link that goes up": "sub/up/secret",
    "the root of the process": "proc-root{outside}/secret",
    "the working directory": "proc-cwd/../outside/secret",
    "a second name": "second-name",
    "a device": "zero",
    "a pipe": "pipe",
}


def plainly_read(root: Path, path: str) -> bytes:
    number = os.open(root / path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(number, 100)
    finally:
        os.close(number)


@pytest.mark.parametrize("way", READS)
def test_no_way_reads_what_lies_outside(way: str, tree: Tree, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tree.root)
    path = READS[way].format(outside=tree.outside)
    assert plainly_read(tree.root, path) in (SECRET.encode(), bytes(100), b"")
    with pytest.raises(StepFailed) as failed:
        tree.files.read(path, 1000)
    assert failed.value.type == "denied"
    assert SECRET not in str(failed.value)


def test_folders_deep_inside_one_another_are_refused_and_not_left_out(tree: Tree) -> None:
    deep = tree.root / "/".join(["d"] * 101)
    deep.mkdir(parents=True)
    with pytest.raises(StepFailed, match="folders deep") as failed:
        list(tree.files.walk())
    assert failed.value.type == "denied"


def test_a_walk_that_may_open_no_more_says_so(tree: Tree) -> None:
    import resource

    (tree.root / "a/b/c/d").mkdir(parents=True)
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    lowest = os.dup(0)
    os.close(lowest)
    resource.setrlimit(resource.RLIMIT_NOFILE, (lowest + 3, before[1]))
    try:
        with pytest.raises(StepFailed, match="too many open files"):
            list(tree.files.walk())
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)


WRITES = {
    "going up": "../outside/new",
    "going down and up": "sub/../../outside/new",
    "the whole path": "{outside}/new",
    "a link": "link",
    "a link that leads to nothing yet": "dangling",
    "a link to a link": "sub/link-to-link",
    "a link of a folder": "folder-link/new",
    "a link that goes up": "sub/up/new",
    "the root of the process": "proc-root{outside}/new",
    "a second name": "second-name",
}


@pytest.mark.parametrize("way", WRITES)
def test_no_way_writes_what_lies_outside(way: str, tree: Tree) -> None:
    path, before = WRITES[way].format(outside=tree.outside), tree.out
    with pytest.raises(StepFailed) as failed:
        tree.files.write(path, b"x")
    assert (failed.value.type, tree.out) == ("denied", before)
    (tree.root / path).write_text("x")
    assert tree.out != before


def test_a_walk_passes_over_every_way_out(tree: Tree) -> None:
    assert list(tree.files.walk()) == ["plain"]
    everything = [name for _, _, names in os.walk(tree.root, followlinks=False) for name in names]
    assert {"link", "second-name", "pipe"} <= set(everything)
    with pytest.raises(StepFailed):
        list(tree.files.walk("folder-link"))


def test_a_folder_that_becomes_a_link_meanwhile_leads_nowhere(tree: Tree) -> None:
    """Somebody changes the two as fast as they can; a look first and an open afterwards would be fooled."""
    moving, over = tree.root / "moving", threading.Event()
    (tree.root / "kept").mkdir()
    (tree.root / "kept/secret").write_text("inside")
    (tree.root / "away").symlink_to(tree.outside)

    def swap() -> None:
        while not over.is_set():
            for name in ("kept", "away"):
                os.rename(tree.root / name, moving)
                os.rename(moving, tree.root / name)

    swapping = threading.Thread(target=swap)
    swapping.start()
    seen: set[bytes] = set()
    try:
        for _ in range(2000):
            try:
                seen.add(tree.files.read("moving/secret", 100))
            except StepFailed:
                continue
    finally:
        over.set()
        swapping.join()
    assert seen <= {b"inside"}


class Sink(BaseHTTPRequestHandler):
    """A service on this machine that nobody should reach; `/away` sends on."""

    away = ""

    def do_GET(self) -> None:
        is_away = self.path.startswith("/away")
        self.send_response(302 if is_away else 200)
        if is_away:
            self.send_header("Location", Sink.away)
        self.send_header("Content-Length", "0" if is_away else "7")
        self.end_headers()
        if not is_away:
            self.wfile.write(b"reached")

    def log_message(self, format: str, *args: Any) -> None:
        """Nobody reads it."""


@pytest.fixture(scope="module")
def ports() -> Iterator[tuple[int, int]]:
    """Two such services; the second is also on IPv6, on the port of the first."""
    with ExitStack() as stack:
        servers = [ThreadingHTTPServer(("127.0.0.1", 0), Sink) for _ in range(2)]
        six = type("Six", (ThreadingHTTPServer,), {"address_family": socket.AF_INET6})
        servers.append(six(("::1", servers[0].server_port), Sink))
        for server in servers:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            stack.callback(server.server_close)
            stack.callback(server.shutdown)
        yield servers[0].server_port, servers[1].server_port


def asked(web: GuardedWeb, url: str, **options: Any) -> str:
    async def ask() -> str:
        async with web.client(**options) as client:
            return str((await client.get(url)).text)

    return asyncio.run(ask())


LOCAL = {
    "its address": "http://127.0.0.1:{port}/",
    "its name": "http://localhost:{port}/",
    "its name in capitals": "http://LOCALHOST:{port}/",
    "one number": "http://2130706433:{port}/",
    "one number of base 16": "http://0x7f000001:{port}/",
    "numbers of base 8": "http://0177.1:{port}/",
    "few numbers": "http://127.1:{port}/",
    "no address": "http://0.0.0.0:{port}/",
    "zero": "http://0:{port}/",
    "a name before it": "http://example.com@127.0.0.1:{port}/",
    "IPv6": "http://[::1]:{port}/",
    "IPv6, written out": "http://[0:0:0:0:0:0:0:1]:{port}/",
    "IPv4 in IPv6": "http://[::ffff:127.0.0.1]:{port}/",
    "IPv4 in IPv6, base 16": "http://[::ffff:7f00:1]:{port}/",
}


@pytest.mark.parametrize("way", LOCAL)
def test_no_way_of_writing_it_reaches_this_machine(way: str, ports: tuple[int, int]) -> None:
    import httpx2

    url = LOCAL[way].format(port=ports[0])
    assert httpx2.get(url, trust_env=False).text == "reached"
    with pytest.raises(StepFailed) as failed:
        asked(GuardedWeb(parse_hosts(["public"])), url)
    assert failed.value.type == "denied"
    assert "`[http] allow` does not grant it" in failed.value.message
    everywhere = GuardedWeb(parse_hosts(["0.0.0.0/0", "::/0"]))
    assert asked(everywhere, url) == "reached"


def resolving(*answers: list[str]) -> Callable[[str, int], Any]:
    """A name server whose answers follow one another; the last one stays."""
    left = list(answers)

    async def resolve(host: str, port: int) -> list[str]:
        return left.pop(0) if len(left) > 1 else left[0]

    return resolve


def test_a_name_that_leads_here_is_refused_whatever_it_is(ports: tuple[int, int]) -> None:
    url = f"http://rebound.example:{ports[0]}/"
    granted = GuardedWeb(parse_hosts(["127.0.0.0/8"]), resolving(["127.0.0.1"]))
    assert asked(granted, url) == "reached"
    for allow in (["public"], ["rebound.example"], ["*.example"], [f"rebound.example:{ports[0]}"]):
        with pytest.raises(StepFailed, match="this machine"):
            asked(GuardedWeb(parse_hosts(allow), resolving(["127.0.0.1"])), url)


def test_a_name_is_resolved_once_and_its_judged_address_is_connected_to(ports: tuple[int, int]) -> None:
    """The second answer would lead elsewhere: whoever asked twice would be fooled."""
    resolve = resolving(["127.0.0.1"], ["192.0.2.1"])
    web = GuardedWeb(parse_hosts([f"127.0.0.1:{ports[0]}"]), resolve)
    assert asked(web, f"http://rebound.example:{ports[0]}/", timeout=5) == "reached"


def test_of_several_addresses_only_a_granted_one_is_connected_to(ports: tuple[int, int]) -> None:
    web = GuardedWeb(parse_hosts([f"127.0.0.1:{ports[0]}"]), resolving(["::1", "10.0.0.1", "127.0.0.1"]))
    assert asked(web, f"http://several.example:{ports[0]}/") == "reached"


def test_of_several_granted_addresses_the_next_is_tried_when_one_does_not_answer(ports: tuple[int, int]) -> None:
    web = GuardedWeb(parse_hosts(["127.0.0.0/8"]), resolving(["127.0.0.9", "127.0.0.1"]))
    assert asked(web, f"http://several.example:{ports[0]}/") == "reached"


def test_an_international_name_is_granted_as_it_is_sent(ports: tuple[int, int]) -> None:
    names = []

    async def resolve(host: str, port: int) -> list[str]:
        names.append(host)
        return ["10.0.0.1"]

    with pytest.raises(StepFailed, match=r"xn--bcher-kva\.example"):
        asked(GuardedWeb(parse_hosts(["public"]), resolve), "http://bücher.example/")
    assert names == ["xn--bcher-kva.example"]


@pytest.mark.parametrize(
    ("headers", "type"),
    [
        ({"Host": "other.example"}, "denied"),
        ({"host": "127.0.0.1:1"}, "denied"),
        ({"Host": "127.0.0.1\r\nX: y"}, "denied"),
        ({"Transfer-Encoding": "chunked", "Content-Length": "3"}, "invalid_value"),
    ],
)
def test_headers_lead_to_no_other_host_and_hide_no_second_request(
    headers: dict[str, str], type: str, ports: tuple[int, int]
) -> None:
    web = GuardedWeb(parse_hosts(["127.0.0.1"]))
    assert asked(web, f"http://127.0.0.1:{ports[0]}/", headers={"Host": f"127.0.0.1:{ports[0]}"}) == "reached"
    with pytest.raises(StepFailed) as failed:
        asked(web, f"http://127.0.0.1:{ports[0]}/", headers=headers)
    assert failed.value.type == type


def test_two_hosts_on_one_address_share_no_connection() -> None:
    """A connection that was made for one name says nothing of who answers for the other."""
    callers = set()

    class Kept(Sink):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            callers.add(self.client_address)
            super().do_GET()

    async def ask(port: int) -> None:
        async with GuardedWeb(parse_hosts(["127.0.0.1"]), resolving(["127.0.0.1"])).client() as client:
            for name in ("one", "two", "one"):
                assert (await client.get(f"http://{name}.example:{port}/")).text == "reached"

    with ThreadingHTTPServer(("127.0.0.1", 0), Kept) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        asyncio.run(ask(server.server_port))
        server.shutdown()
    assert len(callers) == 2


def test_a_redirect_is_judged_too(ports: tuple[int, int]) -> None:
    Sink.away = f"http://127.0.0.1:{ports[1]}/"
    url = f"http://127.0.0.1:{ports[0]}/away"
    both = GuardedWeb(parse_hosts(["127.0.0.1"]))
    assert asked(both, url, follow_redirects=True) == "reached"
    with pytest.raises(StepFailed, match="does not grant it"):
        asked(GuardedWeb(parse_hosts([f"127.0.0.1:{ports[0]}"])), url, follow_redirects=True)


METADATA = {
    "its address": "169.254.169.254",
    "one number": "2852039166",
    "one number of base 16": "0xa9fea9fe",
    "numbers of base 8": "0251.0376.0251.0376",
    "IPv4 in IPv6": "::ffff:169.254.169.254",
    "through a translating gateway": "64:ff9b::a9fe:a9fe",
    "through a tunnel": "2002:a9fe:a9fe::1",
    "by IPv6": "fd00:ec2::254",
    "of another cloud": "100.100.100.200",
    "of a third": "192.0.0.192",
    "of a fourth, which looks public": "168.63.129.16",
    "of containers": "169.254.170.2",
}


@pytest.mark.parametrize("way", METADATA)
def test_no_way_of_writing_it_reaches_where_clouds_hand_out_credentials(way: str) -> None:
    host = METADATA[way]
    unguarded = GuardedWeb(parse_hosts(["0.0.0.0/0", "::/0"]))
    assert asyncio.run(unguarded.addresses(host, "http", None))
    for allow in (["public"], ["public", "10.0.0.0/8", host.replace(":", "-") + ".example"]):
        with pytest.raises(StepFailed) as failed:
            asyncio.run(GuardedWeb(parse_hosts(allow)).addresses(host, "http", None))
        assert failed.value.type == "denied"


@pytest.mark.parametrize("name", ["transport", "proxy", "mounts", "trust_env"])
def test_no_option_leads_past_the_guard(name: str) -> None:
    with pytest.raises(TypeError, match=r"ctx\.http"):
        GuardedWeb(parse_hosts(["public"])).client(**{name: None})


def test_no_variable_leads_past_the_guard(ports: tuple[int, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy would resolve and connect in our place."""
    import httpx2

    monkeypatch.setenv("HTTP_PROXY", f"http://127.0.0.1:{ports[0]}")
    monkeypatch.setenv("NO_PROXY", "")
    assert httpx2.get("http://192.0.2.1/").text == "reached"
    with pytest.raises(StepFailed, match="does not grant it"):
        asked(GuardedWeb(parse_hosts(["public"])), "http://192.0.2.1/")


def test_there_are_at_least_fifty_ways() -> None:
    assert len(ATTEMPTS) + len(READS) + len(WRITES) + len(LOCAL) + len(METADATA) >= 80
