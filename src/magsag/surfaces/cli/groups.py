"""Commands of click with two habits: nouns are loaded when used, and global flags work before and after them."""

from collections.abc import Callable, Mapping
from importlib import import_module
from typing import Any

import click

AS = "Say who you are; counts in development, for entries with `proof: claim`."
"""help of `--as`"""
_WIDTH = {"max_content_width": 120}
Resolved = tuple[str | None, click.Command | None, list[str]]
_Resolve = Callable[[click.Context, list[str]], Resolved]


class Leaf(click.Command):
    """A command that does something. It takes the global flags too, without listing them in its help."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        taken = {option for parameter in self.params for option in parameter.opts}
        self.params += [flag for flag in global_flags(hidden=True) if not taken.intersection(flag.opts)]
        self.context_settings = {**_WIDTH, **self.context_settings}


class Noun(click.Group):
    """The commands of one noun."""

    command_class = Leaf

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.params += global_flags(hidden=True)
        self.context_settings = {**_WIDTH, **self.context_settings}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self.commands)

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return _resolved(self, ctx, args, super().resolve_command)


class NounGroup(click.Group):
    """The root: knows its nouns by name and line, and imports one when it is used."""

    def __init__(self, *args: Any, nouns: Mapping[str, str], **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._nouns = nouns
        self.params += global_flags()
        self.context_settings = {**_WIDTH, **self.context_settings}

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(self._nouns)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self._nouns:
            return None
        command: click.Command = import_module(f"magsag.surfaces.cli.{cmd_name}").command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """From the lines given here: help loads no noun."""
        with formatter.section("Commands"):
            formatter.write_dl(list(self._nouns.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        return _resolved(self, ctx, args, super().resolve_command)


def global_flags(hidden: bool = False) -> list[click.Parameter]:
    """New options for one command. The last one given wins."""

    def flag(*names: str, **kwargs: Any) -> click.Option:
        return click.Option(list(names), hidden=hidden, expose_value=False, callback=_note, **kwargs)

    return [
        flag("--project", metavar="DIR", help="The project, instead of the nearest one upwards."),
        flag("--catalog", metavar="DIR", help="The catalog, instead of the project's."),
        flag("--ledger", metavar="FILE|DSN", help="The ledger, instead of the project's."),
        flag("--env", "environment", metavar="NAME", help="The environment; stands in every record."),
        flag("--mode", metavar="MODE", help="The mode: implement, safe_mode, dry_run or analysis_only."),
        flag("--json", is_flag=True, help="Print JSON, errors too."),
        flag("-v", "--verbose", count=True, help="Log what goes on; twice: in detail."),
        flag("-q", "--quiet", is_flag=True, help="Print results and errors only."),
        flag("--log-format", type=click.Choice(["text", "json"]), help="How log lines look."),
    ]


def _note(ctx: click.Context, parameter: click.Parameter, value: object) -> None:
    if value and ctx.obj is not None:
        ctx.obj.flags[parameter.name] = value


def _resolved(group: click.Group, ctx: click.Context, args: list[str], resolve: _Resolve) -> Resolved:
    """An unknown command is refused with the nearest one."""
    name = args[0]
    if name.startswith("-") or group.get_command(ctx, name) is not None:
        return resolve(ctx, args)
    from difflib import get_close_matches

    close = get_close_matches(name, group.list_commands(ctx), n=1, cutoff=0.5)
    fix = f'did you mean "{close[0]}"?' if close else "the commands are " + ", ".join(group.list_commands(ctx))
    raise click.UsageError(f'there is no command "{name}"; {fix}', ctx)
