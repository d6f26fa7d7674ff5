"""The user agent core (RFC 3261 8, 9, 11-15): which request means what, for both roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip import refer
from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import METHODS, Refusal, Transaction, TransactionLayer
from smartalex.sip.message import REASONS, Headers, Request, Response, response_to
from smartalex.sip.session import SDP, Input, Session, SessionListener, State
from smartalex.sip.timers import TIMEOUT, TimerQueue
from smartalex.sip.transport import Flow, bracketed
from smartalex.sip.uri import Uri

SUPPORTED = ("norefersub",)
"""Option tags we understand in Require (RFC 4488)."""

SCHEMES = ("sip", "sips", "tel")


class Owner(Protocol):
    """Who takes new calls."""

    def on_invite(self, session: Session) -> None:
        """A new INVITE; 100 has been sent.  Set `session.listener` and go on."""

    def on_options(self, request: Request) -> int | None:
        """The status for an OPTIONS outside dialogs; None is 200."""


@attrs.frozen
class UserAgentOptions:
    """`user_agent` is said to peers whose call was accepted, and by us when we call; OPTIONS and refusals never show it."""

    user_agent: str = "SmartAlex"
    allow: tuple[str, ...] = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "NOTIFY", "REFER", "INFO")


@attrs.frozen
class InviteOptions:
    """A call we place; `next_hop` is where the INVITE goes, `from_` and `to` have no tags, `body` is SDP."""

    uri: Uri
    next_hop: Peer
    from_: NameAddr
    to: NameAddr
    body: bytes = b""
    headers: tuple[tuple[str, str], ...] = ()
    digest: DigestClient | None = None


class UserAgent:
    """`tokens(n)` gives n random bytes; `owner` takes new calls."""

    def __init__(
        self, layer: TransactionLayer, tokens: Callable[[int], bytes], counters: ICounters, options: UserAgentOptions
    ) -> None:
        self.layer = layer
        self.timers: TimerQueue = layer.timers
        self.counters = counters
        self.owner: Owner
        self._tokens = tokens
        self._options = options
        self._sessions: dict[str, Session] = {}
        self._allow = ("Allow", ", ".join(options.allow))
        self._capabilities = (self._allow, ("Supported", ", ".join(SUPPORTED)))
        layer.user = self

    def __len__(self) -> int:
        return len(self._sessions)

    # ------------------------------------------------------------------ requests from the wire

    def on_request(self, request: Request, flow: Flow) -> None:
        """Validate first, route after (RFC 3261 8.2); what is raised here is the answer."""
        method = request.method
        if method == "CANCEL":
            self._cancelled(request, flow)
            return
        if method not in self._options.allow:
            raise Refusal(405 if method in METHODS else 501, self._allow)
        if request.request_uri.scheme not in SCHEMES:
            raise Refusal(416)
        request.max_forwards  # noqa: B018  (raises what is wrong with it)
        unknown = [tag for tag in request.headers.get_all("Require") if tag.lower() not in SUPPORTED]
        if unknown:
            raise Refusal(420, ("Unsupported", ", ".join(unknown)))
        if request.to.tag is not None:
            self._in_dialog(request, flow)
        elif method == "INVITE":
            self._invited(request, flow)
        elif method == "OPTIONS":
            self._options_asked(request, flow)
        else:
            raise Refusal(481)

    def on_ack(self, request: Request) -> None:
        session = self._sessions.get(request.to.tag or "")
        if session is None:
            self.counters.count("sip.stray_ack")
        else:
            session.on_ack(request)

    def _cancelled(self, request: Request, flow: Flow) -> None:
        invite = self.layer.find_invite(request)
        if invite is None:
            raise Refusal(481)
        self.layer.reply(request, flow, 200)
        if invite.user is not None:
            invite.user.input(Input.CANCEL, request)

    def _invited(self, request: Request, flow: Flow) -> None:
        check_content(request)
        assert request.source is not None
        session = Session(self, "uas", request, request.source, self.token())
        session.arrived(self.layer.accept(request, flow, session), flow)
        self._sessions[session.tag] = session
        self.layer.respond(session.transaction, response_to(request, 100))
        self.owner.on_invite(session)

    def _options_asked(self, request: Request, flow: Flow) -> None:
        accepts = ("Accept", SDP), ("Accept-Encoding", "identity"), ("Accept-Language", "en")
        self.layer.reply(request, flow, self.owner.on_options(request) or 200, None, (*self._capabilities, *accepts))

    # ------------------------------------------------------------------ inside dialogs

    def _in_dialog(self, request: Request, flow: Flow) -> None:
        session = self._sessions.get(request.to.tag or "")
        if session is None:
            raise Refusal(481)
        transaction = self.layer.accept(request, flow)
        session.check(request)
        self._inside[request.method](self, session, request, transaction)

    def _reinvite(self, session: Session, request: Request, transaction: Transaction) -> None:
        check_content(request)
        session.reinvite(request, transaction)

    def _bye(self, session: Session, request: Request, transaction: Transaction) -> None:
        self._answer(transaction, request, 200)
        session.input(Input.BYE, request)

    def _info(self, session: Session, request: Request, transaction: Transaction) -> None:
        self._answer(transaction, request, 200)
        session.tell("on_info", request.content_type, request.body)

    def _in_dialog_options(self, session: Session, request: Request, transaction: Transaction) -> None:
        self._answer(transaction, request, 200, (*self._capabilities, ("Accept", SDP)))

    def _notify(self, session: Session, request: Request, transaction: Transaction) -> None:
        sent, progress = refer.receive_notify(session, request), refer.read_notify(request)
        self._answer(transaction, request, 200)
        sent.notified(progress)

    def _refer(self, session: Session, request: Request, transaction: Transaction) -> None:
        target = refer.read_refer(request)
        if session.state is not State.CONFIRMED or not session.listener.on_refer(session, target, request):
            raise Refusal(603)
        if refer.wants_no_notify(request):
            self._answer(transaction, request, 202, (self.contact(session), ("Refer-Sub", "false")))
            return
        self._answer(transaction, request, 202, (self.contact(session),))
        refer.referred(session, request)

    _inside: dict[str, Callable[[UserAgent, Session, Request, Transaction], None]] = {
        "INVITE": _reinvite,
        "BYE": _bye,
        "INFO": _info,
        "OPTIONS": _in_dialog_options,
        "NOTIFY": _notify,
        "REFER": _refer,
    }

    def _answer(self, transaction: Transaction, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()) -> None:
        self.layer.respond(transaction, response_to(request, status, headers=headers))

    # ------------------------------------------------------------------ requests of ours

    def invite(self, options: InviteOptions, listener: SessionListener) -> Session:
        """Place a call; what becomes of it is told to `listener`."""
        tag = self.token()
        request = Request("INVITE", str(options.uri), self._new_headers("INVITE", options.from_, options.to, tag), options.body)
        session = Session(self, "uac", request, options.next_hop, tag)
        session.listener = listener
        for row in (self.contact(session), *self.identity("uac"), *options.headers):
            request.headers.add(*row)
        if options.body:
            request.headers.add("Content-Type", SDP)
        self._sessions[tag] = session
        session.start(options.digest)
        return session

    def options(self, peer: Peer, uri: Uri) -> Deferred[Response]:
        """Ask a peer what it can do; fails with RemoteError 408 or 503 when it does not answer."""
        host, port = self.layer.transports.advertised(peer.transport, peer)
        us = NameAddr("", Uri("sip", host=bracketed(host), port=port))
        headers = self._new_headers("OPTIONS", us, NameAddr("", uri), self.token())
        headers.add("Accept", SDP)
        asked = Question()
        self.layer.request(Request("OPTIONS", str(uri), headers), peer, asked, self.token())
        return asked.answered

    def _new_headers(self, method: str, from_: NameAddr, to: NameAddr, tag: str) -> Headers:
        call_id = self._tokens(16).hex()
        rows = [("Max-Forwards", "70"), ("From", str(from_.with_tag(tag))), ("To", str(to)), ("Call-ID", call_id)]
        return Headers([*rows, ("CSeq", f"1 {method}")])

    # ------------------------------------------------------------------ what sessions need

    def token(self) -> str:
        return self._tokens(8).hex()

    def contact(self, session: Session) -> tuple[str, str]:
        """Our address in this call (RFC 3261 8.1.1.8); sips when the call is (12.1.1)."""
        transport = session.peer.transport
        host, port = self.layer.transports.advertised(transport, session.peer)
        scheme = "sips" if session.request.uri.startswith("sips:") else "sip"
        return "Contact", f"<{scheme}:{bracketed(host)}:{port}{'' if transport == 'udp' else f';transport={transport}'}>"

    def identity(self, role: str) -> tuple[tuple[str, str], ...]:
        """Allow, Supported, and who we are."""
        return *self._capabilities, ("Server" if role == "uas" else "User-Agent", self._options.user_agent)

    def ended(self, session: Session) -> None:
        """The session is over; with a transfer under way its NOTIFYs are still answered for a while."""
        if session.referrals:
            self.timers.call_later(TIMEOUT, self._sessions.pop, session.tag, None)
        else:
            self._sessions.pop(session.tag, None)

    def refer(self, session: Session, refer_to: str, referred_by: str | None, headers: Iterable[tuple[str, str]]) -> None:
        refer.transfer(session, refer_to, referred_by, (*headers, self.contact(session)))

    def notify_refer(self, session: Session, status: int, reason: str, final: bool) -> None:
        refer.report(session, refer.Progress(status, reason, final))


class Question:
    """A request outside dialogs; `answered` gets its final response."""

    def __init__(self) -> None:
        self.answered: Deferred[Response] = Deferred()

    def on_response(self, transaction: Transaction, response: Response) -> None:
        if response.status >= 200:
            self.answered.callback(response)

    def on_timeout(self, transaction: Transaction) -> None:
        self.answered.errback(RemoteError(408, REASONS[408]))

    def on_unreachable(self, transaction: Transaction) -> None:
        self.answered.errback(RemoteError(503, REASONS[503]))


def check_content(request: Request) -> None:
    """Raises Refusal for what an INVITE may not carry or ask for (RFC 3261 8.2.3, 13.3.1)."""
    headers = request.headers
    if request.body and (request.content_type != SDP or (headers.get("Content-Encoding") or "identity").lower() != "identity"):
        raise Refusal(415, ("Accept", SDP), ("Accept-Encoding", "identity"))
    accepted = headers.get_all("Accept")
    if accepted and not any(accept.partition(";")[0].strip().lower() in (SDP, "application/*", "*/*") for accept in accepted):
        raise Refusal(406, ("Accept", SDP))
