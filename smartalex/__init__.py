"""SmartAlex: a self-hosted AI voice platform that plugs into the phone system a company already has."""

__version__ = "0.1.0"
