"""SRTP written down from RFC 3711 and RFC 7714, slow and plain, to compare with; held against their vectors in test_srtp."""

from __future__ import annotations

import hmac
from functools import cache

from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

KEYS = {"AEAD_AES_256_GCM": 32, "AEAD_AES_128_GCM": 16, "AES_CM_128_HMAC_SHA1_80": 16, "AES_CM_128_HMAC_SHA1_32": 16}
TAGS = {"AES_CM_128_HMAC_SHA1_80": 10, "AES_CM_128_HMAC_SHA1_32": 4}
ENCRYPTED = 1 << 31


def counter_mode(key: bytes, iv: int, data: bytes) -> bytes:
    """AES in counter mode (RFC 3711 4.1.1); `iv` is 128 bits."""
    encryptor = Cipher(algorithms.AES(key), modes.CTR(iv.to_bytes(16, "big"))).encryptor()
    return encryptor.update(data)


@cache
def derived(key: bytes, salt: bytes, label: int, size: int) -> bytes:
    """A session key of a master key (4.3.1); shorter salts than 14 octets are filled up (RFC 7714 11)."""
    x = int.from_bytes(salt.ljust(14, b"\0"), "big") ^ label << 48
    return counter_mode(key, x << 16, bytes(size))


def gcm_iv(salt: bytes, ssrc: int, number: int) -> bytes:
    """RFC 7714 8.1 and 9.1: `number` is rollover counter and sequence number, or the SRTCP index."""
    return ((ssrc << 48 | number) ^ int.from_bytes(salt, "big")).to_bytes(12, "big")


def cm_iv(salt: bytes, ssrc: int, index: int) -> int:
    return int.from_bytes(salt, "big") << 16 ^ ssrc << 64 ^ index << 16


def header_bytes(packet: bytes) -> int:
    end = 12 + 4 * (packet[0] & 15)
    return end + 4 + 4 * int.from_bytes(packet[end + 2 : end + 4], "big") if packet[0] & 0x10 else end


class Reference:
    """One direction: a master key with its salt."""

    def __init__(self, suite: str, master: bytes) -> None:
        self.suite, size = suite, KEYS[suite]
        self.key, self.salt = master[:size], master[size:]

    def _session(self, label: int, size: int) -> bytes:
        return derived(self.key, self.salt, label, size)

    def rtp(self, packet: bytes, roc: int, mki: bytes = b"") -> bytes:
        ssrc, sequence, start = int.from_bytes(packet[8:12], "big"), int.from_bytes(packet[2:4], "big"), header_bytes(packet)
        key, salt = self._session(0, len(self.key)), self._session(2, len(self.salt))
        if self.suite not in TAGS:
            sealed = AESGCM(key).encrypt(gcm_iv(salt, ssrc, roc << 16 | sequence), packet[start:], packet[:start])
            return packet[:start] + sealed + mki
        out = packet[:start] + counter_mode(key, cm_iv(salt, ssrc, roc << 16 | sequence), packet[start:])
        tag = hmac.digest(self._session(1, 20), out + roc.to_bytes(4, "big"), "sha1")
        return out + mki + tag[: TAGS[self.suite]]

    def rtcp(self, packet: bytes, index: int, mki: bytes = b"") -> bytes:
        ssrc, word = int.from_bytes(packet[4:8], "big"), (ENCRYPTED | index).to_bytes(4, "big")
        key, salt = self._session(3, len(self.key)), self._session(5, len(self.salt))
        if self.suite not in TAGS:
            return packet[:8] + AESGCM(key).encrypt(gcm_iv(salt, ssrc, index), packet[8:], packet[:8] + word) + word + mki
        out = packet[:8] + counter_mode(key, cm_iv(salt, ssrc, index), packet[8:]) + word
        return out + mki + hmac.digest(self._session(4, 20), out, "sha1")[:10]
