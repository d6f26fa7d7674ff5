"""`smartalex calls trace`: what went over the wire, message by message."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable
from typing import Any, BinaryIO

import click

from smartalex.calls.tracing import LINGER_S
from smartalex.cli.ladder import ASCII, UNICODE, address, ladder, whole
from smartalex.cli.misses import Misses
from smartalex.cli.pcap import pcap
from smartalex.cli.state import SEEN_S, json_option, opened, settings, state_options
from smartalex.cli.story import outcome
from smartalex.sip.trace import Trace
from smartalex.store.engine import to_json


@click.command()
@click.argument("call_id", metavar="ID")
@click.option("--messages", is_flag=True, help="The whole messages.")
@click.option("--pcap", "file", type=click.File("wb", lazy=True), metavar="FILE", help="Write a capture file for Wireshark.")
@state_options
@json_option
def trace(call_id: str, *, messages: bool, file: BinaryIO | None, state: str | None, config: str | None, as_json: bool) -> None:
    """Show the SIP messages of one call as a ladder diagram.

    Passwords, keys and answers to challenges are not in it.  ID may be its beginning, or the SIP Call-ID.  In the capture
    file, messages that came encrypted stand as plain TCP.

    \b
      smartalex calls trace 01M847KFSN --messages
      smartalex calls trace 01M847KFSN --pcap call.pcap
    """
    if messages + (file is not None) + as_json > 1:
        raise click.UsageError("--messages, --pcap and --json exclude each other")
    call_id, found, refused = _found(call_id, state, config)
    if file is not None:
        file.write(pcap(found.messages))
        click.echo(f"{len(found.messages)} messages in {file.name}", err=True)
    elif as_json:
        click.echo(to_json({"id": call_id, **_plain(found)}))
    elif messages:
        _print(whole(found))
    else:
        _print(ladder(found, UNICODE if _encoding().startswith("utf") else ASCII))
        _print(["", refused] if refused else [])


def _found(prefix: str, state: str | None, config: str | None) -> tuple[str, Trace, str]:
    """Its id, its messages, and why it was refused, if it was."""
    here = opened(state, config)
    call = here.repository.records.trace(prefix)
    if call is None:
        raise click.ClickException(f"no call begins with {prefix!r}; list them with: smartalex calls")
    if call["trace"] is None:
        raise click.ClickException(f"call {call['id']}: {_missing(call['ended_at'])}")
    refused = call["disposition"] == "refused"
    if refused:
        call["near_miss"] = Misses(here, settings(state, config).sip.realm).of(call)
    try:
        return call["id"], Trace.from_data(call["trace"]), outcome(call) if refused else ""
    except ValueError as error:
        raise click.ClickException(f"call {call['id']}: its messages cannot be read: {error}") from None


def _missing(ended_at: float | None) -> str:
    if ended_at is None or time.time() - ended_at < LINGER_S + SEEN_S:
        return "its messages are there a moment after its end"
    return "its messages were not kept"


def _plain(found: Trace) -> dict[str, Any]:
    messages = [
        {
            "at": message.at,
            "direction": "in" if message.incoming else "out",
            "transport": message.peer.transport,
            "peer": address(message.peer),
            "local": address(message.local),
            "text": message.data.decode("utf-8", "backslashreplace"),
        }
        for message in found.messages
    ]
    return {"messages": messages, "dropped": found.dropped}


def _encoding() -> str:
    return (getattr(sys.stdout, "encoding", None) or "ascii").lower()


def _print(lines: Iterable[str]) -> None:
    """What the terminal's encoding has no character for becomes '?'."""
    for line in lines:
        click.echo(line.encode(_encoding(), "replace").decode(_encoding()))
