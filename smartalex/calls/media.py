"""The media of one call: its leg, and what SDP has agreed about it (RFC 3264)."""

from __future__ import annotations

from collections.abc import Callable

import attrs

from smartalex.rtp.dtls import DtlsPeer
from smartalex.rtp.plane import Leg, MediaParams
from smartalex.rtp.srtp import SrtpKeys
from smartalex.sdp import crypto, negotiation
from smartalex.sdp.description import SessionDescription
from smartalex.tenants.trunk import IN_CLEAR

CONFIDENTIAL = ("tls", "wss")
"""Transports of SIP that nobody on the way can read."""

Secured = Callable[[str, str], None]


class CallMedia:
    """A leg together with the offer/answer state; every `bytes` here is an SDP body.

    `meet` says who is spoken with, since a call may change its peer.  `on_secured(what, why)` is called when what secures the
    stream changes: "" for plain RTP, and with `why` it cannot be secured as was agreed.
    """

    __slots__ = ("_address", "_capabilities", "_host", "_muted", "_offer", "_security", "_session_id", "_transport", "_version",
                 "agreed", "leg", "offered", "on_secured", "secured")  # fmt: skip

    def __init__(
        self, leg: Leg, capabilities: negotiation.Capabilities, address: str, session_id: int,
        security: crypto.Security = negotiation.PLAIN,
    ) -> None:  # fmt: skip
        self.leg = leg
        self.secured = ""
        self.on_secured: Secured = _nobody
        self._security = security
        self._offer = negotiation.PLAINLY
        self._host = self._transport = ""
        self.agreed: negotiation.Agreed | None = None
        self.offered = False  # an offer of ours waits for its answer
        self._capabilities = capabilities
        self._address = address
        self._session_id = session_id
        self._version = 0
        self._muted = False

    def meet(self, host: str, transport: str) -> None:
        """Signalling comes from there, over this transport."""
        self._host, self._transport = host, transport
        self.leg.meet(host)

    def local_answer(self, offer: bytes, *, anew: bool = False) -> bytes:
        """The answer to `offer`; raises RemoteError(488) where nothing fits.  Takes effect with `connect`.

        With `anew` it is another dialog's, of somebody who is to share no key with whom was spoken before.
        """
        read = SessionDescription.parse(offer)
        before = self.agreed.secured if self.agreed and not anew else None
        agreed, body = negotiation.answer(read, self._capabilities, self._local(), self._security_for(read), before)
        self.agreed, self.offered = agreed, False
        self._version += 1
        return body

    def local_offer(self, *, anew: bool = False) -> bytes:
        """Our offer, for an INVITE that came without one; `anew` as above."""
        used = self.agreed.numbers if self.agreed else {}
        before = (self.agreed.profile, self.agreed.secured) if self.agreed and not anew else None
        self._offer = crypto.offered(self._security, before)
        body = negotiation.offer(attrs.evolve(self._capabilities, numbers=used), self._local(), self._offer)
        self.offered = True
        self._version += 1
        return body

    def withdraw(self) -> None:
        """Nobody will answer `local_offer`; what was agreed before stands."""
        self.offered = False

    def remote_answer(self, answer: bytes) -> None:
        """The peer's answer to `local_offer`; raises RemoteError when it does not fit."""
        self.offered = False
        self.agreed = negotiation.accept(SessionDescription.parse(answer), self._capabilities, self._offer, self._security)

    def refreshed(self, answer: bytes) -> None:
        """The peer's answer to what we said last, sent once more to keep the session alive."""
        if self.agreed is not None:
            self._offer = crypto.offered(self._security, (self.agreed.profile, self.agreed.secured))
            self.remote_answer(answer)

    def connect(self) -> None:
        """Send and receive as agreed (again, after a re-INVITE)."""
        agreed = self.agreed
        if agreed is None:
            return
        self.leg.on_secured = self._secured
        self.leg.set_remote(agreed.remote_address, agreed.remote_port, self._params(agreed))
        if agreed.secured is None and self.secured:
            self._tell("")

    def tune(self) -> None:
        """Before anything is connected: the leg's rate is that of what was agreed, else of what we would like best."""
        codec = self._capabilities.codecs[0]
        self.leg.adopt(MediaParams(codec) if self.agreed is None else self._params(self.agreed))

    def _params(self, agreed: negotiation.Agreed) -> MediaParams:
        sending = agreed.direction in ("sendrecv", "sendonly") and not self._muted
        return MediaParams(
            agreed.codec, agreed.payload_type, agreed.dtmf_payload_type, agreed.ptime_ms, sending,
            agreed.parameters, agreed.dtmf_clock, agreed.noise_payload_type, _wanted(agreed.secured),
            agreed.mux, agreed.control,
        )  # fmt: skip

    def _security_for(self, offer: SessionDescription) -> crypto.Security:
        """Who can reach the other begins a handshake: we wait where audio is elsewhere than signalling, as behind a NAT."""
        addresses = {offer.address, *(media.address for media in offer.media)}
        return self._security if self._host in addresses else attrs.evolve(self._security, role="passive")

    def _secured(self, suite: str, why: str) -> None:
        if why:
            self.on_secured("", why)
        elif self.agreed is not None and isinstance(self.agreed.secured, crypto.Dtls):
            self._tell(f"dtls {suite}")
        else:
            self._tell(f"sdes {suite}" if self._transport in CONFIDENTIAL else f"sdes {suite}, {IN_CLEAR}")

    def _tell(self, what: str) -> None:
        if what != self.secured:
            self.secured = what
            self.on_secured(what, "")

    def part(self) -> None:
        """The call is over: nothing leads back to it."""
        self.on_secured = _nobody

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


def _wanted(secured: crypto.Secured) -> SrtpKeys | DtlsPeer | None:
    """As the media plane has it."""
    if isinstance(secured, crypto.Sdes):
        return SrtpKeys(secured.theirs.suite, secured.ours.key, secured.theirs.key, secured.theirs.mki)
    if isinstance(secured, crypto.Dtls):
        return DtlsPeer(secured.role == "active", tuple((one.hash, one.digest) for one in secured.theirs))
    return None


def _nobody(what: str, why: str) -> None:
    pass
