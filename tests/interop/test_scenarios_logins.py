"""SIPp wants to know who calls: our digest answers, and the challenges that there is no answer to.

The names of pjproject's scenarios stand where one is meant.
"""

from __future__ import annotations

from collections.abc import Mapping
from hashlib import md5, sha256

from smartalex.sip.digest import DigestClient, Secret
from smartalex.sip.headers import AuthParams
from tests.interop.answering import TRYING, called, leave, pick_up, refuse, respond
from tests.interop.caller import Calling
from tests.interop.peers import needs


@needs("sipp")
class Logins(Calling):
    def login(self) -> DigestClient:
        return DigestClient("ann", Secret("pw"), lambda: "0a4f113b")

    def answers(self, header: str = "Authorization") -> list[Mapping[str, str]]:
        """What we answered in each INVITE that holds this header, reckoned anew."""
        found = []
        for invite in self.ours.sent("INVITE"):
            for text in invite.headers.get_all(header):
                given = AuthParams.parse(text).params
                digest = {"MD5": md5, "SHA-256": sha256}[given["algorithm"]]
                first, last = (digest(part.encode()).hexdigest() for part in (f"ann:{given['realm']}:pw", f"INVITE:{invite.uri}"))
                middle = [given[key] for key in ("nonce", "nc", "cnonce", "qop") if key in given]
                self.assertEqual(given["response"], digest(":".join([first, *middle, last]).encode()).hexdigest())
                found.append(given)
        return found

    async def test_401_after_a_100(self) -> None:
        """uas-inv_401_retry_after_100, with the oldest form of digest."""
        challenge = 'WWW-Authenticate: Digest realm="sipp", nonce="1234"'
        pbx = await self.sipp(called(), TRYING, respond(180), refuse(401, headers=challenge), called(), pick_up(), leave())
        self.call(pbx, digest=self.login())
        await self.done(pbx)
        first, second = self.ours.sent("INVITE")
        self.assertEqual((first.cseq.number, second.cseq.number), (1, 2))
        self.assertEqual((first.call_id, first.from_.tag), (second.call_id, second.from_.tag))
        self.assertNotEqual(first.via.branch, second.via.branch)
        self.assertEqual([given["nonce"] for given in self.answers()], ["1234"])

    async def test_407_and_then_401(self) -> None:
        """Over UDP and TCP; the answer to the proxy stays when the PBX asks too."""
        proxy = 'Proxy-Authenticate: Digest realm="proxy", nonce="1", qop="auth,auth-int", opaque="o"'
        end = 'WWW-Authenticate: Digest realm="end", nonce="2", qop="auth", algorithm=MD5'
        for transport in ("udp", "tcp"):
            self.forget()
            steps = (called(), refuse(407, headers=proxy), called(), refuse(401, headers=end), called(), pick_up(), leave())
            pbx = await self.sipp(*steps, transport=transport)
            self.call(pbx, transport, digest=self.login())
            await self.done(pbx)
            self.assertEqual([given["qop"] for given in self.answers()], ["auth"])
            self.assertEqual(
                [(given["nonce"], given["opaque"]) for given in self.answers("Proxy-Authorization")], [("1", "o")] * 2
            )

    async def test_a_choice_of_algorithms(self) -> None:
        """uas-auth-two-algo: the first that we know (RFC 8760 2.4)."""
        for offered, taken in ((("SHA-256", "MD5", "MD2"), "SHA-256"), (("MD2", "MD5", "SHA-256"), "MD5")):
            self.forget()
            lines = (
                f'WWW-Authenticate: Digest realm="r", nonce="n", opaque="+GN==", qop="auth", algorithm={name}' for name in offered
            )
            pbx = await self.sipp(called(), refuse(401, headers="\n".join(lines)), called(), pick_up(), leave())
            self.call(pbx, digest=self.login())
            await self.done(pbx)
            self.assertEqual([(given["algorithm"], given["opaque"]) for given in self.answers()], [(taken, "+GN==")])

    async def test_a_stale_nonce_and_no_end_of_them(self) -> None:
        """uas-register-ip-change has the first; the second is CVE-2020-28242."""

        def stale(nonce: int) -> str:
            return refuse(401, headers=f'WWW-Authenticate: Digest realm="r", nonce="{nonce}", stale=true')

        fresh = refuse(401, headers='WWW-Authenticate: Digest realm="r", nonce="0"')
        pbx = await self.sipp(called(), fresh, called(), stale(1), called(), pick_up(), leave())
        self.call(pbx, digest=self.login())
        await self.done(pbx)
        self.assertEqual([given["nonce"] for given in self.answers()], ["0", "1"])
        self.forget()
        pbx = await self.sipp(called(), fresh, called(), stale(1), called(), stale(2), called(), stale(3))
        self.call(pbx, digest=self.login())
        await self.done(pbx)
        self.assertEqual(self.heard("failed"), [(401,)])

    async def test_challenges_that_cannot_be_answered(self) -> None:
        """A second one, one without a nonce (uas-auth), one without a known algorithm, and one when there is no password."""
        good = 'WWW-Authenticate: Digest realm="r", nonce="1"'
        steps = {
            "again": (refuse(401, headers=good), called(), refuse(401, headers=good.replace("1", "2"))),
            "no nonce": (refuse(401, headers='WWW-Authenticate: digest realm="r",stale=true'),),
            "unknown": (refuse(401, headers=f"{good}, algorithm=MD2"),),
            "no password": (refuse(401, headers=good),),
            "nothing": (refuse(401),),
        }
        for name, refusals in steps.items():
            self.forget()
            pbx = await self.sipp(called(), *refusals)
            self.call(pbx, digest=None if name == "no password" else self.login())
            await self.done(pbx)
            self.assertEqual(self.heard("failed"), [(401,)], name)
