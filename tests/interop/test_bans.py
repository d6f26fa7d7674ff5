"""A thousand guesses at passwords, and a thousand numbers looked for, while the real user calls."""

from __future__ import annotations

import json
import re
import socket
from collections import Counter
from hashlib import md5
from unittest import TestCase
from uuid import uuid4

import pytest

from tests.interop.platform import Platform

THIEF, SCANNER = "127.0.5.66", "127.0.5.67"
PATIENCE_S = 0.2


class Stranger:
    """One REGISTER or OPTIONS after the other, as svcrack, svwar and svmap send them; a lost answer is not waited for."""

    def __init__(self, host: str, port: int) -> None:
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((host, 0))
        self._socket.settimeout(PATIENCE_S)
        self._target = ("127.0.0.1", port)
        self.host = host
        self.answers: Counter[int] = Counter()
        self.challenge = ""
        self.retry_after: list[int] = []

    def close(self) -> None:
        self._socket.close()

    def ask(self, method: str, user: str, *headers: str) -> tuple[int, str]:
        """Status (0: none) and the headers that tell users apart, without what is random."""
        call_id, own = uuid4().hex, f"{self.host}:{self._socket.getsockname()[1]}"
        rows = (
            f"{method} sip:127.0.0.1 SIP/2.0", f"Via: SIP/2.0/UDP {own};branch=z9hG4bK{call_id};rport", "Max-Forwards: 70",
            f"From: <sip:{user}@127.0.0.1>;tag=1", f"To: <sip:{user}@127.0.0.1>", f"Call-ID: {call_id}", f"CSeq: 1 {method}",
            f"Contact: <sip:{user}@{own}>", *headers, "Content-Length: 0", "", "",
        )  # fmt: skip
        self._socket.sendto("\r\n".join(rows).encode(), self._target)
        try:
            while call_id not in (text := self._socket.recv(65536).decode()):
                continue
        except TimeoutError:
            self.answers[0] += 1
            self._socket.settimeout(0.005 if self.answers[0] > 30 else PATIENCE_S)
            return 0, ""
        status = int(text.split()[1])
        self.answers[status] += 1
        self.challenge = "".join(re.findall(r'nonce="([^"]+)"', text)[:1]) or self.challenge
        self.retry_after += [int(seconds) for seconds in re.findall(r"Retry-After: (\d+)", text)]
        kept = [line for line in text.split("\r\n") if not re.match(r"(Via|From|To|Call-ID|CSeq|Contact|Date):", line)]
        return status, re.sub(r'nonce="[^"]+"|tag=\S+', "", "\n".join(kept))

    def guess(self, user: str, password: str) -> int:
        if not self.challenge:
            self.ask("REGISTER", user)
        one = md5(f"{user}:smartalex:{password}".encode()).hexdigest()
        two = md5(b"REGISTER:sip:127.0.0.1").hexdigest()
        nonce, cnonce = self.challenge, "0a"
        answer = md5(f"{one}:{nonce}:00000001:{cnonce}:auth:{two}".encode()).hexdigest()
        status, _ = self.ask(
            "REGISTER", user,
            f'Authorization: Digest username="{user}", realm="smartalex", nonce="{nonce}", uri="sip:127.0.0.1", '
            f'response="{answer}", algorithm=MD5, qop=auth, nc=00000001, cnonce="{cnonce}"',
        )  # fmt: skip
        if status == 401:
            self.challenge = ""
        return status


@pytest.mark.interop
class Guessing(TestCase):
    def setUp(self) -> None:
        self.platform = Platform("33000-33200")
        self.addCleanup(self.platform.remove)
        self.platform.start()

    def stranger(self, host: str) -> Stranger:
        made = Stranger(host, self.platform.sip)
        self.addCleanup(made.close)
        return made

    def call(self) -> int:
        """The real user does, with the password; the status."""
        said = self.platform.command("call", f"sip:echo@{self.platform.address}", "--json", "--max-seconds", "1")
        return int(json.loads(said.splitlines()[-1])["status"])

    def test_a_thousand_guesses_are_slowed_and_banned_while_the_real_user_calls(self) -> None:
        thief = self.stranger(THIEF)
        real = self.stranger("127.0.5.1")
        user, password = self.platform.username, self.platform.password
        self.assertEqual(real.guess(user, password), 200)
        for number in range(1000):
            thief.guess(user, f"{number:04}")
            if number % 250 == 0:
                real.challenge = ""
                self.assertEqual((real.guess(user, password), self.call()), (200, 200))
        metrics = self.platform.metrics()
        looked_at = metrics['smartalex_auth_failed_total{label=""}']
        print(f"1000 guesses: {looked_at:.0f} looked at, answers {dict(thief.answers)}, Retry-After {thief.retry_after}")
        self.assertLess(looked_at, 10)
        self.assertGreater(thief.answers[503], 0)
        self.assertEqual(len(thief.retry_after), thief.answers[503])
        self.assertGreater(metrics['smartalex_sip_banned_total{label="udp"}'], 900)
        self.assertEqual(metrics["smartalex_bans"], 1)
        self.assertIn(f"{THIEF}  ", self.platform.command("bans"))
        self.assertEqual(self.platform.logged().count("is banned for"), 1)
        with self.subTest("over a restart"):
            self.platform.stop()
            self.platform.start()
            thief = self.stranger(THIEF)
            self.assertEqual(thief.ask("OPTIONS", "echo"), (0, ""))
        with self.subTest("lifted"):
            self.platform.command("ban", "lift", THIEF)
            self.assertEqual(thief.ask("OPTIONS", "echo")[0], 200)

    def test_who_looks_for_numbers_finds_none(self) -> None:
        scanner = self.stranger(SCANNER)
        known, unknown = self.platform.username, "nobody"
        for method in ("REGISTER", "INVITE", "OPTIONS"):
            found = {scanner.ask(method, user) for user in (known, unknown, "acme", "100", "echo")}
            self.assertEqual(len(found), 1, f"{method}: {found}")
        for number in range(1000):
            scanner.ask("REGISTER", str(number))
        print(f"1000 numbers: {dict(scanner.answers)}")
        self.assertLess(scanner.answers[401], 230)
        self.assertEqual(self.platform.metrics()["smartalex_bans"], 1)
