"""SRTP and SRTCP of one leg (RFC 3711, RFC 7714), by libsrtp: what it will not vouch for is counted and goes no further."""

from __future__ import annotations

from collections.abc import Callable

import attrs
from pylibsrtp import Error, Policy, Session

from smartalex.errors import LocalError
from smartalex.rtp.packet import HEADER

PROFILES: dict[str, tuple[int, int, int]] = {
    "AEAD_AES_256_GCM": (Policy.SRTP_PROFILE_AEAD_AES_256_GCM, 0, 0),
    "AEAD_AES_128_GCM": (Policy.SRTP_PROFILE_AEAD_AES_128_GCM, 0, 0),
    "AES_CM_128_HMAC_SHA1_80": (Policy.SRTP_PROFILE_AES128_CM_SHA1_80, 10, 10),
    "AES_CM_128_HMAC_SHA1_32": (Policy.SRTP_PROFILE_AES128_CM_SHA1_32, 4, 10),
}
"""libsrtp's name for each suite, and the octets that follow the MKI in a packet of RTP and of RTCP."""

OLD_KEY_PACKETS = 250
"""So many packets, five seconds, a peer may still send with the key before the last one."""

STRIDE = 0x4000
"""Sequence numbers from one packet to the next that a context takes for progress, not for delay."""


@attrs.frozen
class SrtpKeys:
    """A master key with its salt for each direction; `mki` is what the peer puts before its tags, b"" for nothing."""

    suite: str
    sending: bytes = attrs.field(repr=False)
    receiving: bytes = attrs.field(repr=False)
    mki: bytes = b""


class Srtp:
    """Sans-IO: packets out of `protect` may be sent, None may not; what `unprotect` returns is the peer's, None is not.

    Without keys nothing passes.  `forged` packets failed authentication, `replayed` ones were there before or are too old,
    `malformed` are too short or too long; `unkeyed` came, and `unsent` were to go, before there were keys.
    """

    __slots__ = (
        "_candidates", "_current", "_old_left", "_protect", "_protect_control", "_unprotect", "forged", "keys", "malformed",
        "replayed", "unkeyed", "unsent",
    )  # fmt: skip

    def __init__(self) -> None:
        self.keys: SrtpKeys | None = None
        self.forged = self.replayed = self.malformed = self.unkeyed = self.unsent = 0
        self._protect: Callable[[bytes], bytes] = _refuse
        self._protect_control: Callable[[bytes], bytes] = _refuse
        self._unprotect: Callable[[bytes], bytes] = _refuse
        self._current: Session | None = None
        self._candidates: tuple[Session, ...] = ()
        self._old_left = 0

    def use(self, keys: SrtpKeys, heard: tuple[int, int] | None = None) -> bool:
        """From now on; what has not changed keeps its rollover counter.  True when the key we send with is another one.

        `heard` is the peer's SSRC and extended sequence number.  With a new key some start their rollover counter again,
        as RFC 4568 7.1.4 has it for a new address, some do not (RFC 3711 3.3.1): either is taken.  Ours starts again, so
        that after True the leg needs another SSRC, which both readings begin with 0.
        """
        if keys.suite not in PROFILES:
            raise LocalError(f"no SRTP suite {keys.suite}")
        before, self.keys = self.keys, keys
        if before is None or before.suite != keys.suite or before.receiving != keys.receiving:
            self._receive_with(keys, heard)
        if before is not None and before.suite == keys.suite and before.sending == keys.sending:
            return False
        session = _session(keys.suite, keys.sending, Policy.SSRC_ANY_OUTBOUND)
        self._protect, self._protect_control = session.protect, session.protect_rtcp
        return before is not None

    def _receive_with(self, keys: SrtpKeys, heard: tuple[int, int] | None) -> None:
        fresh = _session(keys.suite, keys.receiving, Policy.SSRC_ANY_INBOUND)
        if self._current is None:
            self._turn_to(fresh)
            return
        self._old_left = OLD_KEY_PACKETS
        self._candidates = (fresh,)
        if heard is not None and heard[1] >= 0x10000:
            self._candidates = (fresh, _advanced(keys, *heard))

    def _turn_to(self, session: Session) -> None:
        self._current, self._unprotect = session, session.unprotect
        self._candidates = ()

    # ------------------------------------------------------------------ RTP

    def protect(self, packet: bytes) -> bytes | None:
        try:
            return self._protect(packet)
        except (Error, ValueError):
            self.unsent += 1
            return None

    def unprotect(self, buffer: memoryview, size: int) -> bytes | None:
        """One datagram, the first `size` octets of `buffer`."""
        data = bytes(buffer[:size])
        keys = self.keys
        if keys is not None and keys.mki:
            data = _without_mki(data, keys.mki, PROFILES[keys.suite][1])
        try:
            plain = self._unprotect(data)
        except (Error, ValueError) as error:
            return self._by_candidates(data, error)
        if self._candidates:
            self._after_change()
        return plain

    def _by_candidates(self, data: bytes, error: Exception) -> bytes | None:
        """After a change of keys: the first context that fits is the one from then on."""
        for session in self._candidates:
            try:
                plain: bytes = session.unprotect(data)
            except (Error, ValueError):
                continue
            self._turn_to(session)
            return plain
        self._refused(error)
        return None

    def _after_change(self) -> None:
        """The context in use still fits: the new one is that, or the old one has its time."""
        if self._old_left == 0:
            self._candidates = ()
            return
        self._old_left -= 1
        if self._old_left == 0:
            self._current, *rest = self._candidates
            self._unprotect, self._candidates = self._current.unprotect, tuple(rest)

    # ------------------------------------------------------------------ RTCP

    def protect_control(self, packet: bytes) -> bytes | None:
        try:
            return self._protect_control(packet)
        except (Error, ValueError):
            self.unsent += 1
            return None

    def unprotect_control(self, data: bytes) -> bytes | None:
        keys = self.keys
        if keys is not None and keys.mki:
            data = _without_mki(data, keys.mki, PROFILES[keys.suite][2])
        error: Exception = Unkeyed()
        for session in filter(None, (self._current, *self._candidates)):
            try:
                plain: bytes = session.unprotect_rtcp(data)
            except (Error, ValueError) as caught:
                error = caught
            else:
                return plain
        self._refused(error)
        return None

    def _refused(self, error: Exception) -> None:
        text = str(error)
        if isinstance(error, Unkeyed):
            self.unkeyed += 1
        elif text.startswith("replay"):
            self.replayed += 1
        elif text.startswith("authentication"):
            self.forged += 1
        else:
            self.malformed += 1


class Unkeyed(ValueError):
    """There are no keys yet."""


def _refuse(packet: bytes) -> bytes:
    raise Unkeyed


def _session(suite: str, key: bytes, direction: int) -> Session:
    return Session(Policy(key, direction, 0, PROFILES[suite][0]))


def _without_mki(data: bytes, mki: bytes, behind: int) -> bytes:
    """The tag does not cover it, so that who leaves it out is understood all the same."""
    end = len(data) - behind
    start = end - len(mki)
    return data[:start] + data[end:] if start > 0 and data[start:end] == mki else data


def _advanced(keys: SrtpKeys, ssrc: int, highest: int) -> Session:
    """A context whose rollover counter is that of `highest`: libsrtp has no other way to set it than packets."""
    sender = _session(keys.suite, keys.receiving, Policy.SSRC_ANY_OUTBOUND)
    receiver = _session(keys.suite, keys.receiving, Policy.SSRC_ANY_INBOUND)
    last = highest - STRIDE // 2
    for index in (*range(0, last, STRIDE), last):
        receiver.unprotect(sender.protect(HEADER.pack(0x80, 0, index & 0xFFFF, 0, ssrc)))
    return receiver
