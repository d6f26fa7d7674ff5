"""The transaction layer: which message belongs to which transaction, and doing what the tables say.

A request that matches no transaction goes to `user.on_request`, which calls `accept` and gets
a server transaction, or answers with `reply` and leaves no state behind (RFC 3261 8.2.7).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from twisted.logger import Logger

from smartalex.errors import LocalError, RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.headers import Peer, Via
from smartalex.sip.message import REASONS, Headers, Request, Response, UnparsableRequest, parse, response_to
from smartalex.sip.timers import T1, T2, Timer, TimerQueue
from smartalex.sip.transaction import (
    RETRANSMISSIONS,
    TABLES,
    WAITS,
    Action,
    Input,
    State,
    TransactionTable,
    response_input,
    sending_input,
)
from smartalex.sip.transport import STREAMS, Flow, bracketed, fallback_peer, response_peer, stamp

COOKIE = "z9hg4bk"
"""Start of every branch made by RFC 3261 8.1.1.7, in lower case: branches compare without case."""

METHODS = frozenset((
    "INVITE", "ACK", "BYE", "CANCEL", "OPTIONS", "REGISTER", "REFER", "NOTIFY", "INFO", "SUBSCRIBE", "MESSAGE", "UPDATE", "PRACK", "PUBLISH",
))  # fmt: skip
"""Methods there are; others are counted as 'other', for a peer may invent as many as it likes."""

Key = tuple[str, ...]
HeaderRows = tuple[tuple[str, str], ...]


class Wire(Protocol):
    """What the layer needs of the transports."""

    receive: Callable[[bytes, Peer, Flow], None]
    failed: Callable[[Peer, Flow | None], None]

    def send(self, peer: Peer, data: bytes) -> None: ...

    def advertised(self, transport: str, peer: Peer) -> tuple[str, int]: ...


class Core(Protocol):
    """What is above the layer."""

    def on_request(self, request: Request, flow: Flow) -> None:
        """A request that matches no transaction: `accept` it, `reply`, or raise RemoteError to refuse it."""

    def on_ack(self, request: Request) -> None:
        """An ACK of a 2xx."""


class User(Protocol):
    """Who started a client transaction."""

    def on_response(self, transaction: Transaction, response: Response) -> None: ...

    def on_timeout(self, transaction: Transaction) -> None: ...

    def on_unreachable(self, transaction: Transaction) -> None: ...


class Refusal(RemoteError):
    """A RemoteError whose answer carries headers."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(status, REASONS[status])
        self.headers = headers


class Transaction:
    """One transaction of either side; only the layer changes it, but for `user`.

    `user` is a User for a client transaction; for a server transaction whatever its owner wants
    found again, such as the session that a CANCEL means.
    """

    __slots__ = (
        "ack",
        "data",
        "flow",
        "interval",
        "key",
        "merge_key",
        "peer",
        "request",
        "resend",
        "state",
        "table",
        "user",
        "via",
        "wait",
    )

    def __init__(self, key: Key, table: TransactionTable, peer: Peer, flow: Flow | None) -> None:
        self.key = key
        self.table = table
        self.peer = peer
        self.flow = flow
        self.state = State.NEW
        self.user: Any = None
        self.data = b""
        self.interval = 0.0
        self.resend: Timer | None = None
        self.wait: Timer | None = None
        # of a client transaction: what its ACK and CANCEL are made from
        self.request: Request | None = None
        self.ack = b""
        # of a server transaction: the request itself is not kept for the half minute the transaction lasts
        self.via: Via | None = None
        self.merge_key: Key | None = None

    @property
    def answered(self) -> bool:
        """Whether a final response was sent or received."""
        return self.state in (State.ACCEPTED, State.COMPLETED, State.CONFIRMED, State.TERMINATED)


class Budget:
    """Tokens per source: `burst` at once, then `per_s`; the table is bounded."""

    __slots__ = ("_burst", "_left", "_per_s", "_sources")

    def __init__(self, burst: float = 20.0, per_s: float = 5.0, sources: int = 10_000) -> None:
        self._burst, self._per_s, self._sources = burst, per_s, sources
        self._left: dict[str, tuple[float, float]] = {}

    def take(self, source: str, now: float) -> bool:
        left, since = self._left.get(source, (self._burst, now))
        left = min(self._burst, left + (now - since) * self._per_s)
        if len(self._left) >= self._sources and source not in self._left:
            self._left.clear()
        self._left[source] = (left - 1.0 if left >= 1.0 else left, now)
        return left >= 1.0


class TransactionLayer:
    """`now` gives seconds of a monotonic clock.  Beyond `most` server transactions new requests get 503."""

    log = Logger()

    def __init__(
        self, transports: Wire, timers: TimerQueue, counters: ICounters, now: Callable[[], float], most: int = 200_000
    ) -> None:
        self.transports = transports
        self.timers = timers
        self.counters = counters
        self.user: Core
        self._servers: dict[Key, Transaction] = {}
        self._clients: dict[Key, Transaction] = {}
        self._merging: set[Key] = set()
        self._now = now
        self._most = most
        self._budget = Budget()
        transports.receive = self.receive
        transports.failed = self.failed

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # ------------------------------------------------------------------ from the wire

    def receive(self, data: bytes, peer: Peer, flow: Flow) -> None:
        """One message.  Never raises: this is the border for whatever a peer may send."""
        self.counters.count("sip.received", peer.transport)
        try:
            message = parse(data, stream=peer.transport in STREAMS)
            message.source = peer
            if isinstance(message, Request):
                self._request(message, peer, flow)
            else:
                self._response(message, flow)
        except UnparsableRequest as error:
            self.counters.count("sip.malformed", peer.transport)
            self._answer_unparsable(error, peer, flow)
        except RemoteError:
            self.counters.count("sip.malformed", peer.transport)
        except Exception:
            self._fault(peer)

    def _fault(self, peer: Peer) -> None:
        self.log.failure("a SIP message from {transport}:{host} could not be handled", transport=peer.transport, host=peer.host)
        self.counters.count("sip.fault", "message")

    def _request(self, request: Request, peer: Peer, flow: Flow) -> None:
        method = request.method
        self.counters.count("sip.request", method if method in METHODS else "other")
        stamp(request, peer)
        transaction = self._servers.get(server_key(request, "INVITE" if method == "ACK" else method))
        if method == "ACK":
            self._ack(request, transaction)
        elif transaction is not None:
            self.counters.count("sip.retransmission")
            self._run(transaction, Input.REQUEST)
        else:
            self._hand_up(request, peer, flow)

    def _hand_up(self, request: Request, peer: Peer, flow: Flow) -> None:
        try:
            self.user.on_request(request, flow)
        except RemoteError as error:
            self._refuse(request, flow, error)
        except Exception:
            self._fault(peer)
            self._refuse(request, flow, Refusal(500))

    def _ack(self, request: Request, transaction: Transaction | None) -> None:
        if transaction is None:
            self.user.on_ack(request)
        elif not self._run(transaction, Input.ACK, request):
            self.counters.count("sip.unlisted", "ACK")

    def _refuse(self, request: Request, flow: Flow, error: RemoteError) -> None:
        """Answer a request whose handling failed: in its transaction, where it has one without a final answer."""
        headers = error.headers if isinstance(error, Refusal) else ()
        transaction = self._servers.get(server_key(request, request.method))
        if transaction is None:
            self.reply(request, flow, error.status, error.reason, headers)
        elif not transaction.answered:
            tag = stateless_tag(request)
            self.respond(transaction, response_to(request, error.status, error.reason, to_tag=tag, headers=headers))

    def _answer_unparsable(self, error: UnparsableRequest, peer: Peer, flow: Flow) -> None:
        """Only when the top Via can be read, never to an ACK, and within the source's budget: else we would be an amplifier."""
        request = error.request
        if request is None or request.method == "ACK" or not self._budget.take(peer.host, self._now()):
            return
        request.source = peer
        try:
            stamp(request, peer)
        except RemoteError:
            return
        response = response_to(request, error.status, error.reason)
        present = [(name, value) for name, value in response.headers.items() if value]
        self._send_response(request, flow, Response(response.status, response.reason, Headers(present)))

    def _response(self, response: Response, flow: Flow) -> None:
        transaction = self._clients.get((response.via.branch.lower(), response.cseq.method))
        if transaction is None or len(response.vias) != 1:  # more Vias: it was never meant for us (RFC 3261 8.1.3.3)
            self.counters.count("sip.stray_response")
            return
        if transaction.flow is None:
            transaction.flow = flow
        if not self._run(transaction, response_input(response.status), response):
            self.counters.count("sip.unlisted", "response")

    def failed(self, peer: Peer, flow: Flow | None) -> None:
        """A connection broke or was never made: requests that wait for an answer on it will get none."""
        for transaction in [t for t in self._clients.values() if t.peer == peer or (flow is not None and t.flow is flow)]:
            try:
                self._run(transaction, Input.UNREACHABLE)
            except Exception:
                self._fault(peer)

    # ------------------------------------------------------------------ server side

    def accept(self, request: Request, flow: Flow, user: object = None) -> Transaction:
        """A server transaction for a new request.

        Raises Refusal: 482 when the request reached us by two ways (RFC 3261 8.2.2.2), 503 when there are too many.
        """
        if len(self._servers) >= self._most:
            self.counters.count("sip.overload")
            raise Refusal(503, ("Retry-After", "10"))
        merge_key = None
        if request.to.tag is None:
            merge_key = (request.call_id, request.from_.tag or "", str(request.cseq))
            if merge_key in self._merging:
                raise Refusal(482)
            self._merging.add(merge_key)
        source, via = request.source, request.via
        assert source is not None
        key, table = server_key(request, request.method), TABLES[True, request.method == "INVITE", source.transport in STREAMS]
        transaction = self._servers[key] = Transaction(key, table, response_peer(via, source), flow)
        transaction.via = via
        transaction.merge_key = merge_key
        transaction.user = user
        self._run(transaction, Input.START)
        return transaction

    def respond(self, transaction: Transaction, response: Response) -> None:
        """Send a response; raises LocalError when the transaction's state has no room for it."""
        before, transaction.data = transaction.data, response.to_bytes()
        if not self._run(transaction, sending_input(response.status)):
            transaction.data = before
            raise LocalError(f"no {response.status} while the transaction is {transaction.state}")
        self.counters.count("sip.response", f"{response.status // 100}xx")

    def resend_2xx(self, transaction: Transaction) -> None:
        """The 2xx to an INVITE once more."""
        self._run(transaction, Input.SEND_SUCCESS)

    def reply(self, request: Request, flow: Flow, status: int, reason: str | None = None, headers: HeaderRows = ()) -> None:
        """Answer without state; a retransmitted request gets the very same answer (RFC 3261 8.2.7)."""
        self._send_response(request, flow, response_to(request, status, reason, to_tag=stateless_tag(request), headers=headers))

    def _send_response(self, request: Request, flow: Flow, response: Response) -> None:
        self.counters.count("sip.response", f"{response.status // 100}xx")
        assert request.source is not None
        flow.send(response_peer(request.via, request.source), response.to_bytes())

    def find_invite(self, cancel: Request) -> Transaction | None:
        """The INVITE transaction that a CANCEL means (RFC 3261 9.2)."""
        return self._servers.get(server_key(cancel, "INVITE"))

    # ------------------------------------------------------------------ client side

    def request(self, request: Request, peer: Peer, user: User, branch: str, flow: Flow | None = None) -> Transaction:
        """Send a request that has no Via yet, by `flow` or however `peer` can be reached; `branch` is a fresh token."""
        self.add_via(request, peer, branch)
        return self._start_client((COOKIE + branch, request.method), request, peer, flow, user)

    def cancel(self, invite: Transaction, headers: HeaderRows = ()) -> None:
        """Send CANCEL for an INVITE that has had a provisional response (RFC 3261 9.1); its own answer says nothing we need."""
        assert invite.request is not None
        cancel = hop_request(invite.request, "CANCEL", invite.request.headers.get("To") or "", headers)
        self._start_client((invite.key[0], "CANCEL"), cancel, invite.peer, invite.flow, None)

    def _start_client(self, key: Key, request: Request, peer: Peer, flow: Flow | None, user: User | None) -> Transaction:
        table = TABLES[False, request.method == "INVITE", peer.transport in STREAMS]
        transaction = self._clients[key] = Transaction(key, table, peer, flow)
        transaction.request = request
        transaction.data = request.to_bytes()
        transaction.user = user
        self._run(transaction, Input.START)
        return transaction

    def abandon(self, transaction: Transaction) -> None:
        """Forget a transaction that has no end of its own."""
        self._run(transaction, Input.ABANDON)

    def add_via(self, request: Request, peer: Peer, branch: str) -> None:
        """Our Via on top; called for the ACK of a 2xx too, which is no transaction and goes by `send`."""
        host, port = self.transports.advertised(peer.transport, peer)
        via = f"SIP/2.0/{peer.transport.upper()} {bracketed(host)}:{port};branch=z9hG4bK{branch};rport"
        request.headers.insert_first("Via", via)

    def send(self, peer: Peer, data: bytes, flow: Flow | None = None) -> None:
        if flow is None or not flow.send(peer, data):
            self.transports.send(peer, data)

    # ------------------------------------------------------------------ the tables' actions

    def _run(self, transaction: Transaction, event: Input, message: Request | Response | None = None) -> bool:
        """One step of the transaction's table; False when it does not list the pair."""
        row = transaction.table.get((transaction.state, event))
        if row is None:
            return False
        actions, transaction.state = row
        user = transaction.user  # DONE comes before telling the user, so that a user that fails leaves nothing behind
        for action in actions:
            self._perform(transaction, action, message, user)
        return True

    def _perform(self, transaction: Transaction, action: Action, message: Request | Response | None, user: Any) -> None:
        if action is Action.SEND:
            self._transmit(transaction, transaction.data)
        elif action in WAITS:
            self._start_wait(transaction, *WAITS[action])
        elif action in RETRANSMISSIONS:
            self._start_resending(transaction, *RETRANSMISSIONS[action])
        elif action is Action.DELIVER:
            self._deliver(transaction, message, user)
        elif action is Action.STOP:
            stop_timers(transaction)
        elif action is Action.DONE:
            self._forget(transaction)
        elif action is Action.SEND_ACK:
            self._acknowledge(transaction, message)
        elif action is Action.SLOW_DOWN:
            transaction.interval = T2
        elif user is not None:
            (user.on_timeout if action is Action.TIMED_OUT else user.on_unreachable)(transaction)

    def _transmit(self, transaction: Transaction, data: bytes) -> None:
        flow, peer = transaction.flow, transaction.peer
        if not data or (flow is not None and flow.send(peer, data)):
            return
        if transaction.via is not None:
            peer = fallback_peer(transaction.via, peer)
        self.transports.send(peer, data)

    def _deliver(self, transaction: Transaction, message: Request | Response | None, user: Any) -> None:
        if isinstance(message, Request):
            self.user.on_ack(message)
        elif user is not None:
            user.on_response(transaction, message)

    def _start_wait(self, transaction: Transaction, event: Input, seconds: float) -> None:
        if transaction.wait is not None:
            transaction.wait.cancel()
        transaction.wait = self.timers.call_later(seconds, self._run, transaction, event)

    def _start_resending(self, transaction: Transaction, event: Input, most_s: float) -> None:
        transaction.interval = min(most_s, transaction.interval * 2) or T1
        transaction.resend = self.timers.call_later(transaction.interval, self._run, transaction, event)

    def _acknowledge(self, transaction: Transaction, response: Request | Response | None) -> None:
        if not transaction.ack and transaction.request is not None and response is not None:
            transaction.ack = hop_request(transaction.request, "ACK", response.headers.get("To") or "").to_bytes()
        self._transmit(transaction, transaction.ack)

    def _forget(self, transaction: Transaction) -> None:
        stop_timers(transaction)
        transaction.user = None
        if transaction.via is None:
            del self._clients[transaction.key]
            return
        del self._servers[transaction.key]
        if transaction.merge_key is not None:
            self._merging.discard(transaction.merge_key)


def stop_timers(transaction: Transaction) -> None:
    for timer in (transaction.resend, transaction.wait):
        if timer is not None:
            timer.cancel()
    transaction.resend = transaction.wait = None


def server_key(request: Request, method: str) -> Key:
    """What a server transaction is found by (RFC 3261 17.2.3); the long form is for branches of RFC 2543."""
    via = request.via
    branch = via.branch.lower()
    if branch.startswith(COOKIE) and len(branch) > len(COOKIE):
        return branch, via.host, str(via.port), method
    tag, number = request.from_.tag or "", str(request.cseq.number)
    return request.uri, request.call_id, tag, number, branch, via.host, str(via.port), method


def stateless_tag(request: Request) -> str:
    """A To tag that is the same for each copy of the request, and that no session has."""
    return f"s{hash((request.via.branch, request.call_id)) & 0xFFFFFFFFFFFF:x}"


def hop_request(request: Request, method: str, to: str, more: HeaderRows = ()) -> Request:
    """The CANCEL of a request, or the ACK of its failure: both follow it hop by hop (RFC 3261 9.1, 17.1.1.3)."""
    headers = request.headers
    rows = [("Via", headers.get("Via") or "")]
    rows += [("Route", route) for route in headers.get_all("Route")]
    rows += [("Max-Forwards", "70"), ("From", headers.get("From") or ""), ("To", to), ("Call-ID", request.call_id)]
    rows += [("CSeq", f"{request.cseq.number} {method}"), *more]
    return Request(method, request.uri, Headers(rows))
