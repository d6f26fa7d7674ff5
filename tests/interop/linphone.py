"""linphonec as a telephone without a sound card: it says a file, writes what it hears, and is told what to do on its terminal."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from pathlib import Path

import numpy as np

from tests.interop import voice
from tests.interop.platform import Platform, free_port

ADDRESS = "127.0.0.8"
PATIENCE_S = 30.0
PORTS = {"udp": "sip_port", "tcp": "sip_tcp_port", "tls": "sip_tls_port"}
ENCRYPTED = "media_encryption={}\nmedia_encryption_mandatory=1"
CONFIG = """\
[sip]
{listens}
bind_address={address}
contact=sip:{username}@{address}
root_ca={certificate}
verify_server_cn=0
guess_hostname=0
use_ipv6=0
ipv6_migration_done=1
auto_net_state_mon=0
{encryption}
[auth_info_0]
username={username}
passwd={password}
realm=smartalex
[rtp]
audio_rtp_port={rtp}
[sound]
echocancellation=0
"""


class Linphone:
    """It logs in as the platform's demo trunk, and asks no certificate for its name: mbed TLS finds no IP address in one.

    `encryption` is "srtp" or "dtls", which it then insists on.
    """

    def __init__(self, platform: Platform, transport: str = "udp", said: np.ndarray | None = None, encryption: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-linphone-"))
        self._platform, self._transport = platform, transport
        (self.folder / ".local/share/linphone").mkdir(parents=True)
        listens = "\n".join(f"{option}={free_port(ADDRESS) if name == transport else 0}" for name, option in PORTS.items())
        config = CONFIG.format(
            listens=listens, address=ADDRESS, username=platform.username, password=platform.password, rtp=free_port(ADDRESS),
            certificate=platform.state / "tls.crt", encryption=ENCRYPTED.format(encryption) if encryption else "",
        )  # fmt: skip
        (self.folder / "config").write_text(config)
        voice.write(self.folder / "said.wav", np.zeros(60 * voice.RATE) if said is None else said)
        self._output = (self.folder / "output").open("wb")
        command = ["linphonec", "-c", str(self.folder / "config"), "-d", "6", "-l", str(self.folder / "log")]
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=self._output, stderr=subprocess.STDOUT, cwd=self.folder, text=True,
            env={**os.environ, "HOME": str(self.folder)},
        )  # fmt: skip
        for line in ("soundcard use files", f"play {self.folder}/said.wav", f"record {self.folder}/heard.wav"):
            self.command(line)

    def dial(self, number: str) -> None:
        port = self._platform.tls if self._transport == "tls" else self._platform.sip
        self.command(f"call sip:{number}@127.0.0.1:{port};transport={self._transport}")

    def command(self, line: str) -> None:
        assert self.process.stdin is not None
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def wait(self, words: str, times: int = 1) -> None:
        """Until it has said so this often; AssertionError with what it said when it does not."""
        deadline = time.monotonic() + PATIENCE_S
        while self.said().count(words) < times:
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"linphonec did not say {words!r}:\n{self.said()}")
            time.sleep(0.02)

    def said(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def heard(self) -> np.ndarray:
        """What came from us, 8 kHz, -1..1; once the call is over."""
        return voice.read(self.folder / "heard.wav")

    def close(self) -> None:
        self.process.kill()
        self.process.wait()
        assert self.process.stdin is not None
        self.process.stdin.close()
        self._output.close()
        shutil.rmtree(self.folder, ignore_errors=True)
