"""Business hours: days, midnight, holidays, and the two nights a year in which clocks are changed."""

from __future__ import annotations

from datetime import UTC, datetime
from unittest import TestCase
from zoneinfo import ZoneInfo

from hypothesis import given
from hypothesis import strategies as st

from smartalex.errors import ConfigurationError
from smartalex.tenants import hours
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.workspace import Workspace

OFFICE = "Mo-Fr 08:00-17:00; Sa 09:00-12:00"
HOLIDAYS = ("2026-12-16", "12-25")


def local(text: str, zone: str = "Africa/Johannesburg") -> float:
    """Unix seconds of "2026-11-23 08:00" there."""
    return datetime.strptime(text, "%Y-%m-%d %H:%M").replace(tzinfo=ZoneInfo(zone)).timestamp()


class Table(TestCase):
    def check(self, text: str, moments: dict[str, bool], zone: str = "Africa/Johannesburg") -> None:
        for moment, expected in moments.items():
            self.assertEqual(hours.open_at(text, zone, HOLIDAYS, local(moment, zone)), expected, (text, moment))

    def test_days_and_their_hours(self) -> None:
        self.check(OFFICE, {
            "2026-11-23 07:59": False, "2026-11-23 08:00": True, "2026-11-23 16:59": True, "2026-11-23 17:00": False,
            "2026-11-28 11:59": True, "2026-11-28 12:00": False, "2026-11-29 10:00": False,
        })  # fmt: skip
        self.check("08:00-12:00, 13:00-17:00", {"2026-11-29 11:59": True, "2026-11-29 12:30": False, "2026-11-29 13:00": True})
        self.check("Sa-Mo 10:00-11:00", {"2026-11-30 10:00": True, "2026-11-29 10:00": True, "2026-12-01 10:00": False})
        self.check("Mo,We 10:00-11:00", {"2026-11-23 10:00": True, "2026-11-24 10:00": False, "2026-11-25 10:00": True})

    def test_a_later_rule_decides_the_days_it_names(self) -> None:
        self.check("Mo-Su 08:00-17:00; We off", {"2026-11-24 10:00": True, "2026-11-25 10:00": False})

    def test_always_and_never(self) -> None:
        self.check("24/7", {"2026-11-29 03:00": True, "2026-12-25 03:00": True})
        self.check("", {"2026-12-25 03:00": True})
        self.check("off", {"2026-11-23 10:00": False})
        self.check("00:00-24:00", {"2026-11-29 00:00": True, "2026-11-29 23:59": True, "2026-12-25 12:00": False})

    def test_past_midnight(self) -> None:
        self.check("Fr 22:00-06:00", {
            "2026-11-27 05:00": False, "2026-11-27 21:59": False, "2026-11-27 22:00": True, "2026-11-28 00:00": True,
            "2026-11-28 05:59": True, "2026-11-28 06:00": False, "2026-11-28 22:00": False,
        })  # fmt: skip

    def test_holidays(self) -> None:
        self.check(
            OFFICE, {"2026-12-16 10:00": False, "2027-12-16 10:00": True, "2026-12-25 10:00": False, "2028-12-25 10:00": False}
        )
        self.check(OFFICE + "; PH 10:00-12:00", {"2026-12-16 09:59": False, "2026-12-16 10:00": True, "2026-12-16 12:00": False})
        self.check("Mo-Su 22:00-02:00", {  # the night belongs to the day it began on
            "2026-12-16 01:00": True, "2026-12-16 23:00": False, "2026-12-17 01:00": False, "2026-12-17 23:00": True,
        })  # fmt: skip

    def test_the_clock_on_the_wall_counts_when_it_is_changed(self) -> None:
        berlin = "Europe/Berlin"
        self.check("08:00-17:00", {"2026-03-28 08:00": True, "2026-03-29 08:00": True, "2026-03-29 07:59": False}, berlin)
        for utc, expected in (  # 25 October 2026: 02:00 to 03:00 comes twice, from 00:00 and from 01:00 UTC
            ((0, 29), False), ((0, 30), True), ((0, 59), True),
            ((1, 29), False), ((1, 30), True), ((1, 59), True), ((2, 0), False),
        ):  # fmt: skip
            now = datetime(2026, 10, 25, *utc, tzinfo=UTC).timestamp()
            self.assertEqual(hours.open_at("02:30-03:00", berlin, (), now), expected, utc)
        skipped = datetime(2026, 3, 29, 1, 0, tzinfo=UTC).timestamp()  # 03:00, a minute after 01:59
        self.assertFalse(hours.open_at("02:00-03:00", berlin, (), skipped))
        self.assertTrue(hours.open_at("02:00-03:01", berlin, (), skipped))

    def test_each_zone_has_its_own_day(self) -> None:
        sunday_night = datetime(2026, 11, 22, 22, 30, tzinfo=UTC).timestamp()
        self.assertTrue(hours.open_at("Mo 00:00-01:00", "Africa/Johannesburg", (), sunday_night))
        self.assertFalse(hours.open_at("Mo 00:00-01:00", "UTC", (), sunday_night))


class Written(TestCase):
    def test_what_is_wrong_is_named(self) -> None:
        for text, named in (
            ("Mo-Fr", "'Mo-Fr'"), ("Mx 08:00-17:00", "'Mx'"), ("Mo 8-17", "'8-17'"), ("Mo 08:00-25:00", "'08:00-25:00'"),
            ("Mo 08:60-09:00", "'08:60-09:00'"), ("weekdays", "'weekdays'"), (";", "';'"), ("Mo 08:00", "'08:00'"),
            ("24:00-01:00", "24:00"), ("Mo-PH 08:00-09:00", "'Ph'"),
        ):  # fmt: skip
            with self.assertRaises(ConfigurationError, msg=text) as caught:
                hours.parse(text)
            self.assertIn(named, str(caught.exception))

    @given(st.text(max_size=40) | st.text("MoTuWePH0123456789:,;- of", max_size=40))
    def test_any_text_is_hours_or_refused(self, text: str) -> None:
        try:
            parsed = hours.parse(text)
        except ConfigurationError:
            return
        self.assertEqual(len(parsed.week), 7)
        self.assertTrue(
            all(0 <= begin < end <= begin + hours.DAY_MIN for day in (*parsed.week, parsed.holiday) for begin, end in day)
        )

    def test_what_cannot_be_read_keeps_nobody_out(self) -> None:
        self.assertTrue(hours.open_at("nonsense", "UTC", (), 0.0))
        self.assertTrue(hours.open_at("off", "Mars/Olympus", (), 0.0))


class Whose(TestCase):
    def test_a_did_has_its_own_zone_and_holidays_or_its_workspaces(self) -> None:
        owner = Workspace("w", "Acme", Directory(), timezone="Africa/Johannesburg", holidays=HOLIDAYS)
        did = Did("1", "t", "a", OFFICE)
        self.assertTrue(owner.open_at(did, local("2026-11-23 08:00")))
        self.assertFalse(owner.open_at(did, local("2026-12-25 08:00")))
        own = Did("1", "t", "a", OFFICE, "UTC", "2026-11-24")
        self.assertFalse(owner.open_at(own, local("2026-11-23 08:00")))
        self.assertTrue(owner.open_at(own, local("2026-12-25 12:00")))
        self.assertFalse(owner.open_at(own, local("2026-11-24 12:00")))

    def test_an_extension_is_there_or_not(self) -> None:
        for availability, expected in (("", True), ("off", False), (OFFICE, True), ("Sa 08:00-17:00", False)):
            who = Extension("a", "1", "Ann", availability=availability)
            owner = Workspace("w", "Acme", Directory(), timezone="Africa/Johannesburg")
            self.assertEqual(owner.available(who, local("2026-11-23 08:00")), expected)
