"""`smartalex`: the command line.  Each command is imported when it is called."""

from __future__ import annotations

import sys
from importlib import import_module

import click

from smartalex import __version__
from smartalex.errors import ConfigurationError, LocalError

COMMANDS: dict[str, tuple[str, str]] = {
    "run": ("smartalex.cli.run:run", "Start SmartAlex; Ctrl-C stops it."),
    "call": ("smartalex.cli.call:call", "Place a call to it, with a voice or with keys."),
    "calls": ("smartalex.cli.calls:calls", "The calls there were, and the ones that were refused."),
    "messages": ("smartalex.cli.messages:messages", "Messages that callers left."),
    "trunks": ("smartalex.cli.trunks:trunks", "The PBXs that may call."),
    "secret": ("smartalex.cli.secret:secret", "Issue new SIP credentials."),
    "providers": ("smartalex.cli.providers:providers", "What is installed: agents, recognisers, authenticators."),
    "version": ("smartalex.cli.main:version", "Print the version."),
}
"""name -> (where it is, one line for the help), in the order of the help."""


class Commands(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name][0].partition(":")
        command: click.Command = getattr(import_module(module), name)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"]})
def cli() -> None:
    """SmartAlex: an AI voice for the phone system you already have."""


@click.command()
def version() -> None:
    """Print the version."""
    click.echo(__version__)


def main() -> None:
    """Exit status 1 with one sentence for what went wrong, 2 for wrong usage."""
    try:
        cli(prog_name="smartalex")
    except (ConfigurationError, LocalError) as error:
        click.echo(f"smartalex: {error}", err=True)
        sys.exit(1)


if __name__ == "__main__":
    main()
