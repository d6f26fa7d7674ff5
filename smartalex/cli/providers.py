"""`smartalex providers`: the seams and what fills them."""

from __future__ import annotations

import click

from smartalex.cli.state import json_option, show_json
from smartalex.plugins import providers

SEAMS = {
    "IVoiceAgentFactory": "an AI backend: caller audio in, agent audio and tool requests out",
    "IRecognizer": "speech to text, for the cascade",
    "IDialogue": "what to say next, for the cascade",
    "ISynthesizer": "text to speech, for the cascade",
    "IAuthenticator": "which trunk a request belongs to",
    "ICodec": "one audio codec",
    "IVoiceDetectorFactory": "what tells speech from noise",
    "IAudioFilterFactory": "what callers are heard through",
    "IRecordingSink": "where recordings of calls go",
    "ISecretStore": "where secrets are kept",
    "IMasterKey": "what wraps the keys of secrets",
    "IRecordSink": "where call records go",
    "IMessageBox": "where callers' messages go",
}


@click.command()
@json_option
def command(as_json: bool) -> None:
    """List the seams (interfaces that plugins can provide) and the providers installed for each.

    A provider is a smartalex.plugins.LazyProvider in a file below twisted/plugins of any installed package;
    configuration names it as NAME or NAME:key=value.
    """
    found = sorted(providers(), key=lambda provider: (provider.seam, provider.name))
    if as_json:
        for provider in found:
            show_json({"seam": provider.seam, "name": provider.name, "description": provider.description})
        return
    for seam in (*SEAMS, *sorted({provider.seam for provider in found} - set(SEAMS))):
        mine = [provider for provider in found if provider.seam == seam]
        click.echo(f"{seam:<22} {SEAMS.get(seam, '')}" + ("" if mine else " (no plugins; the built-in one is used)"))
        for provider in mine:
            click.echo(f"    {provider.name:<16} {provider.description}")
