"""One call's media: what signalling and agents see of it.  Its parts: sender, receiver, hearing."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import attrs
from zope.interface import classImplements

from smartalex.interfaces import IAudioFilterFactory, IAudioOut, ICodec
from smartalex.media.codecs import registry
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.frame import FRAME_MS, Clip
from smartalex.media.level import FLOOR_DBFS
from smartalex.media.recording import Tape
from smartalex.rtp import wire
from smartalex.rtp.hearing import CONCEALED, NOTHING, Hearing
from smartalex.rtp.listening import Listening
from smartalex.rtp.monitor import ratings, remote_mos
from smartalex.rtp.packet import HEADER_BYTES
from smartalex.rtp.protection import Protection, Send, Shake, Wanted, quietly
from smartalex.rtp.quality import mos
from smartalex.rtp.receiver import UNSPECIFIED, Address, Presses, Receiver
from smartalex.rtp.reports import RtcpSession
from smartalex.rtp.sender import Sender
from smartalex.rtp.source import Conflicts

__all__ = ["CONCEALED", "NOTHING", "Address", "Leg", "LegStats", "MediaParams"]


@attrs.frozen
class MediaParams:
    """What signalling has agreed; `send` False while the peer holds us.

    `ptime_ms` is how long the packets are to be that we send, `parameters` the codec's a=fmtp, both as the peer wants them.
    `secured` are the keys for SRTP, or whom to get them from; None for plain RTP.
    `mux`: RTCP shares the port of RTP (RFC 5761); else `control` is where the peer wants it, if not above that (RFC 3605).
    """

    codec: str = "PCMU"
    payload_type: int = 0
    dtmf_payload_type: int | None = None
    ptime_ms: int = FRAME_MS
    send: bool = True
    parameters: str = ""
    dtmf_clock: int = 8000
    noise_payload_type: int | None = None
    secured: Wanted | None = None
    mux: bool = False
    control: tuple[str, int] | None = None


@attrs.frozen
class LegStats:
    """Counted over the leg's life; times are seconds since it was opened.  None: nothing came, or nobody told.

    `lost` never arrived, `late` arrived too late; `remote_*` is how the peer receives us (RTCP), its loss
    over the last reporting interval.  `mos` is of conversation, `mos_lq` of listening; `buffer_ms` is how deep the jitter buffer
    is.  `dry_ms` is silence within what an agent said because its audio came too late.  `loops` are packets of our own that came
    back, `forged` packets failed SRTP's authentication.
    """

    packets_sent: int
    packets_received: int
    lost: int
    late: int
    concealed: int
    strangers: int
    malformed: int
    jitter_ms: float
    first_packet_s: float | None
    last_packet_s: float | None
    played_ms: int
    mos: float | None
    remote_lost: int | None = None
    remote_loss_pct: float | None = None
    remote_jitter_ms: float | None = None
    rtt_ms: float | None = None
    dry_ms: int = 0
    dry_times: int = 0
    forged: int = 0
    replayed: int = 0
    loops: int = 0
    mos_lq: float | None = None
    remote_mos: float | None = None
    buffer_ms: int | None = None
    echo_delay_ms: int | None = None
    echo_loss_db: float | None = None


class Leg:
    """Made by `MediaPlane.open`.  `user` belongs to whoever opened it; `receive` False saves decoding what nobody hears."""

    __slots__ = (
        "__weakref__", "_codec", "_conflicts", "_now", "_opened", "_random", "_socket", "_started", "closed", "control_address",
        "hear", "hearing", "listening", "local_port", "mux", "on_closed", "on_control", "on_pressed", "on_renewing", "on_secured",
        "on_started", "poll", "protection", "receiver", "rtcp", "send_beside", "sender", "shake", "slot", "user",
        "wire",
    )  # fmt: skip

    def __init__(self, sock: socket.socket, port: int, random: Callable[[int], int], now: Callable[[], float]) -> None:
        self._socket = sock
        self.wire = wire.of(sock)
        self.local_port = port
        self._now = now
        self._random = random
        self._opened = now()
        self._conflicts = Conflicts()
        self._codec: ICodec = PCMU()
        self.sender = Sender(self._codec, random)
        self.hearing = Hearing(self._codec)
        self.hear: Callable[[], tuple[bytes, int]] = self.hearing.hear
        self.receiver = Receiver(self.hearing, now)
        self.receiver.looped = self.looped
        self.rtcp = RtcpSession(self.sender.ssrc, f"{random(96):024x}")  # a name of its own for each call (RFC 7022)
        self.mux = False
        self.control_address: Address | None = None
        self.on_control: Callable[[bytes, Address, float], None] = lambda data, address, arrival: None
        self.on_renewing: Callable[[], None] = lambda: None
        self.listening: Listening | None = None
        self.protection: Protection | None = None
        self.shake: Shake | None = None
        self.send_beside: Send = lambda data, address: None  # by the socket of RTCP
        self._started = self.closed = False
        self.slot = 0
        self.user: Any = None
        self.poll: Callable[[], None] = lambda: None
        self.on_started: Callable[[Leg], None] = lambda leg: None
        self.on_closed: Callable[[Leg], None] = lambda leg: None
        self.on_pressed: Callable[[Leg, str, int], None] = lambda leg, digit, ms: None
        self.on_secured: Callable[[str, str], None] = lambda suite, why: None  # as `Protection.on_keys`

    # ------------------------------------------------------------------ verbs

    @property
    def rate(self) -> int:
        return self._codec.rate

    @property
    def codec(self) -> str:
        return self._codec.name

    def meet(self, host: str) -> None:
        """The peer signals from there: it may be behind a NAT of that address."""
        self.receiver.neighbour = host

    def set_remote(self, address: str, port: int, params: MediaParams) -> None:
        """Send there from now on, and take packets from there (`Receiver.expect`)."""
        self.adopt(params)
        if not self.closed:
            self._secure(params, _sockaddr(address, port))
        self.receiver.configure(params.payload_type, params.dtmf_payload_type, params.dtmf_clock, params.noise_payload_type)
        self._pressed(self.receiver.expect(address, port))
        self._share(params)
        send = params.send and self.receiver.remote is not None and not self.closed
        self.sender.configure(params.payload_type, params.dtmf_payload_type, send=send, keys_clock=params.dtmf_clock)
        if not self._started and not self.closed:
            self._started = True
            self.on_started(self)

    def _share(self, params: MediaParams) -> None:
        """Where RTCP goes, and where it comes in."""
        self.mux, control = params.mux, params.control
        self.control_address = None if control is None else _sockaddr(*control)
        self.receiver.control = self.on_control if params.mux and not self.closed else None

    def _secure(self, params: MediaParams, signalled: Address) -> None:
        """As signalling has it; only signalling takes it away again."""
        if params.secured is None:
            self._unsecure()
            return
        if self.protection is None:
            self.protection = Protection(self.receiver, self.renew, (quietly(self._socket), self.send_beside), self.shake)
            self.receiver.unprotect = self.protection.received
        elif signalled[0] in UNSPECIFIED and self.protection.by_handshake:
            return  # on hold in the style of RFC 2543
        self.protection.on_keys = self.on_secured
        control = _sockaddr(*params.control) if params.control else (signalled[0], min(signalled[1] + 1, 65535), *signalled[2:])
        self.protection.demand(params.secured, signalled, None if params.mux else control)

    def _unsecure(self) -> None:
        if self.protection is not None:
            self.protection.stop()
            self.protection = self.receiver.unprotect = None

    def adopt(self, params: MediaParams) -> None:
        """Speak this codec in such packets from now on, wherever the peer is; LocalError where there is no such codec."""
        codec = self._codec
        if params.codec != codec.name:
            clock, codec = codec.clock, registry.find(params.codec)()
            self._codec = codec
            if codec.clock != clock and self.sender.packets:
                self.renew()  # timestamps of one source have one clock (RFC 7160 4.1)
            self.hearing.change(codec)
            if self.listening is not None:
                self.listening.change(codec)
            self.receiver.change(codec.clock)
            self.rtcp.clock = codec.clock
        codec.adapt(params.parameters)
        self.sender.change(codec, params.ptime_ms)

    def play(self, pcm: bytes, rate: int = 0) -> None:
        self.sender.playback.play(pcm, rate)

    def play_clip(self, clip: Clip, loop: bool = False) -> None:
        self.sender.playback.play_clip(clip, loop)

    def expect(self, more: bool) -> None:
        self.sender.playback.expect(more)

    def flush(self) -> float:
        return self.sender.playback.flush()

    def pause(self) -> None:
        self.sender.playback.pause()

    def resume(self) -> None:
        self.sender.playback.resume()

    @property
    def played_ms(self) -> float:
        return self.sender.playback.played_ms

    @property
    def queued_ms(self) -> float:
        return self.sender.playback.queued_ms

    def send_dtmf(self, digits: str, ms: int = 160) -> None:
        """RFC 4733 events with 100 ms between digits; nothing when the peer did not offer them.

        ValueError for what is no key of 0-9 * # A-D.
        """
        self.sender.send_dtmf(digits, ms)

    def stats(self) -> LegStats:
        sender, receiver, hearing, rtcp, since = self.sender, self.receiver, self.hearing, self.rtcp, self._opened
        received, source, lost = receiver.packets, receiver.source, receiver.lost
        echo = self.listening.echo if self.listening else None
        srtp = self.protection.srtp if self.protection else None
        listening, conversation = ratings(self, source) if source else (None, None)
        return LegStats(
            sender.packets, received, lost, hearing.jitter.late, hearing.concealed, receiver.strangers,
            receiver.malformed + (srtp.malformed if srtp else 0),
            round(source.jitter_ms, 2) if source else 0.0, round(receiver.first_at - since, 3) if received else None,
            round(receiver.last_at - since, 3) if received else None, int(self.played_ms), _mos(conversation),
            rtcp.remote_lost, _rounded(rtcp.remote_loss_pct), _rounded(rtcp.remote_jitter_ms), _rounded(rtcp.rtt_ms),
            sender.playback.dry_ms, sender.playback.dry_times, srtp.forged if srtp else 0, srtp.replayed if srtp else 0,
            echo_delay_ms=echo.delay_ms if echo else None, echo_loss_db=echo.loss_db if echo else None, loops=receiver.loops,
            mos_lq=_mos(listening), remote_mos=_rounded(remote_mos(self)),
            buffer_ms=round(hearing.jitter.depth_ms) if source else None,
        )  # fmt: skip

    def close(self) -> None:
        if not self.closed:
            self.closed = True
            self.sender.sending = False
            if self.listening is not None:
                self.listening.close()
            self.flush()
            self.on_closed(self)
            self.receiver.close()
            if self.protection is not None:
                self.protection.stop()
                self.receiver.unprotect = None
            self.on_secured = lambda suite, why: None

    # ------------------------------------------------------------------ what listens in

    def use_filter(self, factory: IAudioFilterFactory | None, on_lost: Callable[[str], None]) -> None:
        """What is heard goes through a filter of it; `on_lost` is told why one that fails is not used any more."""
        listening = self._listens()
        listening.on_filter_lost = on_lost
        listening.use_filter(factory)

    def detect_tones(self, on_tone: Callable[[str, int], None]) -> None:
        """`on_tone` is told each key that is heard as a tone, and its milliseconds."""
        listening = self._listens()
        listening.on_tone = on_tone
        listening.detect_tones(True)

    def measure_echo(self) -> None:
        """Of our own voice, from now on: see `echo_dbfs`, and the stats."""
        self._listens().measure_echo(True)

    def record(self, tape: Tape) -> None:
        """Both directions, until the leg is closed."""
        self.receive = True
        self._listens().record(tape)

    def echo_dbfs(self) -> float:
        return FLOOR_DBFS if self.listening is None else self.listening.echo_dbfs()

    def _listens(self) -> Listening:
        if self.listening is None:
            self.listening = Listening(self.hearing.hear, self.sender, self._codec)
            self.hear = self.listening.hear
        return self.listening

    # ------------------------------------------------------------------ for signalling

    @property
    def receive(self) -> bool:
        return self.receiver.enabled

    @receive.setter
    def receive(self, wanted: bool) -> None:
        self.receiver.enabled = wanted

    @property
    def packets_received(self) -> int:
        return self.receiver.packets

    # ------------------------------------------------------------------ who we are (RFC 3550 8.2)

    def looped(self, ssrc: int, address: Address) -> bool:
        """Whether what comes from there is our own: true from the second time on, the first time we take another SSRC."""
        if ssrc != self.sender.ssrc:
            return False
        if self._conflicts.looped(address, self._now()):
            return True
        self.renew()
        return False

    def renew(self) -> None:
        """Go on as another source, and say so."""
        self.on_renewing()
        self.sender.renew(self._random)
        self.rtcp.ssrc = self.sender.ssrc

    # ------------------------------------------------------------------ called by the plane

    def send_control(self, data: bytes) -> None:
        """RTCP from the port of RTP; raises OSError."""
        if self.receiver.remote is not None:
            self._socket.sendto(data, self.receiver.remote)

    def received(self, buffer: memoryview | bytes, size: int, address: Address, arrival: float) -> None:
        """One datagram, the first `size` bytes of `buffer`; `arrival` is seconds of any even clock."""
        presses = self.receiver.received(buffer, size, address, arrival)
        if presses:
            self._pressed(presses)

    def _pressed(self, presses: Presses) -> None:
        for digit, ms in presses:
            self.on_pressed(self, digit, ms)

    def tick(self) -> None:
        """Once in 20 ms: the packet that is due goes out; a key press whose end was lost comes to its end."""
        sender, protection, listening = self.sender, self.protection, self.listening
        packet = sender.packet()
        while packet is not None:
            if listening is not None:
                listening.sent(packet)
            data = packet if protection is None else protection.srtp.protect(packet)
            if data is not None and self.wire.send(data, self.receiver.remote):
                sender.packets += 1
                sender.octets += len(packet) - HEADER_BYTES
            packet = sender.packet() if sender.more else None
        presses = self.receiver.tick()
        if presses:
            self._pressed(presses)


def _sockaddr(address: str, port: int) -> Address:
    return (address, port, 0, 0) if ":" in address else (address, port)


def _mos(r: float | None) -> float | None:
    return None if r is None else round(mos(r), 2)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 2)


classImplements(Leg, IAudioOut)
