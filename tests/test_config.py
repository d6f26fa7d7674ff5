"""Configuration: the file and the schema agree, and mistakes are told with line and remedy."""

import tempfile
import tomllib
from pathlib import Path
from unittest import TestCase

from smartalex.config import Config, load
from smartalex.errors import ConfigurationError

SHIPPED = Path(__file__).resolve().parent.parent / "etc" / "smartalex.toml"


class Shipped(TestCase):
    def test_it_holds_every_option_once_at_its_default(self) -> None:
        tree = tomllib.loads(SHIPPED.read_text())
        schema = {name: section.model_dump(mode="json") for name, section in Config()}
        self.assertEqual(tree, schema)

    def test_it_loads(self) -> None:
        self.assertEqual(load(str(SHIPPED)), Config())


class Mistakes(TestCase):
    def wrong(self, text: str) -> str:
        with tempfile.NamedTemporaryFile("w", suffix=".toml") as file:
            file.write(text)
            file.flush()
            with self.assertRaises(ConfigurationError) as caught:
                load(file.name)
            return str(caught.exception).replace(file.name, "FILE")

    def test_a_misspelt_option(self) -> None:
        self.assertEqual(self.wrong("[sip]\n\nprot = 5060\n"), "FILE:3: sip.prot: there is no such option; did you mean 'port'?")

    def test_a_misspelt_section(self) -> None:
        self.assertIn("FILE:1: spi: there is no such section; did you mean 'sip'?", self.wrong("[spi]\nport = 1\n"))

    def test_what_no_plugin_provides(self) -> None:
        for line, wanted in (
            (
                '[speech]\ndetector = "sonar"',
                "no IVoiceDetectorFactory provider is named 'sonar'; installed are: energy, silero, webrtc",
            ),
            ('[speech]\ndetector = "silero"', "speech.detector: must name what can be used; "),
            ('[recordings]\nsink = "wav"', "write where to, as in wav:folder=/srv/recordings"),
            ('[recordings]\nsink = "tape"', "no IRecordingSink provider is named 'tape'"),
        ):
            self.assertIn(wanted, self.wrong(line))

    def test_a_wrong_value_names_an_example(self) -> None:
        text = self.wrong('[sip]\nport = "many"\n')
        self.assertTrue(text.startswith("FILE:2: sip.port: "), text)
        self.assertTrue(text.endswith("write for example port = 5060"), text)

    def test_each_kind_of_value_is_told_in_words(self) -> None:
        for line, wanted in (
            ("[sip]\nport = 5060.5", "sip.port: must be a whole number, not 5060.5; write for example port = 5060"),
            ('[sip]\nport = "5060"', 'sip.port: must be a whole number, not "5060"; write for example port = 5060'),
            ("[sip]\nport = true", "sip.port: must be a whole number, not true; write for example port = 5060"),
            ("[sip]\nport = 99999", "sip.port: must be at most 65535, not 99999; write for example port = 5060"),
            ('[sip]\nring_limit_s = "60"', 'sip.ring_limit_s: must be a number, not "60"; write for example ring_limit_s = 60.0'),
            ("[limits]\ndrain_timeout_s = inf", "limits.drain_timeout_s: must be a number, not inf; "),
            ("[rtp]\nports = 10000", 'rtp.ports: must be text in "quotes", not 10000; write for example ports = "10000-60000"'),
            ('[rtp]\nsymmetric = "yes"', 'rtp.symmetric: must be true or false, not "yes"; write for example symmetric = true'),
            ('[sip]\ntransports = "udp"', 'sip.transports: must be a list, not "udp"; write for example transports = ["udp", '),
            ("[sip]\ntransports = []", "sip.transports: must not be empty, not []; "),
            ('[sip]\ntransports = ["sctp"]', "sip.transports: must be 'udp', 'tcp', 'tls', 'ws' or 'wss', not \"sctp\"; "),
            ('[sip]\nrealm = "a\\"b"', "sip.realm: must hold neither quotes nor backslashes, "),
            ('[log]\nlevel = "loud"', "log.level: must be 'debug', 'info', 'warn' or 'error', not \"loud\"; "),
            ('[node]\nhost = "my host"', 'node.host: must be an IP address, such as "192.0.2.10", not "my host"; '),
            ('[node]\nadvertised_address = "0.0.0.0"', "node.advertised_address: must be an address that others can send to, "),
            ('[store]\nurl = "sqlite"', "store.url: must be a database URL, "),
        ):
            text = self.wrong(line + "\n")
            self.assertTrue(text.startswith("FILE:2: " + wanted), text)
            self.assertEqual(len(text.splitlines()), 1, text)

    def test_options_that_do_not_go_together(self) -> None:
        self.assertIn("sip.tls_port: must be another port than sip.port, not 5061", self.wrong("[sip]\nport = 5061\n"))
        self.assertIn(
            "sip.tls_key: must be given together with sip.tls_certificate", self.wrong('[sip]\ntls_certificate = "x"\n')
        )

    def test_regions(self) -> None:
        eu = '[regions]\nhere = "eu"\n[regions.known.eu]\nnode = "sip:eu.example.com"\n'
        for text, wanted in (
            ('[regions]\nhere = "eu"\n', "regions.known: must have the region of regions.here, 'eu'"),
            (eu.replace("here", "default"), "regions.known: needs regions.here, which of them this node is in"),
            (eu.replace("sip:", ""), 'regions.known: must be the SIP URI of a node, such as "sip:eu.voice.example.com"'),
            (eu + 'networks = ["192.0.2.1/8"]\n', "regions.known: must be networks, such as "),
            (eu + "place = [91.0, 0.0]\n", "regions.known: must be at most 90, not 91.0"),
            (eu.replace("known.eu", "known.EU"), "regions.known: must have names of small letters, digits and hyphens; 'EU'"),
            ('[regions]\nlocator = "atlas"\n', "no IRegionLocator provider is named 'atlas'; installed are: geoip"),
            ('[dns]\nname = "Example"\n', 'dns.name: must be a name in small letters, such as "sip.example.com"'),
        ):
            self.assertIn(wanted, self.wrong(text))

    def test_a_section_that_is_none(self) -> None:
        self.assertEqual(self.wrong("\nsip = 5\n"), "FILE:2: sip: must be a section, not 5; write for example [sip]")

    def test_the_line_is_found_however_the_key_is_written(self) -> None:
        for text, line in (
            ("sip.port = 0\n", 1),
            ('[sip]\n"port" = 0\n', 2),
            ("[http]\nport = 1\n[sip]\n# port = 1\n  port   =0\n", 5),
            ("[sip]\nrealm = \"\"\"x\nport = 7\n\"\"\"\nport = 0\n", 5),
        ):  # fmt: skip
            self.assertTrue(self.wrong(text).startswith(f"FILE:{line}: sip.port: "), self.wrong(text))

    def test_an_unknown_option_like_no_other_lists_what_there_is(self) -> None:
        self.assertEqual(self.wrong("[http]\nx = 1\n"), "FILE:2: http.x: there is no such option; there are: host, port")

    def test_an_editor_that_writes_a_byte_order_mark(self) -> None:
        with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
            file.write(b"\xef\xbb\xbf[sip]\nport = 5070\n")
            file.flush()
            self.assertEqual(load(file.name).sip.port, 5070)

    def test_bytes_that_are_no_text(self) -> None:
        with tempfile.NamedTemporaryFile("wb", suffix=".toml") as file:
            file.write(b'[sip]\nrealm = "\xff"\n')
            file.flush()
            with self.assertRaisesRegex(ConfigurationError, "cannot be read"):
                load(file.name)

    def test_an_impossible_port_range(self) -> None:
        self.assertIn('FILE:2: rtp.ports: must be "LOW-HIGH"', self.wrong('[rtp]\nports = "9-3"\n'))

    def test_codecs_go_by_their_proper_names(self) -> None:
        self.assertEqual(load(None, {"rtp.codecs": ("g722", "pcmu")}).rtp.codecs, ("G722", "PCMU"))
        said = self.wrong('[rtp]\ncodecs = ["PCMU", "G729"]\n')
        self.assertIn("FILE:2: rtp.codecs: there is no codec 'G729'; known are PCMU, PCMA, G722, opus", said)
        self.assertIn("rtp.codecs: must not be empty", self.wrong("[rtp]\ncodecs = []\n"))

    def test_every_mistake_is_told_at_once(self) -> None:
        self.assertEqual(len(self.wrong("[sip]\nport = 0\ntls_port = 0\n").splitlines()), 2)

    def test_bad_toml_names_its_line(self) -> None:
        self.assertIn("line 2", self.wrong("[sip]\nport = = 1\n"))

    def test_no_file(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "cannot be read"):
            load("/nonexistent/smartalex.toml")

    def test_the_command_line_is_named_where_it_is_to_blame(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, "^command line: sip.port"):
            load(None, {"sip.port": 0})

    def test_overrides_win(self) -> None:
        self.assertEqual(load(str(SHIPPED), {"sip.port": 5070}).sip.port, 5070)
