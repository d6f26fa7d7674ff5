"""What we can say without any AI: canned texts, rendered when the configuration is loaded."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from types import MappingProxyType
from typing import Any, Protocol

from twisted.internet.defer import CancelledError, Deferred
from twisted.internet.interfaces import IDelayedCall, IReactorTime
from twisted.logger import Logger
from zope.interface import implementer

from smartalex.errors import BackendError, ProtocolError
from smartalex.interfaces import ISynthesisConsumer, ISynthesizer
from smartalex.media import tone
from smartalex.media.frame import AudioFormat, Clip

RENDER_LIMIT_S = 10.0
RETRY_S = 5.0
LONGEST_S = 60

ENGLISH = {
    "fallback-greeting": "Hello, thank you for calling.",
    "one-moment": "One moment, please.",
    "thinking": "Just a moment.",
    "thinking-2": "Thank you for waiting. I am still looking into that.",
    "please-hold": "Please hold on, I am still trying to connect you.",
    "connecting": "Please hold while I connect you.",
    "sorry-trouble": "I am sorry, I am having some trouble at the moment.",
    "take-message": "Please leave a message after the beep. Press hash when you are done.",
    "message-saved": "Thank you. Your message has been saved. Goodbye.",
    "message-empty": "I did not hear a message. Goodbye.",
    "message-trouble": "I am sorry, your message could not be saved. Please call again later. Goodbye.",
    "still-there": "Are you still there?",
    "still-there-2": "I cannot hear you. You can also press zero on your phone.",
    "not-understood": "Sorry, I did not catch that.",
    "transfer-failed": "I am sorry, I was not able to connect you.",
    "max-duration-soon": "Just so you know, this call will end in one minute.",
    "max-duration": "I am sorry, we have reached the time limit of this call. Please call again. Goodbye.",
    "goodbye": "Thank you for calling. Goodbye.",
}

TEXTS: Mapping[str, Mapping[str, str]] = MappingProxyType({"en": ENGLISH})
"""Language (primary subtag) -> name -> text."""


class Greeter(Protocol):
    """An agent, as much of it as a greeting needs."""

    @property
    def first_message(self) -> str: ...
    @property
    def voice(self) -> str: ...


@cache
def stand_in(rate: int) -> Clip:
    """Two soft tones that say: we are here."""
    return Clip(tone.sine(523, 180, rate, -24) + tone.sine(659, 220, rate, -24), rate)


class PromptBook:
    """Every prompt is a clip at any time: spoken when it could be rendered, else a short tone until a retry succeeds."""

    log = Logger()

    def __init__(self, clock: IReactorTime, rate: int = 8000, texts: Mapping[str, Mapping[str, str]] = TEXTS) -> None:
        self._clock = clock
        self._rate = rate
        self._texts = texts
        self._clips: dict[tuple[str, str], Clip] = {}
        self._greetings: dict[tuple[str, str], Clip] = {}
        self._retries: set[IDelayedCall] = set()

    def clip(self, name: str, language: str = "en-US") -> Clip:
        """The prompt in `language`, else in English, else a tone; never an error."""
        for tag in (primary(language), "en"):
            found = self._clips.get((tag, name))
            if found is not None:
                return found
        return stand_in(self._rate)

    def greeting(self, agent: Greeter) -> Clip | None:
        """The agent's first message as rendered; None while it is not, and the agent has to say it by itself."""
        return self._greetings.get((agent.voice, agent.first_message))

    def load(self, synthesizer: ISynthesizer, voice: str, language: str = "en-US") -> Deferred[None]:
        """Render every canned text of `language`; fires when each was tried, and goes on trying the rest."""
        tag = primary(language)
        texts = self._texts.get(tag, self._texts["en"])
        store = {(tag, name): (voice, text) for name, text in texts.items()}
        return self._fill(synthesizer, store, self._clips)

    def load_greetings(self, synthesizer: ISynthesizer, agents: Iterable[Greeter]) -> Deferred[None]:
        """Render the first messages not rendered yet; fires when each was tried, and goes on trying the rest."""
        keys = {(agent.voice, agent.first_message) for agent in agents if agent.first_message}
        wanted = {key: key for key in keys if key not in self._greetings}
        return self._fill(synthesizer, wanted, self._greetings)

    def render(self, synthesizer: ISynthesizer, voice: str, texts: Mapping[str, str]) -> Deferred[dict[str, Clip]]:
        """name -> text becomes name -> Clip; a tone stands in for what could not be rendered.  Never fails."""
        return Deferred.fromCoroutine(self._render(synthesizer, voice, texts))

    def close(self) -> None:
        """Stop retrying."""
        for retry in self._retries:
            retry.cancel()
        self._retries.clear()

    # ------------------------------------------------------------------

    async def _render(self, synthesizer: ISynthesizer, voice: str, texts: Mapping[str, str]) -> dict[str, Clip]:
        clips = {name: await self._attempt(synthesizer, voice, text) for name, text in texts.items()}
        return {name: clip or stand_in(self._rate) for name, clip in clips.items()}

    def _fill(self, synthesizer: ISynthesizer, wanted: Mapping[Any, tuple[str, str]], clips: dict[Any, Clip]) -> Deferred[None]:
        return Deferred.fromCoroutine(self._filled(synthesizer, wanted, clips))

    async def _filled(self, synthesizer: ISynthesizer, wanted: Mapping[Any, tuple[str, str]], clips: dict[Any, Clip]) -> None:
        missing = {}
        for key, (voice, text) in wanted.items():
            clip = await self._attempt(synthesizer, voice, text)
            if clip is None:
                missing[key] = (voice, text)
            else:
                clips[key] = clip
        if missing:
            self.log.warn("{count} prompts could not be rendered; tones stand in until they are", count=len(missing))
            self._retry(synthesizer, missing, clips)

    def _retry(self, synthesizer: ISynthesizer, missing: Mapping[Any, tuple[str, str]], clips: dict[Any, Clip]) -> None:
        def again() -> None:
            self._retries.discard(retry)
            self._fill(synthesizer, missing, clips)

        retry = self._clock.callLater(RETRY_S, again)
        self._retries.add(retry)

    async def _attempt(self, synthesizer: ISynthesizer, voice: str, text: str) -> Clip | None:
        """One rendering, at most RENDER_LIMIT_S; None when it fails in whatever way."""
        collected = _Collected(self._rate)
        try:
            synthesis = synthesizer.speak(voice, AudioFormat("pcm16", self._rate), collected)
            limit = self._clock.callLater(RENDER_LIMIT_S, synthesis.cancel)
            try:
                synthesis.feed(text)
                synthesis.end()
                await synthesis.done
            finally:
                if limit.active():
                    limit.cancel()
            return collected.clip(text)
        except (BackendError, CancelledError) as error:
            self.log.warn("a prompt could not be rendered: {error}", error=str(error) or "no answer in time")
        except Exception:
            self.log.failure("a prompt could not be rendered")
        return None


@implementer(ISynthesisConsumer)
class _Collected:
    def __init__(self, rate: int) -> None:
        self._rate = rate
        self._pcm = bytearray()

    def audio(self, data: bytes) -> None:
        if len(self._pcm) < LONGEST_S * self._rate * 2:
            self._pcm += data

    def clip(self, text: str) -> Clip:
        if not self._pcm:
            raise ProtocolError("a synthesis ended without audio")
        return Clip(bytes(self._pcm[: len(self._pcm) & ~1]), self._rate, text)


def primary(language: str) -> str:
    """The primary subtag: 'en-US' -> 'en'."""
    return language.replace("_", "-").partition("-")[0].lower()
