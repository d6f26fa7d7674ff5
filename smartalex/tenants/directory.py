"""The extension directory: the only place transfer targets come from."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import attrs


@attrs.frozen
class Extension:
    """A person or a department (a ring group or queue) of the PBX.

    `number` is dialled on the PBX; `aliases` are other things callers say;
    `digit` is the key offered for it, or ''; `pronunciation` spells how a name
    sounds in plain letters, for the recogniser and the voice.  `warm_transfer`:
    they may be called and told who is there before the caller is put through.
    `availability` are hours (see `tenants.hours`), "" for always, "off" for never.
    """

    id: str
    number: str
    name: str
    kind: str = "person"  # or "department"
    department: str = ""
    aliases: tuple[str, ...] = ()
    digit: str = ""
    pronunciation: str = ""
    warm_transfer: bool = False
    availability: str = ""


class Directory:
    """Extensions of one workspace; `operator` is the id of the one that 'operator' and key 0 mean, or None."""

    __slots__ = ("_by_id", "_extensions", "_made", "operator")

    def __init__(self, extensions: Iterable[Extension] = (), operator: str | None = None) -> None:
        self._made: Callable[[], Iterable[Extension]] = lambda: extensions
        self._extensions: tuple[Extension, ...] | None = None
        self._by_id: dict[str, Extension] | None = None
        self.operator = operator

    @classmethod
    def later(cls, make: Callable[[], Iterable[Extension]], operator: str | None = None) -> Directory:
        """One whose extensions are made when they are asked for first: most directories are not, for days."""
        found = cls((), operator)
        found._made = make
        return found

    @property
    def extensions(self) -> tuple[Extension, ...]:
        if self._extensions is None:
            self._extensions, self._made = tuple(self._made()), tuple
        return self._extensions

    def find(self, extension_id: str) -> Extension | None:
        if self._by_id is None:
            self._by_id = {extension.id: extension for extension in self.extensions}
        return self._by_id.get(extension_id)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Directory) and (self.extensions, self.operator) == (other.extensions, other.operator)

    def __hash__(self) -> int:
        return hash((self.extensions, self.operator))

    def __repr__(self) -> str:
        return f"Directory({self.extensions!r}, {self.operator!r})"
