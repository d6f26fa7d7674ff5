"""The four transaction machines: every (state, input) pair, and every timer of RFC 3261 17 and RFC 6026 on a Clock."""

from __future__ import annotations

from itertools import product
from typing import Any
from unittest import TestCase, mock

from twisted.internet.task import Clock

from smartalex.counters import Counters
from smartalex.sip import layer
from smartalex.sip.headers import Peer
from smartalex.sip.layer import ClientTransaction, ServerTransaction, TransactionLayer
from smartalex.sip.message import Headers, Request, Response, response_to
from smartalex.sip.timers import T1, T2, T4, TIMEOUT, TimerQueue
from smartalex.sip.transaction import TABLES, Action, Input, Kind, State, Transaction
from smartalex.sip.transport import Transports

HEARD = {
    Kind.INVITE_CLIENT: """
        calling: 1xx>proceeding 2xx>accepted 300-699>completed retransmit>calling timeout>terminated transport>terminated
        proceeding: 1xx>proceeding 2xx>accepted 300-699>completed
        accepted: 2xx>accepted wait>terminated
        completed: 300-699>completed wait>terminated transport>terminated""",
    Kind.CLIENT: """
        trying: 1xx>proceeding 2xx>completed 300-699>completed retransmit>trying timeout>terminated transport>terminated
        proceeding: 1xx>proceeding 2xx>completed 300-699>completed retransmit>proceeding timeout>terminated transport>terminated
        completed: wait>terminated""",
    Kind.INVITE_SERVER: """
        proceeding: request>proceeding 1xx>proceeding 2xx>accepted 300-699>completed transport>terminated
        accepted: request>accepted 2xx>accepted ack>accepted wait>terminated transport>accepted
        completed: request>completed retransmit>completed ack>confirmed timeout>terminated transport>terminated
        confirmed: ack>confirmed wait>terminated""",
    Kind.SERVER: """
        trying: request>trying 1xx>proceeding 2xx>completed 300-699>completed transport>terminated
        proceeding: request>proceeding 1xx>proceeding 2xx>completed 300-699>completed transport>terminated
        completed: request>completed wait>terminated transport>terminated""",
}
"""What each state hears and where it leads (figures 5 to 8 of RFC 3261, 17 to 20 of RFC 6026); all else is ignored."""


def heard(kind: Kind) -> dict[tuple[State, Input], State]:
    found = {}
    for line in HEARD[kind].strip().splitlines():
        state, _, moves = line.strip().partition(": ")
        for move in moves.split():
            event, _, after = move.partition(">")
            found[State(state), next(i for i in Input if i.value.split()[0] == event)] = State(after)
    return found


class Tables(TestCase):
    def test_every_pair_is_heard_as_the_rfcs_say_or_ignored(self) -> None:
        for kind in Kind:
            expected = heard(kind)
            for state, event in product(State, Input):
                machine = Transaction(kind, reliable=False)
                machine.state = state
                actions = machine.input(event)
                with self.subTest(kind=kind, state=state, event=event):
                    self.assertEqual(actions is None, (state, event) not in expected)
                    self.assertEqual(machine.state, expected.get((state, event), state))

    def test_nothing_is_heard_after_the_end(self) -> None:
        for kind in Kind:
            self.assertEqual([pair for pair in TABLES[kind][0] if pair[0] is State.TERMINATED], [])

    def test_time_alone_ends_every_transaction_that_has_its_final_response(self) -> None:
        timers = (Input.TIMEOUT, Input.WAIT_OVER)
        for kind, (table, _) in TABLES.items():
            for state in {state for state, _ in table} & {State.ACCEPTED, State.COMPLETED, State.CONFIRMED}:
                self.assertTrue(
                    any(table[pair][1] is State.TERMINATED for pair in table if pair[0] is state and pair[1] in timers), kind
                )

    def test_a_response_from_the_peer_is_delivered_once_unless_it_may_come_from_another_branch(self) -> None:
        for kind in (Kind.INVITE_CLIENT, Kind.CLIENT):
            for (state, event), (actions, _) in TABLES[kind][0].items():
                if event in (Input.R1XX, Input.R2XX, Input.R3TO6):
                    repeated = state is State.COMPLETED
                    self.assertEqual(Action.DELIVER in actions, not repeated, (kind, state, event))

    def test_only_a_refused_invite_is_acknowledged_by_the_transaction(self) -> None:
        for kind in Kind:
            for (_, event), (actions, _) in TABLES[kind][0].items():
                self.assertEqual(Action.SEND_ACK in actions, kind is Kind.INVITE_CLIENT and event is Input.R3TO6, (kind, event))

    def test_a_timer_that_runs_is_stopped_or_renewed_when_its_state_is_left(self) -> None:
        """Follow what runs along every path; nothing may run in a state that does not hear it."""
        rings = {"retransmit": Input.RETRANSMIT, "timeout": Input.TIMEOUT, "wait": Input.WAIT_OVER}
        for kind, (table, start) in TABLES.items():
            first = frozenset({"retransmit", "timeout"}) if kind in (Kind.INVITE_CLIENT, Kind.CLIENT) else frozenset()
            todo, seen = [(start, first)], set()
            while todo:
                state, running = todo.pop()
                if (state, running) in seen or state is State.TERMINATED:
                    continue
                seen.add((state, running))
                for timer in running:
                    self.assertIn((state, rings[timer]), table, f"{kind}: {timer} runs in {state} and is not heard")
                for (before, event), (actions, after) in table.items():
                    if before is state:
                        todo.append((after, after_actions(running - {n for n, i in rings.items() if i is event}, actions)))


def after_actions(running: frozenset[str], actions: tuple[Action, ...]) -> frozenset[str]:
    left = set(running)
    for action in actions:
        if action in (Action.START_RETRANSMIT, Action.AGAIN_DOUBLED, Action.AGAIN_CAPPED, Action.AGAIN_T2):
            left.add("retransmit")
        elif action is Action.STOP_RETRANSMIT:
            left.discard("retransmit")
        elif action is Action.START_TIMEOUT:
            left.add("timeout")
        elif action is Action.STOP_TIMEOUT:
            left.discard("timeout")
        elif action is Action.START_WAIT:
            left.add("wait")
    return frozenset(left)


# ---------------------------------------------------------------------- on a clock


class Wire(Transports):
    """Transports that write down when something is sent."""

    def __init__(self, clock: Clock, counters: Counters) -> None:
        super().__init__(clock, counters)
        self.sent: list[tuple[float, str]] = []

    def send(self, peer: Peer, data: bytes) -> None:
        self.sent.append((self.clock.seconds(), data.split(b"\r\n")[0].decode()))


def request(method: str, seq: int = 1) -> Request:
    rows = [("Via", f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{method}"), ("From", "<sip:a@h>;tag=1"), ("To", "<sip:b@h>")]
    return Request(
        method, "sip:b@h", Headers([*rows, ("Call-ID", "c"), ("CSeq", f"{seq} {'INVITE' if method == 'ACK' else method}")])
    )


class Owner:
    """The layer's user: keeps what it is given."""

    def __init__(self) -> None:
        self.transactions: list[ServerTransaction] = []
        self.acks: list[Request] = []
        self.stray: list[Response] = []

    def on_request(self, transaction: ServerTransaction, request: Request) -> None:
        self.transactions.append(transaction)

    def on_ack(self, request: Request) -> None:
        self.acks.append(request)

    def on_stray_response(self, response: Response) -> None:
        self.stray.append(response)

    def token(self) -> str:
        return "t"


class OnAClock(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.counters = Counters()
        self.wire = Wire(self.clock, self.counters)
        self.timers = TimerQueue(self.clock)
        self.layer = TransactionLayer(self.wire, self.timers, self.counters, self.clock.seconds)
        self.layer.user = self.owner = Owner()

    def run_for(self, seconds: float) -> None:
        for _ in range(round(seconds * 16)):
            self.clock.advance(1 / 16)  # exact in binary

    def client(self, method: str, transport: str = "udp") -> ClientTransaction:
        self.told: list[Any] = []
        transaction = self.layer.client(request(method), Peer(transport, "192.0.2.2", 5060))
        transaction.on_response = lambda response: self.told.append(response.status)
        transaction.on_failed = self.told.append
        transaction.start()
        return transaction

    def server(self, method: str, transport: str = "udp") -> ServerTransaction:
        self.layer.receive(request(method).to_bytes(), Peer(transport, "192.0.2.1", 5060))
        self.told = []
        transaction = self.owner.transactions[-1]
        transaction.on_failed = self.told.append
        return transaction

    def answer(self, transaction: ServerTransaction | ClientTransaction, status: int) -> None:
        response = response_to(transaction.request or request("INVITE"), status, to_tag="t")
        if isinstance(transaction, ServerTransaction):
            transaction.respond(response)
        else:
            self.layer.receive(response.to_bytes(), transaction.peer)

    def sent(self, what: str) -> list[float]:
        return [round(at, 2) for at, line in self.wire.sent if line.startswith(what)]

    def ends_after(self, seconds: float) -> None:
        """The layer forgets it after this time, not before, and no timer is left."""
        if seconds:
            self.run_for(seconds - 0.125)
            self.assertEqual(len(self.layer), 1)
        self.run_for(0.25)
        self.assertEqual((len(self.layer), self.timers.pending()), (0, 0))


DOUBLED = [0.0, 0.5, 1.5, 3.5, 7.5, 15.5, 31.5]
CAPPED = [0.0, 0.5, 1.5, 3.5, 7.5, 11.5, 15.5, 19.5, 23.5, 27.5, 31.5]


class ClientTimers(OnAClock):
    def test_constants(self) -> None:
        self.assertEqual((T1, T2, T4, TIMEOUT), (0.5, 4.0, 5.0, 32.0))

    def test_a_and_b(self) -> None:
        self.client("INVITE")
        self.ends_after(32.0)
        self.assertEqual(self.sent("INVITE"), DOUBLED)
        self.assertEqual(self.told, ["timeout"])

    def test_over_a_stream_only_b(self) -> None:
        self.client("INVITE", "tcp")
        self.ends_after(32.0)
        self.assertEqual((self.sent("INVITE"), self.told), ([0.0], ["timeout"]))

    def test_a_provisional_response_stops_both(self) -> None:
        transaction = self.client("INVITE")
        self.answer(transaction, 180)
        self.run_for(200)
        self.assertEqual((self.sent("INVITE"), self.told, transaction.machine.state), ([0.0], [180], State.PROCEEDING))

    def test_d(self) -> None:
        transaction = self.client("INVITE")
        for _ in range(3):
            self.answer(transaction, 486)
        self.assertEqual((self.told, len(self.sent("ACK"))), ([486], 3))
        self.ends_after(32.0)

    def test_d_is_zero_over_a_stream(self) -> None:
        self.answer(self.client("INVITE", "tcp"), 486)
        self.ends_after(0)

    def test_m_on_every_transport(self) -> None:
        for transport in ("udp", "tcp"):
            self.setUp()
            transaction = self.client("INVITE", transport)
            self.answer(transaction, 200)
            self.answer(transaction, 200)
            self.assertEqual((self.told, self.sent("ACK")), ([200, 200], []))
            self.ends_after(32.0)

    def test_e_and_f(self) -> None:
        self.client("BYE")
        self.ends_after(32.0)
        self.assertEqual((self.sent("BYE"), self.told), (CAPPED, ["timeout"]))

    def test_e_is_t2_after_a_provisional(self) -> None:
        transaction = self.client("BYE")
        self.run_for(0.25)
        self.answer(transaction, 100)
        self.ends_after(31.75)
        self.assertEqual(self.sent("BYE"), [0.0, 0.5, 4.5, 8.5, 12.5, 16.5, 20.5, 24.5, 28.5])

    def test_k(self) -> None:
        transaction = self.client("BYE")
        self.answer(transaction, 200)
        self.answer(transaction, 200)
        self.assertEqual(self.told, [200])
        self.ends_after(5.0)

    def test_k_is_zero_over_a_stream(self) -> None:
        self.answer(self.client("BYE", "tls"), 200)
        self.ends_after(0)

    def test_a_transport_error(self) -> None:
        for method in ("INVITE", "BYE"):
            self.setUp()
            transaction = self.client(method)
            self.layer.peer_failed(transaction.peer)
            self.assertEqual((self.told, len(self.layer), self.timers.pending()), (["transport"], 0, 0))


class ServerTimers(OnAClock):
    def test_g_and_h(self) -> None:
        self.answer(self.server("INVITE"), 486)
        self.ends_after(32.0)
        self.assertEqual((self.sent("SIP/2.0 486"), self.told), (CAPPED, ["timeout"]))

    def test_over_a_stream_only_h(self) -> None:
        self.answer(self.server("INVITE", "tcp"), 486)
        self.ends_after(32.0)
        self.assertEqual((self.sent("SIP/2.0 486"), self.told), ([0.0], ["timeout"]))

    def test_i(self) -> None:
        transaction = self.server("INVITE")
        self.answer(transaction, 486)
        for _ in range(2):
            ack = request("ACK")
            ack.headers.set("Via", request("INVITE").headers.get("Via") or "")
            ack.headers.set("CSeq", "1 ACK")
            self.layer.receive(ack.to_bytes(), transaction.peer)
        self.assertEqual((transaction.machine.state, self.owner.acks), (State.CONFIRMED, []))
        self.ends_after(5.0)

    def test_j(self) -> None:
        transaction = self.server("BYE")
        self.answer(transaction, 200)
        self.layer.receive(request("BYE").to_bytes(), transaction.peer)
        self.assertEqual((len(self.owner.transactions), len(self.sent("SIP/2.0 200"))), (1, 2))
        self.ends_after(32.0)

    def test_j_is_zero_over_a_stream(self) -> None:
        self.answer(self.server("BYE", "tcp"), 200)
        self.ends_after(0)

    def test_l_on_every_transport(self) -> None:
        for transport in ("udp", "tcp"):
            self.setUp()
            transaction = self.server("INVITE", transport)
            self.answer(transaction, 200)
            self.layer.receive(request("INVITE").to_bytes(), transaction.peer)
            self.assertEqual((len(self.owner.transactions), len(self.sent("SIP/2.0 200"))), (1, 1), "absorbed")
            self.ends_after(32.0)

    def test_one_final_response(self) -> None:
        for method in ("INVITE", "BYE"):
            transaction = self.server(method)
            self.answer(transaction, 486)
            for late in (180, 200, 500):
                self.assertFalse(transaction.respond(response_to(request(method), late)))
        self.assertEqual({line[:12] for _, line in self.wire.sent}, {"SIP/2.0 486 "})

    def test_a_retransmission_before_any_response_is_absorbed(self) -> None:
        transaction = self.server("BYE")
        self.layer.receive(request("BYE").to_bytes(), transaction.peer)
        self.assertEqual((len(self.owner.transactions), self.wire.sent), (1, []))


class Matching(OnAClock):
    def test_what_is_not_listed_is_counted(self) -> None:
        transaction = self.client("BYE")
        self.answer(transaction, 200)
        self.answer(transaction, 180)
        self.assertEqual(self.told, [200])
        self.assertEqual(self.counters.values["sip.unlisted", "client"], 1)

    def test_a_response_to_nothing_of_ours(self) -> None:
        self.layer.receive(response_to(request("BYE"), 200).to_bytes(), Peer("udp", "192.0.2.2", 5060))
        self.assertEqual(len(self.owner.stray), 1)

    def test_a_response_with_two_vias_is_somebody_elses(self) -> None:
        transaction = self.client("BYE")
        response = response_to(transaction.request, 200)
        response.headers.add("Via", "SIP/2.0/UDP 192.0.2.7;branch=z9hG4bKother")
        self.layer.receive(response.to_bytes(), transaction.peer)
        self.assertEqual(self.told, [])

    def test_the_same_branch_from_another_host_is_another_transaction(self) -> None:
        self.server("BYE")
        other = request("BYE")
        other.headers.set("Via", "SIP/2.0/UDP 192.0.2.9;branch=z9hG4bKBYE")
        self.layer.receive(other.to_bytes(), Peer("udp", "192.0.2.9", 5060))
        self.assertEqual(len(self.owner.transactions), 2)

    def test_the_same_branch_in_another_request_is_refused(self) -> None:
        first = self.server("BYE")
        self.answer(first, 200)
        self.layer.receive(request("BYE", 2).to_bytes(), first.peer)
        self.assertEqual((len(self.owner.transactions), len(self.sent("SIP/2.0 200")), len(self.sent("SIP/2.0 400"))), (1, 1, 1))
        self.layer.receive(request("BYE").to_bytes(), first.peer)
        self.assertEqual(len(self.sent("SIP/2.0 200")), 2)

    def test_cancel_finds_its_invite(self) -> None:
        invite = self.server("INVITE")
        cancel = request("CANCEL")
        cancel.headers.set("Via", invite.request.headers.get("Via") or "")
        self.assertIs(self.layer.find_invite(cancel), invite)
        self.assertIsNone(self.layer.find_invite(request("CANCEL")))

    def test_without_the_cookie_by_the_parts_of_rfc_2543(self) -> None:
        old = request("BYE")
        for branch, total in ((";branch=1", 1), (";branch=1", 1), ("", 2), (";branch=z9hG4bK", 3)):
            old.headers.set("Via", f"SIP/2.0/UDP 192.0.2.1{branch}")
            self.layer.receive(old.to_bytes(), Peer("udp", "192.0.2.1", 5060))
            self.assertEqual(len(self.owner.transactions), total, branch)

    def test_a_response_goes_where_the_request_came_from(self) -> None:
        """RFC 3581 and RFC 3261 18.2.2: rport when asked for, else the Via's port at the packet's address."""
        for via, host, port in (
            ("192.0.2.1:5070", "192.0.2.9", 5070),
            ("192.0.2.1:5070;rport", "192.0.2.9", 4444),
            ("h", "192.0.2.9", 5060),
        ):
            self.setUp()
            bye = request("BYE")
            bye.headers.set("Via", f"SIP/2.0/UDP {via};branch=z9hG4bK1")
            self.layer.receive(bye.to_bytes(), Peer("udp", "192.0.2.9", 4444))
            transaction = self.owner.transactions[-1]
            self.assertEqual(transaction.peer, Peer("udp", host, port))
            self.assertEqual(transaction.request.via.received, "192.0.2.9")


class Room(OnAClock):
    """So many transactions and no more wait for stragglers; what is not answered yet is kept."""

    def setUp(self) -> None:
        super().setUp()
        bound = mock.patch.object(layer, "MOST_SERVERS", 3)
        bound.start()
        self.addCleanup(bound.stop)

    def asked(self, branch: str, *, answered: bool = True) -> ServerTransaction:
        asking = request("OPTIONS")
        asking.headers.set("Via", f"SIP/2.0/UDP 192.0.2.1;branch=z9hG4bK{branch}")
        self.layer.receive(asking.to_bytes(), Peer("udp", "192.0.2.1", 5060))
        transaction = self.owner.transactions[-1]
        if answered:
            transaction.respond(response_to(transaction.request, 200, to_tag="t"))
        return transaction

    def test_the_oldest_that_is_answered_goes_first(self) -> None:
        waiting = self.asked("a", answered=False)
        answered = [self.asked(branch) for branch in "bcdefg"]
        self.assertEqual(len(self.layer), 3)
        self.assertEqual([one.machine.state is State.TERMINATED for one in answered], [True, True, True, True, False, False])
        self.assertIs(waiting.machine.state, State.TRYING)
        self.run_for(33)
        self.assertEqual((len(self.layer), self.timers.pending()), (1, 0))


class Refusing(OnAClock):
    BAD = request("BYE").to_bytes().replace(b"CSeq", b"X")

    def test_what_cannot_be_read_is_refused_as_often_as_is_decent(self) -> None:
        for _ in range(30):
            self.layer.receive(self.BAD, Peer("udp", "192.0.2.1", 5060))
        self.assertEqual(len(self.sent("SIP/2.0 400")), 10)
        self.clock.advance(1.0)
        for _ in range(30):
            self.layer.receive(self.BAD, Peer("udp", "192.0.2.1", 5060))
        self.assertEqual(len(self.sent("SIP/2.0 400")), 15)
        self.assertEqual(self.counters.values["sip.malformed", "udp"], 60)

    def test_nothing_answers_what_has_no_via_an_ack_or_noise(self) -> None:
        for data in (self.BAD.replace(b"Via", b"X"), self.BAD.replace(b"BYE", b"ACK"), b"\0" * 100, b"SIP/2.0 200 OK\r\n\r\n"):
            self.layer.receive(data, Peer("udp", "192.0.2.1", 5060))
        self.assertEqual((self.wire.sent, len(self.layer)), ([], 0))


class TimerHeap(TestCase):
    def test_in_order_on_one_delayed_call(self) -> None:
        clock = Clock()
        timers = TimerQueue(clock)
        rung: list[Any] = []
        for seconds in (3.0, 1.0, 2.0):
            timers.call_later(seconds, rung.append, seconds)
        cancelled = timers.call_later(1.5, rung.append, "never")
        cancelled.cancel()
        self.assertEqual((len(clock.getDelayedCalls()), timers.pending()), (1, 3))
        clock.pump([0.5] * 7)
        self.assertEqual((rung, timers.pending(), clock.getDelayedCalls()), ([1.0, 2.0, 3.0], 0, []))

    def test_one_set_while_ringing(self) -> None:
        clock = Clock()
        timers = TimerQueue(clock)
        rung: list[float] = []
        timers.call_later(1.0, lambda: timers.call_later(0.5, lambda: rung.append(clock.seconds())))
        clock.pump([0.5] * 4)
        self.assertEqual(rung, [1.5])

    def test_a_fault_in_one_keeps_the_others(self) -> None:
        clock = Clock()
        timers = TimerQueue(clock)
        rung: list[str] = []
        timers.call_later(1.0, lambda: 1 // 0)
        timers.call_later(1.0, rung.append, "yes")
        clock.advance(1.0)
        self.assertEqual(rung, ["yes"])

    def test_stopped(self) -> None:
        clock = Clock()
        timers = TimerQueue(clock)
        timers.call_later(1.0, self.fail)
        timers.stop()
        clock.advance(2.0)
        self.assertEqual((timers.pending(), clock.getDelayedCalls()), (0, []))
