"""The speaking child: espeak-ng through its library, one sentence at a time.

In: SPEAK, payload JSON {"voice", "rate", "text"}; CANCEL.  Out: AUDIO (s16le), DONE, FAILED (text).
espeak-ng is GPL-3 software; it lives in this process only.
"""

from __future__ import annotations

import ctypes
import json
import os
import re
import sys
from collections.abc import Callable

from smartalex.ai.receptionist.children import Unpacker, pack
from smartalex.media.level import amplified, dbfs
from smartalex.media.resample import resample

SPEAK, CANCEL, AUDIO, DONE, FAILED = range(5)
WORDS_PER_MINUTE = 160
LEVEL_DBFS = -18.0
SYNCHRONOUS, UTF8, RATE, OK = 2, 1, 1, 0
DEFAULT_VOICE = "en-us"
LANGUAGE = re.compile(r"[a-z]{2,3}(-[a-z0-9]+)*(\+\w+)?", re.IGNORECASE)
CHUNK = 3200


class Espeak:
    """The library, loaded once; `speak` returns the whole of a sentence at `rate` Hz."""

    def __init__(self) -> None:
        import espeakng_loader  # noqa: PLC0415  (only in the child)

        self._library = ctypes.CDLL(espeakng_loader.get_library_path())
        self.rate: int = self._library.espeak_Initialize(SYNCHRONOUS, 0, espeakng_loader.get_data_path().encode(), 0)
        if self.rate <= 0:
            raise OSError("espeak-ng could not be initialised")
        self._pcm = bytearray()
        kind = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.POINTER(ctypes.c_short), ctypes.c_int, ctypes.c_void_p)
        self._callback = kind(self._collect)
        self._library.espeak_SetSynthCallback(self._callback)
        self._library.espeak_SetParameter(RATE, WORDS_PER_MINUTE, 0)

    def _collect(self, wave: ctypes._Pointer[ctypes.c_short], count: int, events: int) -> int:
        if count > 0:
            self._pcm += ctypes.string_at(wave, count * 2)
        return 0

    def speak(self, voice: str, text: str, rate: int) -> bytes:
        self._pcm.clear()
        self._choose(voice or DEFAULT_VOICE)
        data = text.encode()
        self._library.espeak_Synth(data, len(data) + 1, 0, 0, 0, UTF8, None, None)
        self._library.espeak_Synchronize()
        pcm = resample(bytes(self._pcm), self.rate, rate)
        return amplified(pcm, LEVEL_DBFS - dbfs(pcm)) if any(pcm) else pcm

    def _choose(self, voice: str) -> None:
        """By espeak-ng's name ("en-us+f3"), else by language ("en-gb"), else the default."""
        if self._library.espeak_SetVoiceByName(voice.encode()) == OK:
            return
        language = _Voice(languages=voice.partition("+")[0].encode())
        if LANGUAGE.fullmatch(voice) is None or self._library.espeak_SetVoiceByProperties(ctypes.byref(language)) != OK:
            self._library.espeak_SetVoiceByName(DEFAULT_VOICE.encode())


class _Voice(ctypes.Structure):
    """espeak_VOICE of speak_lib.h."""

    _fields_ = (
        ("name", ctypes.c_char_p), ("languages", ctypes.c_char_p), ("identifier", ctypes.c_char_p), ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte), ("variant", ctypes.c_ubyte), ("xx1", ctypes.c_ubyte), ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    )  # fmt: skip


def serve(read: Callable[[], bytes], write: Callable[[bytes], object]) -> None:
    espeak, unpacker = Espeak(), Unpacker()
    while True:
        data = read()
        if not data:
            return
        frames = unpacker.feed(data)
        cancelled = {stream for kind, stream, _ in frames if kind == CANCEL}
        for kind, stream, payload in frames:
            if kind == SPEAK and stream not in cancelled:
                _answer(espeak, stream, payload, write)


def _answer(espeak: Espeak, stream: int, payload: bytes, write: Callable[[bytes], object]) -> None:
    try:
        asked = json.loads(payload)
        pcm = espeak.speak(asked["voice"], asked["text"], asked["rate"])
    except Exception as error:
        write(pack(FAILED, stream, str(error).encode()))
        return
    for start in range(0, len(pcm), CHUNK):
        write(pack(AUDIO, stream, pcm[start : start + CHUNK]))
    write(pack(DONE, stream))


def main() -> None:
    out = os.fdopen(1, "wb", buffering=0)
    sys.stdout = sys.stderr
    serve(lambda: os.read(0, 65536), out.write)


if __name__ == "__main__":
    main()
