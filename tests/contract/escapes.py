"""Tries to get out of a sandbox, one way after the other, and says which worked. Run by a program inside, on its own.

usage: escapes.py JSON, with what lies outside. Prints a JSON object: name -> what came of it.
"""

import ctypes
import json
import os
import resource
import socket
import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

KEYCTL = {"x86_64": 250, "aarch64": 219}
OUT: dict[str, Any] = {}
"""secret, ledger, home, folder, pid, tcp, tcp6, udp, local, letterbox, abstract, shm, msg, sem: what lies outside"""


def text(path: str) -> str:
    return Path(path).read_text()


def by_link(path: str) -> str:
    Path("link").unlink(missing_ok=True)
    os.symlink(path, "link")
    return text("link")


def by_folder() -> str:
    Path("folder-link").unlink(missing_ok=True)
    os.symlink(os.path.dirname(OUT["secret"]), "folder-link")
    return text("folder-link/" + os.path.basename(OUT["secret"]))


def by_second_name() -> str:
    Path("second").unlink(missing_ok=True)
    os.link(OUT["secret"], "second")
    return text("second")


def by_process(place: str) -> str:
    return text(f"/proc/{OUT['pid']}/{place}")


def truncates() -> str:
    os.truncate(OUT["victim"], 0)
    return "emptied"


def renames_out() -> str:
    Path("mine").write_text("x")
    os.rename("mine", OUT["folder"] + "/moved-out")
    return "moved"


def renames_in() -> str:
    Path(OUT["folder"], "prey").touch()
    os.rename(OUT["folder"] + "/prey", "prey")
    return "moved"


def writes(path: str) -> str:
    Path(path).write_text("x")
    return "written"


def writes_by_link() -> str:
    Path("away").unlink(missing_ok=True)
    os.symlink(OUT["folder"], "away")
    return writes("away/written-by-link")


def appends() -> str:
    with open(OUT["ledger"], "a") as file:
        file.write("x")
    return "appended"


def makes_folder() -> str:
    os.mkdir(OUT["folder"] + "/made")
    return "made"


def links_out() -> str:
    os.symlink("/etc", OUT["folder"] + "/planted")
    return "planted"


def removes() -> str:
    os.unlink(OUT["prey"])
    return "removed"


def makes_pipe() -> str:
    os.mkfifo(OUT["folder"] + "/pipe")
    return "made"


def connects(family: int, kind: int, place: Any) -> str:
    with socket.socket(family, kind) as made:
        made.settimeout(2)
        made.connect(place)
        made.send(b"x")
    return "sent"


def sends_from_pair(kind: int) -> str:
    for made in socket.socketpair(socket.AF_UNIX, kind):
        with made:
            made.sendto(b"x", OUT["letterbox"])
    return "sent"


def listens() -> str:
    with socket.create_server(("127.0.0.1", 0)) as made:
        return str(made.getsockname())


def raw() -> str:
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 0) as made:
        made.bind((0, 0))
    return "bound"


def signals() -> str:
    os.kill(OUT["pid"], 0)
    return "may signal"


def reads_memory() -> str:
    with open(f"/proc/{OUT['pid']}/mem", "rb", 0) as memory:
        start = int(text(f"/proc/{OUT['pid']}/maps").split("-")[0], 16)
        memory.seek(start)
        return str(len(memory.read(16)))


def limits() -> str:
    limit = resource.RLIMIT_CORE
    return str(resource.prlimit(OUT["pid"], limit, resource.prlimit(OUT["pid"], limit)))


def calls(name: str, *numbers: Any) -> str:
    libc = ctypes.CDLL(None, use_errno=True)
    found = getattr(libc, name)(*numbers)
    if found < 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return str(found)


def shares(kind: str, *numbers: int) -> str:
    made = int(calls(f"{kind}get", 0, *numbers, 0o600))
    return calls(f"{kind}ctl", made, *((0, 0) if kind == "sem" else (0,)), 0)


def attaches() -> str:
    at = ctypes.CDLL(None, use_errno=True).shmat
    at.restype = ctypes.c_void_p
    found = at(OUT["shm"], None, 0o10000)  # only to read
    if found == ctypes.c_void_p(-1).value:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
    return ctypes.string_at(found, 6).decode()


def uses(name: str, *given: Any) -> str:
    """A shared thing of a process outside, by its number: what is asked waits for nothing."""
    return calls(name, OUT[name[:3]], *given)


def changes_setting() -> str:
    with open("/proc/sys/kernel/core_pattern", "r+") as file:
        return file.name


def lists() -> str:
    return str(sorted(os.listdir(OUT["home"] + "/.ssh")))


def executes() -> str:
    return subprocess.run([OUT["folder"] + "/program"], check=True, capture_output=True, text=True).stdout


def mounts() -> str:
    os.makedirs("mountpoint", exist_ok=True)
    subprocess.run(["mount", "--bind", OUT["folder"], "mountpoint"], check=True, capture_output=True)
    subprocess.run(["umount", "mountpoint"], check=True)
    return "mounted"


ATTEMPTS: dict[str, Callable[[], str]] = {
    "read a file outside": lambda: text(OUT["secret"]),
    "read it by going up": lambda: text("../" + os.path.relpath(OUT["secret"], "..")),
    "read it by a link": lambda: by_link(OUT["secret"]),
    "read it by a link of a folder": by_folder,
    "read it by /proc/self/root": lambda: text("/proc/self/root" + OUT["secret"]),
    "read it by /proc/self/cwd": lambda: text("/proc/self/cwd/../" + os.path.relpath(OUT["secret"], "..")),
    "read it by the root of another process": lambda: by_process("root" + OUT["secret"]),
    "read it by a second name": by_second_name,
    "read the variables of another process": lambda: by_process("environ"),
    "read the memory of another process": reads_memory,
    "read the ledger": lambda: text(OUT["ledger"]),
    "read the settings": lambda: text(OUT["settings"]),
    "read a policy": lambda: text(OUT["policy"]),
    "list the keys of a home": lists,
    "run a program outside": executes,
    "write a file outside": lambda: writes(OUT["folder"] + "/new"),
    "write by going up": lambda: writes("../new-by-going-up"),
    "write by a link": writes_by_link,
    "write a policy": lambda: writes(OUT["policy"]),
    "write into this Python": lambda: writes(OUT["python"] + "/magsag_was_here.pth"),
    "append to the ledger": appends,
    "empty a file": truncates,
    "remove a file": removes,
    "make a folder": makes_folder,
    "make a pipe": makes_pipe,
    "plant a link": links_out,
    "move a file out": renames_out,
    "move a file in": renames_in,
    "mount the outside over the workspace": mounts,
    "connect to this machine": lambda: connects(socket.AF_INET, socket.SOCK_STREAM, ("127.0.0.1", OUT["tcp"])),
    "connect to it by IPv6": lambda: connects(socket.AF_INET6, socket.SOCK_STREAM, ("::1", OUT["tcp6"])),
    "send a datagram": lambda: connects(socket.AF_INET, socket.SOCK_DGRAM, ("127.0.0.1", OUT["udp"])),
    "connect to a socket in the file system": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, OUT["local"]),
    "connect to an abstract socket": lambda: connects(socket.AF_UNIX, socket.SOCK_STREAM, "\0" + OUT["abstract"]),
    "send to a socket in the file system from a pair": lambda: sends_from_pair(socket.SOCK_DGRAM),
    "send to it from a raw pair": lambda: sends_from_pair(socket.SOCK_RAW),
    "listen": listens,
    "ask the kernel for its routes": raw,
    "signal another process": signals,
    "change the limits of another process": limits,
    "share memory with the user's processes": lambda: shares("shm", 4096),
    "share a queue with them": lambda: shares("msg"),
    "share a semaphore with them": lambda: shares("sem", 1),
    "read memory of theirs": attaches,
    "remove memory of theirs": lambda: uses("shmctl", 0, 0),
    "send to a queue of theirs": lambda: uses("msgsnd", struct.pack("l8x", 1), 8, 0o4000),
    "take from a queue of theirs": lambda: uses("msgrcv", ctypes.create_string_buffer(32), 8, 0, 0o4000),
    "remove a queue of theirs": lambda: uses("msgctl", 0, 0),
    "raise a semaphore of theirs": lambda: uses("semop", struct.pack("Hhh", 0, 1, 0o4000), 1),
    "remove a semaphore of theirs": lambda: uses("semctl", 0, 0, 0),
    "ask for a keyring of the kernel": lambda: calls("syscall", KEYCTL[os.uname().machine], 0, -4, 1),
    "change a setting of the kernel": changes_setting,
}


def main() -> None:
    OUT.update(json.loads(sys.argv[1]))
    found = {}
    for name, attempt in ATTEMPTS.items():
        try:
            found[name] = ["ESCAPED", str(attempt())[:60]]
        except Exception as error:
            found[name] = ["held", f"{type(error).__name__}: {error}"]
    print(json.dumps(found))


if __name__ == "__main__":
    main()
