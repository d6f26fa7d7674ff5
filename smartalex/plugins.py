"""Find a provider by what a configuration says: "name" or "name:key=value:key=value"."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module
from typing import Any

import attrs
from twisted.plugin import IPlugin, getPlugins
from zope.interface import implementer

from smartalex.errors import ConfigurationError
from smartalex.interfaces import IProvider


@implementer(IPlugin, IProvider)
@attrs.frozen
class LazyProvider:
    """A provider named in a plugin file; `target` ("package.module:attribute") is imported by `load` only."""

    seam: str
    name: str
    description: str
    target: str

    def load(self) -> Any:
        module, _, attribute = self.target.partition(":")
        return getattr(import_module(module), attribute)


def providers(seam: str | None = None) -> Iterator[Any]:
    """Every IProvider among the installed plugins, of one seam or of all."""
    for provider in getPlugins(IProvider):
        if seam is None or provider.seam == seam:
            yield provider


def parse_spec(spec: str) -> tuple[str, dict[str, str]]:
    """ "name:key=value" -> (name, options).  A colon in a value is written as two."""
    name, *pairs = (part.replace("\0", ":") for part in spec.replace("::", "\0").split(":"))
    options = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals:
            raise ConfigurationError(f"in provider {spec!r}: write {key}=VALUE instead of {pair!r}")
        options[key] = value
    return name, options


def find(seam: str, spec: str) -> tuple[Any, dict[str, str]]:
    """The provider of `seam` that `spec` names, and the options it carries; raises ConfigurationError."""
    name, options = parse_spec(spec)
    found = {provider.name: provider for provider in providers(seam)}
    if name not in found:
        raise ConfigurationError(f"no {seam} provider is named {name!r}; installed are: {', '.join(sorted(found)) or 'none'}")
    return found[name], options
