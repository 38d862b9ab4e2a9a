"""`fogbank completion`: click's own completion, printed for a shell to source."""

import click
from click.shell_completion import get_completion_class

from fogbank.cli.options import examples


@click.command(
    "completion",
    epilog=examples(
        "source <(fogbank completion bash)                                  bash, this shell",
        "fogbank completion bash > ~/.local/share/bash-completion/completions/fogbank",
        'fogbank completion zsh > "${fpath[1]}/_fogbank"                     zsh',
        "fogbank completion fish > ~/.config/fish/completions/fogbank.fish  fish",
    ),
)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
def command(shell: str) -> None:
    """Print the shell completion script."""
    from fogbank.cli.entry import root

    maker = get_completion_class(shell)
    if maker is None:
        raise click.UsageError(f"There is no completion for {shell}.")
    click.echo(maker(root, {}, "fogbank", "_FOGBANK_COMPLETE").source())
