"""Every command explains itself, and every command that makes or changes something shows an example."""

from __future__ import annotations

from collections.abc import Iterator
from unittest import TestCase

import click
from click.testing import CliRunner

from smartalex.cli.main import main


def commands(group: click.Group, *path: str) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None, name
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, *path, name)


class Help(TestCase):
    def test_everything_is_there(self) -> None:
        names = {" ".join(path) for path, _ in commands(main)}
        wanted = {"run", "call", "calls", "calls show", "calls trace", "messages",
                  "trunks", "trunks add", "trunks set", "trunks remove", "dids",
                  "dids add", "dids remove", "extensions", "extensions add", "extensions import", "extensions remove",
                  "secret rotate", "providers"}  # fmt: skip
        self.assertLessEqual(wanted, names)

    def test_each_command(self) -> None:
        for path, command in commands(main):
            with self.subTest(" ".join(path)):
                done = CliRunner().invoke(main, [*path, "--help"])
                self.assertEqual(done.exit_code, 0, done.output)
                self.assertGreater(len((command.help or "").split()), 3)
                options = {option for parameter in command.params for option in parameter.opts}
                if path[-1] not in ("run", "secret", "providers"):
                    self.assertLessEqual({"--state", "--config", "--json"}, options)
                if path[-1] in ("add", "set", "remove", "import", "rotate", "call"):
                    self.assertIn("smartalex " + " ".join(path), done.output)

    def test_each_option_has_a_text(self) -> None:
        for path, command in commands(main):
            for parameter in command.params:
                if isinstance(parameter, click.Option) and parameter.name not in ("help", "transport"):
                    self.assertTrue(parameter.help, (path, parameter.name))

    def test_an_unknown_command(self) -> None:
        done = CliRunner().invoke(main, ["trunkz"])
        self.assertEqual(done.exit_code, 2)
        self.assertIn("trunkz", done.output)

    def test_groups_by_the_singular_and_the_plural(self) -> None:
        for one, many in (("trunk", "trunks"), ("did", "dids"), ("extension", "extensions"), ("secrets", "secret")):
            said = {name: CliRunner().invoke(main, [name, "--help"]).stdout for name in (one, many)}
            self.assertEqual(said[one].partition("\n")[2], said[many].partition("\n")[2])
            self.assertIn(f"main {one} [OPTIONS]", said[one])
