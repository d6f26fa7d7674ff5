"""What tenants own, in the database.  Synchronous: callers go through a thread pool."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import attrs
from sqlalchemy import Engine, Integer, String, Table, cast, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from twisted.logger import Logger

from smartalex.errors import LocalError
from smartalex.interfaces import ISecretStore
from smartalex.sip.digest import Secret
from smartalex.store import audit, credentials, schema, tenancy
from smartalex.store.engine import transaction
from smartalex.store.records import Records, storable
from smartalex.store.tenancy import Pause, at_once
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace


class Repository:
    log = Logger()

    def __init__(self, engine: Engine, vault: ISecretStore) -> None:
        self.engine = engine
        self.vault = vault
        self.records = Records(engine)
        self.author = audit.Author()
        self._opened: dict[str, Mapping[str, str]] = {}
        self._opened_at: int | None = None

    # ------------------------------------------------------------------ tenants

    def revision(self) -> int:
        """Rises with every change of what tenants own; asked for twice a second, so without a transaction around it."""
        with self.engine.connect() as connection:
            return tenancy.revision(connection.execution_options(isolation_level="AUTOCOMMIT"))

    def empty(self) -> bool:
        """Whether there is no workspace."""
        with self.engine.connect() as connection:
            return connection.execute(select(schema.workspace.c.id).limit(1)).first() is None

    def changed(self, connection: Connection, kind: str = tenancy.WHOLE, key: str = "") -> None:
        """To be called in the transaction of every such change, before the change itself.

        `kind` says what a running platform has to read anew: "trunk" (with its DIDs), "dids" (of the trunk `key`), "agent",
        "workspace", "directory" (of the workspace `key`), or everything.
        """
        meta, written = schema.meta, schema.tenant_change
        more = cast(cast(meta.c.value, Integer) + 1, String)
        if not connection.execute(update(meta).where(meta.c.key == "revision").values(value=more)).rowcount:
            connection.execute(insert(meta).values(key="revision", value="1"))
        now = tenancy.revision(connection)
        connection.execute(insert(written).values(revision=now, kind=kind, key=key))
        connection.execute(delete(written).where(written.c.revision <= now - CHANGES_KEPT))

    @contextmanager
    def change(self, kind: str, key: str, action: str = "", name: str = "", scope: str = "") -> Iterator[Connection]:
        """A transaction in which something of what tenants own is changed; who did what is written down (`store.audit`).

        `action` is what was done where no row tells, to what is called `name`; `scope` is one of `audit.SCOPES`, if not `kind`.
        """
        with transaction(self.engine) as connection:
            self.changed(connection, kind, key)
            before = audit.rows(connection, scope or kind, key)
            yield connection
            lines = [*audit.differences(before, audit.rows(connection, scope or kind, key))]
            audit.write(connection, self.author, [*lines, (kind, name, action, {})] if action else lines)

    def tenancy(self, known: Tenancy | None = None, pause: Pause = at_once) -> Tenancy:
        """The newest picture; with the one that is `known`, only what has changed since is read."""
        return tenancy.read(self.engine, known, pause)

    def credentials(self, pause: Pause = at_once) -> dict[str, tuple[str, Mapping[str, str]]]:
        """username -> (trunk id, HA1 by algorithm) of every digest trunk whose secret can be read.

        What was read before is opened again only when its trunk was changed since.
        """
        with tenancy.snapshot(self.engine) as connection:
            newest = tenancy.revision(connection)
            changes = tenancy.changes(connection, self._opened_at, newest)
            trunks = connection.execute(
                select(schema.trunk.c.id, schema.trunk.c.username).where(schema.trunk.c.username != "")
            ).all()
        anew = changes.get("trunk", set()) if changes is not None else self._opened.keys()
        opened = {key: found for key, found in self._opened.items() if key not in anew}
        closed = [trunk_id for trunk_id, _ in trunks if trunk_id not in opened]
        for start in range(0, len(closed), MANY):
            opened.update(credentials.read_many(self.vault, closed[start : start + MANY]))
            pause()
        known = {}
        for trunk_id, username in trunks:
            found = opened.get(trunk_id) or self._open(trunk_id)
            if found is not None:
                known[username] = trunk_id, found
        self._opened, self._opened_at = dict(known.values()), newest
        return known

    def _open(self, trunk_id: str) -> Mapping[str, str] | None:
        try:
            return credentials.shaped(credentials.read(self.vault, trunk_id))
        except (KeyError, LocalError) as error:
            self.log.error("trunk {trunk} cannot call until its password is rotated: {error}", trunk=trunk_id, error=error)
            return None

    def trunk_named(self, name: str) -> Trunk | None:
        with self.engine.connect() as connection:
            row = connection.execute(tenancy.TRUNKS.where(schema.trunk.c.name == name)).first()
        return tenancy.trunk_of(tuple(row)) if row is not None else None

    def rotate(self, trunk: Trunk, realm: str, *, until: float = 0.0) -> str:
        """A new password for this trunk; the old one opens `until` then (Unix seconds), else until the service notices."""
        with self.change("trunk", trunk.id, "rotated the password", trunk.name):
            return credentials.issue(self.vault, trunk.id, trunk.username, realm, until=until)

    def end_overlap(self, trunk: Trunk) -> bool:
        """The password from before the last rotation opens nothing any more; False when it did not anyway."""
        with self.change("trunk", trunk.id, "ended the overlap of passwords", trunk.name):
            return credentials.drop_old(self.vault, trunk.id)

    # ------------------------------------------------------------------ administration

    def add_trunk(self, trunk: Trunk, realm: str, register_password: str | None = None) -> str | None:
        """Its password, or None for a trunk known by address alone; `register_password` is the one for `trunk.register`."""
        with self.change("trunk", trunk.id) as connection:
            self._put_register_password(trunk, register_password)
            password = self._issued(trunk, realm) if trunk.digest else None
            connection.execute(insert(schema.trunk).values(**row_of(trunk)))
        return password

    def change_trunk(self, old: Trunk, new: Trunk, realm: str, register_password: str | None = None) -> str | None:
        """A new password where digest is new or the username another (a digest binds both), else None.

        `register_password` is the one for `new.register`: None leaves it as it is, "" forgets it.
        """
        with self.change("trunk", old.id) as connection:
            self._put_register_password(new, register_password)
            password = self._issued(new, realm) if new.digest and (not old.digest or new.username != old.username) else None
            connection.execute(update(schema.trunk).where(schema.trunk.c.id == old.id).values(**row_of(new)))
            if not new.digest:
                credentials.forget(self.vault, old.id)
        return password

    def remove_trunk(self, trunk: Trunk) -> None:
        """With its DIDs, its bindings and its secrets; records of its calls stay."""
        with self.change("trunk", trunk.id) as connection:
            connection.execute(delete(schema.did).where(schema.did.c.trunk == trunk.id))
            connection.execute(delete(schema.binding).where(schema.binding.c.trunk == trunk.id))
            connection.execute(delete(schema.trunk).where(schema.trunk.c.id == trunk.id))
            credentials.forget(self.vault, trunk.id)
            credentials.forget_register(self.vault, trunk.id)

    def put_did(self, did: Did) -> None:
        """New, or leading to another agent from now on."""
        with self.change("dids", did.trunk_id) as connection:
            connection.execute(delete(schema.did).where(_same_did(did)))
            connection.execute(insert(schema.did).values(**did_row(did)))

    def remove_did(self, did: Did) -> None:
        with self.change("dids", did.trunk_id) as connection:
            connection.execute(delete(schema.did).where(_same_did(did)))

    def put_directory(self, workspace_id: str, directory: Directory) -> None:
        """Replace the whole directory of a workspace, all or nothing."""
        rows = [extension_row(extension, workspace_id) for extension in directory.extensions]
        with self.change("directory", workspace_id) as connection:
            connection.execute(delete(schema.extension).where(schema.extension.c.workspace == workspace_id))
            if rows:
                connection.execute(insert(schema.extension), rows)
            connection.execute(
                update(schema.workspace).where(schema.workspace.c.id == workspace_id).values(operator=directory.operator)
            )

    def put_workspace(self, workspace: Workspace) -> None:
        """New, or with other settings from now on; its directory is `put_directory`'s."""
        self._put(schema.workspace, workspace_row(workspace), "workspace")

    def remove_workspace(self, workspace_id: str) -> None:
        """With its trunks and their secrets, DIDs, agents and directory; records of its calls stay."""
        trunk, agent = schema.trunk, schema.agent
        with self.change("workspace", workspace_id, scope="tenant") as connection:
            mine = connection.execute(select(trunk.c.id).where(trunk.c.workspace == workspace_id)).scalars().all()
            agents = connection.execute(select(agent.c.id).where(agent.c.workspace == workspace_id)).scalars().all()
            for kind, key in (*(("trunk", key) for key in mine), *(("agent", key) for key in agents)):
                self.changed(connection, kind, key)
            theirs = select(trunk.c.id).where(trunk.c.workspace == workspace_id)
            connection.execute(delete(schema.did).where(schema.did.c.trunk.in_(theirs)))
            connection.execute(delete(schema.binding).where(schema.binding.c.trunk.in_(theirs)))
            for table in (trunk, agent, schema.extension):
                connection.execute(delete(table).where(table.c.workspace == workspace_id))
            connection.execute(delete(schema.workspace).where(schema.workspace.c.id == workspace_id))
        for trunk_id in mine:
            credentials.forget(self.vault, trunk_id)
            credentials.forget_register(self.vault, trunk_id)

    def put_agent(self, agent: Agent) -> None:
        """New, or another from the next call on."""
        self._put(schema.agent, row_of(agent), "agent")

    def remove_agent(self, agent_id: str) -> None:
        """Raises IntegrityError while a DID leads there."""
        with self.change("agent", agent_id) as connection:
            connection.execute(delete(schema.agent).where(schema.agent.c.id == agent_id))

    def _put(self, table: Table, row: dict[str, Any], kind: str) -> None:
        with self.change(kind, row["id"]) as connection:
            if not connection.execute(update(table).where(table.c.id == row["id"]).values(**row)).rowcount:
                connection.execute(insert(table).values(**row))

    def _put_register_password(self, trunk: Trunk, password: str | None) -> None:
        if password == "" or not trunk.register:
            credentials.forget_register(self.vault, trunk.id)
        elif password is not None:
            credentials.put_register(self.vault, trunk.id, password)

    def _issued(self, trunk: Trunk, realm: str) -> str:
        return credentials.issue(self.vault, trunk.id, trunk.username, realm)

    # ------------------------------------------------------------------ registration

    def bindings(self) -> list[dict[str, Any]]:
        """Of every PBX that registers to us, in the order in which they run out, or have."""
        with self.engine.connect() as connection:
            rows = connection.execute(select(schema.binding).order_by(schema.binding.c.expires_at)).mappings()
            return [dict(row) for row in rows]

    def put_bindings(self, bindings: Mapping[str, Sequence[Mapping[str, Any]]]) -> None:
        """Replace those of these trunks, all or nothing."""
        rows = [{key: storable(value) for key, value in row.items()} for rows in bindings.values() for row in rows]
        with self.engine.begin() as connection:
            connection.execute(delete(schema.binding).where(schema.binding.c.trunk.in_(list(bindings))))
            if rows:
                connection.execute(insert(schema.binding), rows)

    def register_passwords(self) -> dict[str, Secret]:
        """By the id of the trunk, for those that register somewhere and have one that can be read."""
        with self.engine.connect() as connection:
            trunks = connection.execute(select(schema.trunk.c.id).where(schema.trunk.c.register != "")).scalars().all()
        known = {}
        for trunk_id in trunks:
            try:
                known[trunk_id] = credentials.read_register(self.vault, trunk_id)
            except KeyError:
                continue
            except LocalError as error:
                self.log.error("trunk {trunk} has to be given its password again: {error}", trunk=trunk_id, error=error)
        return known


MANY = 50
"""Secrets that are opened without a rest."""

CHANGES_KEPT = 1000
"""Changes that are written down one by one; a platform that missed more reads everything."""


def _same_did(did: Did) -> Any:
    return (func.lower(schema.did.c.number) == did.number.lower()) & (schema.did.c.trunk == did.trunk_id)


def workspace_row(workspace: Workspace) -> dict[str, Any]:
    """Without what belongs to its directory."""
    row = attrs.asdict(workspace, filter=attrs.filters.exclude("directory"), recurse=False)
    return {**row, "holidays": " ".join(workspace.holidays)}


def extension_row(extension: Extension, workspace_id: str) -> dict[str, Any]:
    return {**attrs.asdict(extension), "workspace": workspace_id, "aliases": list(extension.aliases)}


def did_row(did: Did) -> dict[str, Any]:
    row = attrs.asdict(did)
    names = {"trunk_id": "trunk", "agent_id": "agent", "closed_agent_id": "closed_agent"}
    return {**{names.get(key, key): value for key, value in row.items()}, "holidays": " ".join(did.holidays)}


def row_of(value: Trunk | Agent) -> dict[str, Any]:
    row = {key: list(held) if isinstance(held, tuple) else held for key, held in attrs.asdict(value).items()}
    row["workspace"] = row.pop("workspace_id")
    return row
