"""Bindings of an address of record to contacts, and what one REGISTER makes of them (RFC 3261 10.3, RFC 3327, RFC 5626 6)."""

from __future__ import annotations

import math

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import MAX_SEQUENCE, NameAddr, Peer, write_params
from smartalex.sip.layer import Refusal
from smartalex.sip.message import Request
from smartalex.sip.uri import Params, Uri, equivalent

MALFORMED_S = 3600
"""What an expiry means that is no number (RFC 3261 10.2.1.1, 20.19)."""


@attrs.frozen
class Limits:
    """Seconds a contact may be bound for, and how many of them one address of record may have."""

    default_s: int = 3600
    min_s: int = 60
    max_s: int = 7200
    bindings: int = 10


@attrs.frozen
class Binding:
    """One contact.  `peer` is where its REGISTER came from, `path` what leads there, `expires_at` Unix seconds.

    `params` are those of its Contact, without `expires`, and without `reg-id` where RFC 5626 does not apply.
    """

    uri: Uri
    params: Params
    path: tuple[str, ...]
    peer: Peer
    call_id: str
    cseq: int
    expires_at: float

    @property
    def flow(self) -> Params:
        """`+sip.instance` and `reg-id`, which identify it where it has both; else ()."""
        return flow_of(self.params)

    @property
    def q(self) -> float:
        """0 to 1: how much it is preferred."""
        return q_of(dict(self.params).get("q"))

    def shown(self, now: float) -> str:
        """As a Contact value, with the seconds it has left."""
        return f"<{self.uri}>{write_params(self.params)};expires={max(1, math.ceil(self.expires_at - now))}"


@attrs.frozen
class Register:
    """One REGISTER, read and found well formed; `contacts` come with their seconds, `everything` is `Contact: *`."""

    call_id: str
    cseq: int
    contacts: tuple[tuple[NameAddr, int], ...] = ()
    everything: bool = False
    path: tuple[str, ...] = ()
    outbound: bool = False

    @classmethod
    def of(cls, request: Request, limits: Limits) -> Register:
        """Raises RemoteError: 400, 420 (a Path the PBX does not expect), 423, 439."""
        path = tuple(request.headers.get_all("Path"))
        supported = {tag.lower() for tag in request.headers.get_all("Supported")}
        if path and "path" not in supported:
            raise Refusal(420, ("Unsupported", "path"))
        values = request.headers.get_all("Contact")
        if "*" in values:
            if len(values) > 1 or _seconds(request.headers.get("Expires")) != 0:
                raise RemoteError(400, "Bad Contact")
            return cls(request.call_id, request.cseq.number, everything=True)
        named = tuple((contact, _granted(contact, request, limits)) for contact in map(_contact, values))
        outbound = "outbound" in supported and _flows(request, named, path)
        return cls(request.call_id, request.cseq.number, named, path=path, outbound=outbound)


def updated(known: tuple[Binding, ...], register: Register, peer: Peer, now: float, limits: Limits) -> tuple[Binding, ...]:
    """The bindings after this REGISTER, the one refreshed last at the end; all of it is done or nothing.

    Raises 500 when it came out of order, 403 when it names more contacts than there may be.  When they become too many
    together, those refreshed longest ago give way: a PBX that comes back with new ports is not locked out by its old ones.
    """
    alive = tuple(binding for binding in known if binding.expires_at > now)
    if register.everything:
        _check_order(alive, register)
        return ()
    left = list(alive)
    for contact, seconds in register.contacts:
        new = _binding(contact, seconds, register, peer, now)
        _check_order([old for old in alive if _same(old, new)], register)
        left = [old for old in left if not _same(old, new)]
        if seconds:
            left.append(new)
    if sum(seconds > 0 for _, seconds in register.contacts) > limits.bindings:
        raise RemoteError(403, "Too Many Contacts")
    return tuple(left[-limits.bindings :])


def flow_of(params: Params) -> Params:
    """`+sip.instance` and `reg-id` where both are there and make sense (RFC 5626 4.2), else ()."""
    found = dict(params)
    instance, number = found.get("+sip.instance"), found.get("reg-id") or ""
    if not instance or not (number.isascii() and number.isdigit() and len(number) <= 10 and 0 < int(number) <= MAX_SEQUENCE):
        return ()
    return ("+sip.instance", instance), ("reg-id", number)


def q_of(text: str | None) -> float:
    """A qvalue; 1 when absent, 0 when it is none."""
    try:
        return min(1.0, max(0.0, float(text))) if text is not None and len(text) <= 5 else 1.0
    except ValueError:
        return 0.0


# ---------------------------------------------------------------------- reading


def _contact(text: str) -> NameAddr:
    contact = NameAddr.parse(text)
    bare = "<" not in text
    if contact.uri.scheme not in ("sip", "sips") or (bare and contact.uri.headers):
        raise RemoteError(400, "Bad Contact")  # a URI with headers needs its brackets (RFC 3261 20)
    return contact


def _seconds(text: str | None) -> int | None:
    if text is None:
        return None
    return min(int(text), 2**32 - 1) if text.isascii() and text.isdigit() and len(text) <= 10 else MALFORMED_S


def _granted(contact: NameAddr, request: Request, limits: Limits) -> int:
    seconds = _seconds(contact.param("expires"))
    if seconds is None:
        seconds = _seconds(request.headers.get("Expires"))
    if seconds is None:
        seconds = limits.default_s
    if 0 < seconds < limits.min_s:
        raise Refusal(423, ("Min-Expires", str(limits.min_s)))
    return min(seconds, limits.max_s)


def _flows(request: Request, named: tuple[tuple[NameAddr, int], ...], path: tuple[str, ...]) -> bool:
    """Whether RFC 5626 applies: there is a flow, and the hop next to the PBX, which may be us, keeps it."""
    if not any(flow_of(contact.params) for contact, _ in named):
        return False
    if sum(seconds > 0 for _, seconds in named) > 1:
        raise RemoteError(400, "One Contact For Each Flow")
    if len(request.vias) > 1 and (not path or NameAddr.parse(path[-1]).uri.param("ob") is None):
        raise RemoteError(439, "First Hop Lacks Outbound Support")
    return True


# ---------------------------------------------------------------------- updating


def _binding(contact: NameAddr, seconds: int, register: Register, peer: Peer, now: float) -> Binding:
    left_out = {"expires"} if register.outbound else {"expires", "reg-id"}
    params = tuple(param for param in contact.params if param[0] not in left_out)
    return Binding(contact.uri, params, register.path, peer, register.call_id, register.cseq, now + seconds)


def _check_order(bindings: tuple[Binding, ...] | list[Binding], register: Register) -> None:
    if any(old.call_id == register.call_id and old.cseq >= register.cseq for old in bindings):
        raise Refusal(500)


def _same(old: Binding, new: Binding) -> bool:
    if old.flow or new.flow:
        return old.flow == new.flow
    return equivalent(old.uri, new.uri)
