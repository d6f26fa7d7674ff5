"""The state directory: made once, for its owner's eyes, used by one service at a time."""

import os
import stat
import subprocess
import sys
import tempfile
from pathlib import Path
from unittest import TestCase

from cryptography import x509

from smartalex.config import load
from smartalex.errors import ConfigurationError
from smartalex.store.state import State, open_state, running


class StateCase(TestCase):
    def setUp(self) -> None:
        folder = tempfile.TemporaryDirectory(prefix="smartalex-test-")
        self.addCleanup(folder.cleanup)
        self.folder = Path(folder.name) / "deep" / "state"

    def open(self, *, serve: bool = True, **node: str) -> State:
        state = open_state(
            load(None, {"node.state_dir": str(self.folder), **{f"node.{k}": v for k, v in node.items()}}), serve=serve
        )
        self.addCleanup(state.repository.engine.dispose)
        if state.lock is not None:
            self.addCleanup(state.lock.close)
        return state


class FirstStart(StateCase):
    def test_everything_is_made_and_only_its_owner_reads_it(self) -> None:
        before = os.umask(0)
        self.addCleanup(os.umask, before)
        self.open()
        modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in self.folder.iterdir()}
        self.assertEqual(stat.S_IMODE(self.folder.stat().st_mode), 0o700)
        self.assertEqual((modes["messages"], modes["journal"]), (0o700, 0o700))
        self.assertEqual((modes["vault.key"], modes["tls.key"]), (0o600, 0o600))
        self.assertLessEqual({"smartalex.db", "tls.crt", "lock"}, set(modes))

    def test_the_password_is_issued_once_and_in_no_repr(self) -> None:
        state = self.open()
        assert state.issued is not None and state.lock is not None
        self.assertEqual((state.issued.trunk, len(state.issued.password)), ("acme", 24))
        self.assertNotIn(state.issued.password, repr(state) + repr(state.issued))
        state.lock.close()
        self.assertIsNone(self.open().issued)

    def test_the_certificate_names_the_addresses_it_serves(self) -> None:
        state = self.open(host="192.0.2.7", advertised_address="198.51.100.9")
        certificate = x509.load_pem_x509_certificate(state.certificate.read_bytes())
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertLessEqual({"192.0.2.7", "198.51.100.9"}, set(map(str, names.get_values_for_type(x509.IPAddress))))
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["localhost"])

    def test_a_command_makes_no_state_by_itself(self) -> None:
        with self.assertRaisesRegex(
            ConfigurationError, f"holds no SmartAlex yet; start one with: smartalex run --state {self.folder}"
        ):
            self.open(serve=False)
        self.assertFalse(self.folder.exists())

    def test_a_place_that_cannot_be_made(self) -> None:
        self.folder.parent.parent.mkdir(exist_ok=True)
        self.folder.parent.write_text("a file where a directory should be")
        with self.assertRaisesRegex(ConfigurationError, f"{self.folder}: the state directory cannot be made: Not a directory"):
            self.open()


class Again(StateCase):
    def test_what_was_there_stays(self) -> None:
        state = self.open()
        assert state.lock is not None
        kept = {name: (self.folder / name).read_bytes() for name in ("vault.key", "tls.crt", "tls.key")}
        credentials = state.repository.credentials()
        state.lock.close()
        self.assertEqual(self.open().repository.credentials(), credentials)
        self.assertEqual({name: (self.folder / name).read_bytes() for name in kept}, kept)

    def test_the_vault_key_of_another_state_directory_is_noticed_at_once(self) -> None:
        state = self.open()
        assert state.lock is not None
        state.lock.close()
        (self.folder / "vault.key").write_bytes(bytes(32))
        with self.assertRaisesRegex(ConfigurationError, f"{self.folder}/vault.key: .* another state directory"):
            self.open()

    def test_a_lost_key_is_not_made_anew(self) -> None:
        state = self.open()
        assert state.lock is not None
        state.lock.close()
        (self.folder / "vault.key").unlink()
        with self.assertRaisesRegex(ConfigurationError, "master key is missing"):
            self.open()


class Lock(StateCase):
    def test_a_second_service_is_told_who_has_it(self) -> None:
        self.open()
        script = "import sys; from smartalex.store.state import open_state; from smartalex.config import load; "
        script += "open_state(load(None, {'node.state_dir': sys.argv[1]}))"
        done = subprocess.run(
            [sys.executable, "-c", script, str(self.folder)], capture_output=True, text=True, timeout=60, check=False
        )
        self.assertIn(
            f"{self.folder} is in use by another SmartAlex (pid {os.getpid()}); give this one another --state", done.stderr
        )

    def test_commands_work_beside_a_service_and_see_that_it_runs(self) -> None:
        state = self.open()
        self.assertTrue(running(self.folder))
        self.assertEqual(self.open(serve=False).repository.revision(), state.repository.revision())
        assert state.lock is not None
        state.lock.close()
        self.assertFalse(running(self.folder))
        self.assertFalse(running(self.folder / "nowhere"))
