"""What `smartalex trunks` has to do with registration, in both directions: options, the password, and what is shown."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import attrs
import click

from smartalex.errors import RemoteError
from smartalex.sip.headers import NameAddr
from smartalex.sip.registration import Identity
from smartalex.tenants.trunk import Trunk

TRANSPORTS = ("udp", "tcp", "tls")


class AddressOfRecord(click.ParamType[str]):
    """As the PBX gives it to a telephone."""

    name = "aor"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        try:
            transport = Identity.of(value).registrar.param("transport")
        except RemoteError:
            transport = "none"
        if transport is not None and transport.lower() not in TRANSPORTS:
            self.fail(
                f"{value!r} is nothing to register as; write it as the PBX gives it to a telephone, such as "
                "sip:300@pbx.example.com or sip:300@192.0.2.10:5080;transport=tcp",
                param,
                ctx,
            )
        return value


class Login(click.ParamType[str]):
    name = "user"

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        if not value.isprintable() or not 0 < len(value) <= 64:
            self.fail(f"{value!r}: up to 64 printable characters", param, ctx)
        return value


@attrs.frozen
class Wanted:
    """What the options say of registering; None where nothing was said.  `password` "" is none."""

    register: str | None
    user: str | None
    expires_s: int | None
    password: str | None = attrs.field(repr=False, default=None)

    @property
    def anything(self) -> bool:
        return (self.register, self.user, self.expires_s, self.password) != (None, None, None, None)

    def applied(self, trunk: Trunk) -> Trunk:
        """The trunk as it is to be; raises UsageError where it registers nowhere."""
        address = trunk.register if self.register is None else self.register
        if not address and self.register is None and self.anything:
            raise click.UsageError(f"trunk {trunk.name} registers nowhere; say where with: --register sip:USER@HOST")
        if not address:
            return attrs.evolve(trunk, register="", register_user="", register_expires_s=600)
        return attrs.evolve(
            trunk,
            register=address,
            register_user=trunk.register_user if self.user is None else self.user,
            register_expires_s=self.expires_s or trunk.register_expires_s,
        )


def register_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Adds --register and what goes with it."""
    for option in REGISTER_OPTIONS:
        command = option(command)
    return command


REGISTER_OPTIONS: tuple[Callable[..., Any], ...] = (
    click.option("--register-password-stdin", is_flag=True, help="The password is the first line of standard input."),
    click.option(
        "--register-expires",
        type=click.IntRange(60, 86_400),
        metavar="S",
        help="Seconds to register for at a time (default 600).",
    ),
    click.option("--register-user", type=Login(), metavar="U", help="Name for that password (default: USER of --register)."),
    click.option(
        "--register",
        type=AddressOfRecord(),
        metavar="sip:USER@HOST",
        help="Register there like a desk phone; its password is asked for.",
    ),
)
"""The last one is shown first."""


def wanted(given: Mapping[str, Any]) -> Wanted:
    """From the options; asks for the password where one is needed.  Ends the command with a sentence when they make no sense."""
    register = "" if given.get("no_register") else given["register"]
    if given.get("no_register") and (given["register"] or _others(given)):
        raise click.UsageError("--no-register stands alone, without other --register options")
    password = _password(register) if register or given["register_password_stdin"] else None
    return Wanted(register, given["register_user"], given["register_expires"], password)


def _others(given: Mapping[str, Any]) -> bool:
    return any(given[name] for name in ("register_user", "register_expires", "register_password_stdin"))


def _password(register: str | None) -> str:
    """Never an argument: the list of processes is everybody's."""
    context = click.get_current_context()
    if context.params.get("register_password_stdin"):
        password = sys.stdin.readline().rstrip("\r\n")
        if not password:
            raise click.UsageError("--register-password-stdin: standard input held no password")
        return password
    if not sys.stdin.isatty():
        raise click.UsageError("there is no terminal to ask for the password on; give it with --register-password-stdin")
    asked: str = click.prompt(f"Password of {register} (empty: none)", hide_input=True, default="", show_default=False, err=True)
    return asked


# ---------------------------------------------------------------------- shown


def contacts(bindings: Iterable[Mapping[str, Any]], now: float) -> list[dict[str, Any]]:
    """Where a trunk's PBX has registered from, as --json shows it; `bindings` are the trunk's."""
    alive = [row for row in bindings if row["expires_at"] > now]
    return [
        {
            "contact": str(NameAddr.parse(row["contact"]).uri),
            "source": row["source"],
            "expires_in_s": round(row["expires_at"] - now),
        }
        for row in alive
    ]


def state(row: Mapping[str, Any], now: float) -> str:
    """Both directions in a few words: the PBX registered with us, we registered there."""
    said = [_contacts(row["contacts"])] if row["contacts"] else []
    if row["register"]:
        said.append(_registration(row["registration"], now))
    return "; ".join(said) or "-"


def _contacts(bound: list[dict[str, Any]]) -> str:
    longest = max(one["expires_in_s"] for one in bound)
    return f"{len(bound)} contact{'' if len(bound) == 1 else 's'}, {left(longest)}"


def _registration(known: Mapping[str, Any] | None, now: float) -> str:
    if known is None:
        return "not registered"
    registered = known["until"] is not None and known["until"] > now
    said = [f"registered, {left(known['until'] - now)} left"] if registered else []
    if known["state"] in ("waiting", "refused"):
        again = "" if known["again_at"] is None else f", again in {left(known['again_at'] - now)}"
        said.append(f"cannot register: {known['detail']}{again}")
    return "; ".join(said) or ("run out" if known["state"] == "registered" else known["state"])


def left(seconds: float) -> str:
    return f"{max(0, round(seconds))} s" if seconds < 100 else f"{round(seconds / 60)} min"
