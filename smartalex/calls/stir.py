"""Fetches the certificates that PASSporTs name, and asks smartalex.sip.stir about a request (RFC 8224 6.2, 7.2)."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Any

import attrs
from cryptography import x509
from twisted.internet.defer import CancelledError, Deferred, fail, gatherResults, succeed
from twisted.internet.defer import TimeoutError as NoAnswer
from twisted.internet.endpoints import HostnameEndpoint, wrapClientTLS
from twisted.internet.error import ConnectError
from twisted.internet.interfaces import IAddress, IHostResolution, IProtocolFactory, IResolutionReceiver, IStreamClientEndpoint
from twisted.internet.protocol import Protocol
from twisted.protocols.policies import ProtocolWrapper, WrappingFactory
from twisted.python.failure import Failure
from twisted.web.client import URI, Agent, BrowserLikePolicyForHTTPS, ResponseDone
from twisted.web.http import PotentialDataLoss
from twisted.web.http_headers import Headers
from twisted.web.iweb import IAgentEndpointFactory, IPolicyForHTTPS, IResponse
from zope.interface import implementer

from smartalex.errors import ConfigurationError, RemoteError
from smartalex.sip.message import Request
from smartalex.sip.stir import (
    MOST_IDENTITIES,
    NONE,
    Facts,
    Verification,
    best,
    facts_of,
    failed,
    parse_identity,
    precheck,
    verify,
)

LONGEST_S, USUAL_S, FAILURE_S = 86_400.0, 300.0, 60.0
"""How long a certificate is kept at most and where the server says nothing, and a failure."""
TRIES = 2
NAT64 = IPv6Network("64:ff9b::/96")

Address = IPv4Address | IPv6Address
Networks = tuple[IPv4Network | IPv6Network, ...]

_MAX_AGE = re.compile(r"(?:^|[\s,])max-age\s*=\s*\"?([0-9]{1,9})", re.IGNORECASE).search
_NOT_KEPT = re.compile(r"(?:^|[\s,])no-(?:store|cache)\b", re.IGNORECASE).search


def _networks(texts: Iterable[str]) -> Networks:
    return tuple(ip_network(text) for text in texts)


@attrs.frozen
class CertificateOptions:
    """`ports` are those of SHAKEN (ATIS-1000074); `networks` the private ones that may be asked, as "10.0.0.0/8".

    `max_bytes` bounds all that a server sends, handshake and headers included.  Raises ValueError for a bad network.
    """

    timeout_s: float = 3.0
    max_bytes: int = 49_152
    ports: tuple[int, ...] = (443, 8443)
    networks: Networks = attrs.field(default=(), converter=_networks)
    most_kept: int = 256
    most_pending: int = 32


class CertificateSource:
    """What an info parameter leads to, over https and without redirects, kept as long as Cache-Control says.

    Whoever calls can name the resource, so only public addresses are asked; `now` is monotonic.
    """

    def __init__(
        self, reactor: Any, now: Callable[[], float], options: CertificateOptions | None = None, policy: Any = None
    ) -> None:
        self._reactor = reactor
        self._now = now
        self._options = options or CertificateOptions()
        self._policy = policy or BrowserLikePolicyForHTTPS()
        self._kept: OrderedDict[str, tuple[float, bytes | str]] = OrderedDict()
        self._pending: dict[str, list[Deferred[bytes]]] = {}

    def get(self, url: str) -> Deferred[bytes]:
        """The chain, fired at once when it is kept; fails with RemoteError(436)."""
        until, kept = self._kept.get(url, (0.0, b""))
        if until > self._now():
            self._kept.move_to_end(url)
            return succeed(kept) if isinstance(kept, bytes) else fail(RemoteError(436, kept))
        if url not in self._pending and len(self._pending) >= self._options.most_pending:
            return fail(RemoteError(436, "too many certificates are being fetched"))
        waiting: Deferred[bytes] = Deferred()
        self._pending.setdefault(url, []).append(waiting)
        if len(self._pending[url]) == 1:
            fetched = Deferred.fromCoroutine(self._fetch(url)).addTimeout(self._options.timeout_s, self._reactor)
            fetched.addErrback(self._unreachable).addCallback(self._fetched, url)
        return waiting

    async def _fetch(self, url: str) -> tuple[float, bytes | str]:
        connection = Connection(self._reactor, self._options, self._policy)
        try:
            agent = Agent.usingEndpointFactory(self._reactor, connection)
            response = await agent.request(b"GET", url.encode("ascii"), Headers({b"User-Agent": [b"SmartAlex"]}))
            if response.code != 200:
                raise RemoteError(436, f"the certificate's server answered {response.code}")
            body = Body()
            response.deliverBody(body)
            return lifetime_s(response), await body.done
        except Exception:
            if connection.exceeded:
                raise RemoteError(436, "the certificate's server sends too much") from None
            raise
        finally:
            connection.abort()

    def _unreachable(self, failure: Failure) -> tuple[float, str]:
        if isinstance(failure.value, RemoteError):
            return FAILURE_S, failure.value.reason
        cause = next(iter(getattr(failure.value, "reasons", ())), failure)
        if cause.check(NoAnswer, CancelledError):
            return FAILURE_S, f"the certificate's server did not answer within {self._options.timeout_s:g} s"
        why = f"{type(cause.value).__name__} {cause.getErrorMessage()}"
        return FAILURE_S, f"the certificate cannot be fetched: {why[:160]}"

    def _fetched(self, result: tuple[float, bytes | str], url: str) -> None:
        """`found` is the chain, or why there is none."""
        lifetime, found = result
        self._kept.pop(url, None)
        if lifetime > 0:
            while len(self._kept) >= self._options.most_kept:
                self._kept.popitem(last=False)
            self._kept[url] = (self._now() + lifetime, found)
        for waiting in self._pending.pop(url):
            if isinstance(found, bytes):
                waiting.callback(found)
            else:
                waiting.errback(RemoteError(436, found))


def lifetime_s(response: IResponse) -> float:
    """Seconds that the answer may be kept (RFC 9111 4.2.1, 5.2.2)."""
    control = ",".join(response.headers.getRawHeaders("Cache-Control", []))
    if _NOT_KEPT(control):
        return 0.0
    age = _MAX_AGE(control)
    return min(float(age[1]), LONGEST_S) if age else USUAL_S


class Body(Protocol):
    """Collects what a response holds."""

    def __init__(self) -> None:
        self.done: Deferred[bytes] = Deferred()
        self._data = bytearray()

    def dataReceived(self, data: bytes) -> None:
        self._data += data

    def connectionLost(self, reason: Failure | None = None) -> None:
        if reason is None or reason.check(ResponseDone, PotentialDataLoss):
            self.done.callback(bytes(self._data))
        else:
            self.done.errback(reason)


@implementer(IAgentEndpointFactory, IStreamClientEndpoint)
class Connection:
    """One TLS connection: only to an address that may be asked, with all that comes in bounded, and ended by `abort`.

    The address is judged after the name was resolved, and the same address is used, so that a name cannot
    be public first and private then.
    """

    def __init__(self, reactor: Any, options: CertificateOptions, policy: IPolicyForHTTPS) -> None:
        self._reactor = reactor
        self._options = options
        self._policy = policy
        self._wire: Any = None
        self._host, self._port = "", 0
        self.left = options.max_bytes

    @property
    def exceeded(self) -> bool:
        return self.left < 0

    def endpointForURI(self, uri: URI) -> IStreamClientEndpoint:
        if uri.port not in self._options.ports:
            raise RemoteError(436, f"port {uri.port} is not one for certificates")
        host = uri.host.strip(b"[]")
        self._host, self._port = host.decode("ascii"), uri.port
        return wrapClientTLS(self._policy.creatorForNetloc(host, uri.port), self)

    def connect(self, protocolFactory: IProtocolFactory) -> Deferred[Any]:
        return Deferred.fromCoroutine(self._connect(protocolFactory))

    async def _connect(self, factory: IProtocolFactory) -> Any:
        resolved = Addresses()
        self._reactor.nameResolver.resolveHostName(resolved, self._host, self._port)
        addresses = [one for one in await resolved.done if may_ask(one, self._options.networks)]
        error: Exception = RemoteError(436, f"{self._host[:64]} has no public address")
        for address in addresses[:TRIES]:
            endpoint = HostnameEndpoint(self._reactor, address, self._port)
            try:
                self._wire = await endpoint.connect(BoundedFactory(factory, self))
                return self._wire.wrappedProtocol
            except ConnectError as unreachable:
                error = unreachable
        raise error

    def abort(self) -> None:
        if self._wire is not None:
            self._wire.abortConnection()


class Bounded(ProtocolWrapper):
    """Ends the connection when more comes in than its owner has `left`."""

    factory: BoundedFactory

    def dataReceived(self, data: bytes) -> None:
        owner = self.factory.owner
        owner.left -= len(data)
        if owner.exceeded:
            self.abortConnection()
        else:
            super().dataReceived(data)


class BoundedFactory(WrappingFactory):
    protocol = Bounded
    noisy = False

    def __init__(self, wrapped: IProtocolFactory, owner: Connection) -> None:
        super().__init__(wrapped)
        self.owner = owner


@implementer(IResolutionReceiver)
class Addresses:
    """What a name resolves to."""

    def __init__(self) -> None:
        self.done: Deferred[list[str]] = Deferred()
        self._found: list[str] = []

    def resolutionBegan(self, resolutionInProgress: IHostResolution) -> None:
        """Nothing to keep: the fetch's time limit ends the wait."""

    def addressResolved(self, address: IAddress) -> None:
        self._found.append(address.host)  # type: ignore[attr-defined]

    def resolutionComplete(self) -> None:
        self.done.callback(self._found)


def may_ask(address: str, networks: Networks = ()) -> bool:
    """Whether an IP address is public, or in one of `networks`; IPv4 inside IPv6 counts as what it is inside."""
    ip = _inner(ip_address(address.partition("%")[0]))
    return (ip.is_global and not ip.is_multicast) or any(ip in network for network in networks)


def _inner(ip: Address) -> Address:
    if isinstance(ip, IPv4Address):
        return ip
    embedded = IPv4Address(int(ip) & 0xFFFFFFFF) if ip in NAT64 else None
    return ip.ipv4_mapped or ip.sixtofour or embedded or ip


def trust_anchors(data: bytes) -> tuple[x509.Certificate, ...]:
    """The roots of a PEM file; raises ConfigurationError."""
    try:
        return tuple(x509.load_pem_x509_certificates(data))
    except ValueError:
        raise ConfigurationError("the trust anchors of STIR must be certificates in PEM") from None


class Verifier:
    """Asks about a request what its Identity headers are worth; `wall` gives Unix seconds."""

    def __init__(
        self, source: CertificateSource, anchors: Sequence[x509.Certificate], wall: Callable[[], float], *, strict: bool = True
    ) -> None:
        self._source = source
        self._anchors = anchors
        self._wall = wall
        self._strict = strict

    def verify(self, request: Request) -> Deferred[Verification]:
        """Never fails; fires at once when no certificate has to be fetched, else within the source's time limit."""
        values = request.headers.get_all("Identity")[:MOST_IDENTITIES]
        if not values:
            return succeed(NONE)
        try:
            facts = facts_of(request)
        except RemoteError as error:
            return succeed(failed(error))
        now = self._wall()
        return gatherResults([Deferred.fromCoroutine(self._one(value, facts, now)) for value in values]).addCallback(best)

    async def _one(self, value: str, facts: Facts, now: float) -> Verification:
        try:
            passport = parse_identity(value)
            early = precheck(passport, facts, now)
            if early is not None:
                return early
            chain = await self._source.get(passport.info)
        except RemoteError as error:
            return failed(error)
        return verify(passport, chain, self._anchors, facts, now, strict=self._strict)
