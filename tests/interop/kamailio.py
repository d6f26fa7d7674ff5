"""Kamailio as a PBX that extensions register at, one password for all, or as whatever its `routes` make of it."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from tests.interop.platform import free_port

ADDRESS = "127.0.0.6"
PASSWORD = "s3cret-of-300"
PATIENCE_S = 30.0
MODULES = ("tm", "sl", "pv", "textops", "siputils", "usrloc", "registrar", "auth", "ctl")
CONFIG = """\
#!KAMAILIO
debug=1
log_stderror=yes
children=1
tcp_children=1
auto_aliases=no
listen=udp:{address}:{port}
listen=tcp:{address}:{port}
tcp_source_ipv4={address}
{modules}
modparam("usrloc", "db_mode", 0)
modparam("usrloc", "timer_interval", 1)
modparam("registrar", "max_expires", {expires_s})
modparam("ctl", "binrpc", "unix:{folder}/ctl")
{routes}
"""
REGISTRAR = f"""\
request_route {{
    if (is_method("REGISTER")) {{
        if (!pv_www_authenticate("pbx", "{PASSWORD}", "0")) {{ www_challenge("pbx", "1"); exit; }}
        save("location");
        exit;
    }}
    if (!has_totag() && is_method("INVITE") && !lookup("location")) {{ sl_send_reply("404", "Not Found"); exit; }}
    t_relay();
}}
"""
"""Calls go to whoever is registered."""


class Kamailio:
    """`address` is 127.0.0.6:PORT, for UDP and TCP; a registration lasts `expires_s` at most."""

    def __init__(self, expires_s: int = 600, routes: str = REGISTRAR, more_modules: Sequence[str] = ()) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-kamailio-"))
        port = free_port(ADDRESS)
        self.address = f"{ADDRESS}:{port}"
        modules = "\n".join(f'loadmodule "{name}.so"' for name in (*MODULES, *more_modules))
        config = CONFIG.format(
            address=ADDRESS, port=port, modules=modules, folder=self.folder, expires_s=expires_s, routes=routes
        )
        (self.folder / "kamailio.cfg").write_text(config)
        self.log = (self.folder / "log").open("wb")
        command = [
            "kamailio",
            "-f",
            str(self.folder / "kamailio.cfg"),
            "-DD",
            "-E",
            "-m",
            "32",
            "-M",
            "4",
            "-w",
            str(self.folder),
        ]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        self.until(lambda: (self.folder / "ctl").exists() and not self._dump().returncode)

    def contacts(self) -> list[str]:
        """The addresses that are registered now."""
        lines = self._dump().stdout.splitlines()
        return [line.split(":", 1)[1].strip() for line in lines if line.strip().startswith("Address:")]

    def sequence(self) -> int:
        """CSeq of the last REGISTER, 0 without any."""
        found = [int(line.split(":")[1]) for line in self._dump().stdout.splitlines() if line.strip().startswith("CSeq:")]
        return max(found, default=0)

    def until(self, condition: object) -> None:
        """AssertionError with its log when this never is so."""
        assert callable(condition)
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline or self.process.poll() is not None:
                raise AssertionError(f"{self._dump().stdout}\n{(self.folder / 'log').read_text(errors='replace')[-4000:]}")
            time.sleep(0.05)

    def _dump(self) -> subprocess.CompletedProcess[str]:
        command = ["kamcmd", "-s", f"unix:{self.folder}/ctl", "ul.dump"]
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)

    def close(self) -> None:
        """Its main process ends the others."""
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
