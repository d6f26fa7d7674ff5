"""What a trunk may do beyond calling, and what it has to prove: options of `smartalex trunks`."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any

import attrs
import click

from smartalex.cli.values import Host, Word
from smartalex.errors import ConfigurationError
from smartalex.media.codecs import registry
from smartalex.media.frame import PACKET_MS
from smartalex.media.seams import audio_filters
from smartalex.tenants.trunk import Trunk

DTMF = ("rfc4733", "inband")
SRTP = ("off", "optional", "required")
STIR = ("off", "record", "require", "require-A", "require-B", "require-C")


class ReferTarget(click.ParamType[str]):
    """A number, or the beginning of some with a star."""

    name = "number"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not re.fullmatch(r"\+?[0-9A-Za-z._#-]{1,64}\*?", value):
            self.fail(f"{value!r}: write a number such as 301, or 3* for all that begin with 3", param, ctx)
        return value


class Certified(Host):
    """A name as certificates hold it; "" for none."""

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        return super().convert(value, param, ctx).lower() if value else ""


class Codecs(click.ParamType[tuple[str, ...]]):
    """Encoding names with commas between, best first."""

    name = "codecs"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> tuple[str, ...]:
        if isinstance(value, tuple):
            return value
        try:
            return registry.proper(name.strip() for name in value.split(",") if name.strip())
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)


class Filter(click.ParamType[str]):
    """A provider of IAudioFilterFactory with its options, "" for none."""

    name = "filter"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            if value:
                audio_filters(value)
        except ConfigurationError as error:
            self.fail(str(error), param, ctx)
        return value


TRANSPORTS = ("udp", "tcp", "tls", "ws", "wss")

OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option(
        "--follow-redirects/--no-follow-redirects",
        default=None,
        help="Its PBX follows a 302 to another region (default: it does not, and its calls stay where they come in).",
    ),
    click.option("--region", "regions", multiple=True, type=Word(), metavar="NAME", help="Served there only; repeatable."),
    click.option(
        "--calls-per-second",
        type=click.IntRange(0, 1000),
        metavar="N",
        help="How fast its calls may begin; 0 for no limit of its own (default).",
    ),
    click.option(
        "--transport",
        "transports",
        multiple=True,
        type=click.Choice(TRANSPORTS),
        help="It may call over this and no other that is not named; repeatable (default: all of the node).",
    ),
    click.option(
        "--record/--no-record",
        default=None,
        help="Record its calls, where the node has a place for it (see recordings.sink; default no).",
    ),
    click.option(
        "--noise-suppression",
        type=Filter(),
        metavar="FILTER",
        help='Hear its callers through a filter such as webrtc:level=2 (see smartalex providers); "" for none.',
    ),
    click.option(
        "--dtmf",
        type=click.Choice(DTMF),
        help="Keys come as RTP events or SIP INFO, or in the audio as well (default rfc4733).",
    ),
    click.option(
        "--srtp",
        type=click.Choice(SRTP),
        help="Audio protected by SRTP: never, where the PBX can, or no call without (default off).",
    ),
    click.option(
        "--ptime",
        type=click.Choice([str(ms) for ms in PACKET_MS]),
        help="Milliseconds of audio in the packets we ask it for (default 20); it gets such as it asks for.",
    ),
    click.option(
        "--codecs",
        type=Codecs(),
        metavar="LIST",
        help='What is spoken, best first, such as G722,PCMU; "" for the codecs of the node (see rtp.codecs).',
    ),
    click.option(
        "--client-certificate",
        type=Certified(),
        metavar="NAME",
        help='TLS only, with a certificate of this name (see sip.tls_client_roots); "" for any or none.',
    ),
    click.option(
        "--refer-target",
        multiple=True,
        type=ReferTarget(),
        metavar="NUMBER",
        help="The PBX may send the agent there by REFER; 3* for all that begin with 3; repeatable.",
    ),
    click.option(
        "--stir",
        type=click.Choice(STIR),
        help="What is made of a call's signed identity (see sip.stir_anchors; default off).",
    ),
)
"""The last one is shown first."""


def policy_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds what `with_policy` reads: --stir, --codecs, --srtp, --transport and so on."""
    for option in OPTIONS:
        command = option(command)
    return command


def with_policy(trunk: Trunk, given: Mapping[str, Any]) -> Trunk:
    """The trunk as these options want it; what is not given stays."""
    certificate = given["client_certificate"]
    return attrs.evolve(
        trunk,
        stir=given["stir"] or trunk.stir,
        refer_targets=()
        if given.get("no_refer_targets")
        else tuple(dict.fromkeys((*trunk.refer_targets, *given["refer_target"]))),
        client_certificate=trunk.client_certificate if certificate is None else certificate,
        codecs=trunk.codecs if given["codecs"] is None else given["codecs"],
        ptime_ms=int(given["ptime"] or trunk.ptime_ms),
        srtp=given["srtp"] or trunk.srtp,
        dtmf=given["dtmf"] or trunk.dtmf,
        noise_suppression=trunk.noise_suppression if given["noise_suppression"] is None else given["noise_suppression"],
        record=trunk.record if given["record"] is None else given["record"],
        transports=() if given.get("any_transport") else tuple(dict.fromkeys(given["transports"])) or trunk.transports,
        regions=() if given.get("no_regions") else tuple(dict.fromkeys((*trunk.regions, *given["regions"]))),
        calls_per_second=trunk.calls_per_second if given["calls_per_second"] is None else given["calls_per_second"],
        follow_redirects=trunk.follow_redirects if given["follow_redirects"] is None else given["follow_redirects"],
    )
