"""A caller's PBX and our switchboard, each with a whole SIP stack, on one Clock; RTP over real sockets, driven by hand."""

from __future__ import annotations

import socket
from collections.abc import Callable
from random import Random
from typing import Any

import attrs
from twisted.internet.defer import Deferred
from zope.interface import implementer

from smartalex.ai.breaker import Breakers
from smartalex.ai.options import ConversationOptions
from smartalex.calls.admission import Admission
from smartalex.calls.call import CallOptions, Plant
from smartalex.calls.limits import Bounds, Limits
from smartalex.calls.listening import Recordings
from smartalex.calls.message import MessageLimits, MessageSounds
from smartalex.calls.switchboard import Records, Switchboard, Voices
from smartalex.interfaces import CallEvent, IMessageBox, IMessageWriter, Verdict
from smartalex.media.codecs.g711 import PCMU
from smartalex.media.frame import Clip
from smartalex.rtp.packet import HEADER
from smartalex.rtp.plane import MediaPlane, PlaneOptions
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Request
from smartalex.sip.session import Session
from smartalex.sip.ua import InviteOptions
from smartalex.sip.uri import Uri
from smartalex.tenants.agent import Agent as TenantAgent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace
from tests.ai.fakes import GREETING, Backend, book, loud
from tests.calls.test_admission import Says
from tests.sip.network import Agent, Network, Recorder

FRAME_S = 0.02
SPEECH = PCMU().encode(b"\x00\x20" * 160)
DIRECTORY = Directory(
    (Extension("sarah", "301", "Sarah Mitchell", department="billing"), Extension("desk", "100", "Reception", "department")),
    "desk",
)
TENANCY = Tenancy(
    1,
    {"w1": Workspace("w1", "Acme", DIRECTORY)},
    {"t1": Trunk("t1", "w1", "acme", "pbx.example.com", "sa_user", max_calls=5), "t2": Trunk("t2", "w1", "two", "", "sa_two")},
    (Did("+27215550100", "t1", "a1"), Did("alex", "t2", "a1")),
    {"a1": TenantAgent("a1", "w1", "Alex", "Hello, this is Alex.")},
)
SOUNDS = MessageSounds(*(Clip(loud(400), 8000, name) for name in ("after the beep", "beep", "saved", "nothing heard", "trouble")))


def sdp(port: int, *, codecs: str = "0 101", direction: str = "sendrecv", version: int = 1) -> bytes:
    lines = ["v=0", f"o=- 7 {version} IN IP4 127.0.0.1", "s=-", "c=IN IP4 127.0.0.1", "t=0 0", f"m=audio {port} RTP/AVP {codecs}"]
    lines += ["a=rtpmap:101 telephone-event/8000", f"a={direction}"]
    return "".join(f"{line}\r\n" for line in lines).encode()


@implementer(IMessageWriter)
class Writer:
    """Keeps a message as soon as it is asked, unless `stored` is a Deferred that has not fired."""

    def __init__(self, box: Box, call_id: str) -> None:
        self.box, self.call_id = box, call_id
        self.pcm = b""
        self.committed: tuple[int, str, str] | None = None
        self.abandoned = False

    def write(self, pcm: bytes) -> None:
        self.pcm += pcm

    def commit(self, duration_ms: int, for_id: str, for_name: str) -> Deferred[str]:
        self.committed = (duration_ms, for_id, for_name)
        return self.box.stored(self.call_id)

    def abandon(self) -> None:
        self.abandoned = True


def at_once(call_id: str) -> Deferred[str]:
    stored: Deferred[str] = Deferred()
    stored.callback(call_id)
    return stored


@implementer(IMessageBox)
class Box:
    def __init__(self) -> None:
        self.writers: list[Writer] = []
        self.stored: Callable[[str], Deferred[str]] = at_once

    def open(self, call_id: str, caller: str) -> Writer:
        self.writers.append(Writer(self, call_id))
        return self.writers[-1]


class Sockets:
    """The part of a reactor that the media plane uses; its sockets are read when `poll` says so."""

    def __init__(self, network: Network) -> None:
        self.seconds, self.callLater = network.clock.seconds, network.clock.callLater
        self._readers: list[Any] = []

    def addReader(self, reader: Any) -> None:
        self._readers.append(reader)

    def removeReader(self, reader: Any) -> None:
        self._readers.remove(reader)

    def poll(self) -> None:
        for reader in list(self._readers):
            reader.doRead()


class Caller:
    """One caller behind the PBX: a SIP session and an RTP socket."""

    def __init__(self, exchange: Exchange) -> None:
        self.exchange = exchange
        self.recorder = Recorder()
        self.session: Session
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.setblocking(False)
        self.socket.bind(("127.0.0.1", 0))
        self._sequence = 0
        self._to = 0
        self.heard: list[bool] = []  # one entry a packet: whether it was sound
        self.packets: list[bytes] = []

    @property
    def port(self) -> int:
        return int(self.socket.getsockname()[1])

    def statuses(self) -> list[int]:
        """Every response to the INVITE but 100."""
        story = self.recorder.story
        return [e[1] for e in story if e[0] in ("progress", "answered", "failed") and e[1] != 100]

    @property
    def timestamp(self) -> int:
        """Of the packet that is sent next."""
        return (self._sequence + 1) * 160

    def send(self, payload: bytes = SPEECH, kind: int = 0, timestamp: int | None = None) -> None:
        """One RTP packet, to where the call is or was."""
        call = self.exchange.call_of(self)
        if call is not None:
            self._to = call.media.leg.local_port
        at = self.timestamp if timestamp is None else timestamp
        self._sequence += 1
        header = HEADER.pack(0x80, kind, self._sequence, at, 4711)
        self.socket.sendto(header + payload, ("127.0.0.1", self._to))

    def listen(self) -> None:
        while True:
            try:
                packet = self.socket.recv(2048)
            except BlockingIOError:
                return
            self.packets.append(packet)
            self.heard.append(any(byte != 0xFF for byte in packet[HEADER.size :]))

    def sounds(self) -> int:
        """How many frames of sound arrived since this was asked last."""
        count, self.heard = sum(self.heard), []
        return count


class Exchange:
    """`backends` make up the agent's chain."""

    def __init__(
        self, *backends: Any, greeting: Clip | None = GREETING, options: CallOptions | None = None,
        recordings: Recordings | None = None,
    ) -> None:  # fmt: skip
        self.network = Network()
        self.network.clock.advance(1000)
        self.pbx, self.us = Agent(self.network, "192.0.2.1"), Agent(self.network, "192.0.2.2")
        self.backends = backends or (Backend(),)
        self.events: list[CallEvent] = []
        self.counters = self.us.counters
        self.box = Box()
        self.verdict = Says(Verdict("t1"))
        self.limits = Limits(Bounds(10), self.network.clock.seconds, lambda: 0.0)
        self.admission = Admission(self.verdict, TENANCY, self.limits)
        self.callers: list[Caller] = []
        self.greeting = greeting
        clock = self.network.clock
        limits = MessageLimits(max_s=20, silence_s=1, no_speech_s=2, least_speech_s=0.4)
        plant = Plant(
            clock, self.counters, self.box, lambda language: SOUNDS, lambda: any, options or CallOptions(message=limits),
            recordings,
        )  # fmt: skip
        records = Records(self.events.append, lambda: 1_700_000_000 + clock.seconds(), clock.seconds, Random(7).randbytes)
        self.switchboard = Switchboard(self.admission, plant, Voices(self.options_of, book(clock)), records, clock)
        self.sockets = Sockets(self.network)
        ports = PlaneOptions("127.0.0.1", (31000, 33000), slots=1)
        self.plane = MediaPlane(self.sockets, ports, self.switchboard, self.counters, Random(7).getrandbits, clock.seconds)
        self.switchboard.plane = self.plane
        self.switchboard.address_for = lambda peer: "127.0.0.1"
        self.us.ua.owner = self.switchboard
        self.plane.start()

    def options_of(self, agent: TenantAgent) -> ConversationOptions:
        return ConversationOptions(self.backends, self.greeting, breakers=Breakers(), detector=lambda rate: any)

    def change(self, trunk: str = "t1", **changes: Any) -> None:
        """Another value in the trunk's row, as the service adopts it."""
        tenancy = self.admission.tenancy
        changed = attrs.evolve(tenancy.trunks[trunk], **changes)
        self.admission.tenancy = attrs.evolve(tenancy, trunks={**tenancy.trunks, trunk: changed})

    # ------------------------------------------------------------------ the caller's side

    def dial(self, number: str = "+27215550100", *, offer: bytes | None = None, headers: Any = (), **sdp_options: Any) -> Caller:
        """Send an INVITE; nothing has arrived yet."""
        caller = Caller(self)
        self.callers.append(caller)
        uri = Uri.parse(f"sip:{number}@192.0.2.2")
        from_ = NameAddr("Zoë", Uri.parse("sip:+15550001@192.0.2.1"))
        body = sdp(caller.port, **sdp_options) if offer is None else offer
        options = InviteOptions(uri, Peer("udp", "192.0.2.2", 5060), from_, NameAddr("", uri), body, tuple(headers))
        caller.session = self.pbx.ua.invite(options, caller.recorder)
        return caller

    def talk(self, caller: Caller, seconds: float, payload: bytes = SPEECH) -> None:
        """The caller sends `payload` in every frame."""
        for _ in range(round(seconds / FRAME_S)):
            caller.send(payload)
            self.sockets.poll()
            self.run(FRAME_S)

    def say(self, caller: Caller, pcm: bytes) -> None:
        """The caller sends this, at 8 kHz, frame after frame."""
        for start in range(0, len(pcm), 320):
            caller.send(PCMU().encode(pcm[start : start + 320].ljust(320, b"\0")))
            self.sockets.poll()
            self.run(FRAME_S)

    def run(self, seconds: float) -> None:
        self.network.run(seconds)
        for caller in self.callers:
            caller.listen()

    def connected(self, **options: Any) -> Caller:
        """A caller whose call was answered."""
        caller = self.dial(**options)
        self.run(0.5)
        return caller

    def sent(self, title: str) -> list[Any]:
        """The messages of this kind, of whichever side: 'REFER', 'SIP/2.0 503 INVITE'."""
        return self.network.messages(title)

    # ------------------------------------------------------------------ our side

    def call_of(self, caller: Caller) -> Any:
        """Their Call; None when it is over."""
        calls = self.switchboard.calls.values()
        return next((call for call in calls if call.session.call_id == caller.session.call_id), None)

    def press(self, caller: Caller, digit: str) -> None:
        self.switchboard.on_dtmf(self.call_of(caller).media.leg, digit, 100)

    def rows(self) -> list[dict[str, Any]]:
        """What the database would hold, one dict a call, with its story under 'story' and what was said under 'said'."""
        rows: dict[str, dict[str, Any]] = {}
        for event in self.events:
            row = rows.setdefault(event.call, {"story": [], "said": [], "steps": [], "flagged": ""})
            row.update(event.fields)
            row["story"].append(event.kind)
            if event.kind == "said":
                row["said"].append((event.data["role"], event.data["text"]))
            elif event.kind in ("transfer", "message"):
                row["steps"].append(event.data["step"])
        return list(rows.values())

    @property
    def row(self) -> dict[str, Any]:
        [row] = self.rows()
        return row

    def faults(self) -> list[str]:
        """What is left behind, or wrong with the records, once every call is over."""
        self.run(70)
        faults = [] if not len(self.plane) else [f"{len(self.plane)} legs"]
        faults += ["calls"] if self.switchboard.calls else []
        faults += ["counted"] if self.admission.busy else []
        faults += ["SIP"] if not self.us.idle() else []
        self.plane.stop()
        for agent in (self.us, self.pbx):
            agent.transports.stop()
        self.run(1)
        faults += [f"timer {call}" for call in self.network.clock.getDelayedCalls()]
        for number, row in enumerate(self.rows()):
            story = [kind for kind in row["story"] if kind not in ("sip", "recorded")]  # which may come after the end
            if story[0] != "invite" or story[-1] != "end" or story.count("end") != 1 or story.count("invite") != 1:
                faults.append(f"call {number}: {story}")
        numbers: dict[str, int] = {}
        for event in self.events:
            if event.seq != numbers.get(event.call, 0):
                faults.append(f"{event.call}: {event.seq}")
            numbers[event.call] = event.seq + 1
        for caller in self.callers:
            caller.socket.close()
        return faults


def headers_of(request: Request, name: str) -> list[str]:
    return list(request.headers.get_all(name))
