"""Writes the pages and the picture that come from the code. `--check` writes nothing and fails on a drift.

usage: python -m ops.tools.write_docs [--check]
"""

import inspect
import re
import sys
import tomllib
from collections.abc import Callable, Iterator, Mapping
from enum import Enum
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from ops.tools import described
from ops.tools.config_page import config_reference

ROOT: Final = Path(__file__).parents[2]
_DIAGRAM: Final = re.compile(r"(<!-- generated: ([a-z ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def main(arguments: list[str]) -> int:
    is_check = arguments == ["--check"]
    drifted = drift(ROOT)
    for name, text in drifted.items():
        if not is_check:
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_text(text, encoding="utf-8")
        print(f"docs: {name} is out of step with the code; run make docs" if is_check else f"docs: wrote {name}")
    return 1 if is_check and drifted else 0


def drift(root: Path) -> dict[str, str]:
    """The generated pages below `root` that are not what the code says now, with the text that they should have."""
    found = {}
    for name, write in PAGES.items():
        old = (root / name).read_text(encoding="utf-8") if (root / name).exists() else ""
        if (new := write(old)) != old:
            found[name] = new
    return found


def architecture(old: str) -> str:
    """The page as it is, with its pictures drawn anew: the rooms, and the step statuses."""
    pictures = {"rooms": ("flowchart TD", _rooms), "step statuses": ("stateDiagram-v2", _moves)}

    def drawn(match: re.Match[str]) -> str:
        kind, lines = pictures[match[2]]
        return "\n".join([f"{match[1]}```mermaid", kind, *(f"    {line}" for line in lines()), "```", match[3]])

    return _DIAGRAM.sub(drawn, old)


def _rooms() -> Iterator[str]:
    """The layers that import-linter holds the code to."""
    tools = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]
    contracts = [one for one in tools["importlinter"]["contracts"] if one["type"] == "layers"]
    layers = {one["containers"][0]: one["layers"] for one in contracts}
    yield from _stairs(["app", *layers["magsag"]])
    yield "subgraph services"
    yield from (f"    {line}" for line in _stairs(layers["magsag.services"]))
    yield "end"


def _stairs(layers: list[str]) -> Iterator[str]:
    rooms = [layer.replace("|", "&") for layer in layers]
    yield from (f"{above} --> {below}" for above, below in pairwise(rooms))


def _moves() -> Iterator[str]:
    from magsag.engine.table import ENDS, STEP_MOVES

    yield "[*] --> new"
    for status, moves in STEP_MOVES.items():
        kinds: dict[str, list[str]] = {}
        for kind, targets in moves.items():
            for target in targets:
                kinds.setdefault(target, []).append(kind.__name__.removeprefix("Step"))
        yield from (f"{status} --> {target}: {', '.join(kinds[target])}" for target in sorted(kinds))
    yield from (f"{status} --> [*]" for status in sorted(ENDS))


def api_reference(_: str) -> str:
    """What users may import: `magsag.__all__`, `magsag.testing.__all__`, and what `ctx` offers."""
    import magsag
    import magsag.testing
    from magsag.domain import context

    for_agents = (context.Context, context.ActContext, context.Collected)
    return page(
        "API reference",
        "What Python code may import and call; everything else is private.",
        "## `magsag`",
        *(_described("magsag", name, thing) for name, thing in _public(magsag) if thing not in for_agents),
        "## `ctx`, in an agent or a skill",
        inspect.cleandoc(context.__doc__ or ""),
        *(
            _described("ctx", thing.__name__, thing)
            for thing in (context.Context, context.ActContext, context.Collected)
        ),
        "## `magsag.testing`",
        *(_described("magsag.testing", name, thing) for name, thing in _public(magsag.testing)),
    )


def _public(module: Any) -> list[tuple[str, Any]]:
    return [(name, getattr(module, name)) for name in module.__all__]


def _described(module: str, name: str, thing: Any) -> str:
    if isinstance(thing, type):
        verbs = [f"`{said}`\n\n{_indented(doc)}" for _, said, doc in described.verbs_of(thing)]
        lines = [f"- `{field.name}: {field.type}` {field.about}".rstrip() for field in described.fields_of(thing)]
        lines += [f"- `{member.name}`" for member in thing] if issubclass(thing, Enum) else []
        return "\n\n".join(
            part for part in (f"### `{name}`", described.own_doc(thing), "\n".join(lines), *verbs) if part
        )
    if callable(thing):
        return f"### `{name}`\n\n`{described.function_signature(thing)}`\n\n{inspect.getdoc(thing) or ''}"
    return f"### `{name}`\n\n`{module}.{name}: {type(thing).__name__}`"


def _indented(doc: str) -> str:
    return "\n".join(f"> {line}".rstrip() for line in doc.splitlines())


def command_reference(_: str) -> str:
    """Every command with its help."""
    import click

    from magsag.surfaces.cli import cli

    def helped(command: click.Command, path: str) -> Iterator[str]:
        context = click.Context(command, info_name=path, terminal_width=100, color=False)
        yield f"## {path}\n\n```text\n{command.get_help(context).rstrip()}\n```"
        if isinstance(command, click.Group):
            for name in command.list_commands(context):
                if (found := command.get_command(context, name)) is not None and not found.hidden:
                    yield from helped(found, f"{path} {name}")

    return page("Command reference", "Every command of magsag, as --help says it.", *helped(cli, "magsag"))


def page(title: str, description: str, *parts: str) -> str:
    """A generated page: its head, its title and its parts."""
    head = f"---\ntitle: {title}\ndescription: {description}\n---"
    return "\n\n".join([head, f"# {title}", "Generated by `make docs`.", *(part for part in parts if part)]) + "\n"


PAGES: Final[Mapping[str, Callable[[str], str]]] = {
    "docs/architecture.md": architecture,
    "docs/canonical/API_REFERENCE.md": api_reference,
    "docs/canonical/CLI_REFERENCE.md": command_reference,
    "docs/canonical/CONFIG_REFERENCE.md": lambda _: page(*config_reference()),
}
"""each generated page, and what makes it from its old text"""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
