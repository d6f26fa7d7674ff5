"""What tenants own, in the database.  Synchronous: callers go through a thread pool."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import attrs
from sqlalchemy import Engine, delete, func, insert, select, update
from sqlalchemy.engine import Connection
from twisted.logger import Logger

from smartalex.errors import LocalError
from smartalex.interfaces import ISecretStore
from smartalex.sip.digest import Secret
from smartalex.store import credentials, schema
from smartalex.store.records import Records, storable
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

    # ------------------------------------------------------------------ tenants

    def revision(self) -> int:
        """Rises with every change of what tenants own."""
        with self.engine.connect() as connection:
            return int(connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "revision")).scalar() or 0)

    def changed(self, connection: Connection) -> None:
        """To be called in the transaction of every such change."""
        value = connection.execute(select(schema.meta.c.value).where(schema.meta.c.key == "revision")).scalar()
        if value is None:
            connection.execute(insert(schema.meta).values(key="revision", value="1"))
        else:
            connection.execute(update(schema.meta).where(schema.meta.c.key == "revision").values(value=str(int(value) + 1)))

    def tenancy(self) -> Tenancy:
        revision = self.revision()
        with self.engine.connect() as connection:
            rows = {table.name: connection.execute(select(table)).mappings().all() for table in TENANT_TABLES}
        extensions: dict[str, list[Extension]] = {}
        for row in rows["extension"]:
            extensions.setdefault(row["workspace"], []).append(
                Extension(
                    row["id"],
                    row["number"],
                    row["name"],
                    row["kind"],
                    row["department"],
                    tuple(row["aliases"]),
                    row["digit"],
                    row["pronunciation"],
                )
            )
        workspaces = {
            r["id"]: Workspace(r["id"], r["name"], Directory(tuple(extensions.get(r["id"], ())), r["operator"]), r["max_calls"])
            for r in rows["workspace"]
        }
        dids = [Did(r["number"], r["trunk"], r["agent"]) for r in rows["did"]]
        return Tenancy(
            revision, workspaces, {r["id"]: _trunk(r) for r in rows["trunk"]}, dids, {r["id"]: _agent(r) for r in rows["agent"]}
        )

    def credentials(self) -> dict[str, tuple[str, Mapping[str, str]]]:
        """username -> (trunk id, HA1 by algorithm) of every digest trunk whose secret can be read."""
        with self.engine.connect() as connection:
            trunks = connection.execute(
                select(schema.trunk.c.id, schema.trunk.c.username).where(schema.trunk.c.auth != "ip-allowlist")
            ).all()
        known = {}
        for trunk_id, username in trunks:
            try:
                known[username] = trunk_id, credentials.read(self.vault, trunk_id)
            except (KeyError, LocalError) as error:
                self.log.error("trunk {trunk} cannot call until its password is rotated: {error}", trunk=trunk_id, error=error)
        return known

    def trunk_named(self, name: str) -> Trunk | None:
        with self.engine.connect() as connection:
            row = connection.execute(select(schema.trunk).where(schema.trunk.c.name == name)).mappings().first()
        return _trunk(row) if row is not None else None

    def rotate(self, trunk: Trunk, realm: str) -> str:
        """A new password for this trunk; the old one stops working when the service notices."""
        password = credentials.issue(self.vault, trunk.id, trunk.username, realm)
        with self.engine.begin() as connection:
            self.changed(connection)
        return password

    # ------------------------------------------------------------------ administration

    def add_trunk(self, trunk: Trunk, realm: str, register_password: str | None = None) -> str | None:
        """Its password, or None for a trunk known by address alone; `register_password` is the one for `trunk.register`."""
        self._put_register_password(trunk, register_password)
        password = self._issued(trunk, realm) if trunk.digest else None  # before the row: a digest trunk always has its secret
        with self.engine.begin() as connection:
            connection.execute(insert(schema.trunk).values(**_trunk_row(trunk)))
            self.changed(connection)
        return password

    def change_trunk(self, old: Trunk, new: Trunk, realm: str, register_password: str | None = None) -> str | None:
        """A new password where digest is new or the username another (a digest binds both), else None.

        `register_password` is the one for `new.register`: None leaves it as it is, "" forgets it.
        """
        self._put_register_password(new, register_password)
        password = self._issued(new, realm) if new.digest and (not old.digest or new.username != old.username) else None
        with self.engine.begin() as connection:
            connection.execute(update(schema.trunk).where(schema.trunk.c.id == old.id).values(**_trunk_row(new)))
            self.changed(connection)
        if not new.digest:
            credentials.forget(self.vault, old.id)
        return password

    def remove_trunk(self, trunk: Trunk) -> None:
        """With its DIDs, its bindings and its secrets; records of its calls stay."""
        with self.engine.begin() as connection:
            connection.execute(delete(schema.did).where(schema.did.c.trunk == trunk.id))
            connection.execute(delete(schema.binding).where(schema.binding.c.trunk == trunk.id))
            connection.execute(delete(schema.trunk).where(schema.trunk.c.id == trunk.id))
            self.changed(connection)
        credentials.forget(self.vault, trunk.id)
        credentials.forget_register(self.vault, trunk.id)

    def put_did(self, did: Did) -> None:
        """New, or leading to another agent from now on."""
        with self.engine.begin() as connection:
            connection.execute(delete(schema.did).where(_same_did(did)))
            connection.execute(insert(schema.did).values(number=did.number, trunk=did.trunk_id, agent=did.agent_id))
            self.changed(connection)

    def remove_did(self, did: Did) -> None:
        with self.engine.begin() as connection:
            connection.execute(delete(schema.did).where(_same_did(did)))
            self.changed(connection)

    def put_directory(self, workspace_id: str, directory: Directory) -> None:
        """Replace the whole directory of a workspace, all or nothing."""
        rows = [{**attrs.asdict(e), "workspace": workspace_id, "aliases": list(e.aliases)} for e in directory.extensions]
        with self.engine.begin() as connection:
            connection.execute(delete(schema.extension).where(schema.extension.c.workspace == workspace_id))
            if rows:
                connection.execute(insert(schema.extension), rows)
            connection.execute(
                update(schema.workspace).where(schema.workspace.c.id == workspace_id).values(operator=directory.operator)
            )
            self.changed(connection)

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


TENANT_TABLES = (schema.workspace, schema.trunk, schema.did, schema.agent, schema.extension)


def _trunk(row: Any) -> Trunk:
    return Trunk(
        row["id"], row["workspace"], row["name"], row["pbx_domain"], row["username"], row["auth"], tuple(row["allowed_sources"]),
        tuple(row["codecs"]), row["max_calls"], row["active"], row["register"], row["register_user"],
        row["register_expires_s"], tuple(row["refer_targets"]), row["stir"], row["client_certificate"], row["ptime_ms"],
        row["srtp"], row["dtmf"], row["noise_suppression"], row["record"],
    )  # fmt: skip


def _same_did(did: Did) -> Any:
    return (func.lower(schema.did.c.number) == did.number.lower()) & (schema.did.c.trunk == did.trunk_id)


def _trunk_row(trunk: Trunk) -> dict[str, Any]:
    row = attrs.asdict(trunk)
    row["workspace"] = row.pop("workspace_id")
    lists = {name: list(row[name]) for name in ("allowed_sources", "codecs", "refer_targets")}
    return {**row, **lists}


def _agent(row: Any) -> Agent:
    return Agent(
        row["id"], row["workspace"], row["name"], row["first_message"], row["instructions"], row["voice"], row["language"],
        tuple(row["backends"]), row["max_duration_s"], row["call_forwarding_number"],
    )  # fmt: skip
