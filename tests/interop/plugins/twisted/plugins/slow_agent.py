"""An operator's own plugin: an agent that takes its time."""

from smartalex.plugins import LazyProvider

slow = LazyProvider("IVoiceAgentFactory", "slow", "ready after two seconds", "tests.interop.slow:SlowFactory")
