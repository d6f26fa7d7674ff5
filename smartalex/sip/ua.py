"""The user agent core (RFC 3261 8, 9, 11-15): which request means what, for both roles."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Protocol

import attrs
from twisted.internet.defer import Deferred, fail, succeed
from twisted.logger import Logger
from twisted.python.failure import Failure

from smartalex.errors import LocalError
from smartalex.interfaces import ICounters
from smartalex.sip import info, multipart, provisional, replaces, session_timer
from smartalex.sip.asking import Asking, Outside
from smartalex.sip.dialog import Dialog, DialogId, is_address
from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import COOKIE, NameAddr, Peer, Via
from smartalex.sip.invite import TABLE, Input, State
from smartalex.sip.layer import KNOWN, ClientTransaction, Refusal, ServerTransaction, TransactionLayer
from smartalex.sip.message import Headers, Request, Response, response_to
from smartalex.sip.outgoing import Again, Outgoing
from smartalex.sip.refer import read_event_id, read_notify
from smartalex.sip.session import Session, SessionListener
from smartalex.sip.session_timer import SessionTimer
from smartalex.sip.timers import TimerQueue
from smartalex.sip.transport import Transports
from smartalex.sip.uri import Uri

SDP = "application/sdp"
NOREFERSUB = "norefersub"  # RFC 4488
NOWHERE = Peer("udp", "0.0.0.0", 0)

EARLY = frozenset(("BYE", "PRACK", "UPDATE", "OPTIONS"))
"""What there may be in a dialog before its 2xx."""


class Owner(Protocol):
    """Who takes new calls."""

    def on_invite(self, session: Session) -> None:
        """A new INVITE; 100 is sent when nothing else has been by the end of this.  Set `session.listener` and go on."""

    def on_options(self, request: Request) -> int:
        """The status for an OPTIONS outside dialogs."""


@attrs.frozen
class UserAgentOptions:
    """`user_agent` goes into what we send to peers that know us; OPTIONS never shows it."""

    user_agent: str = "SmartAlex"
    allow: tuple[str, ...] = ("INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "PRACK", "UPDATE", "NOTIFY", "REFER", "INFO")
    timer: SessionTimer = SessionTimer()  # noqa: RUF009 (frozen)


@attrs.frozen
class InviteOptions:
    """A call we place.

    `next_hop` is where it goes, None to look for `uri` (RFC 3263); `redirects(uri)` says whether a 3xx may send it there.
    """

    uri: Uri
    next_hop: Peer | None
    from_: NameAddr
    to: NameAddr
    body: bytes = attrs.field(default=b"", repr=False)  # SDP may hold keys
    headers: tuple[tuple[str, str], ...] = ()
    digest: DigestClient | None = None
    redirects: Callable[[Uri], bool] = lambda uri: False


class UserAgent:
    """`tokens(n)` gives n random bytes."""

    log = Logger()

    def __init__(
        self, layer: TransactionLayer, tokens: Callable[[int], bytes], counters: ICounters, options: UserAgentOptions
    ) -> None:
        self.timers: TimerQueue = layer.timers
        self.owner: Owner
        self._layer = layer
        self._transports: Transports = layer.transports
        self._tokens = tokens
        self._counters = counters
        self._options = options
        self._dialogs: dict[DialogId, Session] = {}
        self._merged: dict[tuple[str, str, int], Session] = {}
        self.timer = options.timer
        tags = {provisional.OPTION, NOREFERSUB, replaces.OPTION, *({session_timer.OPTION} if options.timer else ())}
        self._supported = frozenset(tags)
        self.capabilities = (*self._allow(), ("Supported", ", ".join(sorted(tags))))
        self.handlers: dict[str, Callable[[ServerTransaction, Request], None]] = {}
        """By method, who answers requests outside dialogs that are neither INVITE nor OPTIONS."""
        self.extensions: dict[str, frozenset[str]] = {}
        """By method, the option tags that its handler knows beside ours."""
        self.locate: Callable[[Uri], Deferred[tuple[Peer, ...]]] = numeric
        self.unreachable: Callable[[Peer], None] = lambda peer: None
        layer.user = self

    def __len__(self) -> int:
        return len(self._dialogs)

    # ------------------------------------------------------------------ requests from the wire

    def on_request(self, transaction: ServerTransaction, request: Request) -> None:
        """Validate first, route after (RFC 3261 8.2)."""
        request.request_uri, request.max_forwards  # noqa: B018  (raises what is wrong with them)
        if request.method == "CANCEL":
            self._cancelled(transaction, request)
            return
        self._check_require(request)
        if request.to.tag is not None:
            self._in_dialog(transaction, request)
        elif request.request_uri.scheme not in ("sip", "sips", "tel"):
            raise Refusal(416)
        elif request.method == "INVITE":
            self._invited(transaction, request)
        elif request.method == "OPTIONS":
            self._options_asked(transaction, request)
        elif request.method in self.handlers:
            self.handlers[request.method](transaction, request)
        elif request.method == "REFER":
            raise Refusal(403)  # outside a call nobody may make us call
        elif request.method in ("BYE", "NOTIFY", "INFO", "UPDATE", "PRACK"):
            transaction.respond(response_to(request, 481, to_tag=self.token()))
        else:
            self._plain(transaction, request, 405 if request.method in KNOWN else 501, self._allow())

    def on_ack(self, request: Request) -> None:
        session = self._dialogs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))
        if session is None:
            self._counters.count("sip.stray_ack")
            return
        session.acknowledged(request)

    def on_stray_response(self, response: Response) -> None:
        """A 2xx that outlived its transaction finds its session here."""
        session = self._dialogs.get((response.call_id, response.from_.tag or "", response.to.tag or ""))
        if session is not None and session.role == "uac" and response.cseq.method == "INVITE" and 200 <= response.status < 300:
            session.accepted(response)

    def _check_require(self, request: Request) -> None:
        known = self._supported | self.extensions.get(request.method, frozenset())
        unknown = [tag for tag in request.headers.get_all("Require") if tag.lower() not in known]
        if unknown:
            raise Refusal(420, ("Unsupported", ", ".join(unknown)))

    def _cancelled(self, transaction: ServerTransaction, request: Request) -> None:
        invite = self._layer.find_invite(request)
        session = invite.user if invite is not None else None
        if not isinstance(session, Session):
            transaction.respond(response_to(request, 481, to_tag=self.token()))
            return
        transaction.respond(response_to(request, 200, to_tag=session.tag))
        session.input(Input.CANCEL, request)

    def _invited(self, transaction: ServerTransaction, request: Request) -> None:
        multipart.unwrap(request)
        if request.body and request.content_type != SDP:
            raise Refusal(415, ("Accept", SDP))
        if not accepts_sdp(request.headers.get_all("Accept")):
            raise Refusal(406)
        terms = session_timer.answer(self.timer, request)  # an interval that is too short is refused before anything else is
        key = merge_key(request)
        if key in self._merged:
            raise Refusal(482)  # the same request by another path (RFC 3261 8.2.2.2)
        replaced = self._replaced(request)
        session = Session(self, "uas", request, transaction.peer, self.token())
        session.arrived(transaction)
        transaction.user = session
        session.replaces, session.terms = replaced, terms
        self._merged[key] = session
        self.owner.on_invite(session)
        if not transaction.response:
            transaction.respond(response_to(request, 100))  # nothing else comes at once (RFC 3261 17.2.1)

    def _replaced(self, request: Request) -> Session | None:
        """The session whose place this INVITE wants (RFC 3891 3)."""
        wanted = replaces.Replaces.of(request)
        if wanted is None:
            return None
        session = self._dialogs.get(wanted.dialog_id)
        if session is None or session.state is State.INCOMING or session.dialog is None:
            raise Refusal(481)
        if not session.takes_requests():
            raise Refusal(603)
        if wanted.early_only:
            raise Refusal(486)
        return session

    def _in_dialog(self, transaction: ServerTransaction, request: Request) -> None:
        session = self._dialogs.get((request.call_id, request.to.tag or "", request.from_.tag or ""))
        if session is None or not session.in_order(request):
            transaction.respond(response_to(request, 481 if session is None else 500, to_tag=self.token()))
            return
        handle = self._inside.get(request.method)
        if handle is None:
            self._plain(transaction, request, 405 if request.method in KNOWN else 501, self._allow())
            return
        early = session.dialog is None
        if early and request.method not in EARLY:
            raise Refusal(481)  # there is no call yet
        if not early and request.method != "BYE" and not session.takes_requests():
            raise Refusal(481)  # it crossed our BYE
        handle(self, session, transaction, request)

    def _bye(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        transaction.respond(response_to(request, 200))
        session.input(Input.BYE, request)

    def _reinvite(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        session.reinvited(transaction, request)

    def _update(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        session.updated(transaction, request)

    def _notify(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        transfer, progress = session.transfer_of(read_event_id(request)), read_notify(request)
        transaction.respond(response_to(request, 200))
        session.notified(transfer, progress)

    def _refer(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        session.referred(transaction, request)

    def _prack(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        session.pracked(transaction, request)

    def _info(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        """As it was before RFC 6086 gave it packages, of which we take none."""
        if request.headers.get("Info-Package") is not None:
            raise Refusal(469, ("Recv-Info", ""))
        if request.body and not session.listener.on_info(session, request.content_type, request.body):
            raise Refusal(415, ("Accept", ", ".join(info.TYPES)))
        transaction.respond(response_to(request, 200))

    def _options_in(self, session: Session, transaction: ServerTransaction, request: Request) -> None:
        self._options_asked(transaction, request)

    _inside: dict[str, Callable[..., None]] = {
        "INVITE": _reinvite, "UPDATE": _update, "PRACK": _prack, "BYE": _bye, "NOTIFY": _notify, "REFER": _refer, "INFO": _info,
        "OPTIONS": _options_in,
    }  # fmt: skip

    def _options_asked(self, transaction: ServerTransaction, request: Request) -> None:
        self._plain(transaction, request, self.owner.on_options(request), (*self.capabilities, ("Accept", SDP)))

    def _plain(
        self, transaction: ServerTransaction, request: Request, status: int, headers: Iterable[tuple[str, str]] = ()
    ) -> None:
        transaction.respond(response_to(request, status, to_tag=self.token(), headers=headers))

    def _allow(self) -> tuple[tuple[str, str], ...]:
        return (("Allow", ", ".join(self._options.allow)),)

    # ------------------------------------------------------------------ calls we place

    def invite(self, options: InviteOptions, listener: SessionListener) -> Session:
        """Place a call; what becomes of it is told to `listener`."""
        from_ = options.from_.with_tag(self.token())
        rows = [("Max-Forwards", "70"), ("From", str(from_)), ("To", str(options.to)), ("Call-ID", self.token() + self.token())]
        rows += [("CSeq", "1 INVITE"), *options.headers]
        request = Request("INVITE", str(options.uri), Headers(rows), options.body)
        session = Session(self, "uac", request, options.next_hop or NOWHERE, from_.tag or "")
        session.listener = listener
        session.outgoing = Outgoing(options.digest, self.timer, options.redirects, options.uri)
        for row in (*self.capabilities, *session_timer.ask(self.timer, None), ("User-Agent", self._options.user_agent)):
            request.headers.add(*row)
        if options.body:
            request.headers.add("Content-Type", SDP)
        if options.next_hop is not None:
            self._start_invite(session)
        else:
            self._find(session, options.uri)
        return session

    def _find(self, session: Session, uri: Uri) -> None:
        """Ask where `uri` is; the call may have been given up meanwhile."""
        located = self.locate(uri)
        located.addCallback(lambda peers: self._found(session, peers))
        located.addErrback(lambda failure: self._not_found(session, failure))

    def _found(self, session: Session, peers: Sequence[Peer]) -> None:
        assert session.outgoing is not None
        session.outgoing.peers = list(peers)
        if session.state is State.CALLING:
            self._next(session)
        else:
            session.input(Input.FAILURE, None)

    def _not_found(self, session: Session, failure: Failure) -> None:
        self.log.info("a call has nowhere to go: {why}", why=failure.getErrorMessage())
        session.input(Input.LOST)

    def _next(self, session: Session) -> None:
        assert session.outgoing is not None
        if session.outgoing.peers:
            session.peer = session.outgoing.peers.pop(0)
        self._start_invite(session)

    def _start_invite(self, session: Session) -> None:
        session.request.headers.set(*self.contact(session))
        client = self._client(session.request, session.peer)
        session.client = client
        client.on_response = lambda response: self._invite_answered(session, response)
        client.on_failed = lambda why: self._invite_lost(session, why)
        client.start()

    def _invite_answered(self, session: Session, response: Response) -> None:
        if response.status < 200:
            session.progressed(response)
        elif response.status < 300:
            session.accepted(response)
        elif not self._tried_again(session, session.outgoing.mend(session.request, response) if session.outgoing else None):
            session.input(Input.FAILURE, response)

    def _invite_lost(self, session: Session, why: str) -> None:
        self.unreachable(session.peer)
        if not self._tried_again(session, session.outgoing.lost() if session.outgoing else None):
            session.input(Input.LOST if why == "transport" else Input.FAILURE, None)

    def _tried_again(self, session: Session, again: Again | None) -> bool:
        """Only as long as the call is still wanted."""
        return again is not None and (session.state, Input.AGAIN) in TABLE and session.input(Input.AGAIN, again)

    def invite_again(self, session: Session, again: Again) -> None:
        old = session.request
        headers = old.headers.copy()
        headers.remove("Via")
        headers.set("CSeq", f"{old.cseq.number + 1} INVITE")
        for row in again.rows:
            headers.set(*row)
        if not again.rows:  # another target: credentials made for the last one are not for its eyes
            headers.remove("Authorization")
            headers.remove("Proxy-Authorization")
        session.request = Request("INVITE", str(again.uri or old.uri), headers, old.body)
        if again.uri is not None:
            self._find(session, again.uri)
        elif again.rows:
            self._start_invite(session)
        else:
            self._next(session)

    def cancel(self, session: Session, headers: Iterable[tuple[str, str]] = ()) -> None:
        """CANCEL of the INVITE in progress: same branch, same CSeq number (RFC 3261 9.1)."""
        invite = session.request
        rows = [("Via", str(invite.via)), ("Max-Forwards", "70")]
        rows += [("Route", value) for value in invite.headers.get_all("Route")]
        rows += [("From", invite.headers.get("From") or ""), ("To", invite.headers.get("To") or ""), ("Call-ID", invite.call_id)]
        rows += [("CSeq", f"{invite.cseq.number} CANCEL"), *headers]
        self._layer.client(Request("CANCEL", invite.uri, Headers(rows)), session.peer).start()

    # ------------------------------------------------------------------ what sessions need

    def send(
        self,
        session: Session,
        dialog: Dialog,
        request: Request,
        answered: Callable[[Response], None],
        failed: Callable[[str], None],
    ) -> ClientTransaction:
        client = self._client(request, session.next_hop(dialog))
        client.on_response = answered
        client.on_failed = failed
        client.start()
        return client

    def ask(
        self, outside: Outside, peers: Sequence[Peer], answered: Callable[[Response], None], failed: Callable[[str], None]
    ) -> None:
        """A request outside any dialog; without `peers` they are looked for (RFC 3263).

        Exactly one of the two is called: `failed` with 'timeout', 'transport', or a sentence when there is nowhere to send it.
        """
        outside.call_id = outside.call_id or self.token()
        if outside.from_.tag is None:
            outside.from_ = outside.from_.with_tag(self.token())
        if not peers:
            located = self.locate(outside.uri)
            located.addCallback(lambda found: self.ask(outside, found, answered, failed))
            located.addErrback(lambda failure: failed(failure.getErrorMessage()))
            return
        Asking(outside, peers, self.contact_at, self._client, answered, failed, self.unreachable).start()

    def send_ack(self, session: Session, request: Request) -> bytes:
        """ACK of a 2xx: no transaction; returns the bytes for sending it again."""
        assert session.dialog is not None
        peer = session.next_hop(session.dialog)
        request.headers.insert_first("Via", str(self._via(peer)))
        data = request.to_bytes()
        self._layer.send(request.call_id, peer, data)
        return data

    def resend(self, session: Session, data: bytes) -> None:
        assert session.dialog is not None
        self._layer.send(session.call_id, session.next_hop(session.dialog), data)

    def contact(self, session: Session) -> tuple[str, str]:
        return "Contact", f"<{self.contact_at(session.peer)}>"

    def contact_at(self, peer: Peer, user: str = "") -> str:
        """Our URI as this peer reaches it."""
        host, port = self._transports.advertised(peer.transport, peer)
        transport = {"udp": "", "wss": ";transport=ws"}.get(peer.transport, f";transport={peer.transport}")
        return f"sip:{user}{'@' if user else ''}{_bracket(host)}:{port}{transport}"

    def connected(self, peer: Peer) -> bool:
        return self._transports.connected(peer)

    def certificate_names(self, peer: Peer) -> tuple[str, ...]:
        """What the peer's TLS certificate proved it to be."""
        return self._transports.certificate_names(peer)

    def tell_dialog(self, session: Session, dialog: Dialog) -> None:
        self._dialogs[dialog.id] = session

    def ended(self, session: Session) -> None:
        for dialog in session.dialogs():
            self._dialogs.pop(dialog.id, None)
        if session.role == "uas":
            self._merged.pop(merge_key(session.request), None)

    def unlisted(self, what: str) -> None:
        self._counters.count("sip.unlisted", "session")

    def _client(self, request: Request, peer: Peer) -> ClientTransaction:
        request.headers.insert_first("Via", str(self._via(peer)))
        return self._layer.client(request, peer)

    def _via(self, peer: Peer) -> Via:
        host, port = self._transports.advertised(peer.transport, peer)
        return Via(peer.transport.upper(), _bracket(host), port, (("branch", COOKIE + self.token()), ("rport", None)))

    def chance(self) -> float:
        """0 to 1, 1 excluded."""
        return int.from_bytes(self._tokens(4), "big") / 2**32

    def token(self) -> str:
        return self._tokens(8).hex()


def merge_key(request: Request) -> tuple[str, str, int]:
    """What two copies of one request share (RFC 3261 8.2.2.2)."""
    return request.call_id, request.from_.tag or "", request.cseq.number


def accepts_sdp(accept: list[str]) -> bool:
    """Whether an INVITE's Accept lets the answer be SDP; without one it does (RFC 3261 20.1)."""
    types = {value.partition(";")[0].strip().lower() for value in accept}
    return not types or not types.isdisjoint((SDP, "application/*", "*/*"))


def numeric(uri: Uri) -> Deferred[tuple[Peer, ...]]:
    """Where a URI without a name leads; what `locate` does until somebody who asks the DNS takes its place."""
    if not is_address(uri.host):
        return fail(LocalError(f"{uri.host} is no address, and there is nobody to ask for it"))
    transport = (uri.param("transport") or ("tls" if uri.scheme == "sips" else "udp")).lower()
    return succeed((Peer(transport, uri.host.strip("[]"), uri.port or (5061 if transport == "tls" else 5060)),))


def _bracket(host: str) -> str:
    return f"[{host}]" if ":" in host else host
