"""How well the embedded receptionist understands: espeak-ng callers over SIP and PCMU to a whole platform.

    python -m tests.bench.receptionist_accuracy [--set evaluation|tuning] [--at-once N]

A caller asks for somebody, says yes to the right name and no to a wrong one, and
asks again when asked to.  Printed for each call: voice, sentence, what was
understood, questions before the transfer, where it went.  *right* is the wanted
extension after one question (a confirmation, or a re-prompt and nothing more);
*later* the wanted one after more; *wrong* a transfer to somebody else whom the
caller had not agreed to.  The evaluation sentences and voices are
never used for tuning.
"""

from __future__ import annotations

import argparse
import re
from collections import Counter
from typing import Any

from twisted.internet.defer import DeferredSemaphore, ensureDeferred, gatherResults
from twisted.internet.task import react

from smartalex.ai.receptionist.synthesizer import EmbeddedSynthesizer
from smartalex.cli.state import opened
from smartalex.cli.transcript import Transcript
from smartalex.phone.call import Phone, PhoneOptions, Target, render
from smartalex.phone.script import Item
from smartalex.sip.digest import Secret
from smartalex.sip.headers import Peer
from smartalex.sip.uri import Uri
from smartalex.store.demo import DEPARTMENTS, PEOPLE
from tests.interop.platform import Platform

TUNING = (
    ("en-us", "connect me to Sarah in billing", "sarah-mitchell"), ("en", "can I speak to David Okafor please", "david-okafor"),
    ("en-gb-x-rp", "James Wilson", "james-wilson"), ("en-gb-scotland", "put me through to support", "support"),
    ("en-us+m3", "Priya please", "priya-naidoo"), ("en-us+f2", "I'd like to speak to Tom Baker", "tom-baker"),
    ("en+m7", "sales department please", "sales"), ("en-us+f5", "could I talk to Maria Gonzalez", "maria-gonzalez"),
    ("en-029", "transfer me to Linda Chen", "linda-chen"), ("en-us", "I need to speak to someone in accounts", "billing"),
    ("en-gb-x-rp", "technical support please", "support"), ("en+f4", "get me Linda please", "linda-chen"),
)  # fmt: skip
EVALUATION = (
    ("en-us+f3", "could you put me through to Sarah Mitchell please", "sarah-mitchell"),
    ("en-us+m1", "I'd like to talk to Tom Baker in sales", "tom-baker"),
    ("en-gb-x-gbclan", "Priya Naidoo please", "priya-naidoo"),
    ("en-gb-x-rp+m2", "can I talk to someone in support", "support"), ("en-us+m5", "please connect me to billing", "billing"),
    ("en-us-nyc", "may I speak to James Wilson", "james-wilson"),
    ("en+f1", "I need to talk to Maria in billing", "maria-gonzalez"),
    ("en-us+m6", "hi can I speak with Linda Chen please", "linda-chen"),
    ("en-us+f1", "transfer me to the sales department", "sales"),
    ("en-gb-x-gbcwmd", "David Okafor", "david-okafor"), ("en-us+m1", "is Sarah there", "sarah-mitchell"),
    ("en-gb-x-rp+f3", "accounts please", "billing"), ("en-us+f3", "can you connect me with Priya in support", "priya-naidoo"),
    ("en-us-nyc", "I want to speak to Linda", "linda-chen"), ("en+m1", "put me through to the help desk please", "support"),
    ("en-us+m5", "Maria Gonzalez please", "maria-gonzalez"),
    ("en-gb-x-gbclan", "I would like to speak to David in sales", "david-okafor"),
    ("en-us+f1", "connect me to James", "james-wilson"), ("en+f1", "hello, technical support please", "support"),
    ("en-us+m6", "let me talk to Thomas", "tom-baker"),
)  # fmt: skip
SETS = {"tuning": TUNING, "evaluation": EVALUATION}
MOST_TURNS = 6

SPOKEN = {**{i: (number, f"{name} in {department}") for i, number, name, department in PEOPLE},
          **{i: (number, name.lower()) for i, number, name, _ in DEPARTMENTS}}  # fmt: skip


class Caller(Phone):
    """Answers what the transcript says it was asked."""

    def __init__(self, reactor: Any, transcript: Transcript, wanted: str, voices: dict[str, bytes]) -> None:
        super().__init__(reactor, PhoneOptions(("PCMU",)), lambda who, text: None)
        self.transcript, self.wanted, self.voices = transcript, wanted, voices
        self.agreed: list[str] = []

    def _next(self, item: Item) -> None:
        asked = next((line["text"] for line in reversed(self.transcript.lines) if line["role"] == "agent"), "")
        offered = re.search(r"connect you to (.+?)\?", asked)
        what = "request" if offered is None else "yes" if offered[1] == SPOKEN[self.wanted][1] else "no"
        if what == "yes":
            self.agreed.append(SPOKEN[self.wanted][0])
        super()._next(Item("say", what, self.voices[what]))


async def one(reactor: Any, platform: Platform, repository: Any, synthesizer: Any, case: tuple[str, str, str]) -> tuple[str, str]:
    voice, sentence, wanted = case
    voices = {"yes": await render(synthesizer, voice, "yes"), "no": await render(synthesizer, voice, "no"),
              "request": await render(synthesizer, voice, sentence)}  # fmt: skip
    transcript = Transcript(reactor, repository.records, lambda role, text: None)
    caller = Caller(reactor, transcript, wanted, voices)
    target = Target(
        Uri("sip", "alex", host="127.0.0.1"), Peer("udp", "127.0.0.1", platform.sip), platform.username, Secret(platform.password)
    )
    transcript.follow(lambda: caller.result.call_id)
    result = await caller.call(target, [Item("say", "")] * MOST_TURNS, 120.0)
    await transcript.finish()
    await caller.close()
    went = result.transferred_to
    understood = " / ".join(line["text"] for line in transcript.lines if line["role"] == "caller")
    verdict = _verdict(went, SPOKEN[wanted][0], len(caller.said), caller.agreed)
    print(
        f"{verdict:6} {voice:15} {sentence:50} -> {understood:45} {len(caller.said) - 1} questions, went to {went or 'nobody'}",
        flush=True,
    )
    return verdict, went or ""


def _verdict(went: str, wanted: str, said: int, agreed: list[str]) -> str:
    if went == wanted:
        return "right" if said <= 2 else "later"
    if not went or went == "100":
        return "nobody" if not went else "helped"  # two failures lead to the operator, by the rules
    return "wrong"


async def main(reactor: Any, which: str, at_once: int) -> None:
    platform = Platform().start()
    state, synthesizer, limit = opened(str(platform.state), None), EmbeddedSynthesizer(reactor), DeferredSemaphore(at_once)
    try:
        cases = [
            limit.run(lambda case=case: ensureDeferred(one(reactor, platform, state.repository, synthesizer, case)))
            for case in SETS[which]
        ]
        verdicts = Counter(verdict for verdict, _ in await gatherResults(cases, consumeErrors=True))
    finally:
        synthesizer.stop()
        platform.remove()
    print(f"{which}: {sum(verdicts.values())} requests over PCMU: {dict(verdicts)}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--set", choices=SETS, default="evaluation")
    parser.add_argument("--at-once", type=int, default=4)
    given = parser.parse_args()
    react(main, (given.set, given.at_once))
