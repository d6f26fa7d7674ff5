"""The Replaces header (RFC 3891): which dialog a new INVITE takes the place of."""

from __future__ import annotations

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.dialog import DialogId
from smartalex.sip.headers import parse_params
from smartalex.sip.message import Request

OPTION = "replaces"


@attrs.frozen
class Replaces:
    """As the one who gets it sees it: `to_tag` is its own."""

    call_id: str
    to_tag: str
    from_tag: str
    early_only: bool = False

    @classmethod
    def of(cls, request: Request) -> Replaces | None:
        """None without one; raises RemoteError(400) for two, or for a broken one (RFC 3891 3, 6.1)."""
        values = request.headers.get_all("Replaces")
        if not values:
            return None
        if len(values) > 1:
            raise RemoteError(400, "Two Replaces")
        call_id, _, rest = values[0].partition(";")
        params = dict(parse_params(rest)) if rest else {}
        to_tag, from_tag = params.get("to-tag"), params.get("from-tag")
        if not call_id.strip() or to_tag is None or from_tag is None:
            raise RemoteError(400, "Bad Replaces")
        return cls(call_id.strip(), to_tag, from_tag, "early-only" in params)

    @classmethod
    def of_dialog(cls, dialog_id: DialogId) -> Replaces:
        """For somebody else's INVITE to the peer of this dialog of ours: its tags are the other way round."""
        call_id, ours, theirs = dialog_id
        return cls(call_id, theirs, ours)

    @property
    def dialog_id(self) -> DialogId:
        return self.call_id, self.to_tag, self.from_tag

    def __str__(self) -> str:
        return f"{self.call_id};to-tag={self.to_tag};from-tag={self.from_tag}{';early-only' if self.early_only else ''}"
