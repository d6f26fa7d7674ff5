"""All that tenants own, brought from what it is to what it should be: all of it or nothing, in one transaction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Table, and_, delete, insert, update
from sqlalchemy.engine import Connection

from smartalex.store import audit, credentials, schema
from smartalex.store.audit import Rows
from smartalex.store.repository import Repository, did_row, extension_row, row_of, workspace_row
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy

ORDER = (schema.workspace, schema.agent, schema.trunk, schema.did, schema.extension)
"""Each refers to those before it only."""

Difference = tuple[str, str, str, dict[str, Any]]
"""(kind, name, action, data), as `audit.differences` has it."""


def rows_of(tenancy: Tenancy) -> Rows:
    """As the store would hold them."""
    found: Rows = {}
    for workspace in tenancy.workspaces.values():
        found["workspace", workspace.id] = {**workspace_row(workspace), "operator": workspace.directory.operator}
        for extension in workspace.directory.extensions:
            found["extension", extension.id] = extension_row(extension, workspace.id)
    found.update({("agent", agent.id): row_of(agent) for agent in tenancy.agents.values()})
    found.update({("trunk", trunk.id): row_of(trunk) for trunk in tenancy.trunks.values()})
    found.update({("did", did.number, did.trunk_id): did_row(did) for did in tenancy.dids})
    return found


def compare(before: Tenancy, after: Tenancy) -> list[Difference]:
    """What `apply` would do."""
    return list(audit.differences(rows_of(before), rows_of(after)))


def apply(repository: Repository, before: Tenancy, after: Tenancy, realm: str) -> dict[str, str]:
    """Make it so; returns the passwords issued, by the name of the trunk.

    `before` must be what there is: raises LookupError when something was changed meanwhile.
    """
    old, new = rows_of(before), rows_of(after)
    gone = [trunk for trunk in before.trunks.values() if trunk.id not in after.trunks]
    with repository.change("all", "") as connection:
        if repository.revision() != before.revision:
            raise LookupError("something was changed meanwhile")
        for table in reversed(ORDER):
            _remove(connection, table, [place for place in old if place[0] == table.name and place not in new])
        for table in ORDER:
            for place, row in new.items():
                if place[0] == table.name and old.get(place) != row:
                    _put(connection, table, place, row, place in old)
        for trunk in gone:
            connection.execute(delete(schema.binding).where(schema.binding.c.trunk == trunk.id))
            credentials.forget(repository.vault, trunk.id)
            credentials.forget_register(repository.vault, trunk.id)
        audit.write(connection, repository.author, audit.differences(old, new))
        return {
            trunk.name: credentials.issue(repository.vault, trunk.id, trunk.username, realm) for trunk in unlocked(before, after)
        }


def unlocked(before: Tenancy, after: Tenancy) -> Iterator[Trunk]:
    """Trunks that need a password and have none that would do: digest binds it to the username."""
    for trunk in after.trunks.values():
        old = before.trunks.get(trunk.id)
        if trunk.digest and (old is None or not old.digest or old.username != trunk.username):
            yield trunk


def _remove(connection: Connection, table: Table, places: list[tuple[str, ...]]) -> None:
    for place in places:
        connection.execute(delete(table).where(_is(table, place)))


def _put(connection: Connection, table: Table, place: tuple[str, ...], row: dict[str, Any], known: bool) -> None:
    if known:
        connection.execute(update(table).where(_is(table, place)).values(**row))
    else:
        connection.execute(insert(table).values(**row))


def _is(table: Table, place: tuple[str, ...]) -> Any:
    return and_(*(column == value for column, value in zip(table.primary_key, place[1:], strict=True)))
