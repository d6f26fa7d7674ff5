"""`smartalex messages`: what callers left."""

from __future__ import annotations

import json
from typing import Any

import attrs
import click

from smartalex.cli.options import json_option, opened, state_options
from smartalex.cli.table import length, local_time, safe, table
from smartalex.errors import LocalError
from smartalex.store.repository import Message
from smartalex.store.state import State


@click.group(invoke_without_command=True)
@json_option
@state_options
@click.pass_context
def messages(context: click.Context, as_json: bool, state: str | None, config: str | None) -> None:
    """Messages that callers left, newest first."""
    if context.invoked_subcommand is None:
        show_list(as_json, state, config)


@messages.command("list")
@json_option
@state_options
def list_command(as_json: bool, state: str | None, config: str | None) -> None:
    """Newest first."""
    show_list(as_json, state, config)


def show_list(as_json: bool, state: str | None, config: str | None) -> None:
    with opened(state, config) as (_, found):
        kept = found.repository.messages()
        if as_json:
            for message in kept:
                click.echo(json.dumps(as_object(message, found)))
        elif kept:
            rows = [
                (m.id, local_time(m.at), m.caller or "-", m.for_name or "anybody", length(m.duration_ms / 1000)) for m in kept
            ]
            click.echo(table(("ID", "LEFT", "CALLER", "FOR", "LENGTH"), rows))
        else:
            click.echo("no messages; callers leave them when nobody can be reached")


def as_object(message: Message, found: State) -> dict[str, Any]:
    return {**attrs.asdict(message), "path": str(found.messages_folder / message.file)}


@messages.command()
@click.argument("message_id", metavar="ID")
@json_option
@state_options
def show(message_id: str, as_json: bool, state: str | None, config: str | None) -> None:
    """Who left it, for whom, and the WAV file."""
    with opened(state, config) as (_, found):
        message = _find(found, message_id)
        fields = as_object(message, found)
        if as_json:
            click.echo(json.dumps(fields))
            return
        told = {
            "message": message.id,
            "left": local_time(message.at),
            "caller": message.caller,
            "for": message.for_name or "anybody",
        }
        told |= {"length": length(message.duration_ms / 1000), "file": fields["path"], "call": message.call}
        click.echo("\n".join(f"{name:<12}{safe(value)}" for name, value in told.items() if value))


@messages.command()
@click.argument("message_id", metavar="ID")
@state_options
def path(message_id: str, state: str | None, config: str | None) -> None:
    """Just the path of the WAV file, to give to a player."""
    with opened(state, config) as (_, found):
        click.echo(found.messages_folder / _find(found, message_id).file)


def _find(found: State, message_id: str) -> Message:
    message = found.repository.message(message_id)
    if message is None:
        raise LocalError(f"there is no message {message_id}; see: smartalex messages")
    return message
