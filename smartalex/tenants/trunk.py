"""A trunk: the customer's PBX or carrier, as we know it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Trunk:
    """`pbx_domain` builds transfer targets (`sip:EXT@pbx_domain`); "" stands for the address the call came from.

    `auth` is "digest" (`username` is the identity we issued), "ip-allowlist"
    (`allowed_sources` holds addresses or CIDR networks, IPv4 or IPv6), or "both".
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

    @property
    def digest(self) -> bool:
        """Whether it has a password."""
        return self.auth in ("digest", "both")
