"""SIPp scenarios in which SIPp is called: `called` is the first step, then responses to that INVITE and requests back."""

from __future__ import annotations

from tests.interop.scenario import CONTACT, contains, content, keep, offer, recv, reply, reply_kept, sent

TAG = "theirs"


def called(header: str = "", pattern: str = "") -> str:
    """The INVITE; this header of it must match."""
    return keep("INVITE", header, pattern)


def respond(status: int, reason: str = "Fine", *, body: str = "", headers: str = "", tag: str = TAG) -> str:
    """A provisional response, or the 2xx without its ACK; '' is no tag."""
    return reply_kept(status, reason, body, headers=headers, tag=tag)


TRYING = respond(100, "Trying", tag="")


def refuse(status: int, reason: str = "No", *, headers: str = "", tag: str = TAG) -> str:
    """With its ACK."""
    return reply_kept(status, reason, headers=headers, tag=tag, repeated=True) + recv("ACK")


def pick_up(body: str | None = None, *, headers: str = "", tag: str = TAG, ack: str = "") -> str:
    """200 and the ACK, in which `ack` is to be found."""
    answer = reply_kept(200, body=offer() if body is None else body, headers=headers, tag=tag, repeated=True)
    return answer + recv("ACK", contains(ack) if ack else "")


def ask(method: str, cseq: int, *, body: str = "", headers: str = "", tag: str = TAG, branch: str = "") -> str:
    """A request in the dialog that `called` began."""
    lines = [
        f"{method} [next_url] SIP/2.0",
        f"Via: SIP/2.0/[transport] [local_ip]:[local_port];rport;branch=z9hG4bK[pid]x[call_number]x{branch or f'{cseq}{method}'}",
        "[routes]",
        "Max-Forwards: 70",
        f"From:[$4]{f';tag={tag}' if tag else ''}",
        "To:[$3]",
        "Call-ID: [call_id]",
        f"CSeq: {cseq} {method}",
        CONTACT,
        *([headers] if headers else []),
    ]
    return sent([*lines, *content(body)], retransmitted=method != "ACK")


def change(cseq: int, body: str, expected: str = "m=audio") -> str:
    """A re-INVITE, its answer, in which `expected` is to be found, and the ACK."""
    return ask("INVITE", cseq, body=body) + recv(100, optional="true") + recv(200, contains(expected)) + ask("ACK", cseq)


def leave(cseq: int = 9) -> str:
    return ask("BYE", cseq) + recv(200)


def left(header: str = "", pattern: str = "") -> str:
    """The other side hangs up; this header of the BYE must match."""
    return recv("BYE", contains(pattern, header) if pattern else "") + reply(200)
