"""Everything put together: from a configuration to a service that answers calls."""

from __future__ import annotations

import errno
import gc
import json
import os
import secrets
import signal
import time
from collections.abc import Callable, Collection, Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any, cast

from twisted.application.service import Service
from twisted.internet.defer import Deferred, DeferredList, maybeDeferred
from twisted.internet.error import CannotListenError
from twisted.internet.interfaces import IReactorTime
from twisted.internet.task import LoopingCall
from twisted.internet.threads import deferToThreadPool
from twisted.logger import Logger
from twisted.python.failure import Failure
from twisted.python.threadpool import ThreadPool

from smartalex import plugins
from smartalex.ai.options import ConversationOptions
from smartalex.ai.prompts import PromptBook, primary
from smartalex.ai.turn import Pace
from smartalex.auth import ground
from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.auth.digest import DigestAuthenticator
from smartalex.auth.identity import identity
from smartalex.calls.admission import Admission
from smartalex.calls.ban_keeping import BanKeeping
from smartalex.calls.bans import Bans
from smartalex.calls.call import CallOptions, Plant
from smartalex.calls.health import RegionHealth, TrunkHealth
from smartalex.calls.heard import OptionsHeard
from smartalex.calls.limits import Bounds, Limits
from smartalex.calls.listening import Recordings
from smartalex.calls.message import MessageLimits, MessageSounds
from smartalex.calls.registrar import Clocks, TrunkBindings
from smartalex.calls.registrations import Ground, Registrations
from smartalex.calls.stir import CertificateSource, Verifier, trust_anchors
from smartalex.calls.switchboard import Records, Switchboard, Voices
from smartalex.calls.tracing import Tracing
from smartalex.calls.trust import Trust
from smartalex.config import Config
from smartalex.counters import Counters
from smartalex.errors import ConfigurationError, SmartAlexError
from smartalex.interfaces import AuthAttempt, IAuthenticator, IVoiceDetector
from smartalex.media.recording import Recorder
from smartalex.media.seams import audio_filters, recording_sink, voice_detectors
from smartalex.media.tone import beep
from smartalex.regions.nameserver import Datagrams, NameServer, Streams
from smartalex.regions.setting import regions_of, zone_of
from smartalex.rtp import compiled
from smartalex.rtp.dtls import Identity
from smartalex.rtp.plane import MediaPlane, PlaneOptions
from smartalex.sip.budget import BudgetLimits
from smartalex.sip.digest import NonceSource
from smartalex.sip.headers import Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.resolver import Locator
from smartalex.sip.session_timer import SessionTimer
from smartalex.sip.timers import TimerQueue
from smartalex.sip.tls import TlsClient
from smartalex.sip.trace import TraceBook
from smartalex.sip.transport import TransportOptions, Transports
from smartalex.sip.ua import UserAgent, UserAgentOptions
from smartalex.store.bans import BanBook
from smartalex.store.certificate import CertificateFiles
from smartalex.store.contact import Contact
from smartalex.store.engine import unreachable, what_it_said
from smartalex.store.leases import LeaseKeeping, Leases, redis_asker
from smartalex.store.messages import MessageBox
from smartalex.store.presence import SEEN_S
from smartalex.store.state import ASKED_FILE, HEALTH_FILE, REGIONS_FILE, REGISTRATIONS_FILE, State, open_state
from smartalex.store.tenancy import Pause, Rests, at_once
from smartalex.store.writer import JournalWriter
from smartalex.tenants.agent import Agent
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy
from smartalex.web.status import site

Announce = Callable[[dict[str, Any]], None]
RELOAD_S = 0.5
TIDY_S, UNTIDY_S, QUIET = 60.0, 3600.0, 100

REMEDIES = {
    errno.EACCES: "ports below 1024 need a privilege; choose another {option}",
    errno.EADDRNOTAVAIL: "its host is no address of this machine",
}


class SmartAlexService(Service):
    """One node.  `announce` gets a dict of addresses once calls are taken."""

    log = Logger()

    def __init__(self, reactor: Any, config: Config, announce: Announce = lambda ready: None) -> None:
        self.reactor = reactor
        self.config = config
        self.exit_status = 0
        self.ready = False
        self.counters = Counters()
        self._announce = announce
        self._pool = ThreadPool(1, 8, "store")
        self._recorder = Recorder(reactor.callFromThread)
        self._factories: dict[str, Any] = {}
        self._prepared: Mapping[str, Agent] = {}
        self._spoken: set[tuple[int, str, str]] = set()
        self._nonces = NonceSource(secrets.token_bytes(32), config.sip.nonce_lifetime_s)
        self._reload = LoopingCall(self._look_for_changes)
        self._reload.clock = reactor
        self._seen = LoopingCall(self._say_so)
        self._seen.clock = reactor
        self._tidying = LoopingCall(self._tidy)
        self._tidying.clock = reactor
        self._untidy_s = 0.0
        self._http: Any = None
        self._names: list[Any] = []
        self._leases: LeaseKeeping | None = None
        self._complaint = ""
        self._media_path = compiled.state()

    # ------------------------------------------------------------------ starting

    def privilegedStartService(self) -> None:
        """Open the state, settle the records of the last run, bind the ports; raises SystemExit with one sentence."""
        try:
            self.state: State = open_state(self.config)
            self._writer = JournalWriter(
                self.state.journal, self.state.repository.records, self._defer, self.reactor, self.counters, self._begin_run
            )
            self._met()
            self._build()
            self._guard()
            self._share()
            self._listen()
        except SmartAlexError as error:
            raise SystemExit(f"smartalex: {error}") from None

    def _met(self) -> None:
        """Whether the database was there, and what was left for it."""
        state, store = self.state, self.config.store
        self.contact = Contact(store.cache_lifetime_s, time.monotonic, self._defer, state.repository.engine, state.picture)
        self._source = state.known
        if state.known is state.repository:
            self._writer.start()
            return
        age_s = (state.picture.age_s() if state.picture is not None else None) or 0.0
        self.contact.start_from_picture(age_s)
        self.log.warn("the database cannot be reached; starting from what was known {seconds:.0f} s ago", seconds=age_s)
        self._writer.start(budget_s=0)

    def _begin_run(self) -> None:
        """What the last run left is in the database."""
        cut = self.state.presence.begin(time.time())
        if cut:
            self.log.warn("{cut} calls were cut when the service last stopped; they are marked 'interrupted'", cut=cut)

    def startService(self) -> None:
        super().startService()
        self._pool.start()
        self.plane.start()
        self.bindings.start()
        self._reload.start(RELOAD_S, now=False)
        self._seen.start(SEEN_S, now=False)
        self._bans.start()
        if self._leases is not None:
            self._leases.start()
        self._prepare().addCallbacks(lambda _: self._open(), self._failed)

    def _build(self) -> None:
        config, state = self.config, self.state
        tenancy = state.known.tenancy()
        self.prompts = PromptBook(self.reactor)
        self.admission = Admission(self._authenticator(tenancy), tenancy, self._limits())
        sip, messages = config.sip, MessageLimits(config.messages.max_seconds)
        options = CallOptions(
            sip.answer_limit_s, sip.refer_timeout_s, sip.ring_limit_s, config.rtp.media_timeout_s, messages, config.rtp.codecs
        )
        box = MessageBox(state.messages, state.journal.record, self._defer, time.time)
        self.timers = TimerQueue(self.reactor)
        clock = cast(IReactorTime, self.timers)  # as much of one as calls need
        self._load_filters(tenancy)
        detector = partial(self._detector, 8000)
        plant = Plant(clock, self.counters, box, self._sounds, detector, options, self._recordings())
        book = TraceBook(time.time, lambda peer: self.transports.advertised(peer.transport, peer))
        self.tracing = Tracing(book, clock, only_failed=sip.trace == "failed") if sip.trace != "off" else None
        records = Records(state.journal.record, time.time, time.monotonic, os.urandom, self.tracing)
        voices = Voices(self._conversation_options, self.prompts)
        self.switchboard = Switchboard(self.admission, plant, voices, records, clock)
        rtp = config.rtp
        plane_options = PlaneOptions(
            config.node.host, rtp.port_range, 5, rtp.quarantine_s, rtp.symmetric, address_ipv6=config.node.host_ipv6, exact=True
        )
        self.plane = MediaPlane(self.reactor, plane_options, self.switchboard, self.counters, secrets.randbits)
        self.plane.clock = clock
        self.plane.identity = Identity(secrets.token_hex(8))
        self.switchboard.plane = self.plane
        node = config.node
        self.transports = Transports(
            self.reactor,
            self.counters,
            TransportOptions(node.advertised_address, node.advertised_ipv6, budget=self._budget(), origins=sip.ws_origins),
        )
        self.transports.client_context = TlsClient(sip.tls_roots, *self._certificate())
        self.switchboard.certificate_names = self.transports.certificate_names
        self.trust = Trust(lambda host: False, time.monotonic)
        self.trust.listed = self._listed(tenancy)
        self.transports.budget.trusted = self.trust
        self.switchboard.authenticated = self.trust.proved
        self.layer = TransactionLayer(self.transports, self.timers, self.counters, time.monotonic)
        self.layer.retry_after_s = self.admission.limits.retry_after_s
        overload = self.layer.overload
        self.plane.on_tick = overload.late
        self.admission.limits.capacity, self.admission.limits.shedding = self.plane.capacity, overload.shedding
        if self.tracing is not None:
            self.layer.tap = book.tap
        timer = SessionTimer(sip.session_expires_s, sip.min_se_s)
        self.agent = UserAgent(self.layer, os.urandom, self.counters, UserAgentOptions(timer=timer))
        self.agent.owner = self.switchboard
        self.locator = Locator(self.reactor, sip.transports, secrets.randbelow, self.transports.expect)
        self.agent.locate, self.agent.unreachable = self.locator.locate, self.locator.failed
        self.switchboard.dial = self.agent.invite
        self.switchboard.address_for = self._address_for
        self.switchboard.verify = self._verifier().verify
        keep = partial(self._show, HEALTH_FILE)
        self.health = TrunkHealth(self.reactor, self.agent, self._trunks, self.counters, keep)
        self._regions()
        self._registration()

    def _regions(self) -> None:
        """Where other nodes are, and what the name server of the SIP host answers."""
        section, keep = self.config.regions, partial(self._show, REGIONS_FILE)
        others = {name: one.node for name, one in section.known.items() if name != section.here}
        self.region_health = RegionHealth(self.reactor, self.agent, others, self.counters, keep)
        regions = self.admission.regions = regions_of(section, self.region_health.up)
        self._zone = zone_of(self.config, regions)

    def _serve_names(self) -> None:
        dns = self.config.dns
        if self._zone is None:
            return
        server, reactor = NameServer(self._zone, self.counters), self.reactor
        self._names = [
            self._bind("dns.port", "DNS (UDP)", dns.port, lambda: reactor.listenUDP(dns.port, Datagrams(server), dns.host)),
            self._bind(
                "dns.port", "DNS (TCP)", dns.port, lambda: reactor.listenTCP(dns.port, Streams(server), interface=dns.host)
            ),
        ]

    def _budget(self) -> BudgetLimits:
        rate = self.config.limits.source_calls_per_second
        return BudgetLimits(calls=rate, calls_burst=5 * rate)

    def _limits(self) -> Limits:
        given = self.config.limits
        return Limits(Bounds(given.max_calls, given.outbound_share, given.trunk_calls_per_second, given.retry_after_s))

    def _guard(self) -> None:
        """Who guesses passwords is slowed, then not listened to."""
        bans = self.admission.guard = Bans(self.trust.known, self.counters, time.time)
        self.transports.budget.banned = bans.banned
        self._bans = BanKeeping(bans, BanBook(self.state.repository.engine), self._defer, self.reactor)
        if self._source is self.state.repository:
            self._bans.load()

    def _share(self) -> None:
        """Limits of workspaces with other nodes."""
        limits, run = self.config.limits, self.state.presence.run
        if limits.redis:
            leases = self.admission.limits.slots = Leases(time.monotonic, limits.redis_grace_s)
            leases.adopt(self.admission.tenancy.workspaces.values(), all_of_them=True)
            ask = redis_asker(limits.redis, run.partition(".")[0])
            self._leases = LeaseKeeping(self.reactor, leases, ask, self.counters)

    def _registration(self) -> None:
        """PBXs that register to us or look whether we are there, and those that we register at."""
        repository, clocks = self.state.repository, Clocks(time.time, time.monotonic)
        self.heard = OptionsHeard(self.reactor, time.time, partial(self._show, ASKED_FILE))
        self.switchboard.asked = self.heard.heard
        keep = partial(self._defer, repository.put_bindings)
        self.bindings = TrunkBindings(self.reactor, self.agent, self.admission, clocks, self.counters, keep)
        self.bindings.authenticated = self.trust.proved
        self.bindings.restore(self._source.bindings())
        self.health.ways = self.bindings.ways
        ground = Ground(self.reactor, self.agent, time.time, self.counters, self.transports.keep_alive)
        show = partial(self._show, REGISTRATIONS_FILE)
        self.registrations = Registrations(ground, show, self.transports.forget_routes)

    def _trunks(self) -> Iterable[Trunk]:
        return self.admission.tenancy.trunks.values()

    def _show(self, name: str, known: Mapping[str, Any]) -> None:
        """For `smartalex trunks`."""
        kept = self._defer((self.state.folder / name).write_text, json.dumps(known))
        kept.addErrback(lambda failure: self.log.failure("the state of trunks cannot be shown", failure))

    def _register(self) -> Deferred[Any]:
        """Where trunks want us to; passwords are not read on this thread."""
        secrets = self._defer(self._source.register_passwords)
        secrets.addCallback(lambda known: self.registrations.adopt(self._trunks(), known) if self.ready else None)
        return secrets.addErrback(lambda failure: self.log.failure("registrations are left as they are", failure))

    def _address_for(self, peer: Peer) -> str:
        return self.transports.advertised(peer.transport, peer)[0]

    def _listen(self) -> None:
        config, sip, ports = self.config, self.config.sip, self.transports
        for host in filter(None, (config.node.host, config.node.host_ipv6)):
            listen = partial(self._bind_one, sip.transports, host)
            listen("udp", "sip.port", sip.port, ports.listen_udp)
            listen("tcp", "sip.port", sip.port, ports.listen_tcp)
            listen("ws", "sip.ws_port", sip.ws_port, ports.listen_ws)
            if {"tls", "wss"} & set(sip.transports):
                context = CertificateFiles(*self._certificate(), sip.tls_client_roots)
                listen("tls", "sip.tls_port", sip.tls_port, partial(ports.listen_tls, context=context))
                listen("wss", "sip.wss_port", sip.wss_port, partial(ports.listen_wss, context=context))
        self._serve_names()
        web = site(self.counters, self._gauges, lambda: self.ready and not self.admission.outdated, self.reactor)
        self._http = self._bind(
            "http.port",
            "HTTP",
            config.http.port,
            lambda: self.reactor.listenTCP(config.http.port, web, interface=config.http.host),
        )

    def _certificate(self) -> tuple[str, str]:
        sip = self.config.sip
        return sip.tls_certificate or str(self.state.certificate), sip.tls_key or str(self.state.key)

    def _bind_one(  # noqa: PLR0917
        self, wanted: Collection[str], host: str, transport: str, option: str, port: int, listen: Callable[[str, int], Any]
    ) -> None:
        if transport in wanted:
            self._bind(option, transport.upper(), port, lambda: listen(host, port))

    def _bind(self, option: str, what: str, port: int, listen: Callable[[], Any]) -> Any:
        try:
            return listen()
        except CannotListenError as error:
            number = getattr(error.socketError, "errno", None) or 0
            remedy = REMEDIES.get(number, "stop the program that uses it, or choose another {option}").format(option=option)
            reason = getattr(error.socketError, "strerror", None) or error.socketError
            raise ConfigurationError(f"{what} port {port} cannot be opened ({reason}): {remedy}") from None

    def _prepare(self) -> Deferred[Any]:
        """Load the agents' backends and render what they say first: what was not said before."""
        waiting: list[Deferred[Any]] = []
        agents = self.admission.tenancy.agents
        for key, agent in agents.items():
            if self._prepared.get(key) is not agent:
                for factory in self._factories_of(agent):
                    waiting.extend(self._render(factory, agent))
        self._prepared = agents
        return DeferredList(waiting, consumeErrors=True)

    def _render(self, factory: Any, agent: Agent) -> Iterable[Deferred[None]]:
        synthesizer = getattr(factory, "synthesizer", None)
        if synthesizer is not None:
            spoken = (id(synthesizer), agent.voice, primary(agent.language))
            if spoken not in self._spoken:
                self._spoken.add(spoken)
                yield self.prompts.load(synthesizer, agent.voice, agent.language)
            yield self.prompts.load_greetings(synthesizer, [agent])

    def _open(self) -> None:
        if not self.running:
            return
        self.ready = True
        gc.collect()
        gc.freeze()
        gc.set_threshold(10_000, 5, 1_000_000)  # small ones often; a whole one holds everything up, see _tidy
        self._tidying.start(TIDY_S, now=False)
        ready = self._addresses()
        (self.state.folder / "run.json").write_text(json.dumps({k: v for k, v in ready.items() if k != "password"}))
        if self.config.sip.options_interval_s:
            self.health.start(self.config.sip.options_interval_s)
        self.region_health.start(self.config.regions.check_interval_s)
        self._register()
        self._announce(ready)
        if self._media_path == compiled.STALE:
            self.log.warn("the media path was compiled from another source than is there: make compiled, or make clean")
        self.log.info("media path: {path}", path=self._media_path)
        self.log.info(
            "taking calls on {host}, SIP {sip}, TLS {tls}", host=ready["host"], sip=ready["sip_port"], tls=ready["tls_port"]
        )

    def _tidy(self) -> None:
        """Collect what calls do not leave but connections and libraries do, when nobody hears it, or once an hour."""
        self._untidy_s += TIDY_S
        if not (self.switchboard.calls or len(self.layer) > QUIET) or self._untidy_s > UNTIDY_S:
            self._untidy_s = 0.0
            gc.collect()

    def _failed(self, failure: Any) -> None:
        self.log.failure("the service could not start", failure)
        self.exit_status = 1
        self.reactor.stop()

    def _addresses(self) -> dict[str, Any]:
        config, issued = self.config, self.state.issued
        trunk = next(iter(self.admission.tenancy.trunks.values()), None)
        ready: dict[str, Any] = {
            "host": config.node.host, "sip_port": config.sip.port, "tls_port": config.sip.tls_port, "http_port": config.http.port,
            "rtp_ports": config.rtp.ports, "state": str(self.state.folder.resolve()), "pid": os.getpid(),
            "trunk": trunk.name if trunk else "", "username": trunk.username if trunk else "",
        }  # fmt: skip
        return {**ready, "password": issued.password} if issued else ready

    # ------------------------------------------------------------------ what calls need

    def _verifier(self) -> Verifier:
        """Without roots no certificate can be believed, and a trunk that requires an identity lets nobody in."""
        path = self.config.sip.stir_anchors
        try:
            anchors = trust_anchors(Path(path).read_bytes()) if path else ()
        except OSError as error:
            raise ConfigurationError(f"sip.stir_anchors: {path} cannot be read: {error.strerror}") from None
        return Verifier(CertificateSource(self.reactor, time.monotonic), anchors, time.time)

    def _listed(self, tenancy: Tenancy) -> Callable[[str], bool]:
        """Sources of any trunk are not rationed, whatever else they have to prove."""
        fence = AllowlistAuthenticator(("", source) for trunk in tenancy.trunks.values() for source in trunk.allowed_sources)
        attempt = partial(AuthAttempt, "", "", transport="")
        return lambda host: fence.authenticate(attempt(host)).trunk_id is not None

    def _authenticator(self, tenancy: Tenancy, pause: Pause = at_once) -> IAuthenticator:
        known, sip = self._source.credentials(pause), self.config.sip
        digest = DigestAuthenticator(sip.realm, sip.digest_algorithms, known.get, self._nonces, names=tuple(known))
        return identity(tenancy.trunks.values(), ground.Ground(ground.Once(digest), self._registered, pause))

    def _registered(self, transport: str, host: str, port: int) -> tuple[str, ...]:
        return self.bindings.at(Peer(transport, host, port))

    def _factories_of(self, agent: Agent) -> tuple[Any, ...]:
        """The agent's chain without what cannot be loaded; with nothing left the caller is asked for a message."""
        for spec in agent.backends:
            if spec not in self._factories:
                self._factories[spec] = self._factory(spec)
        return tuple(found for spec in agent.backends if (found := self._factories[spec]) is not None)

    def _factory(self, spec: str) -> Any:
        """A plugin is somebody else's code: whatever it raises costs its own agents only."""
        try:
            provider, options = plugins.find("IVoiceAgentFactory", spec)
            make = provider.load()
            return make(self.reactor, **options) if getattr(make, "wants_reactor", False) else make(**options)
        except ConfigurationError as error:
            self.log.error("a backend cannot be used: {error}", error=error)
        except Exception:
            self.log.failure("backend {spec} cannot be used", spec=spec)
        self.counters.count("ai.not_loaded")
        return None

    def _conversation_options(self, agent: Agent) -> ConversationOptions:
        factories, greeting = self._factories_of(agent), self.prompts.greeting(agent)
        pace = Pace.giving_up_after(agent.silence_timeout_s)
        return ConversationOptions(factories, greeting, agent.max_duration_s, agent.language, pace, detector=self._detector)

    def _detector(self, rate: int) -> Callable[[bytes], bool]:
        detector: IVoiceDetector = voice_detectors(self.config.speech.detector).detector(rate)
        return detector.speech

    def _load_filters(self, tenancy: Tenancy) -> None:
        """Before a call wants them: some take a while."""
        for trunk in tenancy.trunks.values():
            try:
                if trunk.noise_suppression:
                    audio_filters(trunk.noise_suppression)
            except ConfigurationError as error:
                self.log.error("callers of trunk {trunk} are heard without a filter: {error}", trunk=trunk.name, error=error)

    def _recordings(self) -> Recordings | None:
        sink = self.config.recordings.sink
        return Recordings(recording_sink(sink), self._recorder) if sink else None

    def _sounds(self, language: str) -> MessageSounds:
        clip = self.prompts.clip
        return MessageSounds(
            clip("take-message", language),
            beep(),
            clip("message-saved", language),
            clip("message-empty", language),
            clip("message-trouble", language),
        )

    def _gauges(self) -> dict[str, float | dict[str, float]]:
        return {
            "calls": len(self.switchboard.calls), "legs": len(self.plane), "sip_transactions": len(self.layer),
            "sip_dialogs": len(self.agent), "sip_timers": self.timers.pending(),
            "records_pending": len(self.state.journal), "records_lost": self.state.journal.lost,
            "journal_bytes": self.state.journal.size, "store_down": int(self.contact.down),
            "media_late_ticks": self.plane.late_ticks,
            "media_worst_late_seconds": round(self.plane.worst_late_s, 4), **self.health.gauges(), **self.region_health.gauges(),
            **self.bindings.gauges(),
            **self.registrations.gauges(), "build_info": {f"media_{self._media_path}": 1},
            "bans": sum(1 for _ in self.admission.guard or ()),
            **(self._leases.leases.gauges() if self._leases is not None else {}),
        }  # fmt: skip

    def _defer(self, function: Callable[..., Any], *args: Any) -> Deferred[Any]:
        return deferToThreadPool(self.reactor, self._pool, function, *args)

    def _look_for_changes(self) -> Deferred[Any]:
        looked = self._defer(self._changed).addCallback(self._adopt)
        return looked.addErrback(self._not_adopted)

    def _changed(self) -> tuple[Tenancy, IAuthenticator, Callable[[str], bool]] | None:
        """On a thread of the store, with rests: calls are in progress."""
        known = self.admission.tenancy
        self.contact.meet()
        self._source = self.state.repository
        if self.state.repository.revision() == known.revision:
            return None
        rests = Rests()
        tenancy = self.state.repository.tenancy(known, rests)
        self._load_filters(tenancy)
        return tenancy, self._authenticator(tenancy, rests), self._listed(tenancy)

    def _adopt(self, changed: tuple[Tenancy, IAuthenticator, Callable[[str], bool]] | None) -> Deferred[Any] | None:
        self._complaint = ""
        self.contact.heard(Rests(), changed=changed is not None)
        self.admission.outdated = False
        if changed is None:
            return None
        self.admission.tenancy, self.admission.authenticator, self.trust.listed = changed
        self.bindings.adopt()
        if self._leases is not None:
            self._leases.leases.adopt(self.admission.tenancy.workspaces.values(), all_of_them=True)
        self._prepare()
        return self._register()

    def _not_adopted(self, failure: Failure) -> None:
        """What was known goes on being true; said once, not twice a second."""
        self.counters.count("store.reload_failed")
        if failure.value is not None and unreachable(failure.value):
            self.contact.missed()
            self.admission.outdated = self.contact.lapsed
        complaint = what_it_said(failure.value)
        if complaint != self._complaint:
            self._complaint = complaint
            self.log.error("the store cannot be read, what was known goes on: {complaint}", complaint=complaint)

    def _say_so(self) -> Deferred[Any]:
        """We are here; calls of nodes that are not are marked."""
        seen = self._defer(self.state.presence.seen, time.time(), time.monotonic())
        return seen.addErrback(lambda failure: self.counters.count("store.unseen"))

    # ------------------------------------------------------------------ stopping

    def stopService(self) -> Deferred[None]:
        """Drain: refuse new calls, let those in progress go on, then end them; a second signal ends them now."""
        super().stopService()
        return Deferred.fromCoroutine(self._stop())

    async def _stop(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: self.reactor.callFromThread(self.switchboard.hang_up_all, "drain"))
        self.ready = False
        unregistered, drained = self.registrations.stop(), self.switchboard.drain()
        if self.switchboard.calls:
            self.log.info("stopping when {count} calls have ended", count=len(self.switchboard.calls))
        limit = self.reactor.callLater(self.config.limits.drain_timeout_s, self.switchboard.hang_up_all, "drain")
        await drained
        await unregistered
        if limit.active():
            limit.cancel()
        for looping in (self._reload, self._seen, self._tidying):
            if looping.running:
                looping.stop()
        self.health.stop()
        self.heard.stop()
        await DeferredList([maybeDeferred(factory.stop) for factory in self._factories.values() if hasattr(factory, "stop")])
        self.prompts.close()
        self.plane.stop()
        await self._defer(self._recorder.stop)
        if self.tracing is not None:
            self.tracing.stop()
        await self._writer.stop()
        if not self.contact.down:
            await self._defer(self.state.presence.end).addErrback(lambda failure: None)
        await self.bindings.stop()
        await self._bans.stop()
        if self._leases is not None:
            await self._leases.stop()
        self.timers.stop()
        await DeferredList(
            [
                d
                for d in (*self.transports.stop(), *(port.stopListening() for port in (self._http, *self._names)))
                if d is not None
            ]
        )
        for name in ("run.json", HEALTH_FILE, REGISTRATIONS_FILE, ASKED_FILE, REGIONS_FILE):
            (self.state.folder / name).unlink(missing_ok=True)
        self._pool.stop()
