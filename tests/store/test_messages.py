"""Messages: a WAV and a row, or nothing at all."""

from pathlib import Path
from typing import Any

from twisted.internet.defer import Deferred
from zope.interface.verify import verifyObject

from smartalex.interfaces import CallEvent, IMessageBox, IMessageWriter
from smartalex.media.wav import read_wav
from smartalex.store.messages import BLOCK, MessageBox
from tests.store.stores import StoreCase, at_once, on_both

SECOND = b"\x10\x20" * 8000


@on_both
class Messages(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.place = self.folder / "messages"
        self.place.mkdir()
        self.box = MessageBox(self.place, self.record, at_once, lambda: 1234.5)

    def record(self, event: CallEvent) -> None:
        self.repository.records.apply([event])

    def files(self) -> list[Path]:
        return list(self.place.iterdir())

    def test_they_provide_their_interfaces(self) -> None:
        self.assertTrue(verifyObject(IMessageBox, self.box))
        self.assertTrue(verifyObject(IMessageWriter, self.box.open("c1", "+1555")))

    def test_a_message_is_a_wav_and_a_row(self) -> None:
        writer = self.box.open("c1", "+1555")
        for _ in range(100):
            writer.write(SECOND[:320])
        writer.write(b"\x01\x00")
        self.assertEqual(self.successResultOf(writer.commit(2000, "sarah", "Sarah Mitchell")), "c1")
        [row] = self.repository.records.messages()
        wanted = {"id": "c1", "call": "c1", "at": 1234.5, "caller": "+1555", "for_id": "sarah", "for_name": "Sarah Mitchell"}
        self.assertEqual(row, {**wanted, "duration_ms": 2000, "path": str(self.place / "c1.wav")})
        wav = read_wav(row["path"])
        self.assertEqual((wav.pcm, wav.rate, wav.channels), (SECOND * 2 + b"\x01\x00", 8000, 1))

    def test_while_it_is_recorded_all_but_the_last_second_can_be_read(self) -> None:
        writer = self.box.open("c1", "")
        for _ in range(50 * 3 + 25):
            writer.write(SECOND[:320])
        self.assertEqual(len(read_wav(self.place / "c1.wav").pcm), 3 * BLOCK)

    def test_abandon_leaves_nothing(self) -> None:
        for seconds in (0, 0.5, 3):
            writer = self.box.open("c1", "")
            writer.write(SECOND * int(seconds * 2))
            writer.abandon()
            self.assertEqual((self.files(), self.repository.records.messages()), ([], []), seconds)

    def test_a_disk_that_fails_fails_the_commit(self) -> None:
        self.place.rmdir()
        writer = self.box.open("c1", "")
        writer.write(SECOND)
        self.failureResultOf(writer.commit(1000, "", ""), OSError)
        self.assertEqual(self.repository.records.messages(), [])

    def test_after_a_failure_abandon_is_quiet(self) -> None:
        self.place.rmdir()
        writer = self.box.open("c1", "")
        writer.write(SECOND)
        writer.abandon()
        self.assertEqual(self.repository.records.messages(), [])

    def test_a_slow_disk_gets_the_pieces_in_order(self) -> None:
        jobs: list[tuple[Deferred[Any], tuple[Any, ...]]] = []

        def slow(*job: Any) -> Deferred[Any]:
            jobs.append((Deferred(), job))
            return jobs[-1][0]

        self.box.defer = slow
        writer = self.box.open("c1", "")
        for letter in b"abc":
            writer.write(bytes([letter]) * BLOCK)
        committed = writer.commit(3000, "", "")
        while jobs:
            done, (function, *arguments) = jobs.pop(0)
            done.callback(function(*arguments))
        self.successResultOf(committed)
        self.assertEqual(read_wav(self.place / "c1.wav").pcm, b"a" * BLOCK + b"b" * BLOCK + b"c" * BLOCK)
