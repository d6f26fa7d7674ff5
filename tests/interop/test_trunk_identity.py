"""Every way that a trunk is known by, through a whole platform: who is let in, who is not, and what the record says of both."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import Any
from unittest import TestCase

from tests.interop.baresip import Baresip
from tests.interop.house import until
from tests.interop.peers import PBX, needs, sipp
from tests.interop.platform import PYTHONPATH, Platform, free_port, smartalex
from tests.interop.scenario import answered, hang_up, invite, maybe, recv, refused, scenario, send

ACME = Path(__file__).resolve().parent.parent / "plugins" / "acme-auth"
ELSEWHERE = "127.0.0.3"
TOKEN = "correct-horse-battery-staple"


def login(*, register: bool = False) -> str:
    """An INVITE, or a REGISTER, that is challenged, and its repetition with what SIPp makes of that."""
    method = "REGISTER" if register else "INVITE"
    headers = "Expires: 300\n" if register else ""
    asked = recv(401, auth="true") if register else maybe(100) + recv(401, auth="true") + send("ACK", 1, of="1INVITE")
    body = "" if register else None
    first = send(method, 1, headers=headers) if register else invite()
    second = f"{headers}[authentication]"
    return first + asked + (send(method, 2, headers=second) if register else invite(2, body, second))


class TrunkIdentity(TestCase):
    """`platform` has the demo's trunk; tests add theirs, with the demo's numbers."""

    ports = "27000-27400"
    environment: dict[str, str] = {}
    platform: Platform

    @classmethod
    def setUpClass(cls) -> None:
        cls.platform = Platform(cls.ports, environment=cls.environment).start()
        cls.addClassCleanup(cls.platform.remove)

    def add(self, name: str, *options: str, numbers: tuple[str, ...] = ("play",)) -> dict[str, Any]:
        made: dict[str, Any] = json.loads(self.platform.command("trunks", "add", name, "--json", *options))
        for number in numbers:
            self.platform.command("dids", "add", number, "--trunk", name, "--agent", "play")
        self.addCleanup(self.platform.command, "trunks", "remove", name, "--yes")
        return made

    def call(self, *steps: str, made: dict[str, Any] | None = None, password: str = "", to: str = "play", **more: Any) -> None:
        given = ("-au", made["username"], "-ap", password or made["password"]) if made else ()
        sipp(self.platform, scenario(*steps), to, *given, **more)

    def newest(self, *options: str) -> dict[str, Any]:
        """The newest call, with its "identified" event."""
        row = until(lambda: [row for row in self.platform.calls("--limit", "1", *options) if row["disposition"]])[0]
        events = self.platform.call(row["id"])["events"]
        [event] = [event for event in events if event["kind"] == "identified"]
        return {**row, **{key: event.get(key) for key in ("by", "near")}}

    def let_in(self, trunk: str, by: str) -> None:
        row = self.newest()
        self.assertEqual((row["disposition"], row["trunk"], row["by"]), ("completed", trunk, by))

    def turned_away(self, near: str) -> None:
        row = self.newest("--refused")
        self.assertEqual((row["status"], row["trunk"], row["near"], row["detail"]), (403, "", near, near))


@needs("sipp")
class Sipp(TrunkIdentity):
    def test_digest(self) -> None:
        office = self.add("office")
        self.call(login(), answered(2), hang_up(), made=office)
        self.let_in("office", "credentials")
        self.call(login(), refused(403, 2), made=office, password="wrong", source="127.0.0.21")
        self.turned_away(f"wrong password for {office['username']}")
        self.call(login(), refused(403, 2), made={"username": "sa_nobody", "password": "x"}, source="127.0.0.22")
        self.turned_away("unknown username 'sa_nobody'")

    def test_allowlist(self) -> None:
        self.add("carrier", "--allow", f"{PBX}/32", "--no-digest")
        self.call(invite(), answered(), hang_up())
        self.let_in("carrier", "source")
        self.call(invite(), refused(401), source=ELSEWHERE)

    def test_both(self) -> None:
        fenced = self.add("fenced", "--allow", f"{PBX}/32")
        self.call(login(), answered(2), hang_up(), made=fenced)
        self.let_in("fenced", "credentials and source")
        self.call(login(), refused(403, 2), made=fenced, source=ELSEWHERE)
        self.turned_away(f"trunk fenced by credentials, but not by source: {ELSEWHERE} is on no list")
        self.call(invite(), refused(401))
        self.call(login(), refused(403, 2), made=fenced, password="wrong")
        self.turned_away(f"wrong password for {fenced['username']}")

    def test_registration(self) -> None:
        desk = self.add("desk", "--auth", "registration")
        port = free_port(PBX)
        self.call(login(register=True), recv(200), made=desk, to=desk["username"], port=port)
        self.call(invite(), answered(), hang_up(), port=port)
        self.let_in("desk", "binding")
        self.call(invite(), refused(401), port=free_port(PBX))
        self.call(invite(), refused(401), source=ELSEWHERE)
        self.call(login(), answered(2), hang_up(), made=desk, source=ELSEWHERE)
        self.let_in("desk", "credentials")

    def test_two_trunks_at_one_address(self) -> None:
        self.add("one", "--allow", "127.0.0.0/29", "--no-digest", numbers=("100", "play"))
        self.add("two", "--allow", f"{PBX}/32", "--no-digest", numbers=("200", "play"))
        for number, trunk in (("100", "one"), ("200", "two")):
            self.call(invite(), answered(), hang_up(), to=number)
            self.let_in(trunk, "source and DID")
        self.call(invite(), refused(403))
        self.turned_away(f"{PBX} is trunks one and two by source, and DID play does not decide: one and two have it alike")


@needs("baresip")
class Telephone(TrunkIdentity):
    ports = "27400-27500"

    def telephone(self, made: dict[str, Any], password: str = "", register_s: int = 0) -> Baresip:
        self.platform.ready["username"], self.platform.password = made["username"], password or made["password"]
        telephone = Baresip(self.platform, register_s=register_s)
        self.addCleanup(telephone.close)
        return telephone

    def test_digest_right_and_wrong(self) -> None:
        office = self.add("office")
        telephone = self.telephone(office)
        telephone.dial("play")
        telephone.wait("CALL_ESTABLISHED")
        telephone.command("hangup")
        telephone.wait("CALL_CLOSED")
        self.let_in("office", "credentials")
        wrong = self.telephone(office, "wrong")
        wrong.dial("play")
        self.assertIn("403", wrong.wait("CALL_CLOSED")["param"])
        self.turned_away(f"wrong password for {office['username']}")

    def test_from_where_it_has_registered(self) -> None:
        telephone = self.telephone(self.add("desk", "--auth", "registration"), register_s=600)
        until(lambda: "[1 binding]" in telephone.logged())
        telephone.dial("play")
        telephone.wait("CALL_ESTABLISHED")
        telephone.command("hangup")
        telephone.wait("CALL_CLOSED")
        self.let_in("desk", "binding")


@needs("sipp")
class Foreign(TrunkIdentity):
    """An authenticator from another distribution, installed beside ours."""

    ports = "27500-27600"

    @classmethod
    def setUpClass(cls) -> None:
        folder = Path(tempfile.mkdtemp(prefix="smartalex-acme-"))
        cls.addClassCleanup(shutil.rmtree, folder)
        shutil.copytree(ACME, folder / "source")
        pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-build-isolation", "--no-index",
               "--disable-pip-version-check", "--target", str(folder / "site"), str(folder / "source")]  # fmt: skip
        done = subprocess.run(pip, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            raise AssertionError(done.stdout + done.stderr)
        cls.environment = {"PYTHONPATH": f"{PYTHONPATH}:{folder / 'site'}"}
        super().setUpClass()

    def test_a_token_in_a_header(self) -> None:
        self.assertIn("acme-token", smartalex("providers", environment=self.platform.environment).stdout)
        self.add("acme-pbx", "--no-digest", "--auth", f"acme-token:sha256={sha256(TOKEN.encode()).hexdigest()}")
        self.call(invite(headers=f"X-Acme-Token: {TOKEN}"), answered(), hang_up())
        self.let_in("acme-pbx", "token")
        self.call(invite(headers="X-Acme-Token: guess"), refused(401))
        self.call(invite(), refused(401))
