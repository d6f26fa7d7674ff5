"""A plugin that writes down what is in the platform's memory, as its objects show themselves."""

from smartalex.plugins import LazyProvider

dumping = LazyProvider("IVoiceAgentFactory", "dumping", "dumps objects into into=", "tests.interop.dumping:DumpingFactory")
