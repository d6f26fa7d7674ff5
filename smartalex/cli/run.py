"""`smartalex run`: the platform in the foreground."""

from __future__ import annotations

import json
from typing import Any

import click

from smartalex.config import load
from smartalex.errors import SmartAlexError


@click.command()
@click.option("--state", envvar="SMARTALEX_STATE", metavar="DIR", help="State directory; made at the first start.")
@click.option("--config", envvar="SMARTALEX_CONFIG", metavar="FILE", help="Configuration file (see etc/smartalex.toml).")
@click.option("--host", metavar="ADDR", help="Address to listen on.")
@click.option("--sip-port", type=int, metavar="P", help="SIP over UDP and TCP.")
@click.option("--tls-port", type=int, metavar="P", help="SIP over TLS.")
@click.option("--http-port", type=int, metavar="P", help="Metrics and health.")
@click.option("--rtp-ports", metavar="A-B", help="Range of UDP ports for audio.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON line when ready.")
def command(as_json: bool, config: str | None, **given: Any) -> None:
    """Start the platform; Ctrl-C ends it when the calls in progress are over, a second one at once."""
    names = {"state": "node.state_dir", "host": "node.host", "sip_port": "sip.port", "tls_port": "sip.tls_port",
             "http_port": "http.port", "rtp_ports": "rtp.ports"}  # fmt: skip
    try:
        loaded = load(config, {names[key]: value for key, value in given.items() if value is not None})
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
    from smartalex import tap  # noqa: PLC0415  (loads the whole service, and not for --help)

    raise SystemExit(tap.run(loaded, _print_json if as_json else _welcome))


def _print_json(ready: dict[str, Any]) -> None:
    click.echo(json.dumps(ready))


def _welcome(ready: dict[str, Any]) -> None:
    host, sip = ready["host"], ready["sip_port"]
    click.echo(f"\nSmartAlex takes calls on {host}: SIP {sip} (UDP, TCP), {ready['tls_port']} (TLS); state in {ready['state']}")
    click.echo(f"  trunk     {ready['trunk']}\n  username  {ready['username']}")
    if "password" in ready:
        click.echo(f"  password  {ready['password']}   (shown this once; a new one: smartalex secret rotate {ready['trunk']})")
    click.echo(
        f"\nHear it, in another terminal:\n"
        f"  smartalex call --state {ready['state']} --say 'connect me to Sarah in billing' --say yes\n"
        f"or let a PBX or a softphone call sip:alex@{host}:{sip} with the username and password above (it need not register).\n"
        f"Then: smartalex calls; metrics at http://127.0.0.1:{ready['http_port']}/metrics\n"
    )
