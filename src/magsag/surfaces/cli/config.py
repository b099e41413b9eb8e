"""`magsag config`: the settings in force."""

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING

import click

from magsag.domain.location import shown
from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.writing import put_json, put_table

if TYPE_CHECKING:
    from magsag.domain.settings import Settings


@click.group("config", cls=Noun)
def command() -> None:
    """Show the settings in force."""


@command.command("show")
@click.pass_obj
def show(call: Call) -> None:
    """Show every setting, its value and where that came from."""
    settings = call.app.settings
    values = dict(_values(settings))
    if call.wants_json:
        put_json({key: {"value": value, "source": settings.sources.get(key, "")} for key, value in values.items()})
        return
    put_table(
        ("setting", "value", "source"),
        [(key, _said(value), settings.sources.get(key, "")) for key, value in values.items()],
    )


def _values(settings: "Settings") -> Iterator[tuple[str, object]]:
    for key in settings.sources:
        section, _, name = key.partition(".")
        part = getattr(settings, section)
        value = (part[name] if section in ("models", "prices", "providers") else getattr(part, name)) if name else part
        yield key, shown(value) if key == "ledger" else value


def _said(value: object) -> str:
    """As the settings file would say it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return json.dumps(value)
    if hasattr(value, "model_dump_json"):
        return str(value.model_dump_json(exclude_none=True))
    return f"{value:g}" if isinstance(value, float) else str(value)
