"""`smartalex trunk doctor NAME`: what is the matter with the way to a PBX and back."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from ipaddress import ip_address, ip_network
from typing import Any

import attrs
import click
from twisted.internet.defer import Deferred, gatherResults
from twisted.internet.threads import deferToThreadPool

from smartalex.cli.registration import contacts
from smartalex.cli.setup import node_of
from smartalex.cli.state import json_option, opened, settings, show_json, state_options
from smartalex.config import Config
from smartalex.doctor import handshake
from smartalex.doctor.checks import Finding, as_json, findings, healthy
from smartalex.doctor.facts import Facts, Tls, Tried, Way
from smartalex.doctor.history import past
from smartalex.doctor.lookup import look_up
from smartalex.doctor.probe import Caller, Probe
from smartalex.errors import RemoteError
from smartalex.sip.digest import Secret
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.registration import Identity
from smartalex.sip.tls import TlsClient
from smartalex.sip.uri import Uri
from smartalex.store import credentials
from smartalex.store.state import State, asked_at, health, registrations, running
from smartalex.tenants.presets import PRESETS
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy

CALLS = 1000
"""Of the newest calls, those of this trunk are looked at."""

TARGETS = 4


@click.command()
@click.argument("name")
@click.option("--call", "to", metavar="EXT", help="Place a test call to this extension, best one that echoes, or sip:USER@HOST.")
@click.option("--refer", metavar="EXT", help="At the end of the test call, ask to be transferred to this extension.")
@state_options
@json_option
def doctor(name: str, *, to: str | None, refer: str | None, state: str | None, config: str | None, as_json: bool) -> None:
    """Examine the whole way to a trunk's PBX and back, and say which line of its settings to change.

    Looked at are DNS, TLS, OPTIONS in both directions, registration, and the calls that were: their records and messages.
    With --call a test call is placed as well: codec, SRTP, hold, session refresh, keys each way, and whether the audio
    comes back.  Nothing is transferred unless --refer says so.

    \b
      smartalex trunk doctor office
      smartalex trunk doctor office --call 600 --refer 301

    Exit status: 0 when nothing is bad, 1 otherwise.
    """
    from smartalex.cli.trunks import trunk_named  # noqa: PLC0415  (which has this among its commands)

    if refer and not to:
        raise click.UsageError("--refer needs a test call: give --call as well")
    here = opened(state, config)
    tenancy, chosen = here.repository.tenancy(), settings(state, config)
    trunk = trunk_named(tenancy, name)
    visit = Visit(here, chosen, tenancy, trunk)
    target = visit.target(to) if to else None
    from smartalex import tap  # noqa: PLC0415  (loads the whole service, and not for --help)

    async def main(reactor: Any) -> int:
        facts = await visit.examine(reactor, target, refer)
        found = list(findings(facts))
        show(trunk, found, as_json)
        return 0 if healthy(found) else 1

    tap.react(main)


def show(trunk: Trunk, found: list[Finding], plain: bool) -> None:
    """The table: level, check and what was seen; below, what to change."""
    if plain:
        for one in found:
            show_json(dict(as_json(trunk.name, one)))
        return
    click.echo(f"trunk {trunk.name}, {PRESETS.get(trunk.pbx, PRESETS['generic']).title}\n")
    width = max(len(one.check) for one in found)
    for one in found:
        click.echo(f"{one.level:<4}  {one.check.ljust(width)}  {_printable(one.seen)}")
        if one.change:
            click.echo(f"{'':<4}  {''.ljust(width)}  -> {_printable(one.change)}")
    counted = {level: sum(one.level == level for one in found) for level in ("ok", "warn", "bad", "-")}
    click.echo(f"\n{counted['ok']} ok, {counted['warn']} to look at, {counted['bad']} bad, {counted['-']} not to be seen")


def _printable(text: str) -> str:
    """What the PBX wrote is for no terminal to obey."""
    return "".join(c if c.isprintable() else "?" for c in text)


class Visit:
    """One examination of one trunk."""

    def __init__(self, here: State, config: Config, tenancy: Tenancy, trunk: Trunk) -> None:
        self._here = here
        self._config = config
        self._tenancy = tenancy
        self._trunk = trunk
        self._now = time.time()
        bindings = [row for row in here.repository.bindings() if row["trunk"] == trunk.id and row["expires_at"] > self._now]
        self._bindings = list(reversed(bindings))
        self._rows = here.repository.records.calls(CALLS)

    # ------------------------------------------------------------------ where it is

    def target(self, text: str) -> Uri:
        """Of a test call; ends the command where it is none."""
        given = text if text.startswith(("sip:", "sips:")) or "@" not in text else f"sip:{text}"
        try:
            uri = Uri.parse(given if "@" in given else f"sip:{given}@{self._home().host or 'nowhere.invalid'}")
        except RemoteError:
            raise click.UsageError(f"--call {text!r} is no extension and no SIP address") from None
        if "@" in given:
            return uri
        home = self._home()
        return attrs.evolve(uri, scheme=home.scheme, port=home.port, params=home.params)

    def _home(self) -> Uri:
        return next((uri for _, uri in self._homes()), Uri("sip"))

    def _homes(self) -> Iterator[tuple[str, Uri]]:
        """(why, where), as far as it is known, best first."""
        trunk = self._trunk
        if trunk.pbx_domain:
            yield "its domain", self._over(Uri.parse(f"sip:{trunk.pbx_domain}"))
        if trunk.register:
            yield "its registrar", Identity.of(trunk.register).registrar
        for row in self._bindings:
            contact = NameAddr.parse(row["contact"]).uri
            transport, host, port = row["source"].split(" ")
            kept = (("transport", transport),) if transport != "udp" else ()
            yield "where it registered from", Uri("sip", contact.user, None, _bracketed(host), int(port), kept)
        for row in self._rows:
            if row["trunk"] == trunk.name and row["direction"] == "inbound":
                host, _, port = row["source"].rpartition(":")
                over = (("transport", row["transport"]),) if row["transport"] != "udp" else ()
                yield "where it called from", Uri("sip", None, None, _bracketed(host), None if over else int(port), over)
        for source in trunk.allowed_sources:
            net = ip_network(source)
            if net.num_addresses == 1:
                yield "where it may call from", self._over(Uri("sip", None, None, _bracketed(str(net.network_address))))

    def _over(self, uri: Uri) -> Uri:
        """A trunk that speaks TLS only is asked by TLS."""
        wanted = self._trunk.transports
        return (
            uri.with_params(("transport", wanted[0])) if wanted and "udp" not in wanted and wanted[0] in ("tcp", "tls") else uri
        )

    # ------------------------------------------------------------------ looking

    async def examine(self, reactor: Any, to: Uri | None, refer: str | None) -> Facts:
        by, home = next(iter(self._homes()), ("", None))
        supported = self._config.sip.transports
        way = Way("", "") if home is None else await look_up(reactor, home, by, supported, secrets.randbelow)
        facts = self._known(way)
        tls = [self._shaken(reactor, peer, way.domain) for peer in way.targets[:TARGETS] if peer.transport == "tls"]
        facts = attrs.evolve(facts, tls=tuple(await gatherResults(tls, consumeErrors=True)), ours=self._ours(facts))
        probe = Probe(reactor, self._caller())
        try:
            if home is not None:
                asked = [await probe.ask(attrs.evolve(home, user=None), peer, way.domain) for peer in way.targets[:TARGETS]]
                facts = attrs.evolve(facts, options=tuple(asked))
            if to is not None:
                facts = await self._called(reactor, probe, facts, to, refer)
        finally:
            await probe.close()
        return facts

    async def _called(self, reactor: Any, probe: Probe, facts: Facts, to: Uri, refer: str | None) -> Facts:
        answering = [one.peer for one in facts.options if one.status is not None]
        if to.host == facts.way.domain:
            peers: tuple[Peer, ...] = tuple(answering) or facts.way.targets
        else:
            peers = (await look_up(reactor, to, "--call", self._config.sip.transports, secrets.randbelow)).targets
        if not peers:
            return attrs.evolve(facts, call=Tried(str(to), 0, f"{to.host} leads nowhere"))
        target = f"sip:{refer}@{self._trunk.pbx_domain or to.host}" if refer and "@" not in refer else refer or ""
        return attrs.evolve(facts, call=await probe.call(to, peers, to.host, target))

    def _known(self, way: Way) -> Facts:
        """Without asking anybody but the store, and files of the running platform."""
        here, trunk, records = self._here, self._trunk, self._here.repository.records
        node = node_of(here, self._config)
        hosts = self._hosts(way)
        heard = [at for host, at in asked_at(here.folder).items() if self._is(host, hosts)]
        return Facts(
            trunk, node, self._now, running(here.folder), way, trunk.codecs or node.codecs,
            number=next((did.number for did in self._tenancy.routes_of(trunk.id) if not did.number.endswith("*")), ""),
            health=health(here.folder).get(trunk.name),
            registration=registrations(here.folder).get(trunk.name),
            contacts=tuple(contacts(self._bindings, self._now)),
            asked_at=max(heard, default=None),
            past=past(self._rows, trunk, hosts, records.call, records.trace),
        )  # fmt: skip

    def _hosts(self, way: Way) -> frozenset[str]:
        """Single addresses that are surely the PBX's."""
        alone = {str(net.network_address) for net in map(ip_network, self._trunk.allowed_sources) if net.num_addresses == 1}
        called = {row["source"].rpartition(":")[0] for row in self._rows if row["trunk"] == self._trunk.name}
        bound = {row["source"].split(" ")[1] for row in self._bindings}
        return frozenset(alone | called | bound | {peer.host for peer in way.targets})

    def _is(self, host: str, hosts: frozenset[str]) -> bool:
        if host in hosts:
            return True
        address = ip_address(host.partition("%")[0])
        return any(address in ip_network(source) for source in self._trunk.allowed_sources)

    def _shaken(self, reactor: Any, peer: Peer, domain: str) -> Deferred[Tls]:
        shake = handshake.shake
        return deferToThreadPool(reactor, reactor.getThreadPool(), shake, peer, domain, self._config.sip.tls_roots, self._chain())

    def _chain(self) -> tuple[str, str]:
        sip, folder = self._config.sip, self._here.folder
        return sip.tls_certificate or str(self._here.certificate), sip.tls_key or str(folder / "tls.key")

    def _ours(self, facts: Facts) -> Any:
        preset = PRESETS.get(self._trunk.pbx)
        by_tls = "tls" in self._trunk.transports or (preset is not None and preset.transport == "tls") or bool(facts.tls)
        certificate, _ = self._chain()
        return handshake.own(self._here.certificate.parent / certificate, facts.node.host) if by_tls else None

    def _caller(self) -> Caller:
        trunk, config = self._trunk, self._config
        context = TlsClient(config.sip.tls_roots, *self._chain())
        plain = Caller(trunk, trunk.codecs or config.rtp.codecs, config.rtp.port_range, context=context)
        if not trunk.register:
            return plain
        address = Identity.of(trunk.register).address
        try:
            secret = credentials.read_register(self._here.repository.vault, trunk.id)
        except KeyError:
            secret = Secret()
        return attrs.evolve(plain, address=address, user=trunk.register_user or address.user_text, secret=secret)


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host.strip("[]") else host
