"""A trunk: the customer's PBX or carrier, as we know it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Trunk:
    """`pbx_domain` builds transfer targets (`sip:EXT@pbx_domain`).

    `auth` is "digest" (`username` is the identity we issued) or "ip-allowlist"
    (`allowed_sources` holds addresses or CIDR networks, IPv4 or IPv6).
    """

    id: str
    workspace_id: str
    name: str
    pbx_domain: str
    username: str = ""
    auth: str = "digest"
    allowed_sources: tuple[str, ...] = ()
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    max_calls: int = 10
    active: bool = True
