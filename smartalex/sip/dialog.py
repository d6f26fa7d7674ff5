"""Dialogs (RFC 3261 12): identifiers, sequence numbers, route set, and the requests inside them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

from smartalex.errors import LocalError, RemoteError
from smartalex.sip.headers import NameAddr, Peer, Via
from smartalex.sip.message import Headers, Request, Response
from smartalex.sip.uri import Uri


class Dialog:
    """Our half of a dialog.  `local` and `remote` are From and To as we write them, tags included.

    `target` is the peer's Contact URI; `remote_seq` is None until the peer's first request.
    """

    __slots__ = ("call_id", "local", "local_seq", "local_tag", "remote", "remote_seq", "remote_tag", "routes", "target")

    def __init__(
        self, call_id: str, local: tuple[str, str], remote: tuple[str, str], target: str, routes: tuple[str, ...]
    ) -> None:
        self.call_id = call_id
        self.local, self.local_tag = local
        self.remote, self.remote_tag = remote
        self.target = target
        self.routes = routes
        self.local_seq = 0
        self.remote_seq: int | None = None

    @classmethod
    def of_uas(cls, request: Request, tag: str) -> Dialog:
        """From the INVITE we answer with this To tag (RFC 3261 12.1.1); raises RemoteError(400) for a bad Contact or route."""
        if request.contact is None:
            raise RemoteError(400, "Missing Contact")
        local = f"{request.headers.get('To')};tag={tag}", tag
        remote = request.headers.get("From") or "", request.from_.tag or ""
        dialog = cls(request.call_id, local, remote, str(request.contact.uri), tuple(request.headers.get_all("Record-Route")))
        dialog.next_uri()
        dialog.remote_seq = request.cseq.number
        return dialog

    @classmethod
    def of_uac(cls, request: Request, response: Response) -> Dialog:
        """From the 2xx to our INVITE (RFC 3261 12.1.2): the route set is turned round.

        A 2xx without a usable Contact or route still has to be acknowledged: it goes where the INVITE went.
        """
        local = request.headers.get("From") or "", request.from_.tag or ""
        remote = response.headers.get("To") or "", response.to.tag or ""
        target, routes = request.uri, tuple(reversed(response.headers.get_all("Record-Route")))
        dialog = cls(request.call_id, local, remote, target, routes)
        try:
            dialog.refresh_target(response)
            dialog.next_uri()
        except RemoteError:
            dialog.target, dialog.routes = request.uri, ()
        dialog.local_seq = request.cseq.number
        return dialog

    @property
    def id(self) -> tuple[str, str, str]:
        return self.call_id, self.local_tag, self.remote_tag

    def check(self, request: Request) -> None:
        """Raises RemoteError: 481 for another dialog's request, 500 for one out of order (RFC 3261 12.2.2)."""
        if request.call_id != self.call_id or (request.from_.tag or "") != self.remote_tag:
            raise RemoteError(481, "Call/Transaction Does Not Exist")
        number = request.cseq.number
        if self.remote_seq is not None and number < self.remote_seq:
            raise RemoteError(500, "CSeq Out Of Order")
        self.remote_seq = number

    def refresh_target(self, message: Request | Response) -> None:
        """A target refresh (re-INVITE, its 2xx) may move the peer's Contact."""
        if message.contact is not None:
            self.target = str(message.contact.uri)

    def request(self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """A request in this dialog, without its Via (RFC 3261 12.2.1.1)."""
        self.local_seq += 1
        return self._request(method, self.local_seq, headers, body)

    def ack(self, number: int, headers: Iterable[tuple[str, str]] = (), body: bytes = b"") -> Request:
        """The ACK of the 2xx to our INVITE with this CSeq number (RFC 3261 13.2.2.4)."""
        return self._request("ACK", number, headers, body)

    def next_uri(self) -> Uri:
        """Where the next request goes: the first route, else the target."""
        return _route_uri(self.routes[0]) if self.routes else Uri.parse(self.target)

    def _request(self, method: str, number: int, headers: Iterable[tuple[str, str]], body: bytes) -> Request:
        uri, routes = self._addressing()
        rows = [("Route", route) for route in routes]
        rows += [("Max-Forwards", "70"), ("From", self.local), ("To", self.remote), ("Call-ID", self.call_id)]
        rows += [("CSeq", f"{number} {method}"), *headers]
        return checked(Request(method, uri, Headers(rows), body))

    def _addressing(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values; a strict router takes the Request-URI's place (RFC 3261 12.2.1.1)."""
        if not self.routes:
            return self.target, ()
        first = _route_uri(self.routes[0])
        if first.param("lr") is not None:
            return self.target, self.routes
        return str(first), (*self.routes[1:], f"<{self.target}>")


def checked(request: Request) -> Request:
    """The request; raises LocalError when a value would break out of its line."""
    for _, name, value in request.headers.rows():
        if "\r" in value or "\n" in value:
            raise LocalError(f"a line break in {name}")
    return request


def again(request: Request, number: int, *headers: tuple[str, str]) -> Request:
    """The same request as a new transaction: without our Via, with this CSeq number and these headers set."""
    rows = request.headers.copy()
    rows.remove("Via")
    rows.set("CSeq", f"{number} {request.method}")
    for header in headers:
        rows.set(*header)
    return Request(request.method, request.uri, rows, request.body)


# ------------------------------------------------------------------ where it goes


@lru_cache(maxsize=1024)
def _route_uri(route: str) -> Uri:
    return NameAddr.parse(route).uri


@lru_cache(maxsize=4096)
def is_address(host: str) -> bool:
    """True for a numeric IPv4 or (bracketed) IPv6 address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def is_behind_nat(vias: tuple[Via, ...]) -> bool:
    """True when a peer that talks to us directly names another numeric address in its Via than its packets have."""
    top = vias[0]
    return len(vias) == 1 and top.received is not None and top.received != top.host.strip("[]") and is_address(top.host)


def next_peer(uri: Uri, came_from: Peer) -> Peer:
    """The transport address for a route or target URI.

    Names are not looked up here: what carries one goes back where the peer's messages came from.
    Without a transport parameter the peer's own transport is used: RFC 3263 4.1 would say
    UDP, which a PBX that dialled us by TCP need not listen on.
    """
    if not is_address(uri.host):
        return came_from
    transport = (uri.param("transport") or "").lower()
    if uri.scheme == "sips":
        transport = "tls"
    elif transport not in ("udp", "tcp", "tls"):
        transport = came_from.transport
    return Peer(transport, uri.host.strip("[]"), uri.port or (5061 if transport == "tls" else 5060))
