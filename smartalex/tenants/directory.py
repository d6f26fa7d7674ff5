"""The extension directory: the only place transfer targets come from."""

from __future__ import annotations

import attrs


@attrs.frozen
class Extension:
    """A person or a department (a ring group or queue) of the PBX.

    `number` is dialled on the PBX; `aliases` are other things callers say;
    `digit` is the key offered for it, or ''; `pronunciation` spells how a name
    sounds in plain letters, for the recogniser and the voice.
    """

    id: str
    number: str
    name: str
    kind: str = "person"  # or "department"
    department: str = ""
    aliases: tuple[str, ...] = ()
    digit: str = ""
    pronunciation: str = ""


@attrs.frozen
class Directory:
    """Extensions of one workspace; `operator` is the id of the one that 'operator' and key 0 mean, or None."""

    extensions: tuple[Extension, ...] = ()
    operator: str | None = None

    def find(self, extension_id: str) -> Extension | None:
        return next((e for e in self.extensions if e.id == extension_id), None)
