"""`smartalex ...`: each command is loaded when it is called."""

from __future__ import annotations

import difflib
from importlib import import_module
from typing import Any

import click

from smartalex import __version__

COMMANDS = {
    "run": "start the platform",
    "call": "place a call with the built-in phone",
    "calls": "list calls, show one",
    "messages": "list the messages callers left",
    "workspaces": "customers: their limits, hours and holidays",
    "agents": "who answers: what they say, may do, and their limits",
    "trunks": "connect a PBX: list, add, change, remove trunks",
    "dids": "the numbers a trunk may call and their agents",
    "extensions": "the directory: whom callers can be transferred to",
    "bans": "who is not listened to, for guessing passwords",
    "regions": "where calls are served: which region is nearest to an address",
    "export": "write what tenants own as one file",
    "apply": "make it as such a file says; shows the difference first",
    "audit": "who changed what, and when",
    "store": "the database: what is in it; copy it to another server",
    "secret": "rotate a trunk's password",
    "providers": "list the installed plugins",
}

ALIASES = {
    "trunk": "trunks",
    "did": "dids",
    "extension": "extensions",
    "agent": "agents",
    "workspace": "workspaces",
    "message": "messages",
    "ban": "bans",
    "region": "regions",
    "secrets": "secret",
}
"""Groups answer to the singular and the plural."""


class Lazy(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def resolve_command(self, ctx: click.Context, args: list[str]) -> tuple[str | None, click.Command | None, list[str]]:
        if not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            near = difflib.get_close_matches(args[0], (*COMMANDS, *ALIASES), n=1)
            ctx.fail(f"No such command {args[0]!r}." + (f" Did you mean {near[0]!r}?" if near else ""))
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except Exception as error:
            if not type(error).__module__.startswith("sqlalchemy."):
                raise
            from smartalex.store.engine import unreachable, what_it_said  # noqa: PLC0415  (not for --help)

            if not unreachable(error):
                raise
            raise click.ClickException(f"the database went away in the middle of it: {what_it_said(error)}") from None

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        cmd_name = ALIASES.get(cmd_name, cmd_name)
        if cmd_name not in COMMANDS:
            return None
        try:
            command: click.Command = import_module(f"smartalex.cli.{cmd_name}").command
        except ModuleNotFoundError as error:
            if error.name != f"smartalex.cli.{cmd_name}":
                raise
            return None
        return command


@click.command(cls=Lazy)
@click.version_option(__version__, prog_name="smartalex")
def main() -> None:
    """SmartAlex: an AI voice platform for the phone system you already have."""


if __name__ == "__main__":
    main()
