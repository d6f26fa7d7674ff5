"""What other packages add: a vendor's plugins, in a process that has them on its path."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from unittest import TestCase

from smartalex.errors import ConfigurationError
from smartalex.media import seams

VENDOR = Path(__file__).parent / "vendor"
ROOT = Path(__file__).resolve().parents[2]


def with_vendor(code: str) -> object:
    """What `code` assigns to `found`, run where the vendor's package is installed beside ours."""
    path = os.pathsep.join((str(ROOT), str(VENDOR)))
    head = "import json\nfrom smartalex.errors import ConfigurationError\nfrom smartalex.media import seams\n"
    tail = "\nprint(json.dumps(found))\n"
    done = subprocess.run(
        [sys.executable, "-c", head + code + tail],
        env={**os.environ, "PYTHONPATH": path},
        capture_output=True,
        text=True,
        check=True,
    )
    return json.loads(done.stdout)


class AnotherPackage(TestCase):
    def test_its_filter_is_found_by_name_and_given_its_options(self) -> None:
        code = """
found = [list(seams.audio_filters(spec).filter(8000).process(bytes([0, 8, 0, 4]), b'')) for spec in ('halving', 'halving:by=4')]
"""
        self.assertEqual(with_vendor(code), [[0, 4, 0, 2], [0, 2, 0, 1]])

    def test_its_detector_and_its_sink(self) -> None:
        code = """
found = [seams.voice_detectors('parrot').detector(8000).speech(b''), seams.recording_sink('shelf').open('id', 8000).name]
"""
        self.assertEqual(with_vendor(code), [True, "memory"])

    def test_it_is_listed_beside_ours(self) -> None:
        code = "from smartalex.plugins import providers\nfound = sorted(p.name for p in providers('IAudioFilterFactory'))"
        self.assertEqual(with_vendor(code), ["halving", "livekit", "unpacked", "webrtc"])

    def test_what_cannot_be_used_says_why(self) -> None:
        code = """
found = []
for spec in ('unpacked', 'halving:by=x', 'halving:to=2', 'krips'):
    try:
        seams.audio_filters(spec)
    except ConfigurationError as error:
        found.append(str(error))
"""
        absent, value, option, name = with_vendor(code)  # type: ignore[misc]
        self.assertIn("No module named 'vendor_absent' (needs a library nobody has)", absent)
        self.assertIn("could not convert", value)
        self.assertIn("'to'", option)
        self.assertIn("installed are: halving, livekit, unpacked, webrtc", name)


class Ours(TestCase):
    def test_the_same_spec_is_made_once(self) -> None:
        self.assertIs(seams.voice_detectors("webrtc"), seams.voice_detectors("webrtc"))

    def test_an_unknown_name(self) -> None:
        for find in (seams.voice_detectors, seams.audio_filters, seams.recording_sink):
            self.assertRaises(ConfigurationError, find, "nobody")
