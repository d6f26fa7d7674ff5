"""No secret is anywhere but where it is shown once and where it is sealed: a platform's life, and then everything is searched."""

from __future__ import annotations

import json
import sqlite3
import urllib.error
import urllib.request
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest import TestCase

from smartalex.sip.digest import HASHES, ha1
from tests.interop.house import until
from tests.interop.peers import PBX, needs, sipp
from tests.interop.platform import Platform, smartalex
from tests.interop.scenario import answered, hang_up, invite, maybe, recv, refused, scenario, send

REGISTER_PASSWORD = "k33p-this-One-to-yourself"
GUESS = "n0t-the-Right-password"
KEYS = ("vault.key", "vault.key.previous", "tls.key")
"""Files that are secrets."""


def login() -> str:
    asked = maybe(100) + recv(401, auth="true") + send("ACK", 1, of="1INVITE")
    return invite() + asked + invite(2, None, "[authentication]")


def written(secret: bytes) -> dict[str, bytes]:
    """The ways in which it might stand somewhere, by name."""
    found = {"itself": secret, "hex": secret.hex().encode(), "HEX": secret.hex().upper().encode()}
    for name, encode in (("base64", b64encode), ("base64url", urlsafe_b64encode)):
        for shift in range(3):  # of a longer text that is encoded as a whole
            whole = encode(bytes(shift) + secret)
            found[f"{name}+{shift}"] = whole[4 if shift else 0 : len(whole) // 4 * 4 - 4]
    return found


@needs("sipp")
class Secrets(TestCase):
    """One life: trunks, calls, wrong passwords, rotation with an overlap, rekey, a key that is gone, and a start again."""

    def setUp(self) -> None:
        self.platform = Platform("27600-27700").start()
        self.addCleanup(self.platform.remove)
        self.dump = self.platform.folder / "dump"
        self.secrets: dict[str, bytes] = {}
        self.said: list[str] = []

    def issued(self, name: str, shown: dict[str, Any]) -> dict[str, Any]:
        """A password that was just made, and what digest needs of it."""
        self.secrets[name] = shown["password"].encode()
        for algorithm in HASHES:
            self.secrets[f"{name} {algorithm}"] = ha1(shown["username"], "smartalex", shown["password"], algorithm).encode()
        return shown

    def told(self, *arguments: str) -> dict[str, Any]:
        shown: dict[str, Any] = json.loads(self.platform.command(*arguments, "--json"))
        return shown

    def call(self, *steps: str, made: dict[str, Any], password: str = "", to: str = "play", **more: Any) -> None:
        sipp(self.platform, scenario(*steps), to, "-au", made["username"], "-ap", password or made["password"], **more)

    def live(self) -> None:
        platform = self.platform
        self.issued("demo", platform.ready)
        office = self.issued("office", self.told("trunks", "add", "office"))
        fenced = self.issued("fenced", self.told("trunks", "add", "fenced", "--allow", f"{PBX}/32"))
        given = smartalex(
            "trunks", "set", "fenced", "--register", "sip:300@127.0.0.9:5999", "--register-password-stdin",
            "--state", str(platform.state), input=REGISTER_PASSWORD + "\n",
        )  # fmt: skip
        self.assertEqual(given.returncode, 0, given.stderr)
        self.said.append(given.stdout + given.stderr)
        self.secrets |= {"register": REGISTER_PASSWORD.encode(), "guess": GUESS.encode()}
        platform.command("agents", "add", "dumper", "--backend", f"dumping:into={self.dump}", "--instructions", "none")
        for trunk in ("office", "fenced"):
            platform.command("dids", "add", "play", "--trunk", trunk, "--agent", "play")
        platform.command("dids", "add", "dump", "--trunk", "office", "--agent", "dumper")
        self.call(login(), answered(2), hang_up(), made=office)
        self.call(login(), answered(2), hang_up(), made=fenced)
        self.call(login(), refused(403, 2), made=fenced, source="127.0.0.3")
        self.call(login(), refused(403, 2), made=office, password=GUESS, source="127.0.0.4")
        again = self.issued("office rotated", self.told("secret", "rotate", "office", "--overlap", "1h"))
        self.call(login(), answered(2), hang_up(), made=office)
        self.call(login(), answered(2), hang_up(), made=again)
        before = (platform.state / "vault.key").read_bytes()
        self.assertEqual(self.told("secret", "rekey")["secrets"], 4)
        self.secrets |= {"key": (platform.state / "vault.key").read_bytes(), "key before": before}
        self.assertNotEqual(self.secrets["key"], before)
        self.call(login(), answered(2), hang_up(), made=office)
        self.call(login(), answered(2), hang_up(), made=again, to="dump")
        self.assertTrue(self.told("secret", "rotate", "office", "--now")["ended"])
        self.call(login(), refused(403, 2), made=office)
        self.call(login(), answered(2), hang_up(), made=again, to="dump")
        until(lambda: all(row["disposition"] for row in platform.calls("--limit", "50")))

    def test_none_is_found(self) -> None:
        self.live()
        self.said += [*self._shown(), *self._pages()]
        self.platform.stop()
        self._refuses_without_its_key()
        self.platform.start()
        self.assertEqual(self.platform.ready.get("password"), None)
        self.said.append(json.dumps(self.platform.ready))
        places = {f"said {n}": text.encode() for n, text in enumerate(self.said)} | dict(self._files())
        self.assertIn("smartalex.db", " ".join(places))
        self.assertIn(b"Trunk(", places[str(self.dump)])
        self.assertIn(b"<secret>", places[str(self.dump)])
        found = [
            f"{name} as {form} in {place}"
            for name, secret in self.secrets.items()
            for form, text in written(secret).items()
            for place, content in places.items()
            if text in content and not (name in ("key", "key before") and Path(place).name in KEYS)
        ]
        self.assertEqual(found, [])
        self.assertGreater(len(places), 12)
        self.assertTrue(any(b"Authorization: Digest" in content for content in places.values()))

    def _shown(self) -> Iterator[str]:
        """What commands say, with every call's trace."""
        for command in ("calls", "trunks", "audit", "export", "providers"):
            yield smartalex(command, *(("--state", str(self.platform.state)) if command != "providers" else ())).stdout
        for row in self.platform.calls("--limit", "50"):
            yield self.platform.command("calls", "show", row["id"])
            yield until(lambda row=row: self._traced(row["id"]))
        yield from (json.dumps(row) for row in self.platform.calls("--refused", "--limit", "50"))

    def _traced(self, call_id: str) -> str:
        """Its messages, once they are kept."""
        return smartalex("calls", "trace", call_id, "--messages", "--state", str(self.platform.state)).stdout

    def _pages(self) -> Iterator[str]:
        for path in ("metrics", "healthz", "readyz", "nonsense", "metrics?token=x", "%00", "..%2f..%2fvault.key"):
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{self.platform.http}/{path}", timeout=5) as answer:
                    yield answer.read().decode(errors="replace")
            except urllib.error.HTTPError as error:
                yield str(error.headers) + error.read().decode(errors="replace")

    def _files(self) -> Iterator[tuple[str, bytes]]:
        """All of the folder: database with its WAL, journal, log, dump; and the rows as the database gives them."""
        for path in self.platform.folder.rglob("*"):
            if path.is_file():
                yield str(path), path.read_bytes()
        with closing(sqlite3.connect(self.platform.state / "smartalex.db")) as database:
            yield "rows", "\n".join(database.iterdump()).encode()

    def _refuses_without_its_key(self) -> None:
        """Each sort of trouble with the key or the rows is said, and nothing is lost by it."""
        key = self.platform.state / "vault.key"
        right, old = key.read_bytes(), (self.platform.state / "vault.key.previous").read_bytes()
        (self.platform.state / "vault.key.previous").unlink()
        key.rename(key.with_suffix(".away"))
        self._refused("master key is missing; put it back")
        key.with_suffix(".away").rename(key)
        key.chmod(0o644)
        self._refused("chmod 600")
        key.chmod(0o600)
        key.write_bytes(old)
        self._refused("put the right one back")
        key.write_bytes(right)
        with closing(sqlite3.connect(self.platform.state / "smartalex.db")) as database, database:
            name, sealed = database.execute("SELECT name, sealed FROM secret LIMIT 1").fetchone()
            spoilt = sealed[:20] + bytes([sealed[20] ^ 1]) + sealed[21:]
            database.execute("UPDATE secret SET sealed = ? WHERE name = ?", (spoilt, name))
        self._refused(f"{name} cannot be opened; bring the database back")
        with closing(sqlite3.connect(self.platform.state / "smartalex.db")) as database, database:
            database.execute("UPDATE secret SET sealed = ? WHERE name = ?", (sealed, name))

    def _refused(self, why: str) -> None:
        ports = (
            "--sip-port",
            str(self.platform.sip),
            "--tls-port",
            str(self.platform.tls),
            "--http-port",
            str(self.platform.http),
        )
        done = smartalex("run", "--state", str(self.platform.state), *ports, "--json")
        self.assertNotEqual(done.returncode, 0)
        self.assertIn(why, done.stderr)
        self.said.append(done.stdout + done.stderr)
