"""`smartalex workspaces`: one customer each, with what all of its trunks and agents share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import attrs
import click

from smartalex.cli.agents import new_id
from smartalex.cli.state import (
    columns,
    confirmed,
    json_option,
    opened,
    settle,
    show_json,
    state_options,
    workspace_of,
    yes_option,
)
from smartalex.cli.values import Day, Dialled, TimeZone
from smartalex.tenants.agent import LONGEST_S
from smartalex.tenants.directory import Directory
from smartalex.tenants.workspace import Tenancy, Workspace

MOST_CALLS = 100_000


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, as_json: bool) -> None:
    """List the workspaces, or add, change and remove one.

    A workspace is one customer: trunks, agents, numbers and a directory of its own, and limits over all of them.

    \b
      smartalex workspaces add "Acme Ltd" --max-calls 25 --timezone Africa/Johannesburg
      smartalex trunks add office --workspace "Acme Ltd"
    """
    if context.invoked_subcommand is None:
        show_all(state, config, as_json)


@command.command("list")
@state_options
@json_option
def listing(state: str | None, config: str | None, *, as_json: bool) -> None:
    """List the workspaces, as the command alone does."""
    show_all(state, config, as_json)


def show_all(state: str | None, config: str | None, as_json: bool) -> None:
    tenancy = opened(state, config).repository.tenancy()
    rows = [described(workspace, tenancy) for workspace in tenancy.workspaces.values()]
    if as_json:
        for row in rows:
            show_json(row)
        return
    for line in columns([HEAD, *(_cells(row) for row in rows)]):
        click.echo(line)


HEAD = ("WORKSPACE", "CALLS AT A TIME", "LONGEST CALL", "FORWARDS TO", "TIME ZONE", "HOLIDAYS", "TRUNKS", "AGENTS", "EXTENSIONS")


def described(workspace: Workspace, tenancy: Tenancy) -> dict[str, Any]:
    """A workspace as --json shows it."""
    return {
        "workspace": workspace.name, "max_calls": workspace.max_calls, "max_duration_s": workspace.max_duration_s,
        "call_forwarding_number": workspace.call_forwarding_number, "timezone": workspace.timezone,
        "holidays": list(workspace.holidays),
        "trunks": sorted(trunk.name for trunk in tenancy.trunks.values() if trunk.workspace_id == workspace.id),
        "agents": sorted(agent.name for agent in tenancy.agents.values() if agent.workspace_id == workspace.id),
        "extensions": len(workspace.directory.extensions),
    }  # fmt: skip


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["workspace"], str(row["max_calls"] or "as many as trunks take"), f"{row['max_duration_s']} s",
        row["call_forwarding_number"] or "-", row["timezone"], " ".join(row["holidays"]) or "none", str(len(row["trunks"])),
        str(len(row["agents"])), str(row["extensions"]),
    )  # fmt: skip


OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--holiday",
        "holidays",
        multiple=True,
        type=Day(),
        metavar="DAY",
        help="2026-12-25, or 12-25 for every year: numbers with hours are closed; repeatable.",
    ),
    click.option("--timezone", type=TimeZone(), metavar="ZONE", help="Of its business hours, such as Africa/Johannesburg."),
    click.option(
        "--forward-to",
        type=Dialled(),
        metavar="NUMBER",
        help='Where callers go when the PBX cannot be reached, unless the agent says otherwise; "" for nowhere.',
    ),
    click.option(
        "--max-duration",
        type=click.IntRange(10, LONGEST_S),
        metavar="S",
        help="The longest call of agents with no limit of their own (default 300).",
    ),
    click.option("--max-calls", type=click.IntRange(1, MOST_CALLS), metavar="N", help="Calls at a time over all its trunks."),
)
"""The last one is shown first."""


def workspace_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `with_options` reads."""
    for option in OPTIONS:
        command = option(command)
    return command


def with_options(workspace: Workspace, given: dict[str, Any]) -> Workspace:
    """The workspace as these options want it; what is not given stays."""
    fields = {"max_calls": "max_calls", "max_duration": "max_duration_s", "forward_to": "call_forwarding_number"}
    said = {field: given[option] for option, field in fields.items() if given[option] is not None}
    days = () if given.get("no_holidays") else tuple(dict.fromkeys((*workspace.holidays, *given["holidays"])))
    zone = {"timezone": given["timezone"]} if given["timezone"] else {}
    return attrs.evolve(workspace, **said, **zone, holidays=tuple(sorted(days)))


def check(name: str, tenancy: Tenancy, but: str = "") -> None:
    if not name.isprintable() or not 0 < len(name.strip()) <= 80:
        raise click.UsageError(f"{name!r}: a workspace's name has up to 80 printable characters; its agents say it")
    for other in tenancy.workspaces.values():
        if other.id != but and name.lower() in (other.name.lower(), other.id.lower()):
            raise click.ClickException(
                f"there is a workspace {name!r} already; change it with: smartalex workspaces set {name!r}"
            )


@command.command()
@click.argument("name")
@workspace_options
@state_options
@json_option
def add(name: str, *, state: str | None, config: str | None, as_json: bool, **given: Any) -> None:
    """Make a workspace.  NAME is the company that its agents speak for.

    \b
      smartalex workspaces add "Acme Ltd" --max-calls 25 --timezone Africa/Johannesburg --holiday 12-25
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    check(name, tenancy)
    made = with_options(Workspace(new_id(name, tenancy.workspaces), name.strip(), Directory()), given)
    here.repository.put_workspace(made)
    settle(here)
    tell(made, tenancy, as_json)
    if not as_json:
        click.echo(
            f'Next: smartalex agents add NAME --workspace "{made.name}"; smartalex trunks add NAME --workspace "{made.name}"'
        )


@command.command("set")
@click.argument("name")
@click.option("--name", "renamed", metavar="NAME", help="Another name.")
@workspace_options
@click.option("--no-max-calls", is_flag=True, help="As many calls as its trunks take.")
@click.option("--no-holidays", is_flag=True, help="Forget every --holiday.")
@state_options
@json_option
def change(
    name: str, *, renamed: str | None, no_max_calls: bool, state: str | None, config: str | None, as_json: bool, **given: Any
) -> None:
    """Change a workspace; what is not given stays.

    \b
      smartalex workspaces set acme --max-calls 40 --holiday 2026-12-16
      smartalex workspaces set acme --forward-to +27215550111
    """
    if not any(value not in (None, False, ()) for value in (renamed, no_max_calls, *given.values())):
        raise click.UsageError("say what to change; see: smartalex workspaces set --help")
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    old = workspace_of(tenancy, name)
    new = with_options(old, given)
    if renamed is not None:
        check(renamed, tenancy, old.id)
        new = attrs.evolve(new, name=renamed.strip())
    if no_max_calls:
        new = attrs.evolve(new, max_calls=None)
    here.repository.put_workspace(new)
    settle(here)
    tell(new, tenancy, as_json)


@command.command()
@click.argument("name")
@yes_option
@state_options
@json_option
def remove(name: str, *, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Remove a workspace with its trunks, numbers, agents and directory.  Records of its calls stay.

    \b
      smartalex workspaces remove acme --yes
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    gone = workspace_of(tenancy, name)
    if len(tenancy.workspaces) == 1:
        raise click.ClickException(f"workspace {gone.name!r} is the only one; add another before you remove it")
    row = described(gone, tenancy)
    what = f"{len(row['trunks'])} trunks, {len(row['agents'])} agents and {row['extensions']} extensions"
    confirmed(f"remove workspace {gone.name} with its {what}", yes)
    here.repository.remove_workspace(gone.id)
    settle(here)
    if as_json:
        show_json({"removed": gone.name, "trunks": row["trunks"], "agents": row["agents"]})
    else:
        click.echo(f"workspace {gone.name} is removed, with its {what}")


def tell(workspace: Workspace, tenancy: Tenancy, as_json: bool) -> None:
    row = described(workspace, tenancy)
    if as_json:
        show_json(row)
        return
    click.echo(f"workspace {workspace.name}")
    for label, cell in zip(("calls", "longest", "forwards", "zone", "holidays"), _cells(row)[1:6], strict=True):
        click.echo(f"  {label:9} {cell}")
