"""`smartalex call`: place a call with the built-in phone."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import attrs
import click

from smartalex.cli.state import opened, state_options
from smartalex.errors import RemoteError
from smartalex.media.resample import resample
from smartalex.media.wav import read_wav
from smartalex.phone.call import Item, Phone, Target, render
from smartalex.sip.dialog import is_address
from smartalex.sip.digest import Secret
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from smartalex.store.state import State

MEANING = {
    0: "nobody answered at that address", 403: "the platform did not accept these credentials", 404: "there is no such number on this trunk",
    488: "no codec in common", 503: "all lines are in use; try again shortly", 408: "nobody answered in time",
}  # fmt: skip


class Ordered(click.Command):
    """Keeps --say, --wav and --dtmf in the order they were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        ctx.ensure_object(dict)["order"] = [
            a.partition("=")[0][2:] for a in args if a.partition("=")[0] in ("--say", "--wav", "--dtmf")
        ]
        return super().parse_args(ctx, args)


@click.command(cls=Ordered)
@click.argument("target", required=False, metavar="[sip:USER@HOST:PORT]")
@state_options
@click.option("--say", multiple=True, metavar="TEXT", help="Said when the agent has finished speaking; repeatable.")
@click.option("--wav", multiple=True, metavar="FILE", help="Played in its turn.")
@click.option("--dtmf", multiple=True, metavar="DIGITS", help="Keys pressed in their turn.")
@click.option("--username", help="Digest username (default: the local platform's demo trunk).")
@click.option("--password", envvar="SMARTALEX_PASSWORD", help="Its password (or SMARTALEX_PASSWORD).")
@click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), default="udp", show_default=True)
@click.option("--codec", multiple=True, type=click.Choice(["PCMU", "PCMA"]), help="Offered in this order.")
@click.option("--from", "caller", default="+15550001111", show_default=True, metavar="NUMBER")
@click.option("--voice", default="en-us", show_default=True, help="espeak-ng voice of the caller.")
@click.option("--record", metavar="FILE", help="Stereo WAV: left the caller, right the agent.")
@click.option("--max-seconds", default=120.0, show_default=True)
@click.option("--json", "as_json", is_flag=True, help="Nothing but one JSON line at the end.")
@click.pass_context
def command(context: click.Context, target: str | None, state: str | None, config: str | None, **given: Any) -> None:
    """Place a call; without a target, to the demo agent of the local platform."""
    local = opened(state, config) if target is None or not given["username"] else None
    aim = _target(target, local, given)
    lists = {kind: list(given[kind]) for kind in ("say", "wav", "dtmf")}
    wanted = [(kind, lists[kind].pop(0)) for kind in context.obj["order"]]
    from smartalex import tap

    async def main(reactor: Any) -> int:
        return await _place(reactor, aim, wanted, local, given)

    tap.react(main)


async def _place(reactor: Any, aim: Target, wanted: list[tuple[str, str]], local: State | None, given: dict[str, Any]) -> int:
    from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer

    started = time.monotonic()

    def show(who: str, text: str) -> None:
        if not given["as_json"]:
            click.echo(f"{time.monotonic() - started:7.1f} s  {who:<7} {text}")

    synthesizer = EmbeddedSynthesizer(reactor)
    try:
        items = [await _item(kind, text, synthesizer, given["voice"]) for kind, text in wanted]
    finally:
        synthesizer.stop()
    phone = Phone(reactor, given["codec"] or ("PCMU", "PCMA"), show)
    show("phone", f"calling {aim.uri} by {aim.peer.transport.upper()}")
    result = await phone.call(aim, items, given["max_seconds"])
    if given["record"]:
        phone.record(given["record"])
    await phone.close()
    said = _said(local, result.call_id)
    if given["as_json"]:
        click.echo(json.dumps({"ok": result.ok, **attrs.asdict(result), "said": said}))
    else:
        _report(result, said)
    return 0 if result.ok else 1


def _report(result: Any, said: dict[str, list[str]]) -> None:
    if result.status != 200:
        click.echo(
            f"\nnot connected: {result.status or ''} {result.reason}: {MEANING.get(result.status, 'see the platform: smartalex calls --refused')}"
        )
        return
    for text in said["agent"]:
        click.echo(f"           agent said: {text}")
    end = f"transferred to {result.transferred_to}" if result.transferred_to else f"ended by the {result.ended_by}"
    click.echo(f"\n{end} after {result.duration_s} s; codec {result.codec}, MOS {result.mos}")


async def _item(kind: str, text: str, synthesizer: Any, voice: str) -> Item:
    if kind == "say":
        return Item("say", text, await render(synthesizer, voice, text))
    if kind == "wav":
        wav = read_wav(text)
        return Item("wav", text, resample(wav.pcm, wav.rate, 8000))
    return Item("dtmf", text)


def _said(local: State | None, call_id: str) -> dict[str, list[str]]:
    """The words, from the local platform's own record."""
    said: dict[str, list[str]] = {"caller": [], "agent": []}
    if local is None:
        return said
    time.sleep(0.3)  # records reach the database a tenth of a second later
    found = local.repository.call(call_id)
    for event in found["events"] if found else ():
        if event["kind"] == "said" and event["role"] in said:
            said[event["role"]].append(event["text"])
    return said


def _target(text: str | None, local: State | None, given: dict[str, Any]) -> Target:
    transport = given["transport"]
    run: dict[str, Any] = {}
    if text is None and local is not None:
        run = _running(local)
        host = "127.0.0.1" if run["host"] in ("0.0.0.0", "::") else run["host"]
        text = f"sip:alex@{host}:{run['tls_port'] if transport == 'tls' else run['sip_port']}"
    try:
        uri = Uri.parse(text or "")
    except RemoteError:
        raise click.UsageError(f"{text!r} is no SIP address; write for example sip:alex@192.0.2.1:5060") from None
    if uri.scheme not in ("sip", "sips") or not is_address(uri.host):
        raise click.UsageError("the address must be sip:USER@ADDRESS:PORT with a numeric address")
    peer = Peer(transport, uri.host.strip("[]"), uri.port or (5061 if transport == "tls" else 5060))
    username, secret = given["username"], Secret(given["password"] or "")
    if not username and local is not None:
        username, secret = _demo(local)
    certificate = local.certificate if local is not None else None
    return Target(uri, peer, username or "", secret, given["caller"], certificate)


def _running(local: State) -> dict[str, Any]:
    path: Path = local.folder / "run.json"
    if not path.exists():
        raise click.ClickException(f"nothing is running in {local.folder}; start it with: smartalex run --state {local.folder}")
    run: dict[str, Any] = json.loads(path.read_text())
    return run


def _demo(local: State) -> tuple[str, Secret]:
    for username, (_, ha1s) in local.repository.credentials().items():
        return username, Secret(ha1s=ha1s)
    raise click.ClickException("this platform has no digest trunk; give --username and --password")
