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

    def test_a_wrong_value_names_an_example(self) -> None:
        text = self.wrong('[sip]\nport = "many"\n')
        self.assertTrue(text.startswith("FILE:2: sip.port: "), text)
        self.assertTrue(text.endswith("write for example port = 5060"), text)

    def test_an_impossible_port_range(self) -> None:
        self.assertIn('FILE:2: rtp.ports: must be "LOW-HIGH"', self.wrong('[rtp]\nports = "9-3"\n'))

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
