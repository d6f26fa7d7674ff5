"""What to type into a PBX for a trunk: its own screens and the names of their fields, with this node's values.

Each line is (field, value) or (field, value, when): `when` names a fact that has to be true, "not ..." one that has not.
Values are templates over `facts`.  Names are those of 3CX V20, FreePBX 17 (chan_pjsip), Yeastar P-Series, Grandstream UCM63xx,
and for Teams of AudioCodes Mediant, as the SBC in front of it, and Microsoft's cmdlets; makers move them between versions.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

import attrs

from smartalex.tenants.trunk import Trunk

Line = tuple[str, str] | tuple[str, str, str]


@attrs.frozen
class Screen:
    title: str
    lines: tuple[Line, ...]


@attrs.frozen
class Preset:
    """`words` are the PBX's own for codecs; `fills` what a new trunk of this kind gets where nothing else is said."""

    key: str
    title: str
    words: Mapping[str, str]
    screens: tuple[Screen, ...]
    fills: Mapping[str, Any] = attrs.field(factory=dict)
    transport: str = "udp"

    def filled(self, trunk: Trunk) -> Trunk:
        """A new trunk with what this kind needs; what differs from a trunk's own defaults stays."""
        plain = {field.name: field.default for field in attrs.fields(Trunk)}
        return attrs.evolve(
            trunk,
            pbx=self.key,
            **{name: value for name, value in self.fills.items() if getattr(trunk, name) == plain[name]},
        )

    def speech(self, codecs: tuple[str, ...]) -> str:
        """Codecs in order, as the PBX writes them."""
        return ", ".join(self.words.get(codec.lower(), codec) for codec in codecs)


@attrs.frozen
class Node:
    """Where we are, as the PBX has to know it; `codecs` and `transports` are those of trunks with none of their own."""

    host: str
    sip_port: int
    tls_port: int
    rtp_ports: str
    realm: str
    codecs: tuple[str, ...]
    transports: tuple[str, ...]
    session_expires_s: int = 1800
    min_se_s: int = 90


def setup(trunk: Trunk, node: Node, number: str, password: str = "") -> Iterator[tuple[str, tuple[tuple[str, str], ...]]]:
    """(screen, its (field, value) pairs) in the order in which one goes through them; `number` is one that it may call."""
    preset = PRESETS.get(trunk.pbx, GENERIC)
    known = facts(trunk, node, number, password)
    for screen in (*preset.screens, NETWORK):
        lines = tuple(
            (line[0].format_map(known), line[1].format_map(known))
            for line in screen.lines
            if len(line) < 3 or _true(line[2], known)
        )
        if lines:
            yield screen.title.format_map(known), lines


def facts(trunk: Trunk, node: Node, number: str, password: str = "") -> dict[str, str]:
    """Everything the templates can name; "" is false."""
    preset = PRESETS.get(trunk.pbx, GENERIC)
    transport = next((t for t in trunk.transports or (preset.transport, *node.transports) if t in ("udp", "tcp", "tls")), "udp")
    port = node.tls_port if transport == "tls" else node.sip_port
    return {
        "tight": preset.speech(trunk.codecs or node.codecs).replace(" ", ""),
        "pattern": f"^{re.escape(number)}$" if number else "NUMBER",
        "trunk": trunk.name, "host": node.host, "port": str(port), "realm": node.realm,
        "lower": transport, "transport": transport.upper(),
        "username": trunk.username, "codecs": preset.speech(trunk.codecs or node.codecs), "calls": str(trunk.max_calls),
        "password": password or f"(shown once; a new one: smartalex secret rotate {trunk.name})",
        "rtp": node.rtp_ports, "number": number or "NUMBER", "expires": str(node.session_expires_s), "min_se": str(node.min_se_s),
        "timers": "yes" if node.session_expires_s else "", "ptime": str(trunk.ptime_ms),
        "domain": trunk.pbx_domain or "the address that the PBX calls from", "srtp": trunk.srtp,
        "digest": trunk.username if trunk.digest else "", "address": "" if trunk.digest else "yes",
        "secure": "" if trunk.srtp == "off" else "yes", "enforced": "yes" if trunk.srtp == "required" else "",
        "tls": "yes" if transport == "tls" else "", "stream": "" if transport == "udp" else "yes",
        "sources": " or ".join(trunk.allowed_sources), "inband": "yes" if trunk.dtmf == "inband" else "",
        "certificate": trunk.client_certificate,
    }  # fmt: skip


def _true(when: str, known: Mapping[str, str]) -> bool:
    wanted = not when.startswith("not ")
    return bool(known[when.removeprefix("not ")]) == wanted


NETWORK = Screen("Network, on the PBX's side", (
    ("SIP ALG", "off on every router and firewall on the way (it spoils SDP, REFER targets and session timers)"),
    ("Firewall, out", "{transport} to {host} port {port}; UDP to {host} ports {rtp} (audio)"),
    ("Firewall, in", "nothing: audio and signalling come back the way they went (symmetric RTP)"),
    ("Calls must come from", "{sources}", "sources"),
    ("Certificate", "a client certificate for {certificate}", "certificate"),
    ("Certificate", "ours must be trusted by the PBX: sip.tls_certificate, or tls.crt of the state directory", "tls"),
    ("DTMF", "RFC 2833 / RFC 4733 telephone-event, not in the audio", "not inband"),
    ("Session timers", "RFC 4028 on, {expires} s, least {min_se} s; we refresh where the PBX does not", "timers"),
    ("Transfers", "REFER on the call we answered must be allowed: we send Refer-To: <sip:EXTENSION@{domain}>"),
))  # fmt: skip

ASTERISK = {"pcmu": "ulaw", "pcma": "alaw", "g722": "g722", "opus": "opus"}
PLAIN = {"pcmu": "G.711 u-law (PCMU)", "pcma": "G.711 A-law (PCMA)", "g722": "G.722", "opus": "Opus"}

GENERIC = Preset("generic", "any SIP PBX or carrier", PLAIN, (
    Screen("SIP trunk", (
        ("Registrar / SIP server", "{host}, port {port}"),
        ("Outbound proxy", "{host}, port {port}"),
        ("Transport", "{transport}"),
        ("Authentication", "by registration and digest", "digest"),
        ("Username, authentication ID", "{username}", "digest"),
        ("Password", "{password}", "digest"),
        ("Realm", "{realm}, where the PBX asks for one", "digest"),
        ("Registration expiry", "300 s", "digest"),
        ("Authentication", "none, by address: no registration", "address"),
        ("Codecs, in this order", "{codecs}; {ptime} ms packets"),
        ("SRTP", "{srtp}, keys in SDP (SDES) or DTLS", "secure"),
        ("Simultaneous calls", "{calls}"),
        ("Keep-alive", "OPTIONS every 30 to 60 s is answered with 200"),
    )),
    Screen("Routing", (("Calls for {number}", "out over this trunk, INVITE to sip:{number}@{host}"),)),
))  # fmt: skip

THREE_CX = Preset(
    "3cx", "3CX V18 and later",
    {"pcmu": "G.711 U-law", "pcma": "G.711 A-law", "g722": "G.722", "opus": "OPUS"}, (
    Screen("Admin > Voice & Chat > Add Trunk > Country: Generic, Provider: Generic VoIP Provider", (
        ("Name", "{trunk}"),
        ("Registrar/Server/Gateway Hostname or IP", "{host}, port {port}"),
        ("Outbound Proxy", "{host}, port {port}"),
        ("Number of SIM Calls", "{calls}"),
        ("Type of Authentication", "Register/Account based", "digest"),
        ("Authentication ID (aka SIP User ID)", "{username}", "digest"),
        ("Authentication Password", "{password}", "digest"),
        ("Type of Authentication", "Do not require - IP Based", "address"),
        ("Main Trunk No", "{number}"),
    )),
    Screen("the same trunk > Options", (
        ("Allow inbound calls, Allow outbound calls", "on"),
        ("Disallow video calls", "on"),
        ("PBX Delivers Audio", "on"),
        ("Supports Re-Invite", "on"),
        ("Support 'Replaces' Header", "on"),
        ("Re-Register Timeout", "300", "digest"),
        ("Transport Protocol", "{transport}"),
        ("SRTP mode", "SRTP", "secure"),
        ("SRTP mode", "RTP", "not secure"),
        ("Codec Priority", "{codecs}, in this order, and no others"),
    )),
    Screen("Admin > Outbound Rules > Add", (
        ("Calls to numbers starting with prefix", "{number}"),
        ("Make outbound calls on, Route 1", "{trunk}, strip digits 0, prepend nothing"),
    )),
    Screen("Admin > Inbound Rules (of the carrier's trunk)", (
        ("DID/DDI number", "the number that callers dial"),
        ("Destination for calls during office hours", "Forward to outside number: {number}"),
    )),
), {"codecs": ("PCMU", "PCMA"), "transports": ("udp",)})  # fmt: skip

FREEPBX = Preset("freepbx", "FreePBX 15 and later, Asterisk with chan_pjsip", ASTERISK, (
    Screen("Connectivity > Trunks > Add Trunk > Add SIP (chan_pjsip) Trunk > General", (
        ("Trunk Name", "{trunk}"),
        ("Maximum Channels", "{calls}"),
        ("CID Options", "Allow Any CID"),
    )),
    Screen("the same trunk > pjsip Settings > General", (
        ("Username", "{username}", "digest"),
        ("Auth username", "{username}", "digest"),
        ("Secret", "{password}", "digest"),
        ("Authentication", "Outbound", "digest"),
        ("Registration", "Send", "digest"),
        ("Authentication", "None", "address"),
        ("Registration", "None", "address"),
        ("SIP Server", "{host}"),
        ("SIP Server Port", "{port}"),
        ("Context", "from-pstn"),
        ("Transport", "0.0.0.0-{lower}"),
    )),
    Screen("the same trunk > pjsip Settings > Advanced", (
        ("DTMF Mode", "RFC 4733", "not inband"),
        ("DTMF Mode", "Inband", "inband"),
        ("Expiration", "300", "digest"),
        ("Qualify Frequency", "60"),
        ("From User", "{username}", "digest"),
        ("From Domain", "{host}"),
        ("Send RPID/PAI", "Send P-Asserted-Identity header"),
        ("Trust RPID/PAI", "Yes"),
        ("Direct Media", "No"),
        ("Rewrite Contact", "Yes"),
        ("RTP Symmetric", "Yes"),
        ("Media Encryption", "SRTP via in-SDP (recommended)", "secure"),
        ("Media Encryption", "None", "not secure"),
    )),
    Screen("the same trunk > pjsip Settings > Codecs", (("Codecs", "{codecs}: ticked, dragged into this order, no others"),)),
    Screen("Connectivity > Inbound Routes > the DID", (
        ("Set Destination", "Trunks: {trunk} (the INVITE has to say {number})"),
    )),
    Screen("Plain Asterisk instead, pjsip_wizard.conf", (
        ("[{trunk}]", "type=wizard, remote_hosts={host}:{port}, endpoint/allow=!all,{tight}"),
        ("", "sends_auth=yes, sends_registrations=yes, outbound_auth/username={username}", "digest"),
        ("", "endpoint/dtmf_mode=rfc4733, endpoint/direct_media=no, endpoint/rtp_symmetric=yes"),
        ("", "endpoint/timers=yes, endpoint/timers_sess_expires={expires}, endpoint/allow_transfer=yes", "timers"),
        ("", "endpoint/media_encryption=sdes", "secure"),
        ("TRANSFER_CONTEXT", "the context in which extensions can be dialled (FreePBX: from-internal-xfer)"),
    )),
))  # fmt: skip

YEASTAR = Preset("yeastar", "Yeastar P-Series",
                 {"pcmu": "u-law", "pcma": "a-law", "g722": "G722", "opus": "Opus"}, (
    Screen("Extension and Trunk > Trunk > Add > Basic", (
        ("Name", "{trunk}"),
        ("Trunk Status", "Enabled"),
        ("Select ITSP Template", "General"),
        ("Trunk Type", "Register Trunk", "digest"),
        ("Trunk Type", "Peer Trunk", "address"),
        ("Transport", "{transport}"),
        ("Hostname/IP", "{host}"),
        ("Port", "{port}"),
        ("Domain", "{host}"),
        ("Username", "{username}", "digest"),
        ("Password", "{password}", "digest"),
        ("Authentication Name", "{username}", "digest"),
        ("Enable Outbound Proxy", "off"),
    )),
    Screen("the same trunk > Advanced", (
        ("Codec Settings > Selected", "{codecs}, in this order"),
        ("DTMF Mode", "RFC4733 (RFC2833)", "not inband"),
        ("DTMF Mode", "Inband", "inband"),
        ("Enable SRTP", "on", "secure"),
        ("Enable SRTP", "off", "not secure"),
        ("Qualify", "on"),
        ("Maximum Concurrent Calls", "{calls}"),
        ("Support P-Asserted-Identity", "on"),
    )),
    Screen("PBX Settings > SIP Settings > Session Timer", (
        ("Session-Timers", "Supported", "timers"),
        ("Session-Expires, Min-SE", "{expires}, {min_se}", "timers"),
    )),
    Screen("Call Control > Outbound Route > Add", (
        ("Pattern", "{number}"),
        ("Trunk > Selected", "{trunk}"),
    )),
    Screen("Call Control > Inbound Route (of the carrier's trunk)", (
        ("Default Destination", "External Number: {number}, by the outbound route above"),
    )),
))  # fmt: skip

GRANDSTREAM = Preset("grandstream", "Grandstream UCM63xx and UCM62xx",
                     {"pcmu": "PCMU", "pcma": "PCMA", "g722": "G.722", "opus": "OPUS"}, (
    Screen("Extension/Trunk > VoIP Trunks > Add SIP Trunk", (
        ("Type", "Register SIP Trunk", "digest"),
        ("Type", "Peer SIP Trunk", "address"),
        ("Provider Name", "{trunk}"),
        ("Host Name", "{host}:{port}"),
        ("Transport", "{transport}"),
        ("Keep Original CID", "on: the caller's own number reaches the agent"),
        ("NAT", "on where the UCM stands behind a router"),
        ("Need Registration", "on", "digest"),
        ("Username", "{username}", "digest"),
        ("Password", "{password}", "digest"),
        ("AuthID", "{username}", "digest"),
        ("Auto Recording", "off"),
    )),
    Screen("the same trunk > Advanced Settings", (
        ("Codec Preference", "{codecs}, in this order"),
        ("Send PAI Header", "on"),
        ("DID Mode", "Request-line"),
        ("DTMF Mode", "RFC4733", "not inband"),
        ("DTMF Mode", "Inband", "inband"),
        ("Enable Heartbeat Detection", "on, Heartbeat Frequency 60"),
        ("The Maximum Number of Call Lines", "{calls}"),
        ("SRTP", "Enabled and Enforced", "enforced"),
        ("SRTP", "Enabled But Not Enforced", "secure"),
        ("SRTP", "Disabled", "not secure"),
    )),
    Screen("PBX Settings > SIP Settings > Session Timer", (
        ("Session Expire, Min SE", "{expires}, {min_se}", "timers"),
    )),
    Screen("PBX Settings > SIP Settings > General", (("Allow Transfer", "on: without it no transfer works"),)),
    Screen("Extension/Trunk > Outbound Routes > Add", (
        ("Pattern", "_{number}"),
        ("Privilege Level", "Internal"),
        ("Use Trunk", "{trunk}, Strip 0, Prepend nothing"),
    )),
    Screen("Extension/Trunk > Inbound Routes (of the carrier's trunk)", (
        ("Default Destination", "External Number: {number}"),
    )),
))  # fmt: skip

TEAMS_SBC = Preset("teams-sbc", "Microsoft Teams Direct Routing through an SBC",
                   {"pcmu": "G.711U-law", "pcma": "G.711A-law", "g722": "G.722", "opus": "Opus"}, (
    Screen("SBC: Signaling & Media > Core Entities > Proxy Sets > New", (
        ("Name", "{trunk}"),
        ("Proxy Keep-Alive", "Using OPTIONS, every 60 s"),
        ("Proxy Address", "{host}:{port}, Transport Type {transport}"),
        ("TLS Context Name", "one that trusts our certificate", "tls"),
    )),
    Screen("SBC: Coders & Profiles > IP Profiles > New", (
        ("SBC Media Security Mode", "Secured", "enforced"),
        ("SBC Media Security Mode", "Both", "secure"),
        ("SBC Media Security Mode", "Not Secured", "not secure"),
        ("Allowed Audio Coders, Extension Coders Group", "{codecs}, in this order (no SILK: we have none)"),
        ("RFC 2833 Mode", "Extend"),
        ("Session Expires Mode", "Supported, {expires} s", "timers"),
        ("Remote REFER Mode, in the IP Profile of Teams", "Handle Locally: the SBC makes the new call"),
        ("Remote Replaces Mode", "Handle Locally"),
        ("P-Asserted-Identity Header Mode", "Add"),
    )),
    Screen("SBC: Signaling & Media > Core Entities > IP Groups > New", (
        ("Name, Type", "{trunk}, Server"),
        ("Proxy Set", "{trunk}"),
        ("IP Profile", "the one above"),
        ("SIP Group Name", "{host}"),
        ("Authentication Mode", "SBC as Client", "digest"),
        ("Username As Client", "{username}", "digest"),
        ("Password As Client", "{password}", "digest"),
        ("Max. Concurrent Sessions (Call Admission Control)", "{calls}"),
    )),
    Screen("SBC: Signaling & Media > SBC > Routing > IP-to-IP Routing", (
        ("Destination Username Pattern", "{number}"),
        ("Destination IP Group", "{trunk}"),
        ("from {trunk}, Call Trigger REFER", "Destination IP Group: Teams"),
    )),
    Screen("Teams PowerShell", (
        ("Set-CsOnlinePSTNGateway", "-Identity {domain} -ForwardPai $true -MaxConcurrentSessions {calls}"),
        ("New-CsOnlineVoiceRoute", "-Identity {trunk} -NumberPattern '{pattern}' -OnlinePstnGatewayList {domain}"),
        ("Resource account or user", "forward calls to {number}"),
    )),
), {"transports": ("tls",), "srtp": "required", "codecs": ("PCMU", "PCMA", "G722")}, "tls")  # fmt: skip

PRESETS: Mapping[str, Preset] = {one.key: one for one in (THREE_CX, FREEPBX, YEASTAR, GRANDSTREAM, TEAMS_SBC, GENERIC)}
