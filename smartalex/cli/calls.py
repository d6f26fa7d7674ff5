"""`smartalex calls`: the records."""

from __future__ import annotations

import json
import time
from typing import Any

import click

from smartalex.cli.state import opened, state_options


@click.group(invoke_without_command=True)
@state_options
@click.option("--refused", is_flag=True, help="Only calls that were turned away, with the reason.")
@click.option("--limit", default=50, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@click.pass_context
def command(context: click.Context, state: str | None, config: str | None, refused: bool, limit: int, as_json: bool) -> None:
    """List calls, newest first."""
    if context.invoked_subcommand is not None:
        return
    rows = opened(state, config).repository.calls(limit, refused=refused)
    if as_json:
        for row in rows:
            click.echo(json.dumps(row))
        return
    if not rows:
        click.echo("no refused calls" if refused else "no calls yet; place one with: smartalex call")
    for row in rows:
        click.echo(_line(row, refused))


@command.command()
@click.argument("call_id", metavar="ID")
@state_options
@click.option("--json", "as_json", is_flag=True, help="One JSON object.")
def show(call_id: str, state: str | None, config: str | None, as_json: bool) -> None:
    """Show all of one call; ID may be its beginning, or the SIP Call-ID."""
    found = opened(state, config).repository.call(call_id)
    if found is None:
        raise click.ClickException(f"no call begins with {call_id!r}; list them with: smartalex calls")
    click.echo(json.dumps(found) if as_json else _story(found))


def _line(row: dict[str, Any], refused: bool) -> str:
    start = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(row["started_at"] or 0))
    end = row["detail"] if refused or row["disposition"] == "refused" else row["transferred_to"] or row["cause"]
    state = row["disposition"] or "in progress"
    return (
        f"{row['id']}  {start}  {row['caller'] or '-':<16} {row['did']:<14} {state:<12} {row['duration_s'] or 0:>6.1f} s  {end}"
    )


SHOWN = ("id", "sip_call_id", "caller", "caller_name", "did", "trunk", "agent", "source", "transport", "user_agent", "codec", "status",
         "disposition", "cause", "detail", "transferred_to", "flagged", "duration_s")  # fmt: skip


def _story(call: dict[str, Any]) -> str:
    lines = [f"{name.replace('_', ' '):<16} {call[name]}" for name in SHOWN if call[name] not in ("", None)]
    if call["rtp"]:
        lines.append(f"{'rtp':<16} " + ", ".join(f"{k.replace('_', ' ')} {v}" for k, v in call["rtp"].items()))
    start = call["started_at"] or 0
    lines.append("")
    for event in call["events"]:
        rest = {k: v for k, v in event.items() if k not in ("at", "kind")}
        text = f"{rest['role']}: {rest['text']}" if event["kind"] == "said" else ", ".join(f"{k} {v}" for k, v in rest.items())
        lines.append(f"{event['at'] - start:8.2f} s  {event['kind']:<10} {text}")
    return "\n".join(lines)
