"""A trunk: the customer's PBX or carrier, as we know it."""

from __future__ import annotations

from typing import Literal

import attrs

IN_CLEAR = "keys in clear"
"""How a call's `secured` ends when its SRTP keys went over signalling that anybody on the way could read."""


@attrs.frozen
class Trunk:
    """`pbx_domain` builds transfer targets (`sip:EXT@pbx_domain`); "" stands for the address the call came from.

    `auth` names what it is known by: "digest" (`username` is the identity we issued), "ip-allowlist" (`allowed_sources` holds
    addresses or CIDR networks, IPv4 or IPv6), "both", "registration" (digest, but not from where its PBX has registered from),
    or any other provider of IAuthenticator ("name:key=value").

    `register` is the address of record under which we register there like a desk phone ("sip:300@pbx.example.com"),
    "" for not at all; `register_user` the name for its digest where that is another, `register_expires_s` the seconds
    we ask for.  `refer_targets` are the numbers its REFERs may name ("3*" for all that begin so), none by default.
    `stir` is what is made of a call's PASSporT (RFC 8225): "off", "record", "require", or "require-A" (B, C) for the
    least attestation.  `client_certificate` is the name that its TLS certificate must bear, "" for any or none.

    `codecs` are encoding names, best first; () stands for those of the node (`rtp.codecs`).  `ptime_ms` is the length of the
    packets that we ask it for.  `srtp` is "off" (audio in clear only), "optional" (protected where the other side can),
    or "required" (in clear nothing).

    `dtmf` says where its keys are looked for: "rfc4733" (RTP events, and SIP INFO), or "inband" (in the audio as well).
    `noise_suppression` names the filter that its callers are heard through ("webrtc:level=2"), "" for none.  `record`:
    its calls are recorded, where the node has a place for it (`recordings.sink`).

    `pbx` is a key of `presets.PRESETS`: what kind of system it is.  `transports` are those it may call over, () for those of
    the node.  `calls_per_second` bounds how fast its calls may begin, 0 for no bound of its own.  `regions` are the names of
    those that serve it, nearest or not, () for any; `follow_redirects` says whether it can be sent to one by 302.
    """

    id: str
    workspace_id: str
    name: str
    pbx_domain: str
    username: str = ""
    auth: str = "digest"
    allowed_sources: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ()
    max_calls: int = 10
    active: bool = True
    register: str = ""
    register_user: str = ""
    register_expires_s: int = 600
    refer_targets: tuple[str, ...] = ()
    stir: str = "off"
    client_certificate: str = ""
    ptime_ms: int = 20
    srtp: Literal["off", "optional", "required"] = "off"
    dtmf: Literal["rfc4733", "inband"] = "rfc4733"
    noise_suppression: str = ""
    record: bool = False
    pbx: str = "generic"
    transports: tuple[str, ...] = ()
    calls_per_second: int = 0
    regions: tuple[str, ...] = ()
    follow_redirects: bool = False

    @property
    def digest(self) -> bool:
        """Whether it has a password."""
        return self.auth in ("digest", "both", "registration") or (self.auth.startswith("all-of:") and "digest" in self.auth)
