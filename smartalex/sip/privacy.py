"""Who calls, and whether they want it known: P-Asserted-Identity and Privacy (RFC 3323, RFC 3325, RFC 7044 10)."""

from __future__ import annotations

import re

import attrs

from smartalex.errors import RemoteError
from smartalex.sip.headers import NameAddr
from smartalex.sip.message import Headers, Request
from smartalex.sip.uri import Uri

KNOWN = frozenset(("none", "header", "session", "user", "id", "history", "critical"))
MOST_WORDS = 10

_WORD = re.compile(r"[a-z0-9.!%*_+`'~-]{1,32}").fullmatch
_NUMBER = re.compile(r"\+?[0-9*#(). /-]{1,40}").fullmatch
_SEPARATORS = re.compile(r"[^0-9*#]")


@attrs.frozen
class Privacy:
    """The words of Privacy in lower case and in order; none when the caller asked for nothing."""

    words: tuple[str, ...] = ()

    @classmethod
    def of(cls, headers: Headers) -> Privacy:
        """Raises RemoteError(500) when a word that we don't know is critical (RFC 3323 4.2, 5)."""
        found = [word.strip().lower() for value in headers.get_all("Privacy") for word in value.split(";")]
        words = tuple(dict.fromkeys(word for word in found if _WORD(word)))[:MOST_WORDS]
        unknown = [word for word in words if word not in KNOWN]
        if unknown and "critical" in words:
            raise RemoteError(500, f"Privacy {unknown[0]} Not Supported")
        return cls(words)

    @property
    def withheld(self) -> bool:
        """The number is for those whom the network trusts: it stays in our record and is told to nobody else."""
        return "id" in self.words or "user" in self.words

    def headers(self) -> tuple[tuple[str, str], ...]:
        """What goes along wherever the caller's identity goes on to, in a REFER for example (RFC 3325 7)."""
        return (("Privacy", ";".join(self.words)),) if self.words else ()


def trusted_identities(headers: Headers) -> tuple[NameAddr, ...]:
    """P-Asserted-Identity: at most one sip or sips URI and one tel URI (RFC 3325 9.1); what cannot be read is left out."""
    kinds: dict[bool, NameAddr] = {}
    for value in headers.get_all("P-Asserted-Identity"):
        try:
            identity = NameAddr.parse(value)
        except RemoteError:
            continue  # a broken identity is no identity
        if identity.uri.scheme in ("sip", "sips", "tel"):
            kinds.setdefault(identity.uri.scheme == "tel", identity)
    return tuple(kinds.values())


def caller_identity(request: Request) -> NameAddr:
    """The one identity to record, to show and to verify: of the asserted ones the first with a number, else From.

    Only for a peer that is trusted: anybody can write a P-Asserted-Identity (RFC 3325 5).
    """
    asserted = trusted_identities(request.headers)
    return next((one for one in asserted if telephone_number(one.uri)), asserted[0] if asserted else request.from_)


def is_anonymous(address: NameAddr) -> bool:
    """Whether it names nobody: <sip:anonymous@anonymous.invalid> and its relatives (RFC 3323 4.1.1.3)."""
    host = address.uri.host.lower().rstrip(".")
    return host == "invalid" or host.endswith(".invalid") or address.uri.user_text.lower() == "anonymous"


def telephone_number(uri: Uri) -> str:
    """The URI's number in canonical form, digits, "#" and "*" (RFC 8224 8.3), or "" when it has none.

    A number without "+" is taken as it is: no country code is guessed.
    """
    text = uri.user_text.partition(";")[0]
    return canonical_number(text) if uri.scheme in ("sip", "sips", "tel") else ""


def canonical_number(text: str) -> str:
    return _SEPARATORS.sub("", text) if _NUMBER(text) else ""
