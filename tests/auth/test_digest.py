"""Digest as an authenticator: who is let in, what a stranger can learn, and what cannot be used twice."""

from __future__ import annotations

from unittest import TestCase

from zope.interface.verify import verifyObject

from smartalex.auth.allowlist import AllowlistAuthenticator
from smartalex.auth.digest import DigestAuthenticator
from smartalex.auth.firstof import FirstOf
from smartalex.interfaces import AuthAttempt, IAuthenticator, Verdict
from smartalex.sip.digest import DigestClient, NonceSource, Secret, ha1
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


class First(TestCase):
    def test_the_first_that_knows_the_trunk_decides_else_the_last_one_answers(self) -> None:
        here, there = AllowlistAuthenticator([("t1", "192.0.2.1")]), AllowlistAuthenticator([("t2", "192.0.2.0/24")])
        both = FirstOf([here, there])
        self.assertTrue(verifyObject(IAuthenticator, both))
        for source, trunk_id in (("192.0.2.1", "t1"), ("192.0.2.2", "t2"), ("198.51.100.1", None)):
            self.assertEqual(both.authenticate(AuthAttempt("INVITE", URI, source, "udp")).trunk_id, trunk_id)

    def test_none_configured_lets_nobody_in(self) -> None:
        self.assertIsNone(FirstOf([]).authenticate(AuthAttempt("INVITE", URI, "192.0.2.1", "udp")).trunk_id)
