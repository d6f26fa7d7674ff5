"""What the commands share: finding the state directory, --json, names that are nearly right, waiting for a running platform."""

from __future__ import annotations

import difflib
import getpass
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import click
from click.core import ParameterSource

from smartalex.config import Config, load
from smartalex.errors import SmartAlexError
from smartalex.store.audit import Author
from smartalex.store.state import State, open_state, running
from smartalex.tenants.workspace import Tenancy, Workspace

SEEN_S = 1.0
"""A running platform looks for changes twice a second."""


def state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --state and --config."""
    command = click.option("--state", envvar="SMARTALEX_STATE", metavar="DIR", help="State directory (default ./state).")(command)
    return click.option("--config", envvar="SMARTALEX_CONFIG", metavar="FILE", help="Configuration file.")(command)


def json_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --json."""
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)


def of_workspace(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --workspace to a list."""
    return click.option("--workspace", metavar="NAME", help="Of this workspace only.")(command)


def yes_option(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --yes, for what `confirmed` asks."""
    return click.option("--yes", is_flag=True, help="Do not ask whether that is meant.")(command)


def confirmed(what: str, yes: bool) -> None:
    """Go on when that is meant: said on the command line, or on the terminal.  `what` begins with a verb."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise click.UsageError(f"this would {what}; say that it is meant with --yes")
    click.confirm(f"This will {what}. Go on?", abort=True, err=True)


def settings(state: str | None, config: str | None) -> Config:
    """The node's configuration; options given to the group count for its commands too."""
    state, config = _chosen("state", state), _chosen("config", config)
    try:
        return load(config, {"node.state_dir": state} if state else {})
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None


def opened(state: str | None, config: str | None) -> State:
    """The state for a command that does not serve; ends the command with a sentence when there is none."""
    try:
        here = open_state(settings(state, config), serve=False)
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
    context = click.get_current_context(silent=True)
    here.repository.author = Author(login(), " ".join(context.command_path.split()[1:]) if context else "")
    return here


def login() -> str:
    """Who is at the keyboard, through sudo too."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    behind = os.environ.get("SUDO_USER", "")
    return f"{behind} as {user}" if behind and behind != user else user


def _chosen(name: str, own: str | None) -> str | None:
    """What stands on the command line, the command's own before its group's; else `own` (the environment's)."""
    context = click.get_current_context(silent=True)
    while context is not None:
        if context.get_parameter_source(name) is ParameterSource.COMMANDLINE:
            return str(context.params[name])
        context = context.parent
    return own


def settle(here: State) -> None:
    """Return when a running platform has seen the change just made."""
    if running(here.folder):
        time.sleep(SEEN_S)


def show_json(value: dict[str, Any]) -> None:
    click.echo(json.dumps(value, ensure_ascii=False))


def columns(rows: Sequence[Sequence[str]]) -> Iterable[str]:
    """Lines with their columns aligned."""
    widths = [max(len(cell) for cell in column) for column in zip(*rows, strict=True)]
    for row in rows:
        yield "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip()


def unknown(kind: str, given: str, known: Iterable[str], remedy: str) -> click.ClickException:
    """The error for a name that does not exist, with the nearest ones."""
    names = sorted(known)
    folded = {name.lower(): name for name in names}
    near = [folded[n] for n in difflib.get_close_matches(given.lower(), folded, n=3, cutoff=0.5)]
    hint = (
        f"did you mean {' or '.join(near)}?"
        if near
        else f"there are: {', '.join(names[:10])}"
        if names
        else f"there is none yet; {remedy}"
    )
    return click.ClickException(f"there is no {kind} {given!r}; {hint}")


def workspace_of(tenancy: Tenancy, name: str | None) -> Workspace:
    """The workspace of this name, or the only one."""
    workspaces = list(tenancy.workspaces.values())
    if name is None:
        if len(workspaces) == 1:
            return workspaces[0]
        raise click.UsageError(f"there are several workspaces; give --workspace: {', '.join(w.name for w in workspaces)}")
    for workspace in workspaces:
        if name.lower() in (workspace.name.lower(), workspace.id.lower()):
            return workspace
    raise unknown("workspace", name, (w.name for w in workspaces), "")
