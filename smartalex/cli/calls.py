"""`smartalex calls`: the records."""

from __future__ import annotations

import json
import re
from time import time
from typing import Any

import attrs
import click

from smartalex.cli.options import json_option, opened, state_options
from smartalex.cli.story import tell
from smartalex.cli.table import length, local_time, table
from smartalex.errors import LocalError
from smartalex.store.repository import CallRow, Repository
from smartalex.store.state import State, running_pid

SHOWN = 50
HEADINGS = ("ID", "STARTED", "CALLER", "CALLED", "AGENT", "LENGTH", "OUTCOME")
REFUSED_HEADINGS = ("ID", "AT", "FROM", "CALLER", "CALLED", "STATUS", "WHY")


class Since(click.ParamType[float]):
    """'2h', '3d', '30m', '45s' ago, or a date of local time."""

    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        ago = re.fullmatch(r"(\d{1,6})([smhd])", value)
        if ago:
            return time() - int(ago[1]) * {"s": 1, "m": 60, "h": 3600, "d": 86400}[ago[2]]
        moment = click.DateTime(["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S"])
        return float(moment.convert(value, param, ctx).timestamp())


def list_options(command: Any) -> Any:
    for option in (
        click.option("--since", type=Since(), help="Only newer ones: 2h, 3d, or a date."),
        click.option("--limit", "-n", type=click.IntRange(1), help=f"How many (default: {SHOWN}; with --json all)."),
        click.option("--refused", is_flag=True, help="Those that were not let in, and why."),
    ):
        command = option(command)
    return json_option(state_options(command))


@click.group(invoke_without_command=True)
@list_options
@click.pass_context
def calls(context: click.Context, /, **options: Any) -> None:
    """The calls there were; `show ID` tells one from beginning to end."""
    if context.invoked_subcommand is None:
        show_list(**options)


@calls.command("list")
@list_options
def list_command(**options: Any) -> None:
    """Newest first."""
    show_list(**options)


def show_list(
    state: str | None, config: str | None, *, as_json: bool, refused: bool, limit: int | None, since: float | None
) -> None:  # fmt: skip
    with opened(state, config) as (_, found):
        rows = found.repository.calls(limit or (None if as_json else SHOWN), refused, since)
        if as_json:
            for row in rows:
                click.echo(json.dumps(as_object(row)))
        elif rows:
            up = running_pid(found.folder) is not None
            lines = [refused_line(row) for row in rows] if refused else [line(row, up) for row in rows]
            click.echo(table(REFUSED_HEADINGS if refused else HEADINGS, lines))
            if not refused:
                _mention_refused(found.repository)
        else:
            click.echo(_nothing(found, refused, since))


def _mention_refused(repository: Repository) -> None:
    count = repository.refused_count()
    if count:
        click.echo(f"\n{count} more refused: smartalex calls --refused", err=True)


def _nothing(found: State, refused: bool, since: float | None) -> str:
    if refused:
        return "no call was refused"
    if since is not None:
        return "no calls since then"
    count = found.repository.refused_count()
    seen = f" ({count} refused: smartalex calls --refused)" if count else ""
    start = "" if running_pid(found.folder) is not None else "smartalex run, then "
    return f"no calls yet{seen}; place one with: {start}smartalex call"


def line(row: CallRow, up: bool) -> tuple[str, ...]:
    return (
        row.id,
        local_time(row.started_at),
        row.caller or "-",
        row.did or "-",
        row.agent or "-",
        length(row.duration_s),
        outcome(row, up),
    )


def refused_line(row: CallRow) -> tuple[str, ...]:
    why = row.detail or row.cause or ""
    return (row.id, local_time(row.started_at), row.source or "-", row.caller or "-", row.did or "-", str(row.status or "-"), why)


def outcome(row: CallRow, up: bool) -> str:
    """How it ended; a call without an end goes on, unless there is no service that it could go on in."""
    text = row.disposition or ("in progress" if up else "cut: the service is not running")
    if row.transferred_to:
        text += f" to {row.transferred_to}"
    elif row.disposition in ("failed", "cancelled") and row.cause and row.cause != row.disposition:
        text += f": {row.cause}"
    return text + (f"  [{row.flagged}]" if row.flagged else "")


def as_object(row: CallRow) -> dict[str, Any]:
    """Without its events."""
    found = attrs.asdict(row, recurse=False)
    del found["events"]
    return found


@calls.command()
@click.argument("call_id", metavar="ID")
@json_option
@state_options
@click.pass_context
def show(context: click.Context, call_id: str, as_json: bool, state: str | None, config: str | None) -> None:
    """All about one call: its route, codec, sound quality, words, transfers.

    ID may be the beginning of one, or the SIP Call-ID.
    """
    with opened(state, config) as (_, found):
        row = found.repository.call(call_id)
        if row is None:
            raise LocalError(f"there is no call {call_id}; see: smartalex calls")
        if as_json or (context.parent and context.parent.params.get("as_json")):
            events = [{"seq": e.seq, "at": e.at, "kind": e.kind, "data": dict(e.data)} for e in row.events]
            click.echo(json.dumps({**as_object(row), "events": events}))
        else:
            click.echo(tell(row, outcome(row, running_pid(found.folder) is not None)))
