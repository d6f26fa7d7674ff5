"""The embedded receptionist: the cascade with pocketsphinx, rules and espeak-ng."""

from __future__ import annotations

from typing import Any

from smartalex.ai.pipeline import CascadeFactory
from smartalex.ai.receptionist.dialogue import ReceptionistDialogue
from smartalex.ai.receptionist.recognizer import EmbeddedRecognizer
from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer


class ReceptionistFactory(CascadeFactory):
    """Needs the reactor for its two children; `stop` ends them."""

    wants_reactor = True

    def __init__(self, reactor: Any) -> None:
        super().__init__(EmbeddedRecognizer(reactor), ReceptionistDialogue, EmbeddedSynthesizer(reactor), "receptionist")

    def stop(self) -> None:
        self.recognizer.stop()
        self.synthesizer.stop()
