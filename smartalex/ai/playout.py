"""What is being played to the caller: items on a leg, how far each was heard, and what was said by it."""

from __future__ import annotations

from collections import deque

import attrs

from smartalex.ai.spoken import Spoken
from smartalex.interfaces import IAudioOut
from smartalex.media.frame import Clip

MOST_QUEUED_MS = 60_000
"""Audio a backend may send ahead; more is dropped."""

REMEMBERED = 32
"""Ids of cut items whose late audio is still known to be dropped."""


@attrs.define
class Item:
    """`id` is the session's name for it, '' when no session asks; `own` is what the runtime plays itself."""

    id: str
    start_ms: float
    end_ms: float
    open: bool = True
    own: bool = False
    interruptible: bool = True
    spoken: Spoken = attrs.field(factory=Spoken)


@attrs.frozen
class Cut:
    """What a flush took away: the session's item it hit and how much of it was heard ('' when it was none of the session's)."""

    item_id: str
    played_ms: int


@attrs.frozen
class Line:
    """Words that were heard; `own`: of a clip of ours, not of the session."""

    text: str
    own: bool = False


@attrs.frozen
class Progress:
    """What came to its end since the last look: items said to the last word, and marks reached."""

    said: tuple[Line, ...] = ()
    marks: tuple[str, ...] = ()


NOTHING = Progress()


class Playout:
    """A ledger over one IAudioOut; nobody else may queue on it meanwhile."""

    __slots__ = ("_audio", "_dropped", "_items", "_marks", "_protected", "held", "overflow_ms")

    def __init__(self, audio: IAudioOut) -> None:
        self._audio = audio
        self._items: deque[Item] = deque()
        self._marks: deque[tuple[float, str]] = deque()
        self._dropped: deque[str] = deque(maxlen=REMEMBERED)
        self._protected: deque[str] = deque(maxlen=REMEMBERED)
        self.held = False
        self.overflow_ms = 0

    # ------------------------------------------------------------------ what is there

    @property
    def speaking(self) -> bool:
        """Audio waits to be heard (also while held)."""
        return self._audio.queued_ms > 0

    @property
    def busy(self) -> bool:
        """Audio waits to be heard, or the session has more to come."""
        return self.speaking or any(item.open for item in self._items)

    @property
    def starved(self) -> bool:
        """The session began an item, said nothing to its end, and there is nothing left to play."""
        return not self.speaking and any(item.open for item in self._items)

    @property
    def interruptible(self) -> bool:
        """Whether the caller may cut what is heard now."""
        item = self._now()
        return item is None or item.interruptible

    def knows(self, item_id: str) -> bool:
        """Whether the session has begun this item and may go on with it."""
        return bool(item_id) and any(item.id == item_id for item in self._items)

    # ------------------------------------------------------------------ putting something there

    def audio(self, item_id: str, pcm: bytes, rate: int = 0) -> bool:
        """Queue speech of the session; False when it is refused (the item was cut, or far too much waits)."""
        if item_id in self._dropped:
            return False
        if self._audio.queued_ms > MOST_QUEUED_MS:
            self.overflow_ms += len(pcm) * 500 // (rate or self._audio.rate)
            return False
        item = self._open(item_id)
        self._audio.play(pcm, rate)
        self._grow(item)
        return True

    def clip(self, clip: Clip, *, interruptible: bool = True) -> None:
        """Queue a clip of our own."""
        here = self._end()
        item = Item("", here, here, open=False, own=True, interruptible=interruptible)
        item.spoken.begin(clip.text)
        self._items.append(item)
        self._audio.play_clip(clip)
        self._grow(item)

    def note(self, item_id: str, text: str) -> bool:
        """The audio that follows says `text`; False when there is nothing to note it on."""
        if item_id in self._dropped:
            return True
        if not item_id:
            return False
        self._open(item_id).spoken.begin(text)
        return True

    def protect(self, item_id: str) -> None:
        """The caller may not cut this item."""
        self._protected.append(item_id)

    def done(self, item_id: str) -> None:
        """No more audio comes for this item."""
        for item in self._items:
            if item.id == item_id:
                item.open = False
        self._expect()

    def mark(self, name: str) -> None:
        self._marks.append((self._end(), name))

    def disown(self) -> None:
        """The session is gone: what is queued plays on, nothing more is to come, nobody asks about it."""
        for item in self._items:
            item.id, item.open = "", False
        self._expect()
        self._marks.clear()
        self._dropped.clear()
        self._protected.clear()

    # ------------------------------------------------------------------ moving on

    def tick(self) -> Progress:
        """Look how far playing has come; cheap when nothing ended."""
        items, marks = self._items, self._marks
        if not items and not marks:
            return NOTHING
        played = self._audio.played_ms
        dry = self._audio.queued_ms <= 0
        said, reached, ended = [], [], False
        while items and not items[0].open and (dry or played >= items[0].end_ms):
            item = items.popleft()
            if item.spoken.ms:
                said.append(Line(item.spoken.text, item.own))
            ended = True
        while marks and (dry or played >= marks[0][0]):
            reached.append(marks.popleft()[1])
        return Progress(tuple(line for line in said if line.text), tuple(reached)) if ended or reached else NOTHING

    def hold(self) -> None:
        if not self.held:
            self.held = True
            self._audio.pause()

    def release(self) -> None:
        if self.held:
            self.held = False
            self._audio.resume()

    def cut(self) -> tuple[Cut | None, tuple[Line, ...]]:
        """Drop everything queued.  What it took from the session (None: nothing), and the lines heard so far."""
        played = self._audio.played_ms
        heard = [Line(self._heard(item, played), item.own) for item in self._items]
        own = [item for item in self._items if item.id]
        first = next((item for item in own if item.end_ms > played or item.open), None)
        self._dropped.extend(item.id for item in own)
        self._items.clear()
        self._marks.clear()
        self._audio.flush()
        self.release()
        taken = Cut(first.id, max(0, int(played - first.start_ms))) if first else None
        return taken, tuple(line for line in heard if line.text)

    # ------------------------------------------------------------------

    @staticmethod
    def _heard(item: Item, played: float) -> str:
        if not item.open and played >= item.end_ms:
            return item.spoken.text
        heard = item.spoken.heard(int(played - item.start_ms))
        return f"{heard} ..." if heard else ""

    def _end(self) -> float:
        return self._audio.played_ms + self._audio.queued_ms

    def _now(self) -> Item | None:
        played = self._audio.played_ms
        return next((item for item in self._items if item.open or item.end_ms > played), None)

    def _open(self, item_id: str) -> Item:
        for item in self._items:
            if item.id == item_id:
                return item
        here = self._end()
        item = Item(item_id, here, here, interruptible=item_id not in self._protected)
        self._items.append(item)
        self._expect()
        return item

    def _expect(self) -> None:
        """Only here it is known whether a queue that runs dry was to be filled again."""
        self._audio.expect(any(item.open for item in self._items))

    def _grow(self, item: Item) -> None:
        end = self._end()
        item.spoken.audio(end - item.end_ms)
        item.end_ms = end
