"""A directory to ask for."""

from smartalex.interfaces import Brief, Destination

SARAH = Destination("sarah", "Sarah Mitchell", department="billing")
TOM = Destination("tom", "Tom Baker", department="sales", aliases=("Thomas",))
TOM_TOO = Destination("tom2", "Tom Jones", department="billing")
JOSE = Destination("jose", "José Núñez")
SALES = Destination("sales", "Sales", kind="department", digit="1")
BILLING = Destination("billing", "Billing", kind="department", aliases=("Accounts",), digit="2")
RECEPTION = Destination("reception", "Reception", kind="department", digit="0")
OFFICE = (SARAH, TOM, TOM_TOO, JOSE, SALES, BILLING, RECEPTION)


def brief(operator: str | None = "reception") -> Brief:
    return Brief("Alex", "Acme", "Who would you like to speak to?", destinations=OFFICE, operator=operator)
