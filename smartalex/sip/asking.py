"""A request outside dialogs, sent to each of its targets until one answers (RFC 3261 8.1, RFC 3263 4.3)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import attrs

from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import ClientTransaction
from smartalex.sip.message import Headers, Request, Response
from smartalex.sip.uri import Uri

Rows = tuple[tuple[str, str], ...]


@attrs.define(eq=False)
class Outside:
    """What is asked; `cseq` is that of the last request sent, so that the next one can go on from there.

    `headers` are ours beside the usual ones.  `contact_user` None leaves Contact out; `contact_params` follow it.
    """

    method: str
    uri: Uri
    from_: NameAddr
    to: NameAddr
    headers: Rows = ()
    body: bytes = b""
    call_id: str = ""
    cseq: int = 0
    digest: DigestClient | None = None
    contact_user: str | None = None
    contact_params: str = ""

    def request(self, contact: str) -> Request:
        """The next one, without its Via; `contact` is the URI that we are reached by."""
        self.cseq += 1
        rows = [("Max-Forwards", "70"), ("From", str(self.from_)), ("To", str(self.to)), ("Call-ID", self.call_id)]
        rows.append(("CSeq", f"{self.cseq} {self.method}"))
        if self.contact_user is not None:
            rows.append(("Contact", f"<{contact}>{self.contact_params}"))
        return Request(self.method, str(self.uri), Headers([*rows, *self.headers]), self.body)


class Asking:
    """One `Outside` on its way.  `send(request, peer)` makes a client transaction, to be started here.

    Exactly one of `answered(response)` and `failed('timeout' | 'transport')` is called, with what the last target said.
    """

    def __init__(  # noqa: PLR0917 (one caller, which names them)
        self,
        outside: Outside,
        peers: Sequence[Peer],
        contact: Callable[[Peer, str], str],
        send: Callable[[Request, Peer], ClientTransaction],
        answered: Callable[[Response], None],
        failed: Callable[[str], None],
        unreachable: Callable[[Peer], None],
    ) -> None:
        self._outside = outside
        self._peers = list(peers)
        self._contact = contact
        self._send = send
        self._answered = answered
        self._failed = failed
        self._unreachable = unreachable

    def start(self) -> None:
        self._to(self._peers.pop(0))

    def _to(self, peer: Peer, credentials: Rows = ()) -> None:
        request = self._outside.request(self._contact(peer, self._outside.contact_user or ""))
        for row in credentials:
            request.headers.add(*row)
        client = self._send(request, peer)
        client.on_response = lambda response: self._response(peer, response)
        client.on_failed = lambda why: self._lost(peer, why)
        client.start()

    def _response(self, peer: Peer, response: Response) -> None:
        if response.status < 200:
            return
        if response.status == 503 and self._peers:
            self._lost(peer, "transport")
            return
        digest = self._outside.digest
        if digest is not None and response.status in (401, 407):
            credentials = digest.authorization(response, self._outside.method, str(self._outside.uri))
            if credentials:
                self._to(peer, credentials)
                return
        self._answered(response)

    def _lost(self, peer: Peer, why: str) -> None:
        self._unreachable(peer)
        if self._peers:
            if self._outside.digest is not None:
                self._outside.digest.elsewhere()
            self.start()
        else:
            self._failed(why)
