"""The options that find a state directory, and opening it for reading."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

from smartalex.config import load
from smartalex.errors import SmartAlexError
from smartalex.store.state import State, open_state


def state_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --state and --config."""
    command = click.option("--state", envvar="SMARTALEX_STATE", metavar="DIR", help="State directory (default ./state).")(command)
    return click.option("--config", envvar="SMARTALEX_CONFIG", metavar="FILE", help="Configuration file.")(command)


def opened(state: str | None, config: str | None) -> State:
    """The state for a command that only looks; ends the command with a sentence when there is none."""
    try:
        return open_state(load(config, {"node.state_dir": state} if state else {}), serve=False)
    except SmartAlexError as error:
        raise click.ClickException(str(error)) from None
