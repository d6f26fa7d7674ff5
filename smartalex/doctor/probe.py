"""Asks and calls the PBX, by the user agent of the built-in phone, and notes what is seen."""

from __future__ import annotations

import secrets
import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

import attrs
from twisted.internet.defer import Deferred, TimeoutError
from zope.interface import implementer

from smartalex.calls.media import CallMedia
from smartalex.doctor.facts import Asked, Keyed, Referred, Step, Tried
from smartalex.doctor.talk import Talk, read
from smartalex.errors import LocalError, RemoteError
from smartalex.interfaces import IMediaSink
from smartalex.media import tone
from smartalex.phone.call import Line
from smartalex.rtp.dtls import Identity
from smartalex.rtp.plane import Leg
from smartalex.sdp.crypto import Fingerprint, Security
from smartalex.sdp.negotiation import Capabilities
from smartalex.sip.asking import Outside
from smartalex.sip.digest import DigestClient, Secret
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Request, Response
from smartalex.sip.redaction import redact
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.trace import Traced
from smartalex.sip.ua import InviteOptions
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk

ASK_S, FIRST_S, RING_S, STEP_S, REFER_S = 4.0, 8.0, 30.0, 6.0, 30.0
"""How long is waited: for an answer to OPTIONS, for a first one to INVITE, for somebody to pick up, within the call, for a
transfer."""

LISTEN_S, AFTER_S, LATER_S = 1.0, 1.2, 0.5
EVENT_KEY, INFO_KEY, TONE_KEY = "1", "2", "3"
BACK = ("by RTP event", "as a tone", "by SIP INFO")


@attrs.frozen
class Caller:
    """As whom the PBX is asked: `address` and `secret` are those of our extension there, where the trunk registers."""

    trunk: Trunk
    codecs: tuple[str, ...]
    ports: tuple[int, int]
    address: Uri | None = None
    user: str = ""
    secret: Secret = attrs.field(factory=Secret)
    context: Any = None  # how TLS is dialled

    def digest(self) -> DigestClient | None:
        return DigestClient(self.user, self.secret, lambda: secrets.token_hex(8)) if self.user else None


@implementer(IMediaSink)
class Probe(SessionListener):
    """One line of the phone's; `ask` as often as wanted, then `call` once at most, then `close`."""

    def __init__(self, reactor: Any, caller: Caller, wall: Callable[[], float] = time.time) -> None:
        self._reactor = reactor
        self._caller = caller
        self._wall = wall
        self._line = Line(reactor, self, caller.ports)
        self._line.layer.tap = self._tap
        self._line.transports.client_context = caller.context or self._line.transports.client_context
        self._line.plane.start()
        self._messages: dict[str, list[Traced]] = {}
        self._listening: set[str] = set()
        self._waiting: Deferred[Any] | None = None
        self._pressed: dict[str, str] = {}
        self._notified: list[int] = []
        self._ended = self._unsecured = ""
        self._media: CallMedia
        self._session: Session
        self._response: Response | None = None

    async def close(self) -> None:
        await self._line.close()

    def _listen(self, peer: Peer) -> str:
        """The address of ours that this peer sees, open for datagrams."""
        address = self._line.transports.route_to(peer.host)
        if address not in self._listening:
            self._listening.add(address)
            self._line.transports.listen_udp(address, 0)
        return address

    def _us(self, peer: Peer) -> NameAddr:
        at = self._caller.address or Uri.parse(self._line.ua.contact_at(peer, "smartalex"))
        return NameAddr("", attrs.evolve(at, params=()))

    # ------------------------------------------------------------------ OPTIONS

    async def ask(self, uri: Uri, peer: Peer, domain: str) -> Asked:
        self._listen(peer)
        self._line.transports.expect(peer, domain)
        done: Deferred[Response | str] = Deferred()
        headers = (("Accept", "application/sdp"),)
        outside = Outside("OPTIONS", uri, self._us(peer), NameAddr("", uri), headers, contact_user="smartalex")
        outside.digest = self._caller.digest()
        began = self._reactor.seconds()
        self._line.ua.ask(outside, (peer,), done.callback, done.callback)
        answer = await self._within(ASK_S, done)
        ms = (self._reactor.seconds() - began) * 1000
        if isinstance(answer, Response):
            return Asked(peer, answer.status, ms, "", self._talk(outside.call_id))
        why = "the connection fails" if answer == "transport" else "no answer"
        return Asked(peer, None, ms, why, self._talk(outside.call_id))

    # ------------------------------------------------------------------ the test call

    async def call(self, uri: Uri, peers: Sequence[Peer], domain: str, refer_to: str = "") -> Tried:
        """To the first of `peers` that takes it; `refer_to` is the URI that it is asked to transfer to, at the end."""
        peer = peers[0]
        address = self._listen(peer)
        for one in peers:
            self._line.transports.expect(one, domain)
        self._media = self._open(peer, address)
        options = InviteOptions(
            uri, peer, self._us(peer), NameAddr("", uri), self._media.local_offer(), (), self._caller.digest()
        )
        began = self._reactor.seconds()
        self._session = self._line.ua.invite(options, self)
        got = await self._wait(FIRST_S)
        if got is None and self._response is not None and self._session.open:
            got = await self._wait(RING_S)
        tried = Tried(str(uri), 0, "it rang, and nobody answered" if self._response else "nobody answers at that address",
                      (self._reactor.seconds() - began) * 1000, offered=self._caller.codecs)  # fmt: skip
        if isinstance(got, Response):
            tried = attrs.evolve(tried, status=got.status, reason=got.reason)
            if got.status == 200:
                tried = await self._answered(tried, got, refer_to)
        if self._session.open:
            self._session.hangup()
            await self._pause(LATER_S)
        self._media.leg.close()
        return attrs.evolve(tried, talk=self._talk(self._session.call_id))

    def _open(self, peer: Peer, address: str) -> CallMedia:
        trunk, plane = self._caller.trunk, self._line.plane
        identity = plane.identity = Identity(secrets.token_hex(8))
        security = Security(trunk.srtp, secrets.token_bytes, Fingerprint("sha-256", identity.sha256))
        capabilities = Capabilities(self._caller.codecs, ptime_ms=trunk.ptime_ms)
        leg = plane.open(ipv6=":" in peer.host)
        media = CallMedia(leg, capabilities, address, secrets.randbits(31), security)
        media.meet(peer.host, peer.transport)
        leg.receiver.looped = lambda ssrc, source: False  # an echo may send our own packets back
        leg.detect_tones(self._tone)
        media.on_secured = self._secured
        return media

    async def _answered(self, tried: Tried, response: Response, refer_to: str) -> Tried:
        try:
            self._media.remote_answer(response.body)
            self._media.connect()
        except (RemoteError, OSError) as error:
            return attrs.evolve(tried, not_secured=self._unsecured or self._spoilt(error))
        agreed, leg = self._media.agreed, self._media.leg
        assert agreed is not None
        tried = attrs.evolve(tried, codec=agreed.codec, signalled=(agreed.remote_address, agreed.remote_port))
        leg.play(tone.sine(440, 600, leg.rate), leg.rate)
        await self._pause(LISTEN_S)
        heard = leg.receiver.remote if leg.packets_received else None
        tried = attrs.evolve(tried, source=(str(heard[0]), int(heard[1])) if heard else None)
        for step in (self._keys, self._changes):
            if self._session.takes_requests():
                tried = await step(tried)
        if refer_to and self._session.takes_requests():
            tried = attrs.evolve(tried, refer=await self._refer(refer_to))
        stats = leg.stats()
        early = "" if self._session.takes_requests() or tried.refer else self._ended or "it has ended"
        return attrs.evolve(
            tried, sent=stats.packets_sent, received=stats.packets_received, jitter_ms=stats.jitter_ms, lost=stats.lost,
            strangers=stats.strangers, secured=self._media.secured, not_secured=self._unsecured, early_end=early,
        )  # fmt: skip

    def _spoilt(self, error: Exception) -> str:
        """Why nothing came of its answer, where that has to do with SRTP."""
        return f"{error} (SRTP is {self._caller.trunk.srtp})" if self._caller.trunk.srtp == "required" else ""

    async def _keys(self, tried: Tried) -> Tried:
        """One key each way, another one each time, so that an echo tells which came through."""
        leg, agreed = self._media.leg, self._media.agreed
        events = agreed is not None and agreed.dtmf_payload_type is not None
        leg.send_dtmf(EVENT_KEY)
        await self._pause(AFTER_S)
        body = f"Signal={INFO_KEY}\r\nDuration=160\r\n".encode()
        info = await self._ask_within("INFO", (("Content-Type", "application/dtmf-relay"),), body)
        await self._pause(LATER_S)
        leg.play(tone.dtmf(TONE_KEY, 200, leg.rate), leg.rate)
        await self._pause(AFTER_S)
        back = self._pressed.get
        return attrs.evolve(
            tried,
            rfc4733=Keyed(events, back=back(EVENT_KEY, "")),
            info=Keyed(True, info, back(INFO_KEY, "")),
            inband=Keyed(True, back=back(TONE_KEY, "")),
        )

    async def _changes(self, tried: Tried) -> Tried:
        """Hold, back again, and a refresh: by UPDATE where the PBX allows that."""
        hold = await self._reinvite(b"a=sendonly")
        resume = await self._reinvite(b"a=sendrecv")
        tried = attrs.evolve(tried, hold=hold, resume=resume)
        if resume.status is None or not self._session.takes_requests():
            return tried
        if "UPDATE" in (self._talk(self._session.call_id).allow or ()):
            rows = (("Session-Expires", "1800;refresher=uac"), ("Supported", "timer"))
            return attrs.evolve(tried, refresh=Step("UPDATE", await self._ask_within("UPDATE", rows)))
        again = await self._reinvite(b"a=sendrecv")
        return attrs.evolve(tried, refresh=again)

    async def _reinvite(self, direction: bytes) -> Step:
        self._waiting = None
        body = self._media.local_offer().replace(b"a=sendrecv", direction)
        try:
            self._session.reinvite(body)
        except LocalError:
            return Step("re-INVITE", None)
        got = await self._wait(STEP_S)
        if not isinstance(got, bytes):
            return Step("re-INVITE", got.status if isinstance(got, Response) else None)
        try:
            self._media.remote_answer(got)
            self._media.connect()
        except RemoteError as error:
            return Step("re-INVITE", error.status)
        before = self._media.leg.packets_received
        await self._pause(LISTEN_S)
        agreed = self._media.agreed
        return Step("re-INVITE", 200, agreed.direction if agreed else "", self._media.leg.packets_received - before)

    async def _refer(self, to: str) -> Referred:
        self._session.refer(f"<{to}>", None)
        got = await self._wait(REFER_S)
        status = 202 if got == "accepted" else self._notified[-1] if self._notified else None
        if got != "accepted":
            return Referred(to, status)
        await self._wait(REFER_S)
        return Referred(to, 202, tuple(self._notified))

    async def _ask_within(self, method: str, rows: tuple[tuple[str, str], ...], body: bytes = b"") -> int | None:
        """The status of the answer to a request within the call, None without one."""
        answered: Deferred[Response | None] = Deferred()
        try:
            asked = self._session.request_in_dialog(method, rows, body)
        except LocalError:
            return None
        asked.addCallbacks(answered.callback, lambda failure: answered.callback(None))
        response = await self._within(STEP_S, answered)
        return response.status if isinstance(response, Response) else None

    # ------------------------------------------------------------------ waiting

    def _wait(self, seconds: float) -> Awaitable[Any]:
        """For what the session tells next: a Response, an SDP body, a word; None when the time is over."""
        self._waiting = Deferred()
        return self._within(seconds, self._waiting)

    def _tell(self, what: Any) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            waiting.callback(what)

    async def _within(self, seconds: float, what: Deferred[Any]) -> Any:
        done: Deferred[Any] = Deferred()
        what.addCallback(lambda value: None if done.called else done.callback(value))
        try:
            return await done.addTimeout(seconds, self._reactor)
        except TimeoutError:
            return None

    async def _pause(self, seconds: float) -> None:
        done: Deferred[None] = Deferred()
        self._reactor.callLater(seconds, done.callback, None)
        await done

    # ------------------------------------------------------------------ SIP

    def on_invite(self, session: Session) -> None:
        session.reject(486)

    def on_options(self, request: Request) -> int:
        return 200

    def loses(self, request: Request) -> bool:
        return False

    def on_progress(self, session: Session, response: Response) -> None:
        self._response = response

    def on_answered(self, session: Session, response: Response) -> None:
        session.ack()
        self._tell(response)

    def on_failed(self, session: Session, response: Response | None) -> None:
        self._tell(response)

    def on_answer(self, session: Session, body: bytes) -> None:
        self._tell(body)

    def on_offer_refused(self, session: Session, response: Response | None) -> None:
        self._tell(response)

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        if not body:
            return self._media.local_offer()
        answer = self._media.local_answer(body)
        self._media.connect()
        return answer

    def on_refer_accepted(self, session: Session) -> None:
        self._tell("accepted")

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        self._notified.append(status)
        if final:
            self._tell("settled")

    def on_refer_lost(self, session: Session) -> None:
        self._tell("lost")

    def on_info(self, session: Session, content_type: str, body: bytes) -> bool:
        for key in (EVENT_KEY, INFO_KEY, TONE_KEY):
            if f"={key}" in body.decode("ascii", "replace").replace(" ", ""):
                self._heard(key, 2)
        return True

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self._ended = {"bye": "it hung up", "transport": "the connection is gone"}.get(cause, cause)
        self._tell(None)

    # ------------------------------------------------------------------ audio

    def on_frames(self, batch: Sequence[tuple[Leg, bytes, int]]) -> None:
        """What listens in on the leg does all that is to be done."""

    def on_dtmf(self, leg: Leg, digit: str, duration_ms: int) -> None:
        self._heard(digit, 0)

    def _tone(self, digit: str, duration_ms: int) -> None:
        self._heard(digit, 1)

    def _heard(self, digit: str, way: int) -> None:
        self._pressed.setdefault(digit, BACK[way])

    def _secured(self, what: str, why: str) -> None:
        self._unsecured = why or self._unsecured

    # ------------------------------------------------------------------ what went over the wire

    def _tap(self, call_id: str, incoming: bool, peer: Peer, data: bytes) -> None:
        local = Peer(peer.transport, *self._line.transports.advertised(peer.transport, peer))
        self._messages.setdefault(call_id, []).append(Traced(self._wall(), incoming, peer, local, data))

    def _talk(self, call_id: str) -> Talk:
        return read(self._messages.get(call_id, ()))

    def trace(self) -> list[Traced]:
        """Everything that was said, without secrets."""
        said = sorted((one for call in self._messages.values() for one in call), key=lambda one: one.at)
        return [attrs.evolve(one, data=redact(one.data)) for one in said]
