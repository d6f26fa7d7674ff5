"""A trunk: the customer's PBX or carrier, as we know it."""

from __future__ import annotations

import attrs


@attrs.frozen
class Trunk:
    """`pbx_domain` builds transfer targets (`sip:EXT@pbx_domain`); `username` is the digest identity we issued."""

    id: str
    workspace_id: str
    name: str
    pbx_domain: str
    username: str
    auth: str = "digest"
    codecs: tuple[str, ...] = ("PCMU", "PCMA")
    max_calls: int = 10
    active: bool = True
