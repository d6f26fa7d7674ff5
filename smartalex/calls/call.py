"""One call: where the SIP session, the RTP leg and the voice agent meet, and nowhere else.

What may happen when is the table in `lifecycle`; this file performs its actions.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from weakref import proxy

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.ai.runtime import Conversation
from smartalex.calls import transfer as refer
from smartalex.calls.admission import Accepted
from smartalex.calls.keys import EVENT, INFO, TONE, Keys
from smartalex.calls.lifecycle import LIFECYCLE, Action, Input, State
from smartalex.calls.listening import Recordings, listen
from smartalex.calls.media import CallMedia
from smartalex.calls.message import Addressee, MessageLimits, MessageSounds, MessageTaking
from smartalex.calls.quality import QualityLog, count_packets
from smartalex.calls.record import CallRecord, printable
from smartalex.calls.referral import Referral, number_allowed, replaces_of
from smartalex.calls.watch import MediaWatch
from smartalex.errors import RemoteError, SmartAlexError
from smartalex.interfaces import ICallControl, ICounters, IMessageBox, IMessageWriter
from smartalex.machine import step
from smartalex.media.codecs import registry
from smartalex.rtp.monitor import Monitor
from smartalex.sip.headers import NameAddr
from smartalex.sip.info import read_dtmf
from smartalex.sip.message import Request
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.ua import InviteOptions
from smartalex.sip.uri import Uri
from smartalex.tenants.directory import Extension

SETTLE_S = 10.0
"""How long a call that is over waits for its message to be stored, before its record says 'lost'."""


@attrs.frozen
class CallOptions:
    """Limits in seconds.

    INVITE to the 200, whether the agent is ready or not; REFER to its first sign of progress, and from there
    until somebody picks up; how long a caller may send nothing, neither RTP nor RTCP (0: for ever).  `codecs` are for
    trunks with none of their own.
    """

    answer_limit_s: float = 3.0
    refer_timeout_s: float = 30.0
    ring_limit_s: float = 60.0
    media_timeout_s: float = 60.0
    message: MessageLimits = MessageLimits()  # noqa: RUF009 (frozen)
    codecs: tuple[str, ...] = registry.USUAL


@attrs.frozen
class Plant:
    """What all calls share."""

    clock: IReactorTime
    counters: ICounters
    messages: IMessageBox
    sounds: Callable[[str], MessageSounds]
    detector: Callable[[], Callable[[bytes], bool]]
    options: CallOptions
    recordings: Recordings | None = None


@attrs.frozen
class Party:
    """The caller as the INVITE names them: cleaned header text, to be treated as data everywhere.

    `headers` say who it is to those a call is transferred to (RFC 3325); `diverted` is (number, reason) of each
    address the call was sent on from, the latest first; `withheld`: it is for the record, and for nobody's eyes (RFC 3323).
    """

    number: str
    name: str
    headers: tuple[tuple[str, str], ...] = ()
    diverted: tuple[tuple[str, str], ...] = ()
    withheld: bool = False


@implementer(ICallControl)
class Call(SessionListener):
    """`on_released(call)` is called once, when nothing of the call is left but its record."""

    log = Logger()

    __slots__ = (
        "_cause", "_deadline", "_forwarding", "_held", "_keys", "_message",
        "_on_released", "_outcome", "_plant", "_quality", "_referral", "_target",
        "_transferred", "_untold", "_watch", "accepted", "caller", "conversation", "dial", "hear", "media", "record", "session",
        "state",
    )  # fmt: skip

    def __init__(self, plant: Plant, session: Session, accepted: Accepted, caller: Party, record: CallRecord) -> None:
        self._plant = plant
        self.session = session
        self.accepted = accepted
        self.caller = caller
        self.record = record
        self.state = State.RINGING
        self.media: CallMedia
        self.conversation: Conversation
        self.hear: Callable[[bytes, int], None] = lambda pcm, flags: None  # 20 ms of the caller, for whoever has the floor
        self._message: MessageTaking | None = None
        self._target: Extension | None = None
        self._outcome: Deferred[dict[str, Any]] | None = None
        self._deadline: IDelayedCall | None = None
        self._transferred = ""
        self._forwarding = ""
        self._cause = ""
        self._held = False
        self._keys = Keys()
        self._untold = ""
        self._watch: MediaWatch | None = None
        self._quality: QualityLog | None = None
        self._referral: Referral | None = None
        self.dial: Callable[[InviteOptions, SessionListener], Session] | None = None
        self._on_released: Callable[[Call], None] = lambda call: None

    def start(
        self, media: CallMedia, conversation: Conversation, answer: bytes | None, on_released: Callable[[Call], None]
    ) -> None:
        """Ring, prepare the agent, answer when it can speak.  `answer` is None for an INVITE without an offer."""
        self.media, self.conversation, self._on_released = media, conversation, on_released
        media.leg.user = self
        media.on_secured = self._secured
        self.session.listener = self
        body = answer if answer is not None else media.local_offer()
        ready = conversation.prepare(self._plant.options.answer_limit_s)
        if not ready.called:
            self.session.ring()
        ready.addCallback(lambda _: self._input(Input.READY, body))

    def hang_up(self, cause: str) -> None:
        """End it from our side, in whatever state it is."""
        self._input(Input.HANG_UP, cause)

    # ------------------------------------------------------------------ media

    def dtmf(self, digit: str, duration_ms: int) -> None:
        """A key by RTP (RFC 4733)."""
        self._press(EVENT, digit, duration_ms)

    def tone(self, digit: str, duration_ms: int) -> None:
        """A key heard in the audio, where the trunk has that looked for."""
        try:
            self._press(TONE, digit, duration_ms)
        except Exception:
            self.fault(Failure())

    def _press(self, way: int, digit: str, duration_ms: int) -> None:
        if not self._keys.counts(digit, way, self._plant.clock.seconds()):
            return
        if self.state is State.TAKING_MESSAGE and self._message is not None:
            self._message.dtmf(digit, duration_ms)
        elif self.state is State.TALKING:
            self.conversation.dtmf(digit, duration_ms)

    def fault(self, failure: Failure) -> None:
        """Our own code failed while hearing a frame: say so in the record, and take a message rather than be silent."""
        self.log.failure("call {call} failed on a frame", failure, call=self.record.id)
        self._plant.counters.count("calls.fault")
        self.record.event("fault", {"flagged": "internal fault"}, {"error": type(failure.value).__name__})
        if self.state is State.TALKING:
            self.take_message("")
        else:
            self._input(Input.HANG_UP, "internal fault")

    # ------------------------------------------------------------------ SIP

    def on_ack(self, session: Session, body: bytes) -> None:
        if self.media.offered:
            try:
                self.media.remote_answer(body)
            except RemoteError as error:
                self._input(Input.HANG_UP, f"the answer in the ACK did not fit: {error.reason}")
                return
            self._media_changed()
        self._input(Input.ACK)

    def on_answer(self, session: Session, body: bytes) -> None:
        """Of a refresh, and another one than we had: new keys for instance."""
        try:
            self.media.refreshed(body)
        except RemoteError as error:
            self._input(Input.HANG_UP, f"the answer to a refresh did not fit: {error.reason}")
            return
        self._media_changed()

    def on_reinvite(self, session: Session, body: bytes) -> bytes | None:
        if not body:
            return self.media.local_offer()
        answer = self.media.local_answer(body)
        self._media_changed()
        return answer

    def on_ended(self, session: Session, cause: str, request: Request | None) -> None:
        if self._referral is not None and cause == "bye":
            return  # who referred us need not wait for what becomes of it (RFC 5589 6.1)
        reason = request.headers.get("Reason") if request is not None else None
        self._cause = self._cause or CAUSES.get(cause, cause)
        if reason and self.state is not State.ENDED:
            self.record.event("reason", data={"reason": printable(reason, 200)})
        # A connection that broke says nothing of a transfer in progress; a BYE does.
        self._input(Input.HANG_UP if self._cause in FAILURES else Input.PEER_GONE)

    def on_refer_accepted(self, session: Session) -> None:
        self._refer_step(refer.accepted())

    def on_refer_progress(self, session: Session, status: int, reason: str, final: bool) -> None:
        self.record.event("transfer", data={"step": "progress", "status": status, "reason": printable(reason)})
        self._refer_step(refer.progress(status, final=final))

    def on_refer_lost(self, session: Session) -> None:
        self._refer_step(refer.progress(100, final=True))

    def on_info(self, session: Session, content_type: str, body: bytes) -> bool:
        """A key by SIP INFO."""
        key = read_dtmf(content_type, body)
        if key is None:
            return False
        self._press(INFO, *key)
        return True

    # ------------------------------------------------------------------ another leg in the caller's place

    def replace(self, session: Session, address: str) -> None:
        """Go on with `session`, an INVITE with Replaces that is not answered yet; the old leg is ended (RFC 3891 3)."""
        if self.state not in (State.TALKING, State.TAKING_MESSAGE):
            session.reject(491)
            return
        offer = session.request.body
        try:
            self.media.meet(session.peer.host, session.peer.transport)
            body = self.media.local_answer(offer, anew=True) if offer else self.media.local_offer(anew=True)
        except RemoteError as error:
            session.reject(error.status, error.reason)
            return
        old = self._move_to(session)
        session.answer(body)
        if offer:
            self._media_changed()
        self.record.event("replaced", data={"by": f"{session.peer.host}:{session.peer.port}"})
        self._plant.counters.count("calls.replaced")
        old.hangup()

    def _move_to(self, session: Session) -> Session:
        old, self.session = self.session, session
        old.listener, session.listener = NOBODY, self
        self.record.follow(session.call_id)
        session.replaces = None
        return old

    def on_refer(self, session: Session, refer_to: NameAddr, request: Request) -> bool:
        """The PBX wants the agent to talk with somebody else; the number has to be on the trunk's list."""
        trunk = self.accepted.trunk
        number = number_allowed(refer_to, trunk)
        allowed = number is not None and self.state is State.TALKING and self._referral is None and self.dial is not None
        step = "asked" if allowed else "refused"
        self.record.event("referral", data={"step": step, "to": number or printable(refer_to.uri.user_text, 64)})
        self._plant.counters.count("referral", step)
        if not allowed or self.dial is None or session.dialog is None:
            return False
        uri = Uri.parse(f"sip:{number}@{trunk.pbx_domain or bracketed(session.peer.host)}")
        by = request.headers.get("Referred-By") or f"<{session.dialog.remote.uri}>"
        headers = (("Referred-By", printable(by, 200)), *replaces_of(refer_to), *self.caller.headers)
        self._referral = Referral(proxy(self))
        us = NameAddr("", session.dialog.local.uri)
        next_hop = None if trunk.pbx_domain else session.peer
        options = InviteOptions(uri, next_hop, us, NameAddr("", uri), self.media.local_offer(anew=True), headers)
        self._referral.session = self.dial(options, self._referral)
        self.record.follow(self._referral.session.call_id)
        return True

    def referral_progress(self, status: int, reason: str, *, final: bool) -> None:
        self.record.event("referral", data={"step": "progress", "status": status})
        if final:
            self._referral = None
            self.media.withdraw()
        if self.session.takes_requests():
            self.session.notify_refer(status, reason, final)
        elif final:
            self._cause = self._cause or CAUSES["bye"]
            self._input(Input.PEER_GONE)

    def referral_answered(self, session: Session, body: bytes) -> None:
        """The one we were referred to is there; the one who referred us hangs up, as a rule, and we do after all."""
        self.media.remote_answer(body)
        self.media.meet(session.peer.host, session.peer.transport)
        old = self._move_to(session)
        self._referral = None
        self._media_changed()
        self.record.event("referral", data={"step": "done"})
        if old.takes_requests():
            old.notify_refer(200, "OK", final=True)
        old.hangup()

    # ------------------------------------------------------------------ the agent's wishes (ICallControl)

    def transfer(self, destination_id: str, reason: str) -> Deferred[dict[str, Any]]:
        target = self.accepted.workspace.directory.find(destination_id)
        if target is None:
            return succeed({"ok": False, "cause": "unknown destination", "name": ""})
        if self.state is not State.TALKING:
            return succeed({"ok": False, "cause": f"not while {self.state.value}", "name": target.name})
        if not self.accepted.workspace.available(target, self.record.date()):
            return succeed({"ok": False, "cause": "not available now", "name": target.name})
        self._target, self._outcome, self._forwarding = target, Deferred(), ""
        outcome = self._outcome
        self._input(Input.TRANSFER, reason)
        return outcome

    def take_message(self, for_id: str) -> Deferred[dict[str, Any]]:
        if self.state is not State.TALKING:
            return succeed({"ok": False, "cause": f"not while {self.state.value}"})
        writer = self._plant.messages.open(self.record.id, self.caller.number)  # what it raises leaves the caller with the agent
        self._input(Input.MESSAGE, (for_id, writer))
        return succeed({"ok": True})

    def end(self, reason: str) -> None:
        self._input(Input.HANG_UP, reason)

    def said(self, role: str, text: str) -> None:
        self.record.event("said", data={"role": role, "text": text[:2000]})

    def event(self, kind: str, data: dict[str, Any]) -> None:
        fields = {"flagged": kind} if kind in FLAGS else None
        self.record.event(kind, fields, data)

    # ------------------------------------------------------------------ the table's actions

    def _input(self, event: Input, detail: Any = "") -> None:
        row = step(LIFECYCLE, self.state, event)
        if row is None:
            return
        actions, self.state = row
        for action in actions:
            self._perform[action](self, detail)

    def _answer(self, body: bytes) -> None:
        listen(self, self.media.leg, self.accepted.trunk, self._plant.counters, self._plant.recordings)
        self.media.connect()
        agreed = self.media.agreed
        self.record.answered({"status": 200, "codec": agreed.codec if agreed else ""})
        self.session.answer(body)

    def _begin(self, _: Any) -> None:
        self.hear, self._held = self.conversation.frame, self.media.held
        self._watch = MediaWatch(
            self._plant.clock, self._plant.options.media_timeout_s, self.media.leg, self._audio_expected, self._audio_lost
        )
        self._watch.start()
        self._quality = QualityLog(self._plant.clock, self._plant.counters, Monitor(self.media.leg))
        self._quality.start()
        self.conversation.begin()

    def _send_refer(self, reason: str) -> None:
        target, trunk = self._target, self.accepted.trunk
        assert target is not None
        number = self._forwarding or target.number
        refer_to = f"<sip:{number}@{trunk.pbx_domain or bracketed(self.session.peer.host)}>"
        self.record.event("transfer", data={"step": "refer", "to": number, "name": target.name, "why": reason[:200]})
        self._plant.counters.count("transfer.refer")
        self._start_deadline(refer.Deadline.FIRST_SIGN)
        try:
            self.session.refer(refer_to, None, headers=self.caller.headers)
        except SmartAlexError as error:
            self._refer_step(refer.Step(Input.REFER_FAILED, str(error)))

    def _leave_media(self, _: Any) -> None:
        self.record.event("transfer", data={"step": "accepted"})
        self.hear = lambda pcm, flags: None
        self.conversation.suspend()
        self.media.leg.flush()
        self.media.mute(True)

    def _return_media(self, _: Any) -> None:
        self.media.mute(False)
        self.hear = self.conversation.frame

    def _report_failure(self, cause: str) -> None:
        self._plant.counters.count("transfer.failed", cause)
        self.record.event("transfer", {"flagged": "transfer failed"}, {"step": "failed", "cause": cause})
        self._settle_transfer({"ok": False, "cause": cause, "name": self._target.name if self._target else ""})
        if self._held:  # the PBX holds the caller meanwhile; what became of it is told when they are back
            self._untold = f"The transfer failed: {cause}"
            self.conversation.suspend()

    def _mark_transferred(self, _: Any) -> None:
        self._transferred = self._forwarding or (self._target.number if self._target else "")
        self._cause = "transferred"
        self._plant.counters.count("transfer.done")
        self.record.event("transfer", {"transferred_to": self._transferred}, {"step": "done"})

    def _take_message(self, detail: tuple[str, IMessageWriter]) -> None:
        for_id, writer = detail
        self.conversation.suspend()
        target = self.accepted.workspace.directory.find(for_id)
        to = Addressee(target.id, target.name) if target else Addressee()
        sounds = self._plant.sounds(self.accepted.agent.language)
        self._message = MessageTaking(self.media.leg, sounds, writer, self._plant.detector(), self._plant.options.message)
        self.hear = self._message.frame
        self.record.event("message", data={"step": "started", "for": to.name})
        self._message.start(to, lambda: self._input(Input.HANG_UP, "message taken"))

    def _bye(self, cause: Any) -> None:
        self._cause = self._cause or (cause if isinstance(cause, str) else "")
        self.session.hangup(REASONS.get(self._cause))

    def _release(self, _: Any) -> None:
        self._stop_deadline()
        if self._referral is not None:
            self._referral.abandon()
            self._referral = None
        if self._watch is not None:
            self._watch.stop()
            self._watch = None
        self.hear = lambda pcm, flags: None
        self.conversation.close(self._cause)
        self._settle_transfer({"ok": bool(self._transferred), "cause": self._cause, "name": ""})
        quality, self._quality = self._quality, None
        sound: dict[str, Any] = {} if quality is None else quality.stop(self.record.event)
        statistics = self.media.leg.stats()
        count_packets(self._plant.counters, statistics)
        sound["rtp"] = attrs.asdict(statistics)
        self.media.leg.close()
        if self._message is None:
            self._close_record(sound, "", "")
            return
        self._message.caller_gone()
        settled = self._message.settled.addTimeout(SETTLE_S, self._plant.clock)
        settled.addErrback(lambda _: ("lost", "")).addCallback(lambda outcome: self._close_record(sound, *outcome))

    _perform: dict[Action, Callable[[Call, Any], None]] = {
        Action.ANSWER: _answer,
        Action.BEGIN: _begin,
        Action.SEND_REFER: _send_refer,
        Action.LEAVE_MEDIA: _leave_media,
        Action.RETURN_MEDIA: _return_media,
        Action.REPORT_FAILURE: _report_failure,
        Action.TAKE_MESSAGE: _take_message,
        Action.MARK_TRANSFERRED: _mark_transferred,
        Action.BYE: _bye,
        Action.RELEASE: _release,
    }

    # ------------------------------------------------------------------

    def _close_record(self, sound: dict[str, Any], message: str, message_id: str) -> None:
        if message:
            self.record.event("message", data={"step": message, "id": message_id})
        self.record.close(self._disposition(message), self._cause, sound)
        self._on_released(self)
        self.session.listener = NOBODY  # with the leg's user, what leads back to us: no work for the collector
        self.media.leg.user = None
        self.media.part()

    def _media_changed(self) -> None:
        """Offer and answer are complete, at the start or later; `held` is the peer's wish not to hear us (RFC 3264 8.4)."""
        self.media.connect()
        codec = self.media.agreed.codec if self.media.agreed else ""
        self.record.event("hold" if self.media.held else "media", {"codec": codec}, {"codec": codec})
        self._keys.restart()
        was, self._held = self._held, self.media.held
        if self.state is not State.TALKING or was is self._held:
            return
        if self._held:
            self.conversation.suspend()
        else:
            self.conversation.resume(self._untold, bool(self._untold))
            self._untold = ""

    def _secured(self, what: str, why: str) -> None:
        """What was agreed on is kept or the call ends: nobody goes on in clear unawares."""
        if why:
            self.record.event("secured", {"secured": f"failed: {why}", "flagged": NOT_SECURED}, {"failed": why})
            self._plant.counters.count("calls.not_secured")
            self._input(Input.HANG_UP, NOT_SECURED)
        else:
            self.record.event("secured", {"secured": what or "in part only"}, {"by": what or "nothing"})

    def _audio_expected(self) -> bool:
        """Not on hold, on either side, and not while the PBX may be busy with the caller."""
        agreed = self.media.agreed
        both_ways = agreed is not None and agreed.direction == "sendrecv"
        return both_ways and self._referral is None and self.state in (State.TALKING, State.TAKING_MESSAGE)

    def _audio_lost(self) -> None:
        limit_s, received = self._plant.options.media_timeout_s, self.media.leg.packets_received
        self.record.event(MEDIA_TIMEOUT, {"flagged": MEDIA_TIMEOUT}, {"limit_s": limit_s, "packets_received": received})
        self._plant.counters.count("calls.media_timeout")
        self._input(Input.HANG_UP, MEDIA_TIMEOUT)

    def _disposition(self, message: str) -> str:
        if self._transferred:
            return "transferred"
        if message == "kept":
            return "message"
        if self._cause in ("cancelled",):
            return "cancelled"
        return "completed" if self.session.dialog is not None and self._cause not in FAILURES else "failed"

    def _refer_step(self, taken: refer.Step) -> None:
        if taken.deadline is not None:
            self._start_deadline(taken.deadline)
        if taken.input is None:
            return
        if taken.input in (Input.REFER_DONE, Input.REFER_FAILED):
            self._stop_deadline()
        number = self.accepted.agent.call_forwarding_number
        if taken.no_pbx and self.state is State.TRANSFERRING and number and not self._forwarding:
            self._forwarding = number
            self._input(Input.FORWARD, taken.cause)
        else:
            self._input(taken.input, taken.cause)

    def _start_deadline(self, which: refer.Deadline) -> None:
        self._stop_deadline()
        options = self._plant.options
        seconds = options.refer_timeout_s if which is refer.Deadline.FIRST_SIGN else options.ring_limit_s
        self._deadline = self._plant.clock.callLater(seconds, self._deadline_passed, which)

    def _deadline_passed(self, which: refer.Deadline) -> None:
        self._deadline = None
        self._refer_step(refer.deadline_passed(which))

    def _stop_deadline(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _settle_transfer(self, outcome: dict[str, Any]) -> None:
        waiting, self._outcome = self._outcome, None
        if waiting is not None:
            waiting.callback(outcome)


def bracketed(host: str) -> str:
    """An IPv6 address as a URI writes it."""
    return f"[{host}]" if ":" in host else host


NOBODY = SessionListener()

CAUSES = {
    "bye": "caller hung up",
    "cancelled": "cancelled",
    "no-ack": "no ACK for the 200",
    "no-prack": "no PRACK for the 180",
    "expired": "the session was not refreshed",
    "timeout": "peer does not answer",
    "transport": "connection lost",
    "gone": "the peer knows no such call",
    "local": "hung up",
}
"""What the session calls the end -> what the record says."""

NOT_SECURED = "the audio could not be secured"
MEDIA_TIMEOUT = "media_timeout"

REASONS = {MEDIA_TIMEOUT: 'Q.850;cause=102;text="media timeout"'}
"""What the peer is told of a cause (RFC 3326)."""

FAILURES = {
    NOT_SECURED,
    "no ACK for the 200", "peer does not answer", "connection lost", "the peer knows no such call", "internal fault",
    MEDIA_TIMEOUT, "no PRACK for the 180", "the session was not refreshed",
}  # fmt: skip

FLAGS = {"backend-failed", "misunderstood", "silent-caller"}
"""Kinds of agent events that put a call on the list for review."""
