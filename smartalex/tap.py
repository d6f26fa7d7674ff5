"""The doors to the reactor: `twistd smartalex`, `smartalex run`, and coroutines of the command line.

This is the only file that touches the global reactor.
"""

from __future__ import annotations

import sys
from collections.abc import Awaitable, Callable
from typing import Any, TextIO

from twisted.internet.defer import Deferred
from twisted.internet.task import react as twisted_react
from twisted.logger import (
    FilteringLogObserver,
    ILogObserver,
    Logger,
    LogLevel,
    LogLevelFilterPredicate,
    globalLogBeginner,
    jsonFileLogObserver,
    textFileLogObserver,
)
from twisted.python import usage

from smartalex import reactor as reactor_plugin
from smartalex.config import Config, load
from smartalex.errors import ConfigurationError, LocalError
from smartalex.service import Announce, SmartAlexService


class Options(usage.Options):
    """Options of `twistd smartalex`."""

    synopsis = "[--config FILE]"
    optParameters = [
        ["config", "c", None, "TOML file; every option stands with its default in etc/smartalex.toml"],
        ["state", "s", None, "state directory (overrides node.state_dir)"],
    ]


def makeService(options: Options) -> SmartAlexService:
    """The service for `twistd`; wrong configuration ends in one sentence instead of a traceback."""
    from twisted.internet import reactor  # noqa: PLC0415 (not before it is installed)

    overrides = {"node.state_dir": options["state"]} if options["state"] else {}
    try:
        config = load(options["config"], overrides)
        return SmartAlexService(reactor, config, _first_words)
    except (ConfigurationError, LocalError) as error:
        raise SystemExit(f"smartalex: {error}") from None


def _first_words(ready: dict[str, Any]) -> None:
    """A daemon shows no password; its log says how to come by one."""
    if "password" in ready:
        Logger().info("a first trunk was made; show its password with: smartalex secret rotate {trunk}", trunk=ready["trunk"])


def run(config: Config, announce: Announce) -> int:
    """Run the service in the foreground on uvloop until SIGTERM or SIGINT; returns the exit status."""
    reactor_plugin.install()
    from twisted.internet import reactor  # noqa: PLC0415 (not before it is installed)

    start_logging(config, sys.stderr)
    service = SmartAlexService(reactor, config, announce)
    service.privilegedStartService()
    reactor.callWhenRunning(service.startService)
    reactor.addSystemEventTrigger("before", "shutdown", service.stopService)
    reactor.run()
    return service.exit_status


def react(main: Callable[[Any], Awaitable[int]]) -> None:
    """Run `main(reactor)` on uvloop and leave with the exit status it returns."""
    reactor_plugin.install()
    from twisted.internet import reactor  # noqa: PLC0415 (not before it is installed)

    async def to_exit(_: Any) -> None:
        raise SystemExit(await main(reactor))

    twisted_react(lambda r: Deferred.fromCoroutine(to_exit(r)), _reactor=reactor)


def start_logging(config: Config, stream: TextIO) -> None:
    """Log to `stream` as configured: text or one JSON object a line."""
    observer: ILogObserver = jsonFileLogObserver(stream) if config.log.json_lines else textFileLogObserver(stream)
    level = LogLevel.levelWithName(config.log.level)
    predicate = LogLevelFilterPredicate(defaultLogLevel=level)
    globalLogBeginner.beginLoggingTo([FilteringLogObserver(observer, [predicate])], redirectStandardIO=False)
