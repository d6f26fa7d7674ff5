"""SIPp scenarios in a few words: every function is a step, and SIPp's own keywords stand in brackets."""

from __future__ import annotations

from pathlib import Path

PAYLOADS = {0: "PCMU/8000", 8: "PCMA/8000", 18: "G729/8000", 101: "telephone-event/8000", 109: "EVS/16000"}

CONTACT = "Contact: <sip:pbx@[local_ip]:[local_port];transport=[transport]>"
ACTIVE, OVER = "active;expires=60", "terminated;reason=noresource"
"""States of the subscription that a REFER makes (RFC 3515 2.4.7)."""

OUTSIDE = frozenset("INVITE CANCEL OPTIONS REGISTER MESSAGE SUBSCRIBE PUBLISH BREW".split())
"""Methods that begin something."""


def scenario(*steps: str) -> str:
    """The steps as the XML that SIPp reads."""
    body = "".join(steps)
    used = '<Reference variables="1"/>\n' if 'assign_to="1"' in body else ""  # SIPp wants every variable to be used
    return f'<?xml version="1.0" encoding="ISO-8859-1" ?>\n<scenario name="test">\n{body}{used}</scenario>\n'


def offer(*payload_types: int, direction: str = "sendrecv", version: int = 1) -> str:
    """An SDP body; by default PCMA, PCMU and keys."""
    kinds = payload_types or (8, 0, 101)
    lines = ["v=0", f"o=pbx 53655765 {version} IN IP4 [local_ip]", "s=-", "c=IN IP4 [media_ip]", "t=0 0"]
    lines.append(f"m=audio [media_port] RTP/AVP {' '.join(map(str, kinds))}")
    lines += [f"a=rtpmap:{kind} {PAYLOADS[kind]}" for kind in kinds]
    return "\n".join([*lines, f"a={direction}"])


def send(
    method: str, cseq: int, *, body: str = "", headers: str = "", of: str = "", branch: str = "", retransmitted: bool = True
) -> str:
    """A request; `of` names the INVITE (by its cseq) that an ACK to a refusal, or a CANCEL, belongs to.

    `branch` is for one that is not its own.
    """
    inside = method not in OUTSIDE and not of
    inside = inside or (method == "INVITE" and cseq > 2)
    branch = branch or of or f"{cseq}{method}"
    uri = "[next_url]" if inside else "sip:[service]@[remote_ip]:[remote_port]"
    lines = [
        f"{method} {uri} SIP/2.0",
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=z9hG4bK[pid]x[call_number]x{branch}",
        *(["[routes]"] if inside else []),
        "Max-Forwards: 70",
        'From: "Test Caller" <sip:+15550001111@[local_ip]:[local_port]>;tag=[pid]t[call_number]',
        "To: <sip:[service]@[remote_ip]:[remote_port]>" + ("[peer_tag_param]" if inside or (of and method == "ACK") else ""),
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        CONTACT,
        *([headers] if headers else []),
    ]
    return sent([*lines, *content(body)], retransmitted=retransmitted and method != "ACK")


def invite(cseq: int = 1, body: str | None = None, headers: str = "") -> str:
    return send("INVITE", cseq, body=offer() if body is None else body, headers=headers)


def refused(status: int, cseq: int = 1) -> str:
    """A final refusal of the INVITE, acknowledged."""
    return maybe(100) + maybe(180) + recv(status) + send("ACK", cseq, of=f"{cseq}INVITE")


def answered(cseq: int = 1, body: str = "") -> str:
    """200 to the INVITE, and the ACK; `body` answers an offer of the other side."""
    return maybe(100) + maybe(180) + recv(200, rrs="true") + send("ACK", cseq, body=body)


def reinvite(cseq: int, body: str, expected: str = "") -> str:
    """Another offer, its answer, in which `expected` is to be found, and the ACK; `cseq` is 3 or more."""
    return invite(cseq, body) + maybe(100) + recv(200, contains(expected or "m=audio"), rrs="true") + send("ACK", cseq)


def hang_up(cseq: int = 9) -> str:
    return send("BYE", cseq) + recv(200)


def hung_up() -> str:
    """The other side does."""
    return recv("BYE") + reply(200)


def recv(what: int | str, action: str = "", **attributes: str) -> str:
    """A response by its status, a request by its method."""
    kind = "response" if isinstance(what, int) else "request"
    extra = "".join(f' {name}="{value}"' for name, value in attributes.items())
    return f'<recv {kind}="{what}"{extra}>{action}</recv>\n'


def maybe(status: int) -> str:
    return recv(status, optional="true")


def contains(pattern: str, header: str = "") -> str:
    """An action of `recv`: the message, or this header of it, must match."""
    where = f'search_in="hdr" header="{header}:"' if header else 'search_in="msg"'
    escaped = pattern.replace("<", "&lt;")
    return f'<action><ereg regexp="{escaped}" {where} check_it="true" assign_to="1"/></action>'


def reply(status: int, reason: str = "OK", body: str = "") -> str:
    """To the request that came last."""
    copied = [f"[last_{name}:]" for name in ("Via", "From", "To", "Call-ID", "CSeq")]
    return sent([f"SIP/2.0 {status} {reason}", *copied, CONTACT, *content(body)], retransmitted=False)


KEPT = ("Via", "From", "To", "CSeq")


def keep(method: str, header: str = "", pattern: str = "", *, slot: int = 2) -> str:
    """A request that is answered later, by `reply_kept`; this header of it must match.

    `slot` is the first of the four SIPp variables that hold it.
    """
    kept = [f'<ereg regexp=".*" search_in="hdr" header="{name}:" assign_to="{slot + i}"/>' for i, name in enumerate(KEPT)]
    checked = contains(pattern, header).replace("<action>", "").replace("</action>", "") if pattern else ""
    return recv(method, f"<action>{''.join(kept)}{checked}</action>", rrs="true")


def reply_kept(
    status: int, reason: str = "OK", body: str = "", *, headers: str = "", tag: str = "", slot: int = 2, repeated: bool = False
) -> str:
    """`tag` is for a To that has none yet; `repeated` until something comes back."""
    copied = [f"{name}:[${slot + i}]{f';tag={tag}' if tag and name == 'To' else ''}" for i, name in enumerate(KEPT)]
    lines = [f"SIP/2.0 {status} {reason}", *copied, "Call-ID: [call_id]", *([headers] if headers else [])]
    contact = [] if "Contact:" in headers else [CONTACT]
    return sent([*lines, *contact, *content(body)], retransmitted=repeated)


def notify(cseq: int, sipfrag: str, state: str) -> str:
    """What became of a REFER so far (RFC 3515), answered with 200."""
    headers = f"Event: refer\nSubscription-State: {state}\nContent-Type: message/sipfrag;version=2.0"
    return send("NOTIFY", cseq, headers=headers, body=f"SIP/2.0 {sipfrag}\n") + recv(200)


def label(number: int) -> str:
    """Where the `next` of a `recv` leads."""
    return f'<label id="{number}"/>\n'


def pause(ms: int) -> str:
    return f'<pause milliseconds="{ms}"/>\n'


def play(recording: Path) -> str:
    """The RTP packets of a capture, from now on."""
    return f'<nop><action><exec play_pcap_audio="{recording}"/></action></nop>\n'


def content(body: str) -> list[str]:
    kind = ["Content-Type: application/sdp"] if body.startswith("v=0") else []
    return [*kind, "Content-Length: [len]" if body else "Content-Length: 0", "", body]


def sent(lines: list[str], *, retransmitted: bool) -> str:
    retrans = ' retrans="500"' if retransmitted else ""
    return f"<send{retrans}><![CDATA[\n\n" + "\n".join(lines) + "\n\n]]></send>\n"
