"""`magsag catalog`: is it sound, what is in it, who uses whom."""

from typing import TYPE_CHECKING

import click

from magsag.surfaces.cli.call import Call
from magsag.surfaces.cli.failing import NO, YES
from magsag.surfaces.cli.groups import Noun
from magsag.surfaces.cli.making import put_made
from magsag.surfaces.cli.reading import read_bytes
from magsag.surfaces.cli.writing import counted, json_text, note, put_json, put_pairs, put_table, say

if TYPE_CHECKING:
    from magsag.catalog.findings import Finding
    from magsag.services.desk.shelf import Form


@click.group("catalog", cls=Noun)
def command() -> None:
    """Check the catalog and look around in it."""


@command.command("validate")
@click.argument("path", required=False)
@click.pass_obj
def validate(call: Call, path: str | None) -> int:
    """Report every finding: file:line:column, what is wrong, the next move. Exit 1 with findings.

    PATH is a catalog, a project or one file of a catalog; the catalog in force by default.
    """
    findings = call.app.shelf.check(path)
    errors = [finding for finding in findings if finding.severity == "error"]
    if call.wants_json:
        put_json([finding_document(finding) for finding in findings])
        return NO if errors else YES
    for finding in findings:
        say(f"{finding}" if finding.severity == "error" else f"{finding} (warning)")
    say(_count(len(errors), len(findings) - len(errors)))
    return NO if errors else YES


@command.command("lint")
@click.option("--security", is_flag=True, required=True, help="What a careful person would ask about.")
@click.pass_obj
def lint(call: Call, security: bool) -> int:
    """Read manifests, policies, people and code for what was forgotten; exit 1 with findings.

    Effect kinds that are implausible, capabilities that are not declared, secrets, wildcards that allow effects,
    commands in any version, missing contracts, people who approve their own wishes.
    """
    findings = call.app.shelf.lint_security()
    if call.wants_json:
        put_json([finding_document(finding) for finding in findings])
        return NO if findings else YES
    for finding in findings:
        say(str(finding))
    say(counted(len(findings), "finding") if findings else "no findings")
    return NO if findings else YES


@command.command("convert")
@click.argument("file")
@click.pass_obj
def convert(call: Call, file: str) -> None:
    """Print a tool_permissions.yaml or mcp_permissions.yaml of an earlier system as a policy.

    What is not carried over, and why, is said on stderr.
    """
    text, notes = call.app.shelf.convert(file, read_bytes(file))
    for one in notes:
        note(one)
    if call.wants_json:
        put_json({"policy": text, "notes": notes})
    else:
        say(text.rstrip())


@command.command("list")
@click.pass_obj
def list_items(call: Call) -> None:
    """List agents, skills, flows, evaluations and contracts."""
    items = call.app.shelf.items()
    if call.wants_json:
        put_json([{"ref": item.ref, "about": item.about, "path": item.path} for item in items])
    else:
        put_table(("reference", "about"), [(item.ref, item.about) for item in items])


@command.command("show")
@click.argument("ref")
@click.pass_obj
def show(call: Call, ref: str) -> None:
    """Show one manifest or contract.

    REF is a reference such as agent:my-agent, skill:my-skill@^1 or contract:my-contract.
    """
    shown = call.app.shelf.shown(ref)
    text = shown.pop("text", None)
    if call.wants_json:
        put_json(shown)
    elif text is None:
        put_json(shown["schema"])
    else:
        say(f"# {shown['ref']}   {shown['path']}\n{text.rstrip()}")


@command.command("graph")
@click.argument("ref", required=False)
@click.option(
    "--format", "form", type=click.Choice(["text", "mermaid", "json"]), help="How it is drawn; text by default."
)
@click.pass_obj
def graph(call: Call, ref: str | None, form: "Form | None") -> None:
    """Draw who uses whom: everything, or what REF reaches; of a flow its steps."""
    say(call.app.shelf.picture(ref, form or ("json" if call.wants_json else "text")))


@command.command("hash")
@click.pass_obj
def hash_of(call: Call) -> None:
    """Print the content hashes of the bundle and of the policies."""
    hashes = call.app.shelf.hashes()
    if call.wants_json:
        put_json(hashes)
    else:
        put_pairs(hashes)


@command.command("schema")
@click.argument("kind", required=False)
@click.option(
    "--write", "folder", is_flag=False, flag_value="", metavar="[DIR]", help="Write files; the catalog's own folder."
)
@click.pass_obj
def schema(call: Call, kind: str | None, folder: str | None) -> None:
    """Print the JSON Schema of a kind of manifest, or write all of them for editors."""
    shelf = call.app.shelf
    if folder is not None:
        put_made(call, shelf.write_schemas(folder or None), "manifests name their schema in their first line")
    elif kind is not None:
        say(shelf.schema(kind).rstrip())
    else:
        say("\n".join(shelf.kinds()) if not call.wants_json else json_text(shelf.kinds(), indent=True))


def finding_document(finding: "Finding") -> dict[str, object]:
    """A finding as JSON."""
    names = ("place", "what", "next", "severity", "path", "line", "column", "subject")
    return {name: getattr(finding, name) for name in names}


def _count(errors: int, warnings: int) -> str:
    if not errors and not warnings:
        return "no findings"
    said = counted(errors, "finding")
    return f"{said}, {counted(warnings, 'warning')}" if warnings else said
