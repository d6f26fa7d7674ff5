"""The uvloop reactor in a process of its own: resets are noticed, and it sleeps rather than spins."""

from __future__ import annotations

import subprocess
import sys
from unittest import TestCase

AFTER_DATA = """
import socket, struct
from smartalex.reactor import install
install()
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

COUNT, lost, made = 30, [], []

class Server(Protocol):
    def connectionMade(self):
        made.append(self)
        if WRITES:
            reactor.callLater(0.7, self.transport.write, b"x")
    def connectionLost(self, reason):
        lost.append(reason.type.__name__)

port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")

def reset():
    for _ in range(COUNT):
        one = socket.create_connection(("127.0.0.1", port.getHost().port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients.append(one)
    reactor.callLater(0.3, end)
    reactor.callLater(1.5, done)

def end():
    for one in clients:
        one.send(b"x")
        one.close()

def done():
    print(len(lost), len(made))
    reactor.stop()

clients = []
reactor.callWhenRunning(reset)
reactor.run()
"""

RESETS = """
import socket, struct
from smartalex.reactor import install
install()
from twisted.internet import reactor
from twisted.internet.protocol import Factory, Protocol

COUNT, lost = 30, []

class Server(Protocol):
    def connectionMade(self):
        self.transport.write(b"x" * 400_000)
    def connectionLost(self, reason):
        lost.append(reason.type.__name__)

port = reactor.listenTCP(0, Factory.forProtocol(Server), interface="127.0.0.1")

def reset():
    for _ in range(COUNT):
        one = socket.create_connection(("127.0.0.1", port.getHost().port))
        one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        clients.append(one)
    reactor.callLater(0.3, lambda: [one.close() for one in clients])
    reactor.callLater(1.0, done)

def done():
    print(len(lost), len(reactor.getReaders()) - before, len(reactor.getWriters()))
    reactor.stop()

clients, before = [], 0
def start():
    global before
    before = len(reactor.getReaders())
    reset()
reactor.callWhenRunning(start)
reactor.run()
"""

TIMERS = """
from smartalex.reactor import install
install()
from twisted.internet import reactor
rounds, due = 0, 0
look = reactor.runUntilCurrent
def count():
    global rounds
    rounds += 1
    look()
reactor.runUntilCurrent = count
def again(n):
    global due
    due += 1
    reactor.callLater(0.0033, again, n - 1) if n else reactor.stop()
reactor.callWhenRunning(again, 100)
reactor.run()
print(rounds < 3 * due)
"""


def run(program: str) -> str:
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=30, check=False)
    return done.stdout.strip() or done.stderr[-2000:]


class Uvloop(TestCase):
    def test_a_connection_that_was_reset_is_lost_at_once(self) -> None:
        self.assertEqual(run(RESETS), "30 0 0")

    def test_one_that_was_reset_right_after_its_last_message_too(self) -> None:
        for writes in ("False", "True"):
            self.assertEqual(run(f"WRITES = {writes}" + AFTER_DATA), "30 30")

    def test_it_does_not_go_round_and_round_for_the_fraction_of_a_millisecond(self) -> None:
        self.assertEqual(run(TIMERS), "True")
