"""The node's configuration: TOML in, a frozen value out, and errors that name file, line and remedy."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from smartalex.errors import ConfigurationError


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(Section):
    state_dir: str = "./state"
    host: str = "127.0.0.1"
    advertised_address: str = ""


class Sip(Section):
    port: int = Field(default=5060, ge=1, le=65535)
    tls_port: int = Field(default=5061, ge=1, le=65535)
    transports: tuple[Literal["udp", "tcp", "tls"], ...] = ("udp", "tcp", "tls")
    realm: str = Field(default="smartalex", min_length=1, pattern=r'^[^"\\]+$')
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = ("MD5", "SHA-256")
    nonce_lifetime_s: float = Field(default=60.0, ge=5, le=3600)
    tls_certificate: str = ""
    tls_key: str = ""
    answer_limit_s: float = Field(default=3.0, gt=0, le=30)
    refer_timeout_s: float = Field(default=30.0, ge=1, le=300)
    ring_limit_s: float = Field(default=60.0, ge=1, le=600)


class Rtp(Section):
    ports: str = "10000-60000"
    symmetric: bool = True
    quarantine_s: float = Field(default=30.0, ge=0, le=600)
    media_timeout_s: float = Field(default=60.0, ge=0, le=3600)

    @field_validator("ports")
    @classmethod
    def _range(cls, value: str) -> str:
        found = re.fullmatch(r"(\d{1,5})-(\d{1,5})", value)
        if not found or not 1024 <= int(found[1]) < int(found[2]) <= 65535:
            raise ValueError('must be "LOW-HIGH" within 1024-65535, such as "10000-60000"')
        return value

    @property
    def port_range(self) -> tuple[int, int]:
        low, _, high = self.ports.partition("-")
        return int(low), int(high)


class Http(Section):
    host: str = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)


class Limits(Section):
    max_calls: int = Field(default=200, ge=1, le=100_000)
    drain_timeout_s: float = Field(default=30.0, ge=0)
    retry_after_s: int = Field(default=10, ge=1, le=3600)


class Store(Section):
    url: str = ""


class Vault(Section):
    key_file: str = ""


class Log(Section):
    level: Literal["debug", "info", "warn", "error"] = "info"
    json_lines: bool = False


class Messages(Section):
    max_seconds: int = Field(default=180, ge=5, le=3600)


class Config(Section):
    """Every option; `etc/smartalex.toml` shows each with its default."""

    node: Node = Node()
    sip: Sip = Sip()
    rtp: Rtp = Rtp()
    http: Http = Http()
    limits: Limits = Limits()
    store: Store = Store()
    vault: Vault = Vault()
    log: Log = Log()
    messages: Messages = Messages()


def load(path: str | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Read `path` (None: all defaults), then the overrides ("sip.port": 5070); raises ConfigurationError."""
    text = _read(path) if path else ""
    try:
        tree: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: {error}") from None
    overridden = dict(overrides or {})
    for dotted, value in overridden.items():
        section, _, key = dotted.partition(".")
        tree.setdefault(section, {})[key] = value
    try:
        return Config.model_validate(tree)
    except ValidationError as error:
        raise ConfigurationError("\n".join(_sentence(problem, path, text, overridden) for problem in error.errors())) from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None


def _sentence(problem: Any, path: str | None, text: str, overridden: Mapping[str, Any]) -> str:
    """ "FILE:LINE: sip.port: what is wrong; what to write"."""
    parts = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    dotted = ".".join(parts[:2])
    where = f"{path}:{_line_of(text, parts)}" if path and dotted not in overridden else "command line"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {dotted}: there is no such {'option' if len(parts) > 1 else 'section'}; {_near(parts)}"
    message = problem["msg"].removeprefix("Value error, ")
    return f"{where}: {dotted}: {message[0].lower()}{message[1:]}, not {problem['input']!r}; write for example {_example(parts)}"


def _near(parts: list[str]) -> str:
    fields = Config.model_fields
    if len(parts) > 1 and parts[0] in fields:
        known = list(_section(parts[0]).model_fields)
    else:
        known = list(fields)
    near = difflib.get_close_matches(parts[-1], known, n=1)
    return f"did you mean {near[0]!r}?" if near else f"there are: {', '.join(known)}"


def _section(name: str) -> type[Section]:
    section: type[Section] = Config.model_fields[name].annotation  # type: ignore[assignment]
    return section


def _example(parts: list[str]) -> str:
    if len(parts) < 2:
        return f"[{parts[0]}]"
    return f"{parts[1]} = {toml_value(getattr(Config.model_fields[parts[0]].default, parts[1]))}"


def toml_value(value: Any) -> str:
    """A default as TOML writes it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return "[" + ", ".join(toml_value(item) for item in value) + "]"
    return f'"{value}"' if isinstance(value, str) else str(value)


def _line_of(text: str, parts: list[str]) -> int:
    """The line where this key, or else its section, stands."""
    section, best = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w-]+)\s*\]", line)
        if header:
            section = header[1]
            if section == parts[0]:
                best = number
        elif section == parts[0] and len(parts) > 1 and re.match(rf"\s*{re.escape(parts[1])}\s*=", line):
            return number
        elif not section and re.match(rf"\s*{re.escape(parts[0])}\s*=", line):
            return number
    return best
