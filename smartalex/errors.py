"""The two kinds of protocol error, and the typed failures of AI backends."""

from __future__ import annotations


class SmartAlexError(Exception):
    """Anything this package raises on purpose."""


class RemoteError(SmartAlexError):
    """The peer is at fault; `status` is the SIP status code (400-699) to answer with."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(f"{status} {reason}")
        self.status = status
        self.reason = reason


class LocalError(SmartAlexError):
    """We are at fault: a verb that is not allowed in this state, a value out of range."""


class ResourcesExhausted(SmartAlexError):
    """A bounded resource (RTP ports, calls) is used up; an INVITE gets 503 with Retry-After."""


class ConfigurationError(SmartAlexError):
    """Wrong configuration; the text names the file, the line and what to write instead."""


class BackendError(SmartAlexError):
    """An AI backend failed; the supervisor decides what the caller hears next."""


class Unavailable(BackendError):
    """Cannot be reached just now (connect, 5xx, 429, a dead child); a retry may work after `retry_after` seconds."""

    def __init__(self, reason: str, retry_after: float | None = None) -> None:
        super().__init__(reason)
        self.retry_after = retry_after


class Refused(BackendError):
    """Wrong key, no quota, unknown model: never retried, always reported."""


class ProtocolError(BackendError):
    """The backend, or its plugin, broke its own contract."""


class TimedOut(BackendError):
    """No answer within the stated limit."""


class Expired(BackendError):
    """A planned end: the session reached its life limit."""


class ContentRefused(BackendError):
    """The backend declined to speak about this."""
