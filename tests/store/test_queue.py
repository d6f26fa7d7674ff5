"""The journal's queue in whatever order of things: each event comes out once, in its place, unless no disk had room for it."""

from __future__ import annotations

import os
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any
from unittest import TestCase, mock

from hypothesis import given
from hypothesis import strategies as st

from smartalex.interfaces import CallEvent
from smartalex.store.journal import Journal

WRITE = os.write
STEPS = st.sampled_from(("record", "record", "full", "short", "take", "rotate"))


def full(file: int, data: bytes) -> int:
    raise OSError(28, "No space left on device")


def short(file: int, data: bytes) -> int:
    return WRITE(file, data[: len(data) // 2])


DISKS: dict[str, Any] = {"record": WRITE, "full": full, "short": short}


class Queued:
    def __init__(self, folder: Path, in_memory: int) -> None:
        self.journal = Journal(folder, "node.1", in_memory=in_memory)
        self.journal.start()
        self.expected: list[int] = []
        self.taken: list[int] = []
        self.number = 0

    def step(self, step: str) -> None:
        if step == "take":
            self.take()
        elif step == "rotate":
            self.journal.rotate()
        else:
            self.record(DISKS[step])

    def record(self, disk: Any) -> None:
        self.number += 1
        lost = self.journal.lost
        with mock.patch("smartalex.store.journal.os.write", disk):
            self.journal.record(CallEvent("A", self.number, 1.0, "said", {}, {"text": "x" * (self.number % 7)}))
        if self.journal.lost == lost:
            self.expected.append(self.number)

    def take(self, limit: int = 2) -> bool:
        first = self.journal.first(limit)
        if first is None:
            return False
        events, left = (first, None) if isinstance(first, list) else first.read(limit)
        self.record(WRITE)  # while it was on its way
        self.journal.settled(first, left)
        self.taken += [event.seq for event in events]
        return True

    def drain(self) -> None:
        while (first := self.journal.first(3)) is not None:
            events, left = (first, None) if isinstance(first, list) else first.read(3)
            self.journal.settled(first, left)
            self.taken += [event.seq for event in events]


class Queue(TestCase):
    @given(st.lists(STEPS, max_size=60), st.integers(0, 6))
    def test_each_event_once_and_in_order(self, steps: list[str], in_memory: int) -> None:
        with TemporaryDirectory(prefix="smartalex-test-") as name:
            queued = Queued(Path(name), in_memory)
            for step in steps:
                queued.step(step)
                self.assertEqual(len(queued.journal), len(queued.expected) - len(queued.taken))
            queued.drain()
            self.assertEqual(queued.taken, queued.expected)
            queued.journal.rotate()
            self.assertEqual(len(list(Path(name).iterdir())), 1)
            queued.journal.close()

    @given(st.lists(st.sampled_from(("record", "short", "take", "rotate")), max_size=60), st.integers(0, 6))
    def test_after_a_restart_at_least_what_was_not_taken(self, steps: list[str], in_memory: int) -> None:
        with TemporaryDirectory(prefix="smartalex-test-") as name:
            queued = Queued(Path(name), in_memory)
            torn = set()
            for step in steps:
                queued.step(step)
                torn |= {queued.number} if step == "short" else set()
            queued.journal.close()
            later = Queued(Path(name), in_memory)
            later.drain()
            self.assertLessEqual(set(queued.expected) - set(queued.taken) - torn, set(later.taken))
            self.assertEqual(later.taken, sorted(later.taken))
            self.assertEqual((len(later.journal), len(list(Path(name).iterdir()))), (0, 1))
            later.journal.close()
