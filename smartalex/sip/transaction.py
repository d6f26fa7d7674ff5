"""The four transaction machines of RFC 3261 17 with the Accepted states of RFC 6026, as tables.

A row is (state, input) -> (actions, next state).  `Transaction` steps a table;
whoever owns it (the layer) performs the actions: it sends, sets timers, and
tells the transaction user.
"""

from __future__ import annotations

from smartalex.machine import Symbol, Table, step
from smartalex.sip.timers import T1, T2, T4, TIMEOUT


class State(Symbol):
    TRYING = "trying"
    CALLING = "calling"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(Symbol):
    REQUEST = "request again"  # a retransmission from the peer (server)
    ACK = "ack"
    R1XX = "1xx"  # from the wire (client), from the user (server)
    R2XX = "2xx"
    R3TO6 = "300-699"
    RETRANSMIT = "retransmit timer"  # A, E, G
    TIMEOUT = "timeout"  # B, F, H
    WAIT_OVER = "wait over"  # D, I, J, K, L, M
    TRANSPORT_ERROR = "transport error"


class Action(Symbol):
    SEND_REQUEST = "send the request (again)"
    SEND_RESPONSE = "send the last response (again)"
    SEND_ACK = "send ACK for 300-699"
    DELIVER = "give it to the user"
    TELL_TIMEOUT = "tell the user: timeout"
    TELL_ERROR = "tell the user: transport error"
    START_RETRANSMIT = "start the retransmission timer"
    AGAIN_DOUBLED = "restart it doubled"
    AGAIN_CAPPED = "restart it doubled, at most T2"
    AGAIN_T2 = "restart it at T2"
    STOP_RETRANSMIT = "stop the retransmission timer"
    START_TIMEOUT = "start the timeout"
    STOP_TIMEOUT = "stop the timeout"
    START_WAIT = "wait for stragglers"


S, I, A = State, Input, Action  # noqa: E741
Rows = Table[State, Input, Action]

INVITE_CLIENT: Rows = {
    (S.CALLING, I.RETRANSMIT): ((A.SEND_REQUEST, A.AGAIN_DOUBLED), S.CALLING),
    (S.CALLING, I.TIMEOUT): ((A.STOP_RETRANSMIT, A.TELL_TIMEOUT), S.TERMINATED),
    (S.CALLING, I.TRANSPORT_ERROR): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.TELL_ERROR), S.TERMINATED),
    (S.CALLING, I.R1XX): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.DELIVER), S.PROCEEDING),
    (S.CALLING, I.R2XX): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT, A.DELIVER), S.ACCEPTED),
    (S.CALLING, I.R3TO6): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.SEND_ACK, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.R1XX): ((A.DELIVER,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.START_WAIT, A.DELIVER), S.ACCEPTED),
    (S.PROCEEDING, I.R3TO6): ((A.SEND_ACK, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.ACCEPTED, I.R2XX): ((A.DELIVER,), S.ACCEPTED),
    (S.ACCEPTED, I.WAIT_OVER): ((), S.TERMINATED),
    (S.COMPLETED, I.R3TO6): ((A.SEND_ACK,), S.COMPLETED),
    (S.COMPLETED, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.TERMINATED),
    (S.COMPLETED, I.WAIT_OVER): ((), S.TERMINATED),
}

CLIENT: Rows = {
    (S.TRYING, I.RETRANSMIT): ((A.SEND_REQUEST, A.AGAIN_CAPPED), S.TRYING),
    (S.TRYING, I.R1XX): ((A.DELIVER,), S.PROCEEDING),
    (S.TRYING, I.R2XX): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.TRYING, I.R3TO6): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.TRYING, I.TIMEOUT): ((A.STOP_RETRANSMIT, A.TELL_TIMEOUT), S.TERMINATED),
    (S.TRYING, I.TRANSPORT_ERROR): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.TELL_ERROR), S.TERMINATED),
    (S.PROCEEDING, I.RETRANSMIT): ((A.SEND_REQUEST, A.AGAIN_T2), S.PROCEEDING),
    (S.PROCEEDING, I.R1XX): ((A.DELIVER,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.R3TO6): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.TIMEOUT): ((A.STOP_RETRANSMIT, A.TELL_TIMEOUT), S.TERMINATED),
    (S.PROCEEDING, I.TRANSPORT_ERROR): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.TELL_ERROR), S.TERMINATED),
    (S.COMPLETED, I.WAIT_OVER): ((), S.TERMINATED),
}

INVITE_SERVER: Rows = {
    (S.PROCEEDING, I.REQUEST): ((A.SEND_RESPONSE,), S.PROCEEDING),
    (S.PROCEEDING, I.R1XX): ((A.SEND_RESPONSE,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.SEND_RESPONSE, A.START_WAIT), S.ACCEPTED),
    (S.PROCEEDING, I.R3TO6): ((A.SEND_RESPONSE, A.START_RETRANSMIT, A.START_TIMEOUT), S.COMPLETED),
    (S.PROCEEDING, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.TERMINATED),
    (S.ACCEPTED, I.R2XX): ((A.SEND_RESPONSE,), S.ACCEPTED),  # retransmitted by the user until its ACK
    (S.ACCEPTED, I.REQUEST): ((), S.ACCEPTED),  # absorbed (RFC 6026 7.1)
    (S.ACCEPTED, I.ACK): ((A.DELIVER,), S.ACCEPTED),
    (S.ACCEPTED, I.WAIT_OVER): ((), S.TERMINATED),
    (S.ACCEPTED, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.ACCEPTED),
    (S.COMPLETED, I.REQUEST): ((A.SEND_RESPONSE,), S.COMPLETED),
    (S.COMPLETED, I.RETRANSMIT): ((A.SEND_RESPONSE, A.AGAIN_CAPPED), S.COMPLETED),
    (S.COMPLETED, I.ACK): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.START_WAIT), S.CONFIRMED),
    (S.COMPLETED, I.TIMEOUT): ((A.STOP_RETRANSMIT, A.TELL_TIMEOUT), S.TERMINATED),
    (S.COMPLETED, I.TRANSPORT_ERROR): ((A.STOP_RETRANSMIT, A.STOP_TIMEOUT, A.TELL_ERROR), S.TERMINATED),
    (S.CONFIRMED, I.ACK): ((), S.CONFIRMED),
    (S.CONFIRMED, I.WAIT_OVER): ((), S.TERMINATED),
}

SERVER: Rows = {
    (S.TRYING, I.REQUEST): ((), S.TRYING),
    (S.TRYING, I.R1XX): ((A.SEND_RESPONSE,), S.PROCEEDING),
    (S.TRYING, I.R2XX): ((A.SEND_RESPONSE, A.START_WAIT), S.COMPLETED),
    (S.TRYING, I.R3TO6): ((A.SEND_RESPONSE, A.START_WAIT), S.COMPLETED),
    (S.TRYING, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.TERMINATED),
    (S.PROCEEDING, I.REQUEST): ((A.SEND_RESPONSE,), S.PROCEEDING),
    (S.PROCEEDING, I.R1XX): ((A.SEND_RESPONSE,), S.PROCEEDING),
    (S.PROCEEDING, I.R2XX): ((A.SEND_RESPONSE, A.START_WAIT), S.COMPLETED),
    (S.PROCEEDING, I.R3TO6): ((A.SEND_RESPONSE, A.START_WAIT), S.COMPLETED),
    (S.PROCEEDING, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.TERMINATED),
    (S.COMPLETED, I.REQUEST): ((A.SEND_RESPONSE,), S.COMPLETED),
    (S.COMPLETED, I.WAIT_OVER): ((), S.TERMINATED),
    (S.COMPLETED, I.TRANSPORT_ERROR): ((A.TELL_ERROR,), S.TERMINATED),
}


class Kind(Symbol):
    """Which table, where it starts, and how long stragglers are awaited (unreliable transport; else 0)."""

    INVITE_CLIENT = "invite client"
    CLIENT = "client"
    INVITE_SERVER = "invite server"
    SERVER = "server"


TABLES: dict[Kind, tuple[Rows, State]] = {
    Kind.INVITE_CLIENT: (INVITE_CLIENT, S.CALLING),
    Kind.CLIENT: (CLIENT, S.TRYING),
    Kind.INVITE_SERVER: (INVITE_SERVER, S.PROCEEDING),
    Kind.SERVER: (SERVER, S.TRYING),
}

_WAITS = {
    (Kind.INVITE_CLIENT, S.COMPLETED): TIMEOUT,  # D
    (Kind.CLIENT, S.COMPLETED): T4,  # K
    (Kind.INVITE_SERVER, S.CONFIRMED): T4,  # I
    (Kind.SERVER, S.COMPLETED): TIMEOUT,  # J
}


def wait_s(kind: Kind, state: State, reliable: bool) -> float:
    """Seconds of START_WAIT on entering `state`; L and M (accepted) run on every transport."""
    if state is S.ACCEPTED:
        return TIMEOUT
    return 0.0 if reliable else _WAITS[kind, state]


class Transaction:
    """One machine: `input` returns the actions, or None for what the table does not list."""

    __slots__ = ("interval", "kind", "reliable", "state", "table")

    def __init__(self, kind: Kind, reliable: bool) -> None:
        self.kind = kind
        self.reliable = reliable
        self.table, self.state = TABLES[kind]
        self.interval = T1

    def input(self, event: Input) -> tuple[Action, ...] | None:
        row = step(self.table, self.state, event)
        if row is None:
            return None
        actions, self.state = row
        return actions

    def next_interval(self, action: Action) -> float:
        """Seconds until the next retransmission after this AGAIN_* action."""
        if action is A.AGAIN_T2:
            self.interval = T2
        else:
            self.interval *= 2
            if action is A.AGAIN_CAPPED:
                self.interval = min(self.interval, T2)
        return self.interval
