"""`smartalex regions`: where calls are served, and why there."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Any

import click

from smartalex.cli.state import columns, json_option, opened, settings, show_json, state_options, unknown
from smartalex.errors import SmartAlexError
from smartalex.regions.nearest import Regions
from smartalex.regions.setting import regions_of
from smartalex.store.state import regions as health


@click.group(invoke_without_command=True)
@state_options
@json_option
@click.pass_context
def command(context: click.Context, /, state: str | None, config: str | None, *, as_json: bool) -> None:
    """List the regions of the configuration, and whether their nodes answer this one.

    \b
      smartalex regions --config /etc/smartalex.toml
      smartalex region locate 203.0.113.7
      smartalex region locate 203.0.113.7 --trunk office
    """
    if context.invoked_subcommand is not None:
        return
    regions, states = _known(state, config)
    rows = [_row(regions, states, name) for name in regions.known]
    if as_json:
        for row in rows:
            show_json(row)
        return
    cells = [(row["name"], row["state"], row["latency"], row["node"], row["for"]) for row in rows]
    for line in columns([("REGION", "STATE", "LATENCY", "NODE", "FOR"), *cells]):
        click.echo(line)


@command.command()
@click.argument("address")
@click.option("--trunk", metavar="NAME", help="As its calls are served: by the regions it may use, with a redirect or without.")
@state_options
@json_option
def locate(address: str, trunk: str | None, state: str | None, config: str | None, *, as_json: bool) -> None:
    """Tell which region is the nearest to ADDRESS, and why."""
    try:
        ip_address(address)
    except ValueError:
        raise click.ClickException(f"{address!r} is no address; write one, such as 192.0.2.1 or 2001:db8::1") from None
    regions, states = _known(state, config)
    found = regions.ranking(address)
    row: dict[str, Any] = {"address": address, "nearest": regions.nearest(address), "by": found.why, "order": list(found.names)}
    if trunk is not None:
        row |= _of_trunk(regions, address, trunk, state, config)
    if as_json:
        show_json(row)
        return
    down = [name for name in found.names if states.get(name, {}).get("state") == "down"]
    click.echo(f"{address} is nearest to {row['nearest']}, by {found.why}")
    click.echo(f"  order     {', '.join(found.names)}" + (f" ({', '.join(down)} down)" if down else ""))
    if trunk is not None:
        click.echo(f"  trunk     {trunk}: {row['served']}")


def _of_trunk(regions: Regions, address: str, name: str, state: str | None, config: str | None) -> dict[str, Any]:
    trunks = {trunk.name: trunk for trunk in opened(state, config).repository.tenancy().trunks.values()}
    if name not in trunks:
        raise unknown("trunk", name, trunks, "smartalex trunk add NAME")
    trunk = trunks[name]
    found = regions.elsewhere(address, trunk.regions, trunk.follow_redirects, sent=False)
    if found is None:
        follows = "" if trunk.follow_redirects else " (its PBX does not follow redirects)"
        return {"trunk": name, "served": f"here, in {regions.here}{follows}"}
    return {"trunk": name, "served": f"302 to {found.region.node}: {found.why}" if found.region else f"503: {found.why}"}


def _known(state: str | None, config: str | None) -> tuple[Regions, dict[str, dict[str, Any]]]:
    given = settings(state, config)
    try:
        states = health(opened(state, config).folder)
        regions = regions_of(given.regions, lambda name: states.get(name, {}).get("state") != "down")
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
    if regions is None:
        raise click.ClickException("there are no regions; write them into [regions] of the configuration, and give --config")
    return regions, states


def _row(regions: Regions, states: dict[str, dict[str, Any]], name: str) -> dict[str, Any]:
    region, known = regions.known[name], states.get(name, {})
    latency = known.get("latency_ms")
    place = [f"{region.place[0]:g},{region.place[1]:g}"] if region.place else []
    serves = [*region.networks, *region.countries, *place, *(["all others"] if name == regions.default else [])]
    return {
        "name": name, "state": "here" if name == regions.here else known.get("state", "unknown"),
        "latency": f"{latency} ms" if latency is not None else "-", "node": region.node, "for": ", ".join(serves) or "-",
        "detail": known.get("detail", ""),
    }  # fmt: skip
