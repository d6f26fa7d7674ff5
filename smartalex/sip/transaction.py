"""The four transaction machines of RFC 3261 17 with the Accepted states of RFC 6026, as tables.

A table says for (state, input) what to do and which state follows.  The layer
does it.  Over TCP and TLS nothing is retransmitted and the timers that only
wait for stray retransmissions are zero; `over_stream` derives those tables.
"""

from __future__ import annotations

from enum import StrEnum

from smartalex.machine import Table
from smartalex.sip.timers import T2, T4, TIMEOUT, TIMER_D


class State(StrEnum):
    NEW = "new"
    CALLING = "calling"
    TRYING = "trying"
    PROCEEDING = "proceeding"
    ACCEPTED = "accepted"  # RFC 6026: a 2xx to INVITE was seen or sent
    COMPLETED = "completed"
    CONFIRMED = "confirmed"
    TERMINATED = "terminated"


class Input(StrEnum):
    """From the wire, from the timers, from the user (START, SEND..., ABANDON), from the transport (UNREACHABLE)."""

    START = "start"
    REQUEST = "request again"
    ACK = "ACK"
    PROVISIONAL = "1xx"
    SUCCESS = "2xx"
    FAILURE = "300-699"
    SEND_PROVISIONAL = "send 1xx"
    SEND_SUCCESS = "send 2xx"
    SEND_FAILURE = "send 300-699"
    ABANDON = "abandon"
    UNREACHABLE = "unreachable"
    TIMER_A = "timer A"
    TIMER_B = "timer B"
    TIMER_D = "timer D"
    TIMER_E = "timer E"
    TIMER_F = "timer F"
    TIMER_G = "timer G"
    TIMER_H = "timer H"
    TIMER_I = "timer I"
    TIMER_J = "timer J"
    TIMER_K = "timer K"
    TIMER_L = "timer L"
    TIMER_M = "timer M"


class Action(StrEnum):
    SEND = "send the message kept last"
    SEND_ACK = "send the ACK of a final response"
    DELIVER = "give the response, or the ACK, to the user"
    TIMED_OUT = "tell the user that nothing came"
    UNREACHABLE = "tell the user that it could not be sent"
    SLOW_DOWN = "retransmit every T2 from now on"
    STOP = "stop the timers"
    DONE = "forget the transaction"
    START_A = "start timer A"
    START_B = "start timer B"
    START_D = "start timer D"
    START_E = "start timer E"
    START_F = "start timer F"
    START_G = "start timer G"
    START_H = "start timer H"
    START_I = "start timer I"
    START_J = "start timer J"
    START_K = "start timer K"
    START_L = "start timer L"
    START_M = "start timer M"


S, I, A = State, Input, Action  # noqa: E741

TransactionTable = Table[State, Input, Action]

RETRANSMISSIONS: dict[Action, tuple[Input, float]] = {
    A.START_A: (I.TIMER_A, float("inf")),
    A.START_E: (I.TIMER_E, T2),
    A.START_G: (I.TIMER_G, T2),
}
"""Timers that begin at T1 and double each time, up to this many seconds."""

WAITS: dict[Action, tuple[Input, float]] = {
    A.START_B: (I.TIMER_B, TIMEOUT),
    A.START_D: (I.TIMER_D, TIMER_D),
    A.START_F: (I.TIMER_F, TIMEOUT),
    A.START_H: (I.TIMER_H, TIMEOUT),
    A.START_I: (I.TIMER_I, T4),
    A.START_J: (I.TIMER_J, TIMEOUT),
    A.START_K: (I.TIMER_K, T4),
    A.START_L: (I.TIMER_L, TIMEOUT),
    A.START_M: (I.TIMER_M, TIMEOUT),
}
"""Timers of one fixed length; a transaction has at most one of them, a new one replaces the old one."""

INVITE_CLIENT: TransactionTable = {
    (S.NEW, I.START): ((A.START_A, A.START_B, A.SEND), S.CALLING),
    (S.CALLING, I.TIMER_A): ((A.START_A, A.SEND), S.CALLING),
    (S.CALLING, I.TIMER_B): ((A.DONE, A.TIMED_OUT), S.TERMINATED),
    (S.CALLING, I.UNREACHABLE): ((A.DONE, A.UNREACHABLE), S.TERMINATED),
    (S.CALLING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.CALLING, I.PROVISIONAL): ((A.STOP, A.DELIVER), S.PROCEEDING),
    (S.CALLING, I.SUCCESS): ((A.STOP, A.START_M, A.DELIVER), S.ACCEPTED),
    (S.CALLING, I.FAILURE): ((A.STOP, A.START_D, A.SEND_ACK, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.PROVISIONAL): ((A.DELIVER,), S.PROCEEDING),
    (S.PROCEEDING, I.SUCCESS): ((A.START_M, A.DELIVER), S.ACCEPTED),
    (S.PROCEEDING, I.FAILURE): ((A.START_D, A.SEND_ACK, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.COMPLETED, I.FAILURE): ((A.SEND_ACK,), S.COMPLETED),
    (S.COMPLETED, I.PROVISIONAL): ((), S.COMPLETED),
    (S.COMPLETED, I.TIMER_D): ((A.DONE,), S.TERMINATED),
    (S.COMPLETED, I.UNREACHABLE): ((A.DONE,), S.TERMINATED),  # the user has its response already
    # Every 2xx goes up: retransmissions want the ACK again, other forks want an ACK and a BYE.
    (S.ACCEPTED, I.SUCCESS): ((A.DELIVER,), S.ACCEPTED),
    (S.ACCEPTED, I.PROVISIONAL): ((), S.ACCEPTED),
    (S.ACCEPTED, I.TIMER_M): ((A.DONE,), S.TERMINATED),
}

CLIENT: TransactionTable = {
    (S.NEW, I.START): ((A.START_E, A.START_F, A.SEND), S.TRYING),
    (S.TRYING, I.TIMER_E): ((A.START_E, A.SEND), S.TRYING),
    (S.TRYING, I.TIMER_F): ((A.DONE, A.TIMED_OUT), S.TERMINATED),
    (S.TRYING, I.UNREACHABLE): ((A.DONE, A.UNREACHABLE), S.TERMINATED),
    (S.TRYING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.TRYING, I.PROVISIONAL): ((A.SLOW_DOWN, A.DELIVER), S.PROCEEDING),
    (S.TRYING, I.SUCCESS): ((A.STOP, A.START_K, A.DELIVER), S.COMPLETED),
    (S.TRYING, I.FAILURE): ((A.STOP, A.START_K, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.TIMER_E): ((A.START_E, A.SEND), S.PROCEEDING),
    (S.PROCEEDING, I.TIMER_F): ((A.DONE, A.TIMED_OUT), S.TERMINATED),
    (S.PROCEEDING, I.UNREACHABLE): ((A.DONE, A.UNREACHABLE), S.TERMINATED),
    (S.PROCEEDING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.PROCEEDING, I.PROVISIONAL): ((A.DELIVER,), S.PROCEEDING),
    (S.PROCEEDING, I.SUCCESS): ((A.STOP, A.START_K, A.DELIVER), S.COMPLETED),
    (S.PROCEEDING, I.FAILURE): ((A.STOP, A.START_K, A.DELIVER), S.COMPLETED),
    (S.COMPLETED, I.PROVISIONAL): ((), S.COMPLETED),
    (S.COMPLETED, I.SUCCESS): ((), S.COMPLETED),
    (S.COMPLETED, I.FAILURE): ((), S.COMPLETED),
    (S.COMPLETED, I.TIMER_K): ((A.DONE,), S.TERMINATED),
}

INVITE_SERVER: TransactionTable = {
    (S.NEW, I.START): ((), S.PROCEEDING),
    (S.PROCEEDING, I.REQUEST): ((A.SEND,), S.PROCEEDING),
    (S.PROCEEDING, I.SEND_PROVISIONAL): ((A.SEND,), S.PROCEEDING),
    (S.PROCEEDING, I.SEND_SUCCESS): ((A.START_L, A.SEND), S.ACCEPTED),
    (S.PROCEEDING, I.SEND_FAILURE): ((A.START_G, A.START_H, A.SEND), S.COMPLETED),
    (S.PROCEEDING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.COMPLETED, I.REQUEST): ((A.SEND,), S.COMPLETED),
    (S.COMPLETED, I.TIMER_G): ((A.START_G, A.SEND), S.COMPLETED),
    (S.COMPLETED, I.TIMER_H): ((A.DONE,), S.TERMINATED),  # no ACK for a refusal: nobody is waiting for it
    (S.COMPLETED, I.ACK): ((A.STOP, A.START_I), S.CONFIRMED),
    (S.CONFIRMED, I.REQUEST): ((), S.CONFIRMED),
    (S.CONFIRMED, I.ACK): ((), S.CONFIRMED),
    (S.CONFIRMED, I.TIMER_I): ((A.DONE,), S.TERMINATED),
    # The user retransmits the 2xx until its ACK comes (RFC 3261 13.3.1.4), so a repeated INVITE is only absorbed.
    (S.ACCEPTED, I.REQUEST): ((), S.ACCEPTED),
    (S.ACCEPTED, I.SEND_SUCCESS): ((A.SEND,), S.ACCEPTED),
    (S.ACCEPTED, I.ACK): ((A.DELIVER,), S.ACCEPTED),
    (S.ACCEPTED, I.TIMER_L): ((A.DONE,), S.TERMINATED),
}

SERVER: TransactionTable = {
    (S.NEW, I.START): ((), S.TRYING),
    (S.TRYING, I.REQUEST): ((), S.TRYING),
    (S.TRYING, I.SEND_PROVISIONAL): ((A.SEND,), S.PROCEEDING),
    (S.TRYING, I.SEND_SUCCESS): ((A.START_J, A.SEND), S.COMPLETED),
    (S.TRYING, I.SEND_FAILURE): ((A.START_J, A.SEND), S.COMPLETED),
    (S.TRYING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.PROCEEDING, I.REQUEST): ((A.SEND,), S.PROCEEDING),
    (S.PROCEEDING, I.SEND_PROVISIONAL): ((A.SEND,), S.PROCEEDING),
    (S.PROCEEDING, I.SEND_SUCCESS): ((A.START_J, A.SEND), S.COMPLETED),
    (S.PROCEEDING, I.SEND_FAILURE): ((A.START_J, A.SEND), S.COMPLETED),
    (S.PROCEEDING, I.ABANDON): ((A.DONE,), S.TERMINATED),
    (S.COMPLETED, I.REQUEST): ((A.SEND,), S.COMPLETED),
    (S.COMPLETED, I.TIMER_J): ((A.DONE,), S.TERMINATED),
}


def over_stream(table: TransactionTable) -> TransactionTable:
    """The same machine over TCP or TLS: no retransmissions, timers D, I, J and K are zero."""
    none = {A.START_A, A.START_E, A.START_G}
    zero = {A.START_D, A.START_I, A.START_J, A.START_K}
    made: dict[tuple[State, Input], tuple[tuple[Action, ...], State]] = {}
    for pair, (actions, state) in table.items():
        kept = tuple(action for action in actions if action not in none | zero)
        made[pair] = ((A.DONE, *kept), S.TERMINATED) if zero & set(actions) else (kept, state)
    return made


TABLES: dict[tuple[bool, bool, bool], TransactionTable] = {
    (server, invite, stream): over_stream(table) if stream else table
    for (server, invite), table in {
        (False, True): INVITE_CLIENT,
        (False, False): CLIENT,
        (True, True): INVITE_SERVER,
        (True, False): SERVER,
    }.items()
    for stream in (False, True)
}
"""(is a server, of an INVITE, over a stream) -> its table."""


def response_input(status: int) -> Input:
    """What a received response is to a client transaction."""
    return I.PROVISIONAL if status < 200 else I.SUCCESS if status < 300 else I.FAILURE


def sending_input(status: int) -> Input:
    """What a response of ours is to a server transaction."""
    return I.SEND_PROVISIONAL if status < 200 else I.SEND_SUCCESS if status < 300 else I.SEND_FAILURE
