"""The import arrows of ARCHITECTURE.rst: a wrong arrow fails here, with its file and line."""

from __future__ import annotations

import ast
from pathlib import Path
from unittest import TestCase

ROOT = Path(__file__).resolve().parent.parent / "smartalex"

BASE = {"errors", "machine", "interfaces", "counters", "media"}
"""Everyone may import these."""

ALLOWED: dict[str, set[str]] = {
    "errors": set(),
    "machine": set(),
    "counters": set(),
    "interfaces": set(),
    "plugins": set(),
    "media": {"plugins"},
    "tenants": set(),
    "config": {"plugins"},
    "sip": set(),
    "sdp": set(),
    "rtp": {"media.codecs"},
    "regions": {"plugins"},
    "auth": {"sip.digest", "sip.headers", "tenants", "plugins"},
    "ai": set(),
    "store": {"tenants", "config", "plugins", "sip.digest", "sip.tls"},
    "calls": {"sip", "sdp", "rtp", "ai.runtime", "ai.prompts", "tenants", "plugins", "regions"},
    "phone": {"sip", "sdp", "rtp"},
    "doctor": {"sip", "sdp", "rtp", "calls.media", "phone", "tenants"},
    "web": {"counters", "tenants", "store", "calls"},
    "cli": {
        "regions",
        "tenants",
        "store",
        "calls",
        "config",
        "phone",
        "tap",
        "plugins",
        "web",
        "sip",
        "ai.receptionist",
        "doctor",
    },
    "service": {"regions", "calls", "web", "store", "config", "plugins", "sip", "rtp", "ai", "auth", "tenants"},
    "reactor": set(),
    "tap": {"service", "config", "reactor"},
}

SIP_ORDER = [
    "uri", "headers", "message", "multipart", "diversion", "info", "privacy", "framing", "digest", "credential", "stir",
    "redaction", "trace", "timers", "budget", "overload", "websocket", "location", "resolver", "transaction", "ports", "tls",
    "stream", "connections", "transport", "layer", "asking", "dialog", "invite", "refer", "session_timer", "provisional",
    "replaces", "outgoing", "change", "session", "bindings", "registration", "ua", "registrar",
]  # fmt: skip


def imports_of(path: Path) -> list[tuple[int, str]]:
    """(line, dotted name below smartalex) for every import in the file, inner ones included."""
    found = []
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.ImportFrom) and node.level == 0 and (node.module or "").split(".")[0] == "smartalex":
            inner = (node.module or "").partition(".")[2]
            found += [(node.lineno, inner)] if inner else [(node.lineno, alias.name) for alias in node.names]
        elif isinstance(node, ast.Import):
            found += [(node.lineno, a.name.partition(".")[2]) for a in node.names if a.name.startswith("smartalex.")]
    return [(line, name) for line, name in found if name != "__version__"]


class Layering(TestCase):
    def test_every_import_follows_an_arrow(self) -> None:
        wrong = []
        for path in sorted(ROOT.rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            room = parts[0]
            if room == "__init__":
                continue
            allowed = ALLOWED[room] | BASE | {room}
            for line, name in imports_of(path):
                if not any(name == door or name.startswith(door + ".") for door in allowed):
                    wrong.append(f"{path.relative_to(ROOT.parent)}:{line} imports smartalex.{name}")
        self.assertEqual(wrong, [])

    def test_inside_sip_imports_point_down_only(self) -> None:
        wrong = []
        for path in sorted((ROOT / "sip").glob("*.py")):
            if path.stem == "__init__":
                continue
            self.assertIn(path.stem, SIP_ORDER, "a new file needs its place in the order")
            rank = SIP_ORDER.index(path.stem)
            for line, name in imports_of(path):
                other = name.split(".")[1] if name.startswith("sip.") else None
                if other and SIP_ORDER.index(other) >= rank:
                    wrong.append(f"{path.name}:{line} imports {name}")
        self.assertEqual(wrong, [])

    def test_only_tap_touches_the_global_reactor(self) -> None:
        wrong = []
        for path in sorted(ROOT.rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.ImportFrom) and node.module == "twisted.internet":
                    if any(a.name == "reactor" for a in node.names) and path.name != "tap.py":
                        wrong.append(f"{path.relative_to(ROOT.parent)}:{node.lineno}")
        self.assertEqual(wrong, [])
