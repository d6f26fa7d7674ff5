"""Digest as an authenticator: who is let in, what a stranger can learn, and what cannot be used twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import TestCase, mock

import attrs
from zope.interface.verify import verifyObject

from smartalex.auth.digest import DigestAuthenticator
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import HASHES, DigestClient, NonceSource, Secret, ha1
from smartalex.sip.message import Headers, Response

REALM, URI = "smartalex", "sip:alex@192.0.2.9"
KNOWN = {"sa_user": ("t1", {a: ha1("sa_user", REALM, "right", a) for a in ("MD5", "SHA-256")})}


class Digest(TestCase):
    def setUp(self) -> None:
        self.digest = DigestAuthenticator(REALM, ("MD5", "SHA-256"), KNOWN.get, NonceSource(bytes(32), 60.0))

    def attempt(self, *authorizations: str, now: float = 1000.0, source: str = "192.0.2.1") -> Verdict:
        verdict: Verdict = self.digest.authenticate(AuthAttempt("INVITE", URI, source, "udp", authorizations, now))
        return verdict

    def answer(self, challenge: str, username: str = "sa_user", password: str = "right") -> str:
        response = Response(401, "Unauthorized", Headers([("WWW-Authenticate", challenge)]))
        ((_, value),) = DigestClient(username, Secret(password), lambda: "c0ffee").authorization(response, "INVITE", URI)
        return value

    def challenges(self, **options: float) -> tuple[str, ...]:
        return self.attempt(**options).challenges  # type: ignore[arg-type]

    def test_it_provides_its_interface(self) -> None:
        self.assertTrue(verifyObject(IAuthenticator, self.digest))

    def test_a_stranger_gets_one_challenge_for_each_algorithm_in_our_order(self) -> None:
        self.assertEqual([c.split("algorithm=")[1].split(",")[0] for c in self.challenges()], ["MD5", "SHA-256"])

    def test_the_right_password_with_either_algorithm(self) -> None:
        for index, now in enumerate((1000.0, 1001.0)):
            self.assertEqual(self.attempt(self.answer(self.challenges(now=now)[index]), now=now), Verdict("t1"))

    def test_wrong_password_and_unknown_user_differ_in_our_record_only(self) -> None:
        challenge = self.challenges()[0]
        wrong, unknown = (self.attempt(self.answer(challenge, *who)) for who in (("sa_user", "wrong"), ("nobody", "right")))
        self.assertEqual((wrong.why, unknown.why), ("wrong password for sa_user", "unknown username 'nobody'"))
        self.assertEqual((wrong.trunk_id, wrong.challenges), (unknown.trunk_id, unknown.challenges))

    def test_an_answer_cannot_be_used_twice(self) -> None:
        answer = self.answer(self.challenges()[0])
        self.assertEqual(self.attempt(answer).trunk_id, "t1")
        again = self.attempt(answer)
        self.assertIsNone(again.trunk_id)
        self.assertIn("stale=true", again.challenges[0])

    def test_nor_from_another_address(self) -> None:
        answer = self.answer(self.challenges()[0])
        stolen = self.attempt(answer, source="198.51.100.66")
        self.assertIsNone(stolen.trunk_id)
        self.assertNotIn("stale", stolen.challenges[0])

    def test_nor_after_its_time(self) -> None:
        answer = self.answer(self.challenges()[0])
        late = self.attempt(answer, now=1061.0)
        self.assertIsNone(late.trunk_id)
        self.assertIn("stale=true", late.challenges[0])

    def test_a_wrong_password_does_not_use_up_the_nonce(self) -> None:
        challenge = self.challenges()[0]
        self.attempt(self.answer(challenge, password="wrong"))
        self.assertEqual(self.attempt(self.answer(challenge)).trunk_id, "t1")

    def test_credentials_for_somebody_else_are_no_credentials(self) -> None:
        other = self.answer('Digest realm="pbx", nonce="n", algorithm=MD5, qop="auth"')
        for junk in (other, "Basic dXNlcjpwYXNz", "Digest", "Digest realm=", "\x00", "Digest " + "a=b, " * 1000):
            verdict = self.attempt(junk)
            self.assertEqual((verdict.trunk_id, len(verdict.challenges)), (None, 2), junk[:30])

    def test_among_several_the_one_for_our_realm_counts(self) -> None:
        other = self.answer('Digest realm="pbx", nonce="n", algorithm=MD5, qop="auth"')
        self.assertEqual(self.attempt(other, self.answer(self.challenges()[0])).trunk_id, "t1")

    def test_an_algorithm_we_did_not_offer(self) -> None:
        strict = DigestAuthenticator(REALM, ("SHA-256",), KNOWN.get, NonceSource(bytes(32), 60.0))
        answer = self.answer(self.challenges()[0])
        verdict = strict.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", (answer,), 1000.0))
        self.assertEqual((verdict.trunk_id, verdict.why), (None, "digest algorithm 'MD5' with qop 'auth' is not accepted"))

    def test_a_digest_for_another_number_is_not_good_here(self) -> None:
        answer = self.answer(self.challenges()[0])
        for uri, trunk_id in (("sip:+27115550100@192.0.2.9", None), ("sip:alex@sbc.example.com;transport=tls", "t1")):
            attempt = AuthAttempt("INVITE", uri, "192.0.2.1", "udp", (answer,), 1000.0)
            self.assertEqual(self.digest.authenticate(attempt).trunk_id, trunk_id)

    def test_nor_for_another_method(self) -> None:
        attempt = AuthAttempt("REGISTER", URI, "192.0.2.1", "udp", (self.answer(self.challenges()[0]),), 1000.0)
        self.assertEqual(self.digest.authenticate(attempt), Verdict(why="wrong password for sa_user", account="sa_user"))


class Overlap(TestCase):
    """Two passwords at once, for a while."""

    def setUp(self) -> None:
        new, old = ({a: ha1("sa_user", REALM, word, a) for a in HASHES} for word in ("new", "old"))
        known = {"sa_user": ("t1", {**new, **{f"old:{a}": held for a, held in old.items()}, "old:until": "5000.0"})}
        self.wall = 4999.0
        nonces = NonceSource(bytes(32), 60.0)
        self.digest = DigestAuthenticator(REALM, ("MD5", "SHA-256"), known.get, nonces, lambda: self.wall)

    def judged(self, password: str) -> str | None:
        blank = AuthAttempt("INVITE", URI, "192.0.2.1", "udp")
        response = Response(401, "Unauthorized", Headers([("WWW-Authenticate", self.digest.authenticate(blank).challenges[0])]))
        ((_, value),) = DigestClient("sa_user", Secret(password), lambda: "c0").authorization(response, "INVITE", URI)
        trunk_id: str | None = self.digest.authenticate(attrs.evolve(blank, authorizations=(value,))).trunk_id
        return trunk_id

    def test_both_until_it_ends_then_the_new_one(self) -> None:
        self.assertEqual([self.judged(word) for word in ("new", "old", "wrong")], ["t1", "t1", None])
        self.wall = 5000.0
        self.assertEqual([self.judged(word) for word in ("new", "old", "wrong")], ["t1", None, None])


class Counting:
    """A hash that notes how often it was begun."""

    def __init__(self, original: Callable[..., Any]) -> None:
        self._original = original
        self.count = 0

    def __call__(self, data: bytes) -> Any:
        self.count += 1
        return self._original(data)


class Work(TestCase):
    """Nobody learns from our effort whether a user exists, and more headers do not buy more of it."""

    def setUp(self) -> None:
        lately = {"old:" + name: known for name, known in KNOWN["sa_user"][1].items()}
        known = {**KNOWN, "md5_only": ("t2", {"MD5": ha1("md5_only", REALM, "right", "MD5")}),
                 "sa_two": ("t3", {**lately, "old:until": "9e9"}), "sa_had": ("t3", {**lately, "old:until": "1.0"})}  # fmt: skip
        self.looked_up: list[str] = []

        def look_up(username: str) -> Any:
            self.looked_up.append(username)
            return known.get(username)

        self.hashes = {name: Counting(original) for name, original in HASHES.items()}
        self.digest = DigestAuthenticator(REALM, ("SHA-256", "MD5"), look_up, NonceSource(bytes(32), 60.0))

    def cost(self, *answers: str) -> tuple[dict[str, int], int]:
        """Hashes begun by name, and users looked up."""
        before = {name: one.count for name, one in self.hashes.items()}
        looked_up = len(self.looked_up)
        with mock.patch.dict(HASHES, self.hashes):
            self.digest.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", answers, 1000.0))
        return {name: one.count - before[name] for name, one in self.hashes.items()}, len(self.looked_up) - looked_up

    def answer(self, algorithm: str, username: str, password: str) -> str:
        challenges = self.digest.authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp", (), 1000.0)).challenges
        rows = [("WWW-Authenticate", challenge) for challenge in challenges if f"={algorithm}," in challenge]
        client = DigestClient(username, Secret(password), lambda: "c0ffee")
        ((_, value),) = client.authorization(Response(401, "Unauthorized", Headers(rows)), "INVITE", URI)
        return value

    def test_every_guess_costs_the_same(self) -> None:
        for algorithm, other in (("MD5", "SHA-256"), ("SHA-256", "MD5")):
            for who in (("sa_user", "right"), ("sa_user", "wrong"), ("nobody", "right"), ("md5_only", "right"), ("", "x"),
                        ("sa_two", "right"), ("sa_two", "wrong"), ("sa_had", "right")):  # fmt: skip
                with self.subTest(algorithm=algorithm, who=who):
                    cost = self.cost(self.answer(algorithm, *who))
                    self.assertEqual(cost, ({algorithm: 4, other: 0}, 2))

    def test_many_credentials_cost_no_more_than_one(self) -> None:
        answers = [self.answer("MD5", "sa_user", f"guess {n}") for n in range(20)]
        self.assertEqual(self.cost(*answers), ({"MD5": 4, "SHA-256": 0}, 2))

    def test_what_cannot_be_right_costs_nothing(self) -> None:
        answer = self.answer("MD5", "sa_user", "right")
        for useless in (answer.replace("=MD5", "=MD5-sess"), answer.replace('nonce="', 'nonce="x'), answer + ", a=1, a=2"):
            self.assertEqual(self.cost(useless), ({"MD5": 0, "SHA-256": 0}, 0))
