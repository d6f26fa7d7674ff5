"""Registering at a PBX: the whole user agent against a registrar of few words, or against our own."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any
from unittest import TestCase

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from smartalex.auth.digest import DigestAuthenticator
from smartalex.calls.admission import Admission
from smartalex.calls.limits import Bounds, Limits
from smartalex.calls.registrar import Clocks, TrunkBindings
from smartalex.calls.registrations import LEAVE_S, LOOK_S, SPREAD_S, Ground, Registrations
from smartalex.sip.digest import HASHES, NonceSource, Secret, ha1
from smartalex.sip.headers import Peer
from smartalex.sip.layer import ServerTransaction
from smartalex.sip.message import Request, response_to
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy
from tests.sip.network import Agent, Network

US, PBX, OTHER = "192.0.2.1", "192.0.2.9", "192.0.2.8"
BASE_S = 1_700_000_000.0
OFFICE = Trunk("office", "w", "office", "", register=f"sip:300@{PBX}", register_expires_s=600)
RIGHT = Secret("s3cret")

Script = Callable[[Request], tuple[int, tuple[tuple[str, str], ...]]]


def accept(request: Request) -> tuple[int, tuple[tuple[str, str], ...]]:
    seconds = request.headers.get("Expires") or "0"
    bound = (("Contact", f"{request.headers.get('Contact')};expires={seconds}"),) if seconds != "0" else ()
    return 200, bound


class Scripted:
    """A registrar: `say` is what it answers from now on."""

    def __init__(self, agent: Agent, say: Script = accept) -> None:
        self.say = say
        self.heard: list[tuple[float, Request]] = []
        self._agent = agent
        agent.ua.handlers["REGISTER"] = self._asked

    def _asked(self, transaction: ServerTransaction, request: Request) -> None:
        self.heard.append((self._agent.network.clock.seconds(), request))
        status, headers = self.say(request)
        transaction.respond(response_to(request, status, to_tag="r", headers=headers))

    def asked_s(self) -> list[int]:
        return [int(request.headers.get("Expires") or -1) for _, request in self.heard]

    def at(self) -> list[float]:
        return [at for at, _ in self.heard]


class Registering(TestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.us, pbx = Agent(self.network, US), Agent(self.network, PBX)
        self.pbx = Scripted(pbx)
        self.kept: list[dict[str, dict[str, Any]]] = []
        self.pinged: list[tuple[Peer, float]] = []
        self.forgotten = 0
        clock = self.network.clock
        ground = Ground(clock, self.us.ua, self.wall, self.us.counters, lambda *ping: self.pinged.append(ping))
        self.registrations = Registrations(ground, self.kept.append, self.forget_routes)
        self.addCleanup(self.registrations.stop)

    def wall(self) -> float:
        return BASE_S + self.network.clock.seconds()

    def forget_routes(self) -> None:
        self.forgotten += 1

    def adopt(self, *trunks: Trunk, secret: Secret | None = RIGHT, run_s: float = 1.0) -> None:
        self.registrations.adopt(trunks, {trunk.id: secret for trunk in trunks} if secret is not None else {})
        self.network.run(run_s)

    def state(self, name: str = "office") -> str:
        return str(self.shown(name)["state"])

    def shown(self, name: str = "office") -> dict[str, Any]:
        return self.registrations.running[name].shown()

    def gauge(self) -> dict[str, float]:
        return self.registrations.gauges()["trunk_registered"]


class Alive(Registering):
    def test_what_is_sent(self) -> None:
        self.adopt(attrs.evolve(OFFICE, register=f"sip:300@{PBX}:5060;transport=tcp"))
        request = self.pbx.heard[0][1]
        self.assertEqual((request.uri, str(request.to), str(request.from_.uri)),
                         (f"sip:{PBX}:5060;transport=tcp", f"<sip:300@{PBX}>", f"sip:300@{PBX}"))  # fmt: skip
        self.assertEqual(request.headers.get("Contact"), f"<sip:300@{US}:5060;transport=tcp>")
        self.assertIn("path", request.headers.get_all("Supported"))
        self.assertIn("INVITE", request.headers.get_all("Allow"))

    def test_registered_and_shown(self) -> None:
        self.adopt(OFFICE)
        self.assertEqual((self.gauge(), self.pbx.asked_s()), ({"office": 1.0}, [600]))
        shown = self.kept[-1]["office"]
        self.assertEqual((shown["state"], shown["detail"]), ("registered", ""))
        self.assertAlmostEqual(shown["until"], BASE_S + 600, delta=0.1)

    def test_refreshed_before_it_runs_out_with_the_same_call_id_and_a_rising_cseq(self) -> None:
        self.adopt(OFFICE, run_s=3000)
        at = self.pbx.at()
        waits = [later - earlier for earlier, later in pairwise(at)]
        self.assertTrue(all(0.85 * 600 <= wait <= 0.95 * 600 + 0.1 for wait in waits) and len(set(waits)) > 1, waits)
        self.assertEqual(len({request.call_id for _, request in self.pbx.heard}), 1)
        self.assertEqual([request.cseq.number for _, request in self.pbx.heard], list(range(1, len(at) + 1)))
        self.assertEqual(self.gauge(), {"office": 1.0})

    def test_what_is_granted_counts(self) -> None:
        self.pbx.say = lambda request: (200, (("Contact", f"{request.headers.get('Contact')};expires=60"),))
        self.adopt(OFFICE, run_s=200)
        self.assertEqual(len(self.pbx.heard), 4)

    def test_too_brief_is_raised_and_stays_so(self) -> None:
        self.pbx.say = lambda request: (
            (423, (("Min-Expires", "900"),)) if "600" == request.headers.get("Expires") else accept(request)
        )
        self.adopt(OFFICE, run_s=900)
        self.assertEqual(self.pbx.asked_s(), [600, 900, 900])

    def test_routes_are_kept(self) -> None:
        self.pbx.say = lambda request: (
            200,
            (*accept(request)[1], ("Service-Route", "<sip:a;lr>, <sip:b;lr>"), ("Path", "<sip:p;lr>")),
        )
        self.adopt(OFFICE)
        running = self.registrations.running["office"]
        self.assertEqual((running.service_route, running.path), (("<sip:a;lr>", "<sip:b;lr>"), ("<sip:p;lr>",)))

    def test_a_nat_is_kept_open(self) -> None:
        self.adopt(OFFICE)
        self.assertEqual(self.pinged[-1], (Peer("udp", PBX, 5060), 0.0))
        self.pbx.say = self.natted
        self.registrations.running["office"].anew()
        self.network.run(1)
        self.assertEqual(self.pinged[-1], (Peer("udp", PBX, 5060), 25.0))
        self.registrations.stop()
        self.network.run(1)
        self.assertEqual(self.pinged[-1], (Peer("udp", PBX, 5060), 0.0))

    def test_it_is_kept_open_for_the_other_trunk_at_the_same_registrar(self) -> None:
        self.pbx.say = self.natted
        other = attrs.evolve(OFFICE, id="b", name="b", register=f"sip:301@{PBX}")
        self.adopt(OFFICE, other, run_s=SPREAD_S + 1)
        self.adopt(other)
        self.assertEqual({interval_s for _, interval_s in self.pinged}, {25.0})
        self.adopt()
        self.assertEqual(self.pinged[-1], (Peer("udp", PBX, 5060), 0.0))

    def natted(self, request: Request) -> tuple[int, tuple[tuple[str, str], ...]]:
        request.set_via(request.via.with_param("received", "198.51.100.7").with_param("rport", "61000"))
        return accept(request)


class Failing(Registering):
    def test_silence_is_answered_with_patience(self) -> None:
        self.network.udp.pop((PBX, 5060))
        self.adopt(OFFICE, run_s=33)
        shown = self.shown()
        self.assertEqual((shown["state"], shown["detail"], self.gauge()), ("waiting", "no answer", {"office": 0.0}))
        self.assertTrue(30 <= shown["again_at"] - self.wall() <= 60)
        self.network.run(3600)
        sent = [request.cseq.number for request in self.network.messages("REGISTER")]  # type: ignore[union-attr]
        self.assertLess(max(sent), 10)

    def test_retry_after_is_honoured(self) -> None:
        self.pbx.say = lambda request: (503, (("Retry-After", "200"),))
        self.adopt(OFFICE)
        self.assertEqual(self.state(), "waiting")
        self.network.run(198)
        self.assertEqual(len(self.pbx.heard), 1)
        self.pbx.say = accept
        self.network.run(25)
        self.assertEqual(self.state(), "registered")

    def test_a_refusal_is_shown_and_seldom_tried_again(self) -> None:
        self.pbx.say = lambda request: (403, ())
        self.adopt(OFFICE)
        shown = self.shown()
        self.assertEqual((shown["state"], shown["detail"]), ("refused", "403 Forbidden"))
        self.assertTrue(299 <= shown["again_at"] - self.wall() <= 600)
        self.network.run(24 * 3600)
        self.assertLess(len(self.pbx.heard), 60)

    def test_a_refresh_that_fails_leaves_us_registered_until_then(self) -> None:
        self.adopt(OFFICE)
        self.pbx.say = lambda request: (500, ())
        self.network.run(575)
        self.assertEqual((self.state(), self.gauge()), ("waiting", {"office": 1.0}))
        self.network.run(26)
        self.assertEqual(self.gauge(), {"office": 0.0})
        self.pbx.say = accept
        self.network.run(120)
        self.assertEqual((self.state(), self.gauge()), ("registered", {"office": 1.0}))

    def test_a_refresh_that_is_refused_does_not(self) -> None:
        self.adopt(OFFICE)
        self.pbx.say = lambda request: (404, ())
        self.network.run(575)
        self.assertEqual((self.state(), self.gauge()), ("refused", {"office": 0.0}))

    def test_after_a_success_patience_begins_anew(self) -> None:
        self.pbx.say = lambda request: (500, ())
        self.adopt(OFFICE, run_s=600)
        self.pbx.say = accept
        self.network.run(2000)
        self.assertEqual(self.state(), "registered")
        self.pbx.say = lambda request: (500, ())
        self.pbx.heard.clear()
        self.network.run(640)
        first, second, *_ = self.pbx.at()
        self.assertLess(second - first, 61)

    def test_the_next_target_is_tried(self) -> None:
        other = Scripted(Agent(self.network, OTHER))
        peers = (Peer("udp", PBX, 5060), Peer("udp", OTHER, 5060))
        self.us.ua.locate = lambda uri: succeed(peers)
        self.pbx.say = lambda request: (503, ())
        self.adopt(attrs.evolve(OFFICE, register="sip:300@pbx.example.com"))
        self.assertEqual((self.state(), len(self.pbx.heard), len(other.heard)), ("registered", 1, 1))

    def test_a_name_that_is_none(self) -> None:
        self.us.ua.locate = lambda uri: fail(LookupError(f"{uri.host} cannot be resolved"))
        self.adopt(attrs.evolve(OFFICE, register="sip:300@pbx.example.com"))
        self.assertEqual((self.state(), self.shown()["detail"]), ("waiting", "pbx.example.com cannot be resolved"))
        self.us.ua.locate = lambda uri: succeed((Peer("udp", PBX, 5060),))
        self.network.run(61)
        self.assertEqual(self.state(), "registered")

    def test_an_address_of_record_that_is_none_costs_its_own_trunk_only(self) -> None:
        self.adopt(attrs.evolve(OFFICE, id="bad", register="sip:"), OFFICE)
        self.network.run(SPREAD_S)
        self.assertEqual(self.gauge(), {"office": 1.0})


class Changing(Registering):
    def test_several_trunks_start_one_after_the_other(self) -> None:
        self.adopt(
            *(attrs.evolve(OFFICE, id=str(n), name=str(n), register=f"sip:{n}@{PBX}") for n in range(8)), run_s=SPREAD_S + 1
        )
        at = self.pbx.at()
        self.assertEqual((len(at), sum(self.gauge().values())), (8, 8.0))
        self.assertGreater(max(at) - min(at), 1.0)

    def test_what_has_not_changed_goes_on(self) -> None:
        self.adopt(OFFICE)
        self.adopt(attrs.evolve(OFFICE, max_calls=3))
        self.assertEqual(len(self.pbx.heard), 1)

    def test_a_suspended_trunk_and_one_that_is_gone_unregister(self) -> None:
        for trunks in ((attrs.evolve(OFFICE, active=False),), (attrs.evolve(OFFICE, register=""),), ()):
            self.pbx.heard.clear()
            self.adopt(OFFICE)
            self.adopt(*trunks)
            self.assertEqual((self.pbx.asked_s(), self.registrations.running), ([600, 0], {}))

    def test_another_address_after_the_farewell_of_the_old_one(self) -> None:
        self.adopt(OFFICE)
        self.adopt(attrs.evolve(OFFICE, register=f"sip:301@{PBX}"))
        users = [(request.to.uri.user, request.headers.get("Expires")) for _, request in self.pbx.heard]
        self.assertEqual(users, [("300", "600"), ("300", "0"), ("301", "600")])
        self.assertEqual(self.state(), "registered")

    def test_a_registrar_that_is_silent_holds_nothing_up(self) -> None:
        self.adopt(OFFICE)
        self.network.udp.pop((PBX, 5060))
        Scripted(Agent(self.network, OTHER))
        self.adopt(attrs.evolve(OFFICE, register=f"sip:300@{OTHER}"), run_s=LEAVE_S + 1)
        self.assertEqual(self.state(), "registered")

    def test_a_change_while_a_request_is_under_way_waits_for_its_answer(self) -> None:
        self.network.fate = lambda data: (0.3,)
        self.adopt(OFFICE, run_s=0.1)
        self.adopt(OFFICE, secret=Secret("another"), run_s=0.1)
        self.assertEqual((self.state(), len(self.network.titles(US))), ("registering, and once more then", 1))
        self.network.run(2)
        self.assertEqual((self.state(), len(self.pbx.heard)), ("registered", 2))

    def test_the_way_to_the_registrar_changes(self) -> None:
        self.adopt(OFFICE, run_s=LOOK_S * 2 + 1)
        self.assertEqual((len(self.pbx.heard), self.forgotten), (1, 2))
        contact_at = self.us.ua.contact_at
        self.us.ua.contact_at = lambda peer, user="": contact_at(peer, user).replace(US, "198.51.100.1")  # type: ignore[method-assign]
        self.network.run(LOOK_S)
        self.assertEqual(self.pbx.heard[-1][1].headers.get("Contact"), "<sip:300@198.51.100.1:5060>")
        self.network.run(LOOK_S * 3)
        self.assertEqual(len(self.pbx.heard), 2)


class Stopping(Registering):
    def stopped_after(self, run_s: float) -> bool:
        """Whether stopping is over then; nothing of it may be left."""
        done: list[object] = []
        self.registrations.stop().addCallback(done.append)
        self.network.run(run_s)
        return bool(done)

    def test_farewell(self) -> None:
        self.adopt(OFFICE)
        self.assertTrue(self.stopped_after(0.1))
        self.assertEqual(self.pbx.asked_s(), [600, 0])
        self.network.run(3600)
        self.assertTrue(self.us.idle() and len(self.pbx.heard) == 2)

    def test_without_an_answer_two_seconds(self) -> None:
        self.adopt(OFFICE)
        self.network.udp.pop((PBX, 5060))
        self.assertFalse(self.stopped_after(LEAVE_S - 0.1))
        self.network.run(0.2)
        self.assertEqual(self.registrations._leaving, set())

    def test_while_the_first_request_is_under_way(self) -> None:
        self.network.fate = lambda data: (0.3,)
        self.adopt(OFFICE, run_s=0.1)
        self.assertTrue(self.stopped_after(1.9))
        self.assertEqual(self.pbx.asked_s(), [600, 0])

    def test_what_was_never_registered_has_nothing_to_say(self) -> None:
        self.pbx.say = lambda request: (403, ())
        self.adopt(OFFICE)
        self.assertTrue(self.stopped_after(0.0))
        self.assertEqual(self.pbx.asked_s(), [600])

    def test_before_anything_began(self) -> None:
        self.adopt(OFFICE, attrs.evolve(OFFICE, id="b", name="b"), run_s=0.0)
        self.assertTrue(self.stopped_after(0.0))
        self.network.run(10)
        self.assertEqual(self.pbx.heard, [])


class AgainstOurselves(Registering):
    """The other side is our own registrar, with digest."""

    def setUp(self) -> None:
        super().setUp()
        self.theirs = self.registrar(Agent(self.network, PBX))

    def registrar(self, agent: Agent) -> TrunkBindings:
        clock = self.network.clock
        hashes = {algorithm: ha1("desk", "pbx", "s3cret", algorithm) for algorithm in HASHES}
        digest = DigestAuthenticator("pbx", ("MD5",), {"desk": ("300", hashes)}.get, NonceSource(bytes(32), 60))
        admission = Admission(digest, Tenancy(1, {}, {"300": Trunk("300", "w", "300", "", "desk")}, (), {}), Limits(Bounds(10)))

        def keep(changed: object) -> Deferred[None]:
            return succeed(None)

        made = TrunkBindings(clock, agent.ua, admission, Clocks(self.wall, clock.seconds), agent.counters, keep)
        self.addCleanup(made.stop)
        return made

    def bound(self) -> list[str]:
        return [str(binding.uri) for binding in self.theirs.bindings("300")]

    def test_through_digest_and_all_the_way(self) -> None:
        self.adopt(attrs.evolve(OFFICE, register_user="desk"), run_s=5000)
        self.assertEqual((self.bound(), self.gauge()), ([f"sip:300@{US}:5060"], {"office": 1.0}))
        self.registrations.stop()
        self.network.run(1)
        self.assertEqual(self.bound(), [])

    def test_a_wrong_password_and_then_the_right_one_at_once(self) -> None:
        trunk = attrs.evolve(OFFICE, register_user="desk")
        self.adopt(trunk, secret=Secret("wrong"))
        self.assertEqual((self.state(), self.shown()["detail"]), ("refused", "403 Forbidden"))
        self.adopt(trunk)
        self.assertEqual((self.state(), len(self.bound())), ("registered", 1))

    def test_without_a_password(self) -> None:
        self.adopt(attrs.evolve(OFFICE, register_user="desk"), secret=None)
        self.assertEqual(self.shown()["detail"], "401 Unauthorized (user or password)")

    def test_a_registrar_that_fails_between_challenge_and_answer(self) -> None:
        """The next one asks for the same realm."""
        peers = (Peer("udp", OTHER, 5060), Peer("udp", PBX, 5060))
        self.us.ua.locate = lambda uri: succeed(peers)
        challenge = 'Digest realm="pbx", nonce="once", algorithm=MD5, qop="auth"'
        other = Scripted(Agent(self.network, OTHER))
        other.say = lambda request: (
            (503, ()) if request.headers.get("Authorization") else (401, (("WWW-Authenticate", challenge),))
        )
        self.adopt(attrs.evolve(OFFICE, register="sip:300@pbx.example.com", register_user="desk"))
        self.assertEqual((self.state(), len(other.heard)), ("registered", 2))

    def test_nobody_sees_the_password(self) -> None:
        self.adopt(attrs.evolve(OFFICE, register_user="desk"))
        running = self.registrations.running["office"]
        told = repr((self.kept, running.secret, running.shown(), self.us.counters.values))
        self.assertNotIn("s3cret", told + "".join(data.decode() for _, _, data in self.network.seen))
        self.assertEqual(str(Uri.parse(running._contact).user), "300")
