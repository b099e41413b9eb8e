"""What the Python of a skill reaches for, read from its text: modules that it imports and calls that it makes.

A reading, not a proof: code can hide what it does. It finds what was forgotten, not what was concealed; what code
may do at all is the business of isolation.
"""

import ast
from collections.abc import Iterator
from typing import Final, NamedTuple

from magsag.catalog.python_text import parsed

_NETWORK: Final = (
    *("socket", "ssl", "http.client", "urllib.request", "smtplib", "ftplib", "imaplib", "poplib", "telnetlib"),
    *("requests", "httpx", "httpx2", "aiohttp", "urllib3", "websockets", "paramiko"),
)
_MODULES: Final = {
    **dict.fromkeys(_NETWORK, "network"),
    **dict.fromkeys(("subprocess", "pty", "pexpect", "sh"), "shell"),
    **dict.fromkeys(("shutil", "tempfile", "glob", "fileinput"), "filesystem"),
}
_SHELL_CALLS: Final = frozenset({"system", "popen", "posix_spawn", "create_subprocess_exec", "create_subprocess_shell"})
_READS: Final = frozenset({"read_text", "read_bytes", "iterdir", "glob", "rglob", "listdir", "scandir", "walk"})
_WRITES: Final = frozenset(
    {"write_text", "write_bytes", "unlink", "mkdir", "makedirs", "rmdir", "rename", "touch", "symlink_to"}
    | {"hardlink_to", "remove", "rmtree", "copytree", "copyfile", "chmod", "truncate"}
)
_FILE_OWNERS: Final = frozenset({"os", "shutil"})
_SENDS: Final = frozenset({"post", "put", "patch", "delete", "sendmail", "send_message"})


class Reach(NamedTuple):
    """One thing that code reaches for."""

    capability: str
    line: int
    what: str
    """as the code says it"""
    changes: bool = False
    """whether it changes something there"""


def reaches(text: str) -> list[Reach]:
    """In the order of the lines; nothing for text that is no Python."""
    try:
        tree = parsed(text)
    except (SyntaxError, ValueError):
        return []
    found = [reach for node in ast.walk(tree) for reach in _of(node)]
    return sorted(found, key=lambda reach: reach.line)


def _of(node: ast.AST) -> Iterator[Reach]:
    match node:
        case ast.Import(names):
            yield from (one for alias in names for one in _module(alias.name, node.lineno))
        case ast.ImportFrom(module=str(module), names=names):
            yield from _module(module, node.lineno)
            yield from (one for alias in names for one in _module(f"{module}.{alias.name}", node.lineno))
        case ast.Call(func=ast.Name("open"), args=args, keywords=keywords):
            yield Reach("filesystem", node.lineno, "open(...)", _opens_to_write(args, keywords))
        case ast.Call(func=ast.Attribute(value=owner, attr=name)):
            yield from _call(owner, name, node)


def _module(name: str, line: int) -> Iterator[Reach]:
    for known, capability in _MODULES.items():
        if name == known or name.startswith(f"{known}."):
            yield Reach(capability, line, f"import {name}")


def _call(owner: ast.expr, name: str, node: ast.Call) -> Iterator[Reach]:
    said = f"{ast.unparse(owner)[:40]}.{name}(...)"
    of_os = isinstance(owner, ast.Name) and owner.id in _FILE_OWNERS
    if name in _SHELL_CALLS or (of_os and name.startswith(("exec", "spawn"))):
        yield Reach("shell", node.lineno, said, changes=False)
    elif name == "open" and not of_os:
        yield Reach("filesystem", node.lineno, said, _opens_to_write([None, *node.args], node.keywords))
    elif (name in _WRITES and (of_os or name not in ("remove", "truncate"))) or (name == "replace" and of_os):
        yield Reach("filesystem", node.lineno, said, changes=True)
    elif name in _READS:
        yield Reach("filesystem", node.lineno, said)
    elif name in _SENDS and isinstance(owner, ast.Name) and owner.id in ("requests", "httpx", "httpx2"):
        yield Reach("network", node.lineno, said, changes=True)


def _opens_to_write(args: "list[ast.expr | None] | list[ast.expr]", keywords: list[ast.keyword]) -> bool:
    """Whether the mode of an `open` can write; one that is not written out may."""
    mode = args[1] if len(args) > 1 else next((word.value for word in keywords if word.arg == "mode"), None)
    if mode is None:
        return False
    return not isinstance(mode, ast.Constant) or not set("wax+").isdisjoint(str(mode.value))
