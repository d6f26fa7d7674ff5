"""baresip as a telephone without a sound card: it says a file, writes what it hears, and is told what to do over TCP."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from tests.interop import voice
from tests.interop.platform import Platform, free_port

MODULES = ("g711", "g722", "opus", "aufile", "aubridge", "sndfile", "srtp", "dtls_srtp", "account", "menu", "ctrl_tcp")
CONFIG = """\
sip_listen {address}:{sip}
sip_cafile {certificate}
audio_source aufile,{folder}/caller.wav
audio_player aubridge,x
ausrc_srate {rate}
auplay_srate {rate}
ausrc_channels 1
auplay_channels 1
rtp_ports 40000-48000
snd_path {folder}
ctrl_tcp_listen {address}:{control}
module_path /usr/lib/baresip/modules
"""
PATIENCE_S = 30.0
ADDRESS = "127.0.0.5"


class Baresip:
    """`events` are what it told so far: CALL_ESTABLISHED, CALL_CLOSED, ...; it registers every `register_s`, 0 never.

    `said` is at `rate`, and so is what it `heard`; it asks for packets of `ptime_ms`.
    `mediaenc` is "srtp" (offered), "srtp-mand" or "dtls_srtp"; `mux` offers RTCP on RTP's port.
    With `answers` it takes calls at `address`.
    """

    def __init__(
        self, platform: Platform, transport: str = "udp", said: np.ndarray | None = None, register_s: int = 0,
        *, codecs: str = "PCMU,PCMA", rate: int = voice.RATE, ptime_ms: int = 20, mediaenc: str = "", mux: bool = False,
        answers: bool = False,
    ) -> None:  # fmt: skip
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-baresip-"))
        self.events: list[dict[str, Any]] = []
        self._platform, self._transport = platform, transport
        control, sip = free_port(ADDRESS), free_port(ADDRESS)
        self.address = f"sip:{platform.username}@{ADDRESS}:{sip}"
        voice.write(self.folder / "caller.wav", np.zeros(60 * rate) if said is None else said, rate)
        config = CONFIG.format(address=ADDRESS, rate=rate, sip=sip, control=control, folder=self.folder,
                               certificate=platform.state / "tls.crt")  # fmt: skip
        config += f"rtcp_mux {'yes' if mux else 'no'}\n"
        (self.folder / "config").write_text(config + "".join(f"module {name}.so\n" for name in MODULES))
        port = platform.tls if transport == "tls" else platform.sip
        account = f"<sip:{platform.username}@127.0.0.1:{port};transport={transport}>;regint={register_s}"
        account += f";audio_codecs={codecs};ptime={ptime_ms}" + (f";mediaenc={mediaenc}" if mediaenc else "")
        account += ";answermode=auto" if answers else ""
        login = f";auth_user={platform.username};auth_pass={platform.password}\n"
        (self.folder / "accounts").write_text(account + login)
        (self.folder / "contacts").write_text("")
        self.log = (self.folder / "log").open("wb")
        command = ["baresip", "-f", str(self.folder), "-t", "60"]
        self.process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT, cwd=self.folder
        )
        self._control = self._connected((ADDRESS, control))
        self._unread = b""

    def _connected(self, address: tuple[str, int]) -> socket.socket:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            try:
                return socket.create_connection(address, timeout=PATIENCE_S)
            except OSError:
                if time.monotonic() > deadline or self.process.poll() is not None:
                    raise AssertionError("baresip did not start:\n" + self.logged()) from None
                time.sleep(0.05)

    def dial(self, number: str) -> None:
        port = self._platform.tls if self._transport == "tls" else self._platform.sip
        self.command("dial", f"sip:{number}@127.0.0.1:{port}")

    def command(self, name: str, parameters: str = "") -> None:
        message = json.dumps({"command": name, "params": parameters}).encode()
        self._control.sendall(b"%d:%s," % (len(message), message))

    def press(self, digit: str) -> None:
        """A key, while the call is up."""
        self.command("sndcode", digit)

    def wait(self, kind: str) -> dict[str, Any]:
        """Read on until this has happened; AssertionError with its log when it does not."""
        while not any(event.get("type") == kind for event in self.events):
            self._read()
        return next(event for event in self.events if event.get("type") == kind)

    def _read(self) -> None:
        try:
            data = self._control.recv(65536)
        except TimeoutError:
            data = b""
        if not data:
            raise AssertionError(f"baresip told {self.events}\n{self.logged()}")
        self._unread += data
        while b":" in self._unread:
            size, _, rest = self._unread.partition(b":")
            if len(rest) <= int(size):
                return
            self.events.append(json.loads(rest[: int(size)]))
            self._unread = rest[int(size) + 1 :]

    def logged(self) -> str:
        lines = (self.folder / "log").read_text(errors="replace").splitlines()
        return "\n".join(line for line in lines if line.strip() and "(bit/s)" not in line)

    def heard(self) -> np.ndarray:
        """What came from us, -1..1."""
        [path] = self.folder.glob("dump-*-dec.wav")
        return voice.read(path)

    def close(self) -> None:
        self._control.close()
        self.process.kill()
        self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
