"""The life of one call as a table: (state, input) -> (actions, state).

Inputs come from the peer (ACK, BYE, REFER's fate), from the agent (transfer,
message, hang up) and from us (ready).  A pair that is not listed is ignored
when the peer caused it, and refused to the agent when the agent asked for it.
"""

from __future__ import annotations

from smartalex.machine import Symbol, Table


class State(Symbol):
    RINGING = "ringing"
    ANSWERED = "answered"  # 200 sent, no ACK yet
    TALKING = "talking"
    TRANSFERRING = "transferring"  # REFER sent, not answered
    HANDED_OVER = "handed over"  # REFER accepted: the caller is no longer ours to hear
    TAKING_MESSAGE = "taking message"
    ENDED = "ended"


class Input(Symbol):
    READY = "agent ready"
    ACK = "ack"
    TRANSFER = "transfer asked"
    REFER_ACCEPTED = "refer accepted"
    REFER_DONE = "refer succeeded"
    REFER_FAILED = "refer failed"
    FORWARD = "the PBX is out of reach, there is a number to try"
    MESSAGE = "message asked"
    HANG_UP = "hang up"
    PEER_GONE = "peer gone"


class Action(Symbol):
    ANSWER = "send 200"
    BEGIN = "start the conversation"
    SEND_REFER = "send REFER"
    LEAVE_MEDIA = "neither hear nor speak"
    RETURN_MEDIA = "hear and speak again"
    REPORT_FAILURE = "tell the agent the transfer failed"
    TAKE_MESSAGE = "hand the caller to message taking"
    MARK_TRANSFERRED = "set the disposition to transferred"
    BYE = "end the SIP session"
    RELEASE = "close media, agent and record"


S, I, A = State, Input, Action  # noqa: E741

LIFECYCLE: Table[State, Input, Action] = {
    (S.RINGING, I.READY): ((A.ANSWER,), S.ANSWERED),
    (S.RINGING, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    (S.RINGING, I.PEER_GONE): ((A.RELEASE,), S.ENDED),
    (S.ANSWERED, I.ACK): ((A.BEGIN,), S.TALKING),
    (S.ANSWERED, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    (S.ANSWERED, I.PEER_GONE): ((A.RELEASE,), S.ENDED),
    (S.TALKING, I.TRANSFER): ((A.SEND_REFER,), S.TRANSFERRING),
    (S.TALKING, I.MESSAGE): ((A.TAKE_MESSAGE,), S.TAKING_MESSAGE),
    (S.TALKING, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    (S.TALKING, I.PEER_GONE): ((A.RELEASE,), S.ENDED),
    (S.TRANSFERRING, I.REFER_ACCEPTED): ((A.LEAVE_MEDIA,), S.HANDED_OVER),
    # A NOTIFY may overtake the 202 (RFC 6665 4.1.2.4): success without acceptance is success.
    (S.TRANSFERRING, I.REFER_DONE): ((A.MARK_TRANSFERRED, A.BYE, A.RELEASE), S.ENDED),
    (S.TRANSFERRING, I.FORWARD): ((A.SEND_REFER,), S.TRANSFERRING),
    (S.TRANSFERRING, I.REFER_FAILED): ((A.REPORT_FAILURE,), S.TALKING),
    (S.TRANSFERRING, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    (S.TRANSFERRING, I.PEER_GONE): ((A.RELEASE,), S.ENDED),
    (S.HANDED_OVER, I.REFER_DONE): ((A.MARK_TRANSFERRED, A.BYE, A.RELEASE), S.ENDED),
    (S.HANDED_OVER, I.REFER_FAILED): ((A.RETURN_MEDIA, A.REPORT_FAILURE), S.TALKING),
    # A PBX that says BYE after accepting has taken the caller (Teams, norefersub).
    (S.HANDED_OVER, I.PEER_GONE): ((A.MARK_TRANSFERRED, A.RELEASE), S.ENDED),
    (S.HANDED_OVER, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    # We gave up waiting, the PBX did not: somebody has picked up, and the caller is with them.
    (S.TALKING, I.REFER_DONE): ((A.MARK_TRANSFERRED, A.BYE, A.RELEASE), S.ENDED),
    (S.TAKING_MESSAGE, I.REFER_DONE): ((A.MARK_TRANSFERRED, A.BYE, A.RELEASE), S.ENDED),
    (S.TAKING_MESSAGE, I.HANG_UP): ((A.BYE, A.RELEASE), S.ENDED),
    (S.TAKING_MESSAGE, I.PEER_GONE): ((A.RELEASE,), S.ENDED),
}
