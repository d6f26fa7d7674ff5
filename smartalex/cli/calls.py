"""`smartalex calls`: the records."""

from __future__ import annotations

import click

from smartalex.cli.misses import Misses
from smartalex.cli.state import columns, json_option, opened, settings, show_json, state_options
from smartalex.cli.story import outcome, story, when
from smartalex.cli.trace import trace


@click.group(invoke_without_command=True)
@state_options
@click.option("--refused", is_flag=True, help="Only calls that were turned away, with the reason.")
@click.option("--limit", default=50, show_default=True, type=click.IntRange(min=1), metavar="N", help="The newest N.")
@json_option
@click.pass_context
def command(
    context: click.Context, /, state: str | None, config: str | None, *, refused: bool, limit: int, as_json: bool
) -> None:
    """List calls, newest first, or show one of them: its story, or its SIP messages.

    Every call has a record from its INVITE on, refused ones too.  The caller's side of a refusal learns a status
    only; --refused says why: a number that is on no list, a wrong password, a limit.

    \b
      smartalex calls --refused
      smartalex calls show 01M847KFSN
      smartalex calls trace 01M847KFSN
    """
    if context.invoked_subcommand is not None:
        return
    here = opened(state, config)
    rows = here.repository.records.calls(limit, refused=refused)
    if refused:
        misses = Misses(here, settings(state, config).sip.realm)
        rows = [{**row, "near_miss": misses.of(row)} for row in rows]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no refused calls" if refused else "no calls yet; place one with: smartalex call")
    else:
        last = "SOURCE" if refused else "LASTED"
        cells = [
            (row["id"], when(row["started_at"]), row["caller"] or "-", row["did"], row["trunk"] or "-",
             row["source"] if refused else f"{row['duration_s'] or 0:.1f} s", outcome(row))
            for row in rows
        ]  # fmt: skip
        for line in columns([("ID", "BEGAN", "CALLER", "TO", "TRUNK", last, "OUTCOME"), *cells]):
            click.echo(line)


@command.command()
@click.argument("call_id", metavar="ID")
@state_options
@json_option
def show(call_id: str, *, state: str | None, config: str | None, as_json: bool) -> None:
    """Show all of one call: who, times, transcript, transfer steps, audio statistics, events.

    ID may be its beginning, or the SIP Call-ID.
    """
    here = opened(state, config)
    found = here.repository.records.call(call_id)
    if found is None:
        raise click.ClickException(f"no call begins with {call_id!r}; list them with: smartalex calls")
    if found["disposition"] == "refused":
        found["near_miss"] = Misses(here, settings(state, config).sip.realm).of(found)
    if as_json:
        show_json(found)
    else:
        click.echo(story(found))


command.add_command(trace)
