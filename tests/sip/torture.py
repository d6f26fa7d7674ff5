"""A stranger who sends a whole user agent some bytes, by datagram or by stream, and notes what comes back."""

from __future__ import annotations

import attrs

from smartalex.sip.framing import StreamFramer
from tests.sip.network import Agent, Host, Network, ring_and_answer
from tests.sip.test_transport import raw_client

ANSWERER, STRANGER = "192.0.2.200", "192.0.2.1"


@attrs.frozen
class Reaction:
    """The responses as they came, whether the connection was cut, and what was counted."""

    responses: tuple[bytes, ...]
    cut: bool
    counted: dict[tuple[str, str], int]

    @property
    def statuses(self) -> tuple[int, ...]:
        return tuple(int(response.split(b" ")[1]) for response in self.responses)


def send(data: bytes, transport: str, patience_s: float = 0.2) -> Reaction:
    """To a user agent that answers every call; whatever `data` is, it must not find a fault of ours."""
    network = Network()
    agent = Agent(network, ANSWERER)
    agent.take = ring_and_answer
    if transport == "udp":
        network.udp[ANSWERER, 5060].datagramReceived(data, (STRANGER, 5060))
        network.run(patience_s)
        answers, cut = [sent for _, _, sent in network.seen], False
    else:
        raw = raw_client(network, Host(network, STRANGER), ANSWERER)
        raw.write(data)
        network.run(patience_s)
        answers, cut = list(StreamFramer().feed(raw.got)), raw.lost
    assert not agent.counters.values["sip.fault", ""], data
    responses = tuple(answer for answer in answers if answer.startswith(b"SIP/2.0 "))
    return Reaction(responses, cut, {key: count for key, count in agent.counters.values.items() if count})
