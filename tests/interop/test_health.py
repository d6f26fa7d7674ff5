"""One platform's PBX is another platform: `smartalex trunks` and the metrics say whether it is there."""

from __future__ import annotations

import json
import time
from unittest import TestCase

from tests.interop.platform import Platform


class Neighbours(TestCase):
    def heard(self, platform: Platform, state: str) -> dict[str, object]:
        deadline = time.monotonic() + 90
        while time.monotonic() < deadline:
            for line in platform.command("trunks", "--json").splitlines():
                row = json.loads(line)
                if row["trunk"] == "office" and row["pbx"] and row["pbx"]["state"] == state:
                    found: dict[str, object] = row["pbx"]
                    return found
            time.sleep(0.5)
        raise AssertionError(f"never {state}: {platform.command('trunks')}")

    def test_up_and_down(self) -> None:
        pbx = Platform("29000-29100").start()
        self.addCleanup(pbx.remove)
        platform = Platform("29200-29300", config="[sip]\noptions_interval_s = 1.0\n").start()
        self.addCleanup(platform.remove)
        platform.command("trunks", "add", "office", "--pbx-domain", f"127.0.0.1:{pbx.sip}")
        self.assertLess(self.heard(platform, "up")["latency_ms"], 1000)
        self.assertEqual(platform.metrics()['smartalex_trunk_up{label="office"}'], 1.0)
        self.assertRegex(platform.command("trunks"), r"office .* up, [0-9.]+ ms")
        pbx.kill()
        self.assertIn(self.heard(platform, "down")["detail"], ("no answer", "cannot be reached"))
