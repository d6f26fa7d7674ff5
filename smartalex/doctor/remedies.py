"""The line to change in that PBX: found among what its preset says to type in, else said in general."""

from __future__ import annotations

import re

from smartalex.tenants.presets import NETWORK, Node, setup
from smartalex.tenants.trunk import Trunk

TOPICS = {
    "codec": (r"codec|coders", "offer {codecs} on this trunk"),
    "srtp": (r"srtp|media encryption|media security", "SRTP on this trunk: {srtp}"),
    "dtmf": (r"dtmf|2833", "DTMF of this trunk: RFC 2833 / RFC 4733 telephone-event"),
    "refer": (r"allow.transfer|^remote refer mode|^transfers", "allow REFER on calls of this trunk"),
    "timers": (r"session.?(timer|expire)|timers=", "session timers (RFC 4028): on, or answer re-INVITE and UPDATE within a call"),
    "hold": (r"re-invite", "answer re-INVITEs within a call: on"),
    "audio": (r"delivers audio|symmetric|direct media|^NAT$", "audio of this trunk goes through the PBX: on; direct media: off"),
    "nat": (r"^NAT$|rewrite contact", "the PBX's own NAT settings: its public address in Contact and SDP"),
    "alg": (r"sip alg", "SIP ALG: off on every router and firewall on the way"),
    "transport": (r"^transport", "transport of this trunk: {transport}"),
    "login": (r"^(auth|authentication) ?(id|name|username)|^username", "username of this trunk: {username}"),
    "options": (r"keep-?alive|qualify|heartbeat", "OPTIONS keep-alive on this trunk: every 60 s"),
    "number": (r"main trunk no|prefix|pattern|calls for", "send calls to {number} over this trunk"),
    "server": (r"server|hostname|host name|proxy address", "SIP server of this trunk: {host}, port {port}"),
    "limit": (r"simultaneous|maximum|number of sim|max\. concurrent", "simultaneous calls on this trunk: {calls}"),
}
"""By topic: which of the preset's fields are about it, and what is said where it has none."""


def line(topic: str, trunk: Trunk, node: Node, number: str) -> str:
    """One line: the screen, the field, and what it is to hold; what is said of any network comes last."""
    pattern, general = TOPICS[topic]
    wanted = re.compile(pattern, re.IGNORECASE)
    rows = [(screen, *pair) for screen, lines in setup(trunk, node, number, "(its password)") for pair in lines]
    own = [row for row in rows if row[0] != NETWORK.title]
    by_field = (row for row in own if wanted.search(row[1]))
    by_value = (row for row in own if wanted.search(row[2]))
    anywhere = (row for row in rows if wanted.search(row[1]))
    for screen, field, value in (*by_field, *by_value, *anywhere):
        where = screen.replace("the same trunk", f"trunk {trunk.name}")
        return f"{where}: {field} = {value}" if field else f"{where}: {value}"
    return general.format(
        codecs=", ".join(trunk.codecs or node.codecs), srtp=trunk.srtp, host=node.host, port=node.sip_port,
        username=trunk.username or "none", number=number or "the number", calls=trunk.max_calls,
        transport=" or ".join(trunk.transports or node.transports).upper(),
    )  # fmt: skip
