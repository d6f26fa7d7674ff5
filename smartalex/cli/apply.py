"""`smartalex apply`: make it as a file says."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import attrs
import click

from smartalex.cli import document
from smartalex.cli.audit import told
from smartalex.cli.state import columns, confirmed, json_option, opened, settings, settle, show_json, state_options, yes_option
from smartalex.errors import ConfigurationError
from smartalex.store import whole
from smartalex.store.whole import Difference
from smartalex.tenants.workspace import Tenancy

SIGNS = {"added": "+", "removed": "-", "changed": "~"}


@click.command()
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--dry-run", is_flag=True, help="Show what would be changed, and change nothing.")
@click.option("--keep", is_flag=True, help="Leave workspaces that are not in the file as they are.")
@yes_option
@state_options
@json_option
def command(file: Path, *, dry_run: bool, keep: bool, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Make workspaces, agents, trunks, DIDs and directories as FILE says: all of it, or nothing.

    What is not in FILE is removed.  Things are known by their names; what keeps its name keeps its password.  New trunks
    with a password get one, printed this once.  A running platform sees it within a second; calls in progress go on.

    \b
      smartalex export --output acme.toml
      smartalex apply acme.toml --dry-run
    """
    here = opened(state, config)
    before = here.repository.tenancy()
    try:
        after = document.read(file.read_text(encoding="utf-8-sig"), before)
    except (ConfigurationError, UnicodeDecodeError) as error:
        raise click.ClickException("\n".join(f"{file}: {line}" for line in str(error).splitlines())) from None
    if keep:
        after = _kept(before, after)
    found = whole.compare(before, after)
    _show(found, as_json)
    if dry_run or not found:
        return
    counts = Counter(action for _, _, action, _ in found)
    confirmed("make " + ", ".join(f"{count} {action}" for action, count in sorted(counts.items())), yes or not counts["removed"])
    try:
        passwords = whole.apply(here.repository, before, after, settings(state, config).sip.realm)
    except LookupError as error:
        raise click.ClickException(f"{error}; look again with --dry-run") from None
    settle(here)
    _tell(passwords, after, as_json)


def _kept(before: Tenancy, after: Tenancy) -> Tenancy:
    others = set(before.workspaces) - set(after.workspaces)
    mine = lambda values: {key: value for key, value in values.items() if value.workspace_id in others}  # noqa: E731
    trunks = mine(before.trunks)
    return attrs.evolve(
        after,
        workspaces={**{key: before.workspaces[key] for key in others}, **after.workspaces},
        trunks={**trunks, **after.trunks},
        agents={**mine(before.agents), **after.agents},
        routes={**{key: before.routes_of(key) for key in trunks}, **after.routes},
    )


def _show(found: Iterable[Difference], as_json: bool) -> None:
    if as_json:
        for kind, name, action, data in found:
            show_json({"kind": kind, "name": name, "action": action, "data": data})
        return
    rows = [(SIGNS[action], kind, name, told(action, data) if action == "changed" else "") for kind, name, action, data in found]
    for line in columns(rows) if rows else ("nothing is to be changed",):
        click.echo(line)


def _tell(passwords: dict[str, str], after: Tenancy, as_json: bool) -> None:
    usernames = {trunk.name: trunk.username for trunk in after.trunks.values()}
    for name, password in passwords.items():
        if as_json:
            show_json({"trunk": name, "username": usernames[name], "password": password})
        else:
            click.echo(f"trunk {name}: username {usernames[name]}, password {password}   (shown this once)")
    if not as_json:
        click.echo("done")
