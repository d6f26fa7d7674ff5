"""SIP messages as a capture file for Wireshark: classic pcap of raw IP packets (pure)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator
from ipaddress import IPv4Address, IPv6Address, ip_address

from smartalex.sip.headers import Peer
from smartalex.sip.trace import Traced

HEADER = struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 262_144, 101)
"""Microseconds, version 2.4, LINKTYPE_RAW: each packet begins with its IPv4 or IPv6 header."""

MAX_DATAGRAM = 65_507
SEGMENT = 60_000
"""Octets of a stream in one packet; a longer message takes several."""

UDP, TCP = 17, 6
PSH_ACK = 0x18

PLAIN = {80: 50_080, 443: 50_443, 5061: 55_061}
"""Ports on which a reader expects encryption or HTTP, and what is written in their place: here is plain SIP."""

Address = IPv4Address | IPv6Address
End = tuple[Address, int]


def pcap(messages: Iterable[Traced]) -> bytes:
    """The file.  Streams are written as TCP with running sequence numbers, TLS and WebSocket as what was in them."""
    sent: dict[tuple[End, End], int] = {}
    packets = [_record(message.at, packet) for message in messages for packet in _packets(message, sent)]
    return HEADER + b"".join(packets)


def _record(at: float, packet: bytes) -> bytes:
    microseconds = round(at * 1_000_000)
    return struct.pack("<IIII", *divmod(microseconds, 1_000_000), len(packet), len(packet)) + packet


def _packets(message: Traced, sent: dict[tuple[End, End], int]) -> Iterator[bytes]:
    peer = _end(message.peer)
    local = _end(message.local, peer[0].version)
    source, target = (peer, local) if message.incoming else (local, peer)
    if message.peer.transport == "udp":
        yield _datagram(source, target, message.data[:MAX_DATAGRAM])
        return
    for start in range(0, len(message.data), SEGMENT):
        piece = message.data[start : start + SEGMENT]
        sequence, acknowledged = sent.get((source, target), 1), sent.get((target, source), 1)
        sent[source, target] = (sequence + len(piece)) % 2**32
        yield _segment(source, target, (sequence, acknowledged), piece)


def _end(side: Peer, version: int = 0) -> End:
    """An address of this version, or of any; 0.0.0.0 or :: where we advertise a name."""
    port = side.port if side.transport in ("udp", "tcp") else PLAIN.get(side.port, side.port)
    try:
        address = ip_address(side.host.partition("%")[0])
    except ValueError:
        address = IPv4Address(0)
    if version in (0, address.version):
        return address, port
    return (IPv4Address(0) if version == 4 else IPv6Address(0)), port


def _datagram(source: End, target: End, data: bytes) -> bytes:
    length = 8 + len(data)
    head = struct.pack("!HHH", source[1], target[1], length)
    check = _checksum(_pseudo(source, target, UDP, length) + head + b"\0\0" + data) or 0xFFFF
    return _ip(source, target, UDP, head + struct.pack("!H", check) + data)


def _segment(source: End, target: End, numbers: tuple[int, int], data: bytes) -> bytes:
    head = struct.pack("!HHIIBBH", source[1], target[1], *numbers, 5 << 4, PSH_ACK, 0xFFFF)
    check = _checksum(_pseudo(source, target, TCP, 20 + len(data)) + head + b"\0\0\0\0" + data)
    return _ip(source, target, TCP, head + struct.pack("!HH", check, 0) + data)


def _ip(source: End, target: End, protocol: int, payload: bytes) -> bytes:
    addresses = source[0].packed + target[0].packed
    if source[0].version == 6:
        return struct.pack("!IHBB", 6 << 28, len(payload), protocol, 64) + addresses + payload
    head = struct.pack("!BBHHHBB", 0x45, 0, 20 + len(payload), 0, 0x4000, 64, protocol)
    return head + struct.pack("!H", _checksum(head + b"\0\0" + addresses)) + addresses + payload


def _pseudo(source: End, target: End, protocol: int, length: int) -> bytes:
    """What the checksum covers of the IP header (RFC 768, RFC 9293 3.1, RFC 8200 8.1)."""
    form = "!IHBB" if source[0].version == 6 else "!BBH"
    numbers = (length, 0, 0, protocol) if source[0].version == 6 else (0, protocol, length)
    return source[0].packed + target[0].packed + struct.pack(form, *numbers)


def _checksum(data: bytes) -> int:
    """RFC 1071."""
    data += b"\0" * (len(data) % 2)
    total = sum(struct.unpack(f"!{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return ~total & 0xFFFF
