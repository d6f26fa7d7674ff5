"""What tenants own as one TOML file: written by `smartalex export`, read by `smartalex apply` (pure).

Things are known by their names, not by ids: workspaces, in each its agents, its trunks with their DIDs, and its directory.
What is as it always is, is left out.  Passwords are not in it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import attrs
import click
import tomli_w

from smartalex.cli.agents import Backend, Language, new_id
from smartalex.cli.extensions_csv import wrong
from smartalex.cli.policy import DTMF, SRTP, STIR, TRANSPORTS, Certified, Codecs, Filter, ReferTarget
from smartalex.cli.registration import AddressOfRecord
from smartalex.cli.values import Authenticator, Day, Dialled, Host, Hours, Number, Source, TimeZone, Word
from smartalex.errors import ConfigurationError
from smartalex.media.frame import PACKET_MS
from smartalex.store.credentials import new_username
from smartalex.tenants.agent import LONGEST_S, TOOLS, Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.presets import PRESETS
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

Type = click.ParamType[Any]
Value = TypeVar("Value", Workspace, Agent, Trunk, Did, Extension)


@attrs.frozen
class Empty(click.ParamType[str]):
    """What the other takes, or nothing."""

    other: Type
    name = "text"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return value if value == "" else self.other.convert(value, param, ctx)


CHECKS: Mapping[tuple[type, str], Type] = {
    (Workspace, "max_calls"): click.IntRange(1, 100_000), (Workspace, "max_duration_s"): click.IntRange(10, LONGEST_S),
    (Workspace, "call_forwarding_number"): Dialled(), (Workspace, "timezone"): TimeZone(), (Workspace, "holidays"): Day(),
    (Agent, "language"): Language(), (Agent, "backends"): Backend(), (Agent, "max_duration_s"): click.IntRange(0, LONGEST_S),
    (Agent, "call_forwarding_number"): Dialled(), (Agent, "tools"): click.Choice(TOOLS),
    (Agent, "silence_timeout_s"): click.IntRange(10, 600),
    (Trunk, "name"): Word(), (Trunk, "pbx_domain"): Empty(Host()), (Trunk, "username"): Empty(Word()),
    (Trunk, "auth"): Authenticator(),
    (Trunk, "allowed_sources"): Source(), (Trunk, "codecs"): Codecs(), (Trunk, "max_calls"): click.IntRange(1, 1000),
    (Trunk, "register"): Empty(AddressOfRecord()), (Trunk, "register_expires_s"): click.IntRange(60, 86_400),
    (Trunk, "refer_targets"): ReferTarget(), (Trunk, "stir"): click.Choice(STIR), (Trunk, "client_certificate"): Certified(),
    (Trunk, "ptime_ms"): click.Choice(PACKET_MS), (Trunk, "srtp"): click.Choice(SRTP), (Trunk, "dtmf"): click.Choice(DTMF),
    (Trunk, "noise_suppression"): Filter(), (Trunk, "pbx"): click.Choice(tuple(PRESETS)),
    (Trunk, "transports"): click.Choice(TRANSPORTS), (Trunk, "regions"): Word(),
    (Trunk, "calls_per_second"): click.IntRange(0, 1000),
    (Did, "number"): Number(), (Did, "hours"): Hours(), (Did, "timezone"): TimeZone(), (Did, "holidays"): Day(),
}  # fmt: skip
"""What a field, or each item of a list, has to be beyond its type."""

IDS = {"id", "workspace_id", "trunk_id", "agent_id", "closed_agent_id", "directory"}
HEAD = "# What tenants own.  Change it and say: smartalex apply FILE (with --dry-run first)\n\n"


# ---------------------------------------------------------------------- out


def write(tenancy: Tenancy) -> str:
    return HEAD + tomli_w.dumps(tree(tenancy))


def tree(tenancy: Tenancy) -> dict[str, Any]:
    return {"workspace": [_workspace(workspace, tenancy) for workspace in _by_name(tenancy.workspaces.values())]}


def _by_name(values: Iterable[Any]) -> list[Any]:
    return sorted(values, key=lambda value: str(value.name).lower())


def _workspace(workspace: Workspace, tenancy: Tenancy) -> dict[str, Any]:
    mine = lambda values: _by_name(value for value in values if value.workspace_id == workspace.id)  # noqa: E731
    directory = workspace.directory
    operator = directory.find(directory.operator or "")
    parts = {
        "operator": operator.number if operator else "",
        "agent": [_fields(agent) for agent in mine(tenancy.agents.values())],
        "trunk": [_trunk(trunk, tenancy) for trunk in mine(tenancy.trunks.values())],
        "extension": [_fields(one) for one in sorted(directory.extensions, key=lambda one: (one.number, one.name))],
    }
    return {**_fields(workspace), **{key: value for key, value in parts.items() if value}}


def _trunk(trunk: Trunk, tenancy: Tenancy) -> dict[str, Any]:
    dids = sorted(tenancy.routes_of(trunk.id), key=lambda did: did.number)
    shown = _fields(trunk)
    return {**shown, "did": [_did(did, tenancy) for did in dids]} if dids else shown


def _did(did: Did, tenancy: Tenancy) -> dict[str, Any]:
    shown = {**_fields(did), "agent": tenancy.agents[did.agent_id].name}
    closed = tenancy.agents.get(did.closed_agent_id)
    return {**shown, "closed_agent": closed.name} if closed else shown


def _fields(value: Any) -> dict[str, Any]:
    """By name, those that are not as they always are."""
    shown = {}
    for field in attrs.fields(type(value)):
        held = getattr(value, field.name)
        if field.name not in IDS and held is not None and held != field.default:
            shown[field.name] = list(held) if isinstance(held, tuple) else held
    return shown


# ---------------------------------------------------------------------- in


def read(text: str, known: Tenancy) -> Tenancy:
    """What is to be; what is there under the same name keeps its id, and so its password.

    Raises ConfigurationError naming every mistake, one a line.
    """
    try:
        tree = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(str(error)) from None
    reader = _Reader(known)
    found = reader.all(tree)
    if reader.problems:
        raise ConfigurationError("\n".join(reader.problems))
    return found


class _Reader:
    def __init__(self, known: Tenancy) -> None:
        self.problems: list[str] = []
        self._known = known
        self._taken = {
            kind: set(values)
            for kind, values in (("workspace", known.workspaces), ("agent", known.agents), ("trunk", known.trunks))
        }
        self._taken["extension"] = {one.id for workspace in known.workspaces.values() for one in workspace.directory.extensions}

    def all(self, tree: Mapping[str, Any]) -> Tenancy:
        self._unknown("", tree, {"workspace"})
        workspaces: dict[str, Workspace] = {}
        agents: dict[str, Agent] = {}
        trunks: dict[str, Trunk] = {}
        dids: list[Did] = []
        for where, table in self._tables("", tree, "workspace"):
            ids = {**self._id(table, "workspace"), "directory": Directory()}
            workspace = self._value(where, table, Workspace, {"operator", "agent", "trunk", "extension"}, ids)
            if workspace is None:
                continue
            mine = self._agents(where, table, workspace)
            directory = self._directory(where, table, workspace)
            workspaces[workspace.id] = attrs.evolve(workspace, directory=directory)
            agents.update((agent.id, agent) for agent in mine.values())
            for trunk, numbers in self._trunks(where, table, workspace, mine):
                trunks[trunk.id] = trunk
                dids += numbers
        self._twice("trunk", [trunk.name.lower() for trunk in trunks.values()])
        self._twice("trunks' username", [trunk.username for trunk in trunks.values() if trunk.username])
        self._twice("workspace", [workspace.name.lower() for workspace in workspaces.values()])
        return Tenancy(self._known.revision, workspaces, trunks, dids, agents)

    def _agents(self, where: str, table: Mapping[str, Any], workspace: Workspace) -> dict[str, Agent]:
        found: dict[str, Agent] = {}
        for place, one in self._tables(where, table, "agent"):
            ids = {**self._id(one, "agent", workspace.id), "workspace_id": workspace.id}
            agent = self._value(place, {"first_message": "", **one}, Agent, set(), ids)
            if agent is not None:
                if not agent.first_message and not agent.instructions and "backends" not in one:
                    self.problems.append(f"{place}: an agent needs something to say: first_message or instructions")
                if agent.name.lower() in found:
                    self.problems.append(f"{place}: stands there twice")
                found[agent.name.lower()] = agent
        return found

    def _trunks(
        self, where: str, table: Mapping[str, Any], workspace: Workspace, agents: Mapping[str, Agent]
    ) -> Iterator[tuple[Trunk, list[Did]]]:
        for place, one in self._tables(where, table, "trunk"):
            ids = {**self._id(one, "trunk"), "workspace_id": workspace.id}
            trunk = self._value(place, {"pbx_domain": "", **one}, Trunk, {"did"}, ids)
            if trunk is None:
                continue
            if trunk.digest and not trunk.username:
                old = self._known.trunks.get(trunk.id)
                trunk = attrs.evolve(trunk, username=(old.username if old else "") or new_username())
            if trunk.auth == "ip-allowlist" and not trunk.allowed_sources:
                self.problems.append(f"{place}: without a password a trunk needs allowed_sources")
            yield trunk, list(self._dids(place, one, trunk, agents))

    def _dids(self, where: str, table: Mapping[str, Any], trunk: Trunk, agents: Mapping[str, Agent]) -> Iterator[Did]:
        for place, one in self._tables(where, table, "did", "number"):
            ids: dict[str, Any] = {"trunk_id": trunk.id}
            for key, name in (("agent_id", "agent"), ("closed_agent_id", "closed_agent")):
                agent = agents.get(str(one.get(name, "")).lower())
                if agent is None and (name in one or name == "agent"):
                    self.problems.append(f"{place}: {name} = {one.get(name, '')!r} is no agent of this workspace")
                ids[key] = agent.id if agent else ""
            did = self._value(place, one, Did, {"agent", "closed_agent"}, ids)
            if did is not None:
                if did.hours and not did.closed_agent_id:
                    self.problems.append(f"{place}: who answers out of hours? say closed_agent")
                yield did

    def _directory(self, where: str, table: Mapping[str, Any], workspace: Workspace) -> Directory:
        old = self._known.workspaces.get(workspace.id)
        ids = {(one.number, one.name): one.id for one in old.directory.extensions} if old else {}
        found: list[Extension] = []
        for place, one in self._tables(where, table, "extension", "number"):
            kept = ids.get((str(one.get("number", "")), str(one.get("name", ""))))
            extension = self._value(place, one, Extension, set(), {"id": kept or self._new_id(one, "extension")})
            if extension is not None:
                cells = {
                    "number": extension.number, "display_name": extension.name, "kind": extension.kind, "digit": extension.digit,
                    "availability": extension.availability, "pronunciation": extension.pronunciation,
                    "department": extension.department,
                }  # fmt: skip
                self.problems += [f"{place}: {column}: {problem}" for column, problem in wrong(cells)]
                found.append(extension)
        operator = str(table.get("operator", ""))
        chosen = next((one.id for one in found if one.number == operator), None)
        if operator and chosen is None:
            self.problems.append(f"{where}: operator = {operator!r} is no extension of this workspace")
        return Directory(tuple(found), chosen)

    # ------------------------------------------------------------------ one table

    def _tables(
        self, where: str, tree: Mapping[str, Any], kind: str, name: str = "name"
    ) -> Iterator[tuple[str, Mapping[str, Any]]]:
        """(where it stands, what it says) of each [[kind]]."""
        tables = tree.get(kind, [])
        if not isinstance(tables, list) or not all(isinstance(table, dict) for table in tables):
            self.problems.append(f"{where or 'file'}: {kind} has to be written as [[{kind}]]")
            return
        for number, table in enumerate(tables, 1):
            yield f"{where + ', ' if where else ''}{kind} {table.get(name) or f'number {number}'}", table

    def _value(
        self, where: str, table: Mapping[str, Any], kind: type[Value], parts: set[str], ids: Mapping[str, Any]
    ) -> Value | None:
        """The table as a value, None where something is wrong with it."""
        before = len(self.problems)
        fields = {field.name: field for field in attrs.fields(kind) if field.name not in IDS}
        self._unknown(where, table, set(fields) | parts)
        given: dict[str, Any] = {}
        for name, field in fields.items():
            if name in table:
                given[name] = self._checked(f"{where}: {name}", kind, field, table[name])
            elif field.default is attrs.NOTHING:
                self.problems.append(f"{where}: {name} is missing")
        if len(self.problems) > before:
            return None
        return kind(**given, **ids)

    def _checked(self, where: str, kind: type, field: Any, value: Any) -> Any:
        listed = isinstance(field.default, tuple)
        plain = int if field.name == "max_calls" else str if field.default is attrs.NOTHING else type(field.default)
        if listed and (not isinstance(value, list) or not all(isinstance(item, str) for item in value)):
            self.problems.append(f"{where} has to be a list of texts")
        elif not listed and type(value) is not plain:
            self.problems.append(f"{where} has to be {WORDS[plain]}")
        else:
            check = CHECKS.get((kind, field.name))
            try:
                if check is None:
                    return tuple(value) if listed else value
                if field.name == "codecs":
                    return check.convert(",".join(value), None, None)
                return tuple(check.convert(item, None, None) for item in value) if listed else check.convert(value, None, None)
            except click.BadParameter as error:
                self.problems.append(f"{where}: {error.message}")
        return None

    def _unknown(self, where: str, table: Mapping[str, Any], known: set[str]) -> None:
        for name in sorted(set(table) - known):
            self.problems.append(f"{where or 'file'}: there is no {name!r}; there are: {', '.join(sorted(known))}")

    def _twice(self, what: str, names: list[str]) -> None:
        for name in sorted({name for name in names if names.count(name) > 1}):
            self.problems.append(f"{what} {name!r} stands there twice")

    # ------------------------------------------------------------------ ids

    def _id(self, table: Mapping[str, Any], kind: str, workspace_id: str = "") -> dict[str, Any]:
        """That of what has the same name now, or a new one."""
        values: Mapping[str, Any] = {
            "workspace": self._known.workspaces, "agent": self._known.agents, "trunk": self._known.trunks,
        }[kind]  # fmt: skip
        name = str(table.get("name", "")).lower()
        for key, value in values.items():
            if value.name.lower() == name and (not workspace_id or value.workspace_id == workspace_id):
                return {"id": key}
        return {"id": self._new_id(table, kind)}

    def _new_id(self, table: Mapping[str, Any], kind: str) -> str:
        made = new_id(str(table.get("name", "")), self._taken[kind])
        self._taken[kind].add(made)
        return made


WORDS: Mapping[type, str] = {int: "a whole number", str: 'text in "quotes"', bool: "true or false"}
