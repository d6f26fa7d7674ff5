"""Agents that leave, or transfer, at once."""

from smartalex.plugins import LazyProvider

leaving = LazyProvider("IVoiceAgentFactory", "leaving", "hangs up at once", "tests.interop.agents:LeavingFactory")
moving = LazyProvider("IVoiceAgentFactory", "moving", "transfers to sales at once", "tests.interop.agents:MovingFactory")
