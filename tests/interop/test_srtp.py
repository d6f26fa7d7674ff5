"""baresip and linphone over SRTP: keys in SDP and by DTLS, what the wire shows of it, and what is refused."""

from __future__ import annotations

import re
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any
from unittest import TestCase

import numpy as np
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from smartalex.media.codecs.g711 import PCMU
from smartalex.rtp import dtls
from smartalex.rtp.dtls import DtlsEndpoint, DtlsPeer, Identity
from smartalex.tenants.trunk import IN_CLEAR
from tests.interop.baresip import Baresip
from tests.interop.capture import Capture
from tests.interop.linphone import Linphone
from tests.interop.peers import needs
from tests.interop.platform import Platform, free_port
from tests.interop.voice import compare, voice

FRAME = 160


@needs("baresip", "sipp", "tshark")
class Secured(TestCase):
    platform: Platform
    voice: np.ndarray

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("22000-22900").start()
        cls.voice = voice(3)

    @classmethod
    def tearDownClass(cls) -> None:
        cls.platform.remove()

    def telephone(self, mediaenc: str, transport: str = "udp", said: np.ndarray | None = None, *, mux: bool = False) -> Baresip:
        telephone = Baresip(self.platform, transport, said, codecs="PCMU", mediaenc=mediaenc, mux=mux)
        self.addCleanup(telephone.close)
        return telephone

    def policy(self, policy: str) -> None:
        self.platform.command("trunks", "set", "acme", "--srtp", policy)
        time.sleep(2.5)  # until it is adopted

    def newest(self) -> dict[str, Any]:
        """Once it is closed."""
        for _ in range(100):
            [row] = self.platform.calls("--limit", "1")
            if row["disposition"]:
                break
            time.sleep(0.1)
        return row

    def assertTrustworthy(self, mediaenc: str, rtp: dict[str, Any]) -> None:
        """baresip's first packets may leave in clear just before its side of a handshake is complete; we do not hear them."""
        self.assertLessEqual(rtp["forged"], 3 if mediaenc == "dtls_srtp" else 0)
        self.assertEqual(rtp["replayed"], 0)

    def payloads(self, capture: Capture, *, ours: bool = False) -> list[bytes]:
        """Whatever went to and from the media ports, or only what we sent."""
        first, last = self.platform.rtp_ports.split("-")
        port = "udp.srcport" if ours else "udp.port"
        inside = f"({port} >= {first} and {port} <= {last})"
        fields = ("-Y", inside, "-T", "fields", "-e", "udp.payload", "--disable-protocol", "rtp")
        command = ["tshark", "-r", str(capture.file), *fields]
        done = subprocess.run(command, check=True, capture_output=True, text=True, timeout=60)
        return [bytes.fromhex(line.replace(":", "")) for line in done.stdout.split()]

    def test_the_echo_is_what_was_said_and_nobody_else_hears_it(self) -> None:
        said = np.concatenate((self.voice, np.zeros(8000)))
        plain = PCMU().encode((np.round(said * 32767)).astype("<i2").tobytes())
        frames = {plain[at : at + 32] for at in range(0, len(self.voice), 80)}
        frames |= {bytes([silent]) * 16 for silent in (0xFF, 0x7F)}
        for mediaenc, policy, transport, secured in (
            ("srtp", "optional", "udp", f"sdes AES_CM_128_HMAC_SHA1_80, {IN_CLEAR}"),
            ("srtp-mand", "required", "tls", "sdes AES_CM_128_HMAC_SHA1_80"),
            ("dtls_srtp", "optional", "udp", "dtls "),
            ("dtls_srtp", "required", "tls", "dtls "),
        ):
            self.policy(policy)
            capture = Capture(self.platform)
            telephone = self.telephone(mediaenc, transport, said)
            telephone.dial("echo")
            telephone.wait("CALL_CLOSED")  # when its file ends
            capture.stop()
            likeness, delay_ms = compare(self.voice, telephone.heard())
            row = self.newest()
            print(f"{mediaenc} over {transport}: {row['secured']}, correlation {likeness:.3f}, delay {delay_ms:.0f} ms")
            self.assertGreater(likeness, 0.8, mediaenc)
            self.assertEqual((row["disposition"], row["secured"][: len(secured)]), ("completed", secured))
            self.assertTrustworthy(mediaenc, row["rtp"])
            wire = self.payloads(capture)
            audio = [data for data in wire if data[:1] == b"\x80" and data[1] & 0x7F == 0]
            self.assertGreater(len(audio), 250)
            plain_ones = [data for data in wire if any(frame in data for frame in frames)]
            self.assertLessEqual(len(plain_ones), 3 if mediaenc == "dtls_srtp" else 0, "plain audio on the wire")
            self.assertFalse(set(plain_ones) & set(self.payloads(capture, ours=True)), "plain audio of ours")
            sizes = {len(data) for data in audio if data not in plain_ones}
            self.assertLessEqual(sizes, {12 + FRAME + tag for tag in (4, 10, 16)})

    def test_reports_are_secured_by_whatever_port_they_go(self) -> None:
        self.policy("optional")
        for mediaenc in ("", "srtp", "dtls_srtp"):
            for mux in (False, True):
                telephone = self.telephone(mediaenc, mux=mux)
                telephone.dial("echo")
                telephone.wait("CALL_ESTABLISHED")
                time.sleep(13)
                telephone.command("hangup")
                telephone.wait("CALL_CLOSED")
                rtp = self.newest()["rtp"]
                told = [event for event in telephone.events if event.get("type") == "CALL_RTCP"]
                what = (mediaenc, mux, rtp["forged"], rtp["malformed"], rtp["strangers"], rtp["remote_jitter_ms"], len(told))
                print("RTCP", what)
                self.assertTrustworthy(mediaenc, rtp)
                self.assertIsNotNone(rtp["remote_jitter_ms"], what)
                self.assertTrue(told, what)

    def test_in_clear_the_same_look_finds_it(self) -> None:
        """So that the test above means something."""
        self.policy("optional")
        said = np.concatenate((self.voice, np.zeros(4000)))
        plain = PCMU().encode((np.round(said * 32767)).astype("<i2").tobytes())
        capture = Capture(self.platform)
        telephone = self.telephone("", "udp", said)
        telephone.dial("echo")
        telephone.wait("CALL_CLOSED")
        capture.stop()
        wire = self.payloads(capture)
        found = [at for at in range(0, len(self.voice), FRAME) if any(plain[at : at + 32] in data for data in wire)]
        self.assertGreater(len(found), 20)
        self.assertEqual(self.newest()["secured"], "")

    def test_keys_pressed(self) -> None:
        self.policy("optional")
        self.platform.command("trunks", "set", "acme", "--pbx-domain", f"127.0.0.1:{self.platform.sip}")
        for mediaenc in ("srtp", "dtls_srtp"):
            telephone = self.telephone(mediaenc)
            telephone.dial("alex")
            telephone.wait("CALL_ESTABLISHED")
            for _ in range(2):
                time.sleep(1.5)
                telephone.press("1")
            time.sleep(2)
            telephone.command("hangup")
            telephone.wait("CALL_CLOSED")
            alex = next(row for row in self.platform.calls("--limit", "5") if row["did"] == "alex")
            kinds = [event["kind"] for event in self.platform.call(alex["id"])["events"]]
            self.assertIn("transfer", kinds, mediaenc)

    def test_what_is_refused(self) -> None:
        for mediaenc, policy, why in (
            ("srtp-mand", "off", "audio only over RTP/SAVP, and SRTP is off"),
            ("", "required", "SRTP is required"),
        ):
            self.policy(policy)
            telephone = self.telephone(mediaenc)
            telephone.dial("echo")
            telephone.wait("CALL_CLOSED")
            row = self.newest()
            self.assertEqual((row["disposition"], row["status"], row["cause"]), ("refused", 488, why))

    def test_no_key_is_kept(self) -> None:
        self.policy("optional")
        telephone = self.telephone("srtp", "udp", np.concatenate((self.voice[:8000], np.zeros(2000))))
        telephone.dial("echo")
        telephone.wait("CALL_CLOSED")
        row = self.newest()
        time.sleep(3)
        trace = self.platform.command("calls", "trace", row["id"], "--messages")
        self.assertIn("a=crypto:1 AES_CM_128_HMAC_SHA1_80 inline:****", trace)
        self.assertNotRegex(trace, r"inline:(?!\*{40})")
        self.assertNotIn("inline", self.platform.logged())
        self.assertIn("SRTP keys of its calls went over UDP or TCP", self.platform.command("trunks"))


@needs("linphonec", "tshark")
class Linphones(TestCase):
    def setUp(self) -> None:
        self.platform = Platform("27900-27990")
        self.addCleanup(self.platform.remove)
        self.platform.start()
        self.platform.command("trunks", "set", "acme", "--srtp", "required")
        time.sleep(1.5)

    def test_the_echo_and_a_hold(self) -> None:
        said = voice(3)
        for encryption, transport in (("srtp", "udp"), ("srtp", "tls"), ("dtls", "udp")):
            telephone = Linphone(self.platform, transport, said, encryption)
            self.addCleanup(telephone.close)
            telephone.dial("echo")
            telephone.wait("Media streams established")
            time.sleep(4.0)
            telephone.command("pause")
            telephone.wait("is now paused")
            telephone.command("resume 1")
            telephone.wait("Media streams established", times=2)
            time.sleep(2.0)
            telephone.command("terminate")
            telephone.wait("ended")
            likeness, delay_ms = compare(said, telephone.heard())
            time.sleep(1.0)
            [row] = self.platform.calls("--limit", "1")
            print(
                f"linphone, {encryption} over {transport}: {row['secured']}, correlation {likeness:.3f}, delay {delay_ms:.0f} ms"
            )
            self.assertGreater(likeness, 0.8)
            self.assertEqual(
                (row["disposition"], row["secured"].split()[0]), ("completed", {"srtp": "sdes"}.get(encryption, "dtls"))
            )
            kinds = [event["kind"] for event in self.platform.call(row["id"])["events"]]
            self.assertEqual([kind for kind in kinds if kind in ("secured", "hold", "media")], ["secured", "hold", "media"])
            self.assertEqual(row["rtp"]["forged"], 0)


@needs("openssl")
class Openssl(TestCase):
    """The keys of a handshake by another hand."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-openssl-"))
        self.addCleanup(shutil.rmtree, self.folder)
        made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=x"]
        made += ["-keyout", str(self.folder / "key.pem"), "-out", str(self.folder / "cert.pem")]
        subprocess.run(made, check=True, capture_output=True, timeout=60)
        certificate = x509.load_pem_x509_certificate((self.folder / "cert.pem").read_bytes())
        self.proof = (("sha-256", certificate.fingerprint(SHA256())),)
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.addCleanup(self.socket.close)
        self.socket.bind(("127.0.0.1", 0))
        self.socket.settimeout(0.3)

    def shaken(self, active: bool, profile: str) -> tuple[DtlsEndpoint, str]:
        """Our end, and what openssl says of its own."""
        endpoint = DtlsEndpoint(Identity("node").context, DtlsPeer(active, self.proof))
        there = ("127.0.0.1", free_port()) if active else self.socket.getsockname()
        role = (
            ["s_server", "-port", str(there[1]), "-verify", "1"] if active else ["s_client", "-connect", f"127.0.0.1:{there[1]}"]
        )
        command = ["openssl", *role, "-dtls1_2", "-cert", str(self.folder / "cert.pem"), "-key", str(self.folder / "key.pem")]
        command += ["-use_srtp", profile, "-keymatexport", dtls.LABEL.decode(), "-keymatexportlen", "56"]
        with (self.folder / "output").open("wb") as output:
            process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=output, stderr=subprocess.STDOUT)
        self.addCleanup(process.communicate)
        self.addCleanup(process.kill)
        flight = endpoint.start()
        for _ in range(100):
            for datagram in flight if active else ():
                self.socket.sendto(datagram, there)
            try:
                data, address = self.socket.recvfrom(4096)
            except (TimeoutError, ConnectionRefusedError):
                time.sleep(0.05)
                if endpoint.keys is not None:
                    break
                continue
            flight = endpoint.received(data)
            for datagram in flight if not active else ():
                self.socket.sendto(datagram, address)
        return endpoint, (self.folder / "output").read_text(errors="replace")

    def test_the_exported_keys_are_the_same(self) -> None:
        for active in (True, False):
            endpoint, said = self.shaken(active, "SRTP_AEAD_AES_128_GCM")
            assert endpoint.keys is not None, (endpoint.failed, said)
            found = re.search(r"Keying material: ([0-9A-F]{112})", said)
            assert found is not None, said
            material = bytes.fromhex(found[1])
            client, server = material[:16] + material[32:44], material[16:32] + material[44:]
            ours, theirs = (client, server) if active else (server, client)
            self.assertEqual((endpoint.keys.sending, endpoint.keys.receiving), (ours, theirs))
            self.assertEqual(endpoint.keys.suite, "AEAD_AES_128_GCM")
