"""Business hours: a line of text, and whether it says open at a moment.

The text is what the opening hours of OpenStreetMap look like: rules separated by semicolons, the last one that names a day
decides it.  "Mo-Fr 08:00-17:00; Sa 09:00-12:00" is closed on Sundays and on holidays; "PH 10:00-12:00" are a holiday's hours;
"22:00-06:00" go on into the next day; "24/7" is always, holidays too, and "off" never.  It is the clock on the wall that
counts: an hour that comes twice in autumn is open twice.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator
from datetime import date, datetime, timedelta
from functools import lru_cache
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import attrs

from smartalex.errors import ConfigurationError

DAYS = ("Mo", "Tu", "We", "Th", "Fr", "Sa", "Su")
HOLIDAY = "PH"
DAY_MIN = 24 * 60

Spans = tuple[tuple[int, int], ...]
"""Minutes from the midnight at which the day begins; an end beyond 1440 is on the next day."""

EXAMPLE = 'write them like "Mo-Fr 08:00-17:00; Sa 09:00-12:00", or "24/7", or "off"'


@attrs.frozen
class Hours:
    """By weekday, Monday first; holidays have their own."""

    week: tuple[Spans, ...]
    holiday: Spans = ()

    def open_at(self, when: datetime, holidays: Collection[str] = ()) -> bool:
        """`when` is local time, `holidays` as `is_holiday` takes them; hours that pass midnight are of the day they begin on."""
        minute = when.hour * 60 + when.minute
        today, yesterday = when.date(), when.date() - timedelta(days=1)
        return any(begin <= minute < end for begin, end in self._of(today, holidays)) or any(
            minute < end - DAY_MIN for _, end in self._of(yesterday, holidays)
        )

    def _of(self, day: date, holidays: Collection[str]) -> Spans:
        return self.holiday if is_holiday(day, holidays) else self.week[day.weekday()]


def open_at(text: str, zone: str, holidays: Collection[str], now: float) -> bool:
    """Whether hours written so are open at `now` (Unix seconds); "" is always, and so is what nobody can read."""
    try:
        return not text or parse(text).open_at(datetime.fromtimestamp(now, ZoneInfo(zone)), holidays)
    except (ConfigurationError, ZoneInfoNotFoundError, ValueError):
        return True


def is_holiday(day: date, holidays: Collection[str]) -> bool:
    """`holidays` are "2026-12-25", or "12-25" for every year."""
    return bool(holidays) and (day.isoformat() in holidays or day.strftime("%m-%d") in holidays)


@lru_cache(maxsize=4096)
def parse(text: str) -> Hours:
    """Raises ConfigurationError with what to write instead."""
    if text.strip() == "24/7":
        always = ((0, DAY_MIN),)
        return Hours((always,) * 7, always)
    days: dict[str, Spans] = {}
    for rule in filter(None, (part.strip() for part in text.split(";"))):
        names, spans = _rule(rule)
        days.update(dict.fromkeys(names, spans))
    if not days:
        raise ConfigurationError(f"{text!r} are no hours; {EXAMPLE}")
    return Hours(tuple(days.get(day, ()) for day in DAYS), days.get(HOLIDAY, ()))


def _rule(rule: str) -> tuple[list[str], Spans]:
    found = re.fullmatch(r"(?:([A-Za-z, -]*[A-Za-z]) +)?(off|[\d:, -]+)", rule) or re.fullmatch(r"()(off|[\d:, -]+)", rule)
    if found is None:
        raise ConfigurationError(f"{rule!r} is no rule of business hours; {EXAMPLE}")
    names = list(_days(found[1])) if found[1] else list(DAYS)
    return names, () if found[2] == "off" else tuple(_span(span.strip()) for span in found[2].split(","))


def _days(text: str) -> Iterator[str]:
    for part in text.split(","):
        first, to, last = (word.strip().capitalize() for word in part.partition("-"))
        if not to and first.upper() == HOLIDAY:
            yield HOLIDAY
            continue
        for name in (first, last) if to else (first,):
            if name not in DAYS:
                raise ConfigurationError(f"{name!r} is no day; days are {', '.join(DAYS)}, and {HOLIDAY} for holidays")
        begin, end = DAYS.index(first), DAYS.index(last or first)
        for at in range(begin, end + 1 if begin <= end else end + 8):
            yield DAYS[at % 7]


def _span(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d{1,2}):(\d{2}) ?- ?(\d{1,2}):(\d{2})", text)
    if found is None:
        raise ConfigurationError(f"{text!r} is no span of time; {EXAMPLE}")
    hours_1, minutes_1, hours_2, minutes_2 = (int(group) for group in found.groups())
    begin, end = hours_1 * 60 + minutes_1, hours_2 * 60 + minutes_2
    if minutes_1 > 59 or minutes_2 > 59 or begin >= DAY_MIN or end > DAY_MIN:
        raise ConfigurationError(f"{text!r}: the day has 24 hours of 60 minutes; {EXAMPLE}")
    return begin, end if end > begin else end + DAY_MIN
