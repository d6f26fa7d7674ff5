"""HashiCorp Vault's transit engine on loopback, as its HTTP API documents it, and strict: what it does not know it refuses."""

from __future__ import annotations

import json
import os
from base64 import b64decode, b64encode
from binascii import Error
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

FIELDS = {"encrypt": {"plaintext"}, "decrypt": {"ciphertext", "batch_input"}, "rotate": set()}


class KeyServer:
    """`keys` are versions, oldest first, by name; `asked` what came, method and path; one that is `sealed` refuses everything."""

    token = "s.9wLkT3CqYb7vQ1"

    def __init__(self) -> None:
        self.keys: dict[str, list[bytes]] = {"smartalex": [os.urandom(32)]}
        self.asked: list[str] = []
        self.sealed = False
        owner = self

        class Request(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self._answer("GET")

            def do_POST(self) -> None:
                self._answer("POST")

            def _answer(self, method: str) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length", "0")))
                status, data = owner.answer(method, self.path, self.headers.get("X-Vault-Token", ""), body)
                text = json.dumps(data).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, format: str, *args: Any) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Request)
        self.address = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def answer(self, method: str, path: str, token: str, body: bytes) -> tuple[int, dict[str, Any]]:
        self.asked.append(f"{method} {path}")
        if self.sealed:
            return 503, {"errors": ["Vault is sealed"]}
        if token != self.token:
            return 403, {"errors": ["permission denied"]}
        parts = path.strip("/").split("/")
        if parts[:2] != ["v1", "transit"] or len(parts) < 4:
            return 404, {"errors": []}
        verb = "read" if method == "GET" else parts[4] if len(parts) == 5 and parts[2] == "keys" else parts[2]
        name = parts[3]
        if name not in self.keys:
            return (404, {"errors": []}) if verb == "read" else (400, {"errors": ["encryption key not found"]})
        try:
            return self._done(verb, name, json.loads(body or b"{}"))
        except (ValueError, Error, InvalidTag, IndexError, KeyError) as error:
            return 400, {"errors": [str(error) or "invalid ciphertext"]}

    def _done(self, verb: str, name: str, given: dict[str, Any]) -> tuple[int, dict[str, Any]]:
        versions = self.keys[name]
        if verb == "read":
            data = {"name": name, "type": "aes256-gcm96", "latest_version": len(versions), "min_decryption_version": 1}
            return 200, {"data": data}
        if set(given) - FIELDS[verb]:
            raise ValueError(f"unknown field {sorted(set(given) - FIELDS[verb])}")
        if verb == "rotate":
            versions.append(os.urandom(32))
            return 200, {"data": {"latest_version": len(versions)}}
        if verb == "encrypt":
            return 200, {"data": {"ciphertext": self._wrapped(name, given["plaintext"]), "key_version": len(versions)}}
        results = [self._opened(name, one) for one in given["batch_input"]]
        if any("error" in one for one in results):
            return 400, {"data": {"batch_results": results}, "errors": ["invalid ciphertext"]}
        return 200, {"data": {"batch_results": results}}

    def _wrapped(self, name: str, plaintext: str) -> str:
        nonce, version = os.urandom(12), len(self.keys[name])
        sealed = AESGCM(self.keys[name][-1]).encrypt(nonce, b64decode(plaintext, validate=True), None)
        return f"vault:v{version}:{b64encode(nonce + sealed).decode()}"

    def _opened(self, name: str, one: dict[str, str]) -> dict[str, str]:
        try:
            prefix, version, text = one["ciphertext"].split(":")
            if prefix != "vault" or not 0 < int(version[1:]) <= len(self.keys[name]):
                raise ValueError("invalid ciphertext: no such version")
            raw = b64decode(text, validate=True)
            return {
                "plaintext": b64encode(AESGCM(self.keys[name][int(version[1:]) - 1]).decrypt(raw[:12], raw[12:], None)).decode()
            }
        except (ValueError, Error, InvalidTag) as error:
            return {"error": str(error) or "invalid ciphertext"}
