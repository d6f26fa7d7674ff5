"""Every seam of SmartAlex: what a plugin provides and what it is given.

Times are integer milliseconds of audio, or floats from the injected clock for
wall time.  Audio is `bytes` in an `AudioFormat`; a *frame* is exactly 20 ms.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import attrs
from zope.interface import Attribute, Interface

from smartalex.media.frame import AudioFormat

# --------------------------------------------------------------------- plugins


class IProvider(Interface):
    """What `twisted.plugins` holds: a name and where to load the real thing, cheap to import."""

    seam = Attribute("Name of the interface the loaded object provides, such as 'IVoiceAgentFactory'.")
    name = Attribute("The word a configuration uses, such as 'receptionist'.")
    description = Attribute("One line for `smartalex providers`.")

    def load():
        """Import and return the factory: a callable taking the provider's own options as keywords."""


# ------------------------------------------------------------- authentication


@attrs.frozen
class AuthAttempt:
    """One request that wants to be let in, before anything about it is believed."""

    method: str
    uri: str
    source: str
    transport: str
    authorizations: tuple[str, ...] = attrs.field(repr=False, default=())
    now: float = 0.0
    names: tuple[str, ...] = ()  # that the peer's TLS certificate proved
    port: int = 0  # of the source
    header: Callable[[str], str | None] = attrs.field(default=lambda name: None, repr=False, eq=False)  # the request's, by name


@attrs.frozen
class Verdict:
    """`trunk_id` when accepted; `challenges` (WWW-Authenticate values) to answer 401; else a refusal.

    `why` is for our own record only and is never sent to the peer.  `account` is the one whose password was wrong, though the
    attempt came from where it says it did: somebody guesses.  `others` are trunks that it may be just as well: the number called
    decides.  `by` is what it was known by, in a word: "credentials", "source", "binding".
    """

    trunk_id: str | None = None
    challenges: tuple[str, ...] = ()
    why: str = ""
    account: str = ""
    others: tuple[str, ...] = ()
    by: str = ""


class IAuthenticator(Interface):
    """Says which trunk a request belongs to.  Works in memory; never blocks.

    A provider loads a factory that takes an `auth.ground.Ground`, the trunks that have chosen it (`auth = "name:key=value"`), and
    its options as keywords.  It is made anew when anything of a trunk changes, on a thread.  Of what it says only its own trunks
    count.  It may have `evidence`, a word for what it goes by.
    """

    name = Attribute("'digest', 'ip-allowlist', ...")

    def authenticate(attempt):
        """AuthAttempt -> Verdict."""


# -------------------------------------------------------------------- secrets


class ISecretStore(Interface):
    """Keeps secrets encrypted at rest.  Synchronous; call it off the reactor thread."""

    def put(name, plaintext):
        """Store `bytes` under `name`, replacing what was there."""

    def get(name):
        """The `bytes`, or KeyError; raises LocalError when it was tampered with or the key is wrong."""

    def delete(name):
        """Forget it; absent names are fine."""


@attrs.frozen
class Whereabouts:
    """Of an address: ISO 3166 `country` ("": unknown), latitude and longitude in degrees."""

    country: str = ""
    place: tuple[float, float] | None = None


class IRegionLocator(Interface):
    """Where addresses are.  Synchronous and quick: it is asked once for each address that is new, on the reactor's thread.

    A provider loads a factory that takes its options as keywords and raises ConfigurationError.
    """

    def locate(address):
        """IPv4 or IPv6 text -> Whereabouts, None for an address it does not know."""


class IMasterKey(Interface):
    """What wraps the data keys of secrets: a key in a file, a key server.  Synchronous; call it off the reactor thread.

    A provider loads a factory that takes its options as keywords and raises ConfigurationError.
    """

    id = Attribute("Names the key that `wrap` uses now; a secret's row carries it.")
    where = Attribute("Where the key comes from, for sentences.")

    def wrap(data_key, bound):
        """(the id of the key used, the 32 bytes wrapped); `bound` are bytes that `unwrap` is given again."""

    def unwrap(given):
        """Sequence of store.keys.Wrapped -> a data key for each, None for one that cannot be opened."""

    def knows(key_id):
        """Whether it has the key of this id; '' stands for any."""

    def renew():
        """Have another key wrap from now on.  What the old one has wrapped can still be opened."""

    def settle():
        """Everything is wrapped by the new one."""


# ---------------------------------------------------------------------- codecs


class ICodec(Interface):
    """One audio codec of an RTP payload format; an instance serves one leg, both directions.

    What a provider loads is a class that has the attributes already, so that an offer needs no instance.  One that can restore
    lost packets by itself also has `recover(size, following)`: `size` bytes of PCM from before the packet `following`.
    """

    name = Attribute("Encoding name of the RTP/AVP registry: 'PCMU', 'PCMA', 'G722', 'opus'.")
    rate = Attribute("Sampling rate of the PCM side in Hz (8000; G.722 and Opus: 16000).")
    clock = Attribute("RTP clock in Hz (G.722: 8000 for historical reasons, RFC 3551 4.5.2; Opus: 48000).")
    channels = Attribute("Channels as rtpmap has them: 1; Opus says 2, whatever it carries (RFC 7587 4.1).")
    payload_type = Attribute("Static payload type, or None.")
    packet_ms = Attribute("Lengths of a packet that it can encode, in milliseconds, ascending.")
    parameters = Attribute("What we say of it in a=fmtp, '' for nothing.")
    stateful = Attribute("Whether a payload depends on those before it; if not, encode(a + b) is encode(a) + encode(b).")

    def encode(pcm):
        """s16le PCM to a payload: any whole number of samples, or, where it is stateful, one packet."""

    def decode(payload):
        """payload bytes -> s16le PCM; b'' for a payload that is none of this codec."""

    def adapt(parameters):
        """The peer's a=fmtp, '' for none: what it wants to receive."""


# ---------------------------------------------------------------------- media


class IMediaSink(Interface):
    """Receives what the media plane hears."""

    def on_frames(batch):
        """A sequence of (leg, pcm, flags), one entry a receiving leg, every 20 ms even when nothing arrived.

        `pcm` is one s16le frame at `leg.rate`; flags are those of smartalex.rtp.plane.
        """

    def on_dtmf(leg, digit, duration_ms):
        """One key press (RFC 4733), reported once, when it ended."""


class IAudioOut(Interface):
    """The playing half of a leg, as much as an agent needs of it."""

    rate = Attribute("Sampling rate of the call's codec in Hz; it may change with a re-INVITE.")
    played_ms = Attribute("Milliseconds of queued audio, to the sample, that really left on the wire since the leg was opened.")
    queued_ms = Attribute("Milliseconds accepted and not yet sent.")

    def play(pcm, rate=0):
        """Queue s16le PCM of any length at `rate` Hz (0: the leg's), up to 120 s; taken in by and by, sent as time goes on."""

    def play_clip(clip, loop=False):
        """Queue a Clip of any rate through its cache; `loop` repeats it, without a seam, until `flush`."""

    def expect(more):
        """True: what is played from now on is one whole, whose end is told by False.

        Until then a part of a packet waits for the rest, and silence in between is counted as dry.
        """

    def flush():
        """Drop what is queued, to the packet; returns the milliseconds dropped."""

    def pause():
        """Stop sending queued audio (silence goes out instead) and keep it."""

    def resume():
        """Go on where `pause` stopped."""

    def measure_echo():
        """Begin to look whether our own voice comes back, for `echo_dbfs`."""

    def echo_dbfs():
        """How loud our own voice is in the frame heard last, where it is known to come back; else -96."""


class IVoiceDetectorFactory(Interface):
    """One way to tell speech from everything else, shared by all calls."""

    def detector(rate):
        """An IVoiceDetector for one caller; `rate` in Hz is 8000 or 16000."""


class IVoiceDetector(Interface):
    def speech(frame):
        """Whether this 20 ms frame of s16le, or what it ends, is speech.  Called for each frame in order; returns at once."""


class IAudioFilterFactory(Interface):
    """One way to better what is heard of a caller: noise suppression, echo cancellation, or both."""

    def filter(rate):
        """An IAudioFilter for one leg; `rate` in Hz is 8000 or 16000."""


class IAudioFilter(Interface):
    delay_ms = Attribute("How much later audio comes out, in milliseconds.")
    wants_played = Attribute("Whether `process` is to be given what was played to the caller; b'' otherwise.")

    def process(heard, played):
        """One 20 ms frame of s16le of the caller, and the one sent meanwhile -> the frame to be heard; returns at once."""


class IRecordingSink(Interface):
    """Where recordings of calls go.  All its methods run in a thread of their own; what they raise ends that recording."""

    def open(call_id, rate):
        """A new IRecording of s16le in two channels at `rate` Hz: left is the caller, right the agent."""


class IRecording(Interface):
    name = Attribute("Where to find it: a path, a URL.")

    def write(stereo):
        """More of it, any whole number of samples for both channels."""

    def close():
        """It is complete."""


# -------------------------------------------------------------- voice agents


@attrs.frozen
class Tool:
    """A thing the agent may ask for; `parameters` is a JSON Schema object."""

    name: str
    description: str
    parameters: Mapping[str, Any]
    side_effect: bool = False
    timeout_s: float = 30.0


@attrs.frozen
class Destination:
    """A person or department of the directory, as the agent sees it: an opaque id and how to say it."""

    id: str
    name: str
    kind: str = "person"  # or "department"
    department: str = ""
    aliases: tuple[str, ...] = ()
    pronunciation: str = ""
    digit: str = ""  # the key that stands for it in "or press 1 for sales"


@attrs.frozen
class Brief:
    """Everything a session is told before it starts.  Caller facts are data, never instructions."""

    agent_name: str
    company: str
    first_message: str
    instructions: str = ""
    language: str = "en-US"
    voice: str = ""
    destinations: tuple[Destination, ...] = ()
    operator: str | None = None  # id of the destination that "operator" and key 0 mean
    tools: tuple[Tool, ...] = ()
    allowed: tuple[str, ...] | None = None  # names of the tools it may use, None for all
    caller: Mapping[str, str] = attrs.field(factory=dict)
    history: tuple[tuple[str, str], ...] = ()  # (role, text): "caller", "agent", "event"
    input_format: AudioFormat | None = None
    output_format: AudioFormat | None = None


class IVoiceAgentFactory(Interface):
    """Makes sessions of one AI backend."""

    name = Attribute("The word used in an agent's backend chain.")
    formats = Attribute("Acceptable input AudioFormats, best first.")
    output_formats = Attribute("Output AudioFormats, best first.")
    capabilities = Attribute("frozenset of 'server_turns', 'continuous_output', 'truncate', 'say', 'tools', 'raw_audio'.")
    lifetime = Attribute("Planned rotation age in seconds, or None.")

    def validate():
        """List of sentences about what is wrong with its options; no I/O."""

    def probe():
        """Deferred that fires when the backend answers, at most 3 s; fails with a BackendError."""

    def session(brief):
        """A new IVoiceAgentSession for this Brief; cheap, no I/O."""


class IVoiceAgentSession(Interface):
    """One conversation with one backend."""

    def start(host):
        """Deferred that fires when audio may flow; cancellable.  `host` is an IVoiceAgentHost."""

    def write(frame):
        """One 20 ms frame of caller audio in the chosen input format; returns at once."""

    def dtmf(digit, duration_ms):
        """The caller pressed a key."""

    def speech_started():
        """The runtime's detector heard the caller begin (only where the runtime owns turns)."""

    def end_of_turn():
        """The runtime's detector says the caller finished (only where the runtime owns turns)."""

    def interrupted(item_id, played_ms):
        """The caller cut in: of `item_id` only `played_ms` were heard (0: nothing)."""

    def say(text, interruptible=True):
        """Speak exactly this (capability 'say'); returns the item id."""

    def inject(role, text, speak):
        """Add context ('event': a transfer's outcome); with `speak`, react to it aloud."""

    def tool_result(tool_call_id, ok, data):
        """The answer to `host.tool_call`; `data` is JSON-able."""

    def silence(count):
        """Nothing was said for the re-prompt time; `count` is 1, 2, ...; the runtime ends the call itself."""

    def marked(name):
        """All audio queued before `host.mark(name)` has left on the wire."""

    def snapshot():
        """The history so far as ((role, text), ...), for rotation or for the next backend."""

    def close(reason):
        """Deferred; idempotent, done within 1 s, nothing is called on the host afterwards."""


class IVoiceAgentHost(Interface):
    """The session's only way out.  Every method may be called in any state and never raises."""

    clock = Attribute("IReactorTime.")

    def audio(item_id, data):
        """Agent speech in the chosen output format, any length."""

    def item_done(item_id):
        """No more audio comes for this item; '' says that the turn is answered with nothing, so that none is waited for."""

    def protect(item_id):
        """The caller may not cut this item in, a legal notice for example; before its first audio."""

    def discard(item_id=None):
        """Throw away what is queued (of this item, or all)."""

    def mark(name):
        """Call `session.marked(name)` when everything queued so far has been played."""

    def transcript(role, text, final=True, item_id=""):
        """What was said: role 'caller' or 'agent'."""

    def expect(text_kind):
        """What the session expects next: 'any', 'choice', 'confirm', 'digits'; sets the endpointing times."""

    def tool_call(tool_call_id, name, arguments):
        """The agent wants a Tool run; the answer comes by `session.tool_result`."""

    def going_away(seconds):
        """The backend will close soon: rotate."""

    def failed(error):
        """A BackendError; the supervisor takes over."""

    def ended(reason):
        """The backend ended the conversation by itself."""


# ------------------------------------------------------------------- cascade


@attrs.frozen
class Word:
    text: str
    start_ms: int = 0
    end_ms: int = 0


@attrs.frozen
class Utterance:
    """What a recogniser made of one turn.  `confidence` 0..1; `tags` are a grammar's semantic slots."""

    text: str
    confidence: float = 1.0
    words: tuple[Word, ...] = ()
    tags: Mapping[str, str] = attrs.field(factory=dict)


@attrs.frozen
class Hints:
    """What is likely to be said next: phrases for open recognisers, a named grammar (JSGF text) for closed ones."""

    phrases: tuple[str, ...] = ()
    grammar: str = ""
    grammar_name: str = ""
    pronunciations: tuple[tuple[str, str], ...] = ()  # (word, phones or spelling)


class IRecognizer(Interface):
    """Speech to text."""

    name = Attribute("Provider name.")
    formats = Attribute("AudioFormats, best first.")
    final_p99_s = Attribute("Seconds within which `finalize` is answered, 99 times of 100.")
    decides_turns = Attribute("True when it reports turns itself.")

    def open(format, language, hints, listener):
        """Deferred of an IRecognition; `listener` is an IRecognitionListener."""


class IRecognition(Interface):
    """One caller being listened to."""

    def write(frame):
        """20 ms of audio; never blocks."""

    def expect(hints):
        """Change the Hints from the next utterance on."""

    def finalize():
        """Flush: exactly one `listener.final` follows, possibly empty, within final_p99_s + 0.5 s."""

    def close():
        """Free everything; no callback afterwards."""


class IRecognitionListener(Interface):
    def partial(text):
        """An unstable guess."""

    def final(utterance):
        """An Utterance; empty text when nothing was understood."""

    def failed(error):
        """A BackendError; the recognition is over."""


class ISynthesizer(Interface):
    """Text to speech."""

    name = Attribute("Provider name.")
    streaming = Attribute("True when `feed` takes partial sentences.")

    def speak(voice, format, consumer):
        """A new ISynthesis at once; `consumer` is an ISynthesisConsumer."""


class ISynthesis(Interface):
    done = Attribute("Deferred: fires None at the end of audio, fails with a BackendError.")

    def feed(text):
        """More text (whole sentences unless `streaming`)."""

    def end():
        """No more text."""

    def cancel():
        """Stop and free; `done` is cancelled."""


class ISynthesisConsumer(Interface):
    def audio(data):
        """PCM in the asked format, any length."""


@attrs.frozen
class Say:
    text: str
    interruptible: bool = True


@attrs.frozen
class Expect:
    """Listen with these Hints; `kind` is IVoiceAgentHost.expect's."""

    kind: str
    hints: Hints


@attrs.frozen
class CallTool:
    name: str
    arguments: Mapping[str, Any]


Reply = tuple[Say | Expect | CallTool, ...]
"""What a dialogue wants done, in order."""


class IDialogue(Interface):
    """The middle of the cascade, sans-IO: each input returns a Reply (a tuple of Say, Expect, CallTool)."""

    def start(greeted):
        """The call begins; `greeted` when the first message is being played already."""

    def heard(utterance):
        """One Utterance of the caller; empty text means speech that was not understood."""

    def pressed(digit):
        """A key."""

    def silence(count):
        """The caller said nothing, for the count-th time."""

    def tool_result(name, ok, data):
        """Outcome of a CallTool."""

    def cut_off(text):
        """Of what was said last, the caller heard only `text`."""


# ------------------------------------------------------- what a call does for an agent


class ICallControl(Interface):
    """What the runtime may ask of the call.  Tools end here; authorisation is checked here, not in a prompt."""

    def transfer(destination_id, reason):
        """Deferred of an Outcome dict {'ok': bool, 'cause': str, 'name': str}; the caller is with the PBX when ok."""

    def take_message(for_id):
        """Hand the caller to message taking, which needs no AI; `for_id` a destination id or ''."""

    def end(reason):
        """Hang up after what is queued was played."""

    def said(role, text):
        """One line of the transcript, in order."""

    def event(kind, data):
        """One line of the call's record: a backend failure, a fallback, a tool call."""


# -------------------------------------------------------------------- records


@attrs.frozen
class CallEvent:
    """One fact about one call, in order: `seq` counts from 0 within the call, `at` is wall time (Unix seconds).

    `kind` 'invite' opens the record and 'end' closes it; `fields` are columns of the
    call's row to set; `data` is kept as a line of its story.
    """

    call: str
    seq: int
    at: float
    kind: str
    fields: Mapping[str, Any] = attrs.field(factory=dict)
    data: Mapping[str, Any] = attrs.field(factory=dict)


class IRecordSink(Interface):
    def record(event):
        """Keep a CallEvent so that `kill -9` right afterwards does not lose it.  Fast; never raises."""


class ICounters(Interface):
    """Counted events, shown under /metrics."""

    def count(name, label="", amount=1):
        """`name` dotted ('sip.malformed'), `label` one word of a small fixed set ('udp')."""

    def observe(name, value, label=""):
        """One value of a histogram that has its bounds in `smartalex.counters`."""


# -------------------------------------------------------------------- messages


class IMessageWriter(Interface):
    """One message being recorded.  What was written is on disk within a second, whatever happens to us."""

    def write(pcm):
        """More s16le PCM at 8 kHz; returns at once."""

    def commit(duration_ms, for_id, for_name):
        """Keep it: Deferred of the message's id, fired when WAV and row are stored."""

    def abandon():
        """Nothing worth keeping: delete what was written."""


class IMessageBox(Interface):
    def open(call_id, caller):
        """A new IMessageWriter for this call."""
