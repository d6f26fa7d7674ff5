"""Trunks by command: made, changed, removed; secrets shown once; errors that name the value."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from importlib.util import find_spec
from typing import Any
from unittest import TestCase, skipUnless

from click.testing import Result

from smartalex.cli import registration
from smartalex.sip.digest import Secret, ha1
from tests.cli.commands import Commands
from tests.interop.platform import ROOT


class Add(Commands):
    def test_by_password(self) -> None:
        text = self.output("trunks", "add", "office", "--pbx-domain", "pbx.office.example", "--max-calls", "30")
        username = re.search(r"username +(sa_[a-z2-7]{12})\n", text)
        password = re.search(r"password +([A-Za-z0-9]{24}) ", text)
        assert username is not None and password is not None, text
        self.assertEqual(text.count(password[1]), 1)
        trunk = self.opened().repository.trunk_named("office")
        assert trunk is not None
        self.assertEqual((trunk.auth, trunk.max_calls, trunk.pbx_domain), ("digest", 30, "pbx.office.example"))
        trunk_id, kept = self.opened().repository.credentials()[username[1]]
        self.assertEqual((trunk_id, kept["SHA-256"]), (trunk.id, ha1(username[1], "smartalex", password[1], "SHA-256")))

    def test_password_and_address(self) -> None:
        made = self.line("trunks", "add", "office", "--allow", "192.0.2.10", "--allow", "2001:db8::/32", "--username", "pbx1")
        self.assertEqual((made["auth"], made["username"], len(made["password"])), ("both", "pbx1", 24))
        self.assertEqual(made["allowed_sources"], ["192.0.2.10", "2001:db8::/32"])

    def test_address_alone(self) -> None:
        made = self.line("trunks", "add", "carrier", "--allow", "192.0.2.0/28", "--no-digest")
        self.assertEqual((made["auth"], made["username"]), ("ip-allowlist", ""))
        self.assertNotIn("password", made)
        self.assertNotIn("", self.opened().repository.credentials())

    def test_what_is_wrong_is_named(self) -> None:
        for bad in ("192.0.2.300", "192.0.2.1/24", "pbx.example.com"):
            self.assertIn(repr(bad).strip("'"), self.error("trunks", "add", "x", "--allow", bad))
        self.assertIn("'pbx example'", self.error("trunks", "add", "x", "--pbx-domain", "pbx example"))
        self.assertIn("'a b'", self.error("trunks", "add", "a b"))
        self.assertIn("1001", self.error("trunks", "add", "x", "--max-calls", "1001"))
        self.assertIn("--allow", self.error("trunks", "add", "x", "--no-digest"))
        self.assertIn("everybody", self.error("trunks", "add", "x", "--no-digest", "--allow", "0.0.0.0/0"))
        self.assertIn("trunks set acme", self.error("trunks", "add", "acme"))

    def test_two_trunks_stay_two(self) -> None:
        self.output("trunks", "add", "one", "--allow", "192.0.2.0/28", "--no-digest")
        two = self.run_command("trunks", "add", "two", "--allow", "192.0.2.0/28", "--no-digest")
        self.assertIn("how trunk one is known, too: the number called decides", two.stderr)
        taken = self.line("trunks", "add", "three")["username"]
        self.assertIn("trunk three", self.error("trunks", "add", "four", "--username", taken))

    def test_no_password_is_shown_again(self) -> None:
        password = self.line("trunks", "add", "office")["password"]
        told = [
            self.output(*command)
            for command in (("trunks",), ("trunks", "--json"), ("trunks", "set", "office", "--max-calls", "3"))
        ]
        self.assertNotIn(password, "".join(told))
        for path in (path for path in self.state.rglob("*") if path.is_file()):
            self.assertNotIn(password.encode(), path.read_bytes(), path)


class Change(Commands):
    def test_addresses_come_and_go(self) -> None:
        self.assertEqual(self.line("trunks", "set", "acme", "--allow", "192.0.2.1")["auth"], "both")
        changed = self.line("trunks", "set", "acme", "--allow", "192.0.2.2", "--disallow", "192.0.2.1")
        self.assertEqual(changed["allowed_sources"], ["192.0.2.2"])
        self.assertEqual(self.line("trunks", "set", "acme", "--disallow", "192.0.2.2")["auth"], "digest")
        self.assertIn("192.0.2.9", self.error("trunks", "set", "acme", "--disallow", "192.0.2.9"))

    def test_the_password_goes_and_a_new_one_comes(self) -> None:
        changed = self.line("trunks", "set", "acme", "--allow", "192.0.2.1", "--no-digest")
        self.assertEqual((changed["auth"], changed["username"]), ("ip-allowlist", ""))
        self.assertEqual(self.opened().repository.credentials(), {})
        self.assertIn("--digest", self.error("secret", "rotate", "acme"))
        self.assertEqual(len(self.line("trunks", "set", "acme", "--digest")["password"]), 24)

    def test_another_username_needs_another_password(self) -> None:
        changed = self.line("trunks", "set", "acme", "--username", "pbx")
        self.assertNotEqual(changed["password"], self.issued)
        self.assertEqual(list(self.opened().repository.credentials()), ["pbx"])

    def test_the_rest_stays(self) -> None:
        before, after = self.lines("trunks")[0], self.line("trunks", "set", "acme", "--suspend")
        self.assertEqual(after, {**before, "state": "suspended"})
        self.assertEqual(self.line("trunks", "set", "acme", "--activate"), before)

    def test_errors(self) -> None:
        self.assertIn("did you mean acme?", self.error("trunks", "set", "acmee", "--suspend"))
        self.assertIn("what to change", self.error("trunks", "set", "acme"))
        self.assertIn("--allow", self.error("trunks", "set", "acme", "--no-digest"))


class Policy(Commands):
    def test_given_kept_and_taken_back(self) -> None:
        given = ("--stir", "require-B", "--refer-target", "3*", "--client-certificate", "SBC.example.com")
        said = self.output("trunks", "add", "sbc", *given)
        lines = ("may refer  the agent to 3*", "identity   of callers by STIR: require-B", "proves     to be sbc.example.com")
        for line in lines:
            self.assertIn(line, said)
        row = self.line("trunks", "set", "sbc", "--refer-target", "100", "--max-calls", "7")
        self.assertEqual(row["refer_targets"], ["3*", "100"])
        self.assertEqual((row["stir"], row["client_certificate"]), ("require-B", "sbc.example.com"))
        row = self.line("trunks", "set", "sbc", "--no-refer-targets", "--stir", "off", "--client-certificate", "")
        self.assertEqual((row["refer_targets"], row["stir"], row["client_certificate"]), ([], "off", ""))

    def test_audio_is_in_clear_unless_it_is_told_otherwise(self) -> None:
        self.assertEqual(self.line("trunks", "add", "sbc")["srtp"], "off")
        self.assertIn("audio      by SRTP, required", self.output("trunks", "set", "sbc", "--srtp", "required"))
        self.assertEqual(self.line("trunks", "set", "sbc", "--max-calls", "7")["srtp"], "required")
        self.assertEqual(self.line("trunks", "set", "sbc", "--srtp", "off")["srtp"], "off")

    def test_how_its_callers_are_heard(self) -> None:
        row = self.line("trunks", "add", "sbc")
        self.assertEqual((row["dtmf"], row["noise_suppression"], row["record"]), ("rfc4733", "", False))
        said = self.output("trunks", "set", "sbc", "--dtmf", "inband", "--record")
        for line in ("keys       as RTP events, by SIP INFO, or as tones", "recorded   where the node has a place for it"):
            self.assertIn(line, said)
        row = self.line("trunks", "set", "sbc", "--max-calls", "7")
        self.assertEqual((row["dtmf"], row["record"]), ("inband", True))
        self.assertFalse(self.line("trunks", "set", "sbc", "--no-record")["record"])
        self.assertEqual(self.line("trunks", "set", "sbc", "--dtmf", "rfc4733")["dtmf"], "rfc4733")

    @skipUnless(find_spec("webrtc_noise_gain"), "pip install webrtc-noise-gain")
    def test_a_filter_is_taken_where_it_can_be_used(self) -> None:
        self.assertIn(
            "heard      through webrtc:level=3", self.output("trunks", "add", "sbc", "--noise-suppression", "webrtc:level=3")
        )
        self.assertEqual(self.line("trunks", "set", "sbc", "--max-calls", "7")["noise_suppression"], "webrtc:level=3")
        self.assertIn("write one of 1, 2, 3, 4", self.error("trunks", "set", "sbc", "--noise-suppression", "webrtc:level=9"))
        self.assertIn("installed are", self.error("trunks", "set", "sbc", "--noise-suppression", "krips"))
        self.assertEqual(self.line("trunks", "set", "sbc", "--noise-suppression", "")["noise_suppression"], "")

    def test_what_is_wrong_is_named(self) -> None:
        wrong = (
            ("--dtmf", "info"),
            ("--stir", "maybe"),
            ("--srtp", "on"),
            ("--refer-target", "*"),
            ("--refer-target", "3**"),
            ("--client-certificate", "a b"),
        )
        for option, value in wrong:
            self.assertIn(option, self.error("trunks", "add", "sbc", option, value))


class Speech(Commands):
    def test_codecs_are_the_nodes_unless_it_has_its_own(self) -> None:
        self.assertEqual((self.row("acme")["codecs"], self.row("acme")["ptime_ms"]), ([], 20))
        said = self.output("trunks", "set", "acme", "--codecs", "g722, PCMA,pcma", "--ptime", "40")
        self.assertIn("speaks     G722, PCMA, in packets of 40 ms", said)
        self.assertEqual((self.row("acme")["codecs"], self.row("acme")["ptime_ms"]), (["G722", "PCMA"], 40))
        self.assertEqual(self.line("trunks", "set", "acme", "--max-calls", "7")["codecs"], ["G722", "PCMA"])
        self.assertEqual(self.line("trunks", "set", "acme", "--codecs", "")["codecs"], [])
        self.assertEqual(self.line("trunks", "add", "wide", "--codecs", "G722")["codecs"], ["G722"])

    def test_what_is_wrong_is_told_the_known_ones(self) -> None:
        self.assertIn("known are PCMU, PCMA, G722, opus", self.error("trunks", "set", "acme", "--codecs", "PCMU,G729"))
        self.assertIn("--ptime", self.error("trunks", "set", "acme", "--ptime", "25"))

    def row(self, name: str) -> dict[str, Any]:
        return next(row for row in self.lines("trunks") if row["trunk"] == name)


class Kinds(Commands):
    """Which PBX it is, and what has to be typed there."""

    def test_what_it_needs_is_filled_in_and_told(self) -> None:
        said = self.output("trunk", "add", "office", "--pbx", "3cx", "--pbx-domain", "pbx.example.com")
        self.assertRegex(said, "Authentication Password +the password above")
        self.assertIn("Registrar/Server/Gateway Hostname or IP  127.0.0.1, port 5060", said)
        self.assertIn("127.0.0.1 is reached from this machine only", said)
        trunk = self.opened().repository.trunk_named("office")
        assert trunk is not None
        self.assertEqual((trunk.pbx, trunk.codecs, trunk.transports), ("3cx", ("PCMU", "PCMA"), ("udp",)))
        row = next(row for row in self.lines("trunk", "list") if row["trunk"] == "office")
        self.assertEqual((row["pbx_type"], row["pbx"], row["workspace"]), ("3cx", None, "Acme"))

    def test_setup_speaks_of_the_trunks_first_number(self) -> None:
        self.output("trunk", "set", "acme", "--pbx", "freepbx")
        said = self.output("trunk", "setup", "acme")
        self.assertIn("pjsip Settings > Advanced", said)
        self.assertIn("+27215550100", said)
        self.assertIn("smartalex secret rotate acme", said)
        rows = self.lines("trunk", "setup", "acme", "--number", "100")
        self.assertIn({"screen": "the same trunk > pjsip Settings > Advanced", "field": "DTMF Mode", "value": "RFC 4733"}, rows)
        self.assertIn("100", " ".join(row["value"] for row in rows))

    def test_addresses_are_those_of_the_configuration(self) -> None:
        path = self.folder / "node.toml"
        path.write_text('[node]\nadvertised_address = "198.51.100.7"\n[sip]\nport = 5080\nrealm = "example"\n')
        said = self.output("trunk", "setup", "acme", "--config", str(path))
        self.assertIn("198.51.100.7, port 5080", said)
        self.assertIn("example, where the PBX asks for one", said)
        self.assertNotIn("this machine only", said)

    def test_an_extension_of_the_pbx_needs_none_of_it(self) -> None:
        given = ("--register", "sip:300@192.0.2.10", "--register-password-stdin")
        done = self.run_command("trunk", "add", "desk", *given, stdin="x\n")
        self.assertNotIn("What to type", done.stdout)

    def test_errors(self) -> None:
        self.assertIn("'3xc'", self.error("trunk", "set", "acme", "--pbx", "3xc"))
        self.assertIn("did you mean acme", self.error("trunk", "setup", "amce"))


class Ways(Commands):
    def test_transports_regions_and_rates(self) -> None:
        given = ("--transport", "tls", "--transport", "wss", "--region", "za", "--region", "eu", "--calls-per-second", "5")
        row = self.line("trunk", "set", "acme", *given, "--follow-redirects")
        self.assertEqual((row["transports"], row["regions"]), (["tls", "wss"], ["za", "eu"]))
        self.assertEqual((row["calls_per_second"], row["follow_redirects"]), (5, True))
        said = self.output("trunk", "set", "acme", "--max-calls", "7")
        for line in ("comes over TLS, WSS", "at most 5 calls a second", "served     in za, eu; is sent there (302)"):
            self.assertIn(line, said)
        row = self.line("trunk", "set", "acme", "--any-transport", "--no-regions", "--calls-per-second", "0")
        self.assertEqual((row["transports"], row["regions"], row["calls_per_second"]), ([], [], 0))
        self.assertFalse(self.line("trunk", "set", "acme", "--no-follow-redirects")["follow_redirects"])

    def test_what_is_wrong_is_named(self) -> None:
        for option, value in (("--transport", "sctp"), ("--calls-per-second", "1001"), ("--region", "z a")):
            self.assertIn(option, self.error("trunk", "set", "acme", option, value))


class Remove(Commands):
    def test_with_its_dids_and_its_secret(self) -> None:
        gone = self.line("trunks", "remove", "acme", "--yes")
        self.assertEqual((gone["removed"], len(gone["dids"])), ("acme", 5))
        self.assertEqual((self.lines("trunks"), self.lines("dids")), ([], []))
        self.assertEqual(self.opened().repository.credentials(), {})
        self.assertIn("there is none yet", self.error("trunks", "remove", "acme", "--yes"))

    def test_every_change_raises_the_revision(self) -> None:
        seen = [self.opened().repository.revision()]
        for command in (("add", "x"), ("set", "x", "--suspend"), ("remove", "x", "--yes")):
            self.output("trunks", *command)
            seen.append(self.opened().repository.revision())
        self.assertEqual(seen, sorted(set(seen)))


class Rotate(Commands):
    def test_a_new_password_once(self) -> None:
        made = self.line("secret", "rotate", "acme")
        self.assertEqual((made["trunk"], len(made["password"])), ("acme", 24))
        self.assertNotEqual(made["password"], self.issued)
        self.assertIn("did you mean acme?", self.error("secret", "rotate", "acne"))


class Register(Commands):
    """Registering as an extension, and PBXs that register to us."""

    def given(self, *arguments: str, stdin: str | None = None, code: int = 0) -> Result:
        done = self.run_command("trunks", *arguments, stdin=stdin)
        self.assertEqual(done.exit_code, code, done.output)
        return done

    def passwords(self) -> dict[str, Secret]:
        return self.opened().repository.register_passwords()

    def desk(self, *options: str) -> dict[str, Any]:
        register = ("--register", "sip:300@pbx.example.com", "--register-password-stdin", *options)
        return dict(json.loads(self.given("add", "desk", *register, "--json", stdin="s3cret\n").stdout))

    def test_added_with_its_password_from_standard_input(self) -> None:
        made = self.desk("--register-user", "desk-300", "--register-expires", "120")
        self.assertEqual((made["register"], made["register_user"], made["register_expires_s"]),
                         ("sip:300@pbx.example.com", "desk-300", 120))  # fmt: skip
        self.assertEqual(self.passwords(), {"desk": Secret("s3cret")})
        self.assertNotIn("s3cret", json.dumps(made))

    def test_what_is_told(self) -> None:
        told = self.given("add", "desk", "--register", "sip:300@192.0.2.10", "--register-password-stdin", stdin="x").stdout
        self.assertIn("registers  as sip:300@192.0.2.10, for 600 s at a time", told)
        self.assertIn("--allow", told)
        self.assertIn("dids add 300 --trunk desk", told)
        told = self.given("set", "desk", "--allow", "192.0.2.10").stdout
        self.assertNotIn("--allow", told)

    def test_changed_password_alone(self) -> None:
        self.desk()
        before = self.opened().repository.revision()
        changed = json.loads(self.given("set", "desk", "--register-password-stdin", "--json", stdin="other\n").stdout)
        self.assertEqual((changed["register"], self.passwords()), ("sip:300@pbx.example.com", {"desk": Secret("other")}))
        self.assertGreater(self.opened().repository.revision(), before)

    def test_what_is_not_given_stays(self) -> None:
        self.desk("--register-user", "desk-300")
        changed = self.line("trunks", "set", "desk", "--register-expires", "90")
        self.assertEqual((changed["register_user"], changed["register_expires_s"]), ("desk-300", 90))
        self.assertEqual(self.passwords(), {"desk": Secret("s3cret")})

    def test_no_more(self) -> None:
        self.desk("--register-user", "desk-300", "--register-expires", "120")
        changed = self.line("trunks", "set", "desk", "--no-register")
        self.assertEqual((changed["register"], changed["register_user"], changed["register_expires_s"]), ("", "", 600))
        self.assertEqual(self.passwords(), {})

    def test_asked_for_on_the_terminal_and_not_shown(self) -> None:
        command = [sys.executable, "-m", "smartalex.cli.main", "trunks", "add", "desk", "--register", "sip:300@pbx.example.com"]
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "SMARTALEX_STATE": str(self.state)}
        ours, theirs = os.openpty()
        self.addCleanup(os.close, ours)
        asking = subprocess.Popen(
            command, stdin=theirs, stdout=subprocess.PIPE, stderr=theirs, env=environment, start_new_session=True
        )
        os.close(theirs)
        shown = b""
        while b"(empty: none):" not in shown:
            shown += os.read(ours, 1000)
        os.write(ours, b"typed\n")
        told, _ = asking.communicate(timeout=30)
        self.assertIn("Password of sip:300@pbx.example.com", shown.decode())
        self.assertEqual((asking.returncode, self.passwords()), (0, {"desk": Secret("typed")}))
        self.assertNotIn(b"typed", told + shown)

    def test_what_is_wrong_is_named(self) -> None:
        for bad in ("300@pbx", "sip:pbx.example.com", "sip:300:x@pbx", "tel:+1555", "sip:300@pbx;transport=sctp", "sip:300@p b"):
            self.assertIn(repr(bad), self.error("trunks", "add", "x", "--register", bad))
        self.assertIn("--register-password-stdin", self.error("trunks", "add", "x", "--register", "sip:300@pbx"))
        self.assertIn("no password", self.error("trunks", "add", "x", "--register", "sip:300@pbx", "--register-password-stdin"))
        self.assertIn("--register sip:", self.error("trunks", "add", "x", "--register-user", "u"))
        self.assertIn("registers nowhere", self.error("trunks", "set", "acme", "--register-expires", "90"))
        self.assertIn("59", self.error("trunks", "add", "x", "--register", "sip:300@pbx", "--register-expires", "59"))
        self.assertIn("alone", self.error("trunks", "set", "acme", "--no-register", "--register", "sip:300@pbx"))
        self.assertIn("up to 64", self.error("trunks", "set", "acme", "--register-user", ""))
        self.assertEqual(len(self.lines("trunks")), 1)

    def test_who_has_registered_is_shown_and_what_has_run_out_is_not(self) -> None:
        def row(contact: str, left_s: float) -> dict[str, Any]:
            return {"trunk": "acme", "contact": contact, "path": [], "params": [], "source": "udp 192.0.2.9 5060", "call_id": "a",
                    "cseq": 1, "expires_at": time.time() + left_s}  # fmt: skip

        rows = [row("<sip:a@192.0.2.9>", 3300), row("<sip:b@192.0.2.9>", 50), row("<sip:gone@192.0.2.9>", -1)]
        self.opened().repository.put_bindings({"acme": rows})
        self.assertIn("  2 contacts, 55 min  ", self.output("trunks"))
        shown = self.line("trunks")["contacts"]
        self.assertEqual([one["contact"] for one in shown], ["sip:b@192.0.2.9", "sip:a@192.0.2.9"])
        self.assertEqual(shown[1]["source"], "udp 192.0.2.9 5060")
        self.assertAlmostEqual(shown[1]["expires_in_s"], 3300, delta=30)
        self.output("trunks", "remove", "acme", "--yes")
        self.assertEqual(self.opened().repository.bindings(), [])


class Words(TestCase):
    """How a registration of ours is told; `known` is what the platform says of it."""

    def told(self, **known: Any) -> str:
        row = {
            "contacts": [],
            "register": "sip:300@pbx",
            "registration": {"until": None, "again_at": None, "detail": "", **known},
        }
        return registration.state(row, 1000.0)

    def test_each_state(self) -> None:
        self.assertEqual(self.told(state="registered", until=1540.0, again_at=1500.0), "registered, 9 min left")
        self.assertEqual(self.told(state="registering"), "registering")
        self.assertEqual(self.told(state="refused", detail="403 Forbidden", again_at=1240.0),
                         "cannot register: 403 Forbidden, again in 4 min")  # fmt: skip
        self.assertEqual(self.told(state="waiting", detail="no answer", again_at=1030.0, until=1050.0),
                         "registered, 50 s left; cannot register: no answer, again in 30 s")  # fmt: skip
        self.assertEqual(self.told(state="registered", until=999.0), "run out")

    def test_without_a_platform_that_runs_and_without_registration(self) -> None:
        row: dict[str, Any] = {"contacts": [], "register": "sip:300@pbx", "registration": None}
        self.assertEqual(registration.state(row, 0.0), "not registered")
        self.assertEqual(registration.state({**row, "register": ""}, 0.0), "-")
