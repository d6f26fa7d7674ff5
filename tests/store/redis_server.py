"""A private Redis for the tests: in a folder of its own, on a free port, ended with them."""

from __future__ import annotations

import shutil
import signal
import subprocess
import tempfile
import time
from pathlib import Path

import redis

from tests.interop.peers import not_run
from tests.interop.platform import free_port

PATIENCE_S = 30.0


class RedisServer:
    """It keeps nothing on disk: who restarts it restarts it empty."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="smartalex-redis-"))
        self.port = free_port()
        self.url = f"redis://127.0.0.1:{self.port}/0"
        self.process: subprocess.Popen[bytes]

    def start(self) -> RedisServer:
        settings = {"port": self.port, "bind": "127.0.0.1", "save": "", "appendonly": "no", "dir": self.folder}
        command = ["redis-server", *(part for name, value in settings.items() for part in (f"--{name}", str(value)))]
        self.process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + PATIENCE_S
        while time.monotonic() < deadline:
            try:
                self.client().ping()
                return self
            except redis.exceptions.ConnectionError:
                time.sleep(0.02)
        raise AssertionError("redis-server did not start")

    def client(self) -> redis.Redis:
        return redis.Redis(port=self.port, decode_responses=True)

    def pause(self) -> None:
        """It takes connections and answers nothing."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        self.process.send_signal(signal.SIGCONT)

    def stop(self) -> None:
        self.process.kill()
        self.process.wait()

    def remove(self) -> None:
        if self.process.poll() is None:
            self.stop()
        shutil.rmtree(self.folder, ignore_errors=True)


def redis_server() -> RedisServer:
    """SkipTest, loudly, where there is none."""
    if shutil.which("redis-server") is None:
        raise not_run("redis-server is missing")
    return RedisServer().start()
