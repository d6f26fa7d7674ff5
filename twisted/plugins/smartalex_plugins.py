"""What SmartAlex adds to Twisted: the `twistd smartalex` service, the uvloop reactor, the built-in providers.

Imported whenever anybody lists plugins, so it loads nothing heavy and opens nothing.
"""

from twisted.application.reactors import Reactor
from twisted.application.service import ServiceMaker

from smartalex.plugins import LazyProvider

smartalex = ServiceMaker("SmartAlex", "smartalex.tap", "AI voice platform for the phone system you already have.", "smartalex")

uvloop = Reactor("uvloop", "smartalex.reactor", "asyncio reactor over the uvloop event loop")

digest = LazyProvider("IAuthenticator", "digest", "SIP digest, issued credentials", "smartalex.auth.digest:logins")
allowlist = LazyProvider("IAuthenticator", "ip-allowlist", "addresses and networks", "smartalex.auth.allowlist:listed")
all_of = LazyProvider(
    "IAuthenticator", "all-of", "several at once: of=digest+ip-allowlist (also called both)", "smartalex.auth.allof:all_of"
)
registration = LazyProvider(
    "IAuthenticator", "registration", "calls from where the PBX has registered from", "smartalex.auth.registered:registered"
)
geoip = LazyProvider(
    "IRegionLocator", "geoip", "a database in MaxMind's format, database=PATH; needs maxminddb", "smartalex.regions.geoip:GeoIp"
)
transit = LazyProvider(
    "IMasterKey",
    "transit",
    "HashiCorp Vault: key=NAME, address=, mount=, token_file=; needs hvac",
    "smartalex.store.transit:transit",
)
receptionist = LazyProvider(
    "IVoiceAgentFactory",
    "receptionist",
    "embedded receptionist, no account needed",
    "smartalex.ai.receptionist.factory:ReceptionistFactory",
)
notice = LazyProvider(
    "IVoiceAgentFactory",
    "notice",
    "says its first message, then takes a message; then=hang-up ends the call",
    "smartalex.ai.receptionist.notice:NoticeFactory",
)
play = LazyProvider("IVoiceAgentFactory", "play", "plays a sound in a loop (trunk test)", "smartalex.ai.diagnostics:PlayFactory")
echo = LazyProvider("IVoiceAgentFactory", "echo", "sends back what it hears (trunk test)", "smartalex.ai.diagnostics:EchoFactory")
silent = LazyProvider("IVoiceAgentFactory", "silent", "answers and stays silent (load)", "smartalex.ai.diagnostics:SilentFactory")

webrtc_vad = LazyProvider(
    "IVoiceDetectorFactory", "webrtc", "WebRTC's detector over an adaptive floor", "smartalex.media.vad:WebrtcVad"
)
energy_vad = LazyProvider("IVoiceDetectorFactory", "energy", "loudness over an adaptive floor", "smartalex.media.vad:EnergyVad")
silero_vad = LazyProvider(
    "IVoiceDetectorFactory",
    "silero",
    "Silero's network, from the ONNX file that model= names; needs onnxruntime",
    "smartalex.media.vad_silero:SileroVad",
)
webrtc_noise = LazyProvider(
    "IAudioFilterFactory",
    "webrtc",
    "noise suppression, level=1 to 4; needs webrtc-noise-gain",
    "smartalex.media.noise:WebrtcNoise",
)
livekit_filter = LazyProvider(
    "IAudioFilterFactory",
    "livekit",
    "echo cancellation and, with noise=yes, noise suppression; needs livekit",
    "smartalex.media.echo_cancel:LivekitFilters",
)
wav = LazyProvider("IRecordingSink", "wav", "a WAV file for each call, in folder=", "smartalex.media.recording:WavSink")

pcmu = LazyProvider("ICodec", "PCMU", "G.711 mu-law, 8 kHz, 64 kbit/s", "smartalex.media.codecs.g711:PCMU")
pcma = LazyProvider("ICodec", "PCMA", "G.711 A-law, 8 kHz, 64 kbit/s", "smartalex.media.codecs.g711:PCMA")
g722 = LazyProvider("ICodec", "G722", "G.722, 16 kHz, 64 kbit/s", "smartalex.media.codecs.g722:G722")
opus = LazyProvider("ICodec", "opus", "Opus, used at 16 kHz and 24 kbit/s; needs libopus", "smartalex.media.codecs.opus:Opus")
