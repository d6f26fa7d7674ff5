"""PBXs that register to us: a whole user agent on each side, the real authenticator and the real database."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any
from unittest import TestCase

import attrs
from twisted.internet.defer import Deferred, fail, succeed

from smartalex.auth.digest import DigestAuthenticator
from smartalex.auth.ground import Ground, Once
from smartalex.auth.identity import identity
from smartalex.calls.admission import Admission
from smartalex.calls.limits import Bounds, Limits
from smartalex.calls.registrar import KEEP_S, PRUNE_S, Clocks, TrunkBindings
from smartalex.sip.asking import Outside
from smartalex.sip.digest import HASHES, DigestClient, NonceSource, Secret, ha1
from smartalex.sip.headers import NameAddr, Peer
from smartalex.sip.message import Response
from smartalex.sip.uri import Uri
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy
from tests.sip.network import Agent, Network
from tests.store.stores import StoreCase

REALM = "smartalex"
US, PBX, CARRIER = "192.0.2.1", "192.0.2.9", "192.0.2.7"
BASE_S = 1_700_000_000.0
TRUNKS = (
    Trunk("office", "w", "Office", "", "sa_office"),
    Trunk("desk", "w", "desk", "", "sa_desk"),
    Trunk("carrier", "w", "carrier", "", auth="ip-allowlist", allowed_sources=(CARRIER,)),
)
Headers = tuple[tuple[str, str], ...]


class Registering(TestCase):
    def setUp(self) -> None:
        self.network = Network()
        self.us, self.pbx, self.carrier = (Agent(self.network, address) for address in (US, PBX, CARRIER))
        self.kept: dict[str, list[dict[str, Any]]] = {}
        self.bindings = self.registrar(self.us)
        self.asked = Outside("REGISTER", Uri.parse(f"sip:{US}"), address("sa_office"), address("sa_office"))

    def registrar(self, agent: Agent) -> TrunkBindings:
        tenancy = Tenancy(1, {}, {trunk.id: trunk for trunk in TRUNKS}, (), {})
        known = {
            trunk.username: (trunk.id, {algorithm: ha1(trunk.username, REALM, "secret", algorithm) for algorithm in HASHES})
            for trunk in TRUNKS
        }
        digest = DigestAuthenticator(REALM, ("SHA-256", "MD5"), known.get, NonceSource(bytes(32), 60))
        known_by = identity(tenancy.trunks.values(), Ground(Once(digest), lambda *peer: self.bindings.at(Peer(*peer))))
        self.admission = Admission(known_by, tenancy, Limits(Bounds(10)))
        clock = self.network.clock
        clocks = Clocks(lambda: BASE_S + clock.seconds(), clock.seconds)
        bindings = TrunkBindings(clock, agent.ua, self.admission, clocks, agent.counters, self.keep)
        self.addCleanup(bindings.stop)
        return bindings

    def keep(self, changed: Mapping[str, list[dict[str, Any]]]) -> Deferred[None]:
        self.kept.update(changed)
        return succeed(None)

    def register(self, *headers: tuple[str, str], user: str = "sa_office", password: str = "secret", **options: Any) -> Response:
        """What the PBX hears at the end; `to`, `agent`, `transport`, `via` are options."""
        agent, to = options.get("agent", self.pbx), options.get("to", user)
        outside = self.asked
        outside.from_ = outside.to = address(to)
        outside.headers, outside.digest = headers, DigestClient(user, Secret(password), lambda: "cafe")
        heard: list[Response] = []
        agent.ua.ask(outside, (Peer(options.get("transport", "udp"), US, 5060),), heard.append, lambda why: None)
        self.network.run(1)
        self.assertEqual(len(heard), 1)
        return heard[0]

    def contacts(self, trunk: str = "office") -> list[str]:
        return [str(binding.uri) for binding in self.bindings.bindings(trunk)]

    def counted(self, name: str) -> dict[str, int]:
        return {label: count for (key, label), count in self.us.counters.values.items() if key == name}


def address(user: str) -> NameAddr:
    return NameAddr("", Uri.parse(f"sip:{user}@{US}"))


class Who(Registering):
    def test_a_password_opens_the_trunk_of_its_username(self) -> None:
        answer = self.register(("Contact", "<sip:acme@192.0.2.9>"))
        self.assertEqual((answer.status, answer.headers.get("Contact")), (200, "<sip:acme@192.0.2.9>;expires=3600"))
        self.assertEqual(self.network.titles(US), ["SIP/2.0 401 REGISTER", "SIP/2.0 200 REGISTER"])
        self.assertEqual(self.contacts(), ["sip:acme@192.0.2.9"])
        self.assertEqual((self.counted("register.challenged"), self.counted("register.accepted")), ({"401": 1}, {"": 1}))

    def test_an_address_opens_the_trunk_that_is_known_by_it(self) -> None:
        answer = self.register(("Contact", "<sip:x@192.0.2.7>"), agent=self.carrier, to="carrier")
        self.assertEqual((answer.status, self.network.titles(US)), (200, ["SIP/2.0 200 REGISTER"]))
        self.assertEqual(self.contacts("carrier"), ["sip:x@192.0.2.7"])

    def test_a_wrong_password_and_an_unknown_user_hear_the_same(self) -> None:
        answers = [self.register(user=user, password="guess", to="sa_office") for user in ("sa_office", "sa_nobody")]
        told = [(a.status, a.reason, [name for name, _ in a.headers.items()]) for a in answers]
        self.assertEqual(told[0], told[1])
        self.assertEqual(told[0][0], 403)
        self.assertEqual(self.counted("register.refused"), {"403": 2})

    def test_the_name_of_the_trunk_will_do_for_its_address_of_record(self) -> None:
        self.assertEqual(self.register(("Contact", "<sip:a@h>"), to="office").status, 200)
        self.assertEqual(self.contacts(), ["sip:a@h"])

    def test_nobody_elses_and_whether_it_exists_is_not_said(self) -> None:
        for to in ("sa_desk", "desk", "sa_nothing"):
            self.assertEqual(self.register(("Contact", "<sip:a@h>"), to=to).status, 404)
        self.assertEqual((self.contacts(), self.contacts("desk"), self.counted("register.refused")), ([], [], {"404": 3}))

    def test_a_suspended_trunk_and_a_service_that_stops(self) -> None:
        trunks = {"office": attrs.evolve(TRUNKS[0], active=False)}
        self.admission.tenancy = attrs.evolve(self.admission.tenancy, trunks=trunks)
        self.assertEqual(self.register().status, 403)
        self.admission.open = False
        answer = self.register()
        self.assertEqual((answer.status, answer.headers.get("Retry-After")), (503, "30"))

    def test_a_trunk_that_demands_a_certificate(self) -> None:
        trunks = {"office": attrs.evolve(TRUNKS[0], client_certificate="PBX.example.com")}
        self.admission.tenancy = attrs.evolve(self.admission.tenancy, trunks=trunks)
        self.assertEqual(self.register(("Contact", "<sip:a@h>")).status, 403)
        self.us.ua.certificate_names = lambda peer: ("pbx.example.com",)  # type: ignore[method-assign]
        self.assertEqual(self.register(("Contact", "<sip:a@h>")).status, 200)


class Answers(Registering):
    def test_all_bindings_are_shown_and_a_query_shows_them_too(self) -> None:
        self.register(("Contact", "<sip:a@h>;q=0.3"), ("Contact", "<sip:b@h>;expires=90"))
        answer = self.register(("Record-Route", "<sip:proxy;lr>"))
        self.assertEqual(answer.headers.get_all("Contact"), ["<sip:a@h>;q=0.3;expires=3599", "<sip:b@h>;expires=89"])
        self.assertIsNone(answer.headers.get("Record-Route"))
        self.assertEqual(answer.headers.get_all("Supported"), ["outbound", "path"])
        self.assertEqual(self.contacts(), ["sip:b@h", "sip:a@h"])

    def test_each_way_to_refuse_changes_nothing(self) -> None:
        self.register(("Contact", "<sip:a@h>"))
        for status, *headers in (
            (400, ("Contact", "*")), (400, ("Contact", "<tel:1>")), (423, ("Contact", "<sip:b@h>;expires=5")),
            (420, ("Contact", "<sip:b@h>"), ("Path", "<sip:p;lr>")), (420, ("Require", "gruu")),
            (403, *(("Contact", f"<sip:{n}@h>") for n in range(11))),
        ):  # fmt: skip
            answer = self.register(*headers)  # type: ignore[arg-type]
            self.assertEqual((answer.status, self.contacts()), (status, ["sip:a@h"]), headers)
        self.assertEqual(self.counted("register.refused"), {"400": 2, "423": 1, "420": 1, "403": 1})

    def test_out_of_order(self) -> None:
        self.register(("Contact", "<sip:a@h>"))
        self.asked.cseq -= 3
        self.assertEqual(self.register(("Contact", "<sip:a@h>;expires=0")).status, 500)
        self.assertEqual(self.contacts(), ["sip:a@h"])

    def test_a_path_is_given_back_and_may_be_required(self) -> None:
        path = (("Path", "<sip:10.0.0.1:5066;lr>"), ("Supported", "path"), ("Require", "path"))
        answer = self.register(("Contact", "<sip:a@h>"), *path)
        self.assertEqual((answer.status, answer.headers.get_all("Path")), (200, ["<sip:10.0.0.1:5066;lr>"]))
        [way] = self.bindings.ways("office")
        self.assertEqual((str(way.uri), way.route), ("sip:a@h", (("Route", "<sip:10.0.0.1:5066;lr>"),)))

    def test_a_flow_is_confirmed(self) -> None:
        flow = '<sip:a@h>;+sip.instance="<urn:uuid:1>";reg-id=1'
        answer = self.register(("Contact", flow), ("Supported", "outbound"))
        self.assertEqual((answer.headers.get("Require"), answer.headers.get("Contact")), ("outbound", flow + ";expires=3600"))
        self.assertIsNone(self.register(("Contact", flow)).headers.get("Require"))


class Ways(Registering):
    def test_where_it_came_from_not_what_it_says(self) -> None:
        self.register(("Contact", "<sip:a@10.0.0.5:5062>"))
        self.assertEqual(self.bindings.peers("office"), (Peer("udp", PBX, 5060),))

    def test_the_best_first(self) -> None:
        self.register(("Contact", "<sip:a@h>;q=0.2"), ("Contact", "<sip:b@h>;q=0.9"), ("Contact", "<sip:c@h>"))
        self.assertEqual([way.uri.user for way in self.bindings.ways("office")], ["c", "b", "a"])

    def test_over_tcp_its_connection_and_without_it_the_address_it_gave(self) -> None:
        self.register(("Contact", f"<sip:a@{PBX}:5099;transport=tcp>"), ("Contact", "<sip:b@pbx.example.com>"), transport="tcp")
        flows = self.bindings.peers("office")
        self.assertEqual({(peer.transport, peer.host) for peer in flows}, {("tcp", PBX)})
        self.assertTrue(all(self.us.ua.connected(peer) for peer in flows))
        for link in self.network.links:
            link.cut()
        self.assertEqual(self.bindings.peers("office"), (Peer("tcp", PBX, 5099),))

    def test_a_request_reaches_it(self) -> None:
        self.register(("Contact", "<sip:a@10.0.0.5:5062>"))
        [way] = self.bindings.ways("office")
        heard: list[Response] = []
        to = NameAddr("", way.uri)
        self.us.ua.ask(Outside("OPTIONS", way.uri, to, to, way.route), (way.peer,), heard.append, lambda why: None)
        self.network.run(1)
        self.assertEqual([response.status for response in heard], [200])


class Places(Registering):
    """Whose PBX has registered from where a call comes from."""

    HERE = Peer("udp", PBX, 5060)

    def test_from_there_and_from_nowhere_else(self) -> None:
        self.register(("Contact", "<sip:a@h>"))
        self.assertEqual(self.bindings.at(self.HERE), ("office",))
        for elsewhere in (Peer("udp", PBX, 5061), Peer("tcp", PBX, 5060), Peer("udp", CARRIER, 5060)):
            self.assertEqual(self.bindings.at(elsewhere), ())

    def test_two_trunks_from_one_place(self) -> None:
        self.register(("Contact", "<sip:a@h>"))
        self.register(("Contact", "<sip:a@h>"), user="sa_desk")
        self.assertEqual(self.bindings.at(self.HERE), ("office", "desk"))

    def test_not_behind_a_proxy_where_it_could_be_anybody(self) -> None:
        self.register(("Contact", "<sip:a@h>"), ("Path", "<sip:10.0.0.1:5066;lr>"), ("Supported", "path"))
        self.assertEqual(self.bindings.at(self.HERE), ())

    def test_not_when_it_has_left_or_run_out_or_the_trunk_is_gone(self) -> None:
        self.register(("Contact", "<sip:a@h>;expires=60"))
        self.register(("Contact", "<sip:a@h>;expires=0"))
        self.assertEqual(self.bindings.at(self.HERE), ())
        self.register(("Contact", "<sip:a@h>;expires=60"))
        self.network.run(61)
        self.assertEqual(self.bindings.at(self.HERE), ())
        self.register(("Contact", "<sip:a@h>;expires=600"))
        self.admission.tenancy = attrs.evolve(self.admission.tenancy, trunks={})
        self.bindings.adopt()
        self.assertEqual(self.bindings.at(self.HERE), ())

    def test_over_a_restart(self) -> None:
        self.register(("Contact", "<sip:a@h>"))
        self.network.run(KEEP_S + 1)
        again = self.registrar(Agent(self.network, "192.0.2.3"))
        again.restore(row for rows in self.kept.values() for row in rows)
        self.assertEqual(again.at(self.HERE), ("office",))


class Keeping(Registering):
    def test_what_changed_within_a_second_is_kept_at_once(self) -> None:
        kept: list[Mapping[str, Any]] = []
        self.bindings._keep = lambda changed: (kept.append(changed), succeed(None))[1]  # type: ignore[func-returns-value]
        for n in range(3):
            self.register_soon(n)
        self.network.run(KEEP_S + 1)
        self.assertEqual([[row["contact"] for row in one["office"]] for one in kept], [["<sip:0@h>", "<sip:1@h>", "<sip:2@h>"]])

    def register_soon(self, n: int) -> None:
        outside = attrs.evolve(self.asked, headers=(("Contact", f"<sip:{n}@h>"),), call_id=f"call-{n}")
        outside.digest = DigestClient("sa_office", Secret("secret"), lambda: "cafe")
        self.pbx.ua.ask(outside, (Peer("udp", US, 5060),), lambda response: None, lambda why: None)

    def test_what_could_not_be_kept_is_tried_again(self) -> None:
        refuse = [True]
        keep: Callable[..., Any] = lambda changed: fail(OSError("disk full")) if refuse else self.keep(changed)  # noqa: E731
        self.bindings._keep = keep
        self.bindings.start()
        self.register(("Contact", "<sip:a@h>"))
        self.network.run(3)
        refuse.clear()
        self.network.run(2)
        self.assertEqual(len(self.kept["office"]), 1)

    def test_stopping_waits_for_what_was_not_kept_yet(self) -> None:
        self.register(("Contact", "<sip:a@h>"), ("Contact", "<sip:b@h>"))
        self.kept.clear()
        self.register(("Contact", "<sip:b@h>;expires=0"))
        self.bindings.stop()
        self.assertEqual([row["contact"] for row in self.kept["office"]], ["<sip:a@h>"])

    def test_what_runs_out_is_forgotten_and_so_is_a_trunk_that_is_gone(self) -> None:
        self.bindings.start()
        self.register(("Contact", "<sip:a@h>;expires=60"), ("Contact", "<sip:b@h>"))
        self.assertEqual(self.bindings.gauges(), {"trunk_contacts": {"Office": 2.0}})
        self.network.run(60 + PRUNE_S + KEEP_S)
        self.assertEqual([row["contact"] for row in self.kept["office"]], ["<sip:b@h>"])
        self.admission.tenancy = attrs.evolve(self.admission.tenancy, trunks={})
        self.bindings.adopt()
        self.assertEqual((self.contacts(), self.bindings.gauges()), ([], {"trunk_contacts": {}}))


class Restart(Registering):
    def test_a_binding_survives_as_it_was(self) -> None:
        flow = '<sip:a@10.0.0.5:5062>;q=0.5;+sip.instance="<urn:uuid:1>";reg-id=1;x'
        self.register(("Contact", flow), ("Supported", "outbound, path"), ("Path", "<sip:p;lr>"))
        self.network.run(KEEP_S)
        before = self.bindings.bindings("office")
        self.us = Agent(self.network, US)
        self.bindings = self.registrar(self.us)
        self.bindings.restore(self.kept["office"])
        self.assertEqual((self.bindings.bindings("office"), len(before)), (before, 1))
        self.assertEqual(self.register(("Contact", "<sip:b@h>;expires=100")).status, 200)
        self.assertEqual(len(self.contacts()), 2)

    def test_what_cannot_be_read_or_has_run_out_is_dropped(self) -> None:
        self.register(("Contact", "<sip:a@h>;expires=60"))
        self.network.run(KEEP_S)
        [good] = self.kept["office"]
        again = self.registrar(Agent(self.network, "192.0.2.2"))
        again.restore([{**good, "source": "nonsense"}, {**good, "contact": "<sip:"}, good])
        self.assertEqual(len(again.bindings("office")), 1)
        self.network.run(60)
        self.assertEqual(again.bindings("office"), ())


class Stored(StoreCase):
    def test_bindings_are_replaced_trunk_by_trunk(self) -> None:
        def row(trunk: str, contact: str, at: float) -> dict[str, Any]:
            return {"trunk": trunk, "contact": contact, "path": ["<sip:p;lr>"], "params": [["q", "0.5"], ["x", None]],
                    "source": "udp 192.0.2.9 5060", "call_id": "a\udcff", "cseq": 7, "expires_at": at}  # fmt: skip

        self.repository.put_bindings(
            {"a": [row("a", "<sip:1@h>", 2.0), row("a", "<sip:2@h>", 1.0)], "b": [row("b", "<sip:1@h>", 3.0)]}
        )
        self.repository.put_bindings({"b": [row("b", "<sip:3@h>", 3.5)]})
        rows = self.repository.bindings()
        self.assertEqual(
            [(one["trunk"], one["contact"]) for one in rows], [("a", "<sip:2@h>"), ("a", "<sip:1@h>"), ("b", "<sip:3@h>")]
        )
        self.assertEqual(rows[0], {**row("a", "<sip:2@h>", 1.0), "call_id": "a?"})
        self.repository.put_bindings({"a": []})
        self.assertEqual(len(self.repository.bindings()), 1)
