"""The node's configuration: TOML in, a frozen value out, and errors that name file, line and remedy."""

from __future__ import annotations

import difflib
import json
import re
import tomllib
from collections.abc import Callable, Mapping
from ipaddress import ip_address, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, field_validator

from smartalex import plugins
from smartalex.errors import ConfigurationError
from smartalex.media import seams
from smartalex.media.codecs import registry


class Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False, validate_default=True)


def _address(value: str) -> str:
    try:
        ip_address(value)
    except ValueError:
        raise ValueError('must be an IP address, such as "192.0.2.10"') from None
    return value


def _reachable(value: str) -> str:
    if value and ip_address(_address(value)).is_unspecified:
        raise ValueError("must be an address that others can send to")
    return value


def _ipv6(value: str) -> str:
    if value and ip_address(_address(value)).version != 6:
        raise ValueError('must be an IPv6 address, such as "2001:db8::10", or ""')
    return value


def _redis(value: str) -> str:
    if value and not re.match(r"(rediss?|unix)://.", value):
        raise ValueError('must be the URL of a Redis, such as "redis://redis.example.com:6379/0", or ""')
    return value


Address = Annotated[str, AfterValidator(_address)]


class Node(Section):
    state_dir: str = Field(default="./state", min_length=1)
    host: Address = "127.0.0.1"
    advertised_address: Annotated[str, AfterValidator(_reachable)] = ""
    host_ipv6: Annotated[str, AfterValidator(_ipv6)] = ""
    advertised_ipv6: Annotated[str, AfterValidator(_ipv6)] = ""


class Sip(Section):
    port: int = Field(default=5060, ge=1, le=65535)
    tls_port: int = Field(default=5061, ge=1, le=65535)
    ws_port: int = Field(default=5066, ge=1, le=65535)
    wss_port: int = Field(default=7443, ge=1, le=65535)
    ws_origins: tuple[str, ...] = Field(default=(), strict=False)
    transports: tuple[Literal["udp", "tcp", "tls", "ws", "wss"], ...] = Field(
        default=("udp", "tcp", "tls"), min_length=1, strict=False
    )
    realm: str = Field(default="smartalex", min_length=1, pattern=r'^[^"\\]+$')
    digest_algorithms: tuple[Literal["SHA-256", "MD5"], ...] = Field(default=("MD5",), min_length=1, strict=False)
    nonce_lifetime_s: float = Field(default=60.0, ge=5, le=3600)
    tls_certificate: str = ""
    tls_key: str = ""
    tls_roots: str = ""
    tls_client_roots: str = ""
    answer_limit_s: float = Field(default=3.0, gt=0, le=30)
    session_expires_s: int = Field(default=1800, ge=0, le=86_400)
    min_se_s: int = Field(default=90, ge=90, le=7200)
    stir_anchors: str = ""
    trace: Literal["all", "failed", "off"] = "all"
    options_interval_s: float = Field(default=60.0, ge=0, le=3600)
    refer_timeout_s: float = Field(default=30.0, ge=1, le=300)
    ring_limit_s: float = Field(default=60.0, ge=1, le=600)

    @field_validator("tls_port")
    @classmethod
    def _another_port(cls, value: int, known: ValidationInfo) -> int:
        if value == known.data.get("port"):
            raise ValueError("must be another port than sip.port")
        return value

    @field_validator("tls_key")
    @classmethod
    def _with_certificate(cls, value: str, known: ValidationInfo) -> str:
        if bool(value) != bool(known.data.get("tls_certificate")):
            raise ValueError("must be given together with sip.tls_certificate")
        return value


class Rtp(Section):
    ports: str = "10000-60000"
    symmetric: bool = True
    quarantine_s: float = Field(default=30.0, ge=0, le=600)
    media_timeout_s: float = Field(default=60.0, ge=0, le=3600)
    codecs: tuple[str, ...] = Field(default=registry.USUAL, min_length=1, strict=False)

    @field_validator("codecs")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        try:
            return registry.proper(value)
        except ConfigurationError as error:
            raise ValueError(str(error)) from None

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
    host: Address = "127.0.0.1"
    port: int = Field(default=8080, ge=1, le=65535)


class Limits(Section):
    max_calls: int = Field(default=200, ge=1, le=100_000)
    drain_timeout_s: float = Field(default=30.0, ge=0)
    outbound_share: float = Field(default=0.0, ge=0, lt=1)
    trunk_calls_per_second: float = Field(default=0.0, ge=0, le=10_000)
    source_calls_per_second: float = Field(default=20.0, ge=1, le=10_000)
    retry_after_s: int = Field(default=10, ge=5, le=60)
    redis: Annotated[str, AfterValidator(_redis)] = Field(default="", repr=False)
    redis_grace_s: float = Field(default=300.0, ge=0, le=86_400)


class Store(Section):
    url: str = Field(default="", repr=False)
    timeout_s: float = Field(default=10.0, ge=1, le=300)
    cache_lifetime_s: float = Field(default=86_400.0, ge=0, le=31_536_000)
    node_timeout_s: float = Field(default=60.0, ge=30, le=86_400)

    @field_validator("url")
    @classmethod
    def _url(cls, value: str) -> str:
        if value and not re.match(r"[a-z0-9+]+://", value):
            raise ValueError('must be a database URL, such as "postgresql+psycopg://user@host/smartalex", or ""')
        return value


class RegionOptions(Section):
    node: str = Field(min_length=1)
    networks: tuple[str, ...] = Field(default=(), strict=False)
    countries: tuple[str, ...] = Field(default=(), strict=False)
    place: tuple[Annotated[float, Field(ge=-90, le=90)], Annotated[float, Field(ge=-180, le=180)]] | None = Field(
        default=None, strict=False
    )
    addresses: tuple[Address, ...] = Field(default=(), strict=False)

    @field_validator("node")
    @classmethod
    def _uri(cls, value: str) -> str:
        if not re.fullmatch(r"sip:[^@\s]+", value):
            raise ValueError('must be the SIP URI of a node, such as "sip:eu.voice.example.com"')
        return value

    @field_validator("networks")
    @classmethod
    def _networks(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        for network in value:
            try:
                ip_network(network)
            except ValueError as error:
                raise ValueError(f'must be networks, such as "192.0.2.0/24" ({error})') from None
        return value


class RegionsSection(Section):
    here: str = ""
    default: str = ""
    locator: str = ""
    check_interval_s: float = Field(default=10.0, ge=1, le=3600)
    known: dict[str, RegionOptions] = Field(default={}, strict=False)

    @field_validator("known")
    @classmethod
    def _named(cls, value: dict[str, RegionOptions], known: ValidationInfo) -> dict[str, RegionOptions]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?", name):
                raise ValueError(f"must have names of small letters, digits and hyphens; {name!r} is none")
        for option in ("here", "default"):
            name = known.data.get(option, "")
            if name and name not in value:
                raise ValueError(f"must have the region of regions.{option}, {name!r}")
        if value and not known.data.get("here"):
            raise ValueError("needs regions.here, which of them this node is in")
        return value

    @field_validator("locator")
    @classmethod
    def _installed(cls, value: str) -> str:
        if value:
            try:
                plugins.find("IRegionLocator", value)
            except ConfigurationError as error:
                raise ValueError(f"must name what can be used; {error}") from None
        return value


class Dns(Section):
    name: str = ""
    host: Address = "127.0.0.1"
    port: int = Field(default=53, ge=1, le=65535)
    nameservers: tuple[str, ...] = Field(default=(), strict=False)
    ttl_s: int = Field(default=30, ge=1, le=86_400)

    @field_validator("name")
    @classmethod
    def _host_name(cls, value: str) -> str:
        if value and not re.fullmatch(r"[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})+", value):
            raise ValueError('must be a name in small letters, such as "sip.example.com", or ""')
        return value


class Vault(Section):
    provider: str = Field(default="local", min_length=1)
    key_file: str = ""


class Log(Section):
    level: Literal["debug", "info", "warn", "error"] = "info"
    json_lines: bool = False


class Messages(Section):
    max_seconds: int = Field(default=180, ge=5, le=3600)


class Speech(Section):
    detector: str = "webrtc"

    @field_validator("detector")
    @classmethod
    def _usable(cls, value: str) -> str:
        return _provided(seams.voice_detectors, value)


class Recordings(Section):
    sink: str = ""

    @field_validator("sink")
    @classmethod
    def _usable(cls, value: str) -> str:
        return _provided(seams.recording_sink, value) if value else ""


def _provided(find: Callable[[str], Any], spec: str) -> str:
    try:
        find(spec)
    except ConfigurationError as error:
        raise ValueError(f"must name what can be used; {error}") from None
    return spec


class Config(Section):
    """Every option; `etc/smartalex.toml` shows each with its default."""

    node: Node = Node()
    sip: Sip = Sip()
    rtp: Rtp = Rtp()
    http: Http = Http()
    limits: Limits = Limits()
    store: Store = Store()
    regions: RegionsSection = RegionsSection()
    dns: Dns = Dns()
    vault: Vault = Vault()
    log: Log = Log()
    messages: Messages = Messages()
    speech: Speech = Speech()
    recordings: Recordings = Recordings()


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
        problems = [p for p in error.errors() if p["type"] != "too_short" or not p["input"]]  # its items were wrong already
        raise ConfigurationError("\n".join(_sentence(problem, path, text, overridden) for problem in problems)) from None


def _read(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path}: cannot be read: {error}") from None


def _sentence(problem: Any, path: str | None, text: str, overridden: Mapping[str, Any]) -> str:
    """ "FILE:LINE: sip.port: what is wrong; what to write"."""
    parts = [str(part) for part in problem["loc"] if not isinstance(part, int)]
    dotted = ".".join(parts[:2])
    where = f"{path}:{_line_of(text, parts)}" if path and dotted not in overridden else "command line"
    if problem["type"] == "extra_forbidden":
        return f"{where}: {dotted}: there is no such {'option' if len(parts) > 1 else 'section'}; {_near(parts)}"
    return f"{where}: {dotted}: {_wrong(problem)}, not {_shown(problem['input'])}; write for example {_example(parts)}"


WORDS = {
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "finite_number": "must be a number",
    "string_type": 'must be text in "quotes"',
    "bool_type": "must be true or false",
    "tuple_type": "must be a list",
    "model_type": "must be a section",
    "too_short": "must not be empty",
    "string_too_short": "must not be empty",
    "string_pattern_mismatch": "must hold neither quotes nor backslashes",
}


def _wrong(problem: Any) -> str:
    """What pydantic found, in the words of somebody who writes TOML."""
    message = problem["msg"].removeprefix("Value error, ").replace("Input should be", "must be")
    message = message.replace("greater than or equal to", "at least").replace("less than or equal to", "at most")
    return WORDS.get(problem["type"], message)


def _shown(value: Any) -> str:
    return toml_value(value) if isinstance(value, (str, bool, int, float)) else repr(value)[:60]


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
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else str(value)


def _line_of(text: str, parts: list[str]) -> int:
    """The line where this key, or else its section, stands."""
    section, best, quoted = "", 1, False
    for number, line in enumerate(text.splitlines(), 1):
        inside, quoted = quoted, quoted ^ bool(line.count('"""') % 2)
        if inside:
            continue
        header = re.match(r"\s*\[\[?\s*([\w-]+)[.\]\s]", line)
        key = re.match(r"""\s*["']?([\w-]+)["']?\s*[.=]\s*([\w-]*)""", line)
        if header:
            section = header[1]
            best = number if section == parts[0] else best
        elif key and [section, key[1]] == parts[:2]:
            return number
        elif key and not section and key[1] == parts[0]:
            best = number
            if len(parts) < 2 or key[2] == parts[1]:
                return number
    return best
