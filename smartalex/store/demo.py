"""The demo workspace of a first start: an agent, a directory, a trunk, and three test agents."""

from __future__ import annotations

import attrs
from sqlalchemy import insert

from smartalex.store import credentials, schema
from smartalex.store.repository import Repository
from smartalex.tenants.directory import Extension

GREETING = (
    "Hello, this is Alex at Acme. Who would you like to speak to? Say a name, or press 1 for sales, 2 for billing, 3 for support."
)

DEPARTMENTS = (("reception", "100", "Reception", "0"), ("sales", "200", "Sales", "1"), ("billing", "300", "Billing", "2"),
               ("support", "400", "Support", "3"))  # fmt: skip
ALIASES = {
    "reception": ["operator", "front desk"], "billing": ["accounts", "invoices"], "support": ["help desk", "technical support"],
    "david-okafor": ["dave"], "tom-baker": ["thomas"], "james-wilson": ["jim"],
}  # fmt: skip
PEOPLE = (
    ("sarah-mitchell", "301", "Sarah Mitchell", "billing"), ("tom-baker", "201", "Tom Baker", "sales"),
    ("priya-naidoo", "401", "Priya Naidoo", "support"), ("david-okafor", "202", "David Okafor", "sales"),
    ("maria-gonzalez", "302", "Maria Gonzalez", "billing"), ("james-wilson", "402", "James Wilson", "support"),
    ("linda-chen", "501", "Linda Chen", "operations"),
)  # fmt: skip

AGENTS = (("alex", "Alex", GREETING, ["receptionist"]), ("play", "Play", "", ["play"]), ("echo", "Echo", "", ["echo"]),
          ("cps", "Silent", "", ["silent"]))  # fmt: skip
DIDS = (("+27215550100", "alex"), ("alex", "alex"), ("play", "play"), ("echo", "echo"), ("cps", "cps"))


def seed_demo(repository: Repository, realm: str) -> tuple[str, str, str]:
    """Fill an empty database; returns (trunk name, username, password)."""
    username = credentials.new_username()
    password = credentials.issue(repository.vault, "acme", username, realm)
    with repository.engine.begin() as connection:
        connection.execute(insert(schema.workspace).values(id="demo", name="Acme", operator="reception"))
        rows = [dict(id=i, workspace="demo", name=n, first_message=m, backends=b) for i, n, m, b in AGENTS]
        connection.execute(insert(schema.agent), rows)
        trunk = dict(id="acme", workspace="demo", name="acme", pbx_domain="pbx.example.com", username=username)
        connection.execute(insert(schema.trunk).values(**trunk, codecs=[], max_calls=1000))
        connection.execute(insert(schema.did), [dict(number=n, trunk="acme", agent=a) for n, a in DIDS])
        departments = [_row(Extension(i, number, name, "department", digit=digit)) for i, number, name, digit in DEPARTMENTS]
        people = [_row(Extension(i, number, name, department=department)) for i, number, name, department in PEOPLE]
        connection.execute(insert(schema.extension), departments + people)
        repository.changed(connection)
    return "acme", username, password


def _row(extension: Extension) -> dict[str, object]:
    return {**attrs.asdict(extension), "workspace": "demo", "aliases": ALIASES.get(extension.id, [])}
