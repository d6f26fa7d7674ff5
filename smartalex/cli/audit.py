"""`smartalex audit`: who changed what, and when."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from datetime import datetime
from typing import Any

import click

from smartalex.cli.state import columns, json_option, opened, show_json, state_options
from smartalex.store import audit

KINDS = ("workspace", "trunk", "did", "agent", "extension")
LONGEST = 60


@click.command()
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True, help="How many, newest first.")
@click.option("--kind", type=click.Choice(KINDS), help="Only what is of this kind.")
@click.option("--name", default="", metavar="NAME", help="Only what is called so: a trunk, an agent, a number ...")
@state_options
@json_option
def command(*, limit: int, kind: str | None, name: str, state: str | None, config: str | None, as_json: bool) -> None:
    """List what was changed of workspaces, trunks, DIDs, agents and extensions, by whom and when.

    Passwords are never in it, only that one was rotated.
    """
    lines = audit.read(opened(state, config).repository.engine, limit, kind=kind or "", name=name)
    if as_json:
        for line in lines:
            show_json(line)
    elif not lines:
        click.echo("nothing was changed yet" if not (kind or name) else "nothing of that was changed yet")
    else:
        for row in columns([("WHEN", "WHO", "BY", "WHAT"), *map(_cells, lines)]):
            click.echo(row)


def _cells(line: Mapping[str, Any]) -> tuple[str, str, str, str]:
    when = datetime.fromtimestamp(line["at"]).strftime("%Y-%m-%d %H:%M:%S")
    return when, line["who"] or "-", line["via"] or "-", f"{line['kind']} {line['name']}: {told(line['action'], line['data'])}"


def told(action: str, data: Mapping[str, Any]) -> str:
    """'added', 'removed', or each field as it was and is."""
    return ", ".join(_fields(data)) if action == "changed" else action


def _fields(data: Mapping[str, Any]) -> Iterator[str]:
    for field, (old, new) in data.items():
        yield f"{field} {_short(old)} -> {_short(new)}"


def _short(value: Any) -> str:
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= LONGEST else text[: LONGEST - 3] + "..."
