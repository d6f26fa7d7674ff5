"""What plugins provide for listening better, by what a configuration or a trunk says: "name" or "name:key=value"."""

from __future__ import annotations

from functools import cache
from typing import Any

from smartalex import plugins
from smartalex.errors import ConfigurationError


@cache
def voice_detectors(spec: str) -> Any:
    """The IVoiceDetectorFactory; raises ConfigurationError where there is none that can be used."""
    return _made("IVoiceDetectorFactory", spec)


@cache
def audio_filters(spec: str) -> Any:
    """The IAudioFilterFactory; raises ConfigurationError where there is none that can be used."""
    return _made("IAudioFilterFactory", spec)


@cache
def recording_sink(spec: str) -> Any:
    """The IRecordingSink; raises ConfigurationError where there is none that can be used."""
    return _made("IRecordingSink", spec)


def _made(seam: str, spec: str) -> Any:
    provider, options = plugins.find(seam, spec)
    try:
        return provider.load()(**options)
    except ImportError as error:
        raise ConfigurationError(f"{spec!r} cannot be used: {error} ({provider.description})") from None
    except (TypeError, ValueError, OSError) as error:
        raise ConfigurationError(f"{spec!r} cannot be used: {error}") from error
