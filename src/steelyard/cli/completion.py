"""`steelyard completion`: what a shell needs to complete verbs and options."""

import click
from click.shell_completion import get_completion_class

from steelyard.model.errors import ConfigError

SHELLS = ("bash", "zsh", "fish")


@click.command()
@click.argument("shell", type=click.Choice(SHELLS))
def completion(shell: str) -> None:
    """Print what makes SHELL complete verbs, options and their values.

    \b
    bash:  eval "$(steelyard completion bash)"       in ~/.bashrc
    zsh:   eval "$(steelyard completion zsh)"        in ~/.zshrc, behind compinit
    fish:  steelyard completion fish > ~/.config/fish/completions/steelyard.fish
    """
    made = get_completion_class(shell)
    if made is None:
        raise ConfigError(f"no completion for {shell!r}: there are {', '.join(SHELLS)}")
    root = click.get_current_context().find_root()
    click.echo(made(root.command, {}, "steelyard", "_STEELYARD_COMPLETE").source())
