"""Who is not rationed."""

from unittest import TestCase

from smartalex.calls.trust import KNOWN_S, MOST, REMEMBERED_S, Trust


class Trusting(TestCase):
    def setUp(self) -> None:
        self.now = 0.0
        self.trust = Trust(lambda host: host == "192.0.2.1", lambda: self.now)

    def test_listed_proved_and_strangers(self) -> None:
        self.trust.proved("192.0.2.2")
        self.assertEqual([self.trust(f"192.0.2.{n}") for n in (1, 2, 3)], [True, True, False])

    def test_a_proof_does_not_last_for_ever_but_can_be_renewed(self) -> None:
        self.trust.proved("192.0.2.2")
        self.now = REMEMBERED_S - 1
        self.trust.proved("192.0.2.2")
        self.now = 2 * REMEMBERED_S - 2
        self.assertTrue(self.trust("192.0.2.2"))
        self.now = 2 * REMEMBERED_S
        self.assertEqual((self.trust("192.0.2.2"), self.trust.known("192.0.2.2")), (False, True))
        self.now = REMEMBERED_S - 1 + KNOWN_S
        self.assertFalse(self.trust.known("192.0.2.2"))
        self.assertTrue(self.trust.known("192.0.2.1"))

    def test_it_remembers_so_many_and_no_more(self) -> None:
        for n in range(MOST + 1):
            self.trust.proved(str(n))
        self.assertEqual((self.trust("0"), self.trust("1"), self.trust(str(MOST))), (False, True, True))
