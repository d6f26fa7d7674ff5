"""Whom `smartalex call` calls and as whom: the platform of a state directory, or anybody."""

from __future__ import annotations

import json
import re
import socket
import sys
from collections.abc import Mapping
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import attrs
import click

from smartalex.cli.state import opened, settings
from smartalex.cli.trunks import trunk_named
from smartalex.errors import RemoteError
from smartalex.phone.call import Target
from smartalex.sip.digest import Secret
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from smartalex.store import credentials
from smartalex.store.state import State, running


@attrs.frozen
class Aim:
    """`local` is the state of the platform that is called, where it is ours."""

    target: Target
    local: State | None


def aim(text: str | None, state: str | None, config: str | None, given: Mapping[str, Any]) -> Aim:
    """From the command's options; ends it with a sentence when they make no call."""
    transport = given["transport"]
    folder = Path(settings(state, config).node.state_dir)
    run = _running(folder)
    if text is None:
        if run is None:
            raise click.ClickException(f"nothing is running in {folder}; start it with: smartalex run --state {folder}")
        text = f"sip:{given['agent']}@{_bracketed(_reachable(run['host']))}:{_port(run, transport)}"
    uri = _uri(text)
    peer = Peer(transport, _numeric(uri.host.strip("[]")), uri.port or (5061 if transport == "tls" else 5060))
    local = opened(state, config) if run is not None and _is_ours(peer, run) else None
    username, secret = _identity(local, given)
    certificate = _certificate(local, state, config) if local is not None else None
    return Aim(Target(uri, peer, username, secret, _caller(given["caller"]), certificate, given["insecure"]), local)


def _running(folder: Path) -> dict[str, Any] | None:
    """What the platform of this folder says about itself, while it runs."""
    try:
        run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    except (OSError, ValueError):
        return None
    return run if running(folder) else None


def _uri(text: str) -> Uri:
    try:
        uri = Uri.parse(text if ":" in text.partition("@")[0] else f"sip:{text}")
    except RemoteError:
        uri = None
    if uri is None or uri.scheme != "sip" or not uri.user:
        raise click.UsageError(f"{text!r} is no SIP address; write for example sip:alex@192.0.2.1:5060")
    return uri


def _numeric(host: str) -> str:
    try:
        return str(socket.getaddrinfo(host, None, type=socket.SOCK_DGRAM)[0][4][0])
    except (OSError, UnicodeError):
        raise click.ClickException(f"{host!r} has no address; is the name right?") from None


def _reachable(host: str) -> str:
    return {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)


def _port(run: Mapping[str, Any], transport: str) -> int:
    return int(run["tls_port"] if transport == "tls" else run["sip_port"])


def _is_ours(peer: Peer, run: Mapping[str, Any]) -> bool:
    """Whether this address is the running platform's: its port, on an address of this machine that it listens on."""
    if peer.port != _port(run, peer.transport):
        return False
    if run["host"] not in ("0.0.0.0", "::"):
        return peer.host == run["host"]
    family = socket.AF_INET6 if ip_address(peer.host).version == 6 else socket.AF_INET
    with socket.socket(family, socket.SOCK_DGRAM) as probe:
        try:
            probe.bind((peer.host, 0))
        except OSError:
            return False
    return True


def _identity(local: State | None, given: Mapping[str, Any]) -> tuple[str, Secret]:
    if given["username"]:
        return given["username"], Secret(_password(given))
    if given["password"] or given["password_file"]:
        raise click.UsageError("a password needs its --username")
    if local is None:
        if given["trunk"]:
            raise click.UsageError("--trunk is for the platform of --state; a foreign one wants --username")
        return "", Secret()  # anonymous: a platform that knows us by address, or none at all
    return _own(local, given["trunk"])


def _own(local: State, name: str | None) -> tuple[str, Secret]:
    """A trunk's own credentials, from the vault."""
    tenancy = local.repository.tenancy()
    if name is None:
        trunk = next((t for t in tenancy.trunks.values() if t.digest and t.active), None)
    else:
        trunk = trunk_named(tenancy, name)
    if trunk is None or not trunk.digest:
        return "", Secret()
    return trunk.username, Secret(ha1s=credentials.read(local.repository.vault, trunk.id))


def _password(given: Mapping[str, Any]) -> str:
    """From the file, the option or the environment, else asked for."""
    if given["password_file"]:
        with given["password_file"] as file:
            text: str = file.readline().rstrip("\r\n")
    else:
        text = given["password"] or ""
    if not text and sys.stdin.isatty() and not given["password_file"]:
        text = click.prompt(f"Password of {given['username']}", hide_input=True, err=True)
    if not text:
        raise click.UsageError(
            "no password for --username; give --password-file FILE (- reads a line from stdin) or set SMARTALEX_PASSWORD"
        )
    return text


def _caller(number: str) -> str:
    if not re.fullmatch(r"\+?[0-9A-Za-z*._-]{1,64}", number):
        raise click.UsageError(f"--from {number!r} is no number; write for example +15550001111 or anonymous")
    return number


def _certificate(local: State, state: str | None, config: str | None) -> Path:
    own = settings(state, config).sip.tls_certificate
    return Path(own) if own else local.certificate


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host
