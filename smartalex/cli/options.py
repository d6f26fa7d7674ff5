"""Options that commands share: where the state is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import click
from sqlalchemy.exc import SQLAlchemyError

from smartalex.config import Config, load
from smartalex.errors import LocalError
from smartalex.store.state import State, plain, read_state

F = TypeVar("F", bound=Callable[..., Any])


def state_options(command: F) -> F:
    """--state and --config; a subcommand's own win over those before it."""
    state = click.option("--state", metavar="DIR", envvar="SMARTALEX_STATE", help="State directory (default: ./state).")
    config = click.option("--config", metavar="FILE", envvar="SMARTALEX_CONFIG", help="Configuration file.")
    return state(config(command))


def json_option(command: F) -> F:
    return click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")(command)


def configuration(state: str | None, config: str | None) -> Config:
    """What the options of this command, or else of the ones it stands behind, name."""
    context: click.Context | None = click.get_current_context(silent=True)
    while context is not None:
        state = state or context.params.get("state")
        config = config or context.params.get("config")
        context = context.parent
    return load(config, {"node.state_dir": state} if state else {})


@contextmanager
def opened(state: str | None, config: str | None) -> Iterator[tuple[Config, State]]:
    """The state for reading, closed afterwards."""
    loaded = configuration(state, config)
    found = read_state(loaded)
    try:
        yield loaded, found
    except SQLAlchemyError as error:
        raise LocalError(f"the database of {found.folder} does not answer: {plain(error)}") from None
    finally:
        found.close()
