"""Values of options: checked where they are given, and named in the error when they are wrong."""

from __future__ import annotations

import re
from ipaddress import ip_network

import click

from smartalex.errors import RemoteError
from smartalex.sip.uri import parse_host_port


class Source(click.ParamType[str]):
    """An address or a CIDR network of either family."""

    name = "cidr"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            net = ip_network(value.strip())
        except ValueError as error:
            self.fail(f"{error}; write an address or a network such as 192.0.2.10 or 192.0.2.0/24", param, ctx)
        return str(net.network_address if net.prefixlen == net.max_prefixlen else net)


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
    """What a Request-URI's user part may hold here: a number or a name."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\+?[0-9A-Za-z*._-]{1,64}", value):
            self.fail(f"{value!r} is no number; write it as the PBX dials it, such as +27215550100 or alex", param, ctx)
        return value
