"""/metrics, /healthz and /readyz, as clients of every kind see them."""

from __future__ import annotations

from unittest import TestCase

from prometheus_client.parser import text_string_to_metric_families
from twisted.internet.task import Clock
from twisted.internet.testing import StringTransport

from smartalex.counters import Counters
from smartalex.web.status import IDLE_S, site


class Client:
    """One connection."""

    def __init__(self, web: Web) -> None:
        self.transport = StringTransport()
        self.transport.abortConnection = self.transport.loseConnection  # type: ignore[method-assign]
        self.protocol = web.site.buildProtocol(None)
        self.protocol.makeConnection(self.transport)

    def send(self, data: bytes) -> bytes:
        """What comes back."""
        self.protocol.dataReceived(data)
        answer = self.transport.value()
        self.transport.clear()
        return answer


class Web(TestCase):
    def setUp(self) -> None:
        self.clock, self.counters = Clock(), Counters()
        self.gauges: dict[str, float] = {"calls": 3}
        self.ready = True
        self.site = site(self.counters, lambda: self.gauges, lambda: self.ready, self.clock)

    def ask(self, path: str, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
        answer = Client(self).send(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        head, _, body = answer.partition(b"\r\n\r\n")
        first, *lines = head.decode().split("\r\n")
        return int(first.split()[1]), {k.lower(): v for k, v in (line.split(": ", 1) for line in lines)}, body


class Metrics(Web):
    def samples(self) -> dict[tuple[str, str], float]:
        status, headers, body = self.ask("/metrics")
        self.assertEqual(status, 200)
        self.assertTrue(headers["content-type"].startswith("text/plain; version="), headers)
        families = list(text_string_to_metric_families(body.decode()))
        names = [family.name for family in families]
        self.assertEqual(len(names), len(set(names)), "each metric is announced once")
        return {(s.name, s.labels.get("label", "")): s.value for family in families for s in family.samples}

    def test_counters_and_gauges(self) -> None:
        for name, label in (("sip.received", "udp"), ("sip.received", "tcp"), ("calls.accepted", "")):
            self.counters.count(name, label)
        self.counters.count("sip.received", "udp", 4)
        wanted = {
            ("smartalex_sip_received_total", "udp"): 5,
            ("smartalex_sip_received_total", "tcp"): 1,
            ("smartalex_calls_accepted_total", ""): 1,
            ("smartalex_calls", ""): 3,
        }
        self.assertEqual(self.samples(), wanted)

    def test_odd_names_and_labels_do_not_spoil_the_page(self) -> None:
        label = 'a "quoted"\nline\\'
        self.counters.count("plugin.my-own thing", label)
        self.counters.count("plugin.my_own.thing", "b")
        found = self.samples()
        self.assertEqual(found["smartalex_plugin_my_own_thing_total", label], 1)
        self.assertEqual(found["smartalex_plugin_my_own_thing_total", "b"], 1)

    def test_they_are_read_anew_each_time(self) -> None:
        self.samples()
        self.gauges["calls"] = 4
        self.assertEqual(self.samples()["smartalex_calls", ""], 4)


class Health(Web):
    def test_healthz(self) -> None:
        self.assertEqual(self.ask("/healthz")[::2], (200, b"ok\n"))

    def test_readyz_says_503_until_calls_are_taken_and_while_stopping(self) -> None:
        self.assertEqual(self.ask("/readyz")[::2], (200, b"ready\n"))
        self.ready = False
        self.assertEqual(self.ask("/readyz")[::2], (503, b"not ready\n"))
        self.assertEqual(self.ask("/healthz")[0], 200)

    def test_head_has_the_same_head_and_no_body(self) -> None:
        for path in ("/healthz", "/metrics"):
            status, headers, body = self.ask(path, "HEAD")
            self.assertEqual((status, body, headers["content-length"]), (200, b"", str(len(self.ask(path)[2]))))

    def test_an_unknown_path(self) -> None:
        for path in ("/", "/nothing", "/metrics/x", "/../etc/passwd", "/%00", "/" + "x" * 10_000):
            self.assertEqual(self.ask(path)[0], 404, path[:20])

    def test_any_method_but_get_and_head(self) -> None:
        for method in ("POST", "PUT", "DELETE", "PATCH", "OPTIONS", "BREW"):
            for path in ("/metrics", "/healthz", "/readyz"):
                status, headers, _ = self.ask(path, method)
                self.assertEqual((status, headers["allow"]), (405, "GET, HEAD"), (method, path))

    def test_no_version_is_shown(self) -> None:
        for path in ("/metrics", "/nothing"):
            _, headers, body = self.ask(path)
            self.assertNotIn("server", headers)
            self.assertNotIn(b"wisted", body)


class Strangers(Web):
    def test_garbage_is_refused_and_the_connection_closed(self) -> None:
        for junk in (
            b"\xff" * 1000 + b"\r\n\r\n",
            b"GET\r\n\r\n",
            b"GET / HTTP/9.9.9\r\n\r\n",
            b"\x16\x03\x01" + bytes(500) + b"\r\n\r\n",
        ):
            client = Client(self)
            answer = client.send(junk)
            self.assertTrue(
                answer == b"" or answer.startswith(b"HTTP/1.1 400") or answer.startswith(b"HTTP/1.1 505"), answer[:40]
            )
            self.assertTrue(client.transport.disconnecting, junk[:20])
            self.assertEqual(self.ask("/healthz")[0], 200)

    def test_a_line_without_an_end_is_not_collected_for_ever(self) -> None:
        client = Client(self)
        for _ in range(100):
            client.send(b"x" * 1000)
        self.assertTrue(client.transport.disconnecting)

    def test_endless_headers_neither(self) -> None:
        client = Client(self)
        client.send(b"GET /healthz HTTP/1.1\r\n")
        for number in range(2000):
            if client.transport.disconnecting:
                break
            client.send(b"X-%d: %s\r\n" % (number, b"y" * 100))
        self.assertTrue(client.transport.disconnecting)

    def test_one_who_says_nothing_is_cut_off_and_holds_up_nobody(self) -> None:
        mute, slow = Client(self), Client(self)
        slow.send(b"GET /hea")
        self.assertEqual(self.ask("/healthz")[0], 200)
        self.clock.advance(IDLE_S + 1)
        self.assertTrue(mute.transport.disconnecting)
        self.assertTrue(slow.transport.disconnecting)

    def test_requests_in_one_piece_are_answered_in_order(self) -> None:
        answer = Client(self).send(b"GET /healthz HTTP/1.1\r\nHost: x\r\n\r\nGET /readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        self.assertLess(answer.index(b"ok\n"), answer.index(b"ready\n"))
