"""What was seen of a trunk, from wherever it was looked at: values, no opinion."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import attrs

from smartalex.doctor.talk import Talk
from smartalex.sip.headers import Peer
from smartalex.tenants.presets import Node
from smartalex.tenants.trunk import Trunk


@attrs.frozen
class Looked:
    """One question to the DNS; `heard` is False when nobody answered it."""

    kind: str
    name: str
    answers: tuple[str, ...]
    heard: bool = True


@attrs.frozen
class Way:
    """Where calls to the PBX go: `domain` as the trunk has it, `by` why ("its domain", "where it registered from", ...)."""

    domain: str
    by: str
    looked: tuple[Looked, ...] = ()
    targets: tuple[Peer, ...] = ()
    why: str = ""


@attrs.frozen
class Certificate:
    """`names` are those it is for; `until` is Unix seconds; `doubt` says why it is not to be believed, "" if it is."""

    names: tuple[str, ...]
    until: float
    doubt: str = ""


@attrs.frozen
class Tls:
    """One handshake: `version` and `cipher` as agreed; `outdated` are versions it would have taken that nobody should."""

    peer: Peer
    version: str = ""
    cipher: str = ""
    certificate: Certificate | None = None
    named: bool = True  # the certificate is for the name we call it by
    outdated: tuple[str, ...] = ()
    why: str = ""


@attrs.frozen
class Asked:
    """Our OPTIONS to one target; `status` None with `why` when it was not answered."""

    peer: Peer
    status: int | None = None
    ms: float = 0.0
    why: str = ""
    talk: Talk = Talk()  # noqa: RUF009 (frozen)


@attrs.frozen
class Step:
    """A request within the call; `status` None: no answer.  `direction` is what its SDP came to, as ours."""

    method: str
    status: int | None
    direction: str = ""
    packets: int = 0  # of audio that came after it


@attrs.frozen
class Keyed:
    """A key pressed one way; `status` is that of an INFO, `back` by which way it was heard again, "" not at all."""

    sent: bool
    status: int | None = None
    back: str = ""


@attrs.frozen
class Referred:
    """`status` of the REFER, then of each NOTIFY."""

    to: str
    status: int | None
    notified: tuple[int, ...] = ()


@attrs.frozen
class Tried:
    """A test call: everything after `codec` only where it was answered.

    `signalled` is where SDP says that its audio is, `source` where it came from; `strangers` are packets from anywhere else.
    """

    to: str
    status: int
    reason: str = ""
    ms: float = 0.0
    codec: str = ""
    offered: tuple[str, ...] = ()
    secured: str = ""
    not_secured: str = ""
    sent: int = 0
    received: int = 0
    jitter_ms: float = 0.0
    lost: int = 0
    strangers: int = 0
    signalled: tuple[str, int] = ("", 0)
    source: tuple[str, int] | None = None
    hold: Step | None = None
    resume: Step | None = None
    refresh: Step | None = None
    rfc4733: Keyed | None = None
    info: Keyed | None = None
    inband: Keyed | None = None
    refer: Referred | None = None
    early_end: str = ""
    talk: Talk = Talk()  # noqa: RUF009 (frozen)


@attrs.frozen
class Past:
    """What the records of its calls tell, the newest first: `calls` are rows, `talks` what their messages tell, by call.

    `refused` are those that were turned away, also ones whose trunk was not known but that came from where it is.
    """

    calls: tuple[Mapping[str, Any], ...] = ()
    talks: Mapping[str, Talk] = attrs.field(factory=dict)
    refused: tuple[Mapping[str, Any], ...] = ()
    transfers: tuple[str, ...] = ()
    """Why each failed, "" for one that did not."""


@attrs.frozen
class Facts:
    """`now` is Unix seconds.  `running`: the platform is; `health`, `registration` and `asked_at` are what it told.

    `codecs` are those of the trunk, or the node's; `contacts` are where the PBX has registered from, `asked_at` is when it last
    sent OPTIONS (None: not seen).  `ours` is the certificate we show, where TLS is used.
    """

    trunk: Trunk
    node: Node
    now: float
    running: bool
    way: Way
    codecs: tuple[str, ...]
    number: str = ""
    health: Mapping[str, Any] | None = None
    registration: Mapping[str, Any] | None = None
    contacts: tuple[Mapping[str, Any], ...] = ()
    asked_at: float | None = None
    tls: tuple[Tls, ...] = ()
    ours: Certificate | None = None
    options: tuple[Asked, ...] = ()
    call: Tried | None = None
    past: Past = Past()

    @property
    def talks(self) -> tuple[Talk, ...]:
        """Everything heard of it, what was heard last first."""
        called = (self.call.talk,) if self.call is not None else ()
        found = (*called, *(one.talk for one in self.options), *self.past.talks.values())
        return tuple(talk for talk in found if talk.heard)
