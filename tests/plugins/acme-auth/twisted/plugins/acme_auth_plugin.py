"""What Twisted finds: it imports nothing of acme_auth before a trunk has chosen it."""

from smartalex.plugins import LazyProvider

acme_token = LazyProvider("IAuthenticator", "acme-token", "a token in a header: sha256=HEX, header=NAME", "acme_auth:token")
