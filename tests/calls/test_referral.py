"""Another leg in the caller's place: INVITE with Replaces, and REFERs of the PBX (RFC 3891, RFC 3515, RFC 5589)."""

from __future__ import annotations

from unittest import TestCase

from twisted.internet.defer import succeed

from smartalex.calls.referral import number_allowed, replaces_of
from smartalex.interfaces import Verdict
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.session import Session
from smartalex.tenants.trunk import Trunk
from tests.calls.exchange import Caller, sdp
from tests.calls.test_switchboard import ExchangeCase
from tests.sip.network import Agent


class Lists(TestCase):
    TRUNK = Trunk("t", "w", "acme", "", refer_targets=("300", "4*", "+2721*"))

    def test_numbers(self) -> None:
        for refer_to, number in (
            ("<sip:300@x>", "300"), ("<sip:3000@x>", None), ("<sip:412@x>", "412"), ("<tel:+27215550100>", "+27215550100"),
            ("<sip:300@x;method=BYE>", None), ("<sip:300@x;method=invite>", "300"), ("<mailto:300@x>", None), ("<sip:x>", None),
            ("<sip:4%0d%0a@x>", None), ("<sip:4%20@x>", None), (f"<sip:{'4' * 65}@x>", None), ("<sip:300;ext=1@x>", "300"),
        ):  # fmt: skip
            self.assertEqual(number_allowed(NameAddr.parse(refer_to), self.TRUNK), number, refer_to)
        self.assertIsNone(number_allowed(NameAddr.parse("<sip:300@x>"), Trunk("t", "w", "acme", "")), "by default none")

    def test_of_the_headers_in_the_uri_only_replaces_is_kept(self) -> None:
        for query, headers in (
            ("Replaces=a%40b%3Bto-tag%3D1%3Bfrom-tag%3D2", (("Replaces", "a@b;to-tag=1;from-tag=2"),)),
            ("replaces=a%3Bfrom-tag%3D2%3Bto-tag%3D1%3Bearly-only", (("Replaces", "a;to-tag=1;from-tag=2;early-only"),)),
            ("Subject=x&Route=%3Csip%3Ah%3E", ()), ("Replaces=a", ()), ("Replaces=a%3Bto-tag%3D1%0d%0aX%3Bfrom-tag%3D2", ()),
        ):  # fmt: skip
            self.assertEqual(replaces_of(NameAddr.parse(f"<sip:300@x?{query}>")), headers, query)


class Replaced(ExchangeCase):
    def pick_up(self, caller: Caller, **options: object) -> Caller:
        dialog = caller.session.dialog
        assert dialog is not None
        call_id, ours, theirs = dialog.id
        other = self.exchange.dial("alex", headers=(("Replaces", f"{call_id};to-tag={theirs};from-tag={ours}"),), **options)
        self.exchange.run(1.0)
        return other

    def test_the_agent_goes_on_with_whoever_picked_up(self) -> None:
        caller = self.exchange.connected()
        other = self.pick_up(caller)
        self.assertEqual(other.statuses(), [200])
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])
        (row,) = self.exchange.rows()
        self.assertIn("replaced", row["story"])
        before = len(other.heard)
        self.exchange.talk(other, 1.0)
        self.assertGreater(len(other.heard), before, "our audio goes to the new leg")
        (session,) = self.exchange.backends[0].sessions
        other.session.hangup()
        self.exchange.run(1.0)
        (row,) = self.exchange.rows()
        self.assertEqual((row["disposition"], row["cause"]), ("completed", "caller hung up"))
        self.assertIsNotNone(session)

    def test_not_by_another_trunk(self) -> None:
        caller = self.exchange.connected()
        self.exchange.verdict.verdict = Verdict("t2")
        self.assertEqual(self.pick_up(caller).statuses(), [403])
        self.assertEqual(self.exchange.rows()[-1]["cause"], "replaces")
        self.assertEqual(caller.recorder.heard("ended"), [])

    def test_not_by_a_stranger(self) -> None:
        caller = self.exchange.connected()
        self.exchange.verdict.verdict = Verdict(why="nobody")
        self.assertEqual(self.pick_up(caller).statuses(), [403])
        self.assertEqual(caller.recorder.heard("ended"), [])

    def test_not_without_a_codec(self) -> None:
        caller = self.exchange.connected()
        self.assertEqual(self.pick_up(caller, codecs="18").statuses(), [488])
        self.assertEqual(caller.recorder.heard("ended"), [])


class Referred(ExchangeCase):
    """The PBX refers us to Carol at 192.0.2.3, who is 300."""

    def setUp(self) -> None:
        super().setUp()
        self.carol = Agent(self.exchange.network, "192.0.2.3")
        self.carol.take = lambda session: session.answer(sdp(40_000))
        self.exchange.change(refer_targets=("300",))
        self.exchange.us.ua.locate = lambda uri: succeed((Peer("udp", "192.0.2.3", 5060),))
        self.exchange.switchboard.dial = self.exchange.us.ua.invite
        self.caller = self.exchange.connected()

    def refer(self, refer_to: str = "<sip:300@pbx.example.com>") -> Session:
        self.caller.session.refer(refer_to, None)
        self.exchange.run(1.0)
        return self.caller.session

    def heard(self) -> list[tuple[int, bool]]:
        return [(entry[0], entry[1]) for entry in self.caller.recorder.heard("refer")]

    def test_the_agent_goes_on_with_carol(self) -> None:
        self.refer()
        self.assertEqual(self.caller.recorder.heard("refer accepted"), [()])
        self.assertEqual(self.heard(), [(100, False), (200, True)])
        self.assertEqual(self.caller.recorder.heard("ended"), [("bye",)])
        request = self.carol.session.request
        self.assertEqual(request.uri, "sip:300@pbx.example.com")
        self.assertIsNotNone(request.headers.get("Referred-By"))
        self.assertIn("+15550001", request.headers.get("P-Asserted-Identity") or "")
        self.carol.session.hangup()
        self.exchange.run(1.0)
        (row,) = self.exchange.rows()
        self.assertEqual((row["disposition"], row["cause"]), ("completed", "caller hung up"))

    def test_who_is_not_on_the_list(self) -> None:
        self.refer("<sip:999@pbx.example.com>")
        self.assertEqual(self.heard(), [(603, True)])
        self.assertEqual(self.carol.sessions, [])
        self.assertEqual(self.caller.recorder.heard("ended"), [])

    def test_carol_is_busy_and_the_call_goes_on_as_it_was(self) -> None:
        self.carol.take = lambda session: session.reject(486)
        self.refer()
        self.assertEqual(self.heard(), [(100, False), (486, True)])
        self.assertEqual(self.caller.recorder.heard("ended"), [])
        self.refer()
        self.assertEqual(len(self.carol.sessions), 2, "it may ask again")

    def test_whoever_referred_us_does_not_wait(self) -> None:
        self.carol.take = lambda session: session.ring()
        self.refer().hangup()
        self.exchange.run(1.0)
        self.carol.session.answer(sdp(40_000))
        self.exchange.run(1.0)
        self.assertEqual(len(self.exchange.switchboard.calls), 1)
        self.carol.session.hangup()
        self.exchange.run(1.0)
        self.assertEqual(self.exchange.switchboard.calls, {})

    def test_nobody_is_left_when_carol_does_not_come_either(self) -> None:
        self.carol.take = lambda session: session.ring()
        self.refer().hangup()
        self.exchange.run(1.0)
        self.carol.session.reject(480)
        self.exchange.run(1.0)
        self.assertEqual(self.exchange.switchboard.calls, {})

    def test_we_hang_up_meanwhile(self) -> None:
        self.carol.take = lambda session: session.ring()
        self.refer()
        self.exchange.switchboard.hang_up_all("drain")
        self.exchange.run(1.0)
        self.assertEqual(self.carol.recorder.heard("cancelled"), [()])
        self.assertEqual(self.exchange.switchboard.calls, {})

    def test_one_at_a_time(self) -> None:
        self.carol.take = lambda session: session.ring()
        self.refer()
        self.refer()
        self.assertEqual(self.heard()[-1], (603, True))
        self.assertEqual(len(self.carol.sessions), 1)

    def test_carol_speaks_no_codec_of_ours(self) -> None:
        self.carol.take = lambda session: session.answer(sdp(40_000, codecs="18"))
        self.refer()
        self.assertEqual(self.heard(), [(100, False), (488, True)])
        self.assertEqual(self.carol.recorder.heard("ended"), [("bye",)])
        self.assertEqual(self.caller.recorder.heard("ended"), [])
