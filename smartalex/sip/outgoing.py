"""How an INVITE of ours gets through: its targets in turn, credentials, a longer session interval, redirects.

What each refusal means is decided here; the user agent sends.
"""

from __future__ import annotations

from collections.abc import Callable

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.digest import DigestClient
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Request, Response
from smartalex.sip.session_timer import SessionTimer, ask, raised
from smartalex.sip.uri import Uri

Rows = tuple[tuple[str, str], ...]

REDIRECTS = 5
"""How often one call is sent on."""


@attrs.frozen
class Again:
    """The next INVITE: what its headers are set to; `uri` when it goes elsewhere."""

    rows: Rows = ()
    uri: Uri | None = None


class Outgoing:
    """`peers` are the targets not tried yet; `redirects(uri)` says whether a 3xx may send the call there."""

    __slots__ = ("_contacts", "_digest", "_known_s", "_redirects", "_timer", "_tried", "peers")

    def __init__(self, digest: DigestClient | None, timer: SessionTimer, redirects: Callable[[Uri], bool], uri: Uri) -> None:
        self.peers: list[Peer] = []
        self._digest = digest
        self._timer = timer
        self._redirects = redirects
        self._known_s = 0
        self._tried = [uri]
        self._contacts: list[Uri] = []

    def mend(self, request: Request, response: Response) -> Again | None:
        """What may help against this refusal, if anything (RFC 3261 8.1.3, 22.2; RFC 4028 7.3; RFC 3263 4.3)."""
        if response.status in (401, 407):
            return self._authorized(request, response)
        known_s = raised(self._timer, response, self._known_s)
        if known_s is not None:
            self._known_s = known_s
            return Again(ask(self._timer, None, known_s))
        if 300 <= response.status < 400:
            self._contacts = contacts_of(response)
            return self._elsewhere()
        if response.status == 503 and self.peers:
            return self.lost()
        return self._elsewhere() if self._contacts else None

    def lost(self) -> Again | None:
        """Nobody answered, or nobody could be reached."""
        return self._afresh(Again()) if self.peers else self._elsewhere()

    def _authorized(self, request: Request, response: Response) -> Again | None:
        if self._digest is None:
            return None
        credentials = self._digest.authorization(response, "INVITE", request.uri)
        return Again(credentials) if credentials else None

    def _elsewhere(self) -> Again | None:
        """The next contact of the last redirect that may be tried and was not."""
        while self._contacts and len(self._tried) <= REDIRECTS:
            uri = self._contacts.pop(0)
            if uri not in self._tried and self._redirects(uri):
                self._tried.append(uri)
                self.peers = []
                return self._afresh(Again(uri=uri))
        return None

    def _afresh(self, again: Again) -> Again:
        """Another target has not been told who we are."""
        if self._digest is not None:
            self._digest.elsewhere()
        return again


def contacts_of(response: Response) -> list[Uri]:
    """Where a 3xx points, best first (RFC 3261 8.1.3.4); URI headers and what cannot be read are left out."""
    found: list[tuple[float, Uri]] = []
    for text in response.headers.get_all("Contact"):
        try:
            contact = NameAddr.parse(text)
        except RemoteError:
            continue
        if contact.uri.scheme in ("sip", "sips"):
            found.append((_q(dict(contact.params).get("q")), attrs.evolve(contact.uri, headers=())))
    return [uri for _, uri in sorted(found, key=lambda one: -one[0])]


def _q(text: str | None) -> float:
    try:
        return min(1.0, max(0.0, float(text))) if text is not None and len(text) <= 5 else 1.0
    except ValueError:
        return 0.0
