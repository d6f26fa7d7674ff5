"""Dialogs (RFC 3261 12): identifiers, sequence numbers, route set, and the requests inside them."""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from ipaddress import ip_address

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import COOKIE, NameAddr, Peer
from smartalex.sip.message import Headers, Request, Response
from smartalex.sip.uri import Uri

DialogId = tuple[str, str, str]
"""(Call-ID, our tag, their tag)."""


@attrs.define
class Dialog:
    """Our half of a dialog.  `local` and `remote` carry the tags; `target` is the peer's Contact URI."""

    call_id: str
    local: NameAddr
    remote: NameAddr
    target: str
    route_set: tuple[str, ...]
    local_seq: int
    remote_seq: int | None

    @classmethod
    def of_uas(cls, request: Request, to_tag: str) -> Dialog:
        """From the INVITE we answer (RFC 3261 12.1.1); raises RemoteError(400) where no dialog can come of it."""
        contact = request.contact
        if contact is None:
            if request.via.branch.startswith(COOKIE):
                raise RemoteError(400, "Missing Contact")
            contact = request.from_  # RFC 2543 4.1: From is where it is then
        routes = tuple(request.headers.get_all("Record-Route"))
        for route in routes:
            NameAddr.parse(route)
        local = request.to.with_tag(to_tag)
        return cls(request.call_id, local, request.from_, str(contact.uri), routes, 0, request.cseq.number)

    @classmethod
    def of_uac(cls, request: Request, response: Response) -> Dialog:
        """From the response that made it (RFC 3261 12.1.2): the route set is turned round.

        What cannot be read of it is left out: the call is up, and has to be ended somehow.
        """
        contacts = _readable(response.headers.get_all("Contact"))
        routes = tuple(reversed(_readable(response.headers.get_all("Record-Route"))))
        target = str(NameAddr.parse(contacts[0]).uri) if contacts else request.uri
        return cls(request.call_id, request.from_, response.to, target, routes, request.cseq.number, None)

    @property
    def id(self) -> DialogId:
        return self.call_id, self.local.tag or "", self.remote.tag or ""

    def accepts(self, request: Request) -> bool:
        """False for a request that is out of order (RFC 3261 12.2.2: answer 500); ACK and CANCEL are not counted."""
        number = request.cseq.number
        if self.remote_seq is not None and number <= self.remote_seq:
            return False
        self.remote_seq = number
        return True

    def refresh_target(self, message: Request | Response) -> None:
        """A target refresh (re-INVITE, its 2xx) may move the peer's Contact."""
        contact = message.contact
        if contact is not None:
            self.target = str(contact.uri)

    def request(self, method: str, headers: Iterable[tuple[str, str]] = (), body: bytes = b"", seq: int | None = None) -> Request:
        """An in-dialog request without its Via (RFC 3261 12.2.1.1); `seq` is given for ACK only."""
        if seq is None:
            self.local_seq += 1
            seq = self.local_seq
        uri, routes = self._addressing()
        rows = [("Route", route) for route in routes]
        rows += [("Max-Forwards", "70"), ("From", str(self.local)), ("To", str(self.remote))]
        rows += [("Call-ID", self.call_id), ("CSeq", f"{seq} {method}"), *headers]
        return Request(method, uri, Headers(rows), body)

    def next_hop(self) -> Uri:
        """Where the next request goes: the first route, or the target."""
        return NameAddr.parse(self.route_set[0]).uri if self.route_set else Uri.parse(self.target)

    def _addressing(self) -> tuple[str, tuple[str, ...]]:
        """Request-URI and Route values; a strict router takes the Request-URI's place (RFC 3261 12.2.1.1)."""
        if not self.route_set or NameAddr.parse(self.route_set[0]).uri.param("lr") is not None:
            return self.target, self.route_set
        return str(NameAddr.parse(self.route_set[0]).uri), (*self.route_set[1:], f"<{self.target}>")


def _readable(addresses: list[str]) -> list[str]:
    good = []
    for text in addresses:
        try:
            NameAddr.parse(text)
        except RemoteError:
            continue
        good.append(text)
    return good


@lru_cache(maxsize=2048)
def is_address(host: str) -> bool:
    """True for a numeric IPv4 or (bracketed) IPv6 address."""
    try:
        ip_address(host.strip("[]"))
    except ValueError:
        return False
    return True


def peer_of(uri: Uri, came_from: Peer, request: Request | None) -> Peer:
    """The transport address for an in-dialog request.

    A numeric host is taken as it stands, but where the peer sits behind a NAT
    (its Via names another address than its packets) or names a host we do not
    resolve, requests go back where its own came from.
    """
    via = request.via if request is not None else None
    behind_nat = via is not None and via.host == uri.host and via.received not in (None, via.host.strip("[]"))
    if behind_nat or not is_address(uri.host):
        return came_from
    transport = (uri.param("transport") or ("tls" if uri.scheme == "sips" else "udp")).lower()
    if transport not in ("udp", "tcp", "tls"):
        transport = came_from.transport
    return Peer(transport, uri.host.strip("[]"), uri.port or (5061 if transport == "tls" else 5060))
