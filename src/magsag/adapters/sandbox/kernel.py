"""What the kernel is asked to hold a process to: limits, Landlock rules, a filter of system calls. By ctypes alone.

Everything here is of the process that calls it and of all that it starts, and cannot be taken back.
"""

import ctypes
import errno
import os
import platform
import struct
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

PDEATHSIG: Final = 1
CHILD_SUBREAPER: Final = 36
_SECCOMP: Final = 22
_CAPBSET_DROP: Final = 24
_NO_NEW_PRIVS: Final = 38
_CREATE_RULESET, _ADD_RULE, _RESTRICT_SELF = 444, 445, 446
_CAPSET: Final = {"x86_64": 126, "aarch64": 91}
_SOCKET: Final = {"x86_64": 41, "aarch64": 198}
_SOCKETPAIR: Final = {"x86_64": 53, "aarch64": 199}
_PAIRS: Final = (1, 5)
"""streams and sequenced packets: a pair of any other kind can send to whatever socket its sender names"""
_AUDIT_ARCH: Final = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
_IO_URING_SETUP: Final = 425
_CLOSED: Final = {
    "x86_64": (29, 30, 31, *range(64, 72), 220, 240, 248, 249, 250),
    "aarch64": (*range(186, 198), 180, 217, 218, 219),
}
"""all of shm*, sem* and msg* (who knows a number needs no `get`), mq_open, add_key, request_key, keyctl"""
_PRLIMIT: Final = {"x86_64": 302, "aarch64": 261}
_FAMILIES: Final = (2, 10, 16)
"""IPv4, IPv6 and netlink: a socket of another kind reaches the daemons of this machine"""
_READ: Final = 0b1101
"""execute, read a file, read a directory"""
_OF_FILES: Final = 0b111 | 1 << 14 | 1 << 15
"""of all rights those that a single file can have: execute, write, read, truncate, ioctl"""
OLDEST_ABI: Final = 3
"""before it nothing keeps a process from emptying files outside"""


def prctl(option: int, value: int = 0) -> None:
    """Raises OSError."""
    if _libc().prctl(option, ctypes.c_ulong(value), 0, 0, 0) != 0:
        raise _fault("prctl")


def landlock_abi() -> int:
    """The version of Landlock that this kernel has; 0: none, or it is switched off."""
    try:
        return max(0, int(_libc().syscall(_CREATE_RULESET, None, ctypes.c_size_t(0), 1)))
    except (OSError, AttributeError):
        return 0


def has_filter() -> bool:
    """Whether system calls can be filtered here: Linux, on a processor whose numbers are known."""
    return platform.system() == "Linux" and platform.machine() in _SOCKET


def limit(resources: Mapping[str, Any]) -> None:
    """Set the limits of `manifests.Resources`; what the system holds lower already stays. Raises OSError."""
    import resource  # Windows has none, and asks only what it lacks

    wanted = {
        resource.RLIMIT_CPU: max(1, int(resources["cpu"])),
        resource.RLIMIT_AS: resources["memory"],
        resource.RLIMIT_NOFILE: resources["files"],
        resource.RLIMIT_NPROC: _threads_of_user() + resources["processes"],
        resource.RLIMIT_FSIZE: resources["file_size"],
        resource.RLIMIT_CORE: 0,
    }
    for what, most in wanted.items():
        hard = resource.getrlimit(what)[1]
        least = most if hard == resource.RLIM_INFINITY else min(most, hard)
        # Beyond the first number of the two for time a process is told, beyond the second it is killed.
        last = least + 1 if what == resource.RLIMIT_CPU and hard in (resource.RLIM_INFINITY, least + 1) else least
        resource.setrlimit(what, (least, last))


def _threads_of_user() -> int:
    """How many threads the user has: the system counts all of them, not those of one act."""
    mine, found = os.getuid(), 0
    for name in os.listdir("/proc"):
        if name.isdecimal():
            try:
                if os.stat(f"/proc/{name}").st_uid == mine:
                    found += len(os.listdir(f"/proc/{name}/task"))
            except OSError:
                continue
    return found


def drop_rights() -> None:
    """No capability, and none by starting another program. Raises OSError."""
    for capability in range(64):
        if _libc().prctl(_CAPBSET_DROP, ctypes.c_ulong(capability), 0, 0, 0) != 0:
            break
    prctl(_NO_NEW_PRIVS, 1)
    header = (ctypes.c_uint32 * 2)(0x20080522, 0)
    nothing = (ctypes.c_uint32 * 6)()
    if _libc().syscall(_CAPSET[platform.machine()], header, nothing) != 0:
        raise _fault("capset")


def confine_files(read: Iterable[str], write: Iterable[str], network: bool) -> None:
    """Only these paths, and what lies below them; without `network` no TCP either. Raises OSError."""
    abi = landlock_abi()
    if abi < OLDEST_ABI:
        raise OSError(f"Landlock is of version {abi}, {OLDEST_ABI} is needed")
    every = (1 << 13 if abi < 2 else 1 << 14 if abi < 3 else 1 << 15 if abi < 5 else 1 << 16) - 1
    net = 0 if network or abi < 4 else 0b11
    scoped = 0b11 if abi >= 6 else 0
    attributes = struct.pack("QQQ", every, net, scoped)[: 8 if abi < 4 else 16 if abi < 6 else 24]
    ruleset = _libc().syscall(_CREATE_RULESET, attributes, ctypes.c_size_t(len(attributes)), 0)
    if ruleset < 0:
        raise _fault("landlock_create_ruleset")
    for path in read:
        _allow(ruleset, path, _READ)
    for path in write:
        _allow(ruleset, path, every)
    if _libc().syscall(_RESTRICT_SELF, ruleset, 0) != 0:
        raise _fault("landlock_restrict_self")
    os.close(ruleset)


def _allow(ruleset: int, path: str, rights: int) -> None:
    """What is not there needs no rule."""
    try:
        place = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return
    try:
        if not os.path.isdir(path):
            rights &= _OF_FILES
        rule = struct.pack("=Qi", rights, place)
        if _libc().syscall(_ADD_RULE, ruleset, 1, rule, 0) != 0:
            raise _fault(f"landlock_add_rule {path}")
    finally:
        os.close(place)


def confine_calls(network: bool) -> None:
    """Sockets of the internet, or with `network` off none at all. Raises OSError.

    Pairs stay that reach nobody but each other. Keyrings of the kernel and memory and queues that processes of one user
    share are closed: no folder says whose they are. So are the limits of other processes.
    """
    lines = list(_filter(platform.machine(), _FAMILIES if network else ()))
    text = ctypes.create_string_buffer(b"".join(struct.pack("HBBI", *line) for line in lines))
    held = ctypes.create_string_buffer(struct.pack("HxxxxxxP", len(lines), ctypes.addressof(text)))
    if _libc().prctl(_SECCOMP, ctypes.c_ulong(2), ctypes.c_ulong(ctypes.addressof(held)), 0, 0) != 0:
        raise _fault("seccomp")


def _filter(machine: str, families: tuple[int, ...]) -> Iterator[tuple[int, int, int, int]]:
    """A program for the kernel: (instruction, lines to skip when true, when false, value)."""
    load, equal, at_least, give, mask = 0x20, 0x15, 0x35, 0x06, 0x54
    closed = (_IO_URING_SETUP, *_CLOSED[machine])
    first = 14 + len(closed)
    refuse, allow = first + len(families), first + len(families) + 1
    yield load, 0, 0, 4
    yield equal, 0, refuse - 2, _AUDIT_ARCH[machine]  # another set of numbers would slip past what follows
    yield load, 0, 0, 0
    yield at_least, refuse - 4, 0, 0x40000000
    for number, call in enumerate(closed, 4):
        yield equal, refuse - number - 1, 0, call
    here = 4 + len(closed)
    yield equal, 0, 2, _PRLIMIT[machine]
    yield load, 0, 0, 16
    yield equal, allow - here - 3, refuse - here - 3, 0  # its own limits, nobody else's
    yield equal, 0, 4, _SOCKETPAIR[machine]
    yield load, 0, 0, 24
    yield mask, 0, 0, 0xF
    yield equal, allow - here - 7, 0, _PAIRS[0]
    yield equal, allow - here - 8, refuse - here - 8, _PAIRS[1]
    yield equal, 0, allow - here - 9, _SOCKET[machine]
    yield load, 0, 0, 16
    for number, family in enumerate(families, first):
        yield equal, allow - number - 1, 0, family
    yield give, 0, 0, 0x00050000 | errno.EACCES
    yield give, 0, 0, 0x7FFF0000


def _libc() -> Any:
    return ctypes.CDLL(None, use_errno=True)


def _fault(what: str) -> OSError:
    number = ctypes.get_errno()
    return OSError(number, f"{what}: {os.strerror(number)}")
