"""`magsag completion`: the script that a shell reads once."""

import click
from click.shell_completion import get_completion_class

from magsag.domain.errors import Invalid
from magsag.surfaces.cli.groups import Leaf
from magsag.surfaces.cli.writing import say


@click.command("completion", cls=Leaf)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def command(context: click.Context, shell: str) -> None:
    """Print the completion script for a shell.

    \b
    bash:  magsag completion bash >> ~/.bashrc
    zsh:   magsag completion zsh >> ~/.zshrc
    fish:  magsag completion fish > ~/.config/fish/completions/magsag.fish
    """
    root = context.find_root()
    name = root.info_name or "magsag"
    completion = get_completion_class(shell)
    if completion is None:
        raise Invalid(f"there is no completion for {shell}")
    try:
        say(completion(root.command, {}, name, f"_{name.upper()}_COMPLETE").source())
    except RuntimeError as error:
        raise Invalid(f"{shell}: {error}") from error
