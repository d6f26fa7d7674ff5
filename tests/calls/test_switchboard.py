"""INVITEs as a PBX sends them: every refusal with its status and its row, every limit, and a clean table afterwards."""

from __future__ import annotations

from typing import Any

import attrs
from twisted.trial.unittest import TestCase

from smartalex.calls.limits import Bounds
from smartalex.calls.switchboard import RefusalBudget, caller_of
from smartalex.errors import LocalError
from smartalex.interfaces import Verdict
from smartalex.sip.message import Request, parse
from tests.ai.fakes import Backend
from tests.calls.exchange import Caller, Exchange, sdp


class ExchangeCase(TestCase):
    """Whatever a test did, afterwards nothing is left of its calls but records with one beginning and one end each."""

    backends: tuple[Any, ...] = ()
    options: dict[str, Any] = {}

    def setUp(self) -> None:
        self.exchange = Exchange(*(self.backends or (Backend(),)), **self.options)

    def tearDown(self) -> None:
        for caller in self.exchange.callers:
            caller.session.hangup()
        self.assertEqual(self.exchange.faults(), [])


class Refusals(ExchangeCase):
    def refused(self, caller: Caller, status: int, cause: str) -> dict[str, Any]:
        self.exchange.run(0.5)
        self.assertEqual([s for s in caller.statuses() if s >= 200], [status])
        row = self.exchange.rows()[-1]
        self.assertEqual((row["disposition"], row["status"], row["cause"]), ("refused", status, cause))
        self.assertEqual((row["caller"], row["caller_name"], row["source"]), ("+15550001", "Zoë", "192.0.2.1:5060"))
        return row

    def retry_after(self, count: int = 1) -> None:
        answers = self.exchange.sent("SIP/2.0 503 INVITE")
        self.assertEqual([a.headers.get("Retry-After") for a in answers], ["10"] * count)

    def test_404_names_the_near_miss_in_the_row_only(self) -> None:
        row = self.refused(self.exchange.dial("27215550101"), 404, "did")
        self.assertEqual(row["detail"], "DID 27215550101 unknown; trunk acme has +27215550100")
        self.assertEqual((row["did"], row["trunk"]), ("27215550101", "acme"))
        [answer] = self.exchange.sent("SIP/2.0 404 INVITE")
        self.assertNotIn(b"5550100", answer.to_bytes())

    def test_401_leaves_no_row(self) -> None:
        self.exchange.verdict.verdict = Verdict(challenges=('Digest realm="r", nonce="n"',))
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        self.assertEqual((caller.statuses(), self.exchange.events), ([401], []))
        self.assertEqual(self.exchange.counters.values["calls.challenged", ""], 1)

    def test_a_password_that_never_comes_is_noted_once(self) -> None:
        self.exchange.verdict.verdict = Verdict(challenges=('Digest realm="r", nonce="n"',))
        caller = self.exchange.dial()
        self.exchange.run(11)
        [row] = self.exchange.rows()
        self.assertEqual((row["status"], row["cause"], caller.statuses()), (401, "no password", [401]))
        self.assertIn("192.0.2.1 is on no list", row["detail"])

    def test_who_comes_again_is_not_waited_for(self) -> None:
        self.exchange.verdict.verdict = Verdict(challenges=('Digest realm="r", nonce="n"',))
        first = self.exchange.dial()
        self.exchange.run(0.5)
        self.exchange.verdict.verdict = Verdict("t1")
        self.exchange.switchboard._asked.answered(first.session.call_id)
        self.exchange.run(11)
        self.assertEqual(self.exchange.events, [])

    def test_403_for_wrong_credentials(self) -> None:
        self.exchange.verdict.verdict = Verdict(why="wrong password for sa_user")
        self.assertEqual(self.refused(self.exchange.dial(), 403, "credentials")["detail"], "wrong password for sa_user")

    def test_403_for_a_suspended_trunk(self) -> None:
        self.exchange.change(active=False)
        self.refused(self.exchange.dial(), 403, "suspended")

    def test_480_for_a_did_without_an_agent(self) -> None:
        self.exchange.admission.tenancy = attrs.evolve(self.exchange.admission.tenancy, agents={})
        self.refused(self.exchange.dial(), 480, "agent")

    def test_480_for_an_agent_that_cannot_be_made(self) -> None:
        def broken(agent: object) -> None:
            raise LocalError("no provider called 'gpt'")

        self.patch(self.exchange.switchboard, "_voices", attrs.evolve(self.exchange.switchboard._voices, options=broken))
        row = self.refused(self.exchange.dial(), 480, "agent")
        self.assertEqual(row["detail"], "no provider called 'gpt'")

    def test_488_without_a_common_codec(self) -> None:
        self.refused(self.exchange.dial(codecs="18 101"), 488, "no common codec")

    def test_488_for_srtp_which_nobody_agreed_on(self) -> None:
        self.refused(
            self.exchange.dial(offer=sdp(4000).replace(b"RTP/AVP", b"RTP/SAVP")), 488, "audio only over RTP/SAVP, and SRTP is off"
        )

    def test_503_at_the_limit_of_the_trunk(self) -> None:
        self.exchange.change(max_calls=1)
        self.exchange.connected()
        row = self.refused(self.exchange.dial(), 503, "trunk full")
        self.assertEqual(row["detail"], "all 1 calls of trunk acme are in use")
        self.retry_after()

    def test_503_at_the_limit_of_the_workspace_whatever_the_trunk(self) -> None:
        tenancy = self.exchange.admission.tenancy
        limited = {"w1": attrs.evolve(tenancy.workspaces["w1"], max_calls=1)}
        self.exchange.admission.tenancy = attrs.evolve(tenancy, workspaces=limited)
        self.exchange.connected()
        self.exchange.verdict.verdict = Verdict("t2")
        row = self.refused(self.exchange.dial("alex"), 503, "workspace full")
        self.assertEqual(row["detail"], "all 1 calls of workspace Acme are in use")
        self.retry_after()

    def test_503_at_the_limit_of_the_service(self) -> None:
        self.exchange.limits.bounds = Bounds(1)
        self.exchange.connected()
        self.refused(self.exchange.dial(), 503, "service full")
        self.retry_after()

    def test_a_place_that_became_free_is_given_again(self) -> None:
        self.exchange.change(max_calls=1)
        first = self.exchange.connected()
        first.session.hangup()
        self.exchange.run(0.5)
        self.assertEqual(self.exchange.connected().statuses(), [200])

    def test_a_call_that_fails_before_it_has_begun_leaves_its_place(self) -> None:
        def broken(agent: object) -> None:
            raise RuntimeError("a plugin's own")

        self.patch(self.exchange.switchboard, "_voices", attrs.evolve(self.exchange.switchboard._voices, options=broken))
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        self.assertEqual((caller.statuses(), self.exchange.admission.busy), ([500], False))
        self.assertEqual(len(self.flushLoggedErrors(RuntimeError)), 1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("failed", "fault"))

    def test_503_without_rtp_ports(self) -> None:
        self.exchange.plane._free.clear()
        row = self.refused(self.exchange.dial(), 503, "no RTP ports")
        self.assertIn("no RTP port is free in 31000-33000", row["detail"])
        self.retry_after()

    def test_503_while_draining(self) -> None:
        self.exchange.switchboard.drain()
        self.refused(self.exchange.dial(), 503, "draining")
        self.retry_after()

    def test_strangers_are_recorded_up_to_a_budget(self) -> None:
        self.exchange.verdict.verdict = Verdict(why="unknown username 'x'")
        self.patch(self.exchange.switchboard, "_budget", RefusalBudget(burst=3, per_s=0))
        for _ in range(5):
            self.exchange.dial()
        self.exchange.run(0.5)
        self.assertEqual([c.statuses() for c in self.exchange.callers], [[403]] * 5)
        self.assertEqual(len(self.exchange.rows()), 3)
        self.assertEqual(self.exchange.counters.values["calls.refusal_unrecorded", ""], 2)


class Budget(TestCase):
    def test_it_fills_again_and_each_source_has_its_own(self) -> None:
        budget = RefusalBudget(burst=2, per_s=0.5)
        self.assertEqual([budget.take("a", 0.0) for _ in range(3)], [True, True, False])
        self.assertTrue(budget.take("b", 0.0))
        self.assertEqual([budget.take("a", 2.0), budget.take("a", 2.0)], [True, False])

    def test_the_table_of_sources_is_bounded(self) -> None:
        budget = RefusalBudget(sources=10)
        for number in range(1000):
            budget.take(str(number), 0.0)
        self.assertLessEqual(len(budget._left), 10)


class Draining(ExchangeCase):
    def test_calls_in_progress_go_on_and_the_last_one_fires_it(self) -> None:
        first, second = self.exchange.connected(), self.exchange.connected()
        drained = self.exchange.switchboard.drain()
        first.session.hangup()
        self.exchange.run(1)
        self.assertNoResult(drained)
        second.session.hangup()
        self.exchange.run(1)
        self.successResultOf(drained)
        self.successResultOf(self.exchange.switchboard.drain())

    def test_stragglers_get_a_bye_and_a_row_that_says_so(self) -> None:
        caller, ringing = self.exchange.connected(), self.exchange.dial()
        self.exchange.network.run(0.011)
        drained = self.exchange.switchboard.drain()
        self.exchange.switchboard.hang_up_all("drain")
        self.successResultOf(drained)
        self.exchange.run(1)
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])
        self.assertEqual([row["cause"] for row in self.exchange.rows()], ["drain", "drain"])
        self.assertEqual(len(ringing.recorder.heard("ended")), 1)

    def test_options_says_503(self) -> None:
        options = Request("OPTIONS", "sip:x", self.exchange.connected().session.request.headers)
        self.assertEqual(self.exchange.switchboard.on_options(options), 200)
        self.exchange.switchboard.drain()
        self.assertEqual(self.exchange.switchboard.on_options(options), 503)


class Faults(ExchangeCase):
    def test_a_fault_of_ours_in_one_call_takes_a_message_and_leaves_the_other_alone(self) -> None:
        broken, sound = self.exchange.connected(), self.exchange.connected()
        call = self.exchange.call_of(broken)
        call.hear = lambda pcm, flags: 1 // 0
        self.exchange.talk(sound, 3)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(self.exchange.rows()[0]["flagged"], "internal fault")
        self.assertEqual(len(self.exchange.box.writers), 1)
        self.assertGreater(sound.sounds(), 0)

    def test_a_fault_on_a_key_leaves_the_leg_listening(self) -> None:
        caller = self.exchange.connected()
        self.patch(type(self.exchange.call_of(caller)), "dtmf", lambda *arguments: 1 // 0)
        self.exchange.press(caller, "1")
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual(len(self.exchange.box.writers), 1)

    def test_a_fault_while_a_message_is_taken_ends_the_call(self) -> None:
        caller = self.exchange.connected()
        call = self.exchange.call_of(caller)
        call.take_message("")
        call.hear = lambda pcm, flags: 1 // 0
        self.exchange.run(0.5)
        self.assertEqual(len(self.flushLoggedErrors(ZeroDivisionError)), 1)
        self.assertEqual((self.exchange.row["disposition"], self.exchange.row["cause"]), ("failed", "internal fault"))


INVITE = """INVITE sip:alex@h SIP/2.0\r\nVia: SIP/2.0/UDP h;branch=z9hG4bK1\r\nFrom: {}\r\nTo: <sip:alex@h>\r
Call-ID: 1\r\nCSeq: 1 INVITE\r\nMax-Forwards: 70\r\n{}\r\n"""


class Callers(TestCase):
    def caller(self, from_: str, *headers: str) -> tuple[str, str, list[tuple[str, str]]]:
        request = parse(INVITE.format(from_, "".join(f"{h}\r\n" for h in headers)).encode())
        assert isinstance(request, Request)
        party = caller_of(request)
        return party.number, party.name, list(party.headers)

    def test_from(self) -> None:
        found = self.caller('"Ann \\"A\\" Lee" <sip:+15550001@pbx;user=phone>;tag=1')
        self.assertEqual(found[:2], ("+15550001", 'Ann "A" Lee'))
        self.assertEqual(found[2], [("P-Asserted-Identity", '"Ann \\"A\\" Lee" <sip:+15550001@pbx;user=phone>')])

    def test_asserted_before_from(self) -> None:
        found = self.caller(
            "<sip:anonymous@anonymous.invalid>;tag=1", 'P-Asserted-Identity: "Ann" <sip:+15550001@pbx>, <tel:+15550001>'
        )
        self.assertEqual(found[:2], ("+15550001", "Ann"))

    def test_a_tel_uri(self) -> None:
        found = self.caller("<sip:x@y>;tag=1", "P-Asserted-Identity: <tel:301;phone-context=example.com>")
        self.assertEqual((found[0], found[2][0][1]), ("301", "<tel:301;phone-context=example.com>"))

    def test_a_broken_identity_is_no_identity(self) -> None:
        self.assertEqual(self.caller("<sip:301@pbx>;tag=1", "P-Asserted-Identity: <<>")[0], "301")

    def test_nothing_is_passed_on_that_does_not_name_somebody(self) -> None:
        found = self.caller("<sip:301:secret@pbx;maddr=evil;transport=tcp?Replaces=x>;tag=1")
        self.assertEqual(found[2], [("P-Asserted-Identity", "<sip:301@pbx>")])

    def test_a_caller_who_asked_for_privacy_keeps_it(self) -> None:
        found = self.caller("<sip:anonymous@anonymous.invalid>;tag=1", "P-Asserted-Identity: <sip:301@pbx>", "Privacy: user; id")
        self.assertIn(("Privacy", "user;id"), found[2])
