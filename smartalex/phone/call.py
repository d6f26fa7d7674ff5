"""The built-in phone: one call with a script, and the PBX's part when it is asked to transfer."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.ssl import Certificate, CertificateOptions, optionsForClientTLS, trustRootFromCertificates
from zope.interface import implementer

from smartalex.counters import Counters
from smartalex.errors import RemoteError
from smartalex.interfaces import IMediaSink, ISynthesisConsumer, ISynthesizer
from smartalex.media.codecs import registry
from smartalex.media.frame import PCM8K
from smartalex.media.resample import Frames, resample
from smartalex.phone.pbx import PLANS, Notify, Plan
from smartalex.phone.recorder import Recorder
from smartalex.phone.report import Result
from smartalex.phone.script import Item, Script
from smartalex.rtp.plane import Leg, MediaParams, MediaPlane, PlaneOptions
from smartalex.sdp import negotiation
from smartalex.sdp.description import SessionDescription
from smartalex.sip.digest import DigestClient, Secret
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import ServerTransaction, TransactionLayer
from smartalex.sip.message import Request, Response
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import Transports
from smartalex.sip.ua import InviteOptions, UserAgent, UserAgentOptions
from smartalex.sip.uri import Uri


@attrs.frozen
class Target:
    """Whom to call and as whom; `peer` is numeric, `uri` may hold a name.

    Over TLS the peer must show `certificate` (PEM), or one that the system trusts
    for the name in `uri`; `insecure` takes any.
    """

    uri: Uri
    peer: Peer
    username: str = ""
    secret: Secret = attrs.field(factory=Secret)
    caller: str = "+15550001111"
    certificate: Path | None = None
    insecure: bool = False


@attrs.frozen
class PhoneOptions:
    """`plans` answer one REFER each, the last all further ones; `record` is a path or ''."""

    codecs: tuple[str, ...] = registry.USUAL
    plans: tuple[Plan, ...] = (PLANS["accept"],)
    record: str = ""
    ports: tuple[int, int] = (40000, 49000)


Show = Callable[[str, str], None]
"""(who, text): 'phone', 'caller', 'pbx', or 'speech' with how long the other side has just spoken."""


async def render(synthesizer: ISynthesizer, voice: str, text: str) -> bytes:
    """`text` as 8 kHz PCM."""
    pcm = bytearray()

    @implementer(ISynthesisConsumer)
    class Collected:
        def audio(self, data: bytes) -> None:
            pcm.extend(data)

    synthesis = synthesizer.speak(voice, PCM8K, Collected())
    synthesis.feed(text)
    synthesis.end()
    await synthesis.done
    return bytes(pcm)


class Line:
    """The phone's user agent and media plane; one call at a time.

    `phone` owns the user agent, is the plane's sink, and says which requests it `loses`.
    """

    def __init__(self, reactor: Any, phone: Any, ports: tuple[int, int]) -> None:
        counters = Counters()
        self.transports = Transports(reactor, counters)
        self.timers = TimerQueue(reactor)
        self.layer = TransactionLayer(self.transports, self.timers, counters, reactor.seconds)
        self.ua = UserAgent(self.layer, os.urandom, counters, UserAgentOptions("SmartAlex phone"))
        self.ua.owner = phone
        self.layer.user = HardOfHearing(self.ua, phone.loses)
        self.plane = MediaPlane(reactor, PlaneOptions(ports=ports, address_ipv6="::"), phone, counters, secrets.randbits)

    async def close(self) -> None:
        self.plane.stop()
        self.timers.stop()
        for closing in self.transports.stop():
            if closing is not None:
                await closing


class HardOfHearing:
    """Stands before the user agent and loses the requests that `loses` names: the peer gets no answer to them."""

    def __init__(self, ua: UserAgent, loses: Callable[[Request], bool]) -> None:
        self._loses = loses
        self._ua = ua
        self.on_ack = ua.on_ack
        self.on_stray_response = ua.on_stray_response

    def on_request(self, transaction: ServerTransaction, request: Request) -> None:
        if not self._loses(request):
            self._ua.on_request(transaction, request)

    def token(self) -> str:
        return secrets.token_hex(8)


@implementer(IMediaSink)
class Phone(SessionListener):
    """`show` gets what happens as it happens; `call` returns the Result."""

    def __init__(self, reactor: Any, options: PhoneOptions, show: Show) -> None:
        self.reactor = reactor
        self.result = Result()
        self.said: list[str] = []
        self.leg: Leg
        self._options = options
        self._show = show
        self._line = Line(reactor, self, options.ports)
        self._plans = list(options.plans)
        self._capabilities = negotiation.Capabilities(options.codecs)
        self._local: negotiation.Local
        self._session: Session | None = None
        self._done: Deferred[None] = Deferred()
        self._items: list[Item] = []
        self._script = Script(0)
        self._recorder: Recorder | None = None
        self._started = self._answered = 0.0
        self._over = self._rang = self._takes_keys = False
        self._secure: str | None = None  # the name its certificate is to be for, where that is asked
        self._voice = bytearray()
        self._frames = Frames(PCM8K.rate)

    # ------------------------------------------------------------------ one call

    async def call(self, target: Target, items: Sequence[Item], max_s: float) -> Result:
        """Place it and stay until it has ended, `max_s` seconds after the INVITE at the latest."""
        line = self._line
        self._items, self._script = list(items), Script(len(items))
        address = line.transports.route_to(target.peer.host)
        line.transports.listen_udp(address, 0)
        if target.peer.transport == "tls":
            line.transports.client_context = tls_context(target)
            self._secure = None if target.insecure or target.certificate else target.uri.host
        line.plane.start()
        self.leg = line.plane.open(ipv6=":" in address)
        self.leg.meet(target.peer.host)
        self._local = negotiation.Local(address, self.leg.local_port, secrets.randbits(31), 1)
        self._started = self.reactor.seconds()
        limit = self.reactor.callLater(max_s, self.hang_up, "timeout")
        self._session = line.ua.invite(self._invitation(target), self)
        self.result.call_id = self._session.call_id
        await self._done
        if limit.active():
            limit.cancel()
        return self.result

    async def close(self) -> None:
        await self._line.close()

    def hang_up(self, by: str) -> None:
        """BYE, or CANCEL where it still rings."""
        if self._session is not None and not self._over:
            self.result.ended_by = by
            if not self._answered:
                self.result.reason = self._why_unanswered() if by == "timeout" else "given up before the answer"
            self._session.hangup()
            self._end(by)

    def _why_unanswered(self) -> str:
        if self._rang:
            return "it rang, and nobody answered in time"
        trusted = (
            ""
            if self._secure is None
            else f"; over TLS it must show a certificate trusted for {self._secure} (--insecure takes any)"
        )
        return "nobody answers at that address" + trusted

    def _invitation(self, target: Target) -> InviteOptions:
        caller = NameAddr("", Uri("sip", target.caller, host=_bracketed(self._local.address)))
        digest = DigestClient(target.username, target.secret, lambda: secrets.token_hex(8)) if target.username else None
        body = negotiation.offer(self._capabilities, self._local)
        return InviteOptions(target.uri, target.peer, caller, NameAddr("", target.uri), body, (), digest)

    # ------------------------------------------------------------------ SIP

    def on_invite(self, session: Session) -> None:
        session.reject(486)

    def on_options(self, request: Request) -> int:
        return 200

    def on_progress(self, session: Session, response: Response) -> None:
        if response.status > 100:
            self._rang = True
            self._show("phone", f"{response.status} {response.reason}")

    def on_answered(self, session: Session, response: Response) -> None:
        session.ack()
        try:
            agreed = negotiation.accept(SessionDescription.parse(response.body), self._capabilities)
            self._connect(agreed)
            self._frames = Frames(self.leg.rate)
            self._recorder = Recorder(self._options.record, self.leg.rate) if self._options.record else None
        except (RemoteError, OSError) as error:
            self.result.reason = str(error)
            session.hangup()
            return
        self._answered = self.reactor.seconds()
        self.result.status, self.result.codec = 200, agreed.codec
        self.result.answer_ms = round((self._answered - self._started) * 1000)
        self._show("phone", f"answered after {self.result.answer_ms} ms, {agreed.codec}")

    def _connect(self, agreed: negotiation.Agreed) -> None:
        sending = agreed.direction in ("sendrecv", "sendonly")
        params = MediaParams(
            agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.ptime_ms, sending,
            agreed.parameters, agreed.dtmf_clock, agreed.noise_payload_type, mux=agreed.mux, control=agreed.control,
        )  # fmt: skip
        self.leg.set_remote(agreed.remote_address, agreed.remote_port, params)
        self._takes_keys = agreed.dtmf_payload_type is not None

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        self._local = attrs.evolve(self._local, version=self._local.version + 1)
        if not body:
            return negotiation.offer(self._capabilities, self._local)
        agreed, answer = negotiation.answer(SessionDescription.parse(body), self._capabilities, self._local)
        self._connect(agreed)
        return answer

    def on_failed(self, session: Session, response: Response | None) -> None:
        self.result.status = response.status if response else 0
        self.result.reason = response.reason if response else self._why_unanswered()

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        if cause == "transport" and not self.result.reason:
            self.result.reason = "the connection is gone" if self._answered else "no connection to that address"
        self._end({"bye": "agent", "local": self.result.ended_by or "caller", "failed": ""}.get(cause, "transport"))

    def _end(self, by: str) -> None:
        if self._over:
            return
        self._over = True
        result = self.result
        result.ended_by = by
        if self._answered:
            result.duration_s = round(self.reactor.seconds() - self._answered, 2)
            result.speech_heard_s = self._script.heard_ms / 1000
            result.rtp = attrs.asdict(self.leg.stats())
            result.mos = result.rtp["mos"] if result.rtp["packets_received"] else None
        self.leg.close()
        self._stop_recording()
        self.reactor.callLater(0.3, self._done.callback, None)  # let the BYE and its answer go out

    # ------------------------------------------------------------------ the PBX's part

    def loses(self, request: Request) -> bool:
        """Whether this request is to go unanswered."""
        if request.method != "REFER" or self._plans[0].answer:
            return False
        try:
            self._referred(NameAddr.parse(request.headers.get("Refer-To") or ""))
        except RemoteError:
            return False
        return True

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        plan, number = self._referred(refer_to)
        if plan.answer != 202:
            self._show("pbx", f"refuses to transfer: {plan.answer}")
            self._script.release()
            return False
        for notify in plan.notifies:
            self.reactor.callLater(notify.after_s, self._notify, session, notify, number)
        return True

    def _referred(self, refer_to: NameAddr) -> tuple[Plan, str]:
        plan = self._plans.pop(0) if len(self._plans) > 1 else self._plans[0]
        number = refer_to.uri.user_text or ""
        self.result.refer_to = str(refer_to.uri)
        self.result.transfers.append({"to": number, "outcome": plan.outcome})
        self._script.hold()
        self._show("pbx", f"is asked to transfer to {number}" + ("" if plan.answer else ", and does not answer"))
        return plan, number

    def _notify(self, session: Session, notify: Notify, number: str) -> None:
        if self._over:
            return
        self._show("pbx", notify.shown.format(to=number))
        if notify.final and notify.status < 300:
            self.result.transferred_to = number
        elif notify.final:
            self._script.release()
        session.notify_refer(notify.status, notify.reason, notify.final)

    # ------------------------------------------------------------------ audio

    def on_frames(self, batch: Sequence[tuple[Leg, bytes, int]]) -> None:
        for _, pcm, _flags in batch:
            if self._answered and not self._over:
                self._frame(pcm)

    def on_dtmf(self, leg: Leg, digit: str, duration_ms: int) -> None:
        self._show("phone", f"hears key {digit}")

    def _frame(self, pcm: bytes) -> None:
        self._record(pcm)
        before = self._script.heard_ms
        step = self._script.frame(pcm, self.leg.queued_ms > 0)
        if before == 0 and self._script.heard_ms:
            self.result.first_audio_ms = round((self.reactor.seconds() - self._answered) * 1000)
        if self._script.spoke_ms:
            self._show("speech", f"{self._script.spoke_ms / 1000:.1f} s")
        if step == "next":
            self._next(self._items.pop(0))
        elif step == "give up":
            self.hang_up("caller")

    def _next(self, item: Item) -> None:
        self.said.append(item.text if item.kind == "say" else f"[{item.kind} {item.text}]")
        self._show("caller", self.said[-1])
        if item.kind != "dtmf":
            self.leg.play(item.pcm, item.rate)
            self._voice += resample(item.pcm, item.rate, self._frames.rate)
        elif self._takes_keys:
            self.leg.send_dtmf(item.text)
        else:
            self._show("phone", "the other side takes no keys (RFC 4733 was not agreed)")

    def _record(self, heard: bytes) -> None:
        """With what left in the tick that brought it: the leg sends before it hears.  The file keeps the rate it began with."""
        for frame in self._frames.of(heard):
            said, self._voice = self._voice[: len(frame)], self._voice[len(frame) :]
            if self._recorder is not None:
                try:
                    self._recorder.frame(bytes(said).ljust(len(frame), b"\0"), frame)
                except OSError as error:
                    self._show("phone", f"the recording stops: {error}")
                    self._stop_recording()

    def _stop_recording(self) -> None:
        recorder, self._recorder = self._recorder, None
        if recorder is not None:
            recorder.close()


def tls_context(target: Target) -> Any:
    """What the transport wants for dialling this target."""
    if target.insecure:
        return CertificateOptions(verify=False)
    if target.certificate is not None:
        return CertificateOptions(trustRoot=trustRootFromCertificates([Certificate.loadPEM(target.certificate.read_bytes())]))
    return optionsForClientTLS(target.uri.host.strip("[]"))


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
