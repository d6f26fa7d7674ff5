"""The transaction layer (RFC 3261 17): matches messages to transactions and performs their tables' actions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.logger import Logger

from smartalex.errors import RemoteError
from smartalex.interfaces import ICounters
from smartalex.sip.budget import Buckets, source_of
from smartalex.sip.headers import COOKIE, Peer, Via
from smartalex.sip.message import REASONS, Headers, Request, Response, UnparsableRequest, parse, response_to
from smartalex.sip.overload import Overload
from smartalex.sip.timers import TIMEOUT, Timer, TimerQueue
from smartalex.sip.transaction import Action, Input, Kind, State, Transaction, wait_s
from smartalex.sip.transport import Transports

MOST_SERVERS = 16_000
"""Server transactions, most of them answered and waiting for stragglers: beyond so many the oldest wait no longer."""

MOST_PASSED_OVER = 4


class Refusal(RemoteError):
    """A RemoteError that knows its reason phrase, and the headers that belong into the response."""

    def __init__(self, status: int, *headers: tuple[str, str]) -> None:
        super().__init__(status, REASONS[status])
        self.headers = headers


class User(Protocol):
    """What is above the layer."""

    def on_request(self, transaction: ServerTransaction, request: Request) -> None: ...

    def on_ack(self, request: Request) -> None:
        """An ACK that belongs to no transaction: for a 2xx."""

    def on_stray_response(self, response: Response) -> None:
        """A 2xx retransmitted after its transaction ended, or nonsense."""

    def token(self) -> str:
        """Something random, for a tag."""
        ...


class _Timed:
    """The timers that both sides share."""

    __slots__ = ("layer", "machine", "peer", "retransmit", "timeout", "wait")

    def __init__(self, layer: TransactionLayer, kind: Kind, peer: Peer) -> None:
        self.layer = layer
        self.peer = peer
        self.machine = Transaction(kind, peer.transport != "udp")
        self.retransmit: Timer | None = None
        self.timeout: Timer | None = None
        self.wait: Timer | None = None

    def start_retransmit(self) -> None:
        if not self.machine.reliable:
            self.retransmit = self.layer.timers.call_later(self.machine.interval, self.input, Input.RETRANSMIT)

    def start_timeout(self) -> None:
        self.timeout = self.layer.timers.call_later(TIMEOUT, self.input, Input.TIMEOUT)

    def input(self, event: Input) -> bool:
        """Step the table and perform; False when the pair is not listed."""
        actions = self.machine.input(event)
        if actions is None:
            self.layer.counters.count("sip.unlisted", self.machine.kind.value)
            return False
        try:
            for action in actions:
                self.perform(action)
        finally:  # whatever the user made of it
            if self.machine.state is State.TERMINATED:
                self.finish()
        return True

    def perform(self, action: Action) -> None:
        if action in (Action.AGAIN_DOUBLED, Action.AGAIN_CAPPED, Action.AGAIN_T2):
            interval = self.machine.next_interval(action)
            self.retransmit = self.layer.timers.call_later(interval, self.input, Input.RETRANSMIT)
        elif action is Action.STOP_RETRANSMIT:
            if self.retransmit is not None:
                self.retransmit.cancel()
        elif action is Action.START_RETRANSMIT:
            self.start_retransmit()
        elif action is Action.START_TIMEOUT:
            self.start_timeout()
        elif action is Action.STOP_TIMEOUT:
            if self.timeout is not None:
                self.timeout.cancel()
        elif action is Action.START_WAIT:
            seconds = wait_s(self.machine.kind, self.machine.state, self.machine.reliable)
            self.wait = self.layer.timers.call_later(seconds, _wait_over, self)
        else:
            self.act(action)

    def act(self, action: Action) -> None:
        raise NotImplementedError

    def finish(self) -> None:
        for timer in (self.retransmit, self.timeout, self.wait):
            if timer is not None:
                timer.cancel()


def _wait_over(transaction: _Timed) -> None:
    """A function of its own: thousands of transactions wait at any time, and a bound method is 64 bytes."""
    transaction.input(Input.WAIT_OVER)


class ServerTransaction(_Timed):
    """`respond` sends; `on_ack` (INVITE, 2xx retransmitted branch) and `on_failed` are the user's."""

    __slots__ = ("_listens", "call_id", "host", "key", "number", "on_failed", "request", "response", "user")

    def __init__(self, layer: TransactionLayer, key: str, request: Request, peer: Peer, host: str) -> None:
        """`host` is whom it is counted against."""
        kind = Kind.INVITE_SERVER if request.method == "INVITE" else Kind.SERVER
        super().__init__(layer, kind, peer)
        self.host = host
        self._listens = request.via.port  # where it takes connections, if anywhere
        self.key = key
        self.call_id, self.number = request.call_id, request.cseq.number
        self.request: Request | None = request  # until its final response: what stays for stragglers should be small
        self.response: bytes = b""
        self.user: object | None = None
        self.on_failed: Callable[[str], None] | None = None

    def respond(self, response: Response) -> bool:
        """Send a response; False when the transaction has ended or has its final response already."""
        event = Input.R1XX if response.status < 200 else Input.R2XX if response.status < 300 else Input.R3TO6
        if (self.machine.state, event) not in self.machine.table:
            return False
        self.response = response.to_bytes()
        self.layer.counters.count("sip.response", f"{response.status // 100}xx")
        if response.status >= 200:
            self.request = None
        return self.input(event)

    def refuse(self, response: Response) -> None:
        """The user could not handle the request: `response` goes out, and on_failed('fault') tells whoever has it by now."""
        self.respond(response)
        if self.on_failed is not None:
            self.on_failed("fault")

    def act(self, action: Action) -> None:
        if action is Action.SEND_RESPONSE:
            if self.response:
                self._send()
        elif action in (Action.TELL_ERROR, Action.TELL_TIMEOUT) and self.on_failed is not None:
            self.on_failed("transport" if action is Action.TELL_ERROR else "timeout")

    def _send(self) -> None:
        """By the connection the request came by; when that is gone, by one to where its Via points (RFC 3261 18.2.2)."""
        peer = self.peer
        if peer.transport in ("tcp", "tls") and not self.layer.transports.connected(peer):
            peer = Peer(peer.transport, peer.host, self._listens or (5061 if peer.transport == "tls" else 5060))
        self.layer.send(self.call_id, peer, self.response)

    def finish(self) -> None:
        super().finish()
        self.on_failed = self.user = None  # they lead back to us
        self.layer.forget_server(self)


class ClientTransaction(_Timed):
    """`on_response(response)` for each response, `on_failed('timeout' | 'transport')` at most once."""

    __slots__ = ("data", "key", "on_failed", "on_response", "request", "response", "smaller")

    def __init__(
        self, layer: TransactionLayer, key: tuple[str, str], request: Request, peer: Peer, smaller: Peer | None = None
    ) -> None:
        """`smaller` is where a datagram would go, for a request that is too large for one."""
        super().__init__(layer, Kind.INVITE_CLIENT if request.method == "INVITE" else Kind.CLIENT, peer)
        self.key = key
        self.request = request
        self.smaller = smaller
        self.data = request.to_bytes()
        self.response: Response | None = None
        self.on_response: Callable[[Response], None] = lambda response: None
        self.on_failed: Callable[[str], None] = lambda why: None

    def start(self) -> None:
        self.start_retransmit()
        self.start_timeout()
        if not self.layer.send(self.request.call_id, self.peer, self.data) and self.machine.reliable:
            self.layer.timers.call_later(0, self.input, Input.TRANSPORT_ERROR)

    def start_again(self, peer: Peer) -> None:
        """By UDP, as if nothing had been sent."""
        for timer in (self.retransmit, self.timeout):
            if timer is not None:
                timer.cancel()
        self.peer, self.smaller = peer, None
        self.machine = Transaction(self.machine.kind, reliable=False)
        self.data = self.request.to_bytes()
        self.start()

    def received(self, response: Response) -> None:
        self.response, self.smaller = response, None
        self.input(Input.R1XX if response.status < 200 else Input.R2XX if response.status < 300 else Input.R3TO6)

    def act(self, action: Action) -> None:
        if action is Action.SEND_REQUEST:
            self.layer.send(self.request.call_id, self.peer, self.data)
        elif action is Action.SEND_ACK:
            assert self.response is not None
            self.layer.send(self.request.call_id, self.peer, ack_for(self.request, self.response).to_bytes())
        elif action is Action.DELIVER and self.response is not None:
            self.on_response(self.response)
        elif action in (Action.TELL_TIMEOUT, Action.TELL_ERROR):
            self.on_failed("timeout" if action is Action.TELL_TIMEOUT else "transport")

    def finish(self) -> None:
        super().finish()
        self.on_response, self.on_failed = lambda response: None, lambda why: None  # they lead back to us
        self.layer.forget_client(self)


def ack_for(invite: Request, response: Response) -> Request:
    """The ACK of a non-2xx final response (RFC 3261 17.1.1.3): same Via, same Route, the response's To."""
    rows = [("Via", str(invite.via)), ("Max-Forwards", "70")]
    rows += [("Route", value) for value in invite.headers.get_all("Route")]
    rows += [("From", invite.headers.get("From") or ""), ("To", response.headers.get("To") or "")]
    rows += [("Call-ID", invite.call_id), ("CSeq", f"{invite.cseq.number} ACK")]
    return Request("ACK", invite.uri, Headers(rows))


class TransactionLayer:
    """Give it a User; ask it for `client(request, peer)`."""

    log = Logger()

    def __init__(self, transports: Transports, timers: TimerQueue, counters: ICounters, now: Callable[[], float]) -> None:
        self.transports = transports
        self.timers = timers
        self.counters = counters
        self.user: User
        self.tap: Callable[[str, bool, Peer, bytes], None] | None = None
        """Sees every message that belongs to a Call-ID: (Call-ID, whether it came in, the peer, the bytes)."""
        self._now = now
        self._servers: OrderedDict[str, ServerTransaction] = OrderedDict()
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._at: dict[Peer, set[ServerTransaction | ClientTransaction]] = {}  # those on connections
        self._answers = Buckets(5.0, 10.0)
        self.overload = Overload()
        self.whose: Callable[[str], str] = source_of
        """Who is behind an address, as far as that is known without looking at what it sends."""
        self.retry_after_s: Callable[[], int] = lambda: 10
        transports.receive = self.receive
        transports.failed = self.peer_failed

    def __len__(self) -> int:
        return len(self._servers) + len(self._clients)

    # ------------------------------------------------------------------ from the wire

    def receive(self, data: bytes, peer: Peer) -> None:
        """One message; nothing it holds gets past here as an exception."""
        self.counters.count("sip.received", peer.transport)
        try:
            message = parse(data, stream=peer.transport in ("tcp", "tls"))
            if self.tap is not None:
                self.tap(message.call_id, True, peer, data)
            self._received(message, peer)
        except UnparsableRequest as error:
            self._refuse(error, peer)
        except RemoteError:
            self.counters.count("sip.malformed", peer.transport)
        except Exception:
            self.counters.count("sip.fault")
            self.log.failure("a message from {host} could not be handled", host=peer.host)

    def _received(self, message: Request | Response, peer: Peer) -> None:
        message.source = peer
        if isinstance(message, Response):
            self._response(message)
            return
        stamp_via(message, peer)
        self.counters.count("sip.request", message.method if message.method in KNOWN else "other")
        key = server_key(message)
        transaction = self._servers.get(key)
        if message.method == "ACK":
            self._ack(message, transaction)
        elif transaction is not None and message.cseq.number != transaction.number:
            raise UnparsableRequest(400, "Branch Of Another Request", message)
        elif transaction is not None:
            self.counters.count("sip.retransmission", peer.transport)
            transaction.input(Input.REQUEST)
        else:
            new = message.method == "INVITE" and message.to.tag is None
            if new and self.overload.refuse(self.whose(peer.host), self._now()):
                self._too_busy(message, peer)
                return
            if new and not self.transports.budget.call(peer.host, self._now()):
                self.counters.count("sip.over_budget", "calls")
                return
            if not self.transports.budget.open(peer.host):
                self.counters.count("sip.over_budget", "transactions")
                return
            transaction = ServerTransaction(self, key, message, response_peer(message, peer), peer.host)
            self._servers[key] = transaction
            if len(self._servers) > MOST_SERVERS:
                self._make_room()
            self._note(transaction)
            if peer.transport == "tls" and message.via.param("alias") is not None:
                self.transports.alias(peer, message.via.port or 5061)
            self._hand_up(transaction, message)

    def _make_room(self) -> None:
        for _ in range(MOST_PASSED_OVER):
            oldest = next(iter(self._servers.values()))
            if (oldest.machine.state, Input.WAIT_OVER) in oldest.machine.table:
                oldest.input(Input.WAIT_OVER)
                return
            self._servers.move_to_end(oldest.key)  # not answered yet

    def _too_busy(self, invite: Request, peer: Peer) -> None:
        """Without a transaction: whoever asks again gets the same again (RFC 3261 8.2.7)."""
        self.counters.count("sip.overload")
        answer = response_to(invite, 503, to_tag="busy", headers=(("Retry-After", str(self.retry_after_s())),))
        self.send(invite.call_id, response_peer(invite, peer), answer.to_bytes())

    def _hand_up(self, transaction: ServerTransaction, request: Request) -> None:
        try:
            self.user.on_request(transaction, request)
        except RemoteError as error:
            headers = error.headers if isinstance(error, Refusal) else ()
            transaction.refuse(response_to(request, error.status, error.reason, to_tag=self.user.token(), headers=headers))
        except Exception:
            self.counters.count("sip.fault")
            self.log.failure("a {method} request could not be handled", method=request.method)
            transaction.refuse(response_to(request, 500, to_tag=self.user.token()))

    def _ack(self, ack: Request, transaction: ServerTransaction | None) -> None:
        if transaction is not None and transaction.machine.state is not State.ACCEPTED:
            transaction.input(Input.ACK)
        else:
            self.user.on_ack(ack)

    def _response(self, response: Response) -> None:
        transaction = self._clients.get((response.via.branch, response.cseq.method))
        if transaction is not None and len(response.vias) == 1:
            transaction.received(response)
        else:
            self.counters.count("sip.stray_response")
            self.user.on_stray_response(response)

    def _refuse(self, error: UnparsableRequest, peer: Peer) -> None:
        """Answer what cannot be parsed only when its Via is sound and its source asks seldom: no amplifier.

        Ten at once, then five a second for each source.
        """
        self.counters.count("sip.malformed", peer.transport)
        request = error.request
        if request is None or request.method == "ACK" or not self._answers.take(source_of(peer.host), self._now()):
            return
        try:
            stamp_via(request, peer)
            answer = response_to(request, error.status, error.reason or REASONS.get(error.status)).to_bytes()
            self.transports.send(response_peer(request, peer), answer)
        except RemoteError:
            self.counters.count("sip.unanswerable", peer.transport)

    # ------------------------------------------------------------------ to the wire

    def send(self, call_id: str, peer: Peer, data: bytes) -> bool:
        """False when it was dropped."""
        if self.tap is not None:
            self.tap(call_id, False, peer, data)
        return self.transports.send(peer, data) is not False

    def client(self, request: Request, peer: Peer) -> ClientTransaction:
        """A client transaction for a request whose top Via is ours; `start` it after setting its callbacks."""
        key = (request.via.branch, request.method)
        larger = self.transports.for_request(peer, len(request.to_bytes())) if peer.transport == "udp" else peer
        if larger is not peer:
            request.set_via(self._via_of(request, larger))
        transaction = self._clients[key] = ClientTransaction(self, key, request, larger, peer if larger is not peer else None)
        self._note(transaction)
        return transaction

    def _via_of(self, request: Request, peer: Peer) -> Via:
        return attrs.evolve(
            request.via, transport=peer.transport.upper(), port=self.transports.advertised(peer.transport, peer)[1]
        )

    def find_invite(self, cancel: Request) -> ServerTransaction | None:
        """The INVITE transaction a CANCEL means (RFC 3261 9.2)."""
        return self._servers.get(server_key(cancel, "INVITE"))

    def peer_failed(self, peer: Peer) -> None:
        if peer.transport == "udp":
            concerned = [t for t in (*self._clients.values(), *self._servers.values()) if t.peer == peer]
        else:
            concerned = list(self._at.get(peer, ()))
        for transaction in concerned:
            if isinstance(transaction, ClientTransaction) and transaction.smaller is not None:
                self._by_datagram(transaction, transaction.smaller)
            else:
                transaction.input(Input.TRANSPORT_ERROR)

    def _by_datagram(self, transaction: ClientTransaction, peer: Peer) -> None:
        """No connection for a large request: then it goes in a datagram after all (RFC 3261 18.1.1)."""
        self._unnote(transaction)
        transaction.request.set_via(self._via_of(transaction.request, peer))
        transaction.start_again(peer)

    def _note(self, transaction: ServerTransaction | ClientTransaction) -> None:
        if transaction.peer.transport != "udp":
            self._at.setdefault(transaction.peer, set()).add(transaction)

    def _unnote(self, transaction: ServerTransaction | ClientTransaction) -> None:
        there = self._at.get(transaction.peer)
        if there is not None:
            there.discard(transaction)
            if not there:
                del self._at[transaction.peer]

    def forget_server(self, transaction: ServerTransaction) -> None:
        if self._servers.pop(transaction.key, None) is not None:
            self.transports.budget.close(transaction.host)
            self._unnote(transaction)

    def forget_client(self, transaction: ClientTransaction) -> None:
        if self._clients.pop(transaction.key, None) is not None:
            self._unnote(transaction)


KNOWN = frozenset("INVITE ACK BYE CANCEL OPTIONS REFER NOTIFY REGISTER INFO UPDATE PRACK MESSAGE SUBSCRIBE PUBLISH".split())


def server_key(request: Request, method: str = "") -> str:
    """RFC 3261 17.2.3; an ACK matches its INVITE. Without the cookie what RFC 2543 matched by.  `method`: instead of its own."""
    via = request.via
    method = method or ("INVITE" if request.method == "ACK" else request.method)
    if via.branch.startswith(COOKIE) and len(via.branch) > len(COOKIE):
        return f"{method}\n{via.branch}\n{via.sent_by.lower()}"
    ids = request.uri, request.from_.tag or "", request.call_id, str(request.cseq.number)
    return "\n".join((method, "2543", *ids, via.sent_by.lower(), via.branch))


def stamp_via(request: Request, peer: Peer) -> None:
    """Note where it really came from (RFC 3261 18.2.1, RFC 3581 4)."""
    via: Via = request.via
    if via.rport == "":
        stamped = [(k, str(peer.port) if k == "rport" else v) for k, v in via.params if k != "received"]
        via = Via(via.transport, via.host, via.port, (*stamped, ("received", peer.host)))
    elif via.host.strip("[]") != peer.host:
        via = via.with_param("received", peer.host)
    if via is not request.via:
        request.set_via(via)


def response_peer(request: Request, peer: Peer) -> Peer:
    """Where responses go (RFC 3261 18.2.2): the same connection; over UDP the source address, at rport or the Via's port."""
    if peer.transport != "udp" or request.via.rport is not None:
        return peer
    return Peer("udp", peer.host, request.via.port or 5060)
