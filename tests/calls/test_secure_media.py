"""Whole calls over SRTP: offers and answers, what is on the wire, changes of keys, and what the record says of it."""

from __future__ import annotations

import socket
from base64 import b64encode
from random import Random
from typing import Any

from smartalex.rtp.dtls import UNPROVED, DtlsEndpoint, DtlsPeer, Identity, is_dtls
from smartalex.rtp.packet import pack
from smartalex.rtp.srtp import Srtp, SrtpKeys
from smartalex.sdp import crypto
from smartalex.sdp.crypto import Crypto, Fingerprint
from smartalex.sdp.description import Media, parse
from smartalex.tenants.trunk import IN_CLEAR
from tests.ai.fakes import Backend, answering
from tests.calls.exchange import SPEECH, Caller, sdp
from tests.calls.test_switchboard import ExchangeCase

NODE, PHONE = Identity("node"), Identity("phone")
CM80, CM32, GCM = "AES_CM_128_HMAC_SHA1_80", "AES_CM_128_HMAC_SHA1_32", "AEAD_AES_256_GCM"
SILENCE = b"\xff" * 160


def key(suite: str, seed: int) -> bytes:
    return Random(seed).randbytes(crypto.SUITES[suite])


def keyed(tag: int, suite: str, seed: int, after: str = "") -> str:
    return f"a=crypto:{tag} {suite} inline:{b64encode(key(suite, seed)).decode()}{after}"


def shaken(identity: Identity, setup: str) -> tuple[str, ...]:
    return "a=" + Fingerprint("sha-256", identity.sha256).line()[1], f"a=setup:{setup}"


def offer(port: int, profile: str, *lines: str, **options: Any) -> bytes:
    return sdp(port, **options).replace(b"RTP/AVP", profile.encode()) + "".join(f"{line}\r\n" for line in lines).encode()


class Telephone:
    """The caller's audio under keys; `plain` counts packets that came in clear."""

    def __init__(self, case: SecureCase, caller: Caller) -> None:
        self.case, self.caller, self.srtp = case, caller, Srtp()
        self.plain = self.sounds = self.packets = self.strange = 0
        self.ssrcs: list[int] = []
        self._sequence = 0

    def talk(self, seconds: float, payload: bytes = SPEECH) -> None:
        """And listen."""
        for _ in range(round(seconds * 50)):
            self._sequence += 1
            data = self.srtp.protect(pack(self._sequence, self._sequence * 160, 4711, 0) + payload)
            if data is not None:
                self.send(data)
            self.case.exchange.sockets.poll()
            self.case.exchange.network.run(0.02)
            self.listen()

    def send(self, data: bytes) -> None:
        call = self.case.exchange.call_of(self.caller)
        if call is not None:
            self.caller.socket.sendto(data, ("127.0.0.1", call.media.leg.local_port))

    def listen(self) -> None:
        while True:
            try:
                self._take(self.caller.socket.recv(2048))
            except BlockingIOError:
                return

    def _take(self, data: bytes) -> None:
        if len(data) == 172:
            self.plain += 1
            return
        packet = self.srtp.unprotect(memoryview(data), len(data))
        if packet is None:
            self.strange += 1
            return
        ssrc = int.from_bytes(packet[8:12], "big")
        if ssrc not in self.ssrcs:
            self.ssrcs.append(ssrc)
        self.packets += 1
        self.sounds += any(byte != 0xFF for byte in packet[12:])


class SecureCase(ExchangeCase):
    policy = "optional"

    def setUp(self) -> None:
        self.backend = Backend(end_of_turn=answering("Certainly.", 2000))
        self.backends = (self.backend,)
        super().setUp()
        self.exchange.plane.identity = NODE
        self.exchange.change(srtp=self.policy)

    def dial(self, profile: str = "RTP/SAVP", *lines: str, number: str = "+27215550100", **options: Any) -> Caller:
        caller = Caller(self.exchange)
        port = caller.port
        caller.socket.close()
        made = self.exchange.dial(number, offer=offer(port, profile, *lines), **options)
        made.socket.close()
        made.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        made.socket.setblocking(False)
        made.socket.bind(("127.0.0.1", port))
        self.exchange.callers.remove(made)  # what it hears is for its telephone
        self.addCleanup(made.socket.close)
        self.addCleanup(self.gone, made)
        self.exchange.network.run(0.5)
        return made

    def gone(self, caller: Caller) -> None:
        caller.session.hangup()

    def hang_up(self, *callers: Caller) -> None:
        for caller in callers:
            caller.session.hangup()
        self.exchange.network.run(0.5)

    def said(self, caller: Caller) -> Media:
        """The audio section of our answer."""
        [(_, body)] = caller.recorder.heard("answered")
        return parse(body).media[0]

    def telephone(self, caller: Caller, suite: str, seed: int, ours: Crypto | None = None) -> Telephone:
        ours = ours or crypto.cryptos(self.said(caller))[0]
        telephone = Telephone(self, caller)
        telephone.srtp.use(SrtpKeys(suite, key(suite, seed), ours.key))
        return telephone

    def spoken_to(self, telephone: Telephone) -> int:
        """The caller says something and pauses; how many frames of sound came back."""
        telephone.talk(0.2, SILENCE)
        before = telephone.sounds
        telephone.talk(0.6)
        telephone.talk(1.5, SILENCE)
        return telephone.sounds - before

    def answer_to(self, caller: Caller, body: bytes, acknowledgement: bytes = b"") -> Any:
        """The response to a re-INVITE of the caller's."""
        answers: list[Any] = []
        session = caller.session
        headers = (("Content-Type", "application/sdp"),) if body else ()
        session.request_in_dialog("INVITE", headers, body).addCallback(answers.append)
        self.exchange.network.run(0.1)
        if answers[0].status == 200:
            assert session.dialog is not None
            headers = (("Content-Type", "application/sdp"),) if acknowledgement else ()
            request = session.dialog.request("ACK", headers, acknowledgement, seq=session.dialog.local_seq)
            session._agent.send_ack(session, request)
            self.exchange.network.run(0.1)
        return answers[0]


class Keyed(SecureCase):
    def test_each_suite_there_and_back(self) -> None:
        for suite in crypto.SUITES:
            caller = self.dial("RTP/SAVP", keyed(7, suite, 1))
            section = self.said(caller)
            self.assertEqual((section.protocol, [one.tag for one in crypto.cryptos(section)]), ("RTP/SAVP", [7]))
            telephone = self.telephone(caller, suite, 1)
            telephone.talk(1.5, SILENCE)
            self.assertGreater(telephone.sounds, 20, "the greeting")
            self.assertGreater(self.spoken_to(telephone), 20)
            self.hang_up(caller)
            row = self.exchange.rows()[-1]
            self.assertEqual((row["secured"], row["disposition"]), (f"sdes {suite}, {IN_CLEAR}", "completed"))
            self.assertEqual((telephone.plain, telephone.strange, row["rtp"]["forged"]), (0, 0, 0))
        self.assertEqual(self.exchange.counters.values["rtp.fault", ""], 0)

    def test_keys_in_the_profile_of_plain_rtp(self) -> None:
        caller = self.dial("RTP/AVP", keyed(1, CM80, 1, "|2^31|1:4"))
        self.assertEqual(self.said(caller).protocol, "RTP/AVP")
        self.assertGreater(self.spoken_to(self.telephone(caller, CM80, 1)), 20)

    def test_over_tls_keys_are_nobodys(self) -> None:
        caller = self.dial("RTP/SAVP", keyed(1, CM80, 1))
        media = self.exchange.call_of(caller).media
        media.meet("192.0.2.1", "tls")
        self.answer_to(caller, offer(caller.port, "RTP/SAVP", keyed(1, CM80, 2), version=2))
        self.assertEqual(self.exchange.row["secured"], f"sdes {CM80}")

    def test_bad_packets_never_end_a_call(self) -> None:
        caller = self.dial("RTP/SAVP", keyed(1, CM80, 1))
        telephone = self.telephone(caller, CM80, 1)
        draw = Random(3)
        for number in range(200):
            telephone.send(draw.randbytes(draw.randrange(1, 300)))
            telephone.send(pack(number, 160 * number, 4711, 0) + SPEECH)
            telephone.talk(0.02)
        self.assertGreater(self.spoken_to(telephone), 20)
        self.hang_up(caller)
        row = self.exchange.row
        self.assertEqual(row["disposition"], "completed")
        self.assertEqual(sum(row["rtp"][name] for name in ("forged", "malformed", "replayed")), 400)

    def test_no_key_of_ours_is_used_twice(self) -> None:
        callers = [self.dial("RTP/SAVP", keyed(1, CM80, 1)) for _ in range(3)]
        self.assertEqual(len({crypto.cryptos(self.said(caller))[0].key for caller in callers}), 3)

    def test_nothing_of_a_key_in_the_record(self) -> None:
        caller = self.dial("RTP/SAVP", keyed(1, CM80, 1))
        secrets = [b64encode(key(CM80, 1)).decode(), b64encode(crypto.cryptos(self.said(caller))[0].key).decode()]
        self.answer_to(caller, offer(caller.port, "RTP/SAVP", keyed(1, CM80, 2), version=2))
        self.hang_up(caller)
        told = repr(self.exchange.events) + repr(self.exchange.us.ua) + repr(self.exchange.switchboard.__dict__)
        for secret in secrets:
            self.assertNotIn(secret[:20], told)


class Changes(SecureCase):
    def setUp(self) -> None:
        super().setUp()
        self.caller = self.dial("RTP/SAVP", keyed(1, CM80, 1))
        self.telephone_ = self.telephone(self.caller, CM80, 1)
        self.assertGreater(self.spoken_to(self.telephone_), 20)

    def section(self, response: Any) -> Media:
        self.assertEqual(response.status, 200)
        return parse(response.body).media[0]

    def test_hold_with_the_same_key(self) -> None:
        before = crypto.cryptos(self.said(self.caller))
        for number, direction in enumerate(("sendonly", "sendrecv"), 2):
            body = offer(self.caller.port, "RTP/SAVP", keyed(1, CM80, 1), version=number, direction=direction)
            self.assertEqual(crypto.cryptos(self.section(self.answer_to(self.caller, body))), before)
        self.assertGreater(self.spoken_to(self.telephone_), 20)
        self.assertEqual((len(self.telephone_.ssrcs), self.telephone_.strange), (1, 0))
        self.assertEqual(self.exchange.row["story"].count("secured"), 1)

    def test_a_new_key_or_suite(self) -> None:
        before = crypto.cryptos(self.said(self.caller))
        for number, suite in enumerate((CM80, GCM), 2):
            body = offer(self.caller.port, "RTP/SAVP", keyed(number, suite, number), version=number)
            [ours] = crypto.cryptos(self.section(self.answer_to(self.caller, body)))
            self.assertEqual((ours.tag, ours.suite), (number, suite))
            self.assertNotEqual(ours.key, before[0].key)
            self.telephone_.srtp.use(SrtpKeys(suite, key(suite, number), ours.key))
            self.assertGreater(self.spoken_to(self.telephone_), 20)
            self.assertEqual(len(self.telephone_.ssrcs), number)
        self.assertEqual(self.exchange.row["secured"], f"sdes {GCM}, {IN_CLEAR}")

    def test_an_offer_of_ours_is_what_there_is(self) -> None:
        response = self.answer_to(self.caller, b"", offer(self.caller.port, "RTP/SAVP", keyed(1, CM80, 1), version=2))
        section = self.section(response)
        self.assertEqual((section.protocol, crypto.cryptos(section)), ("RTP/SAVP", crypto.cryptos(self.said(self.caller))))
        self.assertGreater(self.spoken_to(self.telephone_), 20)

    def test_a_refresh_that_is_answered_with_a_new_key(self) -> None:
        call = self.exchange.call_of(self.caller)
        call.on_answer(call.session, offer(self.caller.port, "RTP/SAVP", keyed(1, CM80, 5), version=2))
        [ours] = crypto.cryptos(self.said(self.caller))
        self.telephone_.srtp.use(SrtpKeys(CM80, key(CM80, 5), ours.key))
        self.assertGreater(self.spoken_to(self.telephone_), 20)
        call.on_answer(call.session, offer(self.caller.port, "RTP/SAVP", keyed(9, CM80, 5), version=3))
        self.assertEqual(self.exchange.row["cause"], "the answer to a refresh did not fit: answered with no key we asked for")

    def test_plain_only_by_signalling_and_the_record_says_so(self) -> None:
        self.assertEqual(self.answer_to(self.caller, sdp(self.caller.port, version=2)).status, 200)
        self.telephone_.talk(0.5)
        self.assertGreater(self.telephone_.plain, 20)
        self.assertEqual(self.exchange.row["secured"], "in part only")

    def test_whoever_picks_up_gets_a_key_of_their_own(self) -> None:
        dialog = self.caller.session.dialog
        assert dialog is not None
        call_id, ours, theirs = dialog.id
        replaces = (("Replaces", f"{call_id};to-tag={theirs};from-tag={ours}"),)
        other = self.dial("RTP/SAVP", keyed(1, CM80, 3), number="alex", headers=replaces)
        self.assertNotEqual(crypto.cryptos(self.said(other)), crypto.cryptos(self.said(self.caller)))
        telephone = self.telephone(other, CM80, 3)
        self.assertGreater(self.spoken_to(telephone), 20)
        self.assertEqual((telephone.plain, telephone.strange), (0, 0))


class Policies(SecureCase):
    def refused(self, policy: str, caller: Caller, cause: str) -> None:
        row = self.exchange.rows()[-1]
        self.assertEqual((row["status"], row["cause"], row.get("secured", "")), (488, cause, ""), policy)
        self.assertEqual([status for status in caller.statuses() if status >= 200], [488])

    def test_what_is_refused(self) -> None:
        for policy, profile, lines, cause in (
            ("off", "RTP/SAVP", (keyed(1, CM80, 1),), "audio only over RTP/SAVP, and SRTP is off"),
            ("off", "UDP/TLS/RTP/SAVPF", shaken(PHONE, "actpass"), "audio only over UDP/TLS/RTP/SAVPF, and SRTP is off"),
            ("optional", "RTP/SAVP", ("a=crypto:1 X inline:x",), "nothing that secures RTP/SAVP can be agreed on"),
            ("required", "RTP/AVP", (), "SRTP is required"),
            ("required", "RTP/SAVP", (keyed(1, CM80, 1, " UNENCRYPTED_SRTP"),), "nothing that secures RTP/SAVP can be agreed on"),
        ):  # fmt: skip
            self.exchange.change(srtp=policy)
            self.refused(policy, self.dial(profile, *lines), cause)

    def test_required_does_not_give_way_later(self) -> None:
        self.exchange.change(srtp="required")
        caller = self.dial("RTP/SAVP", keyed(1, CM80, 1))
        telephone = self.telephone(caller, CM80, 1)
        self.assertEqual(self.answer_to(caller, sdp(caller.port, version=2)).status, 488)
        self.assertGreater(self.spoken_to(telephone), 20)
        self.assertEqual(telephone.plain, 0)

    def test_off_passes_keys_over(self) -> None:
        self.exchange.change(srtp="off")
        caller = self.dial("RTP/AVP", keyed(1, CM80, 1))
        telephone = Telephone(self, caller)
        telephone.talk(0.5)
        self.assertEqual((self.said(caller).attributes("crypto"), telephone.strange), ((), 0))
        self.assertGreater(telephone.plain, 20)
        self.assertEqual(self.exchange.row.get("secured", ""), "")

    def test_offers_of_ours(self) -> None:
        """To an INVITE without one, answered with keys or without."""
        for policy, profile, lines, expected in (
            ("off", "RTP/AVP", (), None),
            ("optional", "RTP/AVP", (), None),
            ("optional", "RTP/AVP", (keyed(3, CM80, 1),), CM80),
            ("required", "RTP/SAVP", (keyed(4, CM32, 1),), CM32),
            ("required", "RTP/AVP", (), ""),
        ):
            self.exchange.change(srtp=policy)
            caller = Caller(self.exchange)
            caller.recorder.acks_itself = False
            made = self.exchange.dial(offer=b"")
            made.recorder.acks_itself = False
            self.exchange.callers.remove(made)
            self.addCleanup(made.socket.close)
            caller.socket.close()
            self.exchange.network.run(0.5)
            section = self.said(made)
            self.assertEqual(section.protocol, "RTP/SAVP" if policy == "required" else "RTP/AVP")
            self.assertEqual(len(section.attributes("crypto")), 0 if policy == "off" else 4)
            made.session.ack(offer(made.port, profile, *lines))
            self.exchange.network.run(0.1)
            row = self.exchange.rows()[-1]
            if expected == "":
                self.assertEqual(row["cause"], "the answer in the ACK did not fit: answered without what secures the stream")
                continue
            telephone = Telephone(self, made)
            if expected is not None:
                ours = next(one for one in crypto.cryptos(section) if one.suite == expected)
                telephone = self.telephone(made, expected, 1, ours)
                self.assertGreater(self.spoken_to(telephone), 20)
            telephone.talk(0.3)
            self.assertEqual((telephone.plain > 0, telephone.strange), (expected is None, 0))
            self.hang_up(made)


class Shaken(SecureCase):
    def shake(self, caller: Caller, *, active: bool, identity: Identity = PHONE, seconds: float = 0.6) -> DtlsEndpoint:
        endpoint = DtlsEndpoint(identity.context, DtlsPeer(active, (("sha-256", NODE.sha256),)))
        port = self.exchange.call_of(caller).media.leg.local_port
        flight = endpoint.start()
        for _ in range(round(seconds * 50)):
            for datagram in flight:
                caller.socket.sendto(datagram, ("127.0.0.1", port))
            self.exchange.sockets.poll()
            self.exchange.network.run(0.02)
            flight = []
            while True:
                try:
                    data = caller.socket.recv(2048)
                except BlockingIOError:
                    break
                if is_dtls(data[0]):
                    flight += endpoint.received(data)
                else:
                    self.assertIsNotNone(endpoint.keys)
        return endpoint

    def test_both_roles(self) -> None:
        """Audio is elsewhere than signalling here, so that an open role is the one who waits."""
        for profile, setup, role in (
            ("UDP/TLS/RTP/SAVP", "actpass", "passive"),
            ("UDP/TLS/RTP/SAVPF", "passive", "active"),
            ("RTP/SAVPF", "active", "passive"),
        ):
            caller = self.dial(profile, *shaken(PHONE, setup))
            section = self.said(caller)
            self.assertEqual((section.protocol, section.attributes("setup")), (profile, (role,)))
            [shown] = crypto.fingerprints(parse(b"v=0\no=-\n"), section)
            self.assertEqual(shown.digest, NODE.sha256)
            endpoint = self.shake(caller, active=role == "passive")
            assert endpoint.keys is not None, endpoint.failed
            telephone = Telephone(self, caller)
            telephone.srtp.use(endpoint.keys)
            telephone.talk(1, SILENCE)
            self.assertGreater(self.spoken_to(telephone), 20)
            self.assertEqual(telephone.plain, 0)
            self.hang_up(caller)
            row = self.exchange.rows()[-1]
            self.assertEqual((row["secured"], row["disposition"]), (f"dtls {GCM}", "completed"))

    def test_we_begin_where_audio_and_signalling_are_at_one_address(self) -> None:
        body = offer(4000, "UDP/TLS/RTP/SAVP", *shaken(PHONE, "actpass")).replace(b"127.0.0.1", b"192.0.2.1")
        made = self.exchange.dial(offer=body)
        self.exchange.network.run(0.5)
        self.assertEqual(self.said(made).attributes("setup"), ("active",))

    def test_a_certificate_that_nobody_signalled_ends_the_call(self) -> None:
        caller = self.dial("UDP/TLS/RTP/SAVP", *shaken(PHONE, "passive"))
        self.shake(caller, active=False, identity=Identity("mallory"), seconds=0.3)
        self.exchange.network.run(1)
        row = self.exchange.row
        self.assertEqual((row["secured"], row["cause"]), (f"failed: {UNPROVED}", "the audio could not be secured"))
        self.assertEqual((row["disposition"], row["flagged"]), ("failed", "the audio could not be secured"))
        self.assertEqual(caller.recorder.heard("ended"), [("bye",)])

    def test_who_never_answers_the_handshake(self) -> None:
        caller = self.dial("UDP/TLS/RTP/SAVP", *shaken(PHONE, "active"))
        telephone = Telephone(self, caller)
        telephone.talk(12)
        self.assertEqual((telephone.plain, telephone.packets), (0, 0))
        self.assertEqual(self.exchange.row["secured"], "failed: the peer answers no handshake")

    def test_hold_and_refresh_shake_no_hands_again(self) -> None:
        caller = self.dial("UDP/TLS/RTP/SAVP", *shaken(PHONE, "actpass"))
        telephone = Telephone(self, caller)
        endpoint = self.shake(caller, active=True)
        assert endpoint.keys is not None
        telephone.srtp.use(endpoint.keys)
        for number, direction in enumerate(("sendonly", "sendrecv"), 2):
            body = offer(caller.port, "UDP/TLS/RTP/SAVP", *shaken(PHONE, "actpass"), version=number, direction=direction)
            section = parse(self.answer_to(caller, body).body).media[0]
            self.assertEqual(section.attributes("setup"), ("passive",))
        response = self.answer_to(caller, b"", offer(caller.port, "UDP/TLS/RTP/SAVP", *shaken(PHONE, "active"), version=4))
        self.assertEqual(parse(response.body).media[0].attributes("setup"), ("actpass",))
        telephone.talk(0.5, SILENCE)
        self.assertGreater(self.spoken_to(telephone), 20)
        self.assertEqual(self.exchange.row["story"].count("secured"), 1)
