"""`smartalex trunks`: who may call."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from ipaddress import ip_network
from typing import Any

import attrs
import click

from smartalex.cli import registration
from smartalex.cli.doctor import doctor
from smartalex.cli.policy import policy_options, with_policy
from smartalex.cli.registration import register_options, wanted
from smartalex.cli.setup import node_of, say_setup
from smartalex.cli.state import (
    columns,
    confirmed,
    json_option,
    of_workspace,
    opened,
    settings,
    settle,
    show_json,
    state_options,
    unknown,
    workspace_of,
    yes_option,
)
from smartalex.cli.values import Authenticator, Host, Source, Word
from smartalex.sip.registration import Identity
from smartalex.store.credentials import new_username
from smartalex.store.state import State, health, registrations, running
from smartalex.tenants import presets
from smartalex.tenants.presets import PRESETS
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy


@click.group(invoke_without_command=True)
@state_options
@json_option
@of_workspace
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the trunks, or add, change and remove one.

    A trunk is your PBX or carrier as the platform knows it: by digest credentials, by its addresses, or both.
    A running platform sees every change within a second; calls in progress go on.

    \b
      smartalex trunks add office --pbx-domain pbx.example.com
      smartalex dids add +27215550100 --trunk office --agent alex
    """
    if context.invoked_subcommand is None:
        show_all(state, config, workspace, as_json)


@command.command("list")
@of_workspace
@state_options
@json_option
def listing(state: str | None, config: str | None, *, workspace: str | None, as_json: bool) -> None:
    """List the trunks, as the command alone does."""
    show_all(state, config, workspace, as_json)


def show_all(state: str | None, config: str | None, workspace: str | None, as_json: bool) -> None:
    here = opened(state, config)
    tenancy, seen = here.repository.tenancy(), _seen(here)
    owners = {workspace_of(tenancy, workspace).id} if workspace else set(tenancy.workspaces)
    rows = [described(trunk, tenancy, seen(trunk)) for trunk in tenancy.trunks.values() if trunk.workspace_id in owners]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("no trunks yet; make one with: smartalex trunks add NAME")
    else:
        several = len(owners) > 1
        for line in columns(
            [_with("WORKSPACE", HEAD, several), *(_with(row["workspace"], _cells(row), several) for row in rows)]
        ):
            click.echo(line)
        for name in sorted(here.repository.records.keys_in_clear() & {row["trunk"] for row in rows}):
            click.echo(f"! {name}: the SRTP keys of its calls went over UDP or TCP, where they can be read; let it call over TLS")


def _with(workspace: str, cells: tuple[str, ...], several: bool) -> tuple[str, ...]:
    return (*cells[:1], workspace, *cells[1:]) if several else cells


HEAD = ("TRUNK", "STATE", "CALLS", "KNOWN BY", "USERNAME", "FROM", "PBX DOMAIN", "PBX", "REGISTERED", "DIDS")


@attrs.frozen
class Seen:
    """What is known of a trunk beside its settings: by the running platform, and where its PBX has registered from."""

    in_progress: int = 0
    pbx: dict[str, Any] | None = None
    registration: dict[str, Any] | None = None
    contacts: list[dict[str, Any]] = attrs.field(factory=list)


def _seen(here: State) -> Callable[[Trunk], Seen]:
    now, known, registered = time.time(), health(here.folder), registrations(here.folder)
    busy = here.repository.records.in_progress() if running(here.folder) else {}
    bindings: dict[str, list[dict[str, Any]]] = {}
    for row in here.repository.bindings():
        bindings.setdefault(row["trunk"], []).append(row)
    return lambda trunk: Seen(
        busy.get(trunk.name, 0),
        known.get(trunk.name),
        registered.get(trunk.name),
        registration.contacts(bindings.get(trunk.id, ()), now),
    )


def described(trunk: Trunk, tenancy: Tenancy, seen: Seen | None = None) -> dict[str, Any]:
    """A trunk as --json shows it."""
    row = attrs.asdict(trunk, filter=attrs.filters.exclude("id", "workspace_id", "name", "active"))
    row["pbx_type"] = row.pop("pbx")
    numbers = [did.number for did in tenancy.routes_of(trunk.id)]
    state = "active" if trunk.active else "suspended"
    owner = tenancy.workspaces[trunk.workspace_id].name
    return {"trunk": trunk.name, "workspace": owner, "state": state, **row, **attrs.asdict(seen or Seen()), "dids": numbers}


def _cells(row: dict[str, Any]) -> tuple[str, ...]:
    return (
        row["trunk"],
        row["state"],
        f"{row['in_progress']}/{row['max_calls']}",
        KNOWN_BY.get(row["auth"], row["auth"]),
        row["username"] or "-",
        " ".join(row["allowed_sources"]) or "anywhere",
        row["pbx_domain"] or "(its address)",
        _heard(row["pbx"]),
        registration.state(row, time.time()),
        _few(row["dids"]),
    )


def _few(numbers: list[str]) -> str:
    more = f" and {len(numbers) - SHOWN} more" if len(numbers) > SHOWN else ""
    return (" ".join(numbers[:SHOWN]) or "none") + more


SHOWN = 6


def _heard(pbx: dict[str, Any] | None) -> str:
    """What its OPTIONS came to."""
    if pbx is None or pbx["state"] == "unknown":
        return "-"
    return f"up, {pbx['latency_ms']} ms" if pbx["state"] == "up" else f"down: {pbx['detail']}"


KNOWN_BY = {
    "digest": "password", "ip-allowlist": "address", "both": "password+address", "registration": "registration",
}  # fmt: skip

pbx_option = click.option(
    "--pbx",
    type=click.Choice(tuple(PRESETS)),
    help="Which PBX it is: what it needs is filled in, and smartalex trunks setup says what to type there (default generic).",
)
DOMAIN_HELP = "Transfers go to sip:EXTENSION@HOST (default: where the call came from)."
domain_option = click.option("--pbx-domain", type=Host(), metavar="HOST", help=DOMAIN_HELP)
limit_option = click.option("--max-calls", type=click.IntRange(1, 1000), metavar="N", help="Calls at a time (default 10).")
AUTH_HELP = "What it is known by, if not --allow and password: registration, or a plugin (NAME:KEY=VALUE)."
auth_option = click.option("--auth", type=Authenticator(), metavar="SPEC", help=AUTH_HELP)
username_option = click.option("--username", type=Word(), metavar="U", help="Digest username (default: generated).")


@command.command()
@click.argument("name", type=Word())
@click.option("--allow", multiple=True, type=Source(), metavar="CIDR", help="Calls must come from here; repeatable.")
@click.option("--no-digest", is_flag=True, help="No password: known by --allow alone.")
@auth_option
@domain_option
@username_option
@limit_option
@register_options
@policy_options
@pbx_option
@click.option("--workspace", metavar="NAME", help="Whose trunk it is, where there are several workspaces.")
@state_options
@json_option
def add(
    name: str,
    *,
    pbx: str | None,
    allow: tuple[str, ...],
    no_digest: bool,
    auth: str | None,
    pbx_domain: str | None,
    username: str | None,
    max_calls: int | None,
    workspace: str | None,
    state: str | None,
    config: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Connect a PBX.  Prints its username and a password of 24 characters, this once, and what to type into the PBX.

    \b
    By password, from anywhere:      smartalex trunks add office --pbx-domain pbx.example.com --pbx 3cx
    By password and address:         smartalex trunks add office --allow 192.0.2.10
    By address alone:                smartalex trunks add carrier --allow 192.0.2.0/28 --no-digest
    As an extension of the PBX:      smartalex trunks add desk --register sip:300@192.0.2.10 --allow 192.0.2.10 --no-digest
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    if any(trunk.name.lower() == name.lower() for trunk in tenancy.trunks.values()):
        raise click.ClickException(f"there is a trunk {name!r} already; change it with: smartalex trunks set {name}")
    owner = workspace_of(tenancy, workspace)
    sources = tuple(dict.fromkeys(allow))
    plain = Trunk(
        name,
        owner.id,
        name,
        pbx_domain or "",
        auth=auth or auth_of(not no_digest, sources),
        allowed_sources=sources,
        max_calls=max_calls or 10,
    )
    if plain.digest and no_digest:
        raise click.UsageError(f"--auth {auth} needs a password; leave --no-digest out")
    plain = attrs.evolve(plain, username=(username or new_username()) if plain.digest else "")
    check(plain, tenancy)
    registering = wanted(given)
    trunk = PRESETS[pbx or "generic"].filled(with_policy(registering.applied(plain), given))
    password = here.repository.add_trunk(trunk, settings(state, config).sip.realm, registering.password)
    settle(here)
    tell(trunk, tenancy, password, as_json)
    if not as_json:
        if not trunk.register:
            say_setup(trunk, node_of(here, settings(state, config)), "", "the password above")
        number, agent = _extension(trunk) or "NUMBER", next(iter(tenancy.agents), "NAME")
        click.echo(f"Next, its numbers: smartalex dids add {number} --trunk {name} --agent {agent}")


@command.command("set")
@click.argument("name")
@click.option("--allow", multiple=True, type=Source(), metavar="CIDR", help="Add to where calls may come from; repeatable.")
@click.option("--disallow", multiple=True, type=Source(), metavar="CIDR", help="Take from where calls may come from; repeatable.")
@click.option("--digest/--no-digest", default=None, help="With a password (a new one is printed), or without.")
@click.option("--activate/--suspend", default=None, help="Take its calls, or refuse them (403).")
@auth_option
@domain_option
@username_option
@limit_option
@register_options
@policy_options
@pbx_option
@click.option("--any-transport", is_flag=True, help="It may call over all transports of the node.")
@click.option("--no-regions", is_flag=True, help="Served in any region.")
@click.option("--no-refer-targets", is_flag=True, help="Forget every --refer-target.")
@click.option("--no-register", is_flag=True, help="Register there no more, and forget its password.")
@state_options
@json_option
def change(
    name: str,
    *,
    pbx: str | None,
    allow: tuple[str, ...],
    disallow: tuple[str, ...],
    digest: bool | None,
    activate: bool | None,
    auth: str | None,
    pbx_domain: str | None,
    username: str | None,
    max_calls: int | None,
    state: str | None,
    config: str | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Change a trunk; what is not given stays.  A new --username gets a new password, printed once.

    \b
      smartalex trunks set office --allow 192.0.2.11 --max-calls 30
      smartalex trunks set office --suspend
      smartalex trunks set office --register-password-stdin < new-password
    """
    asked = [
        value
        for value in (auth, pbx, allow, disallow, username, pbx_domain, max_calls, *given.values())
        if value not in (None, False, ())
    ]
    flags = (digest, activate, *(given[name] for name in ("codecs", "record", "calls_per_second", "follow_redirects")))
    if not asked and all(flag is None for flag in flags):
        raise click.UsageError("say what to change; see: smartalex trunks set --help")
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    old = trunk_named(tenancy, name)
    absent = [source for source in disallow if source not in old.allowed_sources]
    if absent:
        raise unknown("allowed source", absent[0], old.allowed_sources, f"trunk {old.name} is not bound to addresses")
    sources = tuple(dict.fromkeys((*(s for s in old.allowed_sources if s not in disallow), *allow)))
    if auth and digest is not None:
        raise click.UsageError("--auth says whether there is a password; leave --digest and --no-digest out")
    kept = old.auth if old.auth not in USUAL and digest is None else None
    wants_digest = attrs.evolve(old, auth=auth or old.auth).digest if digest is None else digest
    if username and not wants_digest:
        raise click.UsageError(f"trunk {old.name} has no password; give --digest with --username")
    plain = attrs.evolve(
        old,
        allowed_sources=sources,
        auth=auth or kept or auth_of(wants_digest, sources),
        pbx_domain=pbx_domain or old.pbx_domain,
        username=(username or old.username or new_username()) if wants_digest else "",
        max_calls=max_calls or old.max_calls,
        active=old.active if activate is None else activate,
        pbx=pbx or old.pbx,
    )
    check(plain, tenancy)
    registering = wanted(given)
    new = with_policy(registering.applied(plain), given)
    password = here.repository.change_trunk(old, new, settings(state, config).sip.realm, registering.password)
    settle(here)
    tell(new, tenancy, password, as_json)


@command.command()
@click.argument("name")
@click.option("--number", default="", metavar="NUMBER", help="The number that the PBX is to call (default: the trunk's first).")
@state_options
@json_option
def setup(name: str, *, number: str, state: str | None, config: str | None, as_json: bool) -> None:
    """What to type into the PBX for this trunk, by its own screens; --pbx of the trunk says which PBX it is.

    \b
      smartalex trunks set office --pbx 3cx
      smartalex trunks setup office
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    trunk = trunk_named(tenancy, name)
    called = number or next((did.number for did in tenancy.routes_of(trunk.id) if not did.number.endswith("*")), "")
    node = node_of(here, settings(state, config))
    if as_json:
        for screen, lines in presets.setup(trunk, node, called):
            for field, value in lines:
                show_json({"screen": screen, "field": field, "value": value})
    else:
        say_setup(trunk, node, called)


@command.command()
@click.argument("name")
@yes_option
@state_options
@json_option
def remove(name: str, *, yes: bool, state: str | None, config: str | None, as_json: bool) -> None:
    """Remove a trunk, its DIDs and its password.  Records of its calls stay.

    \b
      smartalex trunks remove office --yes
    """
    here = opened(state, config)
    tenancy = here.repository.tenancy()
    trunk = trunk_named(tenancy, name)
    numbers = [did.number for did in tenancy.routes_of(trunk.id)]
    confirmed(f"remove trunk {trunk.name} with its password and {len(numbers)} numbers", yes)
    here.repository.remove_trunk(trunk)
    settle(here)
    if as_json:
        show_json({"removed": trunk.name, "dids": numbers})
    else:
        click.echo(f"trunk {trunk.name} is removed" + (f", with its DIDs {' '.join(numbers)}" if numbers else ""))


command.add_command(doctor)


def trunk_named(tenancy: Tenancy, name: str) -> Trunk:
    """The trunk of this name, else the error with near names."""
    for trunk in tenancy.trunks.values():
        if trunk.name.lower() == name.lower():
            return trunk
    raise unknown("trunk", name, (t.name for t in tenancy.trunks.values()), "make one with: smartalex trunks add NAME")


USUAL = ("digest", "ip-allowlist", "both")
"""What --allow and the password make of it."""


def auth_of(digest: bool, sources: Iterable[str]) -> str:
    if not digest and not sources:
        raise click.UsageError("without a password a trunk needs at least one --allow CIDR")
    return ("both" if sources else "digest") if digest else "ip-allowlist"


def check(trunk: Trunk, tenancy: Tenancy) -> None:
    """What would make two trunks one, or one everybody's, is refused."""
    others = [t for t in tenancy.trunks.values() if t.id != trunk.id]
    for other in others:
        if trunk.username and trunk.username == other.username:
            raise click.ClickException(f"username {trunk.username!r} belongs to trunk {other.name}; choose another")
    if trunk.auth == "ip-allowlist" and not trunk.allowed_sources:
        raise click.UsageError("without a password a trunk needs at least one --allow CIDR")
    everybody = [source for source in trunk.allowed_sources if source.endswith("/0")]
    if everybody and not trunk.digest:
        raise click.ClickException(f"{everybody[0]} without a password would let everybody call")


def overlaps(trunk: Trunk, tenancy: Tenancy) -> Iterator[tuple[str, Trunk]]:
    """Networks of the trunk that another one is known by, too, and that one."""
    mine = [ip_network(source) for source in trunk.allowed_sources if trunk.auth == "ip-allowlist"]
    for other in tenancy.trunks.values() if mine else ():
        if other.id != trunk.id and other.auth == "ip-allowlist":
            theirs = [ip_network(source) for source in other.allowed_sources]
            shared = [net for net in mine if any(net.version == one.version and net.overlaps(one) for one in theirs)]
            if shared:
                yield str(shared[0]), other


def tell(trunk: Trunk, tenancy: Tenancy, password: str | None, as_json: bool) -> None:
    """The trunk as it is now; `password` only when it was just made."""
    for net, other in overlaps(trunk, tenancy):
        click.echo(
            f"! {net} is how trunk {other.name} is known, too: the number called decides whose call it is; one that both have"
            " is refused",
            err=True,
        )
    if as_json:
        show_json({**described(trunk, tenancy), **({"password": password} if password else {})})
        return
    click.echo(f"trunk {trunk.name}{'' if trunk.active else ' (suspended)'}")
    if trunk.auth not in USUAL:
        click.echo(f"  known by   {trunk.auth}")
    if trunk.digest:
        click.echo(f"  username   {trunk.username}")
    if password:
        click.echo(f"  password   {password}   (shown this once; a new one: smartalex secret rotate {trunk.name})")
    click.echo(f"  calls from {' '.join(trunk.allowed_sources) or 'anywhere'}, up to {trunk.max_calls} at a time")
    click.echo(f"  transfers  to sip:EXTENSION@{trunk.pbx_domain or '(the address the call came from)'}")
    _policy(trunk)
    if trunk.register:
        click.echo(f"  registers  as {trunk.register}, for {trunk.register_expires_s} s at a time")
    if trunk.register and not trunk.allowed_sources:
        click.echo("             (few PBXs have a password for calling their own extension: let its address in with --allow)")


def _policy(trunk: Trunk) -> None:
    if trunk.pbx != "generic":
        click.echo(f"  is         {PRESETS[trunk.pbx].title}")
    if trunk.transports:
        click.echo(f"  comes over {', '.join(trunk.transports).upper()} and nothing else")
    if trunk.calls_per_second:
        click.echo(f"  begins     at most {trunk.calls_per_second} calls a second")
    if trunk.regions:
        follows = "is sent there (302)" if trunk.follow_redirects else "stays where it calls"
        click.echo(f"  served     in {', '.join(trunk.regions)}; {follows}")
    if trunk.codecs or trunk.ptime_ms != 20:
        click.echo(f"  speaks     {', '.join(trunk.codecs) or 'the codecs of the node'}, in packets of {trunk.ptime_ms} ms")
    if trunk.dtmf != "rfc4733":
        click.echo("  keys       as RTP events, by SIP INFO, or as tones")
    if trunk.noise_suppression:
        click.echo(f"  heard      through {trunk.noise_suppression}")
    if trunk.record:
        click.echo("  recorded   where the node has a place for it (recordings.sink)")
    if trunk.srtp != "off":
        click.echo(f"  audio      by SRTP, {trunk.srtp} (keys in SDP are as secret as the signalling: let it call over TLS)")
    if trunk.client_certificate:
        click.echo(f"  proves     to be {trunk.client_certificate} by a TLS certificate")
    if trunk.stir != "off":
        click.echo(f"  identity   of callers by STIR: {trunk.stir}")
    if trunk.refer_targets:
        click.echo(f"  may refer  the agent to {' '.join(trunk.refer_targets)}")


def _extension(trunk: Trunk) -> str:
    """The number that the PBX calls us by where we register, else ''."""
    return Identity.of(trunk.register).address.user_text if trunk.register else ""
