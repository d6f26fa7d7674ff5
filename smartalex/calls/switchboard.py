"""Every call in progress: takes INVITEs from the user agent, admits or refuses them, and hands audio round."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from weakref import proxy

import attrs
from twisted.internet.defer import Deferred, succeed
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from twisted.python.failure import Failure
from zope.interface import implementer

from smartalex.ai.prompts import PromptBook
from smartalex.ai.runtime import Conversation, ConversationOptions
from smartalex.calls import near
from smartalex.calls.admission import Accepted, Admission, Challenged, Known, Refused
from smartalex.calls.call import Call, Party, Plant
from smartalex.calls.media import CallMedia
from smartalex.calls.record import CallRecord, Tracer, new_id, printable
from smartalex.calls.screening import Screening
from smartalex.errors import RemoteError, ResourcesExhausted, SmartAlexError
from smartalex.interfaces import AuthAttempt, Brief, CallEvent, Destination, IMediaSink
from smartalex.rtp.plane import Leg, MediaPlane
from smartalex.sdp.crypto import Fingerprint, Security
from smartalex.sdp.negotiation import Capabilities
from smartalex.sip.diversion import diversions
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Request
from smartalex.sip.privacy import Privacy, caller_identity
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.stir import NONE, Policy, Verification, decide, phrase
from smartalex.sip.ua import InviteOptions
from smartalex.sip.uri import Uri
from smartalex.tenants.agent import Agent
from smartalex.tenants.directory import Directory
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Workspace


@attrs.frozen
class Voices:
    """How an accepted call gets its agent: `options(agent)` gives the backend chain and the greeting."""

    options: Callable[[Agent], ConversationOptions]
    prompts: PromptBook


@attrs.frozen
class Records:
    """Where records go, the two clocks that date them (Unix seconds and monotonic ones), and who keeps SIP messages."""

    record: Callable[[CallEvent], None]
    wall: Callable[[], float]
    now: Callable[[], float]
    tokens: Callable[[int], bytes]
    tracer: Tracer | None = None


class RefusalBudget:
    """Bounds the records that strangers can cause: `burst` at once per source, then `per_s`."""

    def __init__(self, burst: int = 60, per_s: float = 1.0, sources: int = 10_000) -> None:
        self._burst, self._per_s, self._sources = burst, per_s, sources
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, source: str, now: float) -> bool:
        left, since = self._left.get(source, (float(self._burst), now))
        left = min(self._burst, left + (now - since) * self._per_s)
        if len(self._left) >= self._sources and source not in self._left:
            self._left.clear()
        self._left[source] = (max(0.0, left - 1), now)
        return left >= 1


class Challenges:
    """Callers who were asked for a password, and have `patience_s` to come again; beyond `most` nobody waits for them."""

    def __init__(self, clock: IReactorTime, patience_s: float = 5.0, most: int = 1000) -> None:
        self._clock, self._patience_s, self._most = clock, patience_s, most
        self._waiting: dict[str, IDelayedCall] = {}

    def ask(self, call_id: str, missed: Callable[[], None]) -> None:
        if len(self._waiting) < self._most:
            self._waiting[call_id] = self._clock.callLater(self._patience_s, self._over, call_id, missed)

    def answered(self, call_id: str) -> None:
        waiting = self._waiting.pop(call_id, None)
        if waiting is not None:
            waiting.cancel()

    def stop(self) -> None:
        for call_id in list(self._waiting):
            self.answered(call_id)

    def _over(self, call_id: str, missed: Callable[[], None]) -> None:
        del self._waiting[call_id]
        missed()


@implementer(IMediaSink)
class Switchboard:
    """`address_for(peer)` is the address of ours that this peer can send RTP to."""

    log = Logger()

    def __init__(self, admission: Admission, plant: Plant, voices: Voices, records: Records, clock: IReactorTime) -> None:
        self.admission = admission
        self.calls: dict[str, Call] = {}
        self._views: dict[str, tuple[Directory, tuple[Destination, ...]]] = {}
        self.plane: MediaPlane
        self.address_for: Callable[[Peer], str] = lambda peer: "127.0.0.1"
        self.certificate_names: Callable[[Peer], tuple[str, ...]] = lambda peer: ()
        self.authenticated: Callable[[str], None] = lambda host: None
        self.asked: Callable[[str], None] = lambda host: None  # for our OPTIONS
        self.verify: Callable[[Request], Deferred[Verification]] = lambda request: succeed(NONE)
        self.dial: Callable[[InviteOptions, SessionListener], Session] | None = None
        self._plant = plant
        self._voices = voices
        self._records = records
        self._clock = clock
        self._budget = RefusalBudget()
        self._asked = Challenges(clock)
        self._drained: Deferred[None] | None = None

    # ------------------------------------------------------------------ the user agent's listener

    def on_invite(self, session: Session) -> None:
        """A new INVITE: challenge, refuse with a record, or make it a call."""
        request = session.request
        Privacy.of(request.headers)  # one that we cannot keep is refused (500)
        attempt = AuthAttempt(
            "INVITE", request.uri, session.peer.host, session.peer.transport,
            tuple(request.headers.get_all("Authorization")), self._records.now(), self.certificate_names(session.peer),
            session.peer.port, request.headers.get,
        )  # fmt: skip
        if session.replaces is not None:
            self._replace(session, session.replaces, self.admission.identify(attempt, called_number(request)))
            return
        decision = self.admission.decide(attempt, called_number(request))
        if isinstance(decision, Accepted) or (isinstance(decision, Refused) and decision.trunk is not None):
            self.authenticated(session.peer.host)
        self._asked.answered(session.call_id)
        if isinstance(decision, Challenged):
            self._plant.counters.count("calls.challenged")
            session.challenge(decision.challenges)
            self._asked.ask(session.call_id, lambda: self._no_password(session))
        elif isinstance(decision, Refused):
            self._refuse(session, decision)
        else:
            try:
                self._accept(session, decision)
            except BaseException:
                self._left(decision)
                raise

    def _replace(self, session: Session, old: Session, who: Known | Challenged | Refused) -> None:
        """Another leg of the PBX takes the caller's place, as when a call is parked and picked up (RFC 3891)."""
        if isinstance(who, Challenged):
            session.challenge(who.challenges)
            return
        call = next((call for call in self.calls.values() if call.session is old), None)
        if isinstance(who, Refused) or call is None or call.accepted.trunk.id != who.trunk.id:
            why = "Replaces names a call of another trunk"
            self._refuse(session, who if isinstance(who, Refused) else Refused(403, "replaces", why, who.trunk, by=who.by))
            return
        call.replace(session, self.address_for(session.peer))

    def on_options(self, request: Request) -> int:
        if request.source is not None:
            self.asked(request.source.host)
        if self.admission.guard is not None and request.source is not None:
            self.admission.guard.options(request.source.host)
        return 200 if self.admission.open else 503

    def _no_password(self, session: Session) -> None:
        """It was asked for one, and did not come again."""
        host = session.peer.host
        why = f"asked for a password, and none came; {host} is on no list of a trunk that needs none"
        self._plant.counters.count("calls.unanswered_challenge")
        self._note(session, Refused(401, "no password", why))

    def _refuse(self, session: Session, refused: Refused) -> None:
        self._plant.counters.count("calls.refused", refused.why)
        self._note(session, refused)
        headers = retry_after(refused.retry_after_s) if refused.retry_after_s else ()
        session.reject(refused.status, headers=(*headers, ("Contact", f"<{refused.contact}>")) if refused.contact else headers)

    def _note(self, session: Session, refused: Refused) -> None:
        """The record of a refusal; of strangers there are so many, and no more."""
        if refused.trunk is not None or self._budget.take(session.peer.host, self._records.now()):
            record, caller = self._new_record(session, stranger=refused.trunk is None)
            fields = invite_fields(session, caller)
            trunk = refused.trunk.name if refused.trunk else ""
            record.open({**fields, "trunk": trunk, "status": refused.status, "detail": refused.detail})
            record.event("identified", data={"trunk": trunk, "by": refused.by} if trunk else {"near": refused.detail})
            record.close("refused", refused.why)
        else:
            self._plant.counters.count("calls.refusal_unrecorded")

    def _retry_after(self) -> tuple[tuple[str, str], ...]:
        return retry_after(self.admission.limits.retry_after_s())

    def _accept(self, session: Session, accepted: Accepted) -> None:
        """The trunk's STIR policy may still turn it away."""
        record, caller = self._new_record(session)
        record.open({
            **invite_fields(session, caller), "workspace": accepted.workspace.id, "trunk": accepted.trunk.name,
            "did": accepted.did.number, "agent": accepted.agent.name,
        })  # fmt: skip
        record.event("identified", data={"trunk": accepted.trunk.name, "by": accepted.by})
        for number, reason in caller.diverted:
            record.event("diverted", data={"from": number, "reason": reason or None})
        policy = Policy.parse(accepted.trunk.stir)
        if policy.mode == "off":
            self._begin(session, accepted, record, caller)
            return
        session.listener = Screening(lambda cause: self._gone(accepted, record, cause))
        verified = self.verify(session.request)
        verified.addCallback(lambda found: self._verified(session, accepted, record, caller, policy, found))
        verified.addErrback(lambda failure: self._not_verified(session, accepted, record, failure))

    def _verified(  # noqa: PLR0917
        self, session: Session, accepted: Accepted, record: CallRecord, caller: Party, policy: Policy, found: Verification
    ) -> None:
        if not session.open:
            return  # the caller has gone
        fields = {"attestation": found.attestation} if found.status == "verified" else {}
        record.event("identity", fields, {"status": found.status, "attestation": found.attestation, "why": found.reason})
        self._plant.counters.count("calls.identity", found.status)
        status = decide(policy, found) if self.admission.open else 503
        if status is None:
            self._begin(session, accepted, record, caller)
            return
        self._plant.counters.count("calls.refused", "identity")
        record.close("refused", "identity", {"status": status, "detail": f"trunk {accepted.trunk.name}: {found.reason}"})
        self._left(accepted)
        session.listener = SessionListener()
        session.reject(status, phrase(found), self._retry_after() if status == 503 else ())

    def _not_verified(self, session: Session, accepted: Accepted, record: CallRecord, failure: Failure) -> None:
        self.log.failure("a PASSporT could not be looked into", failure)
        record.close("refused", "identity", {"status": 500, "detail": "internal fault"})
        self._left(accepted)
        session.listener = SessionListener()
        session.reject(500)

    def _gone(self, accepted: Accepted, record: CallRecord, cause: str) -> None:
        record.close("cancelled" if cause == "cancelled" else "failed", cause)
        self._left(accepted)

    def _begin(self, session: Session, accepted: Accepted, record: CallRecord, caller: Party) -> None:
        leg = None
        try:
            options = self._voices.options(accepted.agent)
            receive = all(getattr(factory, "receives", True) for factory in options.factories)
            leg = self.plane.open(receive, ipv6=":" in session.peer.host)
            media = CallMedia(
                leg, self._capabilities(accepted.trunk), self.address_for(session.peer), new_session_id(self._records),
                self._security(accepted.trunk),
            )  # fmt: skip
            media.meet(session.peer.host, session.peer.transport)
            answer = media.local_answer(session.request.body) if session.request.body else None
            media.tune()
        except SmartAlexError as error:
            self._turn_down(session, accepted, record, error, leg)
            return
        except BaseException:
            if leg is not None:
                leg.close()
            record.close("failed", "fault", {"status": 500, "detail": "internal fault"})
            raise
        call = Call(self._plant, session, accepted, caller, record)
        conversation = Conversation(
            brief_of(accepted, caller, self._destinations(accepted.workspace)), options, control=proxy(call), audio=leg,
            prompts=self._voices.prompts, clock=self._clock, counters=self._plant.counters,
        )  # fmt: skip
        call.dial = self.dial
        self.calls[record.id] = call
        self._plant.counters.count("calls.accepted")
        call.start(media, conversation, answer, self._released)

    def _destinations(self, workspace: Workspace) -> tuple[Destination, ...]:
        """Made once for each directory there is."""
        known = self._views.get(workspace.id)
        if known is None or known[0] is not workspace.directory:
            known = self._views[workspace.id] = workspace.directory, destinations(workspace.directory)
        return known[1]

    def _security(self, trunk: Trunk) -> Security:
        identity = self.plane.identity
        return Security(trunk.srtp, self._records.tokens, Fingerprint("sha-256", identity.sha256) if identity else None)

    def _capabilities(self, trunk: Trunk) -> Capabilities:
        return Capabilities(trunk.codecs or self._plant.options.codecs, ptime_ms=trunk.ptime_ms, mux=True)

    def _turn_down(
        self, session: Session, accepted: Accepted, record: CallRecord, error: SmartAlexError, leg: Leg | None
    ) -> None:
        """The trunk was let in but this call cannot be: no codec (488), no ports (503), no agent that can be made (480)."""
        if leg is not None:
            leg.close()
        exhausted = isinstance(error, ResourcesExhausted)
        status, why = (503, "no RTP ports") if exhausted else (480, "agent")
        if isinstance(error, RemoteError):
            status, why = error.status, error.reason
        self._plant.counters.count("calls.refused", {488: "media", 503: "ports"}.get(status, "agent"))
        codecs = accepted.trunk.codecs or self._plant.options.codecs
        offer = near.offered(session.request.body, accepted.trunk, codecs) if status == 488 else ""
        record.close("refused", why, {"status": status, "detail": f"{error}; {offer}" if offer else str(error)})
        self._left(accepted)
        session.listener = SessionListener()
        session.reject(status, headers=self._retry_after() if exhausted else ())

    def _new_record(self, session: Session, *, stranger: bool = False) -> tuple[CallRecord, Party]:
        records = self._records
        call_id = new_id(records.wall(), records.tokens)
        record = CallRecord(records.record, records.wall, records.now, call_id, records.tracer)
        record.follow(session.call_id, stranger=stranger)
        return record, caller_of(session.request)

    def _released(self, call: Call) -> None:
        if self.calls.pop(call.record.id, None) is not None:
            self._left(call.accepted)

    def _left(self, accepted: Accepted) -> None:
        self.admission.leave(accepted)
        if self._drained is not None and not self.admission.busy:
            drained, self._drained = self._drained, None
            drained.callback(None)

    # ------------------------------------------------------------------ the media plane's sink

    def on_frames(self, batch: Sequence[tuple[Leg, bytes, int]]) -> None:
        for leg, pcm, flags in batch:
            call = leg.user
            if call is not None:
                try:
                    call.hear(pcm, flags)
                except Exception:
                    call.fault(Failure())

    def on_dtmf(self, leg: Leg, digit: str, duration_ms: int) -> None:
        call = leg.user
        if call is not None:
            try:
                call.dtmf(digit, duration_ms)
            except Exception:
                call.fault(Failure())

    # ------------------------------------------------------------------ stopping

    def drain(self) -> Deferred[None]:
        """Refuse new calls from now on (503); fires when the last call in progress has ended."""
        self.admission.open = False
        self._asked.stop()
        if not self.admission.busy:
            return succeed(None)
        if self._drained is None:
            self._drained = Deferred()
        return self._drained

    def hang_up_all(self, cause: str) -> None:
        for call in list(self.calls.values()):
            call.hang_up(cause)


# ---------------------------------------------------------------------- reading the INVITE


def called_number(request: Request) -> str:
    """The user part of the Request-URI, or the number of a tel: URI."""
    uri = request.request_uri
    return uri.user_text or uri.host if uri.scheme == "tel" else uri.user_text or ""


def caller_of(request: Request) -> Party:
    """P-Asserted-Identity first (the trunk is authenticated by now, RFC 3325 5), else From.

    Of the URI only what names somebody is kept: no password, no headers, no transport.
    """
    identity, privacy = caller_identity(request), Privacy.of(request.headers)
    number, name = printable(identity.uri.user_text, 64), printable(identity.display)
    kept = identity.uri.params if identity.uri.scheme == "tel" else tuple(p for p in identity.uri.params if p[0] == "user")
    of = identity.uri
    uri = Uri(of.scheme, of.user, None, of.host, of.port, kept, (), of.opaque)
    headers = (("P-Asserted-Identity", str(NameAddr(name, uri))), *privacy.headers())
    diverted = tuple((printable(one.address.uri.user_text, 64), printable(one.reason, 40)) for one in diversions(request.headers))
    return Party(number, name, headers, diverted, privacy.withheld)


def invite_fields(session: Session, caller: Party) -> dict[str, str]:
    request = session.request
    return {
        "sip_call_id": printable(request.call_id, 256),
        "direction": "inbound",
        "did": printable(called_number(request), 64),
        "caller": caller.number,
        "caller_name": caller.name,
        "source": f"{session.peer.host}:{session.peer.port}",
        "transport": session.peer.transport,
        "user_agent": printable(request.headers.get("User-Agent") or "", 120),
    }


def retry_after(seconds: int) -> tuple[tuple[str, str], ...]:
    return (("Retry-After", str(seconds)),)


def new_session_id(records: Records) -> int:
    return int.from_bytes(records.tokens(4), "big")


def brief_of(accepted: Accepted, caller: Party, destinations: tuple[Destination, ...]) -> Brief:
    agent = accepted.agent
    return Brief(
        agent_name=agent.name,
        company=accepted.workspace.name,
        first_message=agent.first_message,
        instructions=agent.instructions,
        language=agent.language,
        voice=agent.voice,
        destinations=destinations if "transfer" in agent.tools else (),
        operator=accepted.workspace.directory.operator if "transfer" in agent.tools else None,
        allowed=agent.tools,
        caller={
            "number": "" if caller.withheld else caller.number,
            "name": "" if caller.withheld else caller.name,
            **({"diverted_from": caller.diverted[0][0], "diverted_because": caller.diverted[0][1]} if caller.diverted else {}),
        },
    )


def destinations(directory: Directory) -> tuple[Destination, ...]:
    """The directory as an agent may see it: ids and names, never numbers."""
    return tuple(
        Destination(e.id, e.name, e.kind, e.department, e.aliases, e.pronunciation, e.digit) for e in directory.extensions
    )
