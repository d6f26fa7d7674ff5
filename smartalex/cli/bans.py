"""`smartalex bans`: sources of which nothing is read, because they guessed passwords or the operator said so."""

from __future__ import annotations

import re
import time
from ipaddress import ip_network
from typing import Any

import click

from smartalex.calls.bans import network_of
from smartalex.cli.registration import left
from smartalex.cli.state import columns, json_option, opened, settle, show_json, state_options
from smartalex.cli.values import Source
from smartalex.store.bans import BanBook

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


class Span(click.ParamType[float]):
    name = "time"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        found = re.fullmatch(r"(\d{1,5})([smhd])", str(value))
        if found is None or not int(found[1]):
            self.fail(f"{value!r} is no time; write it as 90s, 30m, 1h or 7d", param, ctx)
        return int(found[1]) * float(UNITS[found[2]])


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, as_json: bool) -> None:
    """List who is banned, and for how long.

    A source that guesses passwords is slowed, then banned for 1 min, 5 min, 30 min, 4 h, 24 h.  Nothing it sends is read.
    Sources that a trunk is known by, or that logged in during the last day, are never banned of themselves.

    \b
      smartalex bans
      smartalex ban add 192.0.2.66 --for 1h --why "scans at night"
      smartalex ban add 2001:db8:66::/48 --for 7d
      smartalex ban lift 192.0.2.66
    """
    if context.invoked_subcommand is not None:
        return
    now = time.time()
    rows = [row for row in BanBook(opened(state, config).repository.engine).rows() if row["until"] > now]
    if as_json:
        for row in rows:
            show_json(row)
    elif not rows:
        click.echo("nobody is banned")
    else:
        cells = [(row["network"], left(row["until"] - now), row["by"] or "-", row["why"] or "-") for row in rows]
        for line in columns([("SOURCE", "LEFT", "BY", "WHY"), *cells]):
            click.echo(line)


@command.command()
@click.argument("address", type=Source())
@click.option("--for", "seconds", type=Span(), default="1h", show_default=True, help="How long: 90s, 30m, 1h, 7d.")
@click.option("--why", default="", help="For whoever reads the list.")
@state_options
@json_option
def add(address: str, *, seconds: float, why: str, state: str | None, config: str | None, as_json: bool) -> None:
    """Ban an address or a network, whoever is behind it; of IPv6 an address stands for its /64.

    \b
      smartalex bans add 192.0.2.66 --for 1h --why "scans at night"
    """
    here, network, now = opened(state, config), _network(address), time.time()
    row = {"network": network, "why": why[:200], "level": 0, "since": now, "until": now + seconds, "by": "operator"}
    BanBook(here.repository.engine).put(row)
    settle(here)
    if as_json:
        show_json(row)
    else:
        click.echo(f"{network} is banned for {left(seconds)}; to end it: smartalex ban lift {network}")


@command.command()
@click.argument("address", type=Source())
@state_options
@json_option
def lift(address: str, *, state: str | None, config: str | None, as_json: bool) -> None:
    """End a ban, and forget that there was one.

    \b
      smartalex bans lift 192.0.2.66
    """
    here, network = opened(state, config), _network(address)
    book, wanted = BanBook(here.repository.engine), ip_network(network)
    wider = [row["network"] for row in book.rows() if _within(wanted, row["network"]) and row["until"] > time.time()]
    if not book.lift(network):
        hint = f"it is within {wider[0]}, which is" if wider else "see who is: smartalex bans"
        raise click.ClickException(f"{network} is not banned; {hint}")
    settle(here)
    if as_json:
        show_json({"network": network, "lifted": True})
    else:
        click.echo(f"{network} is listened to again")


def _network(address: str) -> str:
    return address if "/" in address else network_of(address)


def _within(net: Any, other: str) -> bool:
    wider = ip_network(other)
    return wider.version == net.version and bool(net.subnet_of(wider))
