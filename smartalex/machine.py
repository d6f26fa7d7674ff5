"""The table stepper: every state machine here is a dict from (state, input) to (actions, next state)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from enum import Enum
from typing import TypeVar

S = TypeVar("S", bound=Hashable)
I = TypeVar("I", bound=Hashable)  # noqa: E741
A = TypeVar("A")


class Symbol(Enum):
    """A state, input or action of a table.  Each is one object, so that its hash need not be that of its name."""

    __hash__ = object.__hash__


Table = Mapping[tuple[S, I], tuple[tuple[A, ...], S]]


def step(table: Table[S, I, A], state: S, event: I) -> tuple[tuple[A, ...], S] | None:
    """The row for (state, event), or None when the table does not list the pair.

    What an unlisted pair means is the caller's to say: a SIP input is ignored
    and counted, a verb of our own side is a LocalError.
    """
    return table.get((state, event))
