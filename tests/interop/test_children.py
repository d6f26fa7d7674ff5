"""The recogniser or the voice dies in the middle of a call: the caller is spoken to, and the call goes on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from unittest import TestCase

import numpy as np

from tests.interop import voice
from tests.interop.platform import ROOT, Platform

LOUD = 0.01
"""Of full scale: speech, and no comfort noise."""


class Deaths(TestCase):
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform("28000-28900").start()
        cls.addClassCleanup(cls.platform.remove)

    def child(self, module: str) -> int:
        """Its process id."""
        parent = f"PPid:\t{self.platform.process.pid}\n"
        wanted = f"smartalex.ai.receptionist.{module}".encode()
        for entry in Path("/proc").glob("[0-9]*"):
            try:
                if wanted in (entry / "cmdline").read_bytes().split(b"\0") and parent in (entry / "status").read_text():
                    return int(entry.name)
            except OSError:
                continue  # it ended while we looked
        raise AssertionError(f"no {module}")

    def test_a_call_in_which_they_die_one_after_the_other_and_together(self) -> None:
        """They stop working when the agent has asked something, and die when the caller has answered."""
        heard = self.platform.folder / "heard.wav"
        command = [sys.executable, "-u", "-m", "smartalex.cli.main", "call", f"sip:alex@{self.platform.address}",
                   "--state", str(self.platform.state), "--record", str(heard), "--max-seconds", "60",
                   "--say", "sales", "--say", "sales", "--say", "yes"]  # fmt: skip
        phone = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)})
        self.addCleanup(phone.wait)
        self.addCleanup(phone.kill)
        assert phone.stdout is not None
        deaths = iter((("asr_worker",), ("tts_worker",), ("asr_worker", "tts_worker")))
        killed = []
        victims: list[int] = []
        for line in phone.stdout:
            who = line.split()[2:3]
            if who == ["agent"] and not victims and len(killed) < 3:  # it may ask twice
                victims = [self.child(module) for module in next(deaths)]
                self.signal(victims, signal.SIGSTOP)
            elif who == ["caller"]:
                time.sleep(1.5)  # the word, and the silence after it
                self.signal(victims, signal.SIGKILL)
                killed.append(time.time())
                victims = []
        record = self.platform.call(self.platform.calls("--limit", "1")[0]["id"])
        self.assertEqual((record["disposition"], record["transferred_to"], len(killed)), ("transferred", "200", 3), record)
        loud = record["answered_at"] + np.flatnonzero(np.abs(voice.read(heard)[1::2]) > LOUD) / 8000
        for death, following in zip(killed, [*killed[1:], record["ended_at"]], strict=True):
            spoken = loud[(loud > death) & (loud < following)]
            self.assertGreater(len(spoken), 0, record)
            print(f"the agent is heard {spoken[0] - death:.2f} s after the death")

    def signal(self, processes: list[int], number: int) -> None:
        for process in processes:
            os.kill(process, number)
