"""What to type into a PBX: for `smartalex trunks add` and `smartalex trunks setup`."""

from __future__ import annotations

import socket
from ipaddress import ip_address

import click

from smartalex.config import Config
from smartalex.store.state import State, running_addresses
from smartalex.tenants import presets
from smartalex.tenants.presets import PRESETS
from smartalex.tenants.trunk import Trunk


def say_setup(trunk: Trunk, node: presets.Node, number: str, password: str = "") -> None:
    """Where, then field by field."""
    click.echo(f"\nWhat to type into the PBX ({PRESETS.get(trunk.pbx, presets.GENERIC).title}):")
    for screen, lines in presets.setup(trunk, node, number, password):
        click.echo(f"\n  {screen}")
        width = max(len(field) for field, _ in lines)
        for field, value in lines:
            click.echo(f"    {field.ljust(width)}  {value}".rstrip())
    click.echo("")
    if ip_address(node.host).is_loopback:
        click.echo(f"! {node.host} is reached from this machine only; start the platform with --host 0.0.0.0, or set node.host\n")


def node_of(here: State, config: Config) -> presets.Node:
    """This node as a PBX sees it: as the running platform says, else as it is configured."""
    now = running_addresses(here.folder)
    host = config.node.advertised_address or now.get("host", config.node.host)
    return presets.Node(
        own_address() if ip_address(host).is_unspecified else host,
        now.get("sip_port", config.sip.port), now.get("tls_port", config.sip.tls_port), now.get("rtp_ports", config.rtp.ports),
        config.sip.realm, config.rtp.codecs, config.sip.transports, config.sip.session_expires_s, config.sip.min_se_s,
    )  # fmt: skip


def own_address() -> str:
    """The one that this machine would send from to anywhere else; nothing is sent."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("192.0.2.1", 9))
        except OSError:
            return "127.0.0.1"
        return str(probe.getsockname()[0])
