"""The embedded receptionist: the cascade with pocketsphinx, rules and espeak-ng."""

from __future__ import annotations

from typing import Any

from twisted.internet.defer import Deferred, gatherResults

from smartalex.ai.pipeline import CascadeFactory
from smartalex.ai.receptionist.dialogue import ReceptionistDialogue
from smartalex.ai.receptionist.recognizer import EmbeddedRecognizer
from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer


class ReceptionistFactory(CascadeFactory):
    """Needs the reactor for its two children; `stop` ends them."""

    wants_reactor = True

    def __init__(self, reactor: Any) -> None:
        self._parts = EmbeddedRecognizer(reactor), EmbeddedSynthesizer(reactor)
        super().__init__(self._parts[0], ReceptionistDialogue, self._parts[1], "receptionist")

    def stop(self) -> Deferred[list[None]]:
        """Fires when both children are gone."""
        return gatherResults([part.stop() for part in self._parts])
