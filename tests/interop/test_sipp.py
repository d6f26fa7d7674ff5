"""SIPp as the PBX: calls, refusals and oddities, on a trunk known by its address and on one with a password."""

from __future__ import annotations

import time
from typing import Any
from unittest import TestCase

from tests.interop.peers import PBX, needs, sipp
from tests.interop.platform import Platform
from tests.interop.scenario import (
    answered,
    contains,
    hang_up,
    invite,
    maybe,
    offer,
    pause,
    recv,
    refused,
    scenario,
    send,
)


@needs("sipp")
class Sipp(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("22000-23000").start()
        cls.platform.command("agents", "set", "Silent", "--backend", "slow")
        cls.platform.add_trunk("pbx", PBX)
        cls.platform.command("dids", "add", "slow", "--trunk", "pbx", "--agent", "cps")

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def sipp(self, *steps: str, to: str = "play", **options: Any) -> None:
        sipp(self.platform, scenario(*steps), to, **options)

    def last(self, count: int = 1) -> list[tuple[Any, ...]]:
        """Transport, disposition and cause of the newest calls, once they have ended."""
        rows: list[dict[str, Any]] = []
        for _ in range(50):
            rows = self.platform.calls("--limit", str(count))
            if len(rows) == count and all(row["disposition"] for row in rows):
                break
            time.sleep(0.1)
        return [(row["transport"], row["disposition"], row["cause"]) for row in rows]

    def refusal(self) -> tuple[Any, ...]:
        row = self.platform.calls("--refused", "--limit", "1")[0]
        return row["status"], row["detail"] or row["cause"]

    # ------------------------------------------------------------------ calls

    def test_a_trunk_known_by_its_address(self) -> None:
        """With the caller that SIPp has built in."""
        for transport in ("udp", "tcp"):
            with self.subTest(transport):
                sipp(self.platform, "uac", "play", transport=transport, calls=5)
                self.assertEqual(self.last(5), [(transport, "completed", "caller hung up")] * 5)

    def test_a_trunk_with_a_password(self) -> None:
        login = f"[authentication username={self.platform.username} password={self.platform.password}]"
        challenged = recv(401, auth="true") + send("ACK", 1, of="1INVITE")
        for transport in ("udp", "tcp"):
            with self.subTest(transport):
                steps = (invite(1), maybe(100), challenged, invite(2, headers=login), answered(2), pause(500), hang_up())
                self.sipp(*steps, transport=transport, calls=5, source="127.0.0.3")
                self.assertEqual(self.last(5), [(transport, "completed", "caller hung up")] * 5)

    def test_cancel_before_the_answer(self) -> None:
        cancel = send("CANCEL", 1, of="1INVITE") + recv(200) + recv(487) + send("ACK", 1, of="1INVITE")
        self.sipp(invite(), maybe(100), recv(180), cancel, to="slow")
        self.assertEqual(self.last(), [("udp", "cancelled", "cancelled")])

    def test_an_offer_in_the_200(self) -> None:
        chosen = offer(0, 101)
        self.sipp(invite(body=""), maybe(100), maybe(180), recv(200, contains("m=audio [0-9]+ RTP/AVP"), rrs="true"),
                  send("ACK", 1, body=chosen), pause(500), hang_up())  # fmt: skip
        self.assertEqual(self.last(), [("udp", "completed", "caller hung up")])
        self.assertEqual(self.platform.calls("--limit", "1")[0]["codec"], "PCMU")

    def test_hold_and_back(self) -> None:
        def change(cseq: int, direction: str, expected: str) -> str:
            wanted = recv(200, contains(f"a={expected}"), rrs="true")
            return invite(cseq, offer(direction=direction, version=cseq)) + maybe(100) + wanted + send("ACK", cseq) + pause(300)

        self.sipp(invite(), answered(), pause(300), change(3, "sendonly", "recvonly"), change(4, "sendrecv", "sendrecv"),
                  change(5, "inactive", "inactive"), hang_up())  # fmt: skip
        self.assertEqual(self.last(), [("udp", "completed", "caller hung up")])
        kinds = [event["kind"] for event in self.platform.call(self.platform.calls("--limit", "1")[0]["id"])["events"]]
        self.assertEqual([kind for kind in kinds if kind in ("hold", "media")], ["hold", "media", "hold"])

    # ------------------------------------------------------------------ refusals

    def test_a_number_that_is_not_ours(self) -> None:
        self.sipp(invite(), refused(404), to="+27215550199")
        self.assertEqual(self.refusal(), (404, "DID +27215550199 unknown; trunk pbx has alex"))

    def test_no_codec_in_common(self) -> None:
        self.sipp(invite(body=offer(18)), refused(488))
        self.assertEqual(self.refusal()[0], 488)

    def test_nobody_knows_this_address(self) -> None:
        self.sipp(invite(), refused(401), source="127.0.0.4")

    def test_an_extension_we_do_not_have(self) -> None:
        self.sipp(invite(headers="Require: 100rel, teleport"), maybe(100), recv(420, contains("teleport", "Unsupported")),
                  send("ACK", 1, of="1INVITE"))  # fmt: skip

    def test_requests_outside_a_call(self) -> None:
        self.sipp(send("OPTIONS", 1), recv(200, contains("INVITE", "Allow")))
        self.sipp(send("BREW", 1), recv(501, contains("INVITE", "Allow")))

    def test_bye_for_a_call_that_is_none(self) -> None:
        self.sipp(send("BYE", 1, of="none"), recv(481))
