"""Several nodes on one database: nobody marks the calls of a node that is alive, and somebody those of one that is not."""

from __future__ import annotations

from sqlalchemy import select, text, update
from sqlalchemy.exc import SQLAlchemyError

from smartalex.store import schema
from smartalex.store.presence import Presence
from tests.store.stores import StoreCase, call, on_both

DEAD_S = 60.0
NOW = 10_000.0


@on_both
class Nodes(StoreCase):
    def setUp(self) -> None:
        super().setUp()
        self.a, self.b = self.node("a.1"), self.node("b.1")
        self.a.begin(NOW)
        self.b.begin(NOW)
        self.repository.records.apply(call("A", end=False, run="a.1") + call("B", end=False, run="b.1"))

    def node(self, run: str) -> Presence:
        return Presence(self.repository.engine, run, DEAD_S)

    def fates(self) -> dict[str, str]:
        return {row["id"]: row["disposition"] for row in self.repository.records.calls()}

    def silence(self, run: str, seconds: float) -> None:
        """As if it had not been heard of for so long."""
        with self.repository.engine.begin() as connection:
            connection.execute(update(schema.run).where(schema.run.c.id == run).values(seen_at=schema.run.c.seen_at - seconds))

    def test_a_node_that_starts_again_marks_its_own_calls_only(self) -> None:
        self.assertEqual(self.node("a.2").begin(NOW + 5), 1)
        self.assertEqual(self.fates(), {"A": "interrupted", "B": ""})
        row = self.repository.records.calls()[1]
        self.assertEqual((row["id"], row["ended_at"], row["cause"]), ("A", NOW + 5, "the service stopped"))

    def test_also_those_of_a_run_that_the_database_never_heard_of(self) -> None:
        self.repository.records.apply(call("C", end=False, run="a.0") + call("D", end=False, run="ab.1"))
        self.node("a.2").begin(NOW)
        self.assertEqual(self.fates(), {"A": "interrupted", "B": "", "C": "interrupted", "D": ""})

    def test_calls_from_before_there_were_runs(self) -> None:
        self.repository.records.apply(call("C", end=False))
        self.assertEqual(self.node("c.1").begin(NOW), 1)

    def test_a_dead_node_is_given_up_by_another_after_the_stated_time(self) -> None:
        self.assertEqual(self.b.seen(NOW, 0.0), 0)
        self.silence("a.1", DEAD_S - 10)
        self.assertEqual(self.b.seen(NOW, DEAD_S + 1), 0)
        self.silence("a.1", 20)
        self.assertEqual(self.b.seen(NOW, DEAD_S + 2), 1)
        self.assertEqual(self.fates(), {"A": "interrupted", "B": ""})
        self.assertEqual(self.b.seen(NOW, DEAD_S + 3), 0)

    def test_nobody_is_given_up_because_the_database_was_away(self) -> None:
        """All were unheard of meanwhile."""
        self.b.seen(NOW, 0.0)
        engine, self.b.engine = self.b.engine, self.repository.engine.execution_options()
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE run RENAME TO gone"))
        self.assertRaises(SQLAlchemyError, self.b.seen, NOW, DEAD_S * 2)
        with engine.begin() as connection:
            connection.execute(text("ALTER TABLE gone RENAME TO run"))
        self.silence("a.1", DEAD_S * 2)
        self.assertEqual(self.b.seen(NOW, DEAD_S * 2 + 1), 0)
        self.a.seen(NOW, 0.0)
        self.assertEqual(self.b.seen(NOW, DEAD_S * 4), 0)
        self.assertEqual(self.fates(), {"A": "", "B": ""})

    def test_the_end_of_a_call_counts_more_than_having_been_given_up(self) -> None:
        self.silence("a.1", DEAD_S * 2)
        self.b.seen(NOW, 0.0)
        self.b.seen(NOW, DEAD_S * 2)
        self.assertEqual(self.fates()["A"], "interrupted")
        self.repository.records.apply(call("A")[2:])
        row = self.repository.records.call("A")
        assert row is not None
        self.assertEqual((row["disposition"], row["ended_at"], row["cause"]), ("completed", 1009.0, "caller hung up"))

    def test_a_node_that_stops_in_good_order_is_forgotten(self) -> None:
        self.a.end()
        with self.repository.engine.connect() as connection:
            self.assertEqual(connection.execute(select(schema.run.c.id)).scalars().all(), ["b.1"])
