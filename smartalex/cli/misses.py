"""The near miss of a refused call: which trunk it almost belonged to, as trunks are now."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from smartalex.calls.near import Near, login_of
from smartalex.sip.trace import Trace, Traced
from smartalex.store.state import State


class Misses:
    """`realm` is ours."""

    def __init__(self, here: State, realm: str) -> None:
        self._records = here.repository.records
        self._near = Near(here.repository.tenancy(), realm)

    def of(self, row: Mapping[str, Any]) -> str:
        """A sentence, or "" where there is none."""
        if row["disposition"] != "refused":
            return ""
        return self._near.miss(row, None if row["trunk"] else login_of(row, self._messages(row["id"])))

    def _messages(self, call_id: str) -> Sequence[Traced]:
        found = self._records.trace(call_id)
        try:
            return Trace.from_data(found["trace"]).messages if found is not None and found["trace"] is not None else ()
        except ValueError:
            return ()
