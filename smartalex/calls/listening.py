"""What a call's leg lends its ear to, as its trunk and the node want it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

import attrs
from twisted.logger import Logger

from smartalex.calls.record import CallRecord
from smartalex.errors import ConfigurationError
from smartalex.interfaces import ICounters, IRecordingSink
from smartalex.media.recording import Recorder
from smartalex.media.seams import audio_filters
from smartalex.rtp.plane import Leg
from smartalex.tenants.trunk import Trunk

log = Logger()


class Listener(Protocol):
    """As much of a call as this needs."""

    record: CallRecord

    def tone(self, digit: str, duration_ms: int) -> None: ...


@attrs.frozen
class Recordings:
    """Where calls of trunks that record go, and who writes them."""

    sink: IRecordingSink
    recorder: Recorder


def listen(call: Listener, leg: Leg, trunk: Trunk, counters: ICounters, recordings: Recordings | None) -> None:
    """To be called once, before anything of the call is heard."""
    record = call.record
    if trunk.dtmf == "inband":
        leg.detect_tones(call.tone)
    if trunk.noise_suppression:
        _filter(leg, trunk.noise_suppression, lambda why: _lost(record, counters, why))
    if trunk.record and recordings is not None:
        tape = recordings.recorder.record(recordings.sink, record.id, leg.rate)
        tape.on_opened = lambda name: record.append("recorded", {"to": name})
        tape.on_closed = lambda seconds, error: _recorded(record, counters, seconds, error)
        leg.record(tape)


def _filter(leg: Leg, spec: str, lost: Callable[[str], None]) -> None:
    try:
        factory = audio_filters(spec)
    except ConfigurationError as error:
        lost(str(error))
    else:
        leg.use_filter(factory, lost)


def _lost(record: CallRecord, counters: ICounters, why: str) -> None:
    """The caller is heard as they are."""
    counters.count("calls.filter_lost")
    record.event("filter", data={"lost": why[:200]})


def _recorded(record: CallRecord, counters: ICounters, seconds: float, error: str) -> None:
    """It is complete, or could not be completed; the record may be closed by now."""
    if error:
        counters.count("calls.recording_failed")
        log.error("the recording of call {call} ended after {seconds} s: {error}", call=record.id, seconds=seconds, error=error)
    record.append("recorded", {"seconds": seconds, **({"failed": error[:200]} if error else {})})
