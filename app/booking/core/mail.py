"""How mail leaves the service: settings.EMAIL_BACKEND."""

import ssl

from django.core.mail.backends import smtp
from django.utils.functional import cached_property

from booking.core.outgoing import outgoing


class Backend(smtp.EmailBackend):
    """Django's, which trusts settings.OUTGOING_CA as well."""

    @cached_property
    def ssl_context(self) -> ssl.SSLContext:
        """What STARTTLS and TLS are verified by."""
        return outgoing()
