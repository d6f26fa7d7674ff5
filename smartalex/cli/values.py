"""Values of options: checked where they are given, and named in the error when they are wrong."""

from __future__ import annotations

import difflib
import re
from datetime import date
from ipaddress import ip_network
from zoneinfo import available_timezones

import click

from smartalex import plugins
from smartalex.errors import ConfigurationError, RemoteError
from smartalex.sip.uri import parse_host_port
from smartalex.tenants import hours


class Source(click.ParamType[str]):
    """An address or a CIDR network of either family."""

    name = "cidr"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            net = ip_network(value.strip())
        except ValueError as error:
            self.fail(f"{error}; write an address or a network such as 192.0.2.10 or 192.0.2.0/24", param, ctx)
        return str(net.network_address if net.prefixlen == net.max_prefixlen else net)


class Authenticator(click.ParamType[str]):
    """What a trunk is known by: a provider of IAuthenticator with its options."""

    name = "spec"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            plugins.find("IAuthenticator", "digest" if value == "both" else value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return value


class Host(click.ParamType[str]):
    """HOST, HOST:PORT or an address, as a SIP URI writes it."""

    name = "host"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            parse_host_port(value)
        except RemoteError:
            self.fail(f"{value!r} is no host; write a name or an address such as pbx.example.com or 192.0.2.10", param, ctx)
        return value


class Word(click.ParamType[str]):
    """Letters, digits, dots, hyphens and underscores: safe in commands, URIs and quoted strings."""

    name = "name"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"[A-Za-z0-9][A-Za-z0-9._-]{0,39}", value):
            self.fail(f"{value!r}: up to 40 letters, digits, dots, hyphens and underscores", param, ctx)
        return value


class Number(click.ParamType[str]):
    """What a Request-URI's user part may hold here: a number or a name, or with a star at its end the beginning of some."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\+?[0-9A-Za-z._-]{1,64}\*?|\+?\*", value):
            self.fail(
                f"{value!r} is no number; write it as the PBX dials it, such as +27215550100 or alex, "
                "+2721555* for all that begin so, * for all others",
                param,
                ctx,
            )
        return value


class Dialled(click.ParamType[str]):
    """A number that we have somebody called by, "" for none."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if value and not re.fullmatch(r"\+?[0-9*#]{1,32}", value):
            self.fail(f'{value!r} is no number; write digits such as +27215550111 or 9, "" for none', param, ctx)
        return value


class TimeZone(click.ParamType[str]):
    """A key of the IANA time zone database, "" for none."""

    name = "zone"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        known = available_timezones()
        found = {zone.lower(): zone for zone in known}.get(value.lower(), "")
        if value and not found:
            near = difflib.get_close_matches(value, known, n=3)
            hint = f"did you mean {' or '.join(near)}?" if near else "write one such as Africa/Johannesburg or UTC"
            self.fail(f"{value!r} is no time zone; {hint}", param, ctx)
        return found


class Hours(click.ParamType[str]):
    """Business hours as `tenants.hours` reads them, "" for always."""

    name = "hours"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if value:
                hours.parse(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return " ".join(value.split())


class Day(click.ParamType[str]):
    """2026-12-25, or 12-25 for every year."""

    name = "day"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        whole = f"2028-{value}" if re.fullmatch(r"\d\d-\d\d", value) else value  # a leap year
        try:
            if not re.fullmatch(r"\d{4}-\d\d-\d\d", whole):
                raise ValueError("it is not written like one")
            date.fromisoformat(whole)
        except ValueError as error:
            self.fail(f"{value!r} is no day: {error}; write 2026-12-25, or 12-25 for every year", param, ctx)
        return value
