"""`smartalex call`: place a call with the built-in phone."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import click
import numpy as np
from twisted.internet.defer import Deferred

from smartalex.cli.aim import Aim, aim
from smartalex.cli.state import show_json, state_options
from smartalex.cli.transcript import Transcript
from smartalex.errors import BackendError, ConfigurationError
from smartalex.media.codecs import registry
from smartalex.media.resample import resample
from smartalex.media.wav import read_wav
from smartalex.phone.call import Phone, PhoneOptions, render
from smartalex.phone.pbx import PLANS
from smartalex.phone.report import Result, as_json, sentence
from smartalex.phone.script import Item

ITEMS = ("--say", "--wav", "--dtmf")


class Ordered(click.Command):
    """Keeps --say, --wav and --dtmf in the order they were given."""

    def parse_args(self, ctx: click.Context, args: list[str]) -> list[str]:
        order = [name[2:] for name in (a.partition("=")[0] for a in args) if name in ITEMS]
        ctx.ensure_object(dict)["order"] = order
        return super().parse_args(ctx, args)


@click.command(cls=Ordered)
@click.argument("target", required=False, metavar="[sip:USER@HOST:PORT]")
@state_options
@click.option("--say", multiple=True, metavar="TEXT", help="Said (espeak-ng) when the agent has finished speaking; repeatable.")
@click.option("--wav", multiple=True, metavar="FILE", help="Played in its turn; repeatable.")
@click.option("--dtmf", multiple=True, metavar="DIGITS", help="Keys pressed in their turn; repeatable.")
@click.option("--agent", default="alex", show_default=True, metavar="NAME", help="Number or name to call, without a target.")
@click.option("--trunk", metavar="NAME", help="Call as this trunk of the local platform (default: its first with a password).")
@click.option("--username", metavar="U", help="Digest username, instead of a local trunk's.")
@click.option(
    "--password", envvar="SMARTALEX_PASSWORD", metavar="P", help="Its password; better SMARTALEX_PASSWORD, or asked for."
)
@click.option("--password-file", type=click.File("r"), metavar="FILE", help="Its password is the first line; - is stdin.")
@click.option("--transport", type=click.Choice(["udp", "tcp", "tls"]), default="udp", show_default=True)
@click.option("--insecure", is_flag=True, help="Over TLS take any certificate (the local platform's own is known).")
@click.option(
    "--codec",
    "codecs",
    multiple=True,
    type=click.Choice(registry.known(), case_sensitive=False),
    help="Offered; repeatable, in order.",
)
@click.option("--from", "caller", default="+15550001111", show_default=True, metavar="NUMBER", help="Who calls.")
@click.option("--voice", default="en-us", show_default=True, help="espeak-ng voice of the caller.")
@click.option(
    "--refer-answer",
    "refer_answers",
    multiple=True,
    type=click.Choice(list(PLANS)),
    help="How the PBX's part answers a transfer (default accept); repeated: the first transfer, the second, ...",
)
@click.option("--record", metavar="FILE", help="Stereo WAV: left the caller, right the agent.")
@click.option(
    "--max-seconds", type=click.FloatRange(min=0, min_open=True), default=120.0, show_default=True, help="Hang up then."
)
@click.option("--json", "as_one_line", is_flag=True, help="Nothing but one JSON line at the end.")
@click.pass_context
def command(context: click.Context, /, target: str | None, state: str | None, config: str | None, **given: Any) -> None:
    """Place a real SIP call and show the conversation live.

    Without a target it calls the demo agent of the local platform as the demo trunk.  What the agent says is read
    from the local platform's record as it grows; of a foreign one only how long it spoke is known.  When the agent
    transfers the call, the phone plays the PBX's part.

    \b
      smartalex call --say "connect me to Sarah in billing" --say yes --record call.wav
      smartalex call --dtmf 2 --dtmf 1 --refer-answer busy
      SMARTALEX_PASSWORD=... smartalex call sip:alex@192.0.2.1 --username sa_... --transport tls

    Exit status: 0 answered, 1 refused or failed, 2 wrong usage.
    """
    _check(given)
    aimed = aim(target, state, config, given)
    lists = {kind: list(given[kind]) for kind in ("say", "wav", "dtmf")}
    wanted = [(kind, lists[kind].pop(0)) for kind in context.obj["order"]]
    from smartalex import tap  # noqa: PLC0415  (loads the whole service, and not for --help)

    async def main(reactor: Any) -> int:
        return await Placing(reactor, aimed, given).place(wanted)

    tap.react(main)


def _check(given: dict[str, Any]) -> None:
    """What can be known to be wrong before anybody's telephone rings."""
    for digits in given["dtmf"]:
        if not re.fullmatch(r"[0-9A-Da-d*#]+", digits):
            raise click.UsageError(f"--dtmf {digits!r}: keys are 0-9, *, # and A-D")
    try:
        registry.proper(given["codecs"])
    except ConfigurationError as error:
        raise click.UsageError(f"--codec: {error}") from None
    for path in given["wav"]:
        telephone_wav(path)
    if given["record"] and not os.access(Path(given["record"]).absolute().parent, os.W_OK):
        raise click.UsageError(f"--record {given['record']}: that folder cannot be written to")


class Placing:
    """One call of the command: renders what is to be said, calls, follows, reports."""

    def __init__(self, reactor: Any, aimed: Aim, given: dict[str, Any]) -> None:
        self._reactor = reactor
        self._aim = aimed
        self._given = given
        self._started = time.monotonic()
        self._finished: Deferred[None] = Deferred()
        plans = tuple(PLANS[name] for name in given["refer_answers"] or ("accept",))
        options = PhoneOptions(given["codecs"] or registry.USUAL, plans, given["record"] or "")
        self.phone = Phone(reactor, options, self._show)
        local = aimed.local
        self.transcript = Transcript(reactor, local.repository.records, self._heard) if local is not None else None

    async def place(self, wanted: Sequence[tuple[str, str]]) -> int:
        """The exit status."""
        self._reactor.addSystemEventTrigger("before", "shutdown", self._interrupted)
        try:
            items = await self._items(wanted)
            result = await self._call(items)
        except BackendError as error:
            click.echo(f"the caller's voice does not work: {error}", err=True)
            return 1
        finally:
            self._finished.callback(None)
        self._report(result)
        return 0 if result.ok else 1

    async def _call(self, items: Sequence[Item]) -> Result:
        target = self._aim.target
        self._show("phone", f"calls {target.uri} by {target.peer.transport.upper()}")
        if self.transcript is not None:
            self.transcript.follow(lambda: self.phone.result.call_id)
        result = await self.phone.call(target, items, self._given["max_seconds"])
        if self.transcript is not None and result.status:
            await self.transcript.finish()
        await self.phone.close()
        return result

    def _interrupted(self) -> Deferred[None] | None:
        """Ctrl-C: say goodbye first."""
        if self._finished.called or not self.phone.result.call_id:
            return None
        self.phone.hang_up("caller")
        return self._finished

    async def _items(self, wanted: Sequence[tuple[str, str]]) -> list[Item]:
        if not any(kind == "say" for kind, _ in wanted):
            return [_silent_item(kind, text) for kind, text in wanted]
        from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer  # noqa: PLC0415  (only where something is said)

        voice, synthesizer = self._given["voice"], EmbeddedSynthesizer(self._reactor)
        try:
            return [
                Item(kind, text, await render(synthesizer, voice, text)) if kind == "say" else _silent_item(kind, text)
                for kind, text in wanted
            ]
        finally:
            synthesizer.stop()

    def _show(self, who: str, text: str) -> None:
        if who == "speech" and self.transcript is not None:
            return  # its words come from the record
        if not self._given["as_one_line"]:
            who, text = ("agent", f"[speaks, {text}]") if who == "speech" else (who, text)
            click.echo(f"{time.monotonic() - self._started:7.1f} s  {who:<7} {text}")

    def _heard(self, role: str, text: str) -> None:
        """A line of the platform's transcript; its caller lines are what it understood."""
        self._show(*(("agent", text) if role == "agent" else ("heard", f"({role}: {text})")))

    def _report(self, result: Result) -> None:
        record = self.transcript.record if self.transcript is not None else ""
        if self._given["as_one_line"]:
            show_json(as_json(result, self.phone.said, self.transcript.lines if self.transcript is not None else None, record))
            if result.ok:
                return
        click.echo(("" if self._given["as_one_line"] else "\n") + sentence(result), err=not result.ok)
        if record and not self._given["as_one_line"]:
            click.echo(f"its record: smartalex calls show {record}")


def _silent_item(kind: str, text: str) -> Item:
    """An item that needs no voice."""
    return Item(kind, text, *telephone_wav(text)) if kind == "wav" else Item(kind, text.upper())


def telephone_wav(path: str) -> tuple[bytes, int]:
    """The file in mono, and its rate: 16 kHz if it has as much, else 8."""
    try:
        wav = read_wav(path)
    except (OSError, ValueError) as error:
        raise click.UsageError(f"--wav {error}") from None
    samples = np.frombuffer(wav.pcm, "<i2").reshape(-1, wav.channels).mean(axis=1)
    rate = 16000 if wav.rate >= 16000 else 8000
    return resample(samples.astype("<i2").tobytes(), wav.rate, rate), rate
