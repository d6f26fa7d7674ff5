"""Counted events: one dict increment each, read out by /metrics."""

from __future__ import annotations

from collections import defaultdict

from zope.interface import implementer

from smartalex.interfaces import ICounters


@implementer(ICounters)
class Counters:
    """`values` maps (name, label) to a total; every name used in the code is listed in README."""

    __slots__ = ("values",)

    def __init__(self) -> None:
        self.values: defaultdict[tuple[str, str], int] = defaultdict(int)

    def count(self, name: str, label: str = "", amount: int = 1) -> None:
        self.values[name, label] += amount
