"""The table of an INVITE session, either side of it (RFC 3261 13-15, RFC 6026; the races are those of RFC 5407)."""

from __future__ import annotations

from smartalex.machine import Symbol, Table


class State(Symbol):
    INCOMING = "incoming"  # UAS, no final response yet
    ACCEPTED = "accepted"  # UAS, 2xx sent, no ACK yet
    LEAVING_UNACKED = "leaving unacknowledged"  # UAS, hung up before the ACK: BYE waits for it (RFC 3261 15)
    CALLING = "calling"  # UAC, nothing heard yet
    PROCEEDING = "proceeding"  # UAC, 1xx heard
    GIVING_UP = "giving up"  # UAC, hung up before a provisional: CANCEL waits for one (RFC 3261 9.1)
    CANCELLING = "cancelling"  # UAC, CANCEL sent
    CONFIRMED = "confirmed"
    LEAVING = "leaving"  # BYE sent
    ENDED = "ended"


class Input(Symbol):
    RING = "ring"
    ANSWER = "answer"
    REJECT = "reject"
    HANG_UP = "hang up"
    ACK = "ack"
    CANCEL = "cancel"
    BYE = "bye"
    NO_ACK = "no ack"
    NO_PRACK = "no PRACK of a reliable provisional response"
    R1XX = "1xx"
    R2XX = "2xx"
    AGAIN = "a refusal that another INVITE can mend"
    FAILURE = "failure"
    NO_FINAL = "no final response after CANCEL"
    LOST = "transport lost"
    BYE_DONE = "BYE answered, or given up"
    GONE = "the peer knows no such dialog"
    EXPIRED = "not refreshed in time"


class Action(Symbol):
    SEND_PROVISIONAL = "send 1xx"
    SEND_FINAL = "send the final response"
    SEND_2XX = "send the 2xx and repeat it until its ACK"
    SEND_487 = "send 487"
    SEND_480 = "send 480"
    SEND_504 = "send 504"
    SEND_AGAIN = "send the INVITE once more"
    SEND_ACK = "send ACK"
    SEND_BYE = "send BYE"
    SEND_CANCEL = "send CANCEL"
    STOP = "stop the timers"
    ABANDON = "forget the INVITE"
    TELL_ACK = "tell: acknowledged"
    TELL_REINVITE_ACK = "tell: acknowledged, if the ACK holds the answer to our offer"
    TELL_PROGRESS = "tell: progress"
    TELL_ANSWERED = "tell: answered"
    TELL_FAILED = "tell: failed"
    TELL_CANCELLED = "tell: cancelled"
    END = "tell: ended"
    END_LOCAL = "tell: ended by us"


S, I, A = State, Input, Action  # noqa: E741

TABLE: Table[State, Input, Action] = {
    # -- UAS
    (S.INCOMING, I.RING): ((A.SEND_PROVISIONAL,), S.INCOMING),
    (S.INCOMING, I.ANSWER): ((A.SEND_2XX,), S.ACCEPTED),
    (S.INCOMING, I.REJECT): ((A.SEND_FINAL, A.END), S.ENDED),
    (S.INCOMING, I.HANG_UP): ((A.SEND_480, A.END), S.ENDED),
    (S.INCOMING, I.CANCEL): ((A.SEND_487, A.TELL_CANCELLED, A.END), S.ENDED),
    (S.INCOMING, I.BYE): ((A.SEND_487, A.END), S.ENDED),
    (S.INCOMING, I.LOST): ((A.END,), S.ENDED),
    (S.INCOMING, I.NO_PRACK): ((A.SEND_504, A.END), S.ENDED),  # RFC 3262 3
    (S.ACCEPTED, I.ACK): ((A.STOP, A.TELL_ACK), S.CONFIRMED),
    (S.ACCEPTED, I.CANCEL): ((), S.ACCEPTED),  # it crossed our 2xx
    (S.ACCEPTED, I.BYE): ((A.STOP, A.END), S.ENDED),
    (S.ACCEPTED, I.NO_ACK): ((A.STOP, A.SEND_BYE, A.END), S.LEAVING),
    (S.ACCEPTED, I.HANG_UP): ((A.END,), S.LEAVING_UNACKED),
    (S.LEAVING_UNACKED, I.ACK): ((A.STOP, A.SEND_BYE), S.LEAVING),
    (S.LEAVING_UNACKED, I.NO_ACK): ((A.STOP, A.SEND_BYE), S.LEAVING),
    (S.LEAVING_UNACKED, I.CANCEL): ((), S.LEAVING_UNACKED),
    (S.LEAVING_UNACKED, I.BYE): ((A.STOP,), S.ENDED),
    # -- UAC
    (S.CALLING, I.R1XX): ((A.TELL_PROGRESS,), S.PROCEEDING),
    (S.CALLING, I.R2XX): ((A.TELL_ANSWERED,), S.CONFIRMED),
    (S.CALLING, I.AGAIN): ((A.SEND_AGAIN,), S.CALLING),
    (S.CALLING, I.FAILURE): ((A.TELL_FAILED, A.END), S.ENDED),
    (S.CALLING, I.LOST): ((A.END,), S.ENDED),
    (S.CALLING, I.HANG_UP): ((), S.GIVING_UP),
    (S.PROCEEDING, I.R1XX): ((A.TELL_PROGRESS,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.TELL_ANSWERED,), S.CONFIRMED),
    (S.PROCEEDING, I.AGAIN): ((A.SEND_AGAIN,), S.CALLING),
    (S.PROCEEDING, I.FAILURE): ((A.TELL_FAILED, A.END), S.ENDED),
    (S.PROCEEDING, I.LOST): ((A.END,), S.ENDED),
    (S.PROCEEDING, I.HANG_UP): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.R1XX): ((A.SEND_CANCEL,), S.CANCELLING),
    (S.GIVING_UP, I.R2XX): ((A.SEND_BYE, A.END_LOCAL), S.LEAVING),
    (S.GIVING_UP, I.FAILURE): ((A.END_LOCAL,), S.ENDED),
    (S.GIVING_UP, I.LOST): ((A.END_LOCAL,), S.ENDED),
    (S.CANCELLING, I.R1XX): ((), S.CANCELLING),
    (S.CANCELLING, I.R2XX): ((A.STOP, A.SEND_BYE, A.END_LOCAL), S.LEAVING),  # CANCEL crossed the 200
    (S.CANCELLING, I.FAILURE): ((A.STOP, A.END_LOCAL), S.ENDED),
    (S.CANCELLING, I.LOST): ((A.STOP, A.END_LOCAL), S.ENDED),
    (S.CANCELLING, I.NO_FINAL): ((A.STOP, A.ABANDON, A.END_LOCAL), S.ENDED),  # RFC 3261 9.1
    # -- both
    (S.CONFIRMED, I.ACK): ((A.TELL_REINVITE_ACK, A.STOP), S.CONFIRMED),
    (S.CONFIRMED, I.NO_ACK): ((A.STOP, A.SEND_BYE, A.END), S.LEAVING),  # of a re-INVITE's 2xx
    (S.CONFIRMED, I.BYE): ((A.STOP, A.END), S.ENDED),
    (S.CONFIRMED, I.HANG_UP): ((A.STOP, A.SEND_BYE, A.END), S.LEAVING),
    (S.CONFIRMED, I.R2XX): ((A.SEND_ACK,), S.CONFIRMED),  # our ACK was lost
    (S.CONFIRMED, I.LOST): ((A.STOP, A.END), S.ENDED),
    (S.CONFIRMED, I.GONE): ((A.STOP, A.END), S.ENDED),
    (S.CONFIRMED, I.EXPIRED): ((A.STOP, A.SEND_BYE, A.END), S.LEAVING),  # RFC 4028 10
    (S.LEAVING, I.BYE): ((), S.ENDED),  # BYE crossed BYE
    (S.LEAVING, I.BYE_DONE): ((), S.ENDED),
    (S.LEAVING, I.R2XX): ((A.SEND_ACK,), S.LEAVING),
    (S.ENDED, I.R2XX): ((A.SEND_ACK,), S.ENDED),
    (S.ENDED, I.BYE_DONE): ((), S.ENDED),
}

ENDINGS = {
    I.CANCEL: "cancelled",
    I.BYE: "bye",
    I.NO_ACK: "no-ack",
    I.NO_PRACK: "no-prack",
    I.REJECT: "rejected",
    I.FAILURE: "failed",
    I.LOST: "transport",
    I.GONE: "gone",
    I.EXPIRED: "expired",
}
"""How an input that ends the session is called in `on_ended`; others are 'local'."""
