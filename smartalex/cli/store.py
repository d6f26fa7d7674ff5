"""`smartalex store`: the database itself."""

from __future__ import annotations

import click
from sqlalchemy import Engine, func, select
from sqlalchemy.exc import DatabaseError

from smartalex.cli.state import columns, json_option, opened, show_json, state_options
from smartalex.errors import SmartAlexError
from smartalex.store import schema
from smartalex.store.engine import newest_schema, open_engine, trouble, upgrade
from smartalex.store.picture import copy
from smartalex.store.state import running
from smartalex.store.tenancy import snapshot

TABLES = schema.metadata.sorted_tables


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, as_json: bool) -> None:
    """Show the database, how many rows it has, and what waits for it in the journal; or copy it elsewhere.

    \b
      smartalex store copy --to postgresql+psycopg://smartalex@db.example.com/smartalex
    """
    if context.invoked_subcommand is not None:
        return
    here = opened(state, config)
    with here.repository.engine.connect() as connection:
        counts = {table.name: connection.execute(select(func.count()).select_from(table)).scalar() for table in TABLES}
    url = here.repository.engine.url.render_as_string(hide_password=True)
    waiting = sum(path.stat().st_size for path in (here.folder / "journal").iterdir())
    if as_json:
        show_json({"url": url, "schema": newest_schema(), "journal_bytes": waiting, **counts})
    else:
        facts = [("database", url), ("schema", newest_schema()), ("journal", f"{waiting} bytes")]
        for line in columns([*facts, *((name, str(count)) for name, count in counts.items() if count)]):
            click.echo(line)


@command.command("copy")
@click.option("--to", "url", required=True, metavar="URL", help="An empty database: postgresql+psycopg://... or sqlite:///...")
@state_options
@json_option
def copy_all(url: str, *, state: str | None, config: str | None, as_json: bool) -> None:
    """Copy everything into another database: what tenants own, secrets as they are sealed, records, messages.

    The platform has to be stopped.  Give the new database as store.url afterwards; the vault's key and the files of
    messages stay in the state directory.  A password need not stand in the URL: PostgreSQL's PGPASSFILE is read.
    """
    here = opened(state, config)
    if running(here.folder):
        raise click.ClickException("the platform is running and would go on writing to the old database; stop it first")
    try:
        target = open_engine(url)
        upgrade(target)
        counts = _copied(here.repository.engine, target)
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
    if as_json:
        show_json(counts)
    else:
        for line in columns([("TABLE", "ROWS"), *((name, str(count)) for name, count in counts.items())]):
            click.echo(line)
        click.echo(f"\nnow write into the configuration: [store] url = {target.url.render_as_string(hide_password=True)!r}")


def _copied(source: Engine, target: Engine) -> dict[str, int]:
    """Rows by table; all of them or none."""
    try:
        with snapshot(source) as old, target.begin() as new:
            full = [table.name for table in TABLES if new.execute(select(func.count()).select_from(table)).scalar()]
            if full:
                raise click.ClickException(f"the other database is not empty: it has rows in {', '.join(full)}")
            return copy(old, new, TABLES)
    except DatabaseError as error:
        raise trouble(target, error) from None
