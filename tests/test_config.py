"""Configuration: the documented file, defaults, and every mistake told with its line."""

from __future__ import annotations

import re
import tempfile
import tomllib
from pathlib import Path
from unittest import TestCase

from smartalex.config import SECTIONS, Config, load, options_of
from smartalex.errors import ConfigurationError

ROOT = Path(__file__).resolve().parent.parent
DOCUMENTED = ROOT / "etc" / "smartalex.toml"


def plain(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


class Documentation(TestCase):
    def test_the_file_has_every_option_at_its_default_and_no_other(self) -> None:
        schema = {name: {k: plain(v) for k, v in options_of(section).items()} for name, section in SECTIONS.items()}
        self.assertEqual(tomllib.loads(DOCUMENTED.read_text()), schema)

    def test_the_file_has_every_option_once(self) -> None:
        text = DOCUMENTED.read_text()
        for name, section in SECTIONS.items():
            block = text.partition(f"[{name}]\n")[2].partition("\n[")[0]
            for option in options_of(section):
                self.assertEqual(len(re.findall(rf"^#?\s*{option} = ", block, re.M)), 1, f"{name}.{option}")

    def test_the_file_loads_to_the_defaults(self) -> None:
        self.assertEqual(load(DOCUMENTED), load(None))

    def test_every_section_is_explained(self) -> None:
        for name in SECTIONS:
            block = DOCUMENTED.read_text().partition(f"[{name}]\n")[2].partition("\n[")[0]
            self.assertIn("# ", block, name)


class Loading(TestCase):
    def loaded(self, text: str, **overrides: object) -> Config:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text)
            return load(path, {name.replace("__", "."): value for name, value in overrides.items()})

    def test_defaults_then_file_then_overrides(self) -> None:
        config = self.loaded("[sip]\nport = 5070\nring_limit_s = 45\n", sip__port=5090, node__state_dir="/var/lib/x")
        self.assertEqual((config.sip.port, config.sip.ring_limit_s, config.sip.tls_port), (5090, 45, 5061))
        self.assertEqual(config.state_dir, Path("/var/lib/x"))

    def test_values_are_frozen(self) -> None:
        with self.assertRaises(ValueError):
            load(None).sip.port = 1

    def test_ports_of_rtp_as_numbers(self) -> None:
        self.assertEqual(self.loaded('[rtp]\nports = "20000-20999"').rtp.port_range, (20000, 20999))

    def test_key_of_json_logging(self) -> None:
        self.assertTrue(self.loaded("[log]\njson = true").log.json_lines)
        with self.assertRaises(ConfigurationError):
            self.loaded("[log]\njson_lines = true")


class Mistakes(TestCase):
    def told(self, text: str, **overrides: object) -> str:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "x.toml"
            path.write_text(text)
            with self.assertRaises(ConfigurationError) as caught:
                load(path, {name.replace("__", "."): value for name, value in overrides.items()})
            return str(caught.exception).replace(f"{folder}/", "")

    def test_a_near_miss_is_suggested(self) -> None:
        self.assertEqual(self.told("# x\n[sip]\n\nprot = 5060\n"), "x.toml:4: sip.prot: unknown option; did you mean port?")

    def test_an_unknown_option_far_from_any_lists_them(self) -> None:
        self.assertIn("unknown option; there are host, port", self.told("[http]\nqqqqqq = 1\n"))

    def test_an_unknown_section(self) -> None:
        self.assertEqual(self.told("[node]\n[spi]\nx = 1\n"), "x.toml:2: spi: unknown section; did you mean sip?")

    def test_a_wrong_type(self) -> None:
        told = self.told('[sip]\nport = "5060"\n')
        self.assertEqual(told, "x.toml:2: sip.port: must be a valid integer, not '5060'; write e.g. port = 5060")

    def test_out_of_range(self) -> None:
        self.assertEqual(
            self.told("[limits]\n# x\nmax_calls = 0\n"),
            "x.toml:3: limits.max_calls: must be greater than or equal to 1, not 0; write e.g. max_calls = 200",
        )

    def test_several_mistakes_are_told_at_once(self) -> None:
        told = self.told('[sip]\nport = -1\n[rtp]\nports = "5"\n').splitlines()
        self.assertEqual([line.split(" ")[0] for line in told], ["x.toml:2:", "x.toml:4:"])

    def test_not_toml(self) -> None:
        self.assertRegex(self.told("[sip]\nport = \n"), r"^x\.toml:2: not TOML: .*; write e\.g\. name = ")

    def test_ranges_of_ports(self) -> None:
        for bad in ("9", "a-b", "60000-10000", "80-90", "10000-70000", "10000-10000", "-1-5"):
            self.assertIn(f'x.toml:2: rtp.ports: {""}', self.told(f'[rtp]\nports = "{bad}"'))

    def test_addresses(self) -> None:
        self.assertIn("'localhost' is not an IP address; write e.g. host = \"127.0.0.1\"", self.told('[node]\nhost = "localhost"'))

    def test_files_that_are_not_there(self) -> None:
        self.assertIn("there is no file /no/such.pem", self.told('[sip]\ntls_certificate = "/no/such.pem"'))

    def test_certificate_without_key(self) -> None:
        text = f'[sip]\ntls_certificate = "{DOCUMENTED}"'
        self.assertEqual(self.told(text), "x.toml:1: sip: tls_certificate and tls_key go together: give both or neither")

    def test_lists(self) -> None:
        self.assertIn('must be \'udp\', \'tcp\' or \'tls\', not \'sctp\'', self.told('[sip]\ntransports = ["udp", "sctp"]'))
        self.assertIn("must not be empty", self.told("[sip]\ntransports = []"))
        self.assertIn("names something twice", self.told('[sip]\ntransports = ["udp", "udp"]'))

    def test_equal_ports(self) -> None:
        self.assertIn("port and tls_port must differ", self.told("[sip]\nport = 5061"))
        self.assertEqual(load(None, {"sip.port": 0, "sip.tls_port": 0}).sip.port, 0)

    def test_a_section_that_is_none(self) -> None:
        self.assertEqual(self.told("sip = 3\n"), "x.toml:1: sip: must be a section; write e.g. [sip]")

    def test_overrides_are_told_without_a_line(self) -> None:
        self.assertTrue(self.told("[sip]\nport = 5070\n", sip__port=99999).startswith("sip.port: must be"))

    def test_unreadable_files(self) -> None:
        with self.assertRaisesRegex(ConfigurationError, r"/no/such\.toml: cannot be read: No such file"):
            load("/no/such.toml")
        with tempfile.NamedTemporaryFile(suffix=".toml") as file:
            file.write(b"\xff\xfe")
            file.flush()
            with self.assertRaisesRegex(ConfigurationError, "is not UTF-8"):
                load(file.name)
