"""Records on disk first: nothing accepted is lost or doubled, and a database in trouble holds nobody up."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from sqlalchemy import event, func, select
from sqlalchemy.exc import OperationalError
from twisted.internet.defer import Deferred, fail
from twisted.internet.task import Clock
from twisted.logger import formatEvent, globalLogPublisher
from zope.interface.verify import verifyObject

from smartalex.counters import Counters
from smartalex.interfaces import CallEvent, IRecordSink
from smartalex.store import schema
from smartalex.store.journal import Journal, leftovers
from smartalex.store.presence import Presence
from smartalex.store.records import BESIDE
from smartalex.store.writer import FLUSH_S, REFUSED, JournalWriter
from tests.store.stores import StoreCase, at_once, call, on_both

ROOT = Path(__file__).resolve().parent.parent.parent


class JournalCase(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.lines = self.folder / "journal"
        self.lines.mkdir()
        self.clock, self.counters = Clock(), Counters()
        self.defer: Callable[..., Deferred[Any]] = at_once
        self.runs, self.in_memory, self.budget_s = 0, 1000, 60.0

    def start(self) -> JournalWriter:
        """What a start of the service does; the writer's journal then takes records."""
        self.runs += 1
        journal = Journal(self.lines, f"node.{self.runs}", self.clock.seconds, self.in_memory)
        self.addCleanup(journal.close)
        presence = Presence(self.repository.engine, f"node.{self.runs}", 60.0)
        self.cut = 0

        def caught_up() -> None:
            self.cut += presence.begin(5000.0)

        writer = JournalWriter(journal, self.repository.records, self.run_job, self.clock, self.counters, caught_up)
        writer.start(self.budget_s)
        return writer

    def run_job(self, *job: Any) -> Deferred[Any]:
        return self.defer(*job)

    def record(self, writer: JournalWriter, events: Sequence[CallEvent]) -> None:
        for each in events:
            writer.journal.record(each)

    def listen(self) -> list[str]:
        """What the log is told from now on."""
        said: list[str] = []

        def observe(told: Any) -> None:
            said.append(formatEvent(told))

        globalLogPublisher.addObserver(observe)
        self.addCleanup(globalLogPublisher.removeObserver, observe)
        return said

    def stored(self) -> dict[str, str]:
        return {row["id"]: row["disposition"] for row in self.repository.records.calls(10_000)}

    def events(self) -> int:
        with self.repository.engine.connect() as connection:
            return int(connection.execute(select(func.count()).select_from(schema.call_event)).scalar_one())

    def files(self) -> list[Path]:
        return sorted(self.lines.iterdir())


class Files(JournalCase):
    def test_it_provides_its_interface(self) -> None:
        self.assertTrue(verifyObject(IRecordSink, Journal(self.lines)))

    def test_an_event_is_on_disk_when_record_returns(self) -> None:
        writer = self.start()
        events = call("A", caller="Zoë \u2028 \U0001f600")
        self.record(writer, events)
        self.assertEqual([(e.call, e.seq, e.data) for e in leftovers(self.lines)], [(e.call, e.seq, e.data) for e in events])
        self.assertEqual(leftovers(self.lines)[0].fields, {**events[0].fields, "run": "node.1"})

    def test_only_its_owner_may_read_it(self) -> None:
        self.start()
        self.assertEqual([path.stat().st_mode & 0o777 for path in self.files()], [0o600])

    def test_a_torn_last_line_is_passed_over(self) -> None:
        writer = self.start()
        self.record(writer, call("A"))
        path = self.files()[0]
        whole = path.read_bytes()
        last = len(whole.splitlines()[-1]) + 1
        for missing in range(2, last + 1):
            path.write_bytes(whole[:-missing])
            self.assertEqual([e.seq for e in leftovers(self.lines)], [0, 1], missing)

    def test_a_write_cut_short_by_a_full_disk_spoils_no_other_line(self) -> None:
        writer = self.start()
        real, writes = os.write, [0]

        def full(file: int, data: bytes) -> int:
            writes[0] += 1
            return real(file, data[:20] if writes[0] == 2 else data)

        self.patch(os, "write", full)
        self.record(writer, call("A"))
        self.assertEqual([e.seq for e in leftovers(self.lines)], [0, 2])
        self.clock.advance(FLUSH_S)
        self.assertEqual((self.events(), self.stored()), (3, {"A": "completed"}))

    def test_a_disk_that_takes_nothing_stops_no_call(self) -> None:
        writer = self.start()

        def gone(file: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        said = self.listen()
        self.patch(os, "write", gone)
        self.record(writer, call("A") + call("B"))
        self.clock.advance(FLUSH_S)
        self.assertEqual(self.stored(), {"A": "completed", "B": "completed"})
        wanted = "records cannot be written to the journal ([Errno 28] No space left on device); {} wait in memory, 0 are lost"
        self.assertEqual(said, [wanted.format(0)])
        self.clock.advance(60)
        self.record(writer, call("C") + call("D"))
        self.assertEqual(said[1:], [wanted.format(0)], "once a minute")

    def test_what_json_has_no_word_for_is_written_as_text(self) -> None:
        writer = self.start()
        first = call("A")[0]
        self.record(writer, [first, CallEvent("A", 1, 1.0, "tool", {}, {"odd": {1}, "error": ValueError("x"), (1, 2): 3})])
        self.clock.advance(FLUSH_S)
        found = self.repository.records.call("A")
        assert found is not None
        self.assertEqual((found["events"][1]["odd"], found["events"][1]["error"]), ("{1}", "x"))

    def test_text_that_is_no_utf8_stops_nothing(self) -> None:
        writer = self.start()
        self.record(writer, call("A", caller="caf\udce9"))
        self.clock.advance(FLUSH_S)
        self.assertEqual(self.stored(), {"A": "completed"})


@on_both
class Replay(JournalCase):
    def test_what_was_not_in_the_database_is_after_a_restart(self) -> None:
        self.record(self.start(), call("A") + call("B", end=False))
        self.assertEqual(self.stored(), {})
        self.start()
        self.assertEqual((self.stored(), self.cut), ({"A": "completed", "B": "interrupted"}, 1))

    def test_twice_changes_nothing(self) -> None:
        writer = self.start()
        self.record(writer, call("A") + call("B"))
        self.clock.advance(FLUSH_S)
        before = self.repository.records.calls(), self.events()
        left = leftovers(self.lines)
        self.assertEqual(len(left), 6)
        self.repository.records.apply(left)
        self.repository.records.apply(left)
        self.start()
        self.assertEqual((self.repository.records.calls(), self.events()), before)

    def test_messages_wait_as_records_do(self) -> None:
        row = {"id": "A", "call": "A", "at": 1.5, "caller": "+1", "for_id": "", "for_name": "", "duration_ms": 9, "path": "/a"}
        self.record(self.start(), [*call("A"), CallEvent("A", BESIDE, 1.5, "message", row)])
        for _ in range(2):
            self.start()
            self.assertEqual((self.repository.records.messages(), self.events()), ([row], 3))

    def test_an_interrupted_call_stays_so(self) -> None:
        self.record(self.start(), call("A", end=False))
        self.start()
        self.start()
        self.assertEqual((self.stored(), self.cut), ({"A": "interrupted"}, 0))
        self.assertEqual(self.repository.records.calls()[0]["ended_at"], 5000.0)

    def test_files_whose_events_are_stored_are_deleted(self) -> None:
        self.record(self.start(), call("A"))
        self.start()
        self.assertEqual([path.stat().st_size for path in self.files()], [0])

    def test_a_long_day_does_not_fill_the_disk(self) -> None:
        writer = self.start()
        writer.rotate_after = 10
        for number in range(20):
            self.record(writer, call(f"A{number}"))
            self.clock.advance(FLUSH_S)
        self.assertEqual(len(self.files()), 1)
        self.assertLess(len(leftovers(self.lines)), 13)
        self.assertEqual(len(self.stored()), 20)

    def test_nor_does_a_busy_one(self) -> None:
        """There is always something that waits."""
        waiting: list[tuple[Deferred[Any], tuple[Any, ...]]] = []
        writer = self.start()
        writer.rotate_after = 10
        self.defer = lambda *job: waiting.append((Deferred(), job)) or waiting[-1][0]  # type: ignore[func-returns-value]
        self.record(writer, call("A"))
        for number in range(20):
            self.clock.advance(FLUSH_S)
            self.record(writer, call(f"A{number}"))
            done, (function, *arguments) = waiting.pop()
            done.callback(function(*arguments))
        self.assertGreater(len(writer.journal), 0)
        self.assertLess(len(leftovers(self.lines)), 26)
        self.assertLess(writer.journal.size, 10_000)


class Trouble(JournalCase):
    def test_a_slow_database_holds_up_nobody(self) -> None:
        jobs: list[tuple[Deferred[Any], tuple[Any, ...]]] = []

        def slow(*job: Any) -> Deferred[Any]:
            jobs.append((Deferred(), job))
            return jobs[-1][0]

        writer = self.start()
        self.defer = slow
        self.record(writer, call("A"))
        self.clock.advance(FLUSH_S)
        self.record(writer, call("B"))
        self.clock.advance(60)
        self.assertEqual(len(jobs), 1, "one transaction at a time")
        while jobs:
            done, (function, *arguments) = jobs.pop(0)
            done.callback(function(*arguments))
            self.clock.advance(FLUSH_S)
        self.assertEqual(self.stored(), {"A": "completed", "B": "completed"})

    def test_a_locked_database_is_tried_again_and_then_has_everything_once(self) -> None:
        writer = self.start()
        self.repository.engine.dispose()
        locker = sqlite3.connect(self.folder / "smartalex.db", isolation_level=None)
        self.addCleanup(locker.close)
        locker.execute("BEGIN IMMEDIATE")
        self.impatient()
        said = self.listen()
        for number in range(4):
            self.record(writer, call(f"A{number}"))
            self.clock.advance(1)
        self.assertEqual(self.stored(), {})
        self.assertEqual([line.split(":")[0] for line in said], ["records wait on disk, the database does not take them"])
        self.assertGreater(self.counters.values["store.flush_failed", ""], 1)
        locker.execute("ROLLBACK")
        self.clock.advance(5)
        self.assertEqual((len(self.stored()), self.events()), (4, 12))
        self.assertEqual(said[1:], ["the database takes records again"])
        self.assertEqual(len(writer.journal), 0)

    def impatient(self) -> None:
        """Connections from now on do not wait for a lock."""
        event.listen(self.repository.engine, "connect", lambda connection, _: connection.execute("PRAGMA busy_timeout=0"))

    def test_stop_writes_what_is_pending(self) -> None:
        writer = self.start()
        self.record(writer, call("A"))
        self.successResultOf(writer.stop())
        self.assertEqual((self.stored(), self.clock.getDelayedCalls()), ({"A": "completed"}, []))

    def test_stop_waits_for_the_transaction_in_progress(self) -> None:
        waiting: list[Deferred[Any]] = []
        writer = self.start()
        self.record(writer, call("A"))
        self.defer = lambda *job: waiting.append(Deferred()) or waiting[-1]  # type: ignore[func-returns-value]
        self.clock.advance(FLUSH_S)
        stopped = writer.stop()
        self.assertNoResult(stopped)
        self.defer = at_once
        waiting[0].callback(None)
        self.successResultOf(stopped)

    def test_what_cannot_be_written_at_the_stop_waits_in_the_journal(self) -> None:
        def broken(*job: Any) -> Deferred[Any]:
            return at_once(lambda: 1 / 0)

        writer = self.start()
        self.defer = broken
        self.record(writer, call("A"))
        self.successResultOf(writer.stop())
        self.assertEqual(self.stored(), {})
        self.defer = at_once
        self.start()
        self.assertEqual(self.stored(), {"A": "completed"})


@on_both
class Long(JournalCase):
    """The database is away for longer than memory lasts."""

    def setUp(self) -> None:
        super().setUp()
        self.in_memory = 5

    def away(self, *job: Any) -> Deferred[Any]:
        return fail(OperationalError("", None, Exception("gone")))

    def until_written(self, writer: JournalWriter) -> None:
        while len(writer.journal):
            self.clock.advance(5)

    def test_what_memory_has_no_room_for_is_read_from_disk_again(self) -> None:
        writer = self.start()
        self.defer = self.away
        for number in range(10):
            self.record(writer, call(f"A{number}"))
            self.clock.advance(1)
        self.assertEqual(len(writer.journal), 30)
        self.defer = at_once
        self.until_written(writer)
        self.assertEqual((len(self.stored()), self.events(), writer.journal.lost), (10, 30, 0))
        self.record(writer, call("B"))
        self.until_written(writer)
        self.assertEqual(self.stored()["B"], "completed")

    def test_calls_that_go_on_while_it_is_read_keep_their_order(self) -> None:
        """One event after the other of many calls, some of them while what was before is on its way."""
        writer = self.start()
        stories = [call(f"A{number}", codec=str(number)) for number in range(20)]
        jobs: list[tuple[Deferred[Any], tuple[Any, ...]]] = []

        def slow(*job: Any) -> Deferred[Any]:
            jobs.append((Deferred(), job))
            return jobs[-1][0]

        self.defer = slow
        for seq in range(3):
            for story in stories:
                self.record(writer, [story[seq]])
                self.clock.advance(FLUSH_S)
                if jobs and len(story[0].call) == 3:
                    done, (function, *arguments) = jobs.pop()
                    done.callback(function(*arguments))
        self.defer = at_once
        for done, (function, *arguments) in jobs:
            done.callback(function(*arguments))
        self.until_written(writer)
        self.assertEqual((self.events(), set(self.stored().values())), (60, {"completed"}))

    def test_disk_and_memory_full(self) -> None:
        """What there is no room for is counted, and what there was is kept."""
        writer = self.start()
        self.defer = self.away

        def full(file: int, data: bytes) -> int:
            raise OSError(28, "No space left on device")

        said = self.listen()
        with self.subTest("full"):
            patch = self.patch(os, "write", full)
            self.record(writer, [*call("A"), *call("B"), *call("C")])
            patch.restore()
        self.assertEqual((len(writer.journal), writer.journal.lost), (5, 4))
        self.assertIn("records cannot be written to the journal ([Errno 28] No space left on device); 0 wait in memory", said[0])
        self.record(writer, call("D"))
        self.defer = at_once
        self.until_written(writer)
        self.assertEqual(self.stored(), {"A": "completed", "B": "", "D": "completed"})

    def test_a_start_with_much_to_do_does_it_beside_the_calls(self) -> None:
        writer = self.start()
        self.defer = self.away
        for number in range(3):
            self.record(writer, call(f"A{number}", end=number > 0))
        self.defer, self.budget_s = at_once, 0.0
        later = self.start()
        self.assertEqual((self.stored(), len(later.journal), self.cut), ({}, 8, 0))
        self.record(later, call("B", end=False))
        self.until_written(later)
        self.assertEqual(self.stored(), {"A0": "interrupted", "A1": "completed", "A2": "completed", "B": ""})
        self.assertEqual((self.cut, self.events(), len(self.files())), (1, 10, 1))

    def test_a_start_while_the_database_is_away_begins_its_run_later(self) -> None:
        self.record(self.start(), call("A", end=False))
        self.defer, self.budget_s = self.away, 0.0
        later = self.start()
        self.clock.advance(60)
        self.assertEqual((self.stored(), self.cut), ({}, 0))
        self.defer = at_once
        self.until_written(later)
        self.clock.advance(5)
        self.assertEqual((self.stored(), self.cut), ({"A": "interrupted"}, 1))

    def test_nor_is_it_forgotten_when_there_is_nothing_to_write(self) -> None:
        self.defer, self.budget_s = self.away, 0.0
        self.start()
        self.defer = at_once
        self.repository.records.apply(call("A", end=False, run="node.0"))
        self.clock.advance(5)
        self.assertEqual((self.stored(), self.cut), ({"A": "interrupted"}, 1))


@on_both
class Refused(JournalCase):
    def test_what_can_never_be_stored_keeps_nothing_else_waiting(self) -> None:
        writer = self.start()
        said = self.listen()
        self.record(writer, call("A") + call("B", status=1 << 70) + call("C"))
        self.clock.advance(FLUSH_S)
        self.assertEqual((self.stored(), len(writer.journal)), ({"A": "completed", "C": "completed"}, 0))
        self.assertEqual(self.counters.values["store.record_refused", ""], 1)
        kept = (self.lines / REFUSED).read_text().splitlines()
        self.assertEqual([(json.loads(line)[0], json.loads(line)[1]) for line in kept], [("B", 0), ("B", 1), ("B", 2)])
        self.assertIn("the database refuses records of call B: ", said[0])
        self.assertEqual(self.start().journal.lost, 0)


class KillNine(JournalCase):
    def test_whatever_was_accepted_is_found_once(self) -> None:
        for after in (1, 3, 7, 20, 50):
            with self.subTest(calls=after):
                accepted = self.killed(after)
                self.start().journal.close()
                found = self.stored()
                self.assertEqual([name for name in accepted if name not in found], [])
                ended = {name: "interrupted" if int(name[4:]) % 2 else "completed" for name in accepted}
                self.assertEqual({name: found[name] for name in accepted}, ended)
                self.wipe()

    def killed(self, after: int) -> list[str]:
        """Calls a child said it had accepted before it was killed, somewhere past the `after`-th."""
        child = subprocess.Popen(
            [sys.executable, "-m", "tests.store.doomed", str(self.folder)],
            stdout=subprocess.PIPE, text=True, cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)},
        )  # fmt: skip
        assert child.stdout is not None
        accepted = [child.stdout.readline().strip() for _ in range(after)]
        child.send_signal(signal.SIGKILL)
        accepted += [line.strip() for line in child.stdout if line.endswith("\n")]
        child.stdout.close()
        self.assertEqual(child.wait(), -signal.SIGKILL)
        return accepted

    def wipe(self) -> None:
        with self.repository.engine.begin() as connection:
            for table in (schema.call, schema.call_event):
                connection.execute(table.delete())
        for path in self.files():
            path.unlink()
