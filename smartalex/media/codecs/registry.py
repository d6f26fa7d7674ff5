"""The codecs there are, by encoding name: what plugins provide for the seam ICodec."""

from __future__ import annotations

from collections.abc import Iterable
from functools import cache
from typing import Any

from smartalex.errors import ConfigurationError
from smartalex.plugins import providers

USUAL = ("PCMU", "PCMA", "G722")
"""What a trunk speaks that was told nothing else, best first."""


@cache
def _providers() -> dict[str, Any]:
    found = {provider.name.upper(): provider for provider in providers("ICodec")}
    order = {name: place for place, name in enumerate(USUAL)}
    return dict(sorted(found.items(), key=lambda item: (order.get(item[0], len(order)), item[0])))


def known() -> tuple[str, ...]:
    """The encoding names, also of those whose library is missing."""
    return tuple(provider.name for provider in _providers().values())


@cache
def _loaded(name: str) -> tuple[Any, str]:
    """The class, or None and why; looking for a library that is not there takes long, and is done once."""
    provider = _providers().get(name)
    if provider is None:
        return None, f"there is no codec {name!r}; known are {', '.join(known())}"
    try:
        return provider.load(), ""
    except ImportError as error:
        return None, f"codec {provider.name} cannot be used: {error}"


def find(name: str) -> Any:
    """The class (ICodec) of this name, in whatever case; raises ConfigurationError where there is none that can be used."""
    codec, why = _loaded(name.upper())
    if codec is None:
        raise ConfigurationError(why)
    return codec


def proper(names: Iterable[str]) -> tuple[str, ...]:
    """The names as they are written, once each, in order; raises ConfigurationError for one that cannot be used."""
    return tuple(dict.fromkeys(find(name).name for name in names))


def usable(names: Iterable[str] | None = None) -> tuple[Any, ...]:
    """The classes of those of `names`, of all by default, whose library is there."""
    return tuple(codec for codec, _ in (_loaded(name.upper()) for name in (known() if names is None else names)) if codec)
