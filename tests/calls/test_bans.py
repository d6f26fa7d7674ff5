"""Guessing is slowed, then banned, longer each time; who is known is not; what is forged costs its victim little."""

from __future__ import annotations

from unittest import TestCase

import attrs
from twisted.internet.defer import Deferred, fail, maybeDeferred
from twisted.internet.task import Clock

from smartalex.calls.ban_keeping import LOOK_S, BanKeeping
from smartalex.calls.bans import FORGIVEN_S, LEVELS_S, MOST_KNOWN, Ban, Bans, network_of
from smartalex.counters import Counters
from smartalex.interfaces import AuthAttempt, Verdict

THIEF, USER = "198.51.100.9", "192.0.2.1"
RIGHT = Verdict("t1")
ASKED = Verdict(challenges=("Digest x",))


def attempt(host: str, account: str = "sa_user") -> AuthAttempt:
    return AuthAttempt("REGISTER", "sip:x", host, "udp", (f'Digest username="{account}", realm="x", response="0"',))


class Guarded(TestCase):
    def setUp(self) -> None:
        self.now = 1_700_000_000.0
        self.known = {"192.0.2.77"}
        self.counters = Counters()
        self.told: list[Ban] = []
        self.bans = Bans(lambda host: host in self.known, self.counters, lambda: self.now)
        self.bans.on_ban = self.told.append

    def guess(self, host: str = THIEF, account: str = "sa_user") -> int:
        """Seconds to wait; 0 when it was looked at, and found wrong."""
        asked = attempt(host, account)
        wait_s = self.bans.wait_s(asked)
        if not wait_s:
            self.bans.judged(asked, Verdict(why="wrong password", account=account))
        return wait_s

    def guess_until_banned(self, host: str = THIEF) -> int:
        for count in range(1000):
            if self.bans.banned(host):
                return count
            self.guess(host)
        raise AssertionError("never banned")

    def log_in(self, host: str = USER, account: str = "sa_user") -> int:
        asked = attempt(host, account)
        wait_s = self.bans.wait_s(asked)
        if not wait_s:
            self.bans.judged(asked, RIGHT)
        return wait_s


class Guessing(Guarded):
    def test_the_first_guesses_are_judged_then_it_has_to_wait_then_it_is_banned(self) -> None:
        self.assertEqual([self.guess() for _ in range(2)], [0, 0])
        self.assertGreater(self.guess(), 0)
        self.assertLess(self.guess_until_banned(), 20)
        self.assertLess(self.counters.values["auth.failed", ""], 10)

    def test_who_waits_as_told_guesses_slower_and_slower(self) -> None:
        waits, began = [], self.now
        while not self.bans.banned(THIEF) and self.now < began + 1800:
            wait = self.guess()
            waits.append(wait)
            self.now += wait or 0.01
        self.assertLess(self.counters.values["auth.failed", ""], 130)
        self.assertGreaterEqual(max(waits), 8)

    def test_each_ban_is_longer_than_the_last(self) -> None:
        for seconds in (*LEVELS_S, LEVELS_S[-1]):
            self.guess_until_banned()
            self.assertEqual((self.told[-1].until - self.told[-1].since, self.told[-1].network), (seconds, THIEF))
            self.now += seconds - 1
            self.assertTrue(self.bans.banned(THIEF))
            self.now += 2
            self.assertFalse(self.bans.banned(THIEF))
        self.now += FORGIVEN_S
        self.guess_until_banned()
        self.assertEqual(self.told[-1].until - self.told[-1].since, LEVELS_S[0])

    def test_once_a_minute_is_a_pbx_with_an_old_password(self) -> None:
        for _ in range(1000):
            self.guess()
            self.now += 60
        self.assertEqual(self.told, [])

    def test_ipv6_counts_by_64(self) -> None:
        for number in range(1000):
            self.guess(f"2001:db8:0:9::{number:x}")
        self.assertEqual([ban.network for ban in self.told], ["2001:db8:0:9::/64"])
        self.assertEqual([self.bans.banned(f"2001:db8:0:{net}::1") for net in (9, 8)], [True, False])

    def test_an_ipv4_address_written_as_ipv6_is_the_same(self) -> None:
        self.guess_until_banned("::ffff:198.51.100.9")
        self.assertTrue(self.bans.banned(THIEF))

    def test_memory_has_an_end(self) -> None:
        for number in range(MOST_KNOWN + 100):
            self.guess(f"10.{number >> 16}.{number >> 8 & 255}.{number & 255}", f"user{number}")
        self.assertEqual((len(self.bans._suspects), len(self.bans._accounts)), (MOST_KNOWN, MOST_KNOWN))


class TheRealUser(Guarded):
    def test_is_neither_slowed_nor_banned_while_others_guess(self) -> None:
        self.log_in()
        for number in range(1000):
            self.guess(f"198.51.{100 + number % 2}.{number % 200}")
            self.assertEqual(self.log_in(), 0)
        self.assertFalse(self.bans.banned(USER))

    def test_nor_at_a_new_address(self) -> None:
        for number in range(1000):
            self.guess(f"198.51.100.{number % 200}")
        self.assertEqual(self.log_in("203.0.113.5"), 0)

    def test_nor_where_somebody_behind_the_same_address_guesses(self) -> None:
        self.known.add(USER)
        self.log_in()
        for number in range(1000):
            self.guess(USER, f"sa_other{number}")
            self.assertEqual(self.log_in(), 0)
        self.assertEqual(self.told, [])
        self.assertLess(self.counters.values["auth.failed", ""], 10, "but the guesses are slowed")

    def test_a_source_of_a_trunk_is_never_banned(self) -> None:
        for _ in range(1000):
            self.guess("192.0.2.77")
        self.assertEqual(self.told, [])

    def test_many_sources_that_guess_at_one_account_are_slowed_sooner(self) -> None:
        for number in range(20):
            self.guess(f"198.51.100.{number}")
        self.assertEqual(self.guess("203.0.113.5"), 0)
        self.assertGreater(self.guess("203.0.113.5"), 0)


class Probes(Guarded):
    def ask(self, host: str = THIEF, times: int = 1) -> None:
        for _ in range(times):
            self.bans.judged(AuthAttempt("REGISTER", "sip:x", host, "udp"), ASKED)

    def test_numbers_are_looked_for_only_so_long(self) -> None:
        for probe in (self.ask, lambda: self.bans.options(THIEF)):
            with self.subTest(probe=probe):
                self.setUp()
                probes = 0
                while not self.bans.banned(THIEF):
                    probe()
                    probes += 1
                self.assertEqual(probes, 200)

    def test_they_could_be_forged_and_are_never_banned_for_long(self) -> None:
        for _ in range(5):
            self.ask(times=200)
            self.assertEqual(self.told[-1].until - self.told[-1].since, 60)
            self.now += 61
        self.assertEqual(len(self.told), 5)

    def test_a_pbx_that_begins_a_hundred_calls_at_once_is_none(self) -> None:
        self.ask(USER, 190)
        self.log_in()
        self.ask(USER, 190)
        self.assertEqual(self.told, [])

    def test_an_options_every_five_seconds_is_none(self) -> None:
        for _ in range(10_000):
            self.bans.options(THIEF)
            self.now += 5
        self.assertEqual(self.told, [])


class Networks(Guarded):
    def test_the_operator_bans_networks_and_trusted_sources_too(self) -> None:
        self.bans.adopt([Ban("192.0.2.0/24", "", 0, self.now, self.now + 60, "operator")])
        self.assertEqual([self.bans.banned(host) for host in ("192.0.2.77", "192.0.3.1", "2001:db8::1")], [True, False, False])
        self.assertEqual([ban.network for ban in self.bans], ["192.0.2.0/24"])
        self.now += 61
        self.assertEqual((self.bans.banned("192.0.2.77"), list(self.bans)), (False, []))

    def test_what_counts_as_one(self) -> None:
        found = [network_of(host) for host in ("192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1", "fe80::1%eth0")]
        self.assertEqual(found, ["192.0.2.1", "2001:db8::/64", "192.0.2.1", "fe80::/64"])


class Keeping(Guarded):
    """The store, as it is when others change it, and when it is gone."""

    def setUp(self) -> None:
        super().setUp()
        self.stored: dict[str, dict[str, object]] = {}
        self.changes = 0
        self.gone = False
        self.clock = Clock()
        self.keeping = BanKeeping(self.bans, self, self.defer, self.clock)
        self.keeping.start()

    def defer(self, function: object, *args: object) -> Deferred[object]:
        return fail(OSError("gone")) if self.gone else maybeDeferred(function, *args)  # type: ignore[arg-type]

    def rows(self) -> list[dict[str, object]]:
        return list(self.stored.values())

    def mark(self) -> tuple[int, float]:
        return len(self.stored), self.changes

    def put(self, row: dict[str, object]) -> None:
        self.changes += 1
        self.stored[str(row["network"])] = row

    def test_a_ban_survives_a_restart(self) -> None:
        self.guess_until_banned()
        self.clock.advance(LOOK_S)
        again = Bans(lambda host: False, self.counters, lambda: self.now)
        BanKeeping(again, self, self.defer, self.clock).load()
        self.assertTrue(again.banned(THIEF))

    def test_a_lifted_one_is_over_and_forgotten(self) -> None:
        self.guess_until_banned()
        self.clock.advance(LOOK_S)
        self.stored.clear()
        self.clock.advance(LOOK_S)
        self.assertFalse(self.bans.banned(THIEF))
        self.assertEqual(self.guess(), 0)

    def test_what_another_node_found_counts_here(self) -> None:
        self.put(attrs.asdict(Ban(THIEF, "guesses", 1, self.now, self.now + 60)))
        self.clock.advance(LOOK_S)
        self.assertTrue(self.bans.banned(THIEF))

    def test_bans_hold_while_the_store_is_away_and_are_kept_when_it_is_back(self) -> None:
        self.gone = True
        self.guess_until_banned()
        self.clock.pump([LOOK_S] * 10)
        self.assertTrue(self.bans.banned(THIEF))
        self.gone = False
        self.clock.pump([LOOK_S] * 2)
        self.assertEqual(list(self.stored), [THIEF])
        self.assertTrue(self.bans.banned(THIEF))
