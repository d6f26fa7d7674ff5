"""The built-in phone: one call with a script, and the PBX's part when it is asked to transfer."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from twisted.internet.ssl import CertificateOptions, Certificate, trustRootFromCertificates
from zope.interface import implementer

from smartalex.counters import Counters
from smartalex.interfaces import IMediaSink, ISynthesisConsumer, ISynthesizer
from smartalex.media.frame import PCM8K
from smartalex.media.wav import write_wav
from smartalex.phone.script import Script
from smartalex.rtp.plane import Leg, MediaParams, MediaPlane, PlaneOptions
from smartalex.sdp import negotiation
from smartalex.sdp.description import SessionDescription
from smartalex.sip.digest import DigestClient, Secret
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import TransactionLayer
from smartalex.sip.message import Request, Response
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import Transports
from smartalex.sip.ua import InviteOptions, UserAgent, UserAgentOptions
from smartalex.sip.uri import Uri


@attrs.frozen
class Item:
    """Something the caller does in its turn: kind 'say', 'wav' (pcm) or 'dtmf'."""

    kind: str
    text: str
    pcm: bytes = attrs.field(repr=False, default=b"")


@attrs.frozen
class Target:
    """Whom to call and as whom."""

    uri: Uri
    peer: Peer
    username: str
    secret: Secret
    caller: str = "+15550001111"
    certificate: Path | None = None  # trusted for TLS; None trusts nobody unless insecure


@attrs.define
class Result:
    status: int = 0
    reason: str = ""
    answer_ms: int | None = None
    first_audio_ms: int | None = None
    codec: str = ""
    refer_to: str | None = None
    transferred_to: str | None = None
    ended_by: str = ""
    duration_s: float = 0.0
    mos: float | None = None
    call_id: str = ""

    @property
    def ok(self) -> bool:
        return self.status == 200 and self.ended_by in ("agent", "caller")


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


@implementer(IMediaSink)
class Phone(SessionListener):
    """`show(who, text)` gets what happens as it happens; `call` returns a Result."""

    def __init__(self, reactor: Any, codecs: Sequence[str], show: Callable[[str, str], None]) -> None:
        self.reactor = reactor
        self.result = Result()
        self._show = show
        self._codecs = tuple(codecs)
        self._done: Deferred[None] = Deferred()
        self._items: list[Item] = []
        self._script = Script(0)
        self._started = reactor.seconds()
        self._answered = 0.0
        self._over = False
        self._agent_speaking = False
        self._heard, self._spoken = bytearray(), bytearray()
        self._voice = bytearray()
        counters = Counters()
        self.transports = Transports(reactor, counters)
        self.timers = TimerQueue(reactor)
        self.ua = UserAgent(TransactionLayer(self.transports, self.timers, counters, reactor.seconds), os.urandom, counters, UserAgentOptions())
        self.ua.owner = self  # type: ignore[assignment]
        self.plane = MediaPlane(reactor, PlaneOptions(ports=(40000, 49000)), self, counters, secrets.randbits)
        self.leg: Leg

    # ------------------------------------------------------------------ one call

    async def call(self, target: Target, items: Sequence[Item], max_s: float) -> Result:
        self._items = list(items)
        self._script = Script(len(items))
        address = self.transports.route_to(target.peer.host)
        self.transports.listen_udp(address, 0)
        self.plane.start()
        self.leg = self.plane.open()
        self.leg.user = self
        self._capabilities = negotiation.Capabilities(self._codecs)
        local = negotiation.Local(address, self.leg.local_port, secrets.randbits(31), 1)
        if target.peer.transport == "tls":
            self.transports.client_context = tls_context(target.certificate)
        caller = NameAddr("", Uri("sip", target.caller, host=address))
        digest = DigestClient(target.username, target.secret, lambda: secrets.token_hex(8)) if target.username else None
        options = InviteOptions(target.uri, target.peer, caller, NameAddr("", target.uri), negotiation.offer(self._capabilities, local), (), digest)
        self._started = self.reactor.seconds()
        self._session = self.ua.invite(options, self)
        self.result.call_id = self._session.call_id
        limit = self.reactor.callLater(max_s, self._hang_up, "timeout")
        await self._done
        if limit.active():
            limit.cancel()
        return self.result

    async def close(self) -> None:
        self.plane.stop()
        self.timers.stop()
        for closing in self.transports.stop():
            if closing is not None:
                await closing

    def record(self, path: str) -> None:
        """Both directions as stereo: left what we said, right what we heard."""
        size = max(len(self._spoken), len(self._heard)) // 2 * 2
        left, right = (bytes(track) + bytes(size - len(track)) for track in (self._spoken, self._heard))
        frames = b"".join(left[i : i + 2] + right[i : i + 2] for i in range(0, size, 2))
        write_wav(path, frames, 8000, 2)

    # ------------------------------------------------------------------ SIP

    def on_invite(self, session: Session) -> None:
        session.reject(486)

    def on_options(self, request: Request) -> int:
        return 200

    def on_progress(self, session: Session, response: Response) -> None:
        if response.status > 100:
            self._show("phone", f"{response.status} {response.reason}")

    def on_answered(self, session: Session, response: Response) -> None:
        agreed = negotiation.accept(SessionDescription.parse(response.body), self._capabilities)
        params = MediaParams(agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.ptime_ms)
        self.leg.set_remote(agreed.remote_address, agreed.remote_port, params)
        session.ack()
        self._answered = self.reactor.seconds()
        self.result.status, self.result.codec = 200, agreed.codec
        self.result.answer_ms = round((self._answered - self._started) * 1000)
        self._show("phone", f"answered after {self.result.answer_ms} ms, {agreed.codec}")

    def on_failed(self, session: Session, response: Response | None) -> None:
        self.result.status = response.status if response else 0
        self.result.reason = response.reason if response else "no answer"

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        self.result.refer_to = str(refer_to.uri)
        number = refer_to.uri.user_text
        self._show("phone", f"asked to transfer to {number}; ringing it")
        later = self.reactor.callLater
        later(0.1, lambda: self._over or session.notify_refer(180, "Ringing", final=False))
        later(0.6, self._connect, session, number)
        return True

    def _connect(self, session: Session, number: str) -> None:
        if not self._over:
            self.result.transferred_to = number
            self._show("phone", f"connected to {number}")
            session.notify_refer(200, "OK", final=True)

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        self._end({"bye": "agent", "local": self.result.ended_by or "caller"}.get(cause, cause))

    def _hang_up(self, by: str) -> None:
        self.result.ended_by = by
        self._session.hangup()
        self._end(by)

    def _end(self, by: str) -> None:
        if self._over:
            return
        self._over = True
        self.result.ended_by = by
        if self._answered:
            self.result.duration_s = round(self.reactor.seconds() - self._answered, 2)
            self.result.mos = self.leg.stats().mos
        self.leg.close()
        self.reactor.callLater(0.3, self._done.callback, None)  # let the answer to the BYE go out

    # ------------------------------------------------------------------ audio

    def on_frames(self, batch: Sequence[tuple[Leg, bytes, int]]) -> None:
        for _, pcm, _flags in batch:
            if self._answered and not self._over:
                self._frame(pcm)

    def on_dtmf(self, leg: Leg, digit: str, duration_ms: int) -> None:
        self._show("agent", f"key {digit}")

    def _frame(self, pcm: bytes) -> None:
        self._heard += pcm
        spoken, self._voice = bytes(self._voice[: len(pcm)]), self._voice[len(pcm) :]
        self._spoken += spoken + bytes(len(pcm) - len(spoken))
        before = self._script.heard_ms
        step = self._script.frame(pcm, self.leg.queued_ms > 0)
        if before == 0 and self._script.heard_ms and self.result.first_audio_ms is None:
            self.result.first_audio_ms = round((self.reactor.seconds() - self._answered) * 1000)
        if step == "next":
            self._next()
        elif step == "give up":
            self._hang_up("caller")

    def _next(self) -> None:
        item = self._items.pop(0)
        self._show("caller", item.text if item.kind == "say" else f"[{item.kind} {item.text}]")
        if item.kind == "dtmf":
            self.leg.send_dtmf(item.text)
        else:
            self.leg.play(item.pcm)
            self._voice += item.pcm


def tls_context(certificate: Path | None) -> CertificateOptions:
    """Trusts exactly this certificate; without one the peer is not verified."""
    if certificate is None:
        return CertificateOptions(verify=False)
    return CertificateOptions(trustRoot=trustRootFromCertificates([Certificate.loadPEM(certificate.read_bytes())]))
