"""A trunk's STIR policy, from the INVITE to the record; what a PASSporT is worth is tested in tests/sip/test_stir.py."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, fail, succeed

from smartalex.sip.stir import NONE, Verification
from tests.calls.test_switchboard import ExchangeCase

GOOD = Verification("verified", "A")
WEAK = Verification("verified", "C", "attested C")
BAD = Verification("failed", reason="the signature is wrong", status_code=438)


class Identity(ExchangeCase):
    def call(self, policy: str, found: Any) -> tuple[list[int], dict[str, Any]]:
        self.exchange.change(stir=policy)
        self.exchange.switchboard.verify = lambda request: found if isinstance(found, Deferred) else succeed(found)
        caller = self.exchange.dial()
        self.exchange.run(0.5)
        return caller.statuses(), self.exchange.rows()[-1]

    def test_policies(self) -> None:
        for policy, found, status, attestation in (
            ("off", BAD, 200, ""), ("record", GOOD, 200, "A"), ("record", BAD, 200, ""), ("record", NONE, 200, ""),
            ("require", GOOD, 200, "A"), ("require", WEAK, 200, "C"), ("require", BAD, 438, ""), ("require", NONE, 428, ""),
            ("require-A", GOOD, 200, "A"), ("require-A", WEAK, 403, "C"), ("require-C", WEAK, 200, "C"),
        ):  # fmt: skip
            with self.subTest(policy=policy, found=found):
                statuses, row = self.call(policy, found)
                self.assertEqual(statuses[-1], status)
                self.assertEqual(row.get("attestation", ""), attestation)
                if status != 200:
                    self.assertEqual((row["disposition"], row["cause"], row["status"]), ("refused", "identity", status))
                    self.assertEqual(row["detail"], f"trunk acme: {found.reason}")
                self.exchange.callers[-1].session.hangup()
                self.exchange.run(0.5)
                self.assertFalse(self.exchange.admission.busy)

    def test_the_caller_hears_100_while_we_look_and_the_call_counts_already(self) -> None:
        waiting: Deferred[Verification] = Deferred()
        self.exchange.change(max_calls=1)
        statuses, _ = self.call("require", waiting)
        self.assertEqual(statuses, [])
        self.assertEqual(self.exchange.network.titles("192.0.2.2"), ["SIP/2.0 100 INVITE"])
        second = self.exchange.dial()
        self.exchange.run(0.5)
        self.assertEqual(second.statuses(), [503])
        waiting.callback(GOOD)
        self.exchange.run(0.5)
        self.assertEqual(self.exchange.callers[0].statuses()[-1], 200)

    def test_cancelled_while_we_look(self) -> None:
        waiting: Deferred[Verification] = Deferred()
        self.call("require", waiting)
        self.exchange.callers[0].session.hangup()
        self.exchange.run(0.5)
        waiting.callback(GOOD)
        self.exchange.run(0.5)
        row = self.exchange.rows()[-1]
        self.assertEqual((row["disposition"], row["cause"]), ("cancelled", "cancelled"))
        self.assertFalse(self.exchange.admission.busy)
        self.assertEqual(self.exchange.switchboard.calls, {})

    def test_draining_begins_while_we_look(self) -> None:
        waiting: Deferred[Verification] = Deferred()
        self.call("record", waiting)
        drained = self.exchange.switchboard.drain()
        self.assertFalse(drained.called, "somebody is at the door")
        waiting.callback(GOOD)
        self.exchange.run(0.5)
        self.assertEqual(self.exchange.callers[0].statuses(), [503])
        self.assertTrue(drained.called)

    def test_a_fault_of_ours_lets_nobody_in_and_leaves_nothing(self) -> None:
        statuses, row = self.call("record", fail(ValueError("x")))
        self.assertEqual((statuses, row["disposition"]), ([500], "refused"))
        self.assertFalse(self.exchange.admission.busy)
        self.flushLoggedErrors(ValueError)

    def test_a_caller_who_withholds_the_number(self) -> None:
        headers = (("P-Asserted-Identity", "<tel:+15550002>"), ("Privacy", "id"))
        self.exchange.dial(headers=headers)
        self.exchange.run(0.5)
        (session,) = self.exchange.backends[0].sessions
        self.assertEqual(dict(session.brief.caller), {"number": "", "name": ""})
        self.assertEqual(self.exchange.rows()[-1]["caller"], "+15550002")

    def test_a_privacy_that_we_cannot_keep(self) -> None:
        caller = self.exchange.dial(headers=(("Privacy", "moon;critical"),))
        self.exchange.run(0.5)
        self.assertEqual(caller.statuses(), [500])
