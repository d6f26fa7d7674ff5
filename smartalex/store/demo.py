"""What a first start finds: a company with a directory, agents to talk to and agents to test a trunk with."""

from __future__ import annotations

from smartalex.interfaces import ISecretStore
from smartalex.store.credentials import Issued, issue, new_username
from smartalex.store.repository import Repository
from smartalex.tenants.agent import Agent
from smartalex.tenants.did import Did
from smartalex.tenants.directory import Directory, Extension
from smartalex.tenants.trunk import Trunk
from smartalex.tenants.workspace import Tenancy, Workspace

WORKSPACE = "demo"
TRUNK = "acme"
GREETING = (
    "Hello, this is Alex at Acme. Who would you like to speak to? "
    "Say a name, or press 1 for sales, 2 for billing, 3 for support."
)  # fmt: skip
FOUR_HOURS_S = 14_400

DIRECTORY = Directory(
    (
        Extension("reception", "100", "Reception", "department", aliases=("the operator", "front desk"), digit="0"),
        Extension("sales", "200", "Sales", "department", aliases=("the sales team",), digit="1"),
        Extension("billing", "300", "Billing", "department", aliases=("accounts", "invoices"), digit="2"),
        Extension("support", "400", "Support", "department", aliases=("technical support", "the help desk"), digit="3"),
        Extension("sarah-mitchell", "301", "Sarah Mitchell", department="billing"),
        Extension("tom-baker", "201", "Tom Baker", department="sales"),
        Extension("priya-naidoo", "401", "Priya Naidoo", department="support"),
        Extension("david-okafor", "202", "David Okafor", department="sales"),
        Extension("maria-gonzalez", "302", "Maria Gonzalez", department="billing"),
        Extension("james-wilson", "402", "James Wilson", department="support"),
        Extension("linda-chen", "501", "Linda Chen", department="operations"),
    ),
    operator="reception",
)

AGENTS = (
    Agent("alex", WORKSPACE, "Alex", GREETING),
    Agent("play", WORKSPACE, "play", "", backends=("play",), max_duration_s=FOUR_HOURS_S),
    Agent("echo", WORKSPACE, "echo", "", backends=("echo",), max_duration_s=FOUR_HOURS_S),
    Agent("cps", WORKSPACE, "cps", "", backends=("silent",), max_duration_s=FOUR_HOURS_S),
)

NUMBERS = {"+27215550100": "alex", "alex": "alex", "play": "play", "echo": "echo", "cps": "cps"}


def seed_demo(repository: Repository, vault: ISecretStore, realm: str) -> Issued | None:
    """Fill a database that holds no tenants; None when there are some.

    The password exists before the trunk does: a start that dies in between is simply done again.
    """
    if repository.tenancy().workspaces:
        return None
    issued = issue(vault, realm, TRUNK, new_username())
    trunk = Trunk(TRUNK, WORKSPACE, TRUNK, "pbx.example.com", issued.username, max_calls=1000)
    repository.replace_tenancy(
        Tenancy(
            revision=0,
            workspaces={WORKSPACE: Workspace(WORKSPACE, "Acme", DIRECTORY)},
            trunks={TRUNK: trunk},
            dids=tuple(Did(number, TRUNK, agent) for number, agent in NUMBERS.items()),
            agents={agent.id: agent for agent in AGENTS},
        )
    )
    return issued
