"""The node's configuration: TOML in, frozen values out, every mistake told with its line.

What tenants own (trunks, DIDs, agents) is not here but in the store.
Every option stands once, with its default, in etc/smartalex.toml.
"""

from __future__ import annotations

import difflib
import ipaddress
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from smartalex.errors import ConfigurationError

# ------------------------------------------------------------------ kinds of values


def _ip_address(text: str) -> str:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is not an IP address") from None
    return text


def _ip_address_or_empty(text: str) -> str:
    return _ip_address(text) if text else text


def _existing_file_or_empty(text: str) -> str:
    if text and not Path(text).is_file():
        raise ValueError(f"there is no file {text}")
    return text


def _port_range(text: str) -> str:
    match = re.fullmatch(r"(\d{1,5})-(\d{1,5})", text)
    if not match:
        raise ValueError(f"{text!r} is not a range of ports")
    low, high = int(match[1]), int(match[2])
    if low < 1024 or high > 65535:
        raise ValueError("ports go from 1024 to 65535")
    if high - low < 1:
        raise ValueError("the range needs at least two ports: one for RTP, one for RTCP")
    return text


def _not_empty(value: Any) -> Any:
    if not value:
        raise ValueError("must not be empty")
    return value


def _once_each(values: tuple[str, ...]) -> tuple[str, ...]:
    if len(set(values)) < len(values):
        raise ValueError("names something twice")
    return values


def _as_tuple(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


IpAddress = Annotated[str, AfterValidator(_ip_address)]
IpAddressOrEmpty = Annotated[str, AfterValidator(_ip_address_or_empty)]
FileOrEmpty = Annotated[str, AfterValidator(_existing_file_or_empty)]
PortRange = Annotated[str, AfterValidator(_port_range)]
Text = Annotated[str, AfterValidator(_not_empty)]
Port = Annotated[int, Field(ge=0, le=65535)]
Seconds = Annotated[float, Field(gt=0, le=86400)]
Transports = Annotated[
    tuple[Literal["udp", "tcp", "tls"], ...], BeforeValidator(_as_tuple), AfterValidator(_not_empty), AfterValidator(_once_each)
]
Algorithms = Annotated[
    tuple[Literal["SHA-256", "MD5"], ...], BeforeValidator(_as_tuple), AfterValidator(_not_empty), AfterValidator(_once_each)
]

# ------------------------------------------------------------------ sections


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Node(_Section):
    name: Text = "smartalex"
    state_dir: Text = "./state"
    host: IpAddress = "127.0.0.1"
    advertised_address: IpAddressOrEmpty = ""


class Sip(_Section):
    """Port 0 takes any free port."""

    port: Port = 5060
    tls_port: Port = 5061
    transports: Transports = ("udp", "tcp", "tls")
    realm: Text = "smartalex"
    digest_algorithms: Algorithms = ("SHA-256", "MD5")
    nonce_lifetime_s: Seconds = 60.0
    tls_certificate: FileOrEmpty = ""
    tls_key: FileOrEmpty = ""
    answer_limit_s: Seconds = 3.0
    refer_timeout_s: Seconds = 30.0
    ring_limit_s: Seconds = 60.0

    @model_validator(mode="after")
    def _consistent(self) -> Sip:
        if bool(self.tls_certificate) != bool(self.tls_key):
            raise ValueError("tls_certificate and tls_key go together: give both or neither")
        if self.port == self.tls_port != 0 and {"tcp", "tls"} <= set(self.transports):
            raise ValueError("port and tls_port must differ")
        return self


class Rtp(_Section):
    ports: PortRange = "10000-60000"
    symmetric: bool = True
    quarantine_s: Annotated[float, Field(ge=0, le=3600)] = 30.0

    @property
    def port_range(self) -> tuple[int, int]:
        """(first, last), both usable."""
        low, _, high = self.ports.partition("-")
        return int(low), int(high)


class Http(_Section):
    host: IpAddress = "127.0.0.1"
    port: Port = 8080


class Limits(_Section):
    max_calls: Annotated[int, Field(ge=1, le=100_000)] = 200
    drain_timeout_s: Annotated[float, Field(ge=0, le=86400)] = 30.0
    retry_after_s: Annotated[int, Field(ge=1, le=3600)] = 10


class Store(_Section):
    url: str = ""


class Vault(_Section):
    key_file: str = ""


class Log(_Section):
    level: Literal["debug", "info", "warn", "error", "critical"] = "info"
    json_lines: bool = Field(default=False, alias="json")


class Messages(_Section):
    max_seconds: Annotated[int, Field(ge=1, le=3600)] = 180


class Config(_Section):
    """All of it.  `sip`, `rtp` and so on are the sections of the file."""

    node: Node = Node()
    sip: Sip = Sip()
    rtp: Rtp = Rtp()
    http: Http = Http()
    limits: Limits = Limits()
    store: Store = Store()
    vault: Vault = Vault()
    log: Log = Log()
    messages: Messages = Messages()

    @property
    def state_dir(self) -> Path:
        return Path(self.node.state_dir)


def options_of(section: type[BaseModel]) -> dict[str, Any]:
    """Name as the file spells it -> default."""
    return {field.alias or name: field.default for name, field in section.model_fields.items()}


SECTIONS: dict[str, type[BaseModel]] = {name: type(field.default) for name, field in Config.model_fields.items()}

# ------------------------------------------------------------------ loading


def load(path: str | Path | None, overrides: Mapping[str, Any] | None = None) -> Config:
    """Defaults, then the file, then `overrides` ("sip.port" -> 5070); raises ConfigurationError, one line a mistake."""
    text = _read(path) if path is not None else ""
    given = _parse(text, path)
    overrides = overrides or {}
    for dotted, value in overrides.items():
        section, _, key = dotted.partition(".")
        table = given.setdefault(section, {})
        if isinstance(table, dict):
            table[key] = value
    try:
        return Config.model_validate(given)
    except ValidationError as error:
        lines = [_sentence(mistake, path, text, overrides) for mistake in error.errors()]
        raise ConfigurationError("\n".join(lines)) from None


def _read(path: str | Path) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigurationError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise ConfigurationError(f"{path}:1: is not UTF-8 text") from None


def _parse(text: str, path: str | Path | None) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        found = re.search(r"at line (\d+)", str(error))
        line = int(found[1]) if found else text.count("\n") + 1
        what = re.sub(r" \(at .*\)$", "", str(error))
        raise ConfigurationError(f'{path}:{line}: not TOML: {what}; write e.g. name = "value"') from None


# ------------------------------------------------------------------ telling what is wrong


def _sentence(mistake: Any, path: str | Path | None, text: str, overrides: Mapping[str, Any]) -> str:
    """One mistake as "FILE:LINE: section.key: what is wrong; write e.g. ..."."""
    location = [part for part in mistake["loc"] if isinstance(part, str)][:2]
    dotted = ".".join(location)
    if dotted in overrides or path is None:
        where = ""
    else:
        where = f"{path}:{line_of(text, *location)}: "
    if mistake["type"] == "extra_forbidden":
        return f"{where}{dotted}: {_unknown(location)}"
    example = "" if mistake["type"] == "value_error" and len(location) == 1 else _example(location)
    return f"{where}{dotted}: {_what(mistake)}{example}"


def _unknown(location: Sequence[str]) -> str:
    known = list(SECTIONS) if len(location) == 1 else list(options_of(SECTIONS[location[0]]))
    kind = "section" if len(location) == 1 else "option"
    close = difflib.get_close_matches(location[-1], known, n=1, cutoff=0.5)
    return f"unknown {kind}; did you mean {close[0]}?" if close else f"unknown {kind}; there are {', '.join(known)}"


def _what(mistake: Any) -> str:
    if mistake["type"] == "value_error":
        return str(mistake["ctx"]["error"])
    if mistake["type"] in ("model_type", "model_attributes_type"):
        return "must be a section"
    message = str(mistake["msg"]).removeprefix("Input should be ")
    return f"must be {message}, not {mistake['input']!r}"


def _example(location: Sequence[str]) -> str:
    if len(location) == 1:
        return f"; write e.g. [{location[0]}]" if location[0] in SECTIONS else ""
    default = options_of(SECTIONS[location[0]])[location[1]]
    return f"; write e.g. {location[1]} = {toml(default)}"


def toml(value: Any) -> str:
    """A value as TOML spells it."""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, (list, tuple)):
        return "[" + ", ".join(toml(part) for part in value) + "]"
    return f"{value:g}" if isinstance(value, float) else str(value)


def line_of(text: str, section: str = "", key: str = "") -> int:
    """The line where `key` of `section` is set; failing that the section's, failing that 1."""
    current, found = "", 1
    for number, line in enumerate(text.splitlines(), 1):
        header = re.match(r"\s*\[\s*([\w.-]+)\s*\]", line)
        if header:
            current = header[1]
            found = number if current == section else found
        elif current == section and key and re.match(rf"\s*[\"']?{re.escape(key)}[\"']?\s*=", line):
            return number
        elif not current and re.match(rf"\s*{re.escape(section)}\s*(\.\s*{re.escape(key)}\s*)?=", line):
            return number
    return found
