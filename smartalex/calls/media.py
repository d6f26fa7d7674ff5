"""The media of one call: its leg, and what SDP has agreed about it (RFC 3264)."""

from __future__ import annotations

import attrs

from smartalex.rtp.plane import Leg, MediaParams
from smartalex.sdp import negotiation
from smartalex.sdp.description import SessionDescription


class CallMedia:
    """A leg together with the offer/answer state; every `bytes` here is an SDP body."""

    __slots__ = ("_address", "_capabilities", "_muted", "_session_id", "_version", "agreed", "leg", "offered")

    def __init__(self, leg: Leg, capabilities: negotiation.Capabilities, address: str, session_id: int) -> None:
        self.leg = leg
        self.agreed: negotiation.Agreed | None = None
        self.offered = False  # an offer of ours waits for its answer
        self._capabilities = capabilities
        self._address = address
        self._session_id = session_id
        self._version = 0
        self._muted = False

    def local_answer(self, offer: bytes) -> bytes:
        """The answer to `offer`; raises RemoteError(488) where nothing fits.  Takes effect with `connect`."""
        agreed, body = negotiation.answer(SessionDescription.parse(offer), self._capabilities, self._local())
        self.agreed, self.offered = agreed, False
        self._version += 1
        return body

    def local_offer(self) -> bytes:
        """Our offer, for an INVITE that came without one."""
        used = self.agreed.numbers if self.agreed else {}
        body = negotiation.offer(attrs.evolve(self._capabilities, numbers=used), self._local())
        self.offered = True
        self._version += 1
        return body

    def withdraw(self) -> None:
        """Nobody will answer `local_offer`; what was agreed before stands."""
        self.offered = False

    def remote_answer(self, answer: bytes) -> None:
        """The peer's answer to `local_offer`; raises RemoteError when it does not fit."""
        self.offered = False
        self.agreed = negotiation.accept(SessionDescription.parse(answer), self._capabilities)

    def connect(self) -> None:
        """Send and receive as agreed (again, after a re-INVITE)."""
        agreed = self.agreed
        if agreed is None:
            return
        self.leg.set_remote(agreed.remote_address, agreed.remote_port, self._params(agreed))

    def tune(self) -> None:
        """Before anything is connected: the leg's rate is that of what was agreed, else of what we would like best."""
        codec = self._capabilities.codecs[0]
        self.leg.adopt(MediaParams(codec) if self.agreed is None else self._params(self.agreed))

    def _params(self, agreed: negotiation.Agreed) -> MediaParams:
        sending = agreed.direction in ("sendrecv", "sendonly") and not self._muted
        return MediaParams(
            agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.ptime_ms, sending,
            agreed.parameters, agreed.dtmf_clock, agreed.noise_payload_type,
        )  # fmt: skip

    @property
    def held(self) -> bool:
        return self.agreed is not None and self.agreed.held

    def mute(self, muted: bool) -> None:
        """Stop, or go on, sending anything at all."""
        self._muted = muted
        self.connect()

    def _local(self) -> negotiation.Local:
        """A description that cannot be made does not use up its number (RFC 3264 8)."""
        return negotiation.Local(self._address, self.leg.local_port, self._session_id, self._version + 1)
