"""Digest under attack, on the wire: what a stranger learns, what can be replayed, and where our own credentials go."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from unittest import TestCase

from smartalex.auth.digest import DigestAuthenticator
from smartalex.interfaces import AuthAttempt, Verdict
from smartalex.sip.asking import Outside
from smartalex.sip.digest import MOST_ANSWERS, Credentials, DigestClient, NonceSource, Secret, challenge, ha1
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.layer import Refusal, ServerTransaction
from smartalex.sip.message import Headers, Request, Response, parse, response_to
from smartalex.sip.session import Session
from smartalex.sip.uri import Uri
from tests.sip.network import Agent, Network, ring_and_answer

US, CALLER, OTHER = "192.0.2.1", "192.0.2.9", "192.0.2.7"
REALM = "smartalex"


def authenticator(realm: str = REALM) -> DigestAuthenticator:
    known = {name: (name, {"MD5": ha1(name, realm, "right", "MD5")}) for name in ("ann", "bob")}
    return DigestAuthenticator(realm, ("MD5",), known.get, NonceSource(realm.encode()))


class Wire(TestCase):
    """A user agent that lets in who has a password, and raw datagrams to it."""

    def setUp(self) -> None:
        self.network = Network()
        self.us = Agent(self.network, US)
        self.us.take = self.judge
        self.digest = authenticator()
        self.verdicts: list[Verdict] = []

    def judge(self, session: Session) -> None:
        request = session.request
        verdict = self.digest.authenticate(
            AuthAttempt(
                "INVITE", request.uri, session.peer.host, "udp", tuple(request.headers.get_all("Authorization")),
                self.network.clock.seconds(),
            )
        )  # fmt: skip
        self.verdicts.append(verdict)
        if verdict.challenges:
            session.challenge(verdict.challenges)
        elif verdict.trunk_id is None:
            session.reject(403)
        else:
            ring_and_answer(session)

    def invite(self, number: int, *authorizations: str, uri: str = f"sip:bob@{US}") -> bytes:
        rows = [
            f"INVITE {uri} SIP/2.0", f"Via: SIP/2.0/UDP {CALLER};branch=z9hG4bK{number}", "Max-Forwards: 70",
            f"From: <sip:ann@{CALLER}>;tag={number}", f"To: <{uri}>", f"Call-ID: {number}", "CSeq: 1 INVITE",
            f"Contact: <sip:ann@{CALLER}>", *(f"Authorization: {value}" for value in authorizations), "Content-Length: 0",
        ]  # fmt: skip
        return "\r\n".join((*rows, "", "")).encode("utf-8", "surrogateescape")

    def hear(self, data: bytes, source: str = CALLER) -> list[Response]:
        """The responses to one datagram."""
        before = len(self.network.seen)
        self.network.udp[US, 5060].datagramReceived(data, (source, 5060))
        self.network.run(0.05)
        call_id = data.partition(b"Call-ID: ")[2].partition(b"\r\n")[0].decode()
        heard = (parse(sent) for _, _, sent in self.network.seen[before:])
        return [one for one in heard if isinstance(one, Response) and one.call_id == call_id]

    def statuses(self, *args: Any, **options: Any) -> list[int]:
        return [response.status for response in self.hear(*args, **options)]

    def answered(self, number: int, username: str = "ann", password: str = "right", uri: str = f"sip:bob@{US}") -> str:
        """Credentials for a fresh challenge."""
        (challenged,) = self.hear(self.invite(number))
        ((_, value),) = DigestClient(username, Secret(password), lambda: "cafe").authorization(challenged, "INVITE", uri)
        return value


class Replay(Wire):
    def test_a_retransmission_is_the_transaction_layers_and_reaches_no_authenticator(self) -> None:
        request = self.invite(2, self.answered(1))
        self.assertEqual(self.statuses(request), [180, 200])
        judged = len(self.verdicts)
        self.hear(request)
        self.hear(request)
        self.assertEqual(
            (len(self.verdicts), len(self.us.sessions)), (judged, judged), "the 200 repeats itself, nothing is judged"
        )

    def test_a_lost_challenge_is_sent_again_the_same(self) -> None:
        request = self.invite(1)
        self.assertEqual(self.hear(request)[0].to_bytes(), self.hear(request)[0].to_bytes())
        self.assertEqual(len(self.verdicts), 1)

    def test_a_copy_in_another_call_is_asked_again(self) -> None:
        value = self.answered(1)
        self.assertEqual(self.statuses(self.invite(2, value)), [180, 200])
        (again,) = self.hear(self.invite(3, value))
        self.assertEqual(again.status, 401)
        self.assertIn("stale=true", again.headers.get("WWW-Authenticate") or "")

    def test_from_another_address_it_is_worth_nothing(self) -> None:
        (stolen,) = self.hear(self.invite(2, self.answered(1)), source=OTHER)
        self.assertEqual((stolen.status, "stale" in (stolen.headers.get("WWW-Authenticate") or "")), (401, False))

    def test_for_another_number_neither(self) -> None:
        self.assertEqual(self.statuses(self.invite(2, self.answered(1), uri=f"sip:+27215550199@{US}")), [403])

    def test_after_its_life_it_is_stale_and_the_next_one_opens(self) -> None:
        value = self.answered(1)
        self.network.run(61)
        (late,) = self.hear(self.invite(2, value))
        self.assertIn("stale=true", late.headers.get("WWW-Authenticate") or "")
        ((_, fresh),) = DigestClient("ann", Secret("right"), lambda: "cafe").authorization(late, "INVITE", f"sip:bob@{US}")
        self.assertEqual(self.statuses(self.invite(3, fresh)), [180, 200])


class Learning(Wire):
    def told(self, *args: Any) -> list[Any]:
        """A refusal without what every response has of its own."""
        (response,) = self.hear(self.invite(*args))
        own = ("via", "from", "to", "call-id")
        return [
            response.status,
            response.reason,
            response.body,
            [row[1:] for row in response.headers.rows() if row[0] not in own],
        ]

    def test_an_unknown_user_and_a_wrong_password_hear_the_same(self) -> None:
        told = [self.told(n, self.answered(n + 1, *who)) for n, who in ((10, ("ann", "wrong")), (20, ("nobody", "right")))]
        self.assertEqual(told[0], told[1])
        self.assertEqual(told[0][:3], [403, "Forbidden", b""])

    def test_odd_usernames_are_unknown_ones(self) -> None:
        for n, username in enumerate(
            ("", " ", "a" * 15_000, "ann\x7f", "ann\udcff", "\u00e1nn", 'a"n"n', "ann@h", "%s%n", "ANN")
        ):
            with self.subTest(username=username[:20]):
                self.assertEqual(self.statuses(self.invite(100 * n + 1, self.answered(100 * n + 2, username))), [403])

    def test_a_line_too_long_is_refused_unread(self) -> None:
        judged = len(self.verdicts)
        self.assertEqual(self.statuses(self.invite(1, f'Digest username="{"a" * 20_000}", realm="{REALM}"')), [400])
        self.assertEqual(len(self.verdicts), judged)

    def test_what_cannot_be_read_is_asked_for_again(self) -> None:
        good = self.answered(1)
        for n, value in enumerate((
            "", "Digest", "Basic x", good + ', realm="x"', good + ", nonce=1", good + "".join(f", p{p}=1" for p in range(1000)),
            good.replace("nc=00000001", "nc2=1"), good.replace("cnonce", "c"),
        )):  # fmt: skip
            with self.subTest(value=value[-60:]):
                self.assertEqual(self.statuses(self.invite(100 + n, value)), [401])
        self.assertEqual(self.statuses(self.invite(99, good)), [180, 200], "it was used by none of them")

    def test_our_challenge_answered_for_another_realm_is_refused_and_said(self) -> None:
        other = self.answered(1).replace(f'realm="{REALM}"', 'realm="pbx"')
        self.assertEqual(self.statuses(self.invite(100, other)), [403])
        self.assertIn("pbx", self.verdicts[-1].why)

    def test_what_was_not_offered_is_refused(self) -> None:
        good = self.answered(1)
        for n, (old, new) in enumerate((
            ("=MD5", "=SHA-256"), ("=MD5", "=MD5-sess"), ("=MD5", "=SHA-512-256"), ("=MD5", "=none"),
            ("qop=auth", "qop=auth-int"), ("qop=auth", "qop=x"),
        )):  # fmt: skip
            with self.subTest(new=new):
                self.assertEqual(self.statuses(self.invite(100 + n, good.replace(old, new))), [403])
                self.assertIn("is not accepted", self.verdicts[-1].why)

    def test_among_many_the_first_of_our_realm_is_the_only_guess(self) -> None:
        foreign = f'Digest username="ann", realm="pbx", nonce="n", uri="sip:bob@{US}", response="{"0" * 32}"'
        guesses = [self.answered(n, "ann", f"guess {n}") for n in range(1, 5)]
        good = self.answered(9)
        self.assertEqual(self.statuses(self.invite(20, foreign, *guesses, good)), [403])
        self.assertEqual(self.statuses(self.invite(21, foreign, good, *guesses)), [180, 200])
        self.assertEqual(
            self.statuses(self.invite(22, foreign, self.answered(8).replace("MD5", "MD5-sess"), self.answered(7))), [180, 200]
        )


# ------------------------------------------------------------------------- our own credentials


class Asked(TestCase):
    """We call, and somebody asks for our password."""

    def setUp(self) -> None:
        self.network = Network()
        self.us, self.them, self.other = (Agent(self.network, address) for address in (US, CALLER, OTHER))
        self.challenges = 0

    def call(self, agent: Agent, **options: Any) -> Session:
        return self.us.call(agent, digest=DigestClient("ann", Secret("right"), lambda: "cafe", **options))

    def invites(self) -> list[Request]:
        return [message for message in self.network.messages("INVITE") if isinstance(message, Request)]

    def failures(self) -> list[Any]:
        return [status for (status,) in self.us.recorder.heard("failed")]

    def asking(self, *values: Callable[[int], str], status: int = 401) -> Callable[[Session], None]:
        """A server that is never content; `values(n)` make its nth challenge."""

        def take(session: Session) -> None:
            self.challenges += 1
            name = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
            session.reject(status, headers=[(name, value(self.challenges)) for value in values])

        return take

    def verifying(self, *steps: tuple[int, DigestAuthenticator]) -> Callable[[Session], None]:
        """Servers in a row, of which each must be content; their statuses are 401 or 407."""

        def take(session: Session) -> None:
            for status, digest in steps:
                name = "Authorization" if status == 401 else "Proxy-Authorization"
                said, uri = tuple(session.request.headers.get_all(name)), session.request.uri
                verdict = digest.authenticate(AuthAttempt("INVITE", uri, US, "udp", said, self.network.clock.seconds()))
                if verdict.trunk_id is None:
                    header = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
                    session.reject(
                        status if verdict.challenges else 403, headers=[(header, value) for value in verdict.challenges]
                    )
                    return
            ring_and_answer(session)

        return take

    def test_a_proxy_and_a_server_both(self) -> None:
        self.them.take = self.verifying((407, authenticator("proxy")), (401, authenticator("server")))
        self.call(self.them)
        self.network.run(2)
        self.assertIn("SIP/2.0 200 INVITE", self.network.titles(CALLER))
        first, second, third = self.invites()
        self.assertEqual([bool(one.headers.get("Authorization")) for one in (first, second, third)], [False, False, True])
        counts = [Credentials.parse(one.headers.get("Proxy-Authorization") or "").nc for one in (second, third)]
        self.assertEqual(counts, ["00000001", "00000002"], "the proxy sees the count of its nonce rise")

    def test_a_proxy_and_a_server_both_outside_a_call(self) -> None:
        steps = (407, authenticator("proxy"), "Proxy-Authorization"), (401, authenticator("server"), "Authorization")

        def take(transaction: ServerTransaction, request: Request) -> None:
            for status, digest, name in steps:
                said = tuple(request.headers.get_all(name))
                attempt = AuthAttempt("REGISTER", request.uri, US, "udp", said, self.network.clock.seconds())
                verdict = digest.authenticate(attempt)
                if verdict.trunk_id is None:
                    header = "WWW-Authenticate" if status == 401 else "Proxy-Authenticate"
                    raise Refusal(status, *((header, value) for value in verdict.challenges))
            transaction.respond(response_to(request, 200, to_tag="t"))

        self.them.ua.handlers["REGISTER"] = take
        address = NameAddr("", Uri.parse(f"sip:ann@{CALLER}"))
        outside = Outside("REGISTER", Uri.parse(f"sip:{CALLER}"), address, address)
        outside.digest = DigestClient("ann", Secret("right"), lambda: "cafe")
        heard: list[Response] = []
        self.us.ua.ask(outside, (Peer("udp", CALLER, 5060),), heard.append, lambda why: None)
        self.network.run(2)
        self.assertEqual([response.status for response in heard], [200])
        self.assertEqual(self.network.titles(US), ["REGISTER"] * 3)

    def test_a_wrong_password_is_tried_once(self) -> None:
        self.them.take = self.asking(lambda n: challenge("r", f"n{n}", "MD5"))
        self.call(self.them)
        self.network.run(40)
        self.assertEqual((len(self.invites()), self.failures()), (2, [401]))

    def test_however_it_is_asked_there_is_an_end(self) -> None:
        """A peer that changed the nonce each time made others call for ever (CVE-2020-28242)."""
        for ask in (lambda n: challenge("r", f"n{n}", "MD5", stale=True), lambda n: challenge(f"r{n}", "n", "MD5")):
            for status in (401, 407):
                self.setUp()
                self.them.take = self.asking(ask, status=status)
                self.call(self.them)
                self.network.run(60)
                self.assertEqual((len(self.invites()), self.failures()), (1 + MOST_ANSWERS, [status]))
                self.assertTrue(self.us.idle())

    def test_another_realm_than_ours_learns_nothing(self) -> None:
        self.them.take = self.asking(lambda n: challenge("elsewhere", "n", "MD5"))
        self.call(self.them, realm=REALM)
        self.network.run(2)
        self.assertEqual((len(self.invites()), self.failures()), (1, [401]))

    def test_our_realm_among_others_is_answered(self) -> None:
        self.them.take = self.asking(lambda n: challenge("elsewhere", "n", "MD5"), lambda n: challenge(REALM, "n", "MD5"))
        self.call(self.them, realm=REALM)
        self.network.run(2)
        said = [Credentials.parse(one.headers.get("Authorization") or "").realm for one in self.invites()[1:]]
        self.assertEqual(said, [REALM])

    def test_who_the_call_is_sent_on_to_does_not_get_them(self) -> None:
        digest = authenticator("server")

        def redirect(session: Session) -> None:
            if session.request.headers.get("Authorization"):
                session.reject(302, headers=[("Contact", f"<sip:bob@{OTHER}>")])
            else:
                session.challenge(digest.authenticate(AuthAttempt("INVITE", "", US, "udp")).challenges)

        self.them.take, self.other.take = redirect, ring_and_answer
        client = DigestClient("ann", Secret("right"), lambda: "cafe")
        self.us.call(self.them, digest=client, redirects=lambda uri: True)
        self.network.run(2)
        told = [(str(one.request_uri), one.headers.get("Authorization") is not None) for one in self.invites()]
        self.assertEqual(told, [(f"sip:bob@{CALLER}", False), (f"sip:bob@{CALLER}", True), (f"sip:bob@{OTHER}", False)])


class Choosing(TestCase):
    def answer(self, *values: str, **options: Any) -> Credentials | None:
        response = Response(401, "", Headers([("WWW-Authenticate", value) for value in values]))
        client = DigestClient("ann", Secret("pw"), lambda: "c0", **options)
        rows = client.authorization(response, "INVITE", "sip:h")
        return Credentials.parse(rows[0][1]) if rows else None

    def test_the_servers_order_decides(self) -> None:
        """RFC 8760 2.4: the topmost that we speak."""
        md5, sha = challenge("r", "n", "MD5"), challenge("r", "n", "SHA-256")
        odd = [challenge("r", "n", algorithm) for algorithm in ("SHA-512-256", "SHA-256-sess", "MD5-sess", "AKAv1-MD5")]
        for values, algorithm in (((sha, md5), "SHA-256"), ((md5, sha), "MD5"), ((*odd, sha, md5), "SHA-256")):
            given = self.answer(*values)
            assert given is not None
            self.assertEqual(given.algorithm, algorithm)

    def test_what_cannot_be_done_is_not_tried(self) -> None:
        for value in (
            *(challenge("r", "n", a) for a in ("SHA-512-256", "SHA-256-sess", "MD5-sess", "x")), 'Digest realm="r"',
            'Digest realm="r", nonce="n", qop="auth-int"', "Basic realm=r", 'Digest realm="r", nonce="n", nonce="m"', "",
        ):  # fmt: skip
            self.assertIsNone(self.answer(value), value)

    def test_auth_among_other_qops(self) -> None:
        given = self.answer('Digest realm="r", nonce="n", qop="auth-int, AUTH"')
        assert given is not None
        self.assertEqual(given.qop, "auth")

    def test_opaque_comes_back_as_it_was(self) -> None:
        for opaque in ("", "5ccc", 'a"b\\'):
            value = 'Digest realm="r", nonce="n", opaque="' + opaque.replace("\\", "\\\\").replace('"', '\\"') + '"'
            rows = DigestClient("ann", Secret("pw"), lambda: "c").authorization(
                Response(401, "", Headers([("WWW-Authenticate", value)])), "INVITE", "sip:h"
            )
            self.assertTrue(rows[0][1].endswith(value.partition("nonce=")[2].partition(", ")[2]), rows[0][1])

    def test_realms_compare_exactly(self) -> None:
        self.assertIsNotNone(self.answer(challenge("r", "n", "MD5"), realm="r"))
        for realm in ("R", "r ", "rr"):
            self.assertIsNone(self.answer(challenge("r", "n", "MD5"), realm=realm))
